//! One member's directory: the files of a data directory and of a log directory, read and repaired by the
//! same code for the server, for `oxkeeper doctor` and for the simulator.
//!
//! - [`Directories`]: where the files are; checked, and locked where somebody is going to write.
//! - [`read`]: the newest snapshot that can be loaded and the log after it, as a tree. Changes nothing.
//! - [`recover`]: [`read`], then what a start changes on disk: leftovers go, a torn tail is cut, what was
//!   read becomes durable.
//! - [`receive`]: a snapshot that comes from a leader, as a tree and a file.
//! - [`Epochs`]: the epoch files of a member of an ensemble.
//! - [`recover_member`]: [`recover`] for a member, which may start with nothing where a server alone may not.
//! - [`truncate`], [`install`]: what a leader has a member do.
//! - [`remove_initialize`], [`remove_orphans`]: what only some roles may do afterwards.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod aside;
mod directories;
mod effects;
pub mod epochs;
mod error;
mod loading;
mod member;
mod receive;
mod recovery;

#[cfg(test)]
mod store_test;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;

pub use aside::{Aside, forget_replaced};
pub use directories::{Directories, is_extra};
pub use effects::{install, truncate};
pub use epochs::{Epoch, Epochs};
pub use error::StoreError;
pub use member::{Member, recover_member};
pub use receive::{Received, Receiving, receive};
pub use recovery::{Found, Health, Recovered, Step, read, recover, remove_initialize, remove_orphans};

use crate::snapshot::FIELD_BYTES_MAX;
use crate::tree::OwnerRules;

/// What decides how the files are read, and whether what they hold may be served.
#[derive(Clone, Debug)]
pub struct Options {
    /// `dataDir`; the snapshots are in its `version-2`.
    pub data_dir: PathBuf,
    /// `dataLogDir`; the logs are in its `version-2`.
    pub log_dir: PathBuf,
    /// Whether missing directories are created (`zookeeper.datadir.autocreate`).
    pub create_directories: bool,
    /// Whether a missing database is an empty one (`zookeeper.db.autocreate`).
    pub create_database: bool,
    /// Whether logs without any snapshot are taken for all of the history (`snapshot.trust.empty`).
    pub trust_empty_snapshot: bool,
    /// The longest transaction of a log and the longest field of a snapshot that are read, in bytes
    /// (`jute.maxbuffer` and `zookeeper.jute.maxbuffer.extrasize`).
    pub read_bytes_max: usize,
    /// How owners of nodes are read.
    pub rules: OwnerRules,
    /// Whether the tree is compared with the digests of the log (`zookeeper.digest.enabled`).
    pub check_digest: bool,
    /// Transactions that a member keeps for learners from its start (`commitLogCount`).
    pub tail_txns: usize,
}

impl Options {
    /// The reference's defaults for these directories, and the snapshots' own bound of lengths.
    #[must_use]
    pub const fn new(data_dir: PathBuf, log_dir: PathBuf) -> Self {
        Self {
            data_dir,
            log_dir,
            create_directories: true,
            create_database: true,
            trust_empty_snapshot: false,
            read_bytes_max: FIELD_BYTES_MAX,
            rules: OwnerRules { extended_types: false, emulate_353: false },
            check_digest: true,
            tail_txns: 500,
        }
    }
}
