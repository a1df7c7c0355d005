//! A window over content that is read once, front to back, with the checksum of what was consumed.

use std::io::{self, Read};

use simd_adler32::Adler32;

/// Bytes read at a time: they are still in the processor's cache when they are looked at.
const CHUNK_BYTES: usize = 1 << 18;

/// Content being consumed. *summed ≤ start ≤ end*
pub(super) struct Stream<'a> {
    source: Box<dyn Read + 'a>,
    bytes: Vec<u8>,
    /// Everything before is in `checksum`.
    summed: usize,
    /// Everything before is consumed.
    start: usize,
    /// Everything before was read.
    end: usize,
    /// Offset in the content of the first byte held.
    base: u64,
    checksum: Adler32,
}

impl<'a> Stream<'a> {
    pub(super) fn new(source: Box<dyn Read + 'a>) -> Self {
        let bytes = vec![0; CHUNK_BYTES];
        Self { source, bytes, summed: 0, start: 0, end: 0, base: 0, checksum: Adler32::new() }
    }

    /// Where in the content the next byte stands.
    pub(super) const fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// What was read and not consumed.
    pub(super) fn held(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until `count` bytes are held; false if the content ends before. The window grows with
    /// what really comes, so a false length costs no memory.
    #[inline]
    pub(super) fn hold(&mut self, count: usize) -> io::Result<bool> {
        if self.end - self.start >= count { Ok(true) } else { self.fill(count) }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        self.sum_consumed();
        self.bytes.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        (self.summed, self.end, self.start) = (0, self.end - self.start, 0);
        while self.end < count {
            if self.end == self.bytes.len() {
                let doubled = self.bytes.len() * 2;
                self.bytes.resize(doubled.min(count.max(CHUNK_BYTES)), 0);
            }
            let room = self.bytes.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Moves past `count` held bytes.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    fn sum_consumed(&mut self) {
        self.checksum.write(self.bytes.get(self.summed..self.start).unwrap_or_default());
        self.summed = self.start;
    }

    /// The checksum of everything consumed.
    pub(super) fn checksum(&mut self) -> Adler32 {
        self.sum_consumed();
        self.checksum.clone()
    }
}
