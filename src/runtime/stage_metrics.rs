//! What the writer counts: how long its stages take, which watches fire, and what reads and writes of
//! each top-level node amount to (reference: `ServerMetrics`, `DataTree.updateReadStat`,
//! `updateWriteStat`).

use jute::txn::TxnBody;

use crate::metrics::{Metrics, Summary};
use crate::replica::Fired;
use crate::tree::path;

/// Bytes the reference counts for the stat of a node that was read.
pub const STAT_OVERHEAD_BYTES: usize = 68;

/// When the stages of one round ended, in milliseconds on the monotonic clock.
pub(super) struct Stages {
    pub(super) began: i64,
    /// Everything was prepared and appended.
    pub(super) prepared: i64,
    /// It was durable.
    pub(super) synced: i64,
}

impl Stages {
    /// Counts the stages for each of its requests, given when they came, of which `ends` end a session, and
    /// its `txns` transactions, made at `made` and durable at `durable` on the wall clock. The stages work on a whole round at once: the
    /// time of one request is its share.
    pub(super) fn count(
        &self,
        metrics: &Metrics,
        received: impl ExactSizeIterator<Item = i64>,
        ends: usize,
        txns: u64,
        (made, durable): (i64, i64),
    ) {
        let requests = u32::try_from(received.len()).unwrap_or(u32::MAX);
        let preparing = self.prepared - self.began;
        let share = preparing / i64::from(requests.max(1));
        metrics.prep_process_time.observe_many(share, requests);
        metrics.close_session_prep_time.observe_many(share, u32::try_from(ends).unwrap_or(u32::MAX));
        observe_runs(&metrics.prep_processor_queue_time_ms, received.map(|at| self.began - at));
        let Ok(txns @ 1..) = u32::try_from(txns) else { return };
        let syncing = self.synced - self.prepared;
        metrics.sync_processor_queue_size.observe(txns.into());
        metrics.sync_processor_queue_time_ms.observe_many(preparing, txns);
        metrics.sync_processor_queue_flush_time_ms.observe_many(syncing, txns);
        metrics.sync_processor_queue_and_flush_time_ms.observe_many(preparing + syncing, txns);
        metrics.sync_process_time.observe_many(syncing / i64::from(txns), txns);
        metrics.propagation_latency.observe_many(durable - made, txns);
    }
}

/// Observes values of which neighbours are mostly equal.
fn observe_runs(summary: &Summary, values: impl Iterator<Item = i64>) {
    let mut run = (0, 0);
    for value in values {
        if value != run.0 {
            summary.observe_many(run.0, run.1);
            run = (value, 0);
        }
        run.1 += 1;
    }
    summary.observe_many(run.0, run.1);
}

/// Counts the watches that one change fired (reference: `WatchManager.triggerWatch`).
pub(super) fn count_watches(metrics: &Metrics, fired: Fired) {
    let of = |summary: &Summary, count: usize| {
        if count > 0 {
            summary.observe(count as i64);
        }
    };
    of(&metrics.node_created_watch_count, fired.created);
    of(&metrics.node_deleted_watch_count, fired.deleted);
    of(&metrics.node_changed_watch_count, fired.changed);
    of(&metrics.node_children_watch_count, fired.children);
}

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
