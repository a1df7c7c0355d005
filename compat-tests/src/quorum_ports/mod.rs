//! The differential run of the quorum ports: a server of each kind starts on copies of one directory, scripted
//! peers say the same to both, and what the servers answer, and leave on disk, must be the same.
//!
//! A seed makes everything: the history on disk, the seat the server takes (leader, learner, voter), the
//! configuration and what the peers claim. The ensemble's ports are the same for both, one after the other, so that
//! nothing of what is said has to be replaced before it is compared, but for times.

pub mod directory;
pub mod following;
pub mod history;
pub mod leading;
pub mod run;
pub mod seat;
pub mod voting;

use std::time::Duration;

use crate::host::Host;

/// Who sits in the seat.
#[derive(Debug)]
pub enum Side {
    /// The reference, in the process that runs its members.
    Reference(Host),
    /// The server under judgement.
    Oxkeeper,
}

/// For what must come. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// After which nothing more is expected.
pub const QUIET: Duration = Duration::from_millis(60);
