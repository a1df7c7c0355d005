//! Replies that show one state of the tree although they are made in slices, between which it changes: to a multi of
//! reads, which may have tens of thousands of parts, and to the question for a session's ephemerals.
//!
//! Each slice makes sure that what it looks at is as it was when the first one began. Where it is not, all is begun
//! again, and what changes all the time is answered in one go in the end.

use jute::multi::{MultiReadOp, MultiRequest};
use jute::{Code, OpCode, Reader, Zxid, write};

use super::read::{Read, malformed};
use super::replies::REPLY_HEADER_BYTES;
use super::reply::{end_multi, write_multi_header};
use super::unfinished::Missing;
use crate::tree::listing::Progress;

/// Parts of a multi, or paths, that are looked at in one slice: half a millisecond's work.
pub const SLICE_PARTS: usize = 1024;
/// Bytes of a reply after which a slice ends.
const SLICE_BYTES: usize = 128 << 10;
/// How often it is begun in slices.
const ATTEMPTS_MAX: u32 = 4;
/// Bytes of results a `multiRead` may come to before its last part. Clients take a few megabytes, and all of
/// it is built before any of it is sent.
const MULTI_READ_BYTES_MAX: usize = 16 << 20;

/// A reply, as far as it is made.
#[derive(Debug)]
pub(super) struct OneState {
    xid: i32,
    asked: Asked,
    /// The state that it shows.
    began_at: Zxid,
    attempts: u32,
    /// From the place of its length on.
    frame: Vec<u8>,
    missing: Vec<Missing>,
    /// What is missing is expected to take so much.
    missing_bytes: usize,
    /// Parts, or paths, that are in it.
    done: usize,
    code: Code,
}

/// What was asked for.
#[derive(Debug)]
enum Asked {
    /// The results of these reads.
    Reads(Vec<MultiReadOp>),
    /// The ephemerals of the asking session that begin so.
    Ephemerals {
        /// How they begin.
        prefix: String,
        /// The last one that is in the reply.
        last: String,
        /// The session's last change when the first one was looked at.
        change: u64,
    },
}

/// What is looked at is not as it was.
struct Changed;

impl OneState {
    /// Answers a `multiRead`.
    ///
    /// # Errors
    /// When it does not decode.
    pub(super) fn reads(xid: i32, reader: &mut Reader<'_>) -> Result<Self, Code> {
        let (reads, code) = match MultiRequest::decode(reader).map_err(malformed)? {
            MultiRequest::Read(reads) => (reads, Code::OK),
            MultiRequest::Write(writes) if writes.is_empty() => (Vec::new(), Code::OK),
            MultiRequest::Write(_) => (Vec::new(), Code::MARSHALLING_ERROR),
        };
        Ok(Self::new(xid, Asked::Reads(reads), code))
    }

    /// Answers with the session's ephemerals that begin as asked for; with all where that is nothing, or the root.
    ///
    /// # Errors
    /// When it does not decode.
    pub(super) fn ephemerals(xid: i32, reader: &mut Reader<'_>) -> Result<Self, Code> {
        let prefix = reader.ustring().map_err(malformed)?;
        let is_blank = |prefix: &str| matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
        let prefix = prefix.filter(|prefix| !is_blank(prefix)).unwrap_or_default().into_owned();
        Ok(Self::new(xid, Asked::Ephemerals { prefix, last: String::new(), change: 0 }, Code::OK))
    }

    const fn new(xid: i32, asked: Asked, code: Code) -> Self {
        Self {
            xid,
            asked,
            began_at: Zxid::ZERO,
            attempts: 0,
            frame: Vec::new(),
            missing: Vec::new(),
            missing_bytes: 0,
            done: 0,
            code,
        }
    }

    /// Bytes that are there and those that are expected.
    pub(super) fn len(&self) -> usize {
        self.frame.len() + self.missing_bytes
    }

    /// The state that it shows.
    pub(super) const fn zxid(&self) -> Zxid {
        self.began_at
    }

    /// The frame but for its length, and what is missing in it.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<Missing>) {
        (self.frame, self.missing)
    }

    /// Adds some more.
    pub(super) fn slice(&mut self, read: &Read<'_>) -> Progress {
        if self.frame.is_empty() {
            self.begin(read);
        }
        // The last attempt is made in the hold in which it begins.
        let is_last = self.attempts > ATTEMPTS_MAX;
        let (parts, bytes) = if is_last { (usize::MAX, usize::MAX) } else { (SLICE_PARTS, SLICE_BYTES) };
        let most = (parts, self.frame.len().saturating_add(bytes));
        let outcome = match self.asked {
            Asked::Reads(_) => self.read_parts(read, most),
            Asked::Ephemerals { .. } => self.list_ephemerals(read, most),
        };
        match outcome {
            Ok(Progress::Done) => {
                self.finish();
                Progress::Done
            }
            Ok(progress) => progress,
            Err(Changed) => {
                self.frame.clear();
                Progress::More
            }
        }
    }

    fn begin(&mut self, read: &Read<'_>) {
        self.attempts += 1;
        self.began_at = read.tree.last_zxid();
        self.frame.resize(REPLY_HEADER_BYTES, 0);
        self.missing.clear();
        (self.missing_bytes, self.done) = (0, 0);
        match &mut self.asked {
            Asked::Reads(_) => {}
            Asked::Ephemerals { last, change, .. } => {
                last.clear();
                *change = read.tree.last_change_of_ephemerals(read.session);
                write::int(&mut self.frame, 0);
            }
        }
    }

    /// Puts in what is known in the end.
    fn finish(&mut self) {
        let mut header = Vec::new();
        write::int(&mut header, self.xid);
        write::long(&mut header, self.began_at.0);
        write::int(&mut header, self.code.0);
        if let Asked::Ephemerals { .. } = self.asked {
            write::int(&mut header, i32::try_from(self.done).unwrap_or(i32::MAX));
        }
        // The place in front is the length's.
        if let Some(place) = self.frame.get_mut(4..4 + header.len()) {
            place.copy_from_slice(&header);
        }
    }

    /// Each part succeeds or fails for itself; watch flags are ignored. At a part that cannot be carried
    /// out the reference stops with an error, and sends what it has so far with it. A reply
    /// that grows beyond [`MULTI_READ_BYTES_MAX`] is none: a few bytes of request can ask for the largest
    /// node again and again.
    fn read_parts(
        &mut self,
        read: &Read<'_>,
        (parts_max, bytes_max): (usize, usize),
    ) -> Result<Progress, Changed> {
        let Self { asked: Asked::Reads(ops), frame, missing, missing_bytes, code, .. } = self else {
            return Ok(Progress::Done);
        };
        for op in ops.iter().skip(self.done).take(parts_max) {
            let start = frame.len();
            if start >= bytes_max {
                return Ok(Progress::More);
            }
            if start - REPLY_HEADER_BYTES + *missing_bytes > MULTI_READ_BYTES_MAX {
                frame.truncate(REPLY_HEADER_BYTES);
                missing.clear();
                *code = Code::MARSHALLING_ERROR;
                return Ok(Progress::Done);
            }
            let (kind, path) = match op {
                MultiReadOp::GetData(request) => (OpCode::GET_DATA, &request.path),
                MultiReadOp::GetChildren(request) => (OpCode::GET_CHILDREN, &request.path),
            };
            let Some(path) = path.as_deref() else {
                *code = Code::MARSHALLING_ERROR;
                end_multi(frame);
                return Ok(Progress::Done);
            };
            if !read.tree.is_unchanged_since(path, self.began_at) {
                return Err(Changed);
            }
            let listed = missing.len();
            write_multi_header(frame, kind, Code::OK);
            let outcome = if kind == OpCode::GET_DATA {
                read.get_data(path, false, frame).map(drop)
            } else {
                read.get_children(path, false, frame, missing).map(drop)
            };
            if let Err(code) = outcome {
                frame.truncate(start);
                write_multi_header(frame, OpCode::ERROR, code);
                write::int(frame, code.0);
            }
            *missing_bytes +=
                missing.get(listed..).unwrap_or_default().iter().map(Missing::expected_bytes).sum::<usize>();
            self.done += 1;
        }
        if self.done < ops.len() {
            return Ok(Progress::More);
        }
        end_multi(frame);
        Ok(Progress::Done)
    }

    fn list_ephemerals(
        &mut self,
        read: &Read<'_>,
        (paths_max, bytes_max): (usize, usize),
    ) -> Result<Progress, Changed> {
        let Self { asked: Asked::Ephemerals { prefix, last, change }, frame, .. } = self else {
            return Ok(Progress::Done);
        };
        if *change != read.tree.last_change_of_ephemerals(read.session) {
            return Err(Changed);
        }
        let mut newest = None;
        let mut paths = read.tree.ephemerals_below(read.session, prefix, last);
        for path in paths.by_ref().take(paths_max) {
            write::ustring(frame, Some(path));
            self.done += 1;
            newest = Some(path);
            if frame.len() >= bytes_max {
                break;
            }
        }
        let is_over = paths.next().is_none();
        if let Some(newest) = newest {
            newest.clone_into(last);
        }
        Ok(if is_over { Progress::Done } else { Progress::More })
    }
}
