//! The file that is being appended to.
//!
//! *written ≤ allocated*: a record is stored only into space that was allocated and made durable
//! before, unless allocation ahead is switched off.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::format::{self, HEADER, HEADER_BYTES};
use super::mmap::Mapped;
use super::{Io, LogError, Options};
use crate::disk::{Disk, DiskError, DiskFile, LogMem, Mapping, Result};

/// What file systems give out.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// How much of its first extent a new file must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it, or there is no file.
    Whole,
    /// As much as there is room for.
    AnyPart,
}

/// A log file open for appending.
pub(super) struct Segment {
    file: Box<dyn DiskFile>,
    /// Its name now; a spare file gets another one.
    path: PathBuf,
    /// `None`: plain writes.
    memory: Option<Box<dyn LogMem>>,
    /// Where the next record goes.
    written: u64,
    /// The file's length with its padding. Equals `written` when nothing is allocated ahead.
    allocated: u64,
    prealloc_bytes: i64,
    io: Io,
    map_bytes_max: usize,
}

impl Segment {
    /// Creates a file with a durable header and its first extent. Its name is durable only after a
    /// sync of the directory. Nothing is left behind on failure.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        options: &Options,
        extent: Extent,
    ) -> std::result::Result<Self, LogError> {
        let wanted = u64::try_from(options.prealloc_bytes).unwrap_or(0).max(HEADER_BYTES);
        let file = disk.create(path).map_err(|error| LogError::of_allocation(error, wanted))?;
        let prepared = Self::prepare(file, options, extent);
        if prepared.is_err() {
            let _ = disk.remove(path);
        }
        prepared.map_err(|error| LogError::of_allocation(error, wanted))
    }

    fn prepare(file: Box<dyn DiskFile>, options: &Options, extent: Extent) -> Result<Self> {
        file.write_at(0, &HEADER)?;
        let prealloc_bytes = options.prealloc_bytes;
        let padded = format::padded_size(HEADER_BYTES, HEADER_BYTES, HEADER_BYTES, prealloc_bytes);
        let least = match extent {
            Extent::Whole => padded,
            Extent::AnyPart => padded.min(BLOCK_BYTES),
        };
        let allocated = allocate(&*file, HEADER_BYTES, padded, least)?;
        file.sync()?;
        let (io, map_bytes_max, path) = (options.io, options.map_bytes_max, file.path().to_owned());
        let (memory, written) = (None, HEADER_BYTES);
        let mut segment = Self { file, path, memory, written, allocated, prealloc_bytes, io, map_bytes_max };
        segment.map()?;
        Ok(segment)
    }

    fn map(&mut self) -> Result<()> {
        // The old map goes first; the bytes in it stay in the page cache.
        self.memory = None;
        if self.io == Io::Plain || self.prealloc_bytes <= 0 {
            return Ok(());
        }
        match self.file.mapping()? {
            Mapping::Real(file) => {
                self.memory = Some(Box::new(Mapped::new(&file, &self.path, self.allocated)?));
            }
            Mapping::Simulated(memory) => self.memory = Some(memory),
            Mapping::Refused(_) => self.io = Io::Plain,
        }
        Ok(())
    }

    /// Where the next record goes.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// The mode in use: plain where the file system does not allow maps.
    pub(super) const fn io(&self) -> Io {
        self.io
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that the file has another name now.
    pub(super) fn renamed(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Whether a record at `range` needs more space than is allocated.
    pub(super) fn must_grow(&self, range: Range<u64>) -> bool {
        self.needed(range) > self.allocated
    }

    fn needed(&self, range: Range<u64>) -> u64 {
        format::padded_size(range.start, range.end, self.allocated, self.prealloc_bytes)
    }

    /// Makes sure that a record at `range` has durable space. Extends the file when it has not, on a
    /// nearly full disk by less than a whole step.
    pub(super) fn reserve(&mut self, range: Range<u64>) -> std::result::Result<(), LogError> {
        let end = range.end;
        let needed = self.needed(range);
        if needed <= self.allocated {
            return Ok(());
        }
        let fits = end <= self.allocated;
        let least = if fits { needed } else { end.next_multiple_of(BLOCK_BYTES).min(needed) };
        match allocate(&*self.file, self.allocated, needed, least) {
            // It would only have grown ahead of need.
            Err(error) if fits && error.is_full() => return Ok(()),
            Err(error) => return Err(LogError::of_allocation(self.named(error), least - self.allocated)),
            Ok(allocated) => self.allocated = allocated,
        }
        self.file.sync().map_err(|error| self.named(error))?;
        self.map()?;
        Ok(())
    }

    /// An error under the name the file has now: it may have been opened as a spare.
    fn named(&self, error: DiskError) -> DiskError {
        DiskError { path: self.path.clone(), ..error }
    }

    /// Stores a batch of whole records after the last one, from its first byte to its last: should the
    /// process die in between, the place reads as whole records and a torn tail.
    ///
    /// Only a plain write can find the disk full. It leaves the file as it was, or with a torn tail that
    /// the same batch replaces when it is stored again.
    pub(super) fn store(&mut self, batch: &[u8]) -> std::result::Result<(), LogError> {
        match &mut self.memory {
            Some(memory) if batch.len() <= self.map_bytes_max => {
                memory.store(self.written, batch).map_err(|error| self.named(error))?;
            }
            _ => {
                if let Err(error) = self.file.write_at(self.written, batch) {
                    // A file with space ahead, and so every mapped one, keeps its length.
                    if error.is_full() && self.allocated == self.written {
                        self.file.set_len(self.written)?;
                    }
                    return Err(LogError::of_allocation(self.named(error), batch.len() as u64));
                }
            }
        }
        self.written += batch.len() as u64;
        self.allocated = self.allocated.max(self.written);
        Ok(())
    }

    /// Makes everything from `start` on durable.
    pub(super) fn sync(&mut self, start: u64) -> Result<()> {
        let synced = match &mut self.memory {
            Some(memory) => memory.sync(start..self.written),
            None => self.file.sync_data(),
        };
        synced.map_err(|error| self.named(error))
    }

    /// Ends the file. Its padding is given back to the file system: real blocks, unlike the
    /// reference's, would be held until the file is purged. A crash may leave the padding there.
    pub(super) fn finish(mut self) -> Result<()> {
        self.memory = None;
        if self.allocated > self.written { self.file.set_len(self.written) } else { Ok(()) }
    }
}

/// Allocates from the file's end at `from` to `wanted`, or, where there is less room, to any point not
/// below `least`. Returns the new end.
fn allocate(file: &dyn DiskFile, from: u64, wanted: u64, least: u64) -> Result<u64> {
    let mut end = wanted;
    loop {
        match file.allocate(from..end) {
            Ok(()) => return Ok(end),
            Err(error) if !error.is_full() || end <= least => return Err(error),
            Err(_) => {
                let half = (from + (end - from) / 2).next_multiple_of(BLOCK_BYTES);
                end = if half < end { half.max(least) } else { least };
            }
        }
    }
}
