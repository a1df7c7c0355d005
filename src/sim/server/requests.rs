//! What simulated clients ask for.

use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    AddWatchRequest, CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, ExistsRequest,
    GetChildren2Request, GetDataRequest, SetACLRequest, SetDataRequest,
};
use jute::{OpCode, SessionId};

use super::guarded::{self, Proven};
use super::quotas;
use crate::request::testing::multi_body;
use crate::sim::random::Random;

const PATHS: [&str; 10] = ["/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/c/x", "/a/x/1", "/d", "/d/e"];
/// Paths of nodes that are not open to all.
const GUARDED: [&str; 5] = ["/g", "/g/x", "/g/y", "/g/x/1", "/g2"];
/// How many long names there are for ephemerals.
const LONG_NAMES: u64 = 400;

/// One request.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Asked {
    pub(in crate::sim) op: OpCode,
    pub(in crate::sim) body: Vec<u8>,
    /// The watch it leaves when it succeeds, if it leaves one.
    pub(in crate::sim) watch: Option<Watch>,
    /// What its connection had proven when it was sent.
    pub(in crate::sim) proven: Proven,
}

impl Asked {
    /// One that leaves no watch.
    pub(in crate::sim) fn plain(op: OpCode, body: Vec<u8>) -> Self {
        Self { op, body, watch: None, proven: Proven::default() }
    }
}

/// A watch, as a client remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Watch {
    pub(in crate::sim) path: String,
    pub(in crate::sim) kind: WatchKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum WatchKind {
    /// Once, of data and existence.
    Data,
    /// Once, of the children.
    Child,
    /// For ever, of a node and its children.
    Persistent,
    /// For ever, of everything below.
    Recursive,
}

pub(super) fn open_acl() -> Option<Vec<Acl>> {
    Some(vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }])
}

/// Data that nobody else writes, of some length.
fn unique(random: &mut Random, session: SessionId, xid: i32) -> Option<Vec<u8>> {
    let mut data = format!("{:x}/{xid}/", session.0).into_bytes();
    let more = if random.below(20) == 0 { 3000 } else { random.below(40) };
    data.resize(data.len() + more as usize, b'.');
    Some(data)
}

fn path(random: &mut Random) -> String {
    let paths: &[&str] = if random.below(5) == 0 { &GUARDED } else { &PATHS };
    paths[random.below(paths.len() as u64) as usize].to_owned()
}

/// The list of a new node.
fn acl(random: &mut Random, path: &str) -> Option<Vec<Acl>> {
    if guarded::is_guarded(path) { guarded::list(random) } else { open_acl() }
}

/// An ephemeral whose name takes much of what the end of its session may.
pub(super) fn long_ephemeral(random: &mut Random) -> Asked {
    let path = Some(format!("/d/{:0>300}", random.below(LONG_NAMES)));
    Asked::plain(OpCode::CREATE, CreateRequest { path, data: None, acl: open_acl(), flags: 1 }.to_bytes())
}

/// Any request of a client in session.
pub(in crate::sim) fn any(random: &mut Random, session: SessionId, xid: i32) -> Asked {
    let path = path(random);
    let some = Some(path.clone());
    let plain = Asked::plain;
    let version = if random.below(4) == 0 { random.below(3) as i32 } else { -1 };
    match random.below(29) {
        0..=4 => {
            let flags = [0, 0, 1, 2, 3][random.below(5) as usize];
            let data = unique(random, session, xid);
            let acl = acl(random, &path);
            let create = CreateRequest { path: some, data, acl, flags };
            let op = if random.below(2) == 0 { OpCode::CREATE } else { OpCode::CREATE2 };
            plain(op, create.to_bytes())
        }
        5 => {
            let create = CreateRequest { path: some, data: None, acl: open_acl(), flags: 4 };
            plain(OpCode::CREATE_CONTAINER, create.to_bytes())
        }
        6 => {
            let create = CreateTTLRequest { path: some, data: None, acl: open_acl(), flags: 5, ttl: 3000 };
            plain(OpCode::CREATE_TTL, create.to_bytes())
        }
        7..=9 => {
            let data = unique(random, session, xid);
            plain(OpCode::SET_DATA, SetDataRequest { path: some, data, version }.to_bytes())
        }
        10..=12 => plain(OpCode::DELETE, DeleteRequest { path: some, version }.to_bytes()),
        13 | 14 => multi(random, session, xid),
        15 | 16 => watching(OpCode::GET_DATA, random, &path, WatchKind::Data),
        17 | 18 => watching(OpCode::EXISTS, random, &path, WatchKind::Data),
        19 | 20 => watching(OpCode::GET_CHILDREN2, random, &path, WatchKind::Child),
        21 => {
            let (mode, kind) =
                if random.below(2) == 0 { (0, WatchKind::Persistent) } else { (1, WatchKind::Recursive) };
            let body = AddWatchRequest { path: some, mode }.to_bytes();
            Asked { watch: Some(Watch { path, kind }), ..plain(OpCode::ADD_WATCH, body) }
        }
        22 => plain(OpCode::SYNC, some.to_bytes()),
        23 | 24 => quotas::any(random),
        25 | 26 => long_ephemeral(random),
        27 => {
            let acl = acl(random, &path);
            plain(OpCode::SET_ACL, SetACLRequest { path: some, acl, version }.to_bytes())
        }
        _ => plain(OpCode::GET_EPHEMERALS, Some("/".to_owned()).to_bytes()),
    }
}

fn watching(op: OpCode, random: &mut Random, path: &str, kind: WatchKind) -> Asked {
    let watch = random.below(2) == 0;
    let some = Some(path.to_owned());
    let body = match op {
        OpCode::GET_DATA => GetDataRequest { path: some, watch }.to_bytes(),
        OpCode::EXISTS => ExistsRequest { path: some, watch }.to_bytes(),
        _ => GetChildren2Request { path: some, watch }.to_bytes(),
    };
    Asked { watch: watch.then(|| Watch { path: path.to_owned(), kind }), ..Asked::plain(op, body) }
}

fn multi(random: &mut Random, session: SessionId, xid: i32) -> Asked {
    let count = 1 + random.below(3);
    let parts: Vec<_> = (0..count)
        .map(|_| {
            let some = Some(path(random));
            match random.below(4) {
                0 => {
                    let data = unique(random, session, xid);
                    let acl = acl(random, some.as_deref().unwrap_or_default());
                    let create = CreateRequest { path: some, data, acl, flags: 0 };
                    (OpCode::CREATE, create.to_bytes())
                }
                1 => (OpCode::DELETE, DeleteRequest { path: some, version: -1 }.to_bytes()),
                2 => {
                    let data = unique(random, session, xid);
                    (OpCode::SET_DATA, SetDataRequest { path: some, data, version: -1 }.to_bytes())
                }
                _ => (OpCode::CHECK, CheckVersionRequest { path: some, version: -1 }.to_bytes()),
            }
        })
        .collect();
    Asked::plain(OpCode::MULTI, multi_body(parts))
}
