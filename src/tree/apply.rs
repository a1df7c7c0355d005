//! Carrying out transactions. Every path through here is total: what does not fit the tree (which only
//! happens when replaying over a fuzzy snapshot) is passed over exactly as the reference passes it over.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use jute::records::data::{Acl, Stat, StatPersisted};
use jute::records::txn::TxnHeader;
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, SessionId, Zxid};

use super::node::{Node, NodeId, Owner};
use super::quota::{self, StatsTrack};
use super::{Applied, Change, Tree, digest, path};

/// Hears of changes while they are applied.
pub(super) type Observer<'o> = dyn FnMut(Change<'_>) + 'o;

/// A node about to be created.
struct NewNode {
    path: String,
    data: Option<Vec<u8>>,
    acl: Option<Vec<Acl>>,
    owner: Owner,
    parent_cversion: i32,
}

impl Tree {
    /// Applies one transaction of the log (reference: `DataTree.processTxn`).
    pub fn apply(&mut self, header: &TxnHeader, body: TxnBody, observer: &mut Observer<'_>) -> Applied {
        let applied = self.apply_body(header, body, observer);
        if header.zxid > self.last_zxid {
            self.last_zxid = header.zxid;
        }
        applied
    }

    /// Applies one transaction that nobody watches and nobody waits for: recovery.
    pub fn replay(&mut self, entry: TxnEntry) {
        self.apply(&entry.header, entry.body, &mut |_| {});
    }

    fn apply_body(&mut self, header: &TxnHeader, body: TxnBody, observer: &mut Observer<'_>) -> Applied {
        let op = body.op();
        let applied = match body {
            TxnBody::Create(txn) | TxnBody::Create2(txn) => {
                let owner = if txn.ephemeral { Owner::Session(header.client_id) } else { Owner::None };
                let node = NewNode {
                    path: txn.path.unwrap_or_default(),
                    data: txn.data,
                    acl: txn.acl,
                    owner,
                    parent_cversion: txn.parent_cversion,
                };
                if op == OpCode::CREATE {
                    self.create_repairing_parent(header, node, observer)
                } else {
                    self.create(header, node, observer)
                }
            }
            TxnBody::CreateContainer(txn) => {
                let node = NewNode {
                    path: txn.path.unwrap_or_default(),
                    data: txn.data,
                    acl: txn.acl,
                    owner: Owner::Container,
                    parent_cversion: txn.parent_cversion,
                };
                self.create(header, node, observer)
            }
            TxnBody::CreateTtl(txn) => {
                let node = NewNode {
                    path: txn.path.unwrap_or_default(),
                    data: txn.data,
                    acl: txn.acl,
                    owner: Owner::Ttl(txn.ttl),
                    parent_cversion: txn.parent_cversion,
                };
                self.create(header, node, observer)
            }
            TxnBody::Delete(txn) | TxnBody::DeleteContainer(txn) => {
                let path = txn.path.unwrap_or_default();
                let code = self.delete(&path, header.zxid, observer);
                Applied { path, code, ..Applied::default() }
            }
            TxnBody::SetData(txn) | TxnBody::Reconfig(txn) => {
                let path = txn.path.unwrap_or_default();
                let stat = self.set_data(&path, txn.data, txn.version, header, observer);
                Applied::with_stat(path, stat)
            }
            TxnBody::SetAcl(txn) => {
                let path = txn.path.unwrap_or_default();
                let stat = self.set_acl(&path, txn.acl, txn.version, header.zxid);
                Applied::with_stat(path, stat)
            }
            TxnBody::Check(txn) => {
                Applied { path: txn.path.unwrap_or_default(), code: Code::OK, ..Applied::default() }
            }
            TxnBody::Error(txn) => Applied { code: Code(txn.err), ..Applied::default() },
            TxnBody::CreateSession(_) => Applied { code: Code::OK, ..Applied::default() },
            TxnBody::CloseSession(txn) => {
                let listed = txn.and_then(|txn| txn.paths2delete).unwrap_or_default();
                self.close_session(header.client_id, listed, header.zxid, observer);
                Applied { code: Code::OK, ..Applied::default() }
            }
            TxnBody::Multi(parts) => self.multi(header, parts, observer),
        };
        Applied { op, ..applied }
    }

    /// All parts, or none of them: a part that failed in preparation fails the others.
    fn multi(&mut self, header: &TxnHeader, parts: Vec<TxnBody>, observer: &mut Observer<'_>) -> Applied {
        let failed = parts.iter().any(|part| matches!(part, TxnBody::Error(_)));
        let mut after_failure = false;
        let mut applied = Vec::with_capacity(parts.len());
        for part in parts {
            let is_error = matches!(part, TxnBody::Error(_));
            after_failure |= is_error;
            applied.push(if failed && !is_error {
                let code = if after_failure { Code::RUNTIME_INCONSISTENCY } else { Code::OK };
                Applied { op: OpCode::ERROR, code, ..Applied::default() }
            } else {
                self.apply_body(header, part, observer)
            });
        }
        let code = applied.iter().map(|part| part.code).find(|code| *code != Code::OK).unwrap_or_default();
        Applied { code, parts: applied, ..Applied::default() }
    }

    /// `create` of old kind: over a fuzzy snapshot, which may hold the node already but an older parent,
    /// the parent is brought up to date.
    fn create_repairing_parent(
        &mut self,
        header: &TxnHeader,
        node: NewNode,
        observer: &mut Observer<'_>,
    ) -> Applied {
        let parent_cversion = node.parent_cversion;
        let mut applied = self.create(header, node, observer);
        if applied.code == Code::NODE_EXISTS
            && let Some((parent, _)) = path::split(&applied.path)
        {
            match self.find(parent) {
                None => applied.code = Code::NO_NODE,
                Some(id) => {
                    let parent = parent.to_owned();
                    self.raise_cversion(id, &parent, parent_cversion, header.zxid);
                }
            }
        }
        applied
    }

    fn create(&mut self, header: &TxnHeader, new: NewNode, observer: &mut Observer<'_>) -> Applied {
        let NewNode { path, data, acl, owner, parent_cversion } = new;
        let no_node = |path| Applied { path, code: Code::NO_NODE, ..Applied::default() };
        // "/" is the root's other name, not the parent of "//a".
        let Some((parent_path, _)) = path::split(&path).filter(|(parent, _)| *parent != "/") else {
            return no_node(path);
        };
        let Some(parent_id) = self.find(parent_path) else { return no_node(path) };
        let slot = self.acls.intern(acl);
        if let Some(existing) = self.find(&path) {
            let replaced = self.node_mut(existing).acl;
            self.node_mut(existing).acl = slot;
            self.acls.release(replaced);
            return Applied { path, code: Code::NODE_EXISTS, ..Applied::default() };
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: owner.to_field(),
            ..StatPersisted::default()
        };
        let node = Node::new(&path, data.as_deref(), slot, &stat);
        let stat = node.stat(self.rules);
        let data_length = node.data_length();
        self.raise_cversion(parent_id, parent_path, parent_cversion, header.zxid);
        let id = self.plant_under(parent_id, &path, node);
        self.remember_owner(id, &path, owner.to_field());
        self.note_quota_node_created(&path);
        self.count_towards_quota(&path, 1, data_length as i64);
        observer(Change::Created {
            path: &path,
            acl: self.acls.list(slot),
            parent_acl: self.acls.list(self.node(parent_id).acl),
        });
        Applied { path, code: Code::OK, stat: Some(stat), ..Applied::default() }
    }

    fn delete(&mut self, path: &str, zxid: Zxid, observer: &mut Observer<'_>) -> Code {
        let Some((parent_path, _)) = path::split(path) else { return Code::NO_NODE };
        let Some(parent_id) = self.loses_child(parent_path, zxid) else { return Code::NO_NODE };
        self.delete_below(parent_id, path, observer).map_or(Code::NO_NODE, |_| Code::OK)
    }

    /// A child of the node is deleted. Even when the child is already gone, as over a fuzzy snapshot, the node has
    /// changed.
    fn loses_child(&mut self, parent_path: &str, zxid: Zxid) -> Option<NodeId> {
        let id = self.find(parent_path)?;
        self.last_deletion = zxid;
        self.change(id, parent_path, |parent| {
            let rare = parent.rare_mut();
            rare.pzxid = rare.pzxid.max(zxid);
        });
        Some(id)
    }

    /// Deletes a child of the node; returns who owned it, if it was there.
    fn delete_below(
        &mut self,
        parent_id: NodeId,
        path: &str,
        observer: &mut Observer<'_>,
    ) -> Option<SessionId> {
        let id = self.find(path).filter(|id| *id != NodeId::ROOT)?;
        let node = self.uproot(id, path);
        let data_length = node.data_length();
        self.count_towards_quota(path, -1, -(data_length as i64));
        observer(Change::Deleted {
            path,
            acl: self.acls.list(node.acl),
            parent_acl: self.acls.list(self.node(parent_id).acl),
        });
        self.acls.release(node.acl);
        Some(node.owner())
    }

    pub(super) fn set_data(
        &mut self,
        path: &str,
        data: Option<Vec<u8>>,
        version: i32,
        header: &TxnHeader,
        observer: &mut Observer<'_>,
    ) -> Option<Stat> {
        let id = self.find(path)?;
        let before = self.node(id).data_length() as i64;
        let after = data.as_deref().map_or(0, <[u8]>::len) as i64;
        let content_crc = digest::content_crc(path, data.as_deref());
        self.change(id, path, |node| {
            node.content.set_data(data.as_deref());
            node.content_crc = content_crc;
            node.mtime = header.time;
            node.mzxid = header.zxid;
            node.version = version;
        });
        self.data_bytes += after - before;
        if after != before {
            self.count_above(id, 0, after - before);
        }
        self.count_towards_quota(path, 0, after - before);
        let node = self.node(id);
        observer(Change::DataChanged { path, acl: self.acls.list(node.acl) });
        Some(node.stat(self.rules))
    }

    fn set_acl(&mut self, path: &str, acl: Option<Vec<Acl>>, version: i32, zxid: Zxid) -> Option<Stat> {
        let id = self.find(path)?;
        self.last_acl = zxid;
        let slot = self.acls.intern(acl);
        let replaced = self.node(id).acl;
        self.change(id, path, |node| {
            node.rare_mut().aversion = version;
            node.acl = slot;
        });
        self.acls.release(replaced);
        Some(self.node(id).stat(self.rules))
    }

    /// Deletes what the transaction lists, then whatever else the session still owns here.
    fn close_session(
        &mut self,
        session: SessionId,
        listed: Vec<Option<String>>,
        zxid: Zxid,
        observer: &mut Observer<'_>,
    ) {
        let owned = self.ephemerals.take(session);
        let listed: Vec<String> = listed.into_iter().flatten().collect();
        if self.delete_all(&listed, session, zxid, observer) < owned.len() {
            let listed: HashSet<&str, RandomState> = listed.iter().map(String::as_str).collect();
            let left = owned.iter().map(AsRef::as_ref).filter(|path: &&str| !listed.contains(path));
            self.delete_all(&left.collect::<Vec<_>>(), session, zxid, observer);
        }
    }

    /// Deletes many nodes in one transaction; returns how many of them the session owned. A parent that loses many of
    /// its children one after the other is looked for, and changed, once: a session may own a hundred thousand of them.
    fn delete_all<P: AsRef<str>>(
        &mut self,
        paths: &[P],
        session: SessionId,
        zxid: Zxid,
        observer: &mut Observer<'_>,
    ) -> usize {
        let mut owned = 0;
        let are_siblings = |one: &P, next: &P| path::parent(one.as_ref()) == path::parent(next.as_ref());
        for siblings in paths.chunk_by(are_siblings) {
            let parent_path = siblings.first().and_then(|path| path::parent(path.as_ref()));
            let Some(parent_path) = parent_path else { continue };
            let Some(parent_id) = self.loses_child(parent_path, zxid) else { continue };
            for path in siblings {
                let owner = self.delete_below(parent_id, path.as_ref(), observer);
                owned += usize::from(owner == Some(session));
            }
        }
        owned
    }

    /// Removes the ephemerals of a session that no longer exists, after loading. It is not logged: every
    /// start would find and remove them again (reference: `ZooKeeperServer.loadData`).
    pub fn kill_session(&mut self, session: SessionId) {
        self.close_session(session, Vec::new(), self.last_zxid, &mut |_| {});
    }

    /// The count of child creations only ever grows; with it the parent's pzxid.
    fn raise_cversion(&mut self, id: NodeId, path: &str, cversion: i32, zxid: Zxid) {
        let current = self.node(id).cversion();
        let raised = if cversion == -1 { current.wrapping_add(1) } else { cversion };
        if raised > current {
            self.change(id, path, |parent| {
                let rare = parent.rare_mut();
                rare.cversion = raised;
                rare.pzxid = zxid;
            });
        }
    }

    /// Changes a node and, with it, the tree's digest.
    pub(super) fn change(&mut self, id: NodeId, path: &str, change: impl FnOnce(&mut Node)) {
        let counts = digest::counts(path);
        let node = self.nodes.get_mut(id).expect("a node is changed only while it exists");
        let before = if counts { Self::node_digest(node) } else { 0 };
        change(node);
        let after = if counts { Self::node_digest(node) } else { 0 };
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id).expect("a node id is used only while its node exists")
    }

    /// Notes what is kept by owner beside the nodes.
    pub(super) fn remember_owner(&mut self, id: NodeId, path: &str, field: SessionId) {
        match Owner::from_field(field, self.rules) {
            Owner::None => {}
            Owner::Container | Owner::Ttl(_) => drop(self.sweepable.insert(id)),
            Owner::Session(session) => self.ephemerals.insert(session, path),
        }
    }

    /// Forgets what is kept beside the nodes.
    pub(super) fn forget(&mut self, id: NodeId, path: &str, owner: SessionId) {
        if let Some((parent, quota::LIMITS)) = path::split(path)
            && parent.starts_with("/zookeeper")
        {
            self.quotas.remove(quota::governed_path(parent));
        }
        match Owner::from_field(owner, self.rules) {
            Owner::None => {}
            Owner::Container | Owner::Ttl(_) => drop(self.sweepable.remove(&id)),
            Owner::Session(session) => self.ephemerals.remove(session, path),
        }
    }

    fn note_quota_node_created(&mut self, path: &str) {
        let Some((parent, name)) = path::split(path) else { return };
        if !parent.starts_with(quota::ROOT) {
            return;
        }
        match name {
            quota::LIMITS => self.quotas.add(quota::governed_path(parent)),
            quota::STATS => self.recount_quota(quota::governed_path(parent)),
            _ => {}
        }
    }

    /// Writes what a quota's subtree holds into its usage node.
    pub(super) fn recount_quota(&mut self, governed: &str) {
        let (nodes, bytes) = self.get(governed).map_or((0, 0), |node| {
            (1 + node.nodes_below() as i64, node.data_length() as i64 + node.bytes_below().cast_signed())
        });
        let mut usage = StatsTrack::default();
        usage.set_usage(nodes, bytes);
        if let Some(id) = self.find(&quota::stats_path(governed)) {
            self.write_usage(id, &usage);
        }
    }

    fn count_towards_quota(&mut self, path: &str, nodes: i64, bytes: i64) {
        let Some(governed) = self.quotas.governing(path) else { return };
        let Some(id) = self.find(&quota::stats_path(governed)) else { return };
        let mut usage = StatsTrack::parse(self.node(id).data());
        // Clients may write any number there. Wraps around, as in Java.
        usage.set_usage(usage.count().wrapping_add(nodes), usage.bytes().wrapping_add(bytes));
        self.write_usage(id, &usage);
    }

    /// Usage changes without a zxid, a version or a watch; it lies outside the digest.
    fn write_usage(&mut self, id: NodeId, usage: &StatsTrack) {
        let text = usage.to_string();
        let more = text.len() as i64 - self.node(id).data_length() as i64;
        self.node_mut(id).content.set_data(Some(text.as_bytes()));
        if more != 0 {
            self.count_above(id, 0, more);
        }
    }
}

impl Applied {
    fn with_stat(path: String, stat: Option<Stat>) -> Self {
        let code = if stat.is_some() { Code::OK } else { Code::NO_NODE };
        Self { path, code, stat, ..Self::default() }
    }
}
