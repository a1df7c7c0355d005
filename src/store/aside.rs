//! Files that no start may read any more and that nobody has said may be deleted: they get another name, which
//! neither this server nor the reference takes for a snapshot or a log.

use std::path::Path;

use super::Directories;
use crate::disk::{Disk, DiskError};
use crate::{snapshot, txnlog};

/// Why files are set aside; the beginning of their new names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// They cannot be read.
    Damaged,
    /// A leader's snapshot took their place. Only those of the last time are kept.
    Replaced,
}

impl Aside {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Damaged => "damaged.",
            Self::Replaced => "replaced.",
        }
    }

    /// Whether a file was set aside for this reason.
    #[must_use]
    pub fn is_of(self, name: &str) -> bool {
        name.strip_prefix(self.prefix()).is_some_and(|name| is_snapshot(name) || is_log(name))
    }
}

fn is_snapshot(name: &str) -> bool {
    snapshot::format::parse_name(name).is_some()
}

fn is_log(name: &str) -> bool {
    txnlog::format::zxid_of(name).is_some()
}

/// Sets every snapshot and every log aside, durably; returns how many. Snapshots go first: logs alone are never
/// taken for a database, so that a crash in between leaves nothing that could be.
pub(super) fn set_all_aside(
    disk: &dyn Disk,
    directories: &Directories,
    why: Aside,
) -> Result<usize, DiskError> {
    let snapshots = set_aside(disk, &directories.snapshots, why, &is_snapshot)?;
    let logs = set_aside(disk, &directories.logs, why, &is_log)?;
    if logs > 0 {
        txnlog::remove_mark(disk, &directories.logs)?;
    }
    Ok(snapshots + logs)
}

/// Gives the files of a directory that are meant another name, durably. Those of an earlier time with that name go.
pub(super) fn set_aside(
    disk: &dyn Disk,
    directory: &Path,
    why: Aside,
    is_meant: &dyn Fn(&str) -> bool,
) -> Result<usize, DiskError> {
    let mut meant = disk.list(directory)?;
    meant.retain(|name| is_meant(name));
    meant.sort();
    for name in &meant {
        disk.rename(&directory.join(name), &directory.join(format!("{}{name}", why.prefix())))?;
    }
    if !meant.is_empty() {
        disk.sync_dir(directory)?;
    }
    Ok(meant.len())
}

/// Removes what a leader's snapshot has replaced.
///
/// # Errors
/// As the disk reports.
pub fn forget_replaced(disk: &dyn Disk, snapshots: &Path, logs: &Path) -> Result<(), DiskError> {
    forget(disk, snapshots, Aside::Replaced)?;
    forget(disk, logs, Aside::Replaced)
}

/// Removes what was set aside for this reason before.
fn forget(disk: &dyn Disk, directory: &Path, why: Aside) -> Result<(), DiskError> {
    let names = disk.list(directory)?;
    names.iter().filter(|name| why.is_of(name)).try_for_each(|name| disk.remove(&directory.join(name)))
}
