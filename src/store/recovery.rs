//! From what is on disk to a tree and its sessions (reference: `FileTxnSnapLog.restore`,
//! `ZooKeeperServer.loadData`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::{SessionId, Zxid};

use super::loading::Loading;
use super::{Directories, Epoch, Epochs, Options, StoreError};
use crate::disk::Disk;
use crate::snapshot::{self, CANDIDATES_MAX, Candidate, SnapshotError};
use crate::tree::{Tree, digest};
use crate::txnlog::{self, Gaps, Progress, ReplayOptions, Replayed};

/// What is told while a directory is read, as it happens.
#[derive(Debug)]
pub enum Step<'a> {
    /// A snapshot is about to be loaded.
    Loading(&'a Path),
    /// It cannot be loaded; an older one is tried next.
    PassedOver(&'a SnapshotError),
    /// What the log continues: the snapshot with its zxid, or an empty database, and its number of nodes.
    Loaded(Option<(&'a Path, Zxid)>, usize),
    /// How far the replay has got.
    Replaying(Progress),
    /// After this transaction the tree differs from the digest that was written for it.
    DigestDiffers(Zxid),
}

/// Whether what was found may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// A whole database, or an empty one of which somebody has said that this is right.
    Whole,
    /// No database, and nothing says that this is right. A server alone must not serve it; a member of an
    /// ensemble may count on nothing (zxid -1 of the protocol) and fetches a database from the leader.
    Empty,
}

/// What a directory holds.
pub struct Found {
    /// The tree.
    pub tree: Tree,
    /// Sessions with their timeouts in milliseconds.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The snapshot it began with, if there was one.
    pub snapshot: Option<Zxid>,
    /// Whether it may be served.
    pub health: Health,
    /// The file `initialize` is there.
    pub is_marked_empty: bool,
    /// How the log ended.
    pub log: Replayed,
    /// The snapshot it began with.
    loaded: Option<PathBuf>,
}

/// What a start goes on with.
pub struct Recovered {
    /// What was found.
    pub found: Found,
    /// A newest log file without a single record, which was removed.
    pub removed: Option<PathBuf>,
}

/// Loads the newest snapshot that can be loaded and replays the log after it. Changes nothing.
///
/// # Errors
/// Why no server may start with the directory.
pub fn read(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &Options,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Found, StoreError> {
    let is_marked_empty = match disk.open_read(&directories.initialize()) {
        Ok(_) => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(error.into()),
    };
    let loaded = newest_snapshot(disk, directories, options, tell)?;
    let has_log = disk.list(&directories.logs)?.iter().any(|name| txnlog::format::zxid_of(name).is_some());
    if loaded.is_none() && has_log && !options.trust_empty_snapshot {
        return Err(StoreError::LogWithoutSnapshot { logs: directories.logs.clone() });
    }
    let may_be_empty = has_log || is_marked_empty || options.create_database;
    let health = if loaded.is_some() || may_be_empty { Health::Whole } else { Health::Empty };
    let (mut loading, candidate) = match loaded {
        Some((loading, candidate)) => (loading, Some(candidate)),
        None => (Loading::new(Tree::new(options.rules)), None),
    };
    let named = candidate.as_ref().map(|candidate| (&*candidate.path, candidate.zxid));
    tell(Step::Loaded(named, loading.tree.node_count()));
    let after = loading.tree.last_zxid();
    let log = {
        let (loading, tell) = (&mut loading, std::cell::RefCell::new(tell));
        let mut apply = |entry: jute::txn::TxnEntry| {
            let zxid = entry.header.zxid;
            if !loading.replay(entry) && options.check_digest {
                (tell.borrow_mut())(Step::DigestDiffers(zxid));
            }
        };
        let mut on_progress = |progress| (tell.borrow_mut())(Step::Replaying(progress));
        let replay = ReplayOptions {
            payload_bytes_max: options.read_bytes_max,
            accepted_epoch: accepted_epoch(disk.as_ref(), &directories.snapshots),
            ..ReplayOptions::new(Gaps::Refuse)
        };
        txnlog::replay(disk, &directories.logs, after, replay, &mut apply, &mut on_progress)?
    };
    let Loading { tree, sessions, .. } = loading;
    let (snapshot, loaded) = (candidate.as_ref().map(|found| found.zxid), candidate.map(|found| found.path));
    Ok(Found { tree, sessions, snapshot, health, is_marked_empty, log, loaded })
}

/// Reads a directory, then leaves it so that the next start reads the same: leftovers of snapshots go, what
/// was read becomes durable, a torn tail is cut off. All of it may be done again after a crash.
///
/// # Errors
/// As [`read`], with nothing changed; or as the disk reports.
pub fn recover(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &Options,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Recovered, StoreError> {
    let found = read(disk, directories, options, tell)?;
    snapshot::discard_unfinished(disk.as_ref(), &directories.snapshots)?;
    // What the log goes on from must not vanish: an earlier process may have died before it synced the
    // name, and the reference syncs neither name nor content.
    if let Some(path) = &found.loaded {
        disk.open_read(path)?.sync()?;
        disk.sync_dir(&directories.snapshots)?;
    }
    let removed = txnlog::repair(disk.as_ref(), &directories.logs, &found.log)?;
    Ok(Recovered { found, removed })
}

/// Removes the file `initialize`, durably: the database is there now. To be called once the first snapshot
/// is durable, so that a crash in between needs no human.
///
/// # Errors
/// As the disk reports.
pub fn remove_initialize(disk: &dyn Disk, directories: &Directories) -> Result<(), StoreError> {
    match disk.remove(&directories.initialize()) {
        Ok(()) => Ok(disk.sync_dir(directories.data_dir())?),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the ephemerals of sessions that do not exist, and returns those sessions. Only a leader or a
/// server alone may do so: it is a change of the tree that is in no log (reference:
/// `ZooKeeperServer.loadData`).
pub fn remove_orphans(tree: &mut Tree, sessions: &BTreeMap<SessionId, i32>) -> Vec<SessionId> {
    let orphans: Vec<_> = tree
        .ephemerals()
        .map(|(session, _)| session)
        .filter(|session| !sessions.contains_key(session))
        .collect();
    orphans.iter().for_each(|session| tree.kill_session(*session));
    orphans
}

/// The number in the file `acceptedEpoch`; 0 where there is none, or it cannot be read or understood.
fn accepted_epoch(disk: &dyn Disk, directory: &Path) -> i64 {
    match Epochs::read(disk, directory) {
        Ok(Epochs { accepted: Epoch::Is(epoch), .. }) => epoch,
        _ => 0,
    }
}

/// Tries snapshots, newest first. `None` when there is none at all.
fn newest_snapshot(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &Options,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Option<(Loading, Candidate)>, StoreError> {
    let mut last_error = None;
    for candidate in snapshot::candidates(disk.as_ref(), &directories.snapshots, CANDIDATES_MAX)? {
        tell(Step::Loading(&candidate.path));
        match load(disk, &candidate, options) {
            Ok(loading) => return Ok(Some((loading, candidate))),
            Err(error) => {
                tell(Step::PassedOver(&error));
                last_error = Some(error);
            }
        }
    }
    last_error.map_or(Ok(None), |error| Err(StoreError::NoWholeSnapshot(error)))
}

fn load(disk: &Arc<dyn Disk>, candidate: &Candidate, options: &Options) -> Result<Loading, SnapshotError> {
    let mut loading = Loading::new(Tree::for_loading(options.rules));
    let loaded = snapshot::load(disk.as_ref(), &candidate.path, options.read_bytes_max, &mut loading)?;
    let damaged = |problem| SnapshotError::Damaged { path: candidate.path.clone(), offset: 0, problem };
    loading.tree.finish_loading(candidate.zxid).map_err(damaged)?;
    loading.expected_digest = loaded
        .digest
        .filter(|(zxid, version, _)| *version == digest::VERSION && *zxid >= candidate.zxid && zxid.0 > 0)
        .map(|(zxid, _, digest)| (zxid, digest.cast_unsigned()));
    Ok(loading)
}
