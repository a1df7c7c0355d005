//! An acknowledged write is in the log, under the zxid that its reply told.

use std::collections::HashMap;

use jute::txn::TxnEntry;

use crate::sim::server::history::History;

pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let by_zxid: HashMap<_, _> = logged.iter().map(|entry| (entry.header.zxid, &entry.header)).collect();
    for (session, xid, op, zxid) in &history.acknowledged {
        let header =
            by_zxid.get(zxid).unwrap_or_else(|| panic!("{op} acknowledged with {zxid} is not in the log"));
        assert_eq!((header.client_id, header.cxid), (*session, *xid), "the {op} acknowledged with {zxid}");
    }
}
