//! What a leader may have a member do to its snapshots and its log, in the order that any crash survives.

use std::path::Path;
use std::sync::Arc;

use jute::Zxid;

use super::aside::{self, Aside};
use super::{Directories, StoreError};
use crate::disk::{Disk, DiskError};
use crate::snapshot::{self, SnapshotError, retention};
use crate::txnlog::{self, Log, LogError};

/// Gives up everything after `to`: snapshots that may hold more go first, then the log is cut. False when the log
/// does not contain `to`, and no snapshot ends there either: then nothing was changed, and a snapshot must come
/// from the leader.
///
/// # Errors
/// As the disk reports, which is final; the log may be cut or not.
pub fn truncate(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    log: &mut Log,
    to: Zxid,
) -> Result<bool, StoreError> {
    log.roll()?;
    let is_logged = txnlog::holds(disk, &directories.logs, to)?;
    if !is_logged && !retention::ends_with(disk.as_ref(), &directories.snapshots, to)? {
        return Ok(false);
    }
    match retention::discard_newer(disk.as_ref(), &directories.snapshots, to) {
        Ok(_) => {}
        Err(SnapshotError::NoneLeft { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    if is_logged {
        log.truncate(to)?
    } else {
        log.continue_after(to)?
    }
    Ok(true)
}

/// Lets a snapshot that a leader sent, and [`receive`](super::receive) keeps in `file`, take the place of everything
/// that is here. The log goes on after it.
///
/// Interrupted anywhere, the next start finds what was there before, possibly cut back to a transaction that it
/// had, or the new snapshot. What was there before keeps no name that counts: it may be of another history, and
/// the log would have a gap that nobody sees.
///
/// # Errors
/// As the disk reports, which is final.
pub fn install(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    log: &mut Log,
    zxid: Zxid,
    file: &Path,
) -> Result<(), StoreError> {
    // To find out what a snapshot holds, it has to be read: not where nothing here can be newer.
    if log.last_zxid() > zxid {
        match retention::discard_newer(disk.as_ref(), &directories.snapshots, zxid) {
            // Nothing here is old enough: should the power fail before the end, the logs that are left are no
            // database, and a start fetches everything from the leader.
            Err(SnapshotError::NoneLeft { .. }) => {
                retention::discard_all(disk.as_ref(), &directories.snapshots)?;
            }
            other => drop(other?),
        }
    }
    log.continue_after(zxid)?;
    snapshot::name_received(disk.as_ref(), file)?;
    retire(disk, directories, zxid)?;
    Ok(())
}

/// Sets aside what is older than a leader's snapshot. What was set aside the last time goes.
fn retire(disk: &Arc<dyn Disk>, directories: &Directories, zxid: Zxid) -> Result<(), DiskError> {
    let disk = disk.as_ref();
    aside::forget_replaced(disk, &directories.snapshots, &directories.logs)?;
    let is_old = |name: &str| snapshot::format::parse_name(name).is_some_and(|(of_name, _)| of_name < zxid);
    aside::set_aside(disk, &directories.snapshots, Aside::Replaced, &is_old)?;
    let is_old = |name: &str| txnlog::format::zxid_of(name).is_some_and(|first| first <= zxid);
    aside::set_aside(disk, &directories.logs, Aside::Replaced, &is_old)?;
    Ok(())
}

/// Whether the log that lies before the snapshot that was loaded leads up to it. If a crash kept a leader's snapshot
/// from setting aside what it replaced, that is done now.
///
/// # Errors
/// As the disk reports.
pub(super) fn settle(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    loaded: Zxid,
) -> Result<bool, StoreError> {
    let names = disk.list(&directories.logs)?;
    if !names.iter().filter_map(|name| txnlog::format::zxid_of(name)).any(|first| first <= loaded) {
        return Ok(false);
    }
    let before = Zxid(loaded.0.saturating_sub(1));
    let mut entries =
        txnlog::Entries::open(Arc::clone(disk), &directories.logs, before, txnlog::Gaps::Allow)?;
    let is_replaced = match entries.next_frame()? {
        Some(frame) if frame.zxid == loaded => return Ok(true),
        // The reference goes on in the file it has.
        Some(frame) => {
            let name = frame.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            txnlog::format::zxid_of(name).is_some_and(|first| first > loaded)
        }
        None => true,
    };
    if is_replaced {
        retire(disk, directories, loaded)?;
    }
    Ok(false)
}

/// The newest transactions of the log after `after`, as it holds them, up to so many and so many bytes.
///
/// # Errors
/// As reading the log.
pub(super) fn tail(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    after: Zxid,
    last: Zxid,
    txns_max: usize,
) -> Result<Vec<(Zxid, Vec<u8>)>, LogError> {
    let mut tail = std::collections::VecDeque::new();
    let mut bytes = 0;
    let mut files: Vec<_> =
        disk.list(&directories.logs)?.iter().filter_map(|name| txnlog::format::zxid_of(name)).collect();
    files.sort();
    // Two files are enough for a start, or that part of the epoch.
    let begin = files.iter().rev().nth(1).map_or(Zxid::ZERO, |first| Zxid(first.0.saturating_sub(1)));
    let near = match u32::try_from(txns_max) {
        Ok(txns) if last.counter() > txns => Zxid(last.0 - i64::from(txns)),
        _ => Zxid::ZERO,
    };
    let after = after.max(begin).max(near);
    let mut entries = txnlog::Entries::open(Arc::clone(disk), &directories.logs, after, txnlog::Gaps::Allow)?;
    let mut previous: Option<Zxid> = None;
    while let Some(frame) = entries.next_frame()? {
        if previous.is_some_and(|previous| !txnlog::format::follows(previous, frame.zxid)) {
            (tail, bytes) = Default::default();
        }
        previous = Some(frame.zxid);
        bytes += frame.payload.len();
        tail.push_back((frame.zxid, frame.payload.to_vec()));
        while tail.len() > txns_max || bytes > TAIL_BYTES {
            let Some((_, payload)) = tail.pop_front() else { break };
            bytes -= payload.len();
        }
    }
    // A snapshot may be newer than what is left of the log.
    let is_whole = tail.back().is_some_and(|(zxid, _)| *zxid == last);
    Ok(if is_whole { tail.into() } else { Vec::new() })
}

/// Bytes of transactions that a member keeps for learners from its start.
const TAIL_BYTES: usize = 32 << 20;
