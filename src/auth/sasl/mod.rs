//! Exchanges of several steps by which a client, or a peer, proves who it is (RFC 4422). Each mechanism is an
//! [`Exchange`]; whoever owns the connection carries the tokens.

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
