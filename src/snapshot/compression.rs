//! The three ways a snapshot's bytes are stored. Reference: `SnapStream`.
//!
//! Snappy is the framing of xerial's `SnappyOutputStream`: a header of 16 bytes, then blocks of at
//! most 32 KiB of content, each with its compressed length in front.

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::disk::DiskFile;

/// How a snapshot's bytes are stored (`snapshot.compression.method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// One gzip stream.
    Gzip,
    /// Snappy blocks.
    Snappy,
}

/// Two bytes that begin every gzip stream.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
/// Eight bytes that begin every snappy stream.
pub(super) const SNAPPY_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The magic, version 1, readable from version 1 on.
const SNAPPY_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Content of one block.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
/// The largest block read. Writers choose the size; more than this no writer is known to choose.
const SNAPPY_BLOCK_BYTES_MAX: usize = 8 << 20;
/// A long snapshot is synced in steps, so that its last sync does not hold up the log's.
const SYNC_STEP_BYTES: u64 = 4 << 20;
/// Compressed bytes are collected up to this before they are written.
const WRITE_BYTES: usize = 1 << 20;

impl Compression {
    /// The end of the file's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// The setting's value; unknown names mean none, as in the reference.
    #[must_use]
    pub fn from_setting(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "snappy" => Self::Snappy,
            _ => Self::None,
        }
    }
}

/// A file that is written front to back.
pub(super) struct FileSink {
    file: Box<dyn DiskFile>,
    written: u64,
    pending: Vec<u8>,
}

impl FileSink {
    fn flush_pending(&mut self) -> io::Result<()> {
        let step_before = self.written / SYNC_STEP_BYTES;
        self.file.write_at(self.written, &self.pending).map_err(|error| error.source)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        if self.written / SYNC_STEP_BYTES > step_before {
            self.file.sync_data().map_err(|error| error.source)?;
        }
        Ok(())
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES {
            self.flush_pending()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A compressor over a file.
pub(super) enum Sink {
    Plain(FileSink),
    Gzip(Box<GzEncoder<FileSink>>),
    Snappy(Box<SnappySink>),
}

/// Cuts content into blocks.
pub(super) struct SnappySink {
    file: FileSink,
    encoder: snap::raw::Encoder,
    block: Vec<u8>,
    compressed: Vec<u8>,
}

impl Sink {
    pub(super) fn new(file: Box<dyn DiskFile>, compression: Compression) -> Self {
        let mut file = FileSink { file, written: 0, pending: Vec::new() };
        match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default()))),
            Compression::Snappy => {
                file.pending.extend_from_slice(&SNAPPY_HEADER);
                let (block, compressed) = (Vec::with_capacity(SNAPPY_BLOCK_BYTES), Vec::new());
                let encoder = snap::raw::Encoder::new();
                Self::Snappy(Box::new(SnappySink { file, encoder, block, compressed }))
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Snappy(sink) => sink.write(bytes),
        }
    }

    /// Writes what is left and syncs. Returns the length of the file.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Snappy(mut sink) => {
                sink.put_block()?;
                sink.file
            }
        };
        file.flush_pending()?;
        file.file.sync().map_err(|error| error.source)?;
        Ok(file.written)
    }
}

impl SnappySink {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = SNAPPY_BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == SNAPPY_BLOCK_BYTES {
                self.put_block()?;
            }
        }
        Ok(())
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.compressed.resize(snap::raw::max_compress_len(self.block.len()), 0);
        let length = self.encoder.compress(&self.block, &mut self.compressed)?;
        self.compressed.truncate(length);
        let prefix = u32::try_from(length).map_err(io::Error::other)?;
        self.file.write_all(&prefix.to_be_bytes())?;
        self.file.write_all(&self.compressed)?;
        self.block.clear();
        Ok(())
    }
}

/// A file that is read front to back.
pub(super) struct FileSource {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) offset: u64,
}

impl Read for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.offset, buffer).map_err(|error| error.source)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The content of a stored stream.
pub(super) fn decompress<'a>(source: impl Read + 'a, compression: Compression) -> Box<dyn Read + 'a> {
    match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 18, source))),
        Compression::Snappy => Box::new(SnappySource {
            source: io::BufReader::with_capacity(1 << 18, source),
            begun: false,
            compressed: Vec::new(),
            block: Vec::new(),
            given: 0,
        }),
    }
}

/// Blocks put together again.
struct SnappySource<R> {
    source: io::BufReader<R>,
    begun: bool,
    compressed: Vec<u8>,
    block: Vec<u8>,
    given: usize,
}

impl<R: Read> SnappySource<R> {
    /// Reads the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.begun {
            let mut header = [0; SNAPPY_HEADER.len()];
            self.source.read_exact(&mut header)?;
            if !header.starts_with(&SNAPPY_MAGIC) {
                return Err(bad("not a snappy stream"));
            }
            self.begun = true;
        }
        let prefix = loop {
            let mut first = [0; 1];
            if self.source.read(&mut first)? == 0 {
                return Ok(false);
            }
            let mut others = [0; 3];
            self.source.read_exact(&mut others)?;
            let ([a], [b, c, d]) = (first, others);
            let prefix = [a, b, c, d];
            if !SNAPPY_MAGIC.starts_with(&prefix) {
                break prefix;
            }
            // Streams written one after the other are one stream.
            self.source.read_exact(&mut [0; SNAPPY_HEADER.len() - 4])?;
        };
        let length = u32::from_be_bytes(prefix) as usize;
        if length > snap::raw::max_compress_len(SNAPPY_BLOCK_BYTES_MAX) {
            return Err(bad("a snappy block is too long"));
        }
        self.compressed.resize(length, 0);
        self.source.read_exact(&mut self.compressed)?;
        let content = snap::raw::decompress_len(&self.compressed)?;
        if content > SNAPPY_BLOCK_BYTES_MAX {
            return Err(bad("a snappy block is too long"));
        }
        self.block.resize(content, 0);
        snap::raw::Decoder::new().decompress(&self.compressed, &mut self.block)?;
        self.given = 0;
        Ok(true)
    }
}

impl<R: Read> Read for SnappySource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let read = self.block.get(self.given..).unwrap_or_default().read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

fn bad(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
