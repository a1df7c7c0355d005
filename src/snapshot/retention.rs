//! Which snapshots and logs may go. Reference: `PurgeTxnLog`.
//!
//! The newest `keep` snapshots that look whole stay, and everything a start from the oldest of them
//! needs: all logs named at or above its zxid, and the newest log named at or below it, which may
//! hold the transactions right after it.

use std::path::{Path, PathBuf};

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};

use super::SnapshotError;
use super::find::{Candidate, candidates, snapshots};
use super::loader::{FIELD_BYTES_MAX, Visitor, load};
use crate::disk::Disk;
use crate::txnlog::format as log_format;

/// Fewer may not be kept.
pub const KEEP_MIN: usize = 3;

/// Removes what is not needed, and returns it. Does nothing when there is no whole snapshot.
///
/// Snapshots go first, and their removal is durable before a log goes: at no time is there a snapshot
/// without the log that completes it.
///
/// # Errors
/// [`SnapshotError::KeepsTooFew`], or as the disk reports.
pub fn purge(
    disk: &dyn Disk,
    snapshot_directory: &Path,
    log_directory: &Path,
    keep: usize,
) -> Result<Vec<PathBuf>, SnapshotError> {
    if keep < KEEP_MIN {
        return Err(SnapshotError::KeepsTooFew { keep });
    }
    let Some(oldest_kept) = candidates(disk, snapshot_directory, keep)?.last().map(|kept| kept.zxid) else {
        return Ok(Vec::new());
    };
    let old_snapshots = snapshots(disk, snapshot_directory)?
        .into_iter()
        .filter(|snapshot| snapshot.zxid < oldest_kept)
        .map(|snapshot| snapshot.path);
    let logs = disk.list(log_directory)?;
    let old_logs =
        unneeded_logs(logs.iter().filter_map(|name| log_format::zxid_of(name)).collect(), oldest_kept);
    let old_logs = old_logs.into_iter().map(|zxid| log_directory.join(log_format::file_name(zxid)));
    let mut removed = remove_all(disk, snapshot_directory, old_snapshots)?;
    removed.extend(remove_all(disk, log_directory, old_logs)?);
    Ok(removed)
}

/// Removes every snapshot that may hold more than `zxid`, durably: before the log is cut back to it
/// ([`Log::truncate`](crate::txnlog::Log::truncate)), so that no start loads what was cut. Newest first,
/// and each removal is durable before the next, so that what a crash leaves is still of one history.
///
/// The name is not enough: transactions go on while a snapshot is written, and it holds some of them.
///
/// # Errors
/// [`SnapshotError::NoneLeft`] when no whole snapshot is old enough; nothing was removed then, and the
/// state must come as a snapshot from the leader. Else as the disk reports.
pub fn discard_newer(disk: &dyn Disk, directory: &Path, zxid: Zxid) -> Result<Vec<PathBuf>, SnapshotError> {
    let old_enough = |snapshot: &Candidate| {
        snapshot.zxid <= zxid && last_held(disk, &snapshot.path).is_some_and(|last| last <= zxid)
    };
    // They were written one after the other, so those before this one are old enough too.
    let Some(kept) = candidates(disk, directory, usize::MAX)?.into_iter().find(old_enough) else {
        return Err(SnapshotError::NoneLeft { directory: directory.to_owned(), zxid });
    };
    let mut removed = Vec::new();
    let newer = snapshots(disk, directory)?.into_iter().rev().take_while(|snapshot| *snapshot != kept);
    for snapshot in newer {
        removed.extend(remove_all(disk, directory, std::iter::once(snapshot.path))?);
    }
    Ok(removed)
}

/// Removes every snapshot, durably, newest first.
///
/// # Errors
/// As the disk reports.
pub fn discard_all(disk: &dyn Disk, directory: &Path) -> Result<(), SnapshotError> {
    let all = snapshots(disk, directory)?.into_iter().rev();
    all.map(|snapshot| snapshot.path)
        .try_for_each(|path| remove_all(disk, directory, std::iter::once(path)).map(drop))
}

/// Whether a whole snapshot holds everything up to this transaction and nothing more.
///
/// # Errors
/// As the disk reports.
pub fn ends_with(disk: &dyn Disk, directory: &Path, zxid: Zxid) -> Result<bool, SnapshotError> {
    let mut named = candidates(disk, directory, usize::MAX)?.into_iter().filter(|found| found.zxid == zxid);
    Ok(named.any(|found| last_held(disk, &found.path) == Some(zxid)))
}

/// The last transaction a snapshot can hold; `None` if it is damaged or does not say.
fn last_held(disk: &dyn Disk, path: &Path) -> Option<Zxid> {
    let loaded = load(disk, path, FIELD_BYTES_MAX, &mut Unseen).ok()?;
    loaded.digest.map(|(zxid, ..)| zxid)
}

/// Looks at nothing.
struct Unseen;

impl Visitor for Unseen {
    fn session(&mut self, _id: SessionId, _timeout_ms: i32) -> Result<(), String> {
        Ok(())
    }

    fn acl(&mut self, _id: i64, _acl: Vec<Acl>) -> Result<(), String> {
        Ok(())
    }

    fn node(&mut self, _: &str, _: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        Ok(())
    }
}

/// Oldest first, so that what a crash leaves is still the newest part.
fn unneeded_logs(mut logs: Vec<Zxid>, oldest_kept: Zxid) -> Vec<Zxid> {
    logs.sort();
    let first_needed = logs.iter().rposition(|zxid| *zxid <= oldest_kept).unwrap_or(0);
    logs.truncate(first_needed);
    logs
}

fn remove_all(
    disk: &dyn Disk,
    directory: &Path,
    paths: impl Iterator<Item = PathBuf>,
) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut removed = Vec::new();
    for path in paths {
        match disk.remove(&path) {
            Ok(()) => removed.push(path),
            // Named with upper-case digits, or gone in the meantime: either way not ours to remove.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !removed.is_empty() {
        disk.sync_dir(directory)?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logs: &[i64], oldest_kept: i64, unneeded: &[i64]) {
        let logs = logs.iter().copied().map(Zxid).collect();
        let unneeded: Vec<_> = unneeded.iter().copied().map(Zxid).collect();
        assert_eq!(unneeded_logs(logs, Zxid(oldest_kept)), unneeded);
    }

    #[test]
    fn the_log_that_begins_at_or_before_the_oldest_kept_snapshot_stays() {
        check(&[1, 50, 100], 60, &[1]);
        check(&[1, 50, 100], 50, &[1]);
        check(&[100, 50, 1], 100, &[1, 50]);
        check(&[1, 50, 100], 500, &[1, 50]);
    }

    #[test]
    fn nothing_goes_when_every_log_is_newer() {
        check(&[10, 20], 5, &[]);
        check(&[], 5, &[]);
    }
}
