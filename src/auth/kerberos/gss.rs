//! How Kerberos' messages travel in GSS-API (RFC 2743 section 3.1, RFC 4121 section 4.1).

use super::der::{self, DerError, Reader, tag};

/// Kerberos 5: 1.2.840.113554.1.2.2.
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
/// SPNEGO: 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

const AP_REQ: [u8; 2] = [1, 0];
const AP_REP: [u8; 2] = [2, 0];
const ERROR: [u8; 2] = [3, 0];

/// The type of the checksum that carries the flags of a context.
const CHECKSUM_TYPE: i32 = 0x8003;
/// What the initiating side here wants: order, as the JDK's does, and no channel bindings.
pub(super) const CHECKSUM: (i32, &[u8]) =
    (CHECKSUM_TYPE, &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c, 0, 0, 0]);

const MUTUAL: u32 = 2;
const REPLAY: u32 = 4;
const SEQUENCE: u32 = 8;

/// What is wrong with a token, for a log line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("it is not a GSS-API token: {0}")]
    Der(#[from] DerError),
    #[error("it is of the mechanism SPNEGO; SASL's GSSAPI is Kerberos alone")]
    Spnego,
    #[error("it is of another mechanism than Kerberos 5")]
    Mechanism,
    #[error("it carries a KRB-ERROR: the other side gave up")]
    Error,
    #[error("it carries no AP-REQ")]
    NoApReq,
}

/// The AP-REQ in a client's first token.
pub(super) fn ap_req(token: &[u8]) -> Result<&[u8], TokenError> {
    let what = "the token";
    let mut outer = Reader::new(token);
    let mut content = outer.read(tag::application(0), what)?;
    outer.end(what)?;
    match content.read(tag::OBJECT_IDENTIFIER, "its mechanism")?.rest() {
        KERBEROS => {}
        SPNEGO => return Err(TokenError::Spnego),
        _ => return Err(TokenError::Mechanism),
    }
    match content.rest().split_first_chunk() {
        Some((&AP_REQ, message)) => Ok(message),
        Some((&ERROR, _)) => Err(TokenError::Error),
        _ => Err(TokenError::NoApReq),
    }
}

/// A token with an AP-REP.
pub(super) fn ap_rep_token(message: &[u8]) -> Vec<u8> {
    framed(AP_REP, message)
}

fn framed(kind: [u8; 2], message: &[u8]) -> Vec<u8> {
    let mut content = der::element(tag::OBJECT_IDENTIFIER, KERBEROS);
    content.extend_from_slice(&kind);
    content.extend_from_slice(message);
    der::element(tag::application(0), &content)
}

/// A token with an AP-REQ.
pub(super) fn ap_req_token(message: &[u8]) -> Vec<u8> {
    framed(AP_REQ, message)
}

/// What the client wants of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// That this side proves itself.
    pub(super) mutual: bool,
    /// That its tokens are refused when they come out of their order.
    pub(super) order: bool,
}

/// Reads the checksum of an authenticator. Its channel bindings are not looked at: like the JDK, whose acceptor was
/// given none to compare with (RFC 4121 section 4.1.1.2 allows it). Nor are delegated credentials, which nobody here
/// has a use for.
pub(super) fn wants(checksum: Option<(i32, &[u8])>) -> Result<Wants, &'static str> {
    let (kind, bytes) = checksum.ok_or("the authenticator has no checksum")?;
    if kind != CHECKSUM_TYPE {
        return Err("the authenticator's checksum is not of GSS-API's type");
    }
    let malformed = "the authenticator's checksum is malformed";
    let (length, rest) = bytes.split_first_chunk().ok_or(malformed)?;
    if u32::from_le_bytes(*length) != 16 {
        return Err(malformed);
    }
    let (_bindings, rest) = rest.split_first_chunk::<16>().ok_or(malformed)?;
    let (flags, _) = rest.split_first_chunk().ok_or(malformed)?;
    let flags = u32::from_le_bytes(*flags);
    Ok(Wants { mutual: flags & MUTUAL != 0, order: flags & (REPLAY | SEQUENCE) != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_framed_and_names_its_mechanism() {
        let token = ap_req_token(b"message");
        assert_eq!(ap_req(&token), Ok(&b"message"[..]));
        for length in 0..token.len() {
            assert!(ap_req(&token[..length]).is_err(), "cut at {length}");
        }
        assert!(ap_req(&[&token[..], b"x"].concat()).is_err(), "something follows");
        assert_eq!(ap_req(&framed(ERROR, b"e")), Err(TokenError::Error));
        assert_eq!(ap_req(&framed(AP_REP, b"e")), Err(TokenError::NoApReq));
        let of =
            |mechanism| der::element(tag::application(0), &der::element(tag::OBJECT_IDENTIFIER, mechanism));
        assert_eq!(ap_req(&of(SPNEGO)), Err(TokenError::Spnego));
        assert_eq!(ap_req(&of(&[1])), Err(TokenError::Mechanism));
        assert_eq!(ap_req(&of(KERBEROS)), Err(TokenError::NoApReq));
    }

    #[test]
    fn the_flags_of_a_context_are_in_its_checksum() {
        let checksum = |flags: u8| [&[16, 0, 0, 0][..], &[9; 16], &[flags, 0, 0, 0], b"delegated"].concat();
        let of = |flags| wants(Some((0x8003, &checksum(flags))));
        assert_eq!(of(2), Ok(Wants { mutual: true, order: false }));
        assert_eq!(of(0x39), Ok(Wants { mutual: false, order: true }));
        assert_eq!(of(4), Ok(Wants { mutual: false, order: true }));
        assert!(wants(None).is_err() && wants(Some((16, &checksum(2)))).is_err());
        assert!(wants(Some((0x8003, &checksum(2)[..23]))).is_err());
        assert!(wants(Some((0x8003, &[]))).is_err());
    }
}
