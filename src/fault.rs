//! Deliberate faults of what clients see, for the comparison that must notice them.
//!
//! Only a build with the feature `faults` can switch one on, and no optimized build can have it: in every
//! other build [`is_on`] is the constant `false`, and nothing of them is compiled.

#[cfg(all(feature = "faults", not(debug_assertions)))]
compile_error!("the feature `faults` puts faults into the server: it is for debug builds only");

/// A fault. Its name in the environment variable `OXKEEPER_FAULT` switches it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A creation counts twice in the parent's cversion.
    WrongCversion,
    /// Nobody hears that a child was deleted.
    MissingEvent,
    /// What a change causes is told after the reply to it.
    EventAfterReply,
    /// The results of a failed multi do not say which error it was.
    WrongSubResult,
    /// A delete looks for children before it looks at the version.
    WrongPrecedence,
    /// The end of a session leaves its last ephemeral.
    EphemeralLeftBehind,
    /// Sequences are one ahead.
    SequenceOffByOne,
    /// A deletion does not show in the parent's pzxid.
    WrongPzxid,
    /// A node with a time to live is created without one.
    LostTtl,
    /// Whoever may write a node may delete its children.
    WrongAclCheck,
    /// A watch that fires once stays.
    WatchStays,
    /// A reconnecting client does not hear of changed children.
    NoCatchUp,
    /// A hard quota of nodes lets one more through.
    QuotaOverlooked,
    /// Sessions do not expire.
    NoExpiry,
    /// Until a multi that failed is applied, what its parts would have changed is believed.
    MultiNotTakenBack,
}

#[cfg(not(feature = "faults"))]
pub(crate) const fn is_on(_fault: Fault) -> bool {
    false
}

/// Whether the fault was chosen at the start.
#[cfg(feature = "faults")]
pub(crate) fn is_on(fault: Fault) -> bool {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("OXKEEPER_FAULT").ok());
    chosen.as_ref().is_some_and(|chosen| *chosen == format!("{fault:?}"))
}
