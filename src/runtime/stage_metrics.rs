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

#[cfg(test)]
mod tests {
    use super::*;

    /// Count, sum and largest.
    fn figures(summary: &Summary) -> (u64, i64, i64) {
        (summary.count(), summary.sum(), summary.max())
    }

    /// Three requests of which two were transactions: 6 ms of preparing, then 8 ms of syncing.
    #[test]
    fn each_request_has_its_share_of_a_round_and_each_transaction_the_whole_wait() {
        let metrics = Metrics::default();
        let stages = Stages { began: 100, prepared: 106, synced: 114 };
        stages.count(&metrics, [90, 90, 97].into_iter(), 1, 2, (1000, 1030));
        assert_eq!(figures(&metrics.prep_process_time), (3, 6, 2));
        assert_eq!(figures(&metrics.close_session_prep_time), (1, 2, 2));
        assert_eq!(figures(&metrics.prep_processor_queue_time_ms), (3, 23, 10));
        assert_eq!(metrics.prep_processor_queue_time_ms.min(), 3);
        assert_eq!(figures(&metrics.sync_processor_queue_size), (1, 2, 2));
        assert_eq!(figures(&metrics.sync_processor_queue_time_ms), (2, 12, 6));
        assert_eq!(figures(&metrics.sync_processor_queue_flush_time_ms), (2, 16, 8));
        assert_eq!(figures(&metrics.sync_processor_queue_and_flush_time_ms), (2, 28, 14));
        assert_eq!(figures(&metrics.sync_process_time), (2, 8, 4));
        assert_eq!(figures(&metrics.propagation_latency), (2, 60, 30));
    }

    #[test]
    fn a_round_without_transactions_syncs_nothing() {
        let metrics = Metrics::default();
        let stages = Stages { began: 5, prepared: 9, synced: 9 };
        stages.count(&metrics, [5].into_iter(), 0, 0, (0, 0));
        assert_eq!(figures(&metrics.prep_process_time), (1, 4, 4));
        assert_eq!(figures(&metrics.prep_processor_queue_time_ms), (1, 0, 0));
        for summary in [
            &metrics.close_session_prep_time,
            &metrics.sync_processor_queue_size,
            &metrics.sync_process_time,
            &metrics.propagation_latency,
        ] {
            assert_eq!(summary.count(), 0);
        }
    }

    #[test]
    fn kinds_of_watches_are_counted_apart_and_only_when_some_fired() {
        let metrics = Metrics::default();
        count_watches(&metrics, Fired { created: 1, deleted: 2, changed: 3, children: 0 });
        count_watches(&metrics, Fired { created: 0, deleted: 0, changed: 4, children: 5 });
        assert_eq!(figures(&metrics.node_created_watch_count), (1, 1, 1));
        assert_eq!(figures(&metrics.node_deleted_watch_count), (1, 2, 2));
        assert_eq!(figures(&metrics.node_changed_watch_count), (2, 7, 4));
        assert_eq!(figures(&metrics.node_children_watch_count), (1, 5, 5));
    }

    /// The rest of what is written is shown through connections: `net::figures_test`.
    #[test]
    fn the_less_common_writes_count_for_their_namespace_too() {
        use jute::records::txn::{CreateTTLTxn, DeleteTxn, ErrorTxn, SetDataTxn};

        let metrics = Metrics::default();
        let (path, data) = (|| Some("/ns/a".to_owned()), || Some(vec![0; 10]));
        let ttl = CreateTTLTxn { path: path(), data: data(), ..CreateTTLTxn::default() };
        count_writes(&metrics, &TxnBody::CreateTtl(ttl));
        count_writes(&metrics, &TxnBody::DeleteContainer(DeleteTxn { path: path() }));
        count_writes(&metrics, &TxnBody::Reconfig(SetDataTxn { path: path(), data: None, version: 0 }));
        count_writes(&metrics, &TxnBody::Delete(DeleteTxn { path: Some("/".into()) }));
        count_writes(&metrics, &TxnBody::Delete(DeleteTxn { path: None }));
        count_writes(&metrics, &TxnBody::Error(ErrorTxn { err: -1 }));
        let written = metrics.write_per_namespace.of("ns").expect("there is a place for it");
        assert_eq!(figures(&written), (3, 15 + 5 + 5, 15));
        count_read(&metrics, "/ns/a", 10);
        count_read(&metrics, "/", 10);
        let read = metrics.read_per_namespace.of("ns").expect("there is a place for it");
        assert_eq!(figures(&read), (1, 5 + 10 + 68, 83));
    }
}
