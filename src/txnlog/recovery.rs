//! Reading the log at start, and leaving it so that the next start reads the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Zxid;
use jute::txn::TxnEntry;

use super::reader::{Entries, Gaps};
use super::tail::TornTail;
use super::{LogError, format};
use crate::disk::Disk;

/// Entries between two calls of the progress callback.
const PROGRESS_ENTRIES: u64 = 1 << 14;

/// How far recovery got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Transactions replayed.
    pub entries: u64,
    /// Bytes read, skipped transactions included.
    pub bytes: u64,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The newest transaction: of the log, or the one recovery started after.
    pub last_zxid: Zxid,
    /// Totals.
    pub progress: Progress,
    /// The torn tail that was cut off the newest file. Worth a line in the server's log, no more.
    pub torn: Option<TornTail>,
    /// A newest file without a single record, which was removed.
    pub removed: Option<PathBuf>,
}

/// Replays every transaction after `after` in order, then repairs the newest file: a torn tail is cut
/// off, a file without records is removed. Both durably, and both may be done again after a crash.
///
/// What was read is made durable too: a process that died between a store and its sync leaves records
/// that can be read and that a power cut would still take, from under those appended after them.
///
/// # Errors
/// Corruption, a gap (unless allowed), an unknown transaction, or a failure of the disk. Nothing has
/// been changed on disk then.
pub fn recover(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    after: Zxid,
    gaps: Gaps,
    apply: &mut dyn FnMut(TxnEntry),
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, LogError> {
    let mut entries = Entries::open(Arc::clone(disk), directory, after, gaps)?;
    let mut progress = Progress::default();
    while let Some(frame) = entries.next_frame()? {
        apply(frame.decode()?);
        progress.entries += 1;
        if progress.entries.is_multiple_of(PROGRESS_ENTRIES) {
            progress.bytes = entries.bytes_read();
            on_progress(progress);
        }
    }
    progress.bytes = entries.bytes_read();
    on_progress(progress);
    let last_zxid = entries.last_zxid();
    let end = entries.into_end();
    let mut removed = None;
    let kept = |path: &&PathBuf| end.newest.as_ref().is_none_or(|(newest, _, has)| *has || newest != *path);
    for path in end.files.iter().filter(kept) {
        disk.open_read(path)?.sync()?;
    }
    if !end.files.is_empty() {
        disk.sync_dir(directory)?;
    }
    if let Some((path, valid_bytes, has_records)) = end.newest {
        if !has_records {
            disk.remove(&path)?;
            disk.sync_dir(directory)?;
            removed = Some(path);
        } else if end.torn.is_some() {
            let file = disk.open(&path)?;
            file.set_len(valid_bytes.max(format::HEADER_BYTES))?;
            file.sync()?;
        }
    }
    Ok(Recovered { last_zxid, progress, torn: end.torn, removed })
}
