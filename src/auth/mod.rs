//! Who is asking: the schemes by which a client proves who it is (reference: `ProviderRegistry`,
//! `AuthenticationProvider`, `AuthenticationHelper`).
//!
//! Pure: no sockets, no locks. An [`Attempt`] goes in, an [`Outcome`] comes out; whoever owns the connection adds
//! the identities, replies and closes. A scheme of several steps answers with an outcome of its own for each of
//! them. Matching of identities with access control lists is `tree::acl`'s.

pub mod digest;
mod ensemble;
mod ip;
pub mod kerberos;
mod key;
pub mod principal;
pub mod sasl;
mod sasl_scheme;
mod x509;

use std::net::IpAddr;

pub use self::ensemble::NameCheck;
use crate::secret::Secret;
use crate::tree::Identities;
pub use crate::tree::Identity;

/// Settings of authentication.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the `digest` scheme is served.
    pub digest_enabled: bool,
    /// The hash of the `digest` scheme.
    pub digest_algorithm: digest::Algorithm,
    /// The digest whose owner is the superuser: `user:BASE64(hash)`.
    pub super_digest: Option<Secret>,
    /// Whether the `key` scheme is served.
    pub key_enabled: bool,
    /// Whether the `ensemble` scheme is served.
    pub ensemble_enabled: bool,
    /// The names this ensemble answers to; without any list, to each.
    pub ensemble_names: Option<Vec<String>>,
    /// Whether the `sasl` scheme is served: whether its ids count in access control lists.
    pub sasl_enabled: bool,
    /// The exchanges by which clients prove ids of the `sasl` scheme.
    pub sasl: sasl::Options,
    /// Whether the `x509` scheme is served.
    pub x509_enabled: bool,
    /// The subject of the certificate whose owner is the superuser.
    pub x509_super_user: Option<String>,
    /// When set, requests of clients with an identity in none of these schemes are refused.
    pub required_schemes: Option<Vec<String>>,
}

impl Default for Options {
    /// The reference's defaults: `digest` with SHA-1, `ip`, nothing required.
    fn default() -> Self {
        Self {
            digest_enabled: true,
            digest_algorithm: digest::Algorithm::default(),
            super_digest: None,
            key_enabled: false,
            ensemble_enabled: false,
            ensemble_names: None,
            sasl_enabled: false,
            sasl: sasl::Options::default(),
            x509_enabled: false,
            x509_super_user: None,
            required_schemes: None,
        }
    }
}

/// One client's attempt to prove something.
pub struct Attempt<'a> {
    /// Where it comes from.
    pub peer: IpAddr,
    /// What its certificate has proven before, of the `x509` scheme.
    pub certified: &'a [Identity],
    /// What it sent; null is not the same as empty.
    pub credentials: Option<&'a [u8]>,
    /// The data of the node with this path: None without the node, or when its data is null.
    pub data_of: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded, and the client has these identities from now on.
    Proven(Vec<Identity>),
    /// It failed: AUTHFAILED is the reply, and the connection closes.
    Failed,
    /// No such scheme is served; otherwise as [`Self::Failed`].
    UnknownScheme,
    /// The `ensemble` scheme proves nothing about the client. It goes on, or, if it means another ensemble, its
    /// connection closes without a reply so that it tries another server.
    Ensemble(NameCheck),
}

/// A scheme.
trait Provider: Send + Sync {
    /// Its name in requests and access control lists.
    fn scheme(&self) -> &'static str;

    /// Judges an attempt.
    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome;

    /// Whether these credentials have the superuser's name, and another password.
    fn misses_superuser(&self, _credentials: &[u8]) -> bool {
        false
    }
}

/// The schemes of a server.
pub struct Auth {
    providers: Vec<Box<dyn Provider>>,
    sasl: sasl::Options,
    certificates: Option<x509::Certificates>,
    required_schemes: Option<Vec<String>>,
}

impl Auth {
    /// The schemes that `options` ask for.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut providers: Vec<Box<dyn Provider>> = vec![Box::new(ip::Ip)];
        if options.digest_enabled {
            providers.push(Box::new(digest::Digest {
                algorithm: options.digest_algorithm,
                super_digest: options.super_digest,
            }));
        }
        if options.key_enabled {
            providers.push(Box::new(key::Key));
        }
        if options.ensemble_enabled {
            providers.push(Box::new(ensemble::Ensemble { names: options.ensemble_names }));
        }
        if options.sasl_enabled {
            providers.push(Box::new(sasl_scheme::Sasl));
        }
        let certificates = options.x509_enabled.then_some(x509::Certificates(options.x509_super_user));
        if certificates.is_some() {
            providers.push(Box::new(x509::X509));
        }
        Self { providers, sasl: options.sasl, certificates, required_schemes: options.required_schemes }
    }

    /// The identities of a client whose certificate was believed and has this subject, as Java prints it; None when the
    /// `x509` scheme is not served.
    #[must_use]
    pub fn certificate(&self, subject: &str) -> Option<Vec<Identity>> {
        self.certificates.as_ref().map(|certificates| certificates.identities(subject))
    }

    /// Judges one client's attempt to prove something by `scheme`.
    #[must_use]
    pub fn authenticate(&self, scheme: &str, attempt: &Attempt<'_>) -> Outcome {
        match self.providers.iter().find(|provider| provider.scheme() == scheme) {
            Some(provider) => provider.authenticate(attempt),
            None => Outcome::UnknownScheme,
        }
    }

    /// Whether these credentials for `scheme` have the superuser's name, and another password. As in the reference they
    /// prove an identity all the same, so only the log can tell of a guess.
    #[must_use]
    pub fn misses_superuser(&self, scheme: &str, credentials: &[u8]) -> bool {
        let provider = self.providers.iter().find(|provider| provider.scheme() == scheme);
        provider.is_some_and(|provider| provider.misses_superuser(credentials))
    }

    /// Takes the next token of a client's SASL exchange.
    #[must_use]
    pub fn answer_sasl(&self, conversation: &mut sasl::Conversation, token: &[u8]) -> sasl::Answer {
        let is_required =
            self.required_schemes.as_ref().is_some_and(|schemes| schemes.iter().any(|one| one == "sasl"));
        sasl::answer(&self.sasl, is_required, conversation, token)
    }

    /// The names of the schemes served, for messages.
    #[must_use]
    pub fn schemes(&self) -> String {
        self.providers.iter().map(|provider| provider.scheme()).collect::<Vec<_>>().join(", ")
    }

    /// Whether these identities are enough to be served.
    #[must_use]
    pub fn is_satisfied(&self, identities: &Identities) -> bool {
        let Some(required) = &self.required_schemes else { return true };
        identities.iter().any(|identity| required.contains(&identity.scheme))
    }

    /// Whether some scheme is required. If none is, identities need not be looked at.
    #[must_use]
    pub const fn requires_scheme(&self) -> bool {
        self.required_schemes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt<'a>(
        credentials: Option<&'a [u8]>,
        data_of: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Attempt<'a> {
        Attempt { peer: [127, 0, 0, 1].into(), certified: &[], credentials, data_of }
    }

    fn outcome(options: Options, scheme: &str, credentials: Option<&[u8]>) -> Outcome {
        Auth::new(options).authenticate(scheme, &attempt(credentials, &|_| None))
    }

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn only_the_schemes_asked_for_are_served() {
        assert_eq!(outcome(Options::default(), "nope", Some(b"x")), Outcome::UnknownScheme);
        assert_eq!(outcome(Options::default(), "key", Some(b"1")), Outcome::UnknownScheme);
        assert_eq!(outcome(Options::default(), "ensemble", Some(b"e")), Outcome::UnknownScheme);
        let without = Options { digest_enabled: false, ..Options::default() };
        assert_eq!(outcome(without, "digest", Some(b"u:p")), Outcome::UnknownScheme);
        let all =
            Options { key_enabled: true, ensemble_enabled: true, sasl_enabled: true, ..Options::default() };
        assert_eq!(Auth::new(all).schemes(), "ip, digest, key, ensemble, sasl");
    }

    #[test]
    fn the_ip_scheme_does_not_look_at_credentials() {
        let proven = Outcome::Proven(vec![identity("ip", "127.0.0.1")]);
        assert_eq!(outcome(Options::default(), "ip", None), proven);
        assert_eq!(outcome(Options::default(), "ip", Some(b"10.0.0.1")), proven);
    }

    /// It is proven by an exchange, never by credentials.
    #[test]
    fn the_sasl_scheme_takes_no_credentials() {
        let with = Options { sasl_enabled: true, ..Options::default() };
        assert_eq!(outcome(with, "sasl", Some(b"bob")), Outcome::Failed);
        assert_eq!(outcome(Options::default(), "sasl", Some(b"bob")), Outcome::UnknownScheme);
    }

    #[test]
    fn a_required_scheme_must_be_among_the_identities() {
        let auth = |required: Option<&[&str]>| {
            let required_schemes = required.map(|names| names.iter().map(|name| (*name).into()).collect());
            Auth::new(Options { required_schemes, ..Options::default() })
        };
        let ip: Identities = [identity("ip", "127.0.0.1")].as_slice().into();
        assert!(auth(None).is_satisfied(&ip) && !auth(None).requires_scheme());
        assert!(!auth(Some(&["digest"])).is_satisfied(&ip));
        assert!(auth(Some(&["digest", "ip"])).is_satisfied(&ip));
    }
}
