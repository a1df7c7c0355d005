//! A tree as a snapshot has it, and the transactions that change it: enough of both to write histories down and to
//! show what a server sends.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::wire::{Cursor, Partial};
use crate::wire::Body;

/// The session list, the access control lists and the nodes; then this.
pub const STREAM_END: &str = "BenWasHere";
/// The list that all nodes here have.
const OPEN: i64 = 1;
/// Nodes that every server makes by itself have no list in the map.
const BUILT_IN: i64 = -1;
const CONFIG: &str = "/zookeeper/config";
const DIGEST_VERSION: i32 = 2;

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session begins, with a timeout.
    CreateSession(i32),
    /// A session ends, and these nodes of it with it.
    CloseSession(Vec<String>),
    /// A node is made.
    Create {
        /// Its path.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Whether it belongs to the session.
        is_ephemeral: bool,
    },
    /// A node gets other data.
    Set {
        /// Its path.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// A node goes.
    Delete(String),
    /// Nothing happens: a request was refused with this code.
    Error(i32),
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Its number.
    pub zxid: i64,
    /// Header and body, as in the log.
    pub payload: Vec<u8>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) data: Vec<u8>,
    acl: i64,
    pub(super) stat: Stat,
}

impl Node {
    /// One that a transaction makes, open to everybody.
    pub(super) fn new(data: &[u8], zxid: i64, time: i64, owner: i64) -> Self {
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            ctime: time,
            mtime: time,
            owner,
            pzxid: zxid,
            ..Stat::default()
        };
        Self { data: data.to_vec(), acl: OPEN, stat }
    }

    /// Its part of the tree's digest (reference: `DigestCalculator`, version 2).
    pub(super) fn digest(&self, path: &str) -> u32 {
        let stat = &self.stat;
        let body = Body::new().long(stat.czxid).long(stat.mzxid).long(stat.pzxid).long(stat.ctime);
        let body = body.long(stat.mtime).int(stat.version).int(stat.cversion).int(stat.aversion);
        crc32(&[path.as_bytes(), &self.data, &body.long(stat.owner).0].concat())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    czxid: i64,
    pub(super) mzxid: i64,
    ctime: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) owner: i64,
    pub(super) pzxid: i64,
}

/// A tree and its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Timeouts by id.
    pub sessions: BTreeMap<i64, i32>,
    acls: BTreeMap<i64, Vec<(i32, String, String)>>,
    /// By path; the root's is empty.
    pub(super) nodes: BTreeMap<String, Node>,
}

impl Default for Tree {
    /// As every server begins.
    fn default() -> Self {
        let mut nodes = BTreeMap::new();
        for path in ["", "/zookeeper", "/zookeeper/quota", CONFIG] {
            nodes.insert(path.to_owned(), Node { data: Vec::new(), acl: BUILT_IN, stat: Stat::default() });
        }
        Self { sessions: BTreeMap::new(), acls: BTreeMap::new(), nodes }
    }
}

impl Tree {
    /// Whether there is a node.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// Nodes that were made by transactions, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.nodes
            .keys()
            .filter(|path| !path.is_empty() && !path.starts_with("/zookeeper"))
            .cloned()
            .collect()
    }

    /// Nodes that belong to a session.
    #[must_use]
    pub fn owned_by(&self, session: i64) -> Vec<String> {
        let owned = self.nodes.iter().filter(|(_, node)| node.stat.owner == session);
        owned.map(|(path, _)| path.clone()).collect()
    }

    /// Whether a node has children.
    #[must_use]
    pub fn is_parent(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.nodes.keys().any(|other| other.starts_with(&prefix))
    }

    /// Whether a node belongs to a session.
    #[must_use]
    pub fn is_ephemeral(&self, path: &str) -> bool {
        self.nodes.get(path).is_some_and(|node| node.stat.owner != 0)
    }

    /// Carries out a change and gives its transaction. It must be possible.
    pub fn change(&mut self, session: i64, cxid: i32, zxid: i64, time: i64, change: &Change) -> Txn {
        let body = match change {
            Change::CreateSession(timeout) => {
                self.sessions.insert(session, *timeout);
                (-10, Body::new().int(*timeout))
            }
            Change::CloseSession(paths) => {
                self.sessions.remove(&session);
                for path in paths {
                    self.remove(path, zxid);
                }
                let count = Body::new().int(paths.len() as i32);
                (-11, paths.iter().fold(count, |body, path| body.string(path)))
            }
            Change::Create { path, data, is_ephemeral } => {
                self.acls.insert(OPEN, vec![(31, "world".to_owned(), "anyone".to_owned())]);
                let mut cversion = 0;
                if let Some(parent) = self.nodes.get_mut(parent_of(path)) {
                    parent.stat.cversion += 1;
                    parent.stat.pzxid = zxid;
                    cversion = parent.stat.cversion;
                }
                let owner = if *is_ephemeral { session } else { 0 };
                self.nodes.insert(path.clone(), Node::new(data, zxid, time, owner));
                (1, Body::new().string(path).buffer(data).open_acl().bool(*is_ephemeral).int(cversion))
            }
            Change::Set { path, data } => {
                let mut version = 0;
                if let Some(node) = self.nodes.get_mut(path) {
                    node.data.clone_from(data);
                    node.stat.version += 1;
                    (node.stat.mzxid, node.stat.mtime) = (zxid, time);
                    version = node.stat.version;
                }
                (5, Body::new().string(path).buffer(data).int(version))
            }
            Change::Delete(path) => {
                self.remove(path, zxid);
                (2, Body::new().string(path))
            }
            Change::Error(code) => (-1, Body::new().int(*code)),
        };
        let header = Body::new().long(session).int(cxid).long(zxid).long(time).int(body.0);
        Txn { zxid, payload: [header.0, body.1.0].concat() }
    }

    fn remove(&mut self, path: &str, zxid: i64) {
        self.nodes.remove(path);
        if let Some(parent) = self.nodes.get_mut(parent_of(path)) {
            parent.stat.pzxid = zxid;
        }
    }

    /// Sessions, access control lists and nodes, as in a snapshot and after SNAP.
    #[must_use]
    pub fn stream(&self) -> Vec<u8> {
        let mut body = Body::new().int(self.sessions.len() as i32);
        for (id, timeout) in &self.sessions {
            body = body.long(*id).int(*timeout);
        }
        body = body.int(self.acls.len() as i32);
        for (id, list) in &self.acls {
            body = body.long(*id).int(list.len() as i32);
            for (permissions, scheme, id) in list {
                body = body.int(*permissions).string(scheme).string(id);
            }
        }
        for (path, Node { data, acl, stat }) in &self.nodes {
            body = body.string(path).buffer(data).long(*acl);
            body = body.long(stat.czxid).long(stat.mzxid).long(stat.ctime).long(stat.mtime);
            body = body.int(stat.version).int(stat.cversion).int(stat.aversion);
            body = body.long(stat.owner).long(stat.pzxid);
        }
        body.string("/").0
    }

    /// A snapshot file of this zxid.
    #[must_use]
    pub fn file(&self, zxid: i64) -> Vec<u8> {
        let mut bytes = Body::new().int(0x5A4B_534E).int(2).long(-1).0;
        bytes.extend(self.stream());
        seal(&mut bytes);
        bytes.extend(Body::new().long(zxid).int(DIGEST_VERSION).long(self.digest()).0);
        seal(&mut bytes);
        bytes
    }

    /// The sum of the digests of its nodes.
    pub(super) fn digest(&self) -> i64 {
        let counted = self.nodes.iter().filter(|(path, _)| is_counted(path));
        counted.fold(0_i64, |sum, (path, node)| sum.wrapping_add(i64::from(node.digest(path))))
    }

    /// From the front of what came after SNAP, its end mark included.
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Partial> {
        let mut tree = Self { sessions: BTreeMap::new(), acls: BTreeMap::new(), nodes: BTreeMap::new() };
        for _ in 0..cursor.int()? {
            tree.sessions.insert(cursor.long()?, cursor.int()?);
        }
        for _ in 0..cursor.int()? {
            let id = cursor.long()?;
            let mut list = Vec::new();
            for _ in 0..cursor.int()? {
                list.push((cursor.int()?, cursor.text()?, cursor.text()?));
            }
            tree.acls.insert(id, list);
        }
        loop {
            let path = cursor.text()?;
            if path == "/" {
                break;
            }
            let data = cursor.buffer()?.unwrap_or_default().to_vec();
            let acl = cursor.long()?;
            let stat = Stat {
                czxid: cursor.long()?,
                mzxid: cursor.long()?,
                ctime: cursor.long()?,
                mtime: cursor.long()?,
                version: cursor.int()?,
                cversion: cursor.int()?,
                aversion: cursor.int()?,
                owner: cursor.long()?,
                pzxid: cursor.long()?,
            };
            tree.nodes.insert(path, Node { data, acl, stat });
        }
        let end = cursor.text()?;
        if end != STREAM_END {
            return Err(Partial::Wrong(format!("{end:?} after the nodes")));
        }
        Ok(tree)
    }

    /// One line for each session and node. A server sets the time of its configuration's node by its own clock.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for (id, timeout) in &self.sessions {
            let _ = writeln!(text, "  session {id:#x} {timeout}");
        }
        for (path, Node { data, acl, stat }) in &self.nodes {
            let list = self.acls.get(acl).map_or_else(|| acl.to_string(), |list| format!("{list:?}"));
            let mut stat = *stat;
            if path == CONFIG {
                stat.mtime = 0;
            }
            let _ = writeln!(text, "  {path:?} {} {list} {stat:x?}", data.escape_ascii());
        }
        text
    }
}

/// Whether digests cover the node of this path.
pub(super) fn is_counted(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

pub(super) fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Ends a part of a snapshot file with its checksum.
fn seal(bytes: &mut Vec<u8>) {
    let sum = i64::from(adler32(bytes));
    bytes.extend(Body::new().long(sum).string("/").0);
}

/// The checksum that digests of nodes are made of.
fn crc32(bytes: &[u8]) -> u32 {
    static OF_BYTES: [u32; 256] = crc32_of_bytes();
    !bytes.iter().fold(!0, |sum: u32, byte| (sum >> 8) ^ OF_BYTES[usize::from(sum as u8 ^ byte)])
}

const fn crc32_of_bytes() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

/// The checksum of logs and snapshots.
#[must_use]
pub fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    (b << 16) | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_back_from_its_stream() {
        let mut tree = Tree::default();
        tree.change(7, 0, 1, 1000, &Change::CreateSession(30_000));
        let made = Change::Create { path: "/a".to_owned(), data: b"x".to_vec(), is_ephemeral: true };
        tree.change(7, 1, 2, 1001, &made);
        let mut bytes = tree.stream();
        bytes.extend(Body::new().string(STREAM_END).0);
        let read = Tree::parse(&mut Cursor::new(&bytes)).expect("a tree");
        assert_eq!(read, tree);
        assert_eq!(tree.owned_by(7), ["/a"]);
    }

    #[test]
    fn the_checksums_are_those_of_the_books() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
