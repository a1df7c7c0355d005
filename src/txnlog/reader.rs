//! Reading records in order, over all files that may hold them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::txn::TxnEntry;
use jute::{DecodeError, Zxid};

use super::LogError;
use super::format::{self, HEADER, HEADER_BYTES};
use super::tail::{Located, TornTail, judge, locate};
use super::window::Window;
use crate::disk::Disk;

/// What to do where transactions are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// Stop with [`LogError::Gap`]. The first transaction must follow the one reading started after.
    Refuse,
    /// Go on; for tools, and for operators who accept the loss.
    Allow,
}

/// One record, still encoded.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its transaction.
    pub zxid: Zxid,
    /// The file it is in.
    pub path: &'a Path,
    /// Where the record begins in the file.
    pub offset: u64,
    /// Header, body and digest.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Decodes the payload.
    ///
    /// # Errors
    /// [`LogError::Unreadable`]: the record is intact, so this is never a torn tail.
    pub fn decode(&self) -> Result<TxnEntry, LogError> {
        TxnEntry::decode(self.payload).map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: DecodeError) -> LogError {
        LogError::Unreadable { path: self.path.to_owned(), offset: self.offset, zxid: self.zxid, source }
    }
}

/// One file, front to back.
pub(super) struct FileReader {
    pub(super) path: PathBuf,
    window: Window,
    at: u64,
}

/// What a file turned out to be.
pub(super) enum Opened {
    Log(FileReader),
    /// A file whose creation did not get as far as a header; it holds nothing.
    Unwritten,
}

impl FileReader {
    pub(super) fn open(disk: &dyn Disk, path: PathBuf) -> Result<Opened, LogError> {
        let mut window = Window::new(disk.open_read(&path)?)?;
        let header = window.view(0, HEADER_BYTES)?;
        if header.len() == HEADER.len() && header.starts_with(&format::MAGIC) {
            return Ok(Opened::Log(Self { path, window, at: HEADER_BYTES }));
        }
        let begun = header.iter().zip(HEADER).take_while(|(byte, expected)| **byte == *expected).count();
        if window.next_nonzero(begun as u64)?.is_none() {
            return Ok(Opened::Unwritten);
        }
        Err(LogError::NotALog { path, problem: "it does not begin with ZKLG" })
    }

    /// Where the next record begins, or the valid part ends.
    pub(super) const fn position(&self) -> u64 {
        self.at
    }

    /// The next record, or how the file ends. `last` is the newest transaction before it.
    pub(super) fn step(&mut self, last: Zxid) -> Result<Result<Located, Option<TornTail>>, LogError> {
        match locate(&mut self.window, self.at)? {
            Ok(found) => {
                self.at = found.end();
                Ok(Ok(found))
            }
            Err(defect) => judge(&mut self.window, &self.path, self.at, last, defect).map(Err),
        }
    }

    pub(super) fn frame(&mut self, found: Located) -> Result<Frame<'_>, LogError> {
        let payload = self.window.view(found.payload_offset(), found.payload_bytes)?;
        Ok(Frame { zxid: found.zxid, path: &self.path, offset: found.offset, payload })
    }
}

/// The log files of a directory, oldest first.
pub(super) fn log_files(disk: &dyn Disk, directory: &Path) -> Result<Vec<(Zxid, PathBuf)>, LogError> {
    let mut files: Vec<_> = disk
        .list(directory)?
        .iter()
        .filter_map(|name| Some((format::zxid_of(name)?, directory.join(name))))
        .collect();
    files.sort();
    Ok(files)
}

/// Records with a zxid above a given one, in order, from all files of a directory.
///
/// A transaction that was logged twice (the reference does so when a learner is sent again what it
/// has) comes once.
pub struct Entries {
    disk: Arc<dyn Disk>,
    files: VecDeque<PathBuf>,
    current: Option<FileReader>,
    gaps: Gaps,
    after: Zxid,
    /// The newest one seen, at or below `after` too.
    last: Zxid,
    /// The newest one given out; `after` before the first.
    given: Zxid,
    end: End,
}

/// How the files ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// The torn tail of the newest file.
    pub(super) torn: Option<TornTail>,
    /// The newest file; `None` if there is no file.
    pub(super) newest: Option<Newest>,
    /// Bytes read in files already left.
    pub(super) bytes: u64,
    /// Every file that was opened, oldest first.
    pub(super) files: Vec<PathBuf>,
}

/// The newest file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) path: PathBuf,
    /// Where its valid part ends.
    pub(super) valid_bytes: u64,
    pub(super) records: u64,
}

impl Entries {
    /// Reads what comes after `after`. Starts in the last file that begins at or before the
    /// transaction after it. [`Zxid::ZERO`] reads everything.
    ///
    /// # Errors
    /// As the disk reports.
    pub fn open(disk: Arc<dyn Disk>, directory: &Path, after: Zxid, gaps: Gaps) -> Result<Self, LogError> {
        let mut files = log_files(&*disk, directory)?;
        let first = files.iter().rposition(|(zxid, _)| *zxid <= after.successor()).unwrap_or(0);
        let files = files.drain(first..).map(|(_, path)| path).collect();
        let (current, end) = (None, End::default());
        Ok(Self { disk, files, current, gaps, after, last: Zxid::ZERO, given: after, end })
    }

    /// The next record; `None` at the end of the newest file.
    ///
    /// # Errors
    /// Corruption, gaps, and failures of the disk. The iteration must not be continued after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, LogError> {
        let Some(found) = self.advance()? else { return Ok(None) };
        let Some(reader) = &mut self.current else { return Ok(None) };
        reader.frame(found).map(Some)
    }

    fn advance(&mut self) -> Result<Option<Located>, LogError> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(reader) = &mut self.current else { return Ok(None) };
            match reader.step(self.last)? {
                Ok(found) => {
                    self.last = self.last.max(found.zxid);
                    if let Some(newest) = &mut self.end.newest {
                        newest.valid_bytes = found.end();
                        newest.records += 1;
                    }
                    if found.zxid <= self.given {
                        continue;
                    }
                    if self.gaps == Gaps::Refuse && !format::follows(self.given, found.zxid) {
                        let (path, before) = (reader.path.clone(), self.given);
                        return Err(LogError::Gap { path, offset: found.offset, before, after: found.zxid });
                    }
                    self.given = found.zxid;
                    return Ok(Some(found));
                }
                Err(torn) => {
                    self.end.torn = torn;
                    self.end.bytes += reader.position();
                    self.current = None;
                }
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, LogError> {
        let Some(path) = self.files.pop_front() else { return Ok(false) };
        self.end.torn = None;
        self.end.files.push(path.clone());
        match FileReader::open(&*self.disk, path.clone())? {
            Opened::Log(reader) => {
                let valid_bytes = reader.position();
                self.end.newest = Some(Newest { path, valid_bytes, records: 0 });
                self.current = Some(reader);
                Ok(true)
            }
            Opened::Unwritten if self.files.is_empty() => {
                self.end.newest = Some(Newest { path, valid_bytes: 0, records: 0 });
                Ok(false)
            }
            Opened::Unwritten => {
                Err(LogError::NotALog { path, problem: "it is empty, but newer logs exist" })
            }
        }
    }

    /// The newest transaction in the files read so far, or the one reading started after.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.last.max(self.after)
    }

    /// The torn tail of the newest file, once the end is reached.
    #[must_use]
    pub const fn torn_tail(&self) -> Option<&TornTail> {
        self.end.torn.as_ref()
    }

    /// Bytes of records and headers read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.end.bytes + self.current.as_ref().map_or(0, FileReader::position)
    }

    pub(super) fn into_end(self) -> End {
        self.end
    }
}
