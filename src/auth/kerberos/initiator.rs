//! The mechanism GSSAPI of SASL, initiating side (RFC 4752; in the JDK, `GssKrb5Client`), with a ticket for the service.

use super::crypto::Usage;
use super::crypto::{Key, Random};
use super::gss;
use super::message::{self, Proof};
use super::tickets::Ticket;
use super::wrap::Channel;
use crate::auth::sasl::{Failure, Initiating};

/// No security layer, which all that this is for goes without.
const NO_LAYER: u8 = 1;

/// The initiating side of one exchange.
pub struct Initiator {
    ticket: Ticket,
    now_us: i64,
    random: Random,
    stage: Stage,
}

enum Stage {
    Start,
    /// The service offers layers next.
    Offer(Channel),
    /// The layer is chosen; the service says that it is done.
    Chosen,
    Over,
}

impl Initiator {
    /// With this ticket, at this time in microseconds since 1970.
    #[must_use]
    pub const fn new(ticket: Ticket, now_us: i64, random: Random) -> Self {
        Self { ticket, now_us, random, stage: Stage::Start }
    }

    /// The first token and the context that it begins. As the reference's servers do, it does not ask the service for
    /// proof: what the service wraps next shows that it could read the ticket.
    fn begin(&self) -> Result<(Vec<u8>, Channel), String> {
        let key = Key::random(self.ticket.session_key.kind(), self.random)?;
        let number = super::tickets::nonce(self.random)? >> 1;
        let proof = Proof {
            checksum: gss::CHECKSUM,
            now_us: self.now_us,
            subkey: Some(&key),
            sequence_number: Some(number),
        };
        let request = message::ap_req(&self.ticket, &proof, Usage::Authenticator, self.random)?;
        let channel = Channel {
            key,
            is_acceptor_subkey: false,
            is_acceptor: false,
            sends: number,
            expects: Some(number),
        };
        Ok((gss::ap_req_token(&request), channel))
    }
}

impl Initiating for Initiator {
    fn first(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let (token, channel) = self.begin().map_err(Failure)?;
        self.stage = Stage::Offer(channel);
        Ok(Some(token))
    }

    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Offer(mut channel) => {
                let wrong = |error| Failure(format!("the service's offer: {error}"));
                let offer = channel.unwrap(token).map_err(wrong)?;
                let [layers, _, _, _] = &offer[..] else { return Err(wrong("it is no offer of four bytes")) };
                if layers & NO_LAYER == 0 {
                    return Err(wrong("it does not go without a security layer"));
                }
                let id = self.ticket.client.to_string();
                let choice = channel.wrap(&[&[NO_LAYER, 0, 0, 0], id.as_bytes()].concat());
                self.stage = Stage::Chosen;
                choice.map(Some).ok_or_else(|| Failure("the choice cannot be wrapped".into()))
            }
            Stage::Chosen if token.is_empty() => Ok(None),
            Stage::Chosen => Err(Failure("the service says something where it has nothing to say".into())),
            Stage::Start | Stage::Over => Err(Failure("the exchange is not at this point".into())),
        }
    }
}
