//! What is logged can be loaded: no transaction is larger than the limit that its server was started with, the end of
//! a session with many ephemerals included.

use jute::txn::TxnEntry;

use crate::sim::server::history::History;

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    for entry in logged {
        let zxid = entry.header.zxid;
        let in_force = history.txn_bytes_max.iter().rev().find(|(from, _)| *from < zxid);
        let Some((_, bytes_max)) = in_force else { continue };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert!(bytes.len() <= *bytes_max, "{zxid} takes {} bytes of {bytes_max}: {entry:?}", bytes.len());
    }
}
