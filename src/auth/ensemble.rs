//! The `ensemble` scheme: a client names the ensemble it means, and a server of another one sends it on (reference:
//! `EnsembleAuthenticationProvider`). It proves nothing about the client, and no access control list can name it.

use super::{Attempt, Outcome, Provider};

/// What comes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCheck {
    /// It is one of ours.
    Matches,
    /// The client gave none, or this server has none.
    Skipped,
    /// The client means another ensemble.
    Differs,
}

pub(super) struct Ensemble {
    pub(super) names: Option<Vec<String>>,
}

impl Provider for Ensemble {
    fn scheme(&self) -> &'static str {
        "ensemble"
    }

    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome {
        let given = attempt.credentials.unwrap_or_default();
        Outcome::Ensemble(match &self.names {
            Some(names) if !given.is_empty() => {
                if names.iter().any(|name| name.as_bytes() == given) {
                    NameCheck::Matches
                } else {
                    NameCheck::Differs
                }
            }
            _ => NameCheck::Skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_name_is_sent_on() {
        let check = |names: Option<&[&str]>, credentials: Option<&[u8]>| {
            let names = names.map(|names| names.iter().map(|name| (*name).into()).collect());
            let attempt =
                Attempt { peer: [127, 0, 0, 1].into(), certified: &[], credentials, data_of: &|_| None };
            Ensemble { names }.authenticate(&attempt)
        };
        let ours: Option<&[&str]> = Some(&["east", "west"]);
        assert_eq!(check(ours, Some(b"west")), Outcome::Ensemble(NameCheck::Matches));
        assert_eq!(check(ours, Some(b"north")), Outcome::Ensemble(NameCheck::Differs));
        assert_eq!(check(ours, Some(b"")), Outcome::Ensemble(NameCheck::Skipped));
        assert_eq!(check(ours, None), Outcome::Ensemble(NameCheck::Skipped));
        assert_eq!(check(None, Some(b"north")), Outcome::Ensemble(NameCheck::Skipped));
    }
}
