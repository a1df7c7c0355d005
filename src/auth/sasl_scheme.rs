//! The `sasl` scheme, for requests that bring credentials (reference: `SASLAuthenticationProvider`).

use super::{Attempt, Outcome, Provider};

/// Its ids are proven by an exchange of its own ([`super::sasl`]); credentials prove nothing.
pub(super) struct Sasl;

impl Provider for Sasl {
    fn scheme(&self) -> &'static str {
        "sasl"
    }

    fn authenticate(&self, _: &Attempt<'_>) -> Outcome {
        Outcome::Failed
    }
}
