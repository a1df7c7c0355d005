//! Everything that is answered from the tree as it stands (reference: `FinalRequestProcessor`).
//!
//! Looking and registering a watch happen under one hold of the tree, so that no change falls between
//! them.

use std::borrow::Cow;

use jute::records::Record;
use jute::records::data::{Acl, ClientInfo, Stat};
use jute::{Code, DecodeError, OpCode, Reader, SessionId, Vector, write};

use super::access::permission;
use super::replies::Replies;
use super::unfinished::{Meter, Missing, Seen, Unfinished, write_name};
use super::{ConnectionId, Options};
use crate::tree::acl::perms;
use crate::tree::listing::{Progress, Walk};
use crate::tree::{Identities, Identity, Node, NodeId, SaslRule, Tree};
use crate::watch::{WatcherType, Watches};

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

/// What the server answers every ping with, whatever xid came.
const PING_XID: i32 = -2;

/// How watches on a null path are kept, which the reference allows and prints like this. No node has
/// this path, so they never fire.
pub(super) const NULL_PATH: &str = "null";

/// Whether answering may take so long that it is done in slices.
#[must_use]
pub const fn is_made_in_slices(op: OpCode) -> bool {
    matches!(op, OpCode::SET_WATCHES | OpCode::SET_WATCHES2 | OpCode::MULTI_READ | OpCode::GET_EPHEMERALS)
}

pub(super) fn malformed(_: DecodeError) -> Code {
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
        if is_made_in_slices(op) {
            return match Unfinished::new(op, xid, zxid, &mut reader) {
                Ok(reply) => {
                    out.begin(reply, self);
                    Code::OK
                }
                Err(code) => out.reply(xid, zxid, |_| Err(code)),
            };
        }
        let xid = if op == OpCode::PING { PING_XID } else { xid };
        out.reply_in_slices(xid, zxid, |out, missing| {
            self.write_body(op, &mut reader, out, missing).err().unwrap_or(Code::OK)
        })
    }

    /// Where it fails, it has written nothing: errors have no body.
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

    pub(super) fn watch(&self, add: impl Fn(&mut Watches)) {
        self.watches.with(&mut |watches| {
            add(watches);
            if watches.bytes_of(self.connection) > WATCH_BYTES_MAX {
                self.watches.set_over_limit();
            }
        });
    }

    pub(super) fn get_data(&self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<Stat, Code> {
        let node = self.readable(path, permission(OpCode::GET_DATA))?;
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
        let node = match self.readable(path, permission(OpCode::EXISTS)) {
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
    pub(super) fn get_children(
        &self,
        path: &str,
        watch: bool,
        out: &mut Vec<u8>,
        missing: &mut Vec<Missing>,
    ) -> Result<&Node, Code> {
        let id = self.readable_id(path, permission(OpCode::GET_CHILDREN))?;
        if watch {
            self.watch(|watches| watches.add_child(path, self.connection));
        }
        let node = self.tree.node(id);
        let count = node.children().len();
        write::int(out, i32::try_from(count).unwrap_or(i32::MAX));
        let mut walk = Walk::new(self.tree, id);
        let mut bytes = 0;
        let progress = walk.slice(self.tree, |name: &[u8]| {
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
        let node = self.readable(path, permission(OpCode::GET_ACL))?;
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
        self.readable(path, permission(OpCode::GET_ALL_CHILDREN_NUMBER))?;
        let id = self.tree.find(path).ok_or(Code::NO_NODE)?;
        // The reference counts what starts with the path and a slash; for the empty path, that is all.
        let alias = usize::from(path.is_empty());
        write::int(out, i32::try_from(self.tree.descendants(id) + alias).unwrap_or(i32::MAX));
        Ok(())
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
