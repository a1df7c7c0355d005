//! What reads and writes of each top-level node amount to (reference: `DataTree.updateReadStat`,
//! `updateWriteStat`).

use jute::txn::TxnBody;

use crate::metrics::Metrics;
use crate::tree::path;

/// Bytes the reference counts for the stat of a node that was read.
pub const STAT_OVERHEAD_BYTES: usize = 68;

/// Counts a node that was read.
pub fn count_read(metrics: &Metrics, path: &str, bytes: usize) {
    if let Some(namespace) = path::top_namespace(path) {
        let bytes = path::utf16_length(path) + bytes + STAT_OVERHEAD_BYTES;
        metrics.read_per_namespace.observe(namespace, bytes as i64);
    }
}

/// Counts what a transaction writes; failed ones write nothing.
pub(super) fn count_writes(metrics: &Metrics, body: &TxnBody) {
    let count = |path: &Option<String>, data: Option<&Vec<u8>>| {
        let path = path.as_deref().unwrap_or_default();
        if let Some(namespace) = path::top_namespace(path) {
            let bytes = path::utf16_length(path) + data.map_or(0, Vec::len);
            metrics.write_per_namespace.observe(namespace, bytes as i64);
        }
    };
    match body {
        TxnBody::Create(txn) | TxnBody::Create2(txn) => count(&txn.path, txn.data.as_ref()),
        TxnBody::CreateContainer(txn) => count(&txn.path, txn.data.as_ref()),
        TxnBody::CreateTtl(txn) => count(&txn.path, txn.data.as_ref()),
        TxnBody::SetData(txn) | TxnBody::Reconfig(txn) => count(&txn.path, txn.data.as_ref()),
        TxnBody::Delete(txn) | TxnBody::DeleteContainer(txn) => count(&txn.path, None),
        TxnBody::CloseSession(txn) => {
            let paths = txn.iter().filter_map(|txn| txn.paths2delete.as_ref()).flatten();
            paths.for_each(|path| count(path, None));
        }
        TxnBody::Multi(parts) if !parts.iter().any(|part| matches!(part, TxnBody::Error(_))) => {
            parts.iter().for_each(|part| count_writes(metrics, part));
        }
        _ => {}
    }
}
