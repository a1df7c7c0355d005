//! Why a member's directory cannot be used.

use std::path::PathBuf;

use crate::disk::DiskError;
use crate::snapshot::SnapshotError;
use crate::txnlog::LogError;

/// A directory that no server may start with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A directory is missing, or holds what belongs into the other one.
    #[error("{0}")]
    Directory(String),
    /// The disk failed.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// The snapshots cannot be looked at.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// There are snapshots, and none can be loaded; the error is that of the oldest one that was tried.
    #[error(
        "{0}. No snapshot can be loaded. Restore one from a copy; or, on a member of an ensemble, move the data \
         and log directories away and let the server fetch its state from the leader"
    )]
    NoWholeSnapshot(SnapshotError),
    /// The log cannot be replayed.
    #[error("{0}")]
    Log(#[from] LogError),
    /// Logs without the snapshot that they continue.
    #[error(
        "{}: there are transaction logs but no valid snapshot, so something is broken. If this directory was \
         written by 3.4 and never had a snapshot, start once with snapshot.trust.empty=true; otherwise restore \
         the snapshots that belong to these logs",
        logs.display()
    )]
    LogWithoutSnapshot {
        /// The directory of the logs.
        logs: PathBuf,
    },
    /// An epoch file of a member cannot be right.
    #[error(
        "{}: {problem}. Restore the file from a copy of this directory; or, if the other members are whole, move \
         the data and log directories away and let the server fetch its state from the leader", path.display()
    )]
    Epoch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No database, and nothing says that this is right.
    #[error(
        "{}: there is no database, and zookeeper.db.autocreate is false; create the file {} to start with an \
         empty one",
        snapshots.display(), initialize.display()
    )]
    NoDatabase {
        /// The directory of the snapshots.
        snapshots: PathBuf,
        /// The file that says that an empty database is right.
        initialize: PathBuf,
    },
}

impl StoreError {
    /// Whether what was stored is damaged or missing, and not merely out of reach: a member may then set it aside
    /// and fetch everything from its leader.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::NoWholeSnapshot(error) => matches!(error, SnapshotError::Damaged { .. }),
            Self::LogWithoutSnapshot { .. } => true,
            Self::Log(error) => matches!(
                error,
                LogError::Corrupt { .. }
                    | LogError::Gap { .. }
                    | LogError::Lost { .. }
                    | LogError::NotALog { .. }
            ),
            _ => false,
        }
    }
}
