//! Registering the watches of a client that comes back, and telling it at once of what it missed (reference:
//! `DataTree.setWatches`). A request may name a hundred thousand paths: they are taken in slices, between which others
//! have the tree. Each path is looked at and watched under one hold; what changes later fires the watch.

use jute::{Code, OpCode, Reader, Zxid};

use super::read::{NULL_PATH, Read, malformed};
use super::replies::Replies;
use crate::tree::listing::Progress;
use crate::watch::EventType;

/// Paths that are looked at in one slice: half a millisecond's work.
pub const SLICE_PATHS: usize = 1024;

/// Zxid of events that catch up after a reconnect.
const CATCH_UP_ZXID: Zxid = Zxid(-1);

/// What a list of the request names.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// The lists of a request, in order; the first kind of request has only the first three.
const KINDS: [Kind; 5] = [Kind::Data, Kind::Exist, Kind::Child, Kind::Persistent, Kind::Recursive];
const OLD_KINDS: usize = 3;

/// A request, as far as it was carried out.
#[derive(Debug)]
pub(super) struct SetWatches {
    xid: i32,
    /// Zxid of the reply.
    zxid: Zxid,
    /// The newest change that the client knows.
    seen: Zxid,
    /// The lists as they came, and how far they are read.
    lists: Vec<u8>,
    at: usize,
    /// The lists that have not begun, and the paths that are left of the one that has.
    kinds: &'static [Kind],
    kind: Kind,
    left: usize,
}

impl SetWatches {
    /// Begins with a request.
    ///
    /// # Errors
    /// When it does not decode: nothing is watched then.
    pub(super) fn new(op: OpCode, xid: i32, zxid: Zxid, reader: &mut Reader<'_>) -> Result<Self, Code> {
        let kinds = if op == OpCode::SET_WATCHES2 { &KINDS[..] } else { &KINDS[..OLD_KINDS] };
        let seen = Zxid(reader.long().map_err(malformed)?);
        let lists = reader.rest();
        let begin = reader.offset();
        for _ in kinds {
            for _ in 0..reader.vector_length().map_err(malformed)?.unwrap_or(0) {
                reader.buffer().map_err(malformed)?;
            }
        }
        let lists = lists.get(..reader.offset() - begin).unwrap_or_default().to_vec();
        Ok(Self { xid, zxid, seen, lists, at: 0, kinds, kind: Kind::Data, left: 0 })
    }

    /// Bytes that are held for it.
    pub(super) const fn len(&self) -> usize {
        self.lists.len()
    }

    /// Takes in some more paths; the reply follows the last one.
    pub(super) fn slice(&mut self, read: &Read<'_>, out: &mut Replies) -> Progress {
        let lists = std::mem::take(&mut self.lists);
        let mut reader = Reader::new(lists.get(self.at..).unwrap_or_default());
        let outcome = self.take_in(&mut reader, read, out);
        self.at += reader.offset();
        self.lists = lists;
        match outcome {
            Ok(Progress::Done) => out.reply(self.xid, self.zxid, |_| Ok(())),
            Ok(progress) => return progress,
            Err(code) => out.reply(self.xid, self.zxid, |_| Err(code)),
        };
        Progress::Done
    }

    fn take_in(
        &mut self,
        reader: &mut Reader<'_>,
        read: &Read<'_>,
        out: &mut Replies,
    ) -> Result<Progress, Code> {
        for _ in 0..SLICE_PATHS {
            while self.left == 0 {
                let Some((kind, rest)) = self.kinds.split_first() else { return Ok(Progress::Done) };
                (self.kind, self.kinds) = (*kind, rest);
                let length = reader.vector_length().map_err(malformed)?;
                self.left = length.ok_or(Code::MARSHALLING_ERROR)?;
            }
            self.left -= 1;
            let path = reader.ustring().map_err(malformed)?;
            self.set(path.as_deref(), read, out)?;
        }
        Ok(Progress::More)
    }

    /// Watches one path, or tells of what happened to it.
    fn set(&self, path: Option<&str>, read: &Read<'_>, out: &mut Replies) -> Result<(), Code> {
        let id = read.connection;
        if let Kind::Persistent | Kind::Recursive = self.kind {
            let path = path.unwrap_or(NULL_PATH);
            read.watch(|watches| match self.kind {
                Kind::Persistent => watches.add_persistent(path, id),
                _ => watches.add_persistent_recursive(path, id),
            });
            return Ok(());
        }
        let path = path.ok_or(Code::MARSHALLING_ERROR)?;
        let missed = match (self.kind, read.tree.get(path)) {
            (Kind::Exist, node) => node.map(|_| EventType::NodeCreated),
            (_, None) => Some(EventType::NodeDeleted),
            (Kind::Data, Some(node)) => (node.mzxid() > self.seen).then_some(EventType::NodeDataChanged),
            (_, Some(node)) => (node.pzxid() > self.seen).then_some(EventType::NodeChildrenChanged),
        };
        match (missed, self.kind) {
            (Some(event), _) => out.notify(event, path, CATCH_UP_ZXID),
            (None, Kind::Child) => read.watch(|watches| watches.add_child(path, id)),
            (None, _) => read.watch(|watches| watches.add_data(path, id)),
        }
        Ok(())
    }
}
