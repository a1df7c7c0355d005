//! The data directories: there, writable, not mixed up, and ours alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Options, StoreError};
use crate::disk::real::LOCK_NAME;
use crate::disk::{DirectoryLock, Disk};
use crate::snapshot;
use crate::txnlog;

/// The file beside `version-2` that says that an empty database is right.
const INITIALIZE: &str = "initialize";

/// Whether a file beside the database is none of its: lock, mark and prepared log file, which the reference
/// does not have.
#[must_use]
pub fn is_extra(name: &str) -> bool {
    [LOCK_NAME, txnlog::MARK_NAME, txnlog::SPARE_NAME].contains(&name)
}

/// The directories of one server.
pub struct Directories {
    /// `version-2` of `dataDir`.
    pub snapshots: PathBuf,
    /// `version-2` of `dataLogDir`.
    pub logs: PathBuf,
    data_dir: PathBuf,
    /// Held while this lives; empty for who only reads.
    _locks: Vec<DirectoryLock>,
}

impl Directories {
    /// Creates missing directories if that is allowed, locks them, and checks what they hold (reference:
    /// `FileTxnSnapLog`).
    ///
    /// # Errors
    /// A directory is missing, in use by another process, or holds files of the other one; or as the disk
    /// reports.
    pub fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Self, StoreError> {
        let mut directories = Self::named(options);
        for directory in [&directories.snapshots, &directories.logs] {
            match disk.list(directory) {
                Ok(_) => {}
                Err(error) if error.is_not_found() && options.create_directories => {
                    disk.create_dirs(directory)?;
                }
                Err(error) if error.is_not_found() => {
                    return Err(StoreError::Directory(format!(
                        "{}: the directory is missing and zookeeper.datadir.autocreate is false; create it, \
                         or correct dataDir or dataLogDir",
                        directory.display()
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        directories._locks = vec![disk.lock(&directories.snapshots)?];
        if directories.are_two() {
            directories._locks.push(disk.lock(&directories.logs)?);
        }
        directories.refuse_mixed(disk.as_ref())?;
        Ok(directories)
    }

    /// The same directories for who only reads: nothing is created, locked or checked.
    #[must_use]
    pub fn named(options: &Options) -> Self {
        Self {
            snapshots: options.data_dir.join("version-2"),
            logs: options.log_dir.join("version-2"),
            data_dir: options.data_dir.clone(),
            _locks: Vec::new(),
        }
    }

    /// Whether logs and snapshots have a directory each.
    #[must_use]
    pub fn are_two(&self) -> bool {
        self.logs != self.snapshots
    }

    /// The file that says that an empty database is right (reference: `FileTxnSnapLog.restore`).
    #[must_use]
    pub fn initialize(&self) -> PathBuf {
        self.data_dir.join(INITIALIZE)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Refuses two directories of which one holds files of the other: somebody has changed the
    /// configuration and not moved the files, and a start would lose what is in them.
    ///
    /// # Errors
    /// [`StoreError::Directory`], or as the disk reports.
    pub fn refuse_mixed(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let misplaced = |directory: &Path, is_foreign: &dyn Fn(&str) -> bool, what: &str, key: &str| {
            let names = disk.list(directory)?;
            match names.iter().find(|name| is_foreign(name)) {
                None => Ok(()),
                Some(name) => Err(StoreError::Directory(format!(
                    "{}: {name} is a {what}, which belongs into {key}; move it there or make dataDir and \
                     dataLogDir the same",
                    directory.display()
                ))),
            }
        };
        if !self.are_two() {
            return Ok(());
        }
        let is_snapshot = |name: &str| snapshot::format::parse_name(name).is_some();
        misplaced(&self.logs, &is_snapshot, "snapshot", "dataDir")?;
        let is_log = |name: &str| txnlog::format::zxid_of(name).is_some();
        misplaced(&self.snapshots, &is_log, "transaction log", "dataLogDir")
    }
}
