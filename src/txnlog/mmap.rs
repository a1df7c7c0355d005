//! A log file as memory: the only unsafe code of the server.
//!
//! What keeps it safe: every byte of the map was allocated and synced before (`DiskFile::allocate`), so
//! a store never needs a block that may not be there; the file is never shortened while mapped, and
//! the directory lock keeps other servers away. If the device fails to read a page in, or somebody
//! cuts the file from outside, the kernel says so when it is asked for the pages before each store, and
//! the log fails. Kernels before 5.14 cannot be asked: there the process dies by SIGBUS. Either is the
//! right end: it cannot know what is on disk.
#![expect(unsafe_code, reason = "a store into a map cannot be written in safe Rust")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::io::Errno;

use crate::disk::{DiskError, LogMem, Result};

/// The smallest page there is; the kernel's may be larger, and then more is present than is noted.
const PAGE_BYTES: usize = 4096;
/// What is stored at once.
const WORD: usize = size_of::<u64>();
/// Synced pages are given back in steps of this: nobody reads them here again, and a whole file of them
/// would count as the server's memory.
const GIVE_BACK_BYTES: usize = 1 << 20;

/// A shared, writable map of the first bytes of a file.
pub(super) struct Mapped {
    map: MmapRaw,
    path: PathBuf,
    /// Pages brought in by the last store, as offsets in the map; none after a sync, which makes them
    /// read-only again.
    present: Range<usize>,
    /// Everything before was given back; a multiple of the step.
    given_back: usize,
}

impl Mapped {
    /// Maps the first `len` bytes, all of which the file must have, up to a whole word.
    pub(super) fn new(file: &File, path: &Path, len: u64) -> Result<Self> {
        let failed = |source| DiskError::new("map", path, source);
        let len = usize::try_from(len).map_err(|_| failed(io::ErrorKind::FileTooLarge.into()))?;
        let map = MmapOptions::new().len(len.next_multiple_of(WORD)).map_raw(file).map_err(failed)?;
        // Without this the kernel sees a file read in sequence and caches it in folios of a megabyte,
        // each of which is written whole when one record in it is synced: twenty times the bytes.
        map.advise(Advice::Random).map_err(failed)?;
        Ok(Self { map, path: path.to_owned(), present: 0..0, given_back: 0 })
    }

    fn check(&self, operation: &'static str, offset: u64, count: usize) -> Result<usize> {
        let start = usize::try_from(offset).ok();
        let fits = start.and_then(|start| start.checked_add(count)).is_some_and(|end| end <= self.map.len());
        start.filter(|_| fits).ok_or_else(|| {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "outside the mapped part of the file");
            DiskError::at(operation, &self.path, offset, reason)
        })
    }
}

impl Mapped {
    /// Has the kernel bring the pages in, all at once. It reports as an error what the store itself
    /// would meet as SIGBUS. Kernels before 5.14 cannot; then the store faults the pages in.
    fn populate(&mut self, start: usize, offset: u64, count: usize) -> Result<()> {
        let end = start + count;
        if self.present.start <= start && end <= self.present.end {
            return Ok(());
        }
        match self.map.advise_range(Advice::PopulateWrite, start, count) {
            // The store would have met SIGBUS.
            Err(source) if source.raw_os_error() == Some(Errno::FAULT.raw_os_error()) => {
                let reason = "another program has cut the file, or its device fails. The log of a running server \
                              must not be touched; what was cut off is lost unless there is a copy";
                Err(DiskError::at("bring in a mapped page", &self.path, offset, io::Error::other(reason)))
            }
            Err(source) if source.kind() != io::ErrorKind::InvalidInput => {
                Err(DiskError::at("bring in a mapped page", &self.path, offset, source))
            }
            _ => {
                self.present = start / PAGE_BYTES * PAGE_BYTES..end.next_multiple_of(PAGE_BYTES);
                Ok(())
            }
        }
    }
}

impl Mapped {
    /// Unmaps the pages of whole steps before `end`. They stay in the page cache and in the file.
    fn give_back(&mut self, end: usize) {
        let end = end / GIVE_BACK_BYTES * GIVE_BACK_BYTES;
        if end <= self.given_back {
            return;
        }
        // SAFETY: no reference to mapped bytes exists, here or elsewhere, and `end` is at most the map's
        // length. The map is shared, so that what was stored stays, and a later access brings it back.
        let advised = unsafe {
            let (start, count) = (self.given_back, end - self.given_back);
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, count)
        };
        // Without it the pages stay until the file is full, and nothing else changes.
        if advised.is_ok() {
            self.given_back = end;
        }
    }

    /// Copies word by word, each seen by a device only with all those before it: a page that goes to the
    /// disk in between ends in zeros, which is how a start knows it ([`format`](mod@super::format)).
    /// `start + bytes.len()` must be inside the map.
    fn copy(&mut self, start: usize, bytes: &[u8]) {
        let (mut at, skip) = (start - start % WORD, start % WORD);
        let (first, rest) = bytes.split_at(bytes.len().min(WORD - skip));
        self.change_word(at, skip, first);
        let (words, last) = rest.as_chunks::<WORD>();
        for word in words {
            at += WORD;
            self.word(at).store(u64::from_ne_bytes(*word), Ordering::Release);
        }
        self.change_word(at + WORD, 0, last);
    }

    /// Changes part of a word, at once.
    fn change_word(&mut self, at: usize, skip: usize, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        let mut bytes = self.word(at).load(Ordering::Relaxed).to_ne_bytes();
        bytes.iter_mut().skip(skip).zip(part).for_each(|(old, new)| *old = *new);
        self.word(at).store(u64::from_ne_bytes(bytes), Ordering::Release);
    }

    /// The word at this multiple of its size, inside the map.
    fn word(&mut self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(WORD) && at + WORD <= self.map.len(), "a word of the map");
        // SAFETY: the word lies inside one live, writable mapping, as the assertion shows. Maps begin at a page,
        // so the word is aligned. All accesses to the map are atomic ones of such words; `&mut self` keeps the
        // map alive meanwhile.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }
}

impl LogMem for Mapped {
    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let start = self.check("store", offset, bytes.len())?;
        self.populate(start, offset, bytes.len())?;
        self.copy(start, bytes);
        Ok(())
    }

    fn sync(&mut self, range: Range<u64>) -> Result<()> {
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let start = self.check("sync", range.start, count)?;
        self.present = 0..0;
        self.map
            .flush_range(start, count)
            .map_err(|source| DiskError::at("sync", &self.path, range.start, source))?;
        self.give_back(start + count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// KiB of the file at `path` that this process has mapped in.
    fn resident_kib(path: &Path) -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let own = maps.split_once(path.to_str().unwrap()).expect("the file is mapped").1;
        let resident = own.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn synced_pages_are_given_back_and_stay_in_the_file() {
        const STEPS: usize = 6;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.1");
        let len = STEPS * GIVE_BACK_BYTES;
        fs::write(&path, vec![0; len]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut mapped = Mapped::new(&file, &path, len as u64).unwrap();
        let records: Vec<u8> = (0..len).map(|at| (at / 1000) as u8).collect();
        let (mut at, mut largest) = (0, 0);
        for record in records.chunks(100_000) {
            mapped.store(at, record).unwrap();
            mapped.sync(at..at + record.len() as u64).unwrap();
            at += record.len() as u64;
            largest = largest.max(resident_kib(&path));
        }
        assert!((1..=2 * 1024).contains(&largest), "{largest} KiB of {STEPS} MiB");
        mapped.store(0, b"x").unwrap();
        let written = fs::read(&path).unwrap();
        assert!(written[0] == b'x' && written[1..] == records[1..]);
    }
}
