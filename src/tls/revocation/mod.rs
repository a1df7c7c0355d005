//! Whether a certificate was revoked: whom to ask, and what an answer means (reference: `X509Util.createTrustManager`;
//! the JDK's `RevocationChecker`). Pure: who asks is `crate::revocation`.
//!
//! Lists and answers are read with the reader that reads certificates: what it lacked are these few structures, and the
//! list that `webpki` reads must be of version 2 and no list of a part.
//!
//! Each certificate of a chain is asked about, but for the one that is trusted. What is not known to be good is refused:
//! there is no soft failure, as the reference asks for none.

mod list;
mod points;
mod responder;
#[cfg(test)]
mod tests;

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::CertificateDer;

use self::list::List;
pub use self::points::{Point, Reasons};
use super::certificate::Certificate;
use super::names;

/// By how much clocks may differ, in seconds (reference: `RevocationChecker.MAX_CLOCK_SKEW`, the default of
/// `com.sun.security.ocsp.clockSkew`).
const SKEW_S: i64 = 15 * 60;

/// Whom to ask whether a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nobody.
    Nobody,
    /// The lists that it names (`ssl.crl`; reference: `PREFER_CRLS` with `NO_FALLBACK`).
    Lists,
    /// The responder that it names, and the lists where that does not decide (`ssl.ocsp`).
    ResponderThenLists,
}

/// A certificate of a chain and its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The certificate that is asked about.
    pub certificate: CertificateDer<'static>,
    /// Who issued it.
    pub issuer: CertificateDer<'static>,
    /// Whether the issuer is one that is trusted.
    pub is_below_anchor: bool,
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was not revoked.
    Good,
    /// It was.
    Revoked,
}

/// A question to a responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where the responder is.
    pub url: String,
    /// What it is asked (RFC 6960, `OCSPRequest`).
    pub request: Vec<u8>,
}

impl Link {
    /// What to ask a responder; None where the certificate names none.
    ///
    /// # Errors
    /// What is wrong with the certificate.
    pub fn question(&self) -> Result<Option<Question>, String> {
        let (certificate, issuer) = self.read()?;
        let url = points::responder(&certificate).map_err(|why| why.to_string())?;
        Ok(url.map(|url| Question { url, request: responder::request(&certificate, &issuer) }))
    }

    /// What a responder has answered.
    ///
    /// # Errors
    /// Why that does not decide.
    pub fn answered(&self, answer: &[u8], unix_ms: i64) -> Result<Status, String> {
        let (certificate, issuer) = self.read()?;
        responder::answered(answer, (&certificate, &issuer), unix_ms / 1000, algorithms())
    }

    /// Where lists are that the certificate would stand in, in its order.
    ///
    /// # Errors
    /// What is wrong with the certificate.
    pub fn points(&self) -> Result<Vec<Point>, String> {
        points::points(&self.read()?.0).map_err(|why| why.to_string())
    }

    /// What a list from this point says. Which reasons it tells of is added to `covered`: only when all are is a
    /// certificate good that stands in none.
    ///
    /// # Errors
    /// Why the list does not count.
    pub fn listed(
        &self,
        point: &Point,
        list: &[u8],
        unix_ms: i64,
        covered: &mut Reasons,
    ) -> Result<Status, String> {
        let (certificate, issuer) = self.read()?;
        let decoded = list::from_text(list);
        let bytes = decoded.as_deref().unwrap_or(list);
        let list = List::read(bytes).map_err(|why| format!("it cannot be read: {why}"))?;
        let now = unix_ms / 1000;
        let told = list.tells_of(&certificate, point, now)?;
        if told.without(*covered).is_empty() {
            return Err("it tells of no reason that was not known of".into());
        }
        // As in the JDK, whoever is trusted may do this whatever its certificate says.
        if !self.is_below_anchor && !issuer.extensions.may_revoke() {
            return Err("the issuer's certificate does not allow it to sign lists".into());
        }
        if !list.signature.is_of(&issuer, list.signed, algorithms()) {
            return Err("it is not signed by the issuer of the certificate".into());
        }
        covered.add(told);
        list.status_of(&certificate, now)
    }

    /// Which certificate it is, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        let Ok(read) = Certificate::read(&self.certificate) else { return "a certificate".into() };
        let subject = names::rfc2253(read.subject).unwrap_or_else(|_| "an unreadable name".into());
        let serial: String = read.serial.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        format!("{subject} (serial number {serial})")
    }

    fn read(&self) -> Result<(Certificate<'_>, Certificate<'_>), String> {
        let read = |der| Certificate::read(der).map_err(|why| format!("a certificate cannot be read: {why}"));
        Ok((read(&self.certificate)?, read(&self.issuer)?))
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Whether this moment lies in a time of validity, give or take the skew of clocks.
const fn is_current(this_update: i64, next_update: i64, now: i64) -> bool {
    now + SKEW_S >= this_update && now - SKEW_S <= next_update
}
