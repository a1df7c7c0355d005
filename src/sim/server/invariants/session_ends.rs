//! The end of a session removes all of its ephemerals, and nothing else.

use jute::OpCode;
use jute::txn::TxnEntry;

use crate::tree::{OwnerRules, Tree};

pub(super) fn check(logged: &[TxnEntry]) {
    let mut tree = Tree::new(OwnerRules::default());
    for entry in logged {
        let session = entry.header.client_id;
        let is_end = entry.header.r#type == OpCode::CLOSE_SESSION.0;
        let owned = tree.ephemerals_of(session).count();
        let (nodes, others) = (tree.node_count(), tree.ephemerals_count());
        tree.replay(entry.clone());
        if is_end {
            let zxid = entry.header.zxid;
            assert_eq!(
                tree.ephemerals_of(session).count(),
                0,
                "ephemerals of {session} after its end {zxid}"
            );
            assert_eq!(tree.node_count(), nodes - owned, "nodes after the end {zxid} of {session}");
            assert_eq!(tree.ephemerals_count(), others - owned, "ephemerals after the end {zxid}");
        }
    }
}
