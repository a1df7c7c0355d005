//! The mechanism GSSAPI of SASL, accepting side (RFC 4752; in the JDK, `GssKrb5Server`).

use std::sync::Arc;

use super::acceptor::Acceptor;
use super::keytab_file::KeytabFile;
use super::name::Principal;
use super::wrap::Channel;
use crate::auth::principal::Naming;
use crate::auth::sasl::{Exchange, Failure, Mechanism, Step};
use crate::logging::shown;

/// The only security layer offered, as the reference's servers set no `javax.security.sasl.qop`: none.
const NO_LAYER: u8 = 1;

/// The offer: no layer, and the size of buffers that the JDK names with it, 65536 bytes. Without a layer there are
/// none, and clients do not mind (RFC 4752 section 3.3 has 0).
const OFFER: [u8; 4] = [NO_LAYER, 1, 0, 0];

/// The wall's clock: milliseconds since 1970.
pub type WallClock = fn() -> i64;

/// GSSAPI as a server offers it.
#[derive(Debug)]
pub struct Gssapi(Arc<Service>);

#[derive(Debug)]
struct Service {
    acceptor: Acceptor,
    keytab: KeytabFile,
    admits: Admits,
    clock: WallClock,
}

/// Who is admitted, and as whom.
#[derive(Clone, Debug)]
pub enum Admits {
    /// Everybody who has proven something, by these names (reference: `SaslServerCallbackHandler`).
    Clients(Naming),
    /// Servers on these hosts, whose name has exactly the parts `service/host@REALM` (reference:
    /// `SaslQuorumServerCallbackHandler`, with what was missing before CVE-2023-44981: there is no name without a host).
    Peers(Vec<String>),
}

impl Admits {
    /// The id of a client that has proven to be `proven` and asks to be taken for `asked`.
    fn authorize(&self, proven: &str, asked: &str) -> Result<String, Failure> {
        match self {
            Self::Clients(naming) => naming.authorize(proven, asked),
            Self::Peers(hosts) => {
                let parts: Vec<_> = proven.split(['/', '@']).collect();
                let is_member = matches!(&parts[..], [_, host, _] if hosts.iter().any(|one| one == host));
                if is_member && asked == proven {
                    return Ok(proven.to_owned());
                }
                Err(Failure(format!(
                    "{} is no member: its host must be one of {}, and it must not act as another",
                    shown(proven),
                    hosts.join(", ")
                )))
            }
        }
    }
}

impl Gssapi {
    /// The service that `acceptor` is, with the keys in `keytab`.
    #[must_use]
    pub fn new(acceptor: Acceptor, keytab: KeytabFile, admits: Admits, clock: WallClock) -> Self {
        Self(Arc::new(Service { acceptor, keytab, admits, clock }))
    }
}

impl Mechanism for Gssapi {
    fn begin(&self) -> Box<dyn Exchange> {
        Box::new(Accepting { service: Arc::clone(&self.0), stage: Stage::Start })
    }
}

enum Stage {
    /// Nothing was said.
    Start,
    /// The client is to take the proof of this side.
    Proof(Principal, Channel),
    /// The client is to choose a security layer.
    Choice(Principal, Channel),
    Over,
}

struct Accepting {
    service: Arc<Service>,
    stage: Stage,
}

impl Accepting {
    fn offer(&mut self, client: Principal, mut channel: Channel) -> Result<Step, Failure> {
        let wrapped = channel.wrap(&OFFER).ok_or_else(|| Failure("the offer cannot be wrapped".into()))?;
        self.stage = Stage::Choice(client, channel);
        Ok(Step::Challenge(wrapped))
    }
}

impl Exchange for Accepting {
    fn step(&mut self, token: &[u8]) -> Result<Step, Failure> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Start => {
                let keys = self.service.keytab.current();
                let accepted = self.service.acceptor.accept(token, &keys, (self.service.clock)())?;
                match accepted.token {
                    None => self.offer(accepted.client, accepted.channel),
                    Some(proof) => {
                        self.stage = Stage::Proof(accepted.client, accepted.channel);
                        Ok(Step::Challenge(proof))
                    }
                }
            }
            Stage::Proof(client, channel) => {
                if !token.is_empty() {
                    return Err(Failure("the client sent something where it has nothing to say".into()));
                }
                self.offer(client, channel)
            }
            Stage::Choice(client, mut channel) => {
                let choice = channel
                    .unwrap(token)
                    .map_err(|error| Failure(format!("the client's choice: {error}")))?;
                let [layers, _, _, _, asked @ ..] = &choice[..] else {
                    return Err(Failure("the client's choice is too short".into()));
                };
                if layers & NO_LAYER == 0 {
                    return Err(Failure(format!(
                        "the client wants a security layer ({layers:#04x}) that was not offered"
                    )));
                }
                let proven = client.to_string();
                let asked = String::from_utf8_lossy(asked);
                let asked = if asked.is_empty() { &proven } else { &*asked };
                let authorization_id = self.service.admits.authorize(&proven, asked)?;
                Ok(Step::Proven { token: None, authorization_id })
            }
            Stage::Over => Err(Failure("the exchange is over".into())),
        }
    }
}
