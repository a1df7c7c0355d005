//! A database on its way up: first from a snapshot, then from the log.

use std::collections::BTreeMap;

use jute::records::data::{Acl, StatPersisted};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use crate::snapshot::Visitor;
use crate::tree::{Tree, digest};

/// Tree and sessions, as far as they have been read.
pub(super) struct Loading {
    pub(super) tree: Tree,
    /// Sessions with their timeouts in milliseconds.
    pub(super) sessions: BTreeMap<SessionId, i32>,
    /// The digest that the snapshot promises for a later zxid.
    pub(super) expected_digest: Option<(Zxid, u64)>,
}

impl Loading {
    pub(super) const fn new(tree: Tree) -> Self {
        Self { tree, sessions: BTreeMap::new(), expected_digest: None }
    }

    /// Applies a transaction of the log. False when the tree then differs from a digest that was written
    /// for it.
    pub(super) fn replay(&mut self, entry: TxnEntry) -> bool {
        match &entry.body {
            TxnBody::CreateSession(txn) => {
                self.sessions.insert(entry.header.client_id, txn.time_out);
            }
            TxnBody::CloseSession(_) => {
                self.sessions.remove(&entry.header.client_id);
            }
            _ => {}
        }
        let zxid = entry.header.zxid;
        let logged = entry.digest.clone();
        self.tree.replay(entry);
        // Until the replay has passed what the fuzzy snapshot already held, digests cannot agree.
        let expected = match self.expected_digest {
            Some((at, digest)) if at == zxid => {
                self.expected_digest = None;
                Some(digest)
            }
            Some((at, _)) if at > zxid => None,
            _ => logged
                .filter(|digest| digest.version == digest::VERSION)
                .map(|digest| digest.tree_digest.cast_unsigned()),
        };
        expected.is_none_or(|expected| expected == self.tree.digest())
    }
}

impl Visitor for Loading {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.sessions.insert(id, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.tree.load_acl(id, acl);
        Ok(())
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        self.tree.load_node(path, data, acl, &stat)
    }
}
