//! Passwords, keys and the like: a value that no log line, error or core message shows.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that must not be shown. It prints as `***`, is wiped when it goes, and is compared in a time that tells
/// nothing about where a difference is.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. The caller keeps no copy.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for whoever has to use them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether these are the bytes. The time this takes depends on the lengths alone.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.expose())
    }
}

impl Eq for Secret {}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_and_is_compared_by_its_bytes() {
        let secret = Secret::from("canary");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert!(secret.is(b"canary") && !secret.is(b"canarz") && !secret.is(b"canar"));
        assert_eq!(secret, Secret::new(*b"canary"));
        assert_eq!(secret.expose(), b"canary");
    }

    #[test]
    fn a_panic_with_a_secret_in_it_tells_nothing() {
        let secret = || Secret::from("canary");
        let panics: [fn(Secret); 3] = [
            |secret| Some(secret).map_or(Ok(()), Err).expect("a panic"),
            |secret| assert_eq!(secret, Secret::from("else")),
            |secret| panic!("{secret} {secret:#?}"),
        ];
        for panics in panics {
            let payload = std::panic::catch_unwind(|| panics(secret())).unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert!(message.contains("***") && !message.contains("canary"), "{message}");
        }
    }
}
