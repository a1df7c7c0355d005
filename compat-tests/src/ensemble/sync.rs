//! Which kind of synchronization a member took from its leader, as its log tells.

use crate::server::Kind;

/// How a learner is brought to its leader's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It got the transactions it lacked.
    Diff,
    /// It cut off what its leader does not have.
    Trunc,
    /// It got a whole tree.
    Snap,
}

/// What each kind of server says, in the order of the log.
pub(super) fn taken(kind: Kind, log: &str) -> Vec<Sync> {
    let words: [(Sync, &str); 3] = match kind {
        Kind::Apache(_) => [
            (Sync::Diff, "Getting a diff from the leader"),
            (Sync::Trunc, "Truncating log to get in sync with the leader"),
            (Sync::Snap, "Getting a snapshot from leader"),
        ],
        Kind::Oxkeeper => {
            [(Sync::Diff, "sync: DIFF"), (Sync::Trunc, "sync: TRUNC"), (Sync::Snap, "sync: SNAP")]
        }
    };
    let found = log.lines().filter_map(|line| words.iter().find(|(_, words)| line.contains(words)));
    found.map(|(sync, _)| *sync).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::REFERENCE;

    #[test]
    fn the_reference_tells_which_sync_it_took() {
        let log = "a\n12:00 WARN Truncating log to get in sync with the leader 0x1\n\
                   12:00 INFO Getting a diff from the leader 0x1";
        assert_eq!(taken(Kind::Apache(REFERENCE), log), [Sync::Trunc, Sync::Diff]);
    }
}
