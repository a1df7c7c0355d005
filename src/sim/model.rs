//! A tree so plain that it can be believed: a sorted map from path to node, rebuilt from the first
//! transaction each time. It also makes the transactions that scripts write.

use std::collections::BTreeMap;

use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::txn::{
    CloseSessionTxn, CreateSessionTxn, CreateTxn, DeleteTxn, ErrorTxn, SetACLTxn, SetDataTxn, TxnHeader,
};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use crate::tree::{Cursor, OwnerRules, Tree};

/// All there is to know of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SlowNode {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    stat: StatPersisted,
}

/// All there is to know of a database.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<String, SlowNode>,
    pub(super) sessions: BTreeMap<SessionId, i32>,
}

/// What these transactions give on an empty database.
pub(super) fn replay<'a>(history: impl IntoIterator<Item = &'a TxnEntry>) -> Model {
    let mut model = Model::of(&Tree::new(OwnerRules::default()), &BTreeMap::new());
    for entry in history {
        model.apply(&entry.header, &entry.body);
    }
    model
}

impl Model {
    /// What a tree holds.
    pub(super) fn of(tree: &Tree, sessions: &BTreeMap<SessionId, i32>) -> Self {
        let lists: BTreeMap<i64, _> = tree.acls().to_file().into_iter().collect();
        let mut nodes = BTreeMap::new();
        Cursor::new(tree).slice(tree, usize::MAX, &mut |path, data, acl, stat| {
            let acl = lists.get(&acl).map_or_else(|| vec![anyone(31)], |list| list.to_vec());
            let node = SlowNode { data: data.map(<[u8]>::to_vec), acl, stat: stat.clone() };
            assert!(nodes.insert(path.to_owned(), node).is_none(), "{path} is walked over once");
        });
        Self { nodes, sessions: sessions.clone() }
    }

    pub(super) fn apply(&mut self, header: &TxnHeader, body: &TxnBody) {
        match body {
            TxnBody::CreateSession(txn) => drop(self.sessions.insert(header.client_id, txn.time_out)),
            TxnBody::CloseSession(_) => {
                self.sessions.remove(&header.client_id);
                let owned = |(path, node): (&String, &SlowNode)| {
                    (node.stat.ephemeral_owner == header.client_id).then(|| path.clone())
                };
                let owned: Vec<String> = self.nodes.iter().filter_map(owned).collect();
                owned.iter().for_each(|path| self.delete(path, header.zxid));
            }
            TxnBody::Create(txn) | TxnBody::Create2(txn) => self.create(header, txn),
            TxnBody::Delete(txn) => self.delete(txn.path.as_deref().unwrap(), header.zxid),
            TxnBody::SetData(txn) => {
                let node = self.nodes.get_mut(txn.path.as_deref().unwrap()).unwrap();
                node.data.clone_from(&txn.data);
                (node.stat.mtime, node.stat.mzxid, node.stat.version) =
                    (header.time, header.zxid, txn.version);
            }
            TxnBody::SetAcl(txn) => {
                let node = self.nodes.get_mut(txn.path.as_deref().unwrap()).unwrap();
                node.acl = txn.acl.clone().unwrap();
                node.stat.aversion = txn.version;
            }
            TxnBody::Multi(parts) => parts.iter().for_each(|part| self.apply(header, part)),
            TxnBody::Error(_) => {}
            other => panic!("scripts do not make {other:?}"),
        }
    }

    fn create(&mut self, header: &TxnHeader, txn: &CreateTxn) {
        let path = txn.path.clone().unwrap();
        let parent = self.nodes.get_mut(parent_of(&path)).unwrap();
        (parent.stat.cversion, parent.stat.pzxid) = (txn.parent_cversion, header.zxid);
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: if txn.ephemeral { header.client_id } else { SessionId(0) },
            ..StatPersisted::default()
        };
        self.nodes.insert(path, SlowNode { data: txn.data.clone(), acl: txn.acl.clone().unwrap(), stat });
    }

    fn delete(&mut self, path: &str, zxid: Zxid) {
        self.nodes.remove(path).unwrap();
        self.nodes.get_mut(parent_of(path)).unwrap().stat.pzxid = zxid;
    }

    /// The next transaction of a script: of every kind in turn, and one that fits this tree.
    pub(super) fn next(&self, zxid: Zxid) -> TxnEntry {
        let count = zxid.0 & 0xFFFF;
        let (round, step) = (count / 10, count % 10);
        let session = SessionId(0x1000 + round + (i64::from(zxid.epoch()) << 16));
        let base = format!("/n{zxid:x}");
        let newest = self
            .nodes
            .keys()
            .filter(|path| path.starts_with("/n") && !path.contains("/m"))
            .max_by_key(|path| self.nodes[*path].stat.czxid);
        let target = newest.cloned();
        let body = match (step, target) {
            (1, _) => TxnBody::CreateSession(CreateSessionTxn { time_out: 4000 + step as i32 }),
            (4, Some(path)) => self.set_data(&path, 300),
            (5, Some(path)) => {
                let version = self.nodes[&path].stat.aversion + 1;
                let acl = vec![anyone(1), Acl { perms: 31, id: id("digest", &format!("user{count}:x")) }];
                TxnBody::SetAcl(SetACLTxn { path: Some(path), acl: Some(acl), version })
            }
            (6, Some(path)) => {
                let part = self.create_txn(&format!("/m{zxid:x}"), 40, false);
                TxnBody::Multi(vec![part, self.set_data(&path, 700)])
            }
            (7, _) => TxnBody::Error(ErrorTxn { err: -110 }),
            (8, Some(path))
                if self.nodes[&path].stat.ephemeral_owner == SessionId(0) && self.is_leaf(&path) =>
            {
                TxnBody::Delete(DeleteTxn { path: Some(path) })
            }
            (9, _) if self.sessions.contains_key(&session) => {
                let owned = self.nodes.iter().filter(|(_, node)| node.stat.ephemeral_owner == session);
                let paths2delete = Some(owned.map(|(path, _)| Some(path.clone())).collect());
                TxnBody::CloseSession(Some(CloseSessionTxn { paths2delete }))
            }
            (3, _) if self.sessions.contains_key(&session) => {
                self.create_txn(&base.replace('n', "e"), 10, true)
            }
            _ => self.create_txn(&base, 60 + (count as usize * 37) % 200, false),
        };
        let time = 1_700_000_000_000 + zxid.0;
        let header = TxnHeader { client_id: session, cxid: count as i32, zxid, time, r#type: body.op().0 };
        TxnEntry { header, body, digest: None }
    }

    fn is_leaf(&self, path: &str) -> bool {
        !self.nodes.keys().any(|other| other.starts_with(&format!("{path}/")))
    }

    fn set_data(&self, path: &str, bytes: usize) -> TxnBody {
        let version = self.nodes[path].stat.version + 1;
        TxnBody::SetData(SetDataTxn { path: Some(path.into()), data: Some(vec![b's'; bytes]), version })
    }

    fn create_txn(&self, path: &str, bytes: usize, ephemeral: bool) -> TxnBody {
        let parent_cversion = self.nodes[parent_of(path)].stat.cversion + 1;
        let (data, acl) = (Some(vec![b'c'; bytes]), Some(vec![anyone(31)]));
        let txn = CreateTxn { path: Some(path.into()), data, acl, ephemeral, parent_cversion };
        if ephemeral { TxnBody::Create2(txn) } else { TxnBody::Create(txn) }
    }
}

/// The root's path is empty, and so is that of its children's parent.
fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn anyone(perms: i32) -> Acl {
    Acl { perms, id: id("world", "anyone") }
}

fn id(scheme: &str, id: &str) -> Id {
    Id { scheme: Some(scheme.into()), id: Some(id.into()) }
}
