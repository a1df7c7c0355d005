//! Exchanges of several steps by which a client, or a peer, proves who it is (RFC 4422). Each mechanism is an
//! [`Exchange`]; whoever owns the connection carries the tokens.

pub mod digest_md5;
mod directives;

use std::fmt;
use std::sync::Arc;

use jute::Code;

use crate::tree::Identity;

/// What an exchange answers to a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on: this token is the answer, and another is expected.
    Challenge(Vec<u8>),
    /// It is done.
    Proven {
        /// The last token for the other side; None where the mechanism has none.
        token: Option<Vec<u8>>,
        /// Who the other side is, as the reference's callback would know it (`AuthorizeCallback`): the
        /// authorization id.
        authorization_id: String,
    },
}

/// Why an exchange ended without proof. The text is for the log of this server; it holds nothing secret and nothing
/// that was not made printable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// The accepting side of one exchange. After [`Step::Proven`] or a failure it is over: no step is taken again.
pub trait Exchange: Send {
    /// Takes the other side's next token.
    ///
    /// # Errors
    /// When it proves nothing, or comes out of order. Nothing of the exchange may be believed then.
    fn step(&mut self, token: &[u8]) -> Result<Step, Failure>;
}

/// A mechanism with what a server needs for it.
pub trait Mechanism: fmt::Debug + Send + Sync {
    /// The accepting side of a new exchange.
    fn begin(&self) -> Box<dyn Exchange>;
}

/// The initiating side of one exchange.
pub trait Initiating: Send {
    /// What is said first; None where the other side begins.
    ///
    /// # Errors
    /// When there is nothing to prove anything with.
    fn first(&mut self) -> Result<Option<Vec<u8>>, Failure>;

    /// Answers the other side's next token; None when it is done, and the other side has proven who it is.
    ///
    /// # Errors
    /// When the other side proves nothing, or its token comes out of order. The exchange is over then.
    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Failure>;
}

/// What a server needs to prove who it is.
pub trait Login: fmt::Debug + Send + Sync {
    /// The initiating side of a new exchange with the server on `host`, as it is configured.
    fn begin(&self, host: &str) -> Box<dyn Initiating>;
}

/// SASL as a server offers it to its clients.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The mechanism of the login configuration; without one nobody proves anything.
    pub mechanism: Option<Arc<dyn Mechanism>>,
    /// The ids whose owners are superusers.
    pub super_users: Vec<String>,
    /// Whether a client whose exchange fails may go on without an identity.
    pub keeps_failed_clients: bool,
}

/// Where the exchange of a connection stands.
#[derive(Default)]
pub enum Conversation {
    /// It has not begun.
    #[default]
    New,
    /// A token is expected.
    Running(Box<dyn Exchange>),
    /// It has ended, well or not; a connection has one.
    Over,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "New",
            Self::Running(_) => "Running",
            Self::Over => "Over",
        })
    }
}

/// What comes of a client's token.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// This server offers no SASL: the reply has a null token, and proves nothing.
    NotOffered,
    /// The exchange goes on with this token.
    Challenge(Vec<u8>),
    /// The client has these identities from now on; the reply has this token.
    Proven(Option<Vec<u8>>, Vec<Identity>),
    /// It failed, the reply has a null token, and the client may go on.
    Forgiven(Failure),
    /// It failed, the reply has this code, and the connection closes.
    Refused(Failure, Code),
}

/// Takes a client's next token (reference: `ZooKeeperServer.processSasl`). `is_required` says whether clients without
/// an id of the scheme are not served.
pub(super) fn answer(
    options: &Options,
    is_required: bool,
    conversation: &mut Conversation,
    token: &[u8],
) -> Answer {
    let Some(mechanism) = &options.mechanism else { return Answer::NotOffered };
    let taken = match std::mem::replace(conversation, Conversation::Over) {
        Conversation::New => Ok(mechanism.begin()),
        Conversation::Running(exchange) => Ok(exchange),
        Conversation::Over => Err(Failure("a token after the end of the exchange".into())),
    };
    let step = taken.and_then(|mut exchange| exchange.step(token).map(|step| (exchange, step)));
    match step {
        Ok((exchange, Step::Challenge(token))) => {
            *conversation = Conversation::Running(exchange);
            Answer::Challenge(token)
        }
        Ok((_, Step::Proven { token, authorization_id })) => {
            let is_super = !authorization_id.is_empty() && options.super_users.contains(&authorization_id);
            let mut proven = vec![Identity { scheme: "sasl".into(), id: authorization_id }];
            if is_super {
                proven.push(Identity { scheme: "super".into(), id: String::new() });
            }
            Answer::Proven(token, proven)
        }
        Err(failure) if is_required => Answer::Refused(failure, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH),
        Err(failure) if options.keeps_failed_clients => Answer::Forgiven(failure),
        Err(failure) => Answer::Refused(failure, Code::AUTH_FAILED),
    }
}
