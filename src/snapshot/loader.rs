//! Reading a snapshot: any file since 3.4, or a stream in the same layout.

use std::io::{self, Read};
use std::path::Path;

use jute::records::data::{Acl, StatPersisted};
use jute::{DecodeError, Reader, Record, SessionId, Vector, Zxid};
use simd_adler32::Adler32;

use super::SnapshotError;
use super::compression::{FileSource, decompress};
use super::format::{self, END, MAGIC, SEAL_BYTES, STAT_BYTES};
use super::stream::Stream;
use crate::disk::{Disk, DiskError};

/// The longest path, data or list taken when nothing else is configured. It is far above what requests
/// may carry, and bounds what a hostile file can make the server allocate.
pub const FIELD_BYTES_MAX: usize = 64 << 20;

/// Lists up to this length are taken whatever is configured: `auth` entries make a list longer than the
/// request it came in.
const LIST_BYTES_MIN: usize = 4 << 20;

/// The largest tail after the first seal, with room to spare for an old digest in text.
const TAIL_BYTES_MAX: usize = 4096;

/// Takes the parts of a snapshot in the order of the file. An error ends the reading.
///
/// When [`load`] fails, whatever was visited so far is to be thrown away: checksums come last.
pub trait Visitor {
    /// A session and its timeout in milliseconds.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String>;

    /// An access control list and the id nodes know it by.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String>;

    /// A node. The root's path is empty. In an intact snapshot a node's parent came before it; its list
    /// may be missing, as lists are written first while transactions go on.
    ///
    /// # Errors
    /// Why it cannot be taken, for example because the parent is unknown.
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String>;
}

/// What a snapshot says besides its visited parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// By the name of the file: replay starts after it. Zero for a stream.
    pub zxid_from_name: Zxid,
    /// A later transaction, and version and value of the tree's digest right after it.
    pub digest: Option<(Zxid, i32, i64)>,
    /// The last transaction when writing began.
    pub last_zxid: Option<Zxid>,
}

/// Reads a whole file. `field_bytes_max` bounds each path, data and list.
///
/// # Errors
/// [`SnapshotError::Damaged`] for everything but a snapshot whose every seal is right.
pub fn load(
    disk: &dyn Disk,
    path: &Path,
    field_bytes_max: usize,
    visitor: &mut dyn Visitor,
) -> Result<Loaded, SnapshotError> {
    let named = path.file_name().and_then(|name| name.to_str()).and_then(format::parse_name);
    let Some((zxid_from_name, compression)) = named else {
        let problem = "not the name of a snapshot".to_owned();
        return Err(SnapshotError::Damaged { path: path.to_owned(), offset: 0, problem });
    };
    let source = FileSource { file: disk.open_read(path)?, offset: 0 };
    let mut parser = Parser::new(decompress(source, compression), path, field_bytes_max, visitor);
    Ok(Loaded { zxid_from_name, ..parser.whole()? })
}

/// Reads a whole uncompressed snapshot from elsewhere than a file. `name` stands in errors.
///
/// # Errors
/// As [`load`].
pub fn load_stream(
    source: &mut dyn Read,
    name: &str,
    field_bytes_max: usize,
    visitor: &mut dyn Visitor,
) -> Result<Loaded, SnapshotError> {
    Parser::new(Box::new(source), Path::new(name), field_bytes_max, visitor).whole()
}

/// Reads sessions, lists and nodes without header and seals, as a leader sends them, and returns the
/// bytes that were read beyond the end of the nodes. `name` stands in errors.
///
/// # Errors
/// As [`load`].
pub fn load_body(
    source: &mut dyn Read,
    name: &str,
    field_bytes_max: usize,
    visitor: &mut dyn Visitor,
) -> Result<Vec<u8>, SnapshotError> {
    let mut parser = Parser::new(Box::new(source), Path::new(name), field_bytes_max, visitor);
    parser.body()?;
    Ok(parser.stream.held().to_vec())
}

struct Parser<'a> {
    stream: Stream<'a>,
    path: &'a Path,
    field_bytes_max: usize,
    visitor: &'a mut dyn Visitor,
}

impl<'a> Parser<'a> {
    fn new(
        source: Box<dyn Read + 'a>,
        path: &'a Path,
        field_bytes_max: usize,
        visitor: &'a mut dyn Visitor,
    ) -> Self {
        Self { stream: Stream::new(source), path, field_bytes_max, visitor }
    }

    fn whole(&mut self) -> Result<Loaded, SnapshotError> {
        let header = self.fixed(format::HEADER.len())?;
        if !header.starts_with(&MAGIC) {
            return Err(self.damaged("it does not begin with ZKSN"));
        }
        self.stream.consume(format::HEADER.len());
        self.body()?;
        let checksum = self.stream.checksum();
        let seal = self.fixed(SEAL_BYTES)?;
        if !is_seal(seal, &checksum) {
            return Err(self.damaged("checksum mismatch"));
        }
        self.stream.consume(SEAL_BYTES);
        self.tail()
    }

    fn body(&mut self) -> Result<(), SnapshotError> {
        for _ in 0..self.int()? {
            let mut fields = Reader::new(self.fixed(12)?);
            let (id, timeout_ms) = (fields.long(), fields.int());
            let taken = self.visitor.session(SessionId(self.decoded(id)?), self.decoded(timeout_ms)?);
            self.taken(taken)?;
            self.stream.consume(12);
        }
        for _ in 0..self.int()? {
            let id = Reader::new(self.fixed(8)?).long();
            let id = self.decoded(id)?;
            self.stream.consume(8);
            let acl = self.list()?;
            let taken = self.visitor.acl(id, acl);
            self.taken(taken)?;
        }
        while self.node()? {}
        Ok(())
    }

    fn int(&mut self) -> Result<i32, SnapshotError> {
        let value = Reader::new(self.fixed(4)?).int();
        self.stream.consume(4);
        self.decoded(value)
    }

    /// A list's length in bytes is not known before it is decoded: try with ever more of them.
    fn list(&mut self) -> Result<Vec<Acl>, SnapshotError> {
        let bytes_max = self.field_bytes_max.max(LIST_BYTES_MIN);
        let mut wanted = 64;
        loop {
            let more = self.held(wanted)?;
            let mut reader = Reader::new(self.stream.held());
            match Vector::<Acl>::decode(&mut reader) {
                Ok(Some(acl)) => {
                    let consumed = reader.offset();
                    self.stream.consume(consumed);
                    return Ok(acl);
                }
                Ok(None) => return Err(self.damaged("an access control list is missing")),
                Err(_) if more && wanted < bytes_max => wanted = wanted.max(self.stream.held().len()) * 2,
                Err(error) => return Err(self.damaged(&error.to_string())),
            }
        }
    }

    /// One node; false at the end mark.
    fn node(&mut self) -> Result<bool, SnapshotError> {
        let path_bytes = self.length_at(0)?.ok_or_else(|| self.damaged("a node has no path"))?;
        let path_end = 4 + path_bytes;
        if path_bytes == 1 && self.fixed(END.len())? == END {
            self.stream.consume(END.len());
            return Ok(false);
        }
        let data_bytes = self.length_at(path_end)?.unwrap_or(0);
        let total = path_end + 4 + data_bytes + 8 + STAT_BYTES;
        self.fixed(total)?;
        let taken = visit_node(self.stream.held(), self.visitor);
        let taken = self.decoded(taken)?;
        self.taken(taken)?;
        self.stream.consume(total);
        Ok(true)
    }

    /// The length that stands `skip` bytes ahead; `None` is null.
    fn length_at(&mut self, skip: usize) -> Result<Option<usize>, SnapshotError> {
        let length = Reader::new(self.fixed(skip + 4)?.get(skip..).unwrap_or_default()).int();
        let length = self.decoded(length)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.field_bytes_max => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            _ => Err(self.damaged(&format!(
                "unreasonable length {length}; at most {} are taken, so if it is right set jute.maxbuffer to \
                 what it was when this was written",
                self.field_bytes_max
            ))),
        }
    }

    /// What follows the first seal depends on version and settings of the writer, and nothing but the
    /// seals tells which: digest and last zxid, either, or none.
    fn tail(&mut self) -> Result<Loaded, SnapshotError> {
        self.held(TAIL_BYTES_MAX)?;
        let checksum = self.stream.checksum();
        let tail = self.stream.held();
        let mut loaded = Loaded { zxid_from_name: Zxid::ZERO, digest: None, last_zxid: None };
        let mut at = 0;
        if let Ok((digest, end)) = read_digest(tail)
            && is_sealed(tail, end, &checksum)
        {
            loaded.digest = Some(digest);
            at = end + SEAL_BYTES;
        }
        let rest = tail.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(loaded);
        }
        if !is_sealed(tail, at + 8, &checksum) {
            return Err(self.damaged("checksum mismatch after the nodes"));
        }
        loaded.last_zxid = Reader::new(rest).long().ok().map(Zxid);
        Ok(loaded)
    }

    /// Exactly `count` bytes, not consumed.
    #[inline]
    fn fixed(&mut self, count: usize) -> Result<&[u8], SnapshotError> {
        if self.held(count)? {
            Ok(self.stream.held().get(..count).unwrap_or_default())
        } else {
            Err(self.damaged("the snapshot ends too early"))
        }
    }

    #[inline]
    fn held(&mut self, count: usize) -> Result<bool, SnapshotError> {
        self.stream.hold(count).map_err(|error| self.failed(error))
    }

    /// A compressor's complaint is damage; anything else is the disk's.
    fn failed(&self, error: io::Error) -> SnapshotError {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        if error.raw_os_error().is_none()
            && matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
        {
            return self.damaged(&error.to_string());
        }
        DiskError::at("read the snapshot", self.path, self.stream.offset(), error).into()
    }

    fn decoded<T>(&self, decoded: Result<T, DecodeError>) -> Result<T, SnapshotError> {
        decoded.map_err(|error| self.damaged(&error.to_string()))
    }

    fn taken(&self, taken: Result<(), String>) -> Result<(), SnapshotError> {
        let (path, offset) = (self.path, self.stream.offset());
        taken.map_err(|reason| SnapshotError::Refused { path: path.to_owned(), offset, reason })
    }

    fn damaged(&self, problem: &str) -> SnapshotError {
        let (path, offset) = (self.path.to_owned(), self.stream.offset());
        SnapshotError::Damaged { path, offset, problem: problem.to_owned() }
    }
}

/// Hands out the node that `bytes` begin with. The outer error is the bytes', the inner the visitor's.
fn visit_node(bytes: &[u8], visitor: &mut dyn Visitor) -> Result<Result<(), String>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (path, data, acl) = (reader.ustring()?, reader.buffer()?, reader.long()?);
    let stat = StatPersisted::decode(&mut reader)?;
    Ok(visitor.node(&path.unwrap_or_default(), data, acl, stat))
}

/// Zxid, version and digest, and where they end.
fn read_digest(tail: &[u8]) -> Result<((Zxid, i32, i64), usize), DecodeError> {
    let mut reader = Reader::new(tail);
    let (zxid, version) = (Zxid(reader.long()?), reader.int()?);
    let digest = if version < 2 {
        let digits = reader.ustring()?.unwrap_or_default();
        u64::from_str_radix(&digits, 16).unwrap_or(0).cast_signed()
    } else {
        reader.long()?
    };
    Ok(((zxid, version, digest), reader.offset()))
}

/// Whether a right seal stands at `end`, where `checksum` covers everything before `tail`.
fn is_sealed(tail: &[u8], end: usize, checksum: &Adler32) -> bool {
    let (Some(content), Some(seal)) = (tail.get(..end), tail.get(end..end + SEAL_BYTES)) else {
        return false;
    };
    let mut checksum = checksum.clone();
    checksum.write(content);
    is_seal(seal, &checksum)
}

fn is_seal(seal: &[u8], checksum: &Adler32) -> bool {
    seal.strip_prefix(&u64::from(checksum.finish()).to_be_bytes()).is_some_and(|end| end == END)
}
