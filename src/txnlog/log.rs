//! Appending.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jute::Zxid;
use jute::txn::TxnEntry;

use super::mark::{self, Mark, Marker};
use super::segment::{Extent, Segment};
use super::spare::{Spare, discard_spare};
use super::{Io, LogError, Options, format, truncate};
use crate::disk::{Disk, DiskError};

/// The log, open for appending. One owner; group commit is to append many and sync once.
pub struct Log {
    disk: Arc<dyn Disk>,
    options: Options,
    spare: Spare,
    /// `None` until the first append after a start or a roll.
    segment: Option<Segment>,
    /// Whole records that are appended but not stored yet.
    batch: Vec<u8>,
    /// How many they are.
    batch_records: u64,
    /// What is durable of the current file; the end of a record is added as it gets durable.
    marked: Mark,
    /// `None` before the first file, and where the mark's file cannot be written.
    marker: Option<Marker>,
    /// Bytes in files that were ended by themselves since the last roll.
    finished_bytes: u64,
    /// *durable ≤ appended*
    appended: Zxid,
    durable: Zxid,
    /// What was synced by itself between two calls of `sync`, because the batch grew too large.
    early: Synced,
    /// The first failure.
    poison: Option<String>,
}

/// What one sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Bytes of records made durable.
    pub bytes: u64,
    /// How long the device took.
    pub duration: Duration,
    /// It took longer than the configured threshold.
    pub slow: bool,
}

impl Log {
    /// Opens a log whose newest transaction is `last`, as [`recover`](super::recover) or a snapshot
    /// tells. Nothing is created before the first append.
    ///
    /// # Errors
    /// When a spare file of an earlier process cannot be removed.
    pub fn open(disk: Arc<dyn Disk>, options: Options, last: Zxid) -> Result<Self, LogError> {
        discard_spare(&*disk, &options.dir)?;
        let spare = Spare::new(Arc::clone(&disk), options.clone());
        Ok(Self {
            disk,
            options,
            spare,
            segment: None,
            batch: Vec::new(),
            batch_records: 0,
            marked: Mark::of_new_file(last),
            marker: None,
            finished_bytes: 0,
            appended: last,
            durable: last,
            early: Synced::default(),
            poison: None,
        })
    }

    /// Appends a transaction. It is durable after the next [`Log::sync`].
    ///
    /// # Errors
    /// [`LogError::Full`] leaves the log as it was; the same append may be tried again. Any other
    /// error is final.
    ///
    /// # Panics
    /// When the zxid does not follow the last one: no start would read beyond the gap.
    pub fn append(&mut self, entry: &TxnEntry) -> Result<(), LogError> {
        self.append_with(entry.header.zxid, |out| entry.encode(out))
    }

    /// As [`Log::append`], with the payload as a leader sent it.
    ///
    /// # Errors
    /// As [`Log::append`].
    ///
    /// # Panics
    /// As [`Log::append`].
    pub fn append_encoded(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), LogError> {
        self.append_with(zxid, |out| out.extend_from_slice(payload))
    }

    fn append_with(&mut self, zxid: Zxid, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), LogError> {
        self.check_open()?;
        assert!(
            format::follows(self.appended, zxid),
            "transaction {zxid} appended after {}, which it does not follow",
            self.appended
        );
        let start = self.batch.len();
        format::put_record(&mut self.batch, encode);
        let record_bytes = self.batch.len() - start;
        if let Err(error) = self.admit(zxid, start) {
            // What was in front of it may have been stored by now, so it is found from the end.
            self.batch.truncate(self.batch.len() - record_bytes);
            return Err(if error.is_retryable() { error } else { self.fail(error) });
        }
        self.appended = zxid;
        self.batch_records += 1;
        Ok(())
    }

    /// Sees to it that the batch, whose last record begins at `start` in it, can be stored.
    fn admit(&mut self, zxid: Zxid, mut start: usize) -> Result<(), LogError> {
        if start > 0 && self.batch.len() > format::UNSYNCED_BYTES_MAX {
            self.sync_batch(start)?;
            start = 0;
        }
        if self.spare_is_better(start) {
            self.sync_batch(start)?;
            self.finish_segment()?;
            start = 0;
        }
        self.make_room(zxid, start)
    }

    /// Whether the batch, whose last record begins at `start` in it, would make the file grow while the
    /// next one is ready: no append then waits for an allocation, or fails for want of space.
    fn spare_is_better(&self, start: usize) -> bool {
        self.segment.as_ref().is_some_and(|segment| {
            let position = segment.written() + start as u64;
            let end = segment.written() + self.batch.len() as u64;
            segment.must_grow(position..end) && self.spare.is_ready()
        })
    }

    /// Sees to a file with space for the batch, whose last record begins at `start` in it.
    fn make_room(&mut self, zxid: Zxid, start: usize) -> Result<(), LogError> {
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.create_segment(zxid)?,
        };
        let position = segment.written() + start as u64;
        let end = segment.written() + self.batch.len() as u64;
        let reserved = segment.reserve(position..end);
        self.segment = Some(segment);
        reserved
    }

    fn create_segment(&mut self, first: Zxid) -> Result<Segment, LogError> {
        let path = self.options.dir.join(format::file_name(first));
        if self.disk.open_read(&path).is_ok() {
            let reason = std::io::ErrorKind::AlreadyExists.into();
            return Err(DiskError::new("begin a new log file", &path, reason).into());
        }
        let segment = match self.spare.take(&path)? {
            Some(segment) => segment,
            None => Segment::create(&*self.disk, &path, &self.options, Extent::AnyPart)?,
        };
        if self.marker.is_none() && self.options.force_sync {
            self.marker = Marker::open(&*self.disk, &self.options).ok();
        }
        self.marked = Mark::of_new_file(first);
        self.disk.sync_dir(&self.options.dir)?;
        Ok(segment)
    }

    /// Makes everything appended durable, with one sync.
    ///
    /// # Errors
    /// [`LogError::Full`], which only plain writes meet: nothing counts as synced, and the same call may
    /// be made again. Any other error is final: the log takes nothing more, what was appended since the
    /// last sync may or may not be on disk, and the process should end.
    pub fn sync(&mut self) -> Result<Synced, LogError> {
        self.check_open()?;
        self.sync_batch(self.batch.len())?;
        self.durable = self.appended;
        let limit = self.options.size_limit_bytes.unwrap_or(u64::MAX);
        if self.segment.as_ref().is_some_and(|segment| segment.written() > limit) {
            self.finish_segment()?;
        }
        let mut synced = std::mem::take(&mut self.early);
        synced.slow = synced.duration > Duration::from_millis(self.options.fsync_warning_ms);
        Ok(synced)
    }

    /// Stores and syncs the first `count` bytes of the batch.
    fn sync_batch(&mut self, count: usize) -> Result<(), LogError> {
        let batch = self.batch.get(..count).unwrap_or_default();
        let Some(segment) = self.segment.as_mut().filter(|_| !batch.is_empty()) else { return Ok(()) };
        let start = segment.written();
        #[expect(clippy::disallowed_methods, reason = "measures a sync, and decides nothing")]
        let begun = Instant::now();
        let mut done = segment.store(batch);
        if done.is_ok() && self.options.force_sync {
            done = segment.sync(start).map_err(LogError::from);
        }
        self.early.duration += begun.elapsed();
        done.map_err(|error| if error.is_retryable() { error } else { self.fail(error) })?;
        self.early.bytes += count as u64;
        self.mark_durable(start);
        self.batch.drain(..count);
        Ok(())
    }

    /// Moves the mark up to the newest transaction: a batch that began at `start` is durable.
    fn mark_durable(&mut self, start: u64) {
        if start == format::HEADER_BYTES
            && let (&[first, rest, ..], _) = self.batch.as_chunks()
        {
            self.marked.first = [first, rest];
        }
        self.marked.records += std::mem::take(&mut self.batch_records);
        self.marked.end = self.segment.as_ref().map_or(start, Segment::written);
        self.marked.zxid = self.appended;
        let marked = self.marked;
        self.with_marker(|marker| marker.advance(marked));
    }

    /// Without the mark, or with an old one, a start just knows less: no failure of it is one of the log.
    fn with_marker(&mut self, act: impl FnOnce(&mut Marker) -> crate::disk::Result<()>) {
        if let Some(Err(_)) = self.marker.as_mut().map(act) {
            self.marker = None;
        }
    }

    /// Ends the file after a sync. The next append begins a new one.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub fn roll(&mut self) -> Result<Synced, LogError> {
        let synced = self.sync()?;
        self.finish_segment()?;
        self.finished_bytes = 0;
        Ok(synced)
    }

    fn finish_segment(&mut self) -> Result<(), LogError> {
        self.with_marker(Marker::store);
        self.finished_bytes += self.segment.as_ref().map_or(0, Segment::written);
        match self.segment.take().map(Segment::finish) {
            Some(Err(error)) => Err(self.fail(error.into())),
            _ => Ok(()),
        }
    }

    /// Forgets every transaction after `zxid`, durably. Snapshots newer than it must be gone already.
    ///
    /// # Errors
    /// [`LogError::NoSuchTransaction`] when the log does not contain it: nothing was cut then. Errors of
    /// the disk are final.
    pub fn truncate(&mut self, zxid: Zxid) -> Result<(), LogError> {
        self.roll()?;
        self.marker = None;
        mark::remove(&*self.disk, &self.options.dir)?;
        match truncate::cut_after(&self.disk, &self.options.dir, zxid) {
            Ok(()) => {
                self.appended = zxid;
                self.durable = zxid;
                Ok(())
            }
            Err(error @ LogError::Disk(_)) => Err(self.fail(error)),
            Err(error) => Err(error),
        }
    }

    /// Forgets every transaction after `zxid`, durably, and goes on after it, whether the log contains it or not:
    /// a snapshot that ends with it takes the log's place. Snapshots newer than it must be gone already.
    ///
    /// # Errors
    /// As [`Log::truncate`], but for a missing transaction.
    pub fn continue_after(&mut self, zxid: Zxid) -> Result<(), LogError> {
        self.roll()?;
        self.marker = None;
        let cut = mark::remove(&*self.disk, &self.options.dir)
            .map_err(LogError::from)
            .and_then(|()| truncate::cut_above(&self.disk, &self.options.dir, zxid));
        cut.map_err(|error| self.fail(error))?;
        self.appended = zxid;
        self.durable = zxid;
        Ok(())
    }

    /// Ends the log of a server that stops: everything is durable afterwards, the mark too; the file loses its
    /// padding, and a next one that was made ready is removed.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.sync()?;
        self.finish_segment()?;
        self.with_marker(Marker::settle);
        self.spare.close()
    }

    /// Bytes in files begun since [`Log::roll`] was called last, headers and what is not synced yet
    /// included, padding not.
    #[must_use]
    pub fn bytes_since_roll(&self) -> u64 {
        let current = self.segment.as_ref().map_or(0, Segment::written);
        self.finished_bytes + current + self.batch.len() as u64
    }

    /// The newest transaction appended.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.appended
    }

    /// The newest transaction that is durable.
    #[must_use]
    pub const fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    /// The file being written.
    #[must_use]
    pub fn current_file(&self) -> Option<&Path> {
        self.segment.as_ref().map(Segment::path)
    }

    /// How the current file is written: plainly on file systems that do not allow maps.
    #[must_use]
    pub fn io(&self) -> Io {
        self.segment.as_ref().map_or(self.options.io, Segment::io)
    }

    /// A handle that makes the next file ready from another thread.
    #[must_use]
    pub fn spare(&self) -> Spare {
        self.spare.clone()
    }

    fn check_open(&self) -> Result<(), LogError> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
        }
    }

    fn fail(&mut self, error: LogError) -> LogError {
        self.poison.get_or_insert_with(|| error.to_string());
        error
    }
}
