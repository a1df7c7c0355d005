//! What to ask for.

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest,
    ExistsRequest, GetACLRequest, GetDataRequest, MultiHeader, RemoveWatchesRequest, SetACLRequest,
    SetDataRequest, SetWatches2,
};
use jute::{OpCode, Zxid, write};

use super::Ask;

/// An entry of an access control list.
pub(in crate::net) fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
}

/// A plain node that is open to all.
pub(in crate::net) fn create(path: &str, data: &[u8]) -> Ask {
    create_with(path, data, vec![acl(31, "world", "anyone")], 0)
}

/// A node; the flags are 1 for ephemeral, 2 for sequential, 4 for a container.
pub(in crate::net) fn create_with(path: &str, data: &[u8], acl: Vec<Acl>, flags: i32) -> Ask {
    let (path, data, acl) = (Some(path.into()), Some(data.to_vec()), Some(acl));
    (OpCode::CREATE, CreateRequest { path, data, acl, flags }.to_bytes())
}

/// An ephemeral.
pub(in crate::net) fn ephemeral(path: &str) -> Ask {
    create_with(path, b"", vec![acl(31, "world", "anyone")], 1)
}

pub(in crate::net) fn set_data(path: &str, data: &[u8], version: i32) -> Ask {
    let (path, data) = (Some(path.into()), Some(data.to_vec()));
    (OpCode::SET_DATA, SetDataRequest { path, data, version }.to_bytes())
}

pub(in crate::net) fn delete(path: &str) -> Ask {
    (OpCode::DELETE, DeleteRequest { path: Some(path.into()), version: -1 }.to_bytes())
}

pub(in crate::net) fn get_data(path: &str, watch: bool) -> Ask {
    (OpCode::GET_DATA, GetDataRequest { path: Some(path.into()), watch }.to_bytes())
}

pub(in crate::net) fn get_acl(path: &str) -> Ask {
    (OpCode::GET_ACL, GetACLRequest { path: Some(path.into()) }.to_bytes())
}

/// A watch that stays; recursive with mode 1.
pub(in crate::net) fn add_watch(path: &str, mode: i32) -> Ask {
    (OpCode::ADD_WATCH, AddWatchRequest { path: Some(path.into()), mode }.to_bytes())
}

pub(in crate::net) fn auth(scheme: &str, credentials: &[u8]) -> Ask {
    let (scheme, auth) = (Some(scheme.into()), Some(credentials.to_vec()));
    (OpCode::AUTH, AuthPacket { r#type: 0, scheme, auth }.to_bytes())
}

pub(in crate::net) fn ping() -> Ask {
    (OpCode::PING, Vec::new())
}

pub(in crate::net) fn close_session() -> Ask {
    (OpCode::CLOSE_SESSION, Vec::new())
}

/// What everybody may do everything with.
pub(in crate::net) fn open_acl() -> Vec<Acl> {
    vec![acl(31, "world", "anyone")]
}

/// A creation by another operation, which is answered otherwise.
pub(in crate::net) fn create_as(op: OpCode, path: &str, data: &[u8]) -> Ask {
    let flags = if op == OpCode::CREATE_CONTAINER { CreateMode::Container as i32 } else { 0 };
    let (path, data, acl) = (Some(path.into()), Some(data.to_vec()), Some(open_acl()));
    (op, CreateRequest { path, data, acl, flags }.to_bytes())
}

/// A node that goes by itself some time after its last change.
pub(in crate::net) fn create_ttl(path: &str, data: &[u8], flags: i32, ttl: i64) -> Ask {
    let (path, data, acl) = (Some(path.into()), Some(data.to_vec()), Some(open_acl()));
    (OpCode::CREATE_TTL, CreateTTLRequest { path, data, acl, flags, ttl }.to_bytes())
}

pub(in crate::net) fn delete_version(path: &str, version: i32) -> Ask {
    (OpCode::DELETE, DeleteRequest { path: Some(path.into()), version }.to_bytes())
}

pub(in crate::net) fn set_acl(path: &str, acl: Vec<Acl>, version: i32) -> Ask {
    (OpCode::SET_ACL, SetACLRequest { path: Some(path.into()), acl: Some(acl), version }.to_bytes())
}

/// A check in a multi.
pub(in crate::net) fn check(path: &str, version: i32) -> Ask {
    (OpCode::CHECK, CheckVersionRequest { path: Some(path.into()), version }.to_bytes())
}

pub(in crate::net) fn exists(path: &str, watch: bool) -> Ask {
    (OpCode::EXISTS, ExistsRequest { path: Some(path.into()), watch }.to_bytes())
}

/// The names of a node's children; `with_stat` by the operation that tells the node's stat too.
pub(in crate::net) fn get_children(path: &str, watch: bool, with_stat: bool) -> Ask {
    let op = if with_stat { OpCode::GET_CHILDREN2 } else { OpCode::GET_CHILDREN };
    (op, GetDataRequest { path: Some(path.into()), watch }.to_bytes())
}

/// An operation that only names a path.
pub(in crate::net) fn of_path(op: OpCode, path: &str) -> Ask {
    (op, GetACLRequest { path: Some(path.into()) }.to_bytes())
}

/// Whether there is such a watch, or its removal. Kinds: 1 children, 2 data, 3 any, 4 persistent, 5 recursive.
pub(in crate::net) fn watches(op: OpCode, path: &str, kind: i32) -> Ask {
    (op, RemoveWatchesRequest { path: Some(path.into()), r#type: kind }.to_bytes())
}

/// Several in one; the first operation says whether it is a multi of writes or of reads.
pub(in crate::net) fn multi(op: OpCode, parts: impl IntoIterator<Item = Ask>) -> Ask {
    let mut body = Vec::new();
    for (op, part) in parts {
        MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut body);
        body.extend(part);
    }
    write::int(&mut body, -1);
    write::boolean(&mut body, true);
    write::int(&mut body, -1);
    (op, body)
}

/// Watches as before a reconnect: on data, existence and children, persistent and recursive.
pub(in crate::net) fn set_watches(seen: Zxid, lists: &[&[String]; 5]) -> Ask {
    let list = |at: usize| lists.get(at).map(|paths| paths.iter().cloned().map(Some).collect());
    let request = SetWatches2 {
        relative_zxid: seen,
        data_watches: list(0),
        exist_watches: list(1),
        child_watches: list(2),
        persistent_watches: list(3),
        persistent_recursive_watches: list(4),
    };
    (OpCode::SET_WATCHES2, request.to_bytes())
}
