//! Which snapshots and logs may go. Reference: `PurgeTxnLog`.
//!
//! The newest `keep` snapshots that look whole stay, and everything a start from the oldest of them
//! needs: all logs named at or above its zxid, and the newest log named at or below it, which may
//! hold the transactions right after it.

use std::path::{Path, PathBuf};

use jute::Zxid;

use super::SnapshotError;
use super::find::{candidates, snapshots};
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
