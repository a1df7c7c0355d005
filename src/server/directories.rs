//! The data directories: there, writable, not mixed up, and ours alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ServerError;
use crate::config::Config;
use crate::disk::{DirectoryLock, Disk};
use crate::snapshot;
use crate::txnlog;

/// The directories of one server, locked while this lives.
pub(super) struct Directories {
    pub(super) snapshots: PathBuf,
    pub(super) logs: PathBuf,
    _locks: Vec<DirectoryLock>,
}

impl Directories {
    /// Makes sure of them (reference: `FileTxnSnapLog`).
    pub(super) fn open(disk: &Arc<dyn Disk>, config: &Config) -> Result<Self, ServerError> {
        let snapshots = config.data_dir.join("version-2");
        let logs = config.data_log_dir.join("version-2");
        for directory in [&snapshots, &logs] {
            match disk.list(directory) {
                Ok(_) => {}
                Err(error) if error.is_not_found() && config.datadir_autocreate => {
                    disk.create_dirs(directory)?
                }
                Err(error) if error.is_not_found() => {
                    return Err(ServerError::DataDirectory(format!(
                        "{}: the directory is missing and zookeeper.datadir.autocreate is false; create it, \
                         or correct dataDir or dataLogDir",
                        directory.display()
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut locks = vec![disk.lock(&snapshots)?];
        if logs != snapshots {
            locks.push(disk.lock(&logs)?);
            refuse_mixed(disk.as_ref(), &snapshots, &logs)?;
        }
        Ok(Self { snapshots, logs, _locks: locks })
    }
}

/// Two directories of which one holds files of the other: somebody has changed the configuration and
/// not moved the files, and starting would lose what is in them.
fn refuse_mixed(disk: &dyn Disk, snapshots: &Path, logs: &Path) -> Result<(), ServerError> {
    let misplaced = |directory: &Path, is_foreign: &dyn Fn(&str) -> bool, what: &str, key: &str| {
        let names = disk.list(directory)?;
        match names.iter().find(|name| is_foreign(name)) {
            None => Ok(()),
            Some(name) => Err(ServerError::DataDirectory(format!(
                "{}: {name} is a {what}, which belongs into {key}; move it there or make dataDir and \
                 dataLogDir the same",
                directory.display()
            ))),
        }
    };
    misplaced(logs, &|name| snapshot::format::parse_name(name).is_some(), "snapshot", "dataDir")?;
    misplaced(snapshots, &|name| txnlog::format::zxid_of(name).is_some(), "transaction log", "dataLogDir")
}
