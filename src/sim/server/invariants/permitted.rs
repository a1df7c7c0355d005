//! Nothing is written that the access control list of the state before does not let its client write.

use std::collections::HashMap;

use jute::txn::{TxnBody, TxnEntry};

use crate::sim::server::guarded::Proven;
use crate::sim::server::history::History;
use crate::tree::acl::perms;
use crate::tree::{OwnerRules, Tree, path};

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let proven: HashMap<_, _> =
        history.sent.iter().map(|(session, xid, proven)| ((*session, *xid), *proven)).collect();
    let mut tree = Tree::new(OwnerRules::default());
    for entry in logged {
        if let Some(proven) = proven.get(&(entry.header.client_id, entry.header.cxid)) {
            check_body(&tree, &entry.body, *proven, &format!("{} of {entry:?}", entry.header.zxid));
        }
        tree.replay(entry.clone());
    }
}

/// The parts of a multi are judged by the state before it; what its other parts create is theirs.
fn check_body(tree: &Tree, body: &TxnBody, proven: Proven, what: &str) {
    let judge = |path: &Option<String>, wanted: i32, is_on_parent: bool| {
        let path = path.as_deref().unwrap_or_default();
        let on = if is_on_parent { path::parent_for_events(path) } else { path };
        if let Some(node) = tree.get(on) {
            let list = tree.acls().list(node.acl());
            assert!(proven.may(wanted, list), "{proven:?} may not: {what}, with {list:?} at {on:?}");
        }
    };
    match body {
        TxnBody::Create(txn) | TxnBody::Create2(txn) => judge(&txn.path, perms::CREATE, true),
        TxnBody::CreateContainer(txn) => judge(&txn.path, perms::CREATE, true),
        TxnBody::CreateTtl(txn) => judge(&txn.path, perms::CREATE, true),
        TxnBody::Delete(txn) => judge(&txn.path, perms::DELETE, true),
        TxnBody::SetData(txn) => judge(&txn.path, perms::WRITE, false),
        TxnBody::SetAcl(txn) => judge(&txn.path, perms::ADMIN, false),
        TxnBody::Check(txn) => judge(&txn.path, perms::READ, false),
        TxnBody::Multi(parts) if !parts.iter().any(|part| matches!(part, TxnBody::Error(_))) => {
            parts.iter().for_each(|part| check_body(tree, part, proven, what));
        }
        _ => {}
    }
}
