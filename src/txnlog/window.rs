//! A moving view of a file, read in large pieces. A file that is cut or fails under it gives an error,
//! where a map would end the process.

use crate::disk::{DiskFile, Result};

/// Bytes read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// Part of a file in memory.
pub(super) struct Window {
    file: Box<dyn DiskFile>,
    len: u64,
    /// Offset in the file of the first byte held.
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(file: Box<dyn DiskFile>) -> Result<Self> {
        let len = file.len()?;
        Ok(Self { file, len, start: 0, bytes: Vec::new() })
    }

    /// Length of the file when it was opened.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// `count` bytes from `at`, fewer only where the file ends.
    pub(super) fn view(&mut self, at: u64, count: u64) -> Result<&[u8]> {
        let count = count.min(self.len.saturating_sub(at));
        let held = at.checked_sub(self.start).filter(|skip| skip + count <= self.bytes.len() as u64);
        let skip = if let Some(skip) = held {
            skip
        } else {
            let wanted = count.max(CHUNK_BYTES).min(self.len.saturating_sub(at));
            self.bytes.resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
            self.start = at;
            let read = self.file.read_at(at, &mut self.bytes);
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
            0
        };
        let from = usize::try_from(skip).unwrap_or(usize::MAX);
        let to = usize::try_from(skip + count).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }

    /// As [`Window::view`], but all of the bytes or none.
    pub(super) fn exactly(&mut self, at: u64, count: u64) -> Result<Option<&[u8]>> {
        let bytes = self.view(at, count)?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 == count))
    }

    /// The first byte at or after `from` that is not zero.
    pub(super) fn next_nonzero(&mut self, from: u64) -> Result<Option<u64>> {
        let mut at = from;
        while at < self.len {
            let bytes = self.view(at, CHUNK_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            if let Some(skip) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(at + skip as u64));
            }
            at += bytes.len() as u64;
            // Padding of many megabytes is skipped where the file system knows it to be empty.
            match self.file.next_data(at)? {
                Some(data) => at = at.max(data),
                None => break,
            }
        }
        Ok(None)
    }

    /// The last byte at or after `from` that is not zero.
    pub(super) fn last_nonzero(&mut self, from: u64) -> Result<Option<u64>> {
        let mut last = None;
        let mut at = from;
        while let Some(nonzero) = self.next_nonzero(at)? {
            let bytes = self.view(nonzero, CHUNK_BYTES)?;
            last = bytes.iter().rposition(|byte| *byte != 0).map(|skip| nonzero + skip as u64);
            at = nonzero + bytes.len() as u64;
        }
        Ok(last)
    }
}
