//! The differential run of the quorum ports: a server of each kind starts on copies of one directory, scripted
//! peers say the same to both, and what the servers answer, and leave on disk, must be the same.
//!
//! A seed makes everything: the history on disk, the seat the server takes (leader, learner, voter), the
//! configuration and what the peers claim. Ports and times are all that is replaced before what was said is compared.

pub mod directory;
pub mod excuses;
pub mod following;
pub mod history;
pub mod leading;
pub mod run;
pub mod seat;
pub mod voting;

use std::fmt;
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

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference(_) => "the reference",
            Self::Oxkeeper => "Oxkeeper",
        })
    }
}

/// For what must come. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// After which nothing more is expected.
pub const QUIET: Duration = Duration::from_millis(120);
