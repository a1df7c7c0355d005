//! A tree brought forward by logged transactions, and its digest after each of them.
//!
//! What a transaction does to a node's stat is what the reference does (reference: `DataTree.processTxn`), for a log
//! whose transactions were all applied once and in order.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::tree::{Node, Tree, is_counted, parent_of};
use super::wire::{Cursor, Partial};
use crate::wire::op;

/// What stands in front of a digest.
const DIGEST_VERSION: i32 = 2;
const CONTAINER: i64 = i64::MIN;
/// In front of the time to live of a node that has one.
const TTL: i64 = 0xFF << 56;

/// A tree, and what its nodes add to its digest.
#[derive(Clone, Debug)]
pub struct Replay {
    tree: Tree,
    parts: BTreeMap<String, u32>,
    digest: i64,
    /// Paths of nodes that the last record made.
    made: Vec<String>,
    /// Whose that record was.
    session: i64,
    /// Whether that record changed the root as the parent of its children, and by its path.
    root: [bool; 2],
}

impl Default for Replay {
    /// As every server begins.
    fn default() -> Self {
        let tree = Tree::default();
        let counted = tree.nodes.iter().filter(|(path, _)| is_counted(path));
        let parts = counted.map(|(path, node)| (path.clone(), node.digest(path))).collect();
        Self { digest: tree.digest(), tree, parts, made: Vec::new(), session: 0, root: [false; 2] }
    }
}

/// What surrounds a transaction, or a part of one.
#[derive(Clone, Copy, Debug)]
struct Header {
    session: i64,
    zxid: i64,
    time: i64,
    kind: i32,
}

impl Replay {
    /// The tree's digest: the sum of those of its nodes.
    #[must_use]
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// What the digest would be if nodes that the last record made, any of them, had the owners that other kinds of
    /// creates give: a container none or the session, a node without an owner that of containers.
    #[must_use]
    pub fn with_other_owners(&self) -> Vec<i64> {
        let mut digests = vec![self.digest];
        for (path, node) in self.made.iter().filter_map(|path| Some((path, self.tree.nodes.get(path)?))) {
            let owners: &[i64] = match node.stat.owner {
                CONTAINER => &[0, self.session],
                0 => &[CONTAINER],
                _ => &[],
            };
            let right = i64::from(node.digest(path));
            for at in 0..digests.len() {
                for owner in owners {
                    let mut other = node.clone();
                    other.stat.owner = *owner;
                    digests.push(digests[at].wrapping_sub(right).wrapping_add(i64::from(other.digest(path))));
                }
            }
        }
        digests.split_off(1)
    }

    /// Whether the last record changed the root as the parent of its children, and by its path.
    #[must_use]
    pub fn root_changed(&self) -> [bool; 2] {
        self.root
    }

    /// Carries out a record of a log, and gives the digest that stands in it, if one does.
    pub fn apply(&mut self, payload: &[u8]) -> Result<Option<i64>> {
        let mut cursor = Cursor::new(payload);
        self.apply_front(&mut cursor).map_err(|why| {
            anyhow!(
                "a transaction that cannot be read at byte {}: {why:?}: {}",
                cursor.at(),
                payload.escape_ascii()
            )
        })
    }

    fn apply_front(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<i64>, Partial> {
        let session = cursor.long()?;
        cursor.int()?;
        self.session = session;
        self.made.clear();
        self.root = [false; 2];
        let header = Header { session, zxid: cursor.long()?, time: cursor.long()?, kind: cursor.int()? };
        if header.kind == op::MULTI {
            self.multi(header, cursor)?;
        } else {
            self.one(header, cursor)?;
        }
        if cursor.rest().is_empty() {
            return Ok(None);
        }
        let version = cursor.int()?;
        let digest = cursor.long()?;
        if version != DIGEST_VERSION || !cursor.rest().is_empty() {
            return Err(Partial::Wrong("bytes that are no digest follow".to_owned()));
        }
        Ok(Some(digest))
    }

    /// A multi with an error in it does nothing.
    fn multi(&mut self, header: Header, cursor: &mut Cursor<'_>) -> Result<(), Partial> {
        let mut parts = Vec::new();
        for _ in 0..cursor.int()? {
            parts.push((cursor.int()?, cursor.buffer()?.unwrap_or_default()));
        }
        if parts.iter().any(|(kind, _)| *kind == op::ERROR) {
            return Ok(());
        }
        parts
            .into_iter()
            .try_for_each(|(kind, body)| self.one(Header { kind, ..header }, &mut Cursor::new(body)))
    }

    fn one(&mut self, header: Header, cursor: &mut Cursor<'_>) -> Result<(), Partial> {
        match header.kind {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                self.create(header, cursor)?
            }
            op::DELETE | op::DELETE_CONTAINER => self.remove(&cursor.text()?, header.zxid),
            op::SET_DATA | op::RECONFIG => {
                let (path, data) = (cursor.text()?, cursor.buffer()?.unwrap_or_default());
                let version = cursor.int()?;
                self.change(&path, |node| {
                    node.data = data.to_vec();
                    node.stat.version = version;
                    (node.stat.mzxid, node.stat.mtime) = (header.zxid, header.time);
                });
            }
            op::SET_ACL => {
                let path = cursor.text()?;
                skip_list(cursor)?;
                let version = cursor.int()?;
                self.change(&path, |node| node.stat.aversion = version);
            }
            op::CHECK => drop((cursor.text()?, cursor.int()?)),
            op::ERROR | op::CREATE_SESSION => drop(cursor.int()?),
            op::CLOSE_SESSION => {
                let mut gone = Vec::new();
                for _ in 0..cursor.int()? {
                    gone.push(cursor.text()?);
                }
                gone.extend(self.tree.owned_by(header.session));
                gone.iter().for_each(|path| self.remove(path, header.zxid));
            }
            kind => return Err(Partial::Wrong(format!("a transaction of type {kind}"))),
        }
        Ok(())
    }

    fn create(&mut self, header: Header, cursor: &mut Cursor<'_>) -> Result<(), Partial> {
        let (path, data) = (cursor.text()?, cursor.buffer()?.unwrap_or_default());
        skip_list(cursor)?;
        let is_ephemeral = matches!(header.kind, op::CREATE | op::CREATE2) && cursor.take(1)? != [0];
        let cversion = cursor.int()?;
        let owner = match header.kind {
            op::CREATE_CONTAINER => CONTAINER,
            op::CREATE_TTL => TTL | cursor.long()?,
            _ if is_ephemeral => header.session,
            _ => 0,
        };
        self.change(parent_of(&path), |parent| {
            if cversion > parent.stat.cversion {
                (parent.stat.cversion, parent.stat.pzxid) = (cversion, header.zxid);
            }
        });
        self.tree.nodes.insert(path.clone(), Node::new(data, header.zxid, header.time, owner));
        self.count(&path);
        if is_counted(&path) {
            self.made.push(path);
        }
        Ok(())
    }

    fn remove(&mut self, path: &str, zxid: i64) {
        self.tree.nodes.remove(path);
        self.count(path);
        self.change(parent_of(path), |parent| parent.stat.pzxid = parent.stat.pzxid.max(zxid));
    }

    /// Changes a node, if there is one.
    fn change(&mut self, path: &str, change: impl FnOnce(&mut Node)) {
        match path {
            "" => self.root[0] = true,
            "/" => self.root[1] = true,
            _ => {}
        }
        let path = if path == "/" { "" } else { path };
        if let Some(node) = self.tree.nodes.get_mut(path) {
            change(node);
            self.count(path);
        }
    }

    /// Brings the digest up to date with one node.
    fn count(&mut self, path: &str) {
        if !is_counted(path) {
            return;
        }
        let before = match self.tree.nodes.get(path).map(|node| node.digest(path)) {
            Some(now) => {
                self.digest = self.digest.wrapping_add(i64::from(now));
                self.parts.insert(path.to_owned(), now)
            }
            None => self.parts.remove(path),
        };
        self.digest = self.digest.wrapping_sub(i64::from(before.unwrap_or(0)));
    }
}

/// An access control list: digests do not cover it.
fn skip_list(cursor: &mut Cursor<'_>) -> Result<(), Partial> {
    for _ in 0..cursor.int()? {
        cursor.int()?;
        cursor.buffer()?;
        cursor.buffer()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Change;
    use super::*;
    use crate::wire::Body;

    #[test]
    fn the_digest_follows_the_tree() -> Result<()> {
        let (mut tree, mut replay) = (Tree::default(), Replay::default());
        let create = |path: &str, is_ephemeral: bool| Change::Create {
            path: path.to_owned(),
            data: b"x".to_vec(),
            is_ephemeral,
        };
        let changes = [
            Change::CreateSession(30_000),
            create("/a", false),
            create("/a/b", true),
            create("/zookeeper/x", false),
            Change::Set { path: "/a".to_owned(), data: b"y".to_vec() },
            create("/c", false),
            Change::Delete("/c".to_owned()),
            Change::Error(-101),
            Change::CloseSession(vec!["/a/b".to_owned()]),
        ];
        for (zxid, change) in (1..).zip(&changes) {
            let before = replay.digest();
            let txn = tree.change(7, 0, zxid, 1000 + zxid, change);
            let logged = [txn.payload, Body::new().int(DIGEST_VERSION).long(zxid).0].concat();
            assert_eq!(replay.apply(&logged)?, Some(zxid));
            assert_eq!(replay.digest(), tree.digest(), "{change:?}");
            let changes_nothing = matches!(change, Change::CreateSession(_) | Change::Error(_));
            assert_eq!(before == replay.digest(), changes_nothing, "{change:?}");
        }
        Ok(())
    }

    #[test]
    fn other_owners_lead_to_other_digests() -> Result<()> {
        let container = Body::new().long(7).int(0).long(1).long(1000).int(op::CREATE_CONTAINER);
        let plain = Body::new().long(7).int(0).long(1).long(1000).int(op::CREATE);
        let head = |body: Body| body.string("/a").buffer(b"").open_acl();
        let after = |record: Body| {
            let mut replay = Replay::default();
            replay.apply(&record.0).map(|_| replay)
        };
        let container = after(head(container).int(1))?;
        let ephemeral = after(head(plain.clone()).bool(true).int(1))?;
        let plain = after(head(plain).bool(false).int(1))?;
        assert_eq!(container.with_other_owners(), [plain.digest(), ephemeral.digest()]);
        assert_eq!(plain.with_other_owners(), [container.digest()]);
        assert!(ephemeral.with_other_owners().is_empty());
        Ok(())
    }

    #[test]
    fn a_multi_with_an_error_does_nothing() -> Result<()> {
        let delete = Body::new().string("/zookeeper").0;
        let multi = |kind: i32| {
            let header = Body::new().long(7).int(0).long(9).long(1000).int(op::MULTI);
            let parts =
                Body::new().int(2).int(op::DELETE).buffer(&delete).int(kind).buffer(&Body::new().int(0).0);
            [header.0, parts.0].concat()
        };
        let mut replay = Replay::default();
        let before = replay.digest();
        assert_eq!(replay.apply(&multi(op::ERROR))?, None);
        assert_eq!(replay.digest(), before);
        assert!(replay.apply(&multi(99)).is_err());
        Ok(())
    }
}
