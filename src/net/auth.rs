//! How a client proves who it is: the `digest` and `ip` schemes (reference: `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider`, `AuthenticationHelper`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use crate::runtime::Client;
use crate::runtime::client::IDENTITY_BYTES_MAX;
use crate::tree::Identity;

/// Settings of authentication.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// Whether the `digest` scheme exists.
    pub digest_enabled: bool,
    /// Its hash, by Java's name.
    pub digest_algorithm: DigestAlgorithm,
    /// The digest that makes a client the superuser.
    pub super_digest: Option<String>,
    /// When set, requests of clients with none of these schemes are refused.
    pub required_schemes: Option<Vec<String>>,
}

/// Hashes that `DigestAuthenticationProvider.digestAlg` may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// The default.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// The algorithm with this Java name.
    #[must_use]
    pub fn from_java_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => Self::Sha1,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            _ => return None,
        })
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }
}

/// `user:BASE64(hash("user:password"))`.
#[must_use]
pub fn digest_identity(credentials: &str, algorithm: DigestAlgorithm) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(algorithm.hash(credentials.as_bytes())))
}

impl AuthOptions {
    /// Adds what the credentials prove to the client's identities; false when they prove nothing. The
    /// scheme `ip` does not look at them.
    pub(super) fn authenticate(&self, client: &Client, scheme: &str, credentials: Option<&[u8]>) -> bool {
        match scheme {
            "digest" if self.digest_enabled => {
                let Some(credentials) = credentials else { return false };
                let id = digest_identity(&String::from_utf8_lossy(credentials), self.digest_algorithm);
                let is_super = self.super_digest.as_deref().is_some_and(|expected| same(expected, &id));
                (!is_super || add(client, "super", String::new())) && add(client, "digest", id)
            }
            "ip" => add(client, "ip", crate::tree::ip::identity(client.peer.ip())),
            _ => false,
        }
    }

    /// Whether the client has one of the schemes that are required, if any are.
    pub(super) fn is_satisfied(&self, client: &Client) -> bool {
        let Some(required) = &self.required_schemes else { return true };
        client.identities().iter().any(|identity| required.contains(&identity.scheme))
    }
}

fn add(client: &Client, scheme: &str, id: String) -> bool {
    let added = client.add_identity(Identity { scheme: scheme.into(), id });
    if !added {
        tracing::warn!(peer = %client.peer, "a connection may have {IDENTITY_BYTES_MAX} bytes of identities, and no more");
    }
    added
}

/// Compares without stopping at the first difference, so that time tells nothing about the secret.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_the_reference_derives() {
        // The example of the reference's documentation.
        assert_eq!(
            digest_identity("super:test", DigestAlgorithm::Sha1),
            "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
        );
    }

    #[test]
    fn a_connection_proves_so_many_identities_and_no_more() {
        let options = AuthOptions {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            required_schemes: None,
        };
        let client = Client::new(1, "127.0.0.1:1".parse().unwrap(), 0);
        let credentials = |n: usize| format!("{n}{}:password", "u".repeat(100_000));
        let proven =
            (0..20).take_while(|n| options.authenticate(&client, "digest", Some(credentials(*n).as_bytes())));
        assert_eq!(proven.count(), IDENTITY_BYTES_MAX / 100_000);
        assert!(
            options.authenticate(&client, "digest", Some(credentials(0).as_bytes())),
            "one it has already"
        );
    }
}
