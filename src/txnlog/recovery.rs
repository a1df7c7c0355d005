//! Reading the log at start, and leaving it so that the next start reads the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Zxid;
use jute::txn::TxnEntry;

use super::reader::{End, Entries, Gaps};
use super::tail::TornTail;
use super::{LogError, Mark, format, mark};
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

/// What decides which log is replayed, and which refused.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// What to do where transactions are missing.
    pub gaps: Gaps,
    /// The longest transaction that is taken, in bytes (`jute.maxbuffer` and
    /// `zookeeper.jute.maxbuffer.extrasize`; reference: `BinaryInputArchive.checkLength`).
    pub payload_bytes_max: usize,
    /// The number in the file `acceptedEpoch`, 0 without it: a leader of that epoch may have had a server of
    /// the reference cut the log.
    pub accepted_epoch: i64,
}

impl ReplayOptions {
    /// Any length, no leader.
    #[must_use]
    pub const fn new(gaps: Gaps) -> Self {
        Self { gaps, payload_bytes_max: usize::MAX, accepted_epoch: 0 }
    }
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The newest transaction: of the log, or the one the replay started after.
    pub last_zxid: Zxid,
    /// Totals.
    pub progress: Progress,
    /// The torn tail of the newest file. [`repair`] cuts it off.
    pub torn: Option<TornTail>,
    /// How far the log is known to be durable. All of that is there.
    pub mark: Option<Mark>,
    end: End,
}

impl Replayed {
    /// A newest file without a single record; [`repair`] removes it.
    #[must_use]
    pub fn file_without_records(&self) -> Option<&Path> {
        self.end.newest.as_ref().filter(|newest| newest.records == 0).map(|newest| &*newest.path)
    }
}

/// Hands every transaction after `after` to `apply`, in order. Changes nothing on disk.
///
/// # Errors
/// Corruption, a gap (unless allowed), durable transactions that are missing, a transaction that is unknown or
/// too long, or a failure of the disk.
pub fn replay(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    after: Zxid,
    options: ReplayOptions,
    apply: &mut dyn FnMut(TxnEntry),
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Replayed, LogError> {
    let mut entries = Entries::open(Arc::clone(disk), directory, after, options.gaps)?;
    let mut progress = Progress::default();
    while let Some(frame) = entries.next_frame()? {
        if frame.payload.len() > options.payload_bytes_max {
            return Err(LogError::TooLong {
                path: frame.path.to_owned(),
                offset: frame.offset,
                zxid: frame.zxid,
                bytes: frame.payload.len(),
                bytes_max: options.payload_bytes_max,
            });
        }
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
    let mark = Mark::read(disk.as_ref(), directory)?;
    if let Some(mark) = &mark {
        let newest = end.newest.as_ref();
        let lost = mark::missing(disk.as_ref(), directory, mark, last_zxid, newest, options.accepted_epoch)?;
        lost.map_or(Ok(()), Err)?;
    }
    Ok(Replayed { last_zxid, progress, torn: end.torn.clone(), mark, end })
}

/// Leaves the log so that the next start reads the same: a torn tail of the newest file is cut off, a
/// newest file without records is removed. Both durably, and both may be done again after a crash. Returns
/// the file that was removed.
///
/// What was read is made durable too: a process that died between a store and its sync leaves records
/// that can be read and that a power cut would still take, from under those appended after them.
///
/// # Errors
/// As the disk reports.
pub fn repair(disk: &dyn Disk, directory: &Path, replayed: &Replayed) -> Result<Option<PathBuf>, LogError> {
    let end = &replayed.end;
    let removed = replayed.file_without_records();
    for path in end.files.iter().filter(|path| removed != Some(&***path)) {
        disk.open_read(path)?.sync()?;
    }
    if !end.files.is_empty() {
        disk.sync_dir(directory)?;
    }
    if let Some(path) = removed {
        disk.remove(path)?;
        disk.sync_dir(directory)?;
    } else if let (Some(newest), Some(_)) = (&end.newest, &end.torn) {
        let file = disk.open(&newest.path)?;
        file.set_len(newest.valid_bytes.max(format::HEADER_BYTES))?;
        file.sync()?;
    }
    Ok(removed.map(Path::to_owned))
}

/// [`replay`], then [`repair`].
///
/// # Errors
/// As [`replay`], with nothing changed on disk; or as the disk reports.
pub fn recover(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    after: Zxid,
    gaps: Gaps,
    apply: &mut dyn FnMut(TxnEntry),
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, LogError> {
    let options = ReplayOptions::new(gaps);
    let replayed = replay(disk, directory, after, options, apply, on_progress)?;
    let removed = repair(disk.as_ref(), directory, &replayed)?;
    let Replayed { last_zxid, progress, torn, .. } = replayed;
    Ok(Recovered { last_zxid, progress, torn, removed })
}

/// What [`recover`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// As in [`Replayed`].
    pub last_zxid: Zxid,
    /// As in [`Replayed`].
    pub progress: Progress,
    /// The torn tail that was cut off.
    pub torn: Option<TornTail>,
    /// A newest file without a single record, which was removed.
    pub removed: Option<PathBuf>,
}
