//! Ciphers and protocol versions by the names the JDK gives them.

use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `TLSv1.2`.
    V12,
    /// `TLSv1.3`.
    V13,
}

impl Protocol {
    /// By the JDK's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "TLSv1.2" => Some(Self::V12),
            "TLSv1.3" => Some(Self::V13),
            _ => None,
        }
    }

    pub(super) const fn version(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V12 => &rustls::version::TLS12,
            Self::V13 => &rustls::version::TLS13,
        }
    }
}

/// All that are supported, in the order of the reference's default list (`X509Util.DEFAULT_CIPHERS_JAVA9`).
const SUITES: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// How many of them the reference has in its default list; the others must be asked for.
const USUAL: usize = 7;

/// Ciphers that are offered, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteSet(Vec<usize>);

impl Default for SuiteSet {
    fn default() -> Self {
        Self((0..USUAL).collect())
    }
}

impl SuiteSet {
    /// Those of a list that are supported, and the names that are not.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> (Self, Vec<&'a str>) {
        let (mut chosen, mut unknown) = (Vec::new(), Vec::new());
        for name in names {
            match SUITES.iter().position(|(known, _)| *known == name) {
                Some(index) => chosen.push(index),
                None => unknown.push(name),
            }
        }
        (Self(chosen), unknown)
    }

    /// Without those that no version of the protocol in `protocols` has.
    #[must_use]
    pub fn of_protocols(mut self, protocols: &[Protocol]) -> Self {
        let fits = |index: &usize| {
            SUITES
                .get(*index)
                .is_some_and(|(_, suite)| protocols.iter().any(|one| one.version() == suite.version()))
        };
        self.0.retain(fits);
        self
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn suites(&self) -> Vec<SupportedCipherSuite> {
        self.0.iter().filter_map(|index| SUITES.get(*index)).map(|(_, suite)| *suite).collect()
    }

    /// The names of all that are supported, for messages.
    #[must_use]
    pub fn known() -> String {
        SUITES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_jdk_and_what_is_not_known_is_told() {
        let (chosen, unknown) =
            SuiteSet::from_names(["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"]);
        assert_eq!(unknown, ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"]);
        assert_eq!(chosen.suites(), [cipher_suite::TLS13_AES_128_GCM_SHA256]);
        assert!(chosen.of_protocols(&[Protocol::V12]).is_empty());
        assert_eq!(SuiteSet::default().of_protocols(&[Protocol::V13]).suites().len(), 3);
        for (name, suite) in SUITES {
            let plain = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert_eq!(*name, plain);
        }
    }
}
