//! Of a node that a client may not read it hears nothing. What it missed while it was away it is told all the same,
//! as by the reference.

use std::collections::HashMap;

use jute::Zxid;
use jute::records::data::Acl;
use jute::txn::{TxnBody, TxnEntry};

use crate::sim::server::guarded::is_guarded;
use crate::sim::server::history::{History, Item};
use crate::tree::acl::perms;
use crate::tree::{OwnerRules, Tree, path};

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let lists = lists(logged);
    for item in history.streams.iter().flat_map(|stream| &stream.items) {
        let Item::Event { kind, path, zxid, proven } = item else { continue };
        if let Some(list) = lists.get(&(*zxid, path.clone())) {
            assert!(
                proven.may(perms::READ, list),
                "{proven:?} was told of {path:?} (event {kind}) at {zxid}, and may not read it: {list:?}"
            );
        }
    }
}

/// The list that decides who hears of a change. Those of multis are left out: they may change it on the way.
fn lists(logged: &[TxnEntry]) -> HashMap<(Zxid, String), Vec<Acl>> {
    let mut lists = HashMap::new();
    let mut tree = Tree::new(OwnerRules::default());
    for entry in logged {
        let mut note = |tree: &Tree, path: &str| {
            if is_guarded(path)
                && let Some(node) = tree.get(path)
            {
                let list = tree.acls().list(node.acl()).to_vec();
                lists.insert((entry.header.zxid, path.to_owned()), list);
            }
        };
        let of_parent = |path: &str| path::parent_for_events(path).to_owned();
        match &entry.body {
            TxnBody::Delete(txn) => {
                let path = txn.path.as_deref().unwrap_or_default();
                note(&tree, path);
                note(&tree, &of_parent(path));
                tree.replay(entry.clone());
            }
            TxnBody::Create(txn) | TxnBody::Create2(txn) => {
                tree.replay(entry.clone());
                let path = txn.path.as_deref().unwrap_or_default();
                note(&tree, path);
                note(&tree, &of_parent(path));
            }
            TxnBody::SetData(txn) => {
                note(&tree, txn.path.as_deref().unwrap_or_default());
                tree.replay(entry.clone());
            }
            _ => tree.replay(entry.clone()),
        }
    }
    lists
}
