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
