//! Deliberate faults of the storage, for the tests that must notice them. Only test builds can switch
//! one on: everywhere else [`is_on`] is the constant `false`, and nothing of them is compiled.

/// A fault in the program. Faults that are a forgotten call are in the simulated disk instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Recovery passes over missing transactions.
    ReplayPastGap,
    /// Recovery leaves what it read as durable as it was.
    RecoveredStaysUnsynced,
    /// The snapshot a start begins with is left as durable as it was.
    LoadedStaysUnsynced,
    /// A bad record ends the log, whatever follows, as in the reference.
    DamageIsTheEnd,
    /// A batch of which sectors are missing counts as damage, and the server does not start.
    HolesAreDamage,
    /// Records are taken without a look at their checksum.
    IgnoreChecksums,
    /// The log counts as synced when it is stored.
    SyncIsStore,
    /// A truncation looks at the names of snapshots only, and not at what came while they were written.
    DiscardByName,
    /// Old logs go although an old snapshot needs them.
    PurgeTooMuch,
}

#[cfg(not(test))]
pub(crate) const fn is_on(_mutant: Mutant) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{is_on, with};

#[cfg(test)]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Runs something on this thread with the fault, if there is one.
    pub(crate) fn with<T>(mutant: Option<Mutant>, run: impl FnOnce() -> T) -> T {
        ON.set(mutant);
        let result = run();
        ON.set(None);
        result
    }
}
