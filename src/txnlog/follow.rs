//! What a learner lacks, from the log on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Zxid;

use super::reader::log_files;
use super::{Entries, Gaps, LogError};
use crate::disk::Disk;

/// The records after `after`, if the log shows that they follow it: it holds `after`, or the record that follows
/// it in the same epoch, in which a number is given once.
///
/// # Errors
/// Why it does not show that, for the log.
pub fn entries_after(disk: &Arc<dyn Disk>, logs: &Path, after: Zxid) -> Result<Entries, String> {
    let from = |zxid| Entries::open(Arc::clone(disk), logs, zxid, Gaps::Refuse);
    if after > Zxid::ZERO
        && let Ok(mut entries) = from(Zxid(after.0 - 1))
        && entries.next_frame().is_ok_and(|first| first.is_some_and(|first| first.zxid == after))
    {
        return Ok(entries);
    }
    let text = |error: LogError| error.to_string();
    let first = from(after).map_err(text)?.next_frame().map_err(text)?.map(|first| first.zxid);
    match first {
        Some(first) if first.0 - 1 == after.0 && first.epoch() == after.epoch() => from(after).map_err(text),
        Some(first) => {
            Err(format!("it does not hold 0x{after:x}, which the learner has; it goes on at 0x{first:x}"))
        }
        None => Err(format!("it holds nothing after 0x{after:x}, which the learner has")),
    }
}

/// The files that hold what comes after `after`, oldest first.
///
/// # Errors
/// As the disk reports.
pub fn files_after(disk: &dyn Disk, logs: &Path, after: Zxid) -> Result<Vec<PathBuf>, LogError> {
    let mut files = log_files(disk, logs)?;
    let first = files.iter().rposition(|(zxid, _)| *zxid <= after).unwrap_or(0);
    Ok(files.drain(first..).map(|(_, path)| path).collect())
}
