//! The usage that a quota's node tells is what is there, and nothing is created beyond a limit that has been reached
//! for a while. A limit is looked up in what is applied, so that a batch may pass it.

use jute::txn::{TxnBody, TxnEntry};

use crate::sim::server::quotas::{NODES_MAX, QUOTA, ROOT};
use crate::tree::quota::StatsTrack;
use crate::tree::{OwnerRules, Tree};

/// Requests that clients can have waiting together.
const WAITING: usize = 350;

pub(super) fn check(logged: &[TxnEntry]) {
    let mut tree = Tree::new(OwnerRules::default());
    // Transactions since the limit was reached.
    let mut reached = 0;
    for entry in logged {
        let is_below = |path: &Option<String>| path.as_ref().is_some_and(|path| path.starts_with("/q/"));
        if let TxnBody::Create(txn) = &entry.body
            && is_below(&txn.path)
        {
            assert!(
                reached <= WAITING,
                "{} creates {:?}, {reached} transactions after the quota's limit was reached",
                entry.header.zxid,
                txn.path
            );
        }
        tree.replay(entry.clone());
        let Some(stats) = tree.get(QUOTA[1]) else {
            reached = 0;
            continue;
        };
        let told = StatsTrack::parse(stats.data());
        let (mut nodes, mut bytes) = (0, 0);
        if let Some(root) = tree.get(ROOT) {
            let below = root.children().iter().map(|id| tree.node(*id).data_length() as i64);
            (nodes, bytes) = (1 + below.len() as i64, root.data_length() as i64 + below.sum::<i64>());
        }
        assert_eq!((told.count(), told.bytes()), (nodes, bytes), "the usage at {}", entry.header.zxid);
        reached = if nodes >= NODES_MAX { reached + 1 } else { 0 };
    }
}
