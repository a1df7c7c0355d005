//! The accepting side of a context (RFC 4120 section 3.2.3, RFC 4121; in the JDK, `KrbApReq` and
//! `InitSecContextToken`).

use std::sync::{Mutex, PoisonError};

use super::crypto::{EncryptionType, Key, Random, Usage, name_of};
use super::gss::{self, Wants};
use super::keytab::ServiceKeys;
use super::message::{self, ApReq, Authenticator, TicketPart};
use super::name::Principal;
use super::replay::{Refusal, Replays};
use super::wrap::Channel;
use crate::auth::sasl::Failure;
use crate::logging::shown;

/// Bytes of a first token. A ticket of Active Directory, which lists its owner's groups, is at most 64 KiB.
const TOKEN_MAX: usize = 68 * 1024;

/// How far the clocks of clients may be from this one, in seconds, unless krb5.conf says something else.
pub const CLOCK_SKEW: i64 = 300;

/// The accepting side of one service: what all its exchanges share.
#[derive(Debug)]
pub struct Acceptor {
    principal: Principal,
    skew: i64,
    random: Random,
    replays: Mutex<Replays>,
}

/// A client that was authenticated.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Who it is.
    pub(super) client: Principal,
    /// The token that proves this side to it, if it asked for that.
    pub(super) token: Option<Vec<u8>>,
    /// What the messages that follow are wrapped with.
    pub(super) channel: Channel,
}

/// A name in a log line: whoever chose it cannot break the line.
fn printable(name: &Principal) -> String {
    shown(&name.to_string()).to_string()
}

impl Acceptor {
    /// The service `principal`, whose clients' clocks may be `skew` seconds away.
    #[must_use]
    pub fn new(principal: Principal, skew: i64, random: Random) -> Self {
        Self { principal, skew, random, replays: Mutex::default() }
    }

    /// The service.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Judges a client's first token at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// When it proves nothing; the text says which check failed.
    pub(super) fn accept(&self, token: &[u8], keys: &ServiceKeys, now_ms: i64) -> Result<Accepted, Failure> {
        if token.len() > TOKEN_MAX {
            return Err(Failure(format!(
                "the client's token has {} bytes, more than the {TOKEN_MAX} that a ticket can need",
                token.len()
            )));
        }
        let message = gss::ap_req(token).map_err(|error| Failure(format!("the client's token: {error}")))?;
        let request =
            ApReq::read(message).map_err(|error| Failure(format!("the client's AP-REQ: {error}")))?;
        if request.is_user_to_user {
            return Err(Failure("the ticket is of the user-to-user kind, which is not served".into()));
        }
        let ticket = self.open_ticket(&request, keys)?;
        let opened = request.authenticator.decrypt(&ticket.session_key, Usage::Authenticator);
        let opened = opened.ok_or_else(|| {
            Failure(format!(
                "the authenticator of {} was changed, or was not made with its ticket's session key",
                printable(&ticket.client)
            ))
        })?;
        let authenticator = Authenticator::read(&opened).map_err(|error| Failure(error.to_string()))?;
        self.check(&ticket, &authenticator, now_ms)?;
        let wants = gss::wants(authenticator.checksum)
            .map_err(|error| Failure(format!("{}: {error}", printable(&ticket.client))))?;
        // Last, so that what is refused takes no room.
        self.take_once(&request, &authenticator, wants, now_ms)?;
        self.establish(ticket, &authenticator, wants)
    }

    /// Decrypts the ticket. Whichever service it names, as for the JDK (`ServiceCreds.getEKeys`), only this one's keys
    /// are tried: they show whom the key distribution centre made it for.
    fn open_ticket(&self, request: &ApReq<'_>, keys: &ServiceKeys) -> Result<TicketPart, Failure> {
        let sealed = &request.ticket;
        let ticket = || format!("the client's ticket for {}", printable(&request.service));
        let Some(kind) = EncryptionType::of(sealed.kind) else {
            return Err(Failure(format!(
                "{} is encrypted with {}, which is not served: give the service AES keys (ktadd -e aes256-cts:normal)",
                ticket(),
                name_of(sealed.kind)
            )));
        };
        let Some(key) = keys.find(kind, sealed.version) else {
            return Err(Failure(format!(
                "{} is encrypted with {}, of which the keytab has no key of {}, only {}: add it with ktadd",
                ticket(),
                name_of(sealed.kind),
                self.principal,
                keys.described()
            )));
        };
        let Some(opened) = sealed.decrypt(key, Usage::Ticket) else {
            let version = sealed.version.unwrap_or(0);
            let why = if request.service != self.principal {
                format!("it is for another service than {}", self.principal)
            } else if version != 0 && !keys.has(kind, version) {
                format!(
                    "it is under version {version} of the key, which the keytab lacks ({}): write the keytab anew, or \
                     let the client get a new ticket",
                    keys.described()
                )
            } else {
                "it was changed, or the keytab's key is not the key distribution centre's: write the keytab anew"
                    .to_owned()
            };
            return Err(Failure(format!("{} cannot be decrypted: {why}", ticket())));
        };
        TicketPart::read(&opened).map_err(|error| Failure(format!("{}: {error}", ticket())))
    }

    /// What must be true of a ticket and the authenticator that came with it.
    fn check(
        &self,
        ticket: &TicketPart,
        authenticator: &Authenticator<'_>,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let client = printable(&ticket.client);
        if authenticator.client != ticket.client {
            return Err(Failure(format!(
                "the ticket is of {client}, but the authenticator of {}",
                printable(&authenticator.client)
            )));
        }
        let now = now_ms.div_euclid(1000);
        let away = authenticator.time.saturating_sub(now);
        if away.saturating_abs() > self.skew {
            return Err(Failure(format!(
                "the clock of {client} is {} s {} this one, more than the {} s allowed: set both clocks",
                away.saturating_abs(),
                if away > 0 { "ahead of" } else { "behind" },
                self.skew
            )));
        }
        let begins_later = ticket.starts.is_some_and(|starts| starts.saturating_sub(now) > self.skew);
        if ticket.is_invalid || begins_later {
            return Err(Failure(format!("the ticket of {client} is not valid yet")));
        }
        if now.saturating_sub(ticket.ends) > self.skew {
            return Err(Failure(format!(
                "the ticket of {client} expired {} s ago: the client must get a new one",
                now.saturating_sub(ticket.ends)
            )));
        }
        Ok(())
    }

    fn take_once(
        &self,
        request: &ApReq<'_>,
        authenticator: &Authenticator<'_>,
        wants: Wants,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let oldest = now_ms.div_euclid(1000).saturating_sub(self.skew);
        let client = authenticator.client.to_string();
        let sealed = request.authenticator.sealed;
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        match replays.remember(oldest, &client, authenticator.time, sealed) {
            Ok(()) => Ok(()),
            // With mutual authentication the key that goes on is new, so an old proof gets nobody further.
            Err(Refusal::Full) if wants.mutual => Ok(()),
            Err(refusal) => {
                let client = printable(&authenticator.client);
                Err(Failure(match refusal {
                    Refusal::Replayed => {
                        format!("{client}: the authenticator was used before; this is a replay")
                    }
                    Refusal::Full => format!(
                        "{client}: too many authentications within {} s to tell replays from new ones; try again later",
                        2 * self.skew
                    ),
                }))
            }
        }
    }

    /// The context. Where the client asked for proof of this side it goes on under a key of this side's choice: so the
    /// rest of the exchange cannot have been recorded before. The JDK's acceptor goes on under the client's key unless
    /// `sun.security.krb5.acceptor.subkey` is set; the MIT library's does as this one.
    fn establish(
        &self,
        ticket: TicketPart,
        authenticator: &Authenticator<'_>,
        wants: Wants,
    ) -> Result<Accepted, Failure> {
        let no_random = |error| Failure(format!("there are no random bytes: {error}"));
        let theirs = authenticator.sequence_number.unwrap_or(0);
        let clients_key = authenticator.subkey.as_ref().unwrap_or(&ticket.session_key);
        let expects = wants.order.then_some(theirs);
        if !wants.mutual {
            let key = clients_key.clone();
            let channel =
                Channel { key, is_acceptor_subkey: false, is_acceptor: true, sends: theirs, expects };
            return Ok(Accepted { client: ticket.client, token: None, channel });
        }
        let key = Key::random(clients_key.kind(), self.random).map_err(no_random)?;
        let mut number = [0; 4];
        (self.random)(&mut number).map_err(no_random)?;
        // As others choose it: small enough that it stays positive, and does not wrap soon, for those that care.
        let sends = u32::from_be_bytes(number) >> 2;
        let reply = message::ap_rep(&ticket.session_key, authenticator, &key, sends, self.random)
            .map_err(no_random)?;
        let channel = Channel { key, is_acceptor_subkey: true, is_acceptor: true, sends, expects };
        Ok(Accepted { client: ticket.client, token: Some(gss::ap_rep_token(&reply)), channel })
    }
}
