//! The `key` scheme, the reference's example of a provider that looks at the tree (reference:
//! `KeyAuthenticationProvider`): a multiple of the number in the node `/key` is the proof. While there is no
//! such node, every client passes, so that the first can write it.

use super::{Attempt, Identity, Outcome, Provider};

/// The node with the number.
const NODE: &str = "/key";

pub(super) struct Key;

impl Provider for Key {
    fn scheme(&self) -> &'static str {
        "key"
    }

    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome {
        // The reference follows the null, and takes what comes of it for a failure.
        let Some(credentials) = attempt.credentials else { return Outcome::Failed };
        match (attempt.data_of)(NODE) {
            Some(key) if !is_multiple(credentials, &key) => Outcome::Failed,
            // One identity for all who pass: the number itself is not part of it.
            _ => Outcome::Proven(vec![Identity { scheme: "key".into(), id: String::new() }]),
        }
    }
}

/// Whether both are numbers of 32 bits, and the first is a multiple of the second. Each is one of 0.
fn is_multiple(number: &[u8], key: &[u8]) -> bool {
    let parsed = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i32>().ok();
    match (parsed(number), parsed(key)) {
        (Some(number), Some(key)) => key == 0 || number.wrapping_rem(key) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(key: Option<&str>, credentials: Option<&str>) -> bool {
        let data_of = |path: &str| key.filter(|_| path == "/key").map(|key| key.as_bytes().to_vec());
        let credentials = credentials.map(str::as_bytes);
        let attempt = Attempt { peer: [127, 0, 0, 1].into(), certified: &[], credentials, data_of: &data_of };
        match Key.authenticate(&attempt) {
            Outcome::Proven(identities) => {
                assert_eq!(identities, [Identity { scheme: "key".into(), id: String::new() }]);
                true
            }
            outcome => {
                assert_eq!(outcome, Outcome::Failed);
                false
            }
        }
    }

    #[test]
    fn multiples_of_the_key_pass() {
        for (key, number) in [("25", "50"), ("25", "0"), ("-5", "25"), ("0", "7"), ("+5", "-10")] {
            assert!(passes(Some(key), Some(number)), "{number} of {key}");
        }
        for (key, number) in [("25", "26"), ("25", ""), ("", "25"), ("25", "x"), ("25", "2147483648")] {
            assert!(!passes(Some(key), Some(number)), "{number} of {key}");
        }
    }

    #[test]
    fn everybody_passes_before_there_is_a_key() {
        assert!(passes(None, Some("anything")));
        assert!(!passes(None, None), "null credentials");
    }

    /// The one quotient that does not fit its type.
    #[test]
    fn the_smallest_number_is_a_multiple_of_minus_one() {
        assert!(passes(Some("-1"), Some("-2147483648")));
    }
}
