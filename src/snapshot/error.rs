//! What can go wrong with a snapshot, in words for the operator.

use std::fmt;
use std::path::PathBuf;

use jute::Zxid;

use crate::disk::DiskError;

/// A snapshot that cannot be written or read.
#[derive(Debug)]
pub enum SnapshotError {
    /// The disk failed.
    Disk(DiskError),
    /// The content is not a whole snapshot.
    Damaged {
        /// The file, or what else it was read from.
        path: PathBuf,
        /// Where in the uncompressed content.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// The content is intact, but whoever was to take it did not.
    Refused {
        /// The file, or what else it was read from.
        path: PathBuf,
        /// Where in the uncompressed content.
        offset: u64,
        /// Why.
        reason: String,
    },
    /// Fewer snapshots to keep than the reference allows.
    KeepsTooFew {
        /// How many were to be kept.
        keep: usize,
    },
    /// No whole snapshot is old enough for the log to be cut back.
    NoneLeft {
        /// The directory.
        directory: PathBuf,
        /// The transaction to go back to.
        zxid: Zxid,
    },
}

impl SnapshotError {
    /// There was no space. What was begun is removed, and may be begun again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_full())
    }
}

impl From<DiskError> for SnapshotError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Damaged { path, offset, problem } => {
                write!(f, "{}: damaged snapshot at offset {offset}: {problem}", path.display())
            }
            Self::Refused { path, offset, reason } => {
                write!(f, "{}: snapshot not usable at offset {offset}: {reason}", path.display())
            }
            Self::KeepsTooFew { keep } => {
                write!(
                    f,
                    "asked to keep {keep} snapshots: at least 3 must stay, in case the newest is damaged"
                )
            }
            Self::NoneLeft { directory, zxid } => write!(
                f,
                "{}: every snapshot may hold more than transaction {zxid}; the state must come from the leader",
                directory.display()
            ),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            _ => None,
        }
    }
}
