//! For tests of other modules: recovery as the start of a server alone does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::{SessionId, Zxid};

use super::{Directories, Health, Options, StoreError, recover, remove_orphans};
use crate::disk::Disk;
use crate::tree::Tree;

/// A tree, its sessions, and the snapshot it began with.
pub(crate) type Started = (Tree, BTreeMap<SessionId, i32>, Option<Zxid>);

/// The options of the data directory `/data`, with the log in `/log` if that is there.
pub(crate) fn options(disk: &Arc<dyn Disk>) -> Options {
    let log_dir = if disk.list(Path::new("/log/version-2")).is_ok() { "/log" } else { "/data" };
    Options::new(PathBuf::from("/data"), PathBuf::from(log_dir))
}

/// Tree, sessions and the snapshot it began with, of the data directory `/data`.
pub(crate) fn start(disk: &Arc<dyn Disk>) -> Result<Started, StoreError> {
    let options = options(disk);
    let directories = Directories::open(disk, &options)?;
    let mut found = recover(disk, &directories, &options, &mut |_| {})?.found;
    assert_eq!(found.health, Health::Whole);
    remove_orphans(&mut found.tree, &found.sessions);
    Ok((found.tree, found.sessions, found.snapshot))
}
