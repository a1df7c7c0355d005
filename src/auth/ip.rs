//! The `ip` scheme: the address a client comes from (reference: `IPAuthenticationProvider`).

use super::{Attempt, Identity, Outcome, Provider};

/// Every client has this identity from the start; asking for it again changes nothing.
pub(super) struct Ip;

impl Provider for Ip {
    fn scheme(&self) -> &'static str {
        "ip"
    }

    fn authenticate(&self, attempt: &Attempt<'_>) -> Outcome {
        let id = crate::tree::ip::identity(attempt.peer);
        Outcome::Proven(vec![Identity { scheme: "ip".into(), id }])
    }
}
