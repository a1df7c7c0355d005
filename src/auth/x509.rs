//! The `x509` scheme: a client is known by the subject of the certificate it has shown in the TLS handshake
//! (reference: `X509AuthenticationProvider`).

use super::{Attempt, Identity, Outcome, Provider};

const SCHEME: &str = "x509";

/// What certificates stand for; the name is that of the superuser.
pub(super) struct Certificates(pub(super) Option<String>);

impl Certificates {
    /// Who the owner of a certificate with this subject is.
    pub(super) fn identities(&self, subject: &str) -> Vec<Identity> {
        let mut identities = Vec::with_capacity(2);
        if self.0.as_deref() == Some(subject) {
            identities.push(Identity { scheme: "super".into(), id: subject.into() });
        }
        identities.push(Identity { scheme: SCHEME.into(), id: subject.into() });
        identities
    }
}

/// A client may ask for the scheme by an auth packet too; that proves what the handshake has proven, and nothing else.
pub(super) struct X509;

impl Provider for X509 {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome {
        if attempt.certified.is_empty() {
            return Outcome::Failed;
        }
        Outcome::Proven(attempt.certified.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn the_owner_of_the_named_certificate_is_the_superuser() {
        let certificates = Certificates(Some("CN=root".into()));
        assert_eq!(
            certificates.identities("CN=root"),
            [identity("super", "CN=root"), identity("x509", "CN=root")]
        );
        assert_eq!(certificates.identities("CN=Root"), [identity("x509", "CN=Root")]);
        assert_eq!(Certificates(None).identities(""), [identity("x509", "")]);
    }

    #[test]
    fn an_auth_packet_proves_only_what_the_handshake_has() {
        let outcome = |certified: &[Identity]| {
            let attempt = Attempt {
                peer: [127, 0, 0, 1].into(),
                certified,
                credentials: Some(b"CN=root"),
                data_of: &|_| None,
            };
            X509.authenticate(&attempt)
        };
        assert_eq!(outcome(&[]), Outcome::Failed);
        let own = identity("x509", "CN=me");
        assert_eq!(outcome(std::slice::from_ref(&own)), Outcome::Proven(vec![own]));
    }
}
