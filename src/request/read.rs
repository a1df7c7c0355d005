//! Everything that is answered from the tree as it stands (reference: `FinalRequestProcessor`).
//!
//! Looking and registering a watch happen under one hold of the tree, so that no change falls between
//! them.

use std::borrow::Cow;

use jute::multi::{MultiReadOp, MultiRequest};
use jute::records::Record;
use jute::records::data::{Acl, ClientInfo, Stat};
use jute::{Code, DecodeError, OpCode, Reader, SessionId, Vector, Zxid, write};

use super::replies::Replies;
use super::reply::{end_multi, write_multi_header};
use super::unfinished::{Meter, Missing, Seen, write_name};
use super::{ConnectionId, Options};
use crate::tree::acl::perms;
use crate::tree::listing::{Progress, Walk};
use crate::tree::{Identities, Identity, Node, NodeId, SaslRule, Tree};
use crate::watch::{EventType, WatcherType, Watches};

/// Memory the watches of a connection may take: half a million of them and more. The reference has no
/// bound but its memory.
pub const WATCH_BYTES_MAX: usize = 128 << 20;

/// The way to the watches. A read that sets none must not pay for a lock, so it is handed this and not the
/// watches themselves.
pub trait WatchAccess {
    /// Runs `act` with the watches, unless the connection is gone: then nobody would remove them again.
    fn with(&self, act: &mut dyn FnMut(&mut Watches));

    /// Notes that the connection has more watches than [`WATCH_BYTES_MAX`].
    fn set_over_limit(&self);

    /// Whether that was noted.
    fn is_over_limit(&self) -> bool;
}

/// One read, and what it is answered from.
pub struct Read<'a> {
    /// Switches.
    pub options: &'a Options,
    /// The tree as it stands.
    pub tree: &'a Tree,
    /// Where watches are left and looked for.
    pub watches: &'a dyn WatchAccess,
    /// Who asks, and is told of changes.
    pub connection: ConnectionId,
    /// In which session.
    pub session: SessionId,
    /// As whom.
    pub identities: &'a Identities,
    /// Hears of each node that was read.
    pub meter: Meter<'a>,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this code.
    Answered(Code),
    /// It was answered, and the connection has more watches than [`WATCH_BYTES_MAX`]: it must end.
    TooManyWatches,
}

impl std::fmt::Debug for Read<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Zxid of events that catch up after a reconnect.
const CATCH_UP_ZXID: Zxid = Zxid(-1);
/// What the server answers every ping with, whatever xid came.
const PING_XID: i32 = -2;

/// How watches on a null path are kept, which the reference allows and prints like this. No node has
/// this path, so they never fire.
const NULL_PATH: &str = "null";
/// Bytes of results a `multiRead` may come to before its last part. Clients take a few megabytes, and all of
/// it is built before any of it is sent.
const MULTI_READ_BYTES_MAX: usize = 16 << 20;

fn malformed(_: DecodeError) -> Code {
    Code::MARSHALLING_ERROR
}

impl Read<'_> {
    /// Answers one request; events that catch up go before the reply.
    pub fn answer(&self, xid: i32, op: OpCode, body: &[u8], out: &mut Replies) -> Outcome {
        let code = self.append_answer(xid, op, body, out);
        if self.watches.is_over_limit() { Outcome::TooManyWatches } else { Outcome::Answered(code) }
    }

    fn append_answer(&self, xid: i32, op: OpCode, body: &[u8], out: &mut Replies) -> Code {
        let zxid = self.tree.last_zxid();
        let mut reader = Reader::new(body);
        if matches!(op, OpCode::SET_WATCHES | OpCode::SET_WATCHES2) {
            let outcome = self.set_watches(op, &mut reader, out);
            return out.reply(xid, zxid, |_| outcome);
        }
        if op == OpCode::MULTI_READ {
            return out.reply_in_slices(xid, zxid, |out, missing| self.multi_read(&mut reader, out, missing));
        }
        let xid = if op == OpCode::PING { PING_XID } else { xid };
        out.reply_in_slices(xid, zxid, |out, missing| {
            let start = out.len();
            match self.write_body(op, &mut reader, out, missing) {
                Ok(()) => Code::OK,
                Err(code) => {
                    out.truncate(start);
                    code
                }
            }
        })
    }

    fn write_body(
        &self,
        op: OpCode,
        reader: &mut Reader<'_>,
        out: &mut Vec<u8>,
        missing: &mut Vec<Missing>,
    ) -> Result<(), Code> {
        match op {
            OpCode::PING => Ok(()),
            OpCode::GET_DATA => {
                let (path, watch) = path_and_flag(reader)?;
                let stat = self.get_data(&path, watch, out)?;
                (self.meter)(Seen::Reply { op, path: &path, stat: &stat });
                Ok(())
            }
            OpCode::EXISTS => {
                let (path, watch) = path_and_flag(reader)?;
                self.exists(&path, watch, out)
            }
            OpCode::GET_CHILDREN => {
                let (path, watch) = path_and_flag(reader)?;
                self.get_children(&path, watch, out, missing).map(drop)
            }
            OpCode::GET_CHILDREN2 => {
                let (path, watch) = path_and_flag(reader)?;
                let node = self.get_children(&path, watch, out, missing)?;
                let stat = self.tree.stat(node);
                stat.encode(out);
                (self.meter)(Seen::Reply { op, path: &path, stat: &stat });
                Ok(())
            }
            OpCode::GET_ACL => self.get_acl(&required_path(reader)?, out),
            OpCode::GET_ALL_CHILDREN_NUMBER => self.get_all_children_number(&required_path(reader)?, out),
            OpCode::GET_EPHEMERALS => {
                let prefix = reader.ustring().map_err(malformed)?;
                self.get_ephemerals(prefix.as_deref(), out);
                Ok(())
            }
            OpCode::SYNC => {
                let path = reader.ustring().map_err(malformed)?;
                write::ustring(out, path.as_deref());
                Ok(())
            }
            OpCode::WHO_AM_I => {
                self.who_am_i().encode(out);
                Ok(())
            }
            OpCode::ADD_WATCH => self.add_watch(reader, out),
            OpCode::CHECK_WATCHES => self.check_watches(reader),
            OpCode::REMOVE_WATCHES => self.remove_watches(reader),
            _ => Err(Code::UNIMPLEMENTED),
        }
    }

    fn readable(&self, path: &str, wanted: i32) -> Result<&Node, Code> {
        self.readable_id(path, wanted).map(|id| self.tree.node(id))
    }

    fn readable_id(&self, path: &str, wanted: i32) -> Result<NodeId, Code> {
        let id = self.tree.find(path).ok_or(Code::NO_NODE)?;
        let acl = self.tree.node(id).acl();
        if self.tree.acls().permits(acl, wanted, self.identities, self.options.acl) {
            Ok(id)
        } else {
            Err(Code::NO_AUTH)
        }
    }

    fn watch(&self, add: impl Fn(&mut Watches)) {
        self.watches.with(&mut |watches| {
            add(watches);
            if watches.bytes_of(self.connection) > WATCH_BYTES_MAX {
                self.watches.set_over_limit();
            }
        });
    }

    fn get_data(&self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<Stat, Code> {
        let node = self.readable(path, perms::READ)?;
        if watch {
            self.watch(|watches| watches.add_data(path, self.connection));
        }
        write::buffer(out, node.data());
        let stat = self.tree.stat(node);
        stat.encode(out);
        (self.meter)(Seen::Node { path, bytes: node.data().map_or(0, <[u8]>::len) });
        Ok(stat)
    }

    /// A watch is left on what does not exist too.
    fn exists(&self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<(), Code> {
        if path.contains('\0') {
            return Err(Code::BAD_ARGUMENTS);
        }
        let node = match self.readable(path, perms::READ) {
            Err(Code::NO_NODE) => None,
            node => Some(node?),
        };
        if watch {
            self.watch(|watches| watches.add_data(path, self.connection));
        }
        self.tree.stat(node.ok_or(Code::NO_NODE)?).encode(out);
        (self.meter)(Seen::Node { path, bytes: 0 });
        Ok(())
    }

    /// Names of a node with very many children are left out, and noted as missing.
    fn get_children(
        &self,
        path: &str,
        watch: bool,
        out: &mut Vec<u8>,
        missing: &mut Vec<Missing>,
    ) -> Result<&Node, Code> {
        let id = self.readable_id(path, perms::READ)?;
        if watch {
            self.watch(|watches| watches.add_child(path, self.connection));
        }
        let node = self.tree.node(id);
        let count = node.children().len();
        write::int(out, i32::try_from(count).unwrap_or(i32::MAX));
        let mut walk = Walk::new(self.tree, id);
        let mut bytes = 0;
        let progress = walk.slice(self.tree, &mut |name| {
            bytes += name.len();
            write_name(out, name);
        });
        if progress == Progress::Done {
            (self.meter)(Seen::Node { path, bytes });
        } else {
            let names = count - walk.left();
            let (path, listing) = (path.to_owned(), self.tree.follow(walk));
            missing.push(Missing { at: out.len(), path, listing, bytes, names });
        }
        Ok(node)
    }

    /// Whoever may not administer the node is not shown password hashes.
    fn get_acl(&self, path: &str, out: &mut Vec<u8>) -> Result<(), Code> {
        let node = self.readable(path, perms::READ | perms::ADMIN)?;
        let list = self.tree.acls().list(node.acl());
        let may_see = self.readable(path, perms::ADMIN).is_ok();
        write::int(out, i32::try_from(list.len()).unwrap_or(i32::MAX));
        for acl in list.iter() {
            if may_see { acl.encode(out) } else { with_hash_masked(acl).encode(out) }
        }
        self.tree.stat(node).encode(out);
        Ok(())
    }

    fn get_all_children_number(&self, path: &str, out: &mut Vec<u8>) -> Result<(), Code> {
        self.readable(path, perms::READ)?;
        let id = self.tree.find(path).ok_or(Code::NO_NODE)?;
        // The reference counts what starts with the path and a slash; for the empty path, that is all.
        let alias = usize::from(path.is_empty());
        write::int(out, i32::try_from(self.tree.descendants(id) + alias).unwrap_or(i32::MAX));
        Ok(())
    }

    fn get_ephemerals(&self, prefix: Option<&str>, out: &mut Vec<u8>) {
        let is_blank = |prefix: &str| matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
        let prefix = prefix.filter(|prefix| !is_blank(prefix)).unwrap_or("");
        let found = self.tree.ephemerals_below(self.session, prefix);
        write::int(out, i32::try_from(found.clone().count()).unwrap_or(i32::MAX));
        found.for_each(|path| write::ustring(out, Some(path)));
    }

    fn who_am_i(&self) -> Vector<ClientInfo> {
        let user = |identity: &Identity| match identity.scheme.as_str() {
            "digest" => identity.id.split(':').next().unwrap_or_default().to_owned(),
            "super" => String::new(),
            // The reference names users of schemes that have a provider.
            "sasl" if self.options.acl.sasl == SaslRule::Off => String::new(),
            _ => identity.id.clone(),
        };
        let info = |identity: &Identity| ClientInfo {
            auth_scheme: Some(identity.scheme.clone()),
            user: Some(user(identity)),
        };
        Some(self.identities.iter().map(info).collect())
    }

    fn add_watch(&self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        let path = reader.ustring().map_err(malformed)?;
        let mode = reader.int().map_err(malformed)?;
        let path = path.as_deref().unwrap_or(NULL_PATH);
        match mode {
            0 => self.watch(|watches| watches.add_persistent(path, self.connection)),
            1 => self.watch(|watches| watches.add_persistent_recursive(path, self.connection)),
            _ => return Err(Code::MARSHALLING_ERROR),
        }
        write::int(out, 0);
        Ok(())
    }

    fn check_watches(&self, reader: &mut Reader<'_>) -> Result<(), Code> {
        let (path, kind) = path_and_watcher_type(reader)?;
        let mut has = false;
        self.watches.with(&mut |watches| has = watches.contains(&path, kind, self.connection));
        if has { Ok(()) } else { Err(Code::NO_WATCHER) }
    }

    fn remove_watches(&self, reader: &mut Reader<'_>) -> Result<(), Code> {
        let (path, kind) = path_and_watcher_type(reader)?;
        let mut removed = false;
        self.watches.with(&mut |watches| removed = watches.remove(&path, kind, self.connection));
        if removed { Ok(()) } else { Err(Code::NO_WATCHER) }
    }

    /// Each part succeeds or fails for itself; watch flags are ignored. At a part that cannot be carried
    /// out the reference stops with an error, and sends what it has so far with it. A reply
    /// that grows beyond [`MULTI_READ_BYTES_MAX`] is none: a few bytes of request can ask for the largest
    /// node again and again.
    fn multi_read(&self, reader: &mut Reader<'_>, out: &mut Vec<u8>, missing: &mut Vec<Missing>) -> Code {
        let Ok(request) = MultiRequest::decode(reader) else { return Code::MARSHALLING_ERROR };
        let (ops, mut code) = match request {
            MultiRequest::Read(ops) => (ops, Code::OK),
            MultiRequest::Write(ops) if ops.is_empty() => (Vec::new(), Code::OK),
            MultiRequest::Write(_) => (Vec::new(), Code::MARSHALLING_ERROR),
        };
        let body = out.len();
        for op in ops {
            let start = out.len();
            let expected: usize = missing.iter().map(Missing::expected_bytes).sum();
            if start - body + expected > MULTI_READ_BYTES_MAX {
                out.truncate(body);
                missing.clear();
                return Code::MARSHALLING_ERROR;
            }
            let (kind, path) = match op {
                MultiReadOp::GetData(request) => (OpCode::GET_DATA, request.path),
                MultiReadOp::GetChildren(request) => (OpCode::GET_CHILDREN, request.path),
            };
            let Some(path) = path else {
                code = Code::MARSHALLING_ERROR;
                break;
            };
            write_multi_header(out, kind, Code::OK);
            let outcome = if kind == OpCode::GET_DATA {
                self.get_data(&path, false, out).map(drop)
            } else {
                self.get_children(&path, false, out, missing).map(drop)
            };
            if let Err(code) = outcome {
                out.truncate(start);
                write_multi_header(out, OpCode::ERROR, code);
                write::int(out, code.0);
            }
        }
        end_multi(out);
        code
    }

    /// Registers a reconnecting client's watches again, and tells it at once of what it missed
    /// (reference: `DataTree.setWatches`).
    fn set_watches(&self, op: OpCode, reader: &mut Reader<'_>, out: &mut Replies) -> Result<(), Code> {
        let seen = Zxid(reader.long().map_err(malformed)?);
        let mut list = || Vector::<jute::Ustring>::decode(reader).map_err(malformed);
        let (data, exist, child) = (list()?, list()?, list()?);
        let (persistent, recursive) = if op == OpCode::SET_WATCHES2 {
            (list()?, list()?)
        } else {
            (Some(Vec::new()), Some(Vec::new()))
        };
        let paths = |list: Vector<jute::Ustring>| list.ok_or(Code::MARSHALLING_ERROR);
        let id = self.connection;
        for path in paths(data)? {
            let path = path.ok_or(Code::MARSHALLING_ERROR)?;
            match self.tree.get(&path) {
                None => out.notify(EventType::NodeDeleted, &path, CATCH_UP_ZXID),
                Some(node) if node.mzxid() > seen => {
                    out.notify(EventType::NodeDataChanged, &path, CATCH_UP_ZXID);
                }
                Some(_) => self.watch(|watches| watches.add_data(&path, id)),
            }
        }
        for path in paths(exist)? {
            let path = path.ok_or(Code::MARSHALLING_ERROR)?;
            match self.tree.get(&path) {
                Some(_) => out.notify(EventType::NodeCreated, &path, CATCH_UP_ZXID),
                None => self.watch(|watches| watches.add_data(&path, id)),
            }
        }
        for path in paths(child)? {
            let path = path.ok_or(Code::MARSHALLING_ERROR)?;
            match self.tree.get(&path) {
                None => out.notify(EventType::NodeDeleted, &path, CATCH_UP_ZXID),
                Some(node) if node.pzxid() > seen => {
                    out.notify(EventType::NodeChildrenChanged, &path, CATCH_UP_ZXID);
                }
                Some(_) => self.watch(|watches| watches.add_child(&path, id)),
            }
        }
        for path in paths(persistent)? {
            self.watch(|watches| watches.add_persistent(path.as_deref().unwrap_or(NULL_PATH), id));
        }
        for path in paths(recursive)? {
            self.watch(|watches| watches.add_persistent_recursive(path.as_deref().unwrap_or(NULL_PATH), id));
        }
        Ok(())
    }
}

/// `user:hash` as `user:x`.
fn with_hash_masked(acl: &Acl) -> Acl {
    let mut shown = acl.clone();
    if acl.id.scheme.as_deref() == Some("digest")
        && let Some((user, _)) = acl.id.id.as_deref().and_then(|id| id.split_once(':'))
    {
        shown.id.id = Some(format!("{user}:x"));
    }
    shown
}

fn required_path<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Code> {
    reader.ustring().map_err(malformed)?.ok_or(Code::MARSHALLING_ERROR)
}

fn path_and_flag<'a>(reader: &mut Reader<'a>) -> Result<(Cow<'a, str>, bool), Code> {
    let path = reader.ustring().map_err(malformed)?;
    let flag = reader.boolean().map_err(malformed)?;
    Ok((path.ok_or(Code::MARSHALLING_ERROR)?, flag))
}

fn path_and_watcher_type<'a>(reader: &mut Reader<'a>) -> Result<(Cow<'a, str>, WatcherType), Code> {
    let path = reader.ustring().map_err(malformed)?.unwrap_or(NULL_PATH.into());
    let kind = reader.int().map_err(malformed)?;
    Ok((path, WatcherType::from_wire(kind).ok_or(Code::MARSHALLING_ERROR)?))
}
