//! Every metric name, once.
//!
//! [`Metrics`] holds the counters and summaries of the reference as typed handles: a module that
//! measures something names the field, and a counter is one relaxed atomic addition.
//! [`Gauges`] are read from the server at the moment somebody asks. Both go out twice:
//! [`Metrics::mntr_entries`] for `mntr`, and [`prometheus`] for a scrape.
//!
//! A server that is alone has the metrics of an ensemble too, at zero: so does the reference.
//! Reference: `ServerMetrics`, `ZooKeeperServer.registerMetrics`.

mod handles;
pub mod java;
mod mntr;
pub mod process;
pub mod prometheus;

use std::collections::BTreeMap;

pub use handles::{Counter, KEYS_MAX, Keyed, Summary};

/// How much a summary tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Average, smallest, largest, count and sum; in Prometheus the median.
    Basic,
    /// Percentiles too.
    Percentiles,
}

macro_rules! handle {
    (Counter) => { Counter };
    (Summary) => { Summary };
    (Percentile) => { Summary };
    (KeyedCounter) => { Keyed<Counter> };
    (KeyedSummary) => { Keyed<Summary> };
    (KeyedPercentile) => { Keyed<Summary> };
}

macro_rules! entry {
    (Counter $name:expr, $handle:expr) => {
        Entry::Counter($name, $handle)
    };
    (Summary $name:expr, $handle:expr) => {
        Entry::Summary($name, Detail::Basic, $handle)
    };
    (Percentile $name:expr, $handle:expr) => {
        Entry::Summary($name, Detail::Percentiles, $handle)
    };
    (KeyedCounter $name:expr, $handle:expr) => {
        Entry::KeyedCounter($name, $handle)
    };
    (KeyedSummary $name:expr, $handle:expr) => {
        Entry::KeyedSummary($name, Detail::Basic, $handle)
    };
    (KeyedPercentile $name:expr, $handle:expr) => {
        Entry::KeyedSummary($name, Detail::Percentiles, $handle)
    };
}

macro_rules! metrics {
    ($($kind:ident $name:ident $meaning:literal;)*) => {
        /// All counters and summaries. One per process, shared by reference.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $name: handle!($kind),)*
        }

        impl Metrics {
            /// All of them, in the order of the reference's declaration.
            fn entries(&self) -> Vec<Entry<'_>> {
                vec![$(entry!($kind stringify!($name), &self.$name)),*]
            }
        }
    };
}

/// One metric with its name.
enum Entry<'a> {
    Counter(&'static str, &'a Counter),
    Summary(&'static str, Detail, &'a Summary),
    KeyedCounter(&'static str, &'a Keyed<Counter>),
    KeyedSummary(&'static str, Detail, &'a Keyed<Summary>),
}

metrics! {
    Summary fsynctime "Txn log fsync duration ms.";
    Summary snapshottime "Snapshot write duration ms.";
    Counter snapshot_error_count "Failed admin snapshots.";
    Counter snapshot_rate_limited_count "Admin snapshots refused by rate limit.";
    Summary restore_time "Admin restore duration ms.";
    Counter restore_error_count "Failed admin restores.";
    Counter restore_rate_limited_count "Admin restores refused by rate limit.";
    Summary dbinittime "Database load (snapshot + log replay) ms.";
    Percentile readlatency "Server side latency of non-txn requests ms.";
    Percentile updatelatency "Latency of txn requests received by this server ms.";
    Percentile propagation_latency "Txn creation on leader until applied here ms (wall clocks).";
    Summary follower_sync_time "Follower sync phase ms.";
    Summary observer_sync_time "Observer sync phase ms.";
    Summary election_time "LOOKING until role chosen ms.";
    Counter looking_count "Times this peer entered LOOKING.";
    Counter diff_count "DIFF/TRUNC syncs served.";
    Counter snap_count "SNAP syncs served.";
    Counter commit_count "COMMITs broadcast by leader.";
    Counter connection_request_count "Connect requests admitted past the throttle.";
    Summary connection_token_deficit "Missing tokens in connection throttle.";
    Counter connection_rejected "Connections refused (limits or throttle).";
    Summary inflight_snap_count "SNAP syncs in progress.";
    Summary inflight_diff_count "DIFF syncs in progress.";
    KeyedSummary write_per_namespace "Path plus data bytes of writes, keyed by first path component.";
    KeyedSummary read_per_namespace "Path plus reply bytes of reads (adds 68 bytes of stat), keyed by first path component.";
    Counter bytes_received_count "Bytes received from clients.";
    Counter unrecoverable_error_count "Critical thread failures.";
    Summary node_created_watch_count "Watchers fired per NodeCreated.";
    Summary node_deleted_watch_count "Watchers fired per NodeDeleted.";
    Summary node_changed_watch_count "Watchers fired per NodeDataChanged.";
    Summary node_children_watch_count "Watchers fired per NodeChildrenChanged.";
    Counter add_dead_watcher_stall_time "Ms stalled adding dead watchers (optimized manager).";
    Counter dead_watchers_queued "Dead watchers queued.";
    Counter dead_watchers_cleared "Dead watchers cleaned.";
    Percentile dead_watchers_cleaner_latency "Cleaning duration ms.";
    Counter response_packet_cache_hits "GetData reply cache hits, as the reference would have them: replies are not cached.";
    Counter response_packet_cache_misses "GetData reply cache misses, as the reference would have them: replies are not cached.";
    Counter response_packet_get_children_cache_hits "GetChildren2 reply cache hits, as the reference would have them: replies are not cached.";
    Counter response_packet_get_children_cache_misses "GetChildren2 reply cache misses, as the reference would have them: replies are not cached.";
    Counter ensemble_auth_success "Ensemble name accepted.";
    Counter ensemble_auth_fail "Ensemble name refused.";
    Counter ensemble_auth_skip "Ensemble auth without a name or configuration.";
    Percentile prep_processor_queue_time_ms "Wait in prep queue.";
    Summary prep_processor_queue_size "Prep queue length when polled.";
    Counter prep_processor_request_queued "Requests queued to prep.";
    Counter outstanding_changes_queued "Change records added.";
    Counter outstanding_changes_removed "Change records removed.";
    Summary prep_process_time "Prep duration ms.";
    Summary proposal_process_time "Time in the stage after prep ms.";
    Percentile close_session_prep_time "CloseSession preparation ms.";
    Counter revalidate_count "Session revalidations received by leader.";
    Counter connection_drop_count "Client sockets dropped.";
    Counter connection_revalidate_count "Reconnects to existing sessions.";
    Counter sessionless_connections_expired "NIO connections expired (no or idle session).";
    Counter stale_sessions_expired "Sessions expired.";
    Summary unavailable_time "LOOKING until BROADCAST ms.";
    Summary leader_unavailable_time "Same, when this peer became leader.";
    Summary requests_in_session_queue "Length of a session queue in commit processor.";
    Summary pending_session_queue_size "Sessions with queued requests.";
    Summary reads_after_write_in_session_queue "Reads released behind one write.";
    Summary reads_issued_from_session_queue "Reads released from session queues.";
    Summary session_queues_drained "Session queues drained per round.";
    Summary time_waiting_empty_pool_in_commit_processor_read_ms "Wait for running reads before a write.";
    Summary write_batch_time_in_commit_processor "Commit batch duration ms.";
    Summary concurrent_request_processing_in_commit_processor "Reads running when a commit arrives.";
    Summary read_commit_proc_req_queued "Queued reads per round.";
    Summary write_commit_proc_req_queued "Queued writes per round.";
    Summary commit_commit_proc_req_queued "Queued commits per round.";
    Counter request_commit_queued "Commits queued.";
    Summary read_commit_proc_issued "Reads issued per round.";
    Summary write_commit_proc_issued "Commits issued per round.";
    Counter throttled_ops "Requests answered THROTTLEDOP.";
    Percentile read_commitproc_time_ms "Read time in commit processor.";
    Percentile write_commitproc_time_ms "Local write time in commit processor.";
    Percentile local_write_committed_time_ms "Local write: commit received until applied.";
    Percentile server_write_committed_time_ms "Foreign write: commit received until applied.";
    Summary commit_process_time "Commit processor round ms.";
    Percentile om_proposal_process_time_ms "Observer master proposal handling.";
    Percentile om_commit_process_time_ms "Observer master commit handling.";
    Percentile read_final_proc_time_ms "Final processor time, reads.";
    Percentile write_final_proc_time_ms "Final processor time, writes.";
    Percentile proposal_latency "Txn creation until proposal received by follower ms.";
    Percentile proposal_ack_creation_latency "Txn creation until logged locally (ack) ms.";
    Percentile commit_propagation_latency "Txn creation until commit received by learner ms.";
    Counter learner_proposal_received_count "Proposals received.";
    Counter learner_commit_received_count "Commits/informs received.";
    KeyedSummary learner_handler_qp_size "Packets queued to a learner.";
    KeyedPercentile learner_handler_qp_time_ms "Queue delay to a learner (1 in 1000 sampled).";
    Summary startup_txns_loaded "Txns replayed at load.";
    Summary startup_txns_load_time "Log replay ms.";
    Summary startup_snap_load_time "Snapshot load ms.";
    Percentile sync_processor_queue_and_flush_time_ms "Queue plus flush time.";
    Summary sync_processor_queue_size "Sync queue length when polled.";
    Counter sync_processor_request_queued "Requests queued to sync.";
    Percentile sync_processor_queue_time_ms "Wait in sync queue.";
    Percentile sync_processor_queue_flush_time_ms "Flush duration.";
    Summary sync_process_time "Per request time in sync ms.";
    Summary sync_processor_batch_size "Requests per flush.";
    Percentile quorum_ack_latency "Txn creation until quorum of acks ms.";
    KeyedPercentile ack_latency "Txn creation until ack, per server id (sampled by ackLoggingFrequency).";
    Counter proposal_count "Proposals made.";
    Counter quit_leading_due_to_disloyal_voter "Gave up leading while waiting for epoch.";
    Counter stale_requests "Stale requests seen by throttler.";
    Counter stale_requests_dropped "Stale requests dropped.";
    Counter stale_replies "Replies to stale requests.";
    Percentile request_throttle_queue_time_ms "Wait in throttler.";
    Counter request_throttle_wait_count "Throttler stalls.";
    Counter large_requests_rejected "Large requests refused.";
    Summary netty_queued_buffer_capacity "Netty queued read buffer bytes.";
    Counter digest_mismatches_count "Data tree digest mismatches.";
    Summary learner_request_processor_queue_size "Queue of follower/observer request processor.";
    Counter unsuccessful_handshake "Failed TLS handshakes.";
    Counter insecure_admin_count "Plaintext admin connections.";
    Counter tls_handshake_exceeded "TLS handshakes refused by limit.";
    Counter cnxn_closed_without_zk_server_running "TLS connections dropped before handshake.";
    Counter skip_learner_request_to_next_processor_count "Observer requests not queued locally.";
    Summary socket_closing_time "Quorum socket close ms.";
    Counter requests_not_forwarded_to_commit_processor "Forwarded requests not queued on leader.";
    Counter response_bytes "Reply bytes written.";
    Counter watch_bytes "Notification bytes written.";
    Percentile jvm_pause_time_ms "Detected JVM pauses.";
    KeyedCounter quota_exceeded_error_per_namespace "Writes refused by hard quota, keyed by first path component.";
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Back to zero: what `srst` does to the default provider, and must not do when metrics go to
    /// Prometheus, whose counters never fall. Gauges have nothing to reset.
    pub fn reset(&self) {
        for entry in self.entries() {
            match entry {
                Entry::Counter(_, counter) => counter.reset(),
                Entry::Summary(_, _, summary) => summary.reset(),
                Entry::KeyedCounter(_, keyed) => keyed.each(|_, counter| counter.reset()),
                Entry::KeyedSummary(_, _, keyed) => keyed.each(|_, summary| summary.reset()),
            }
        }
    }
}

/// A gauge: whole, or with a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Printed without a point.
    Whole(i64),
    /// Printed as Java prints a double.
    Fraction(f64),
}

impl Value {
    /// As a floating point number.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        }
    }
}

macro_rules! gauges {
    ($($name:ident $type:ty, $variant:ident $meaning:literal;)*) => {
        /// What is read from the server when somebody asks. Fill it afresh for each question.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Gauges {
            $(#[doc = $meaning] pub $name: $type,)*
            /// Quotas by first path component; printed as four gauges per key.
            pub quotas: BTreeMap<String, QuotaGauges>,
            /// What only a leader has.
            pub leader: Option<LeaderGauges>,
            /// Observers that learn from this server and are in sync; what a leader and its followers have.
            pub synced_observers: Option<i64>,
            /// Members with a vote; of members only.
            pub quorum_size: Option<i64>,
        }

        impl Gauges {
            /// Names and values, without the quotas.
            fn entries(&self) -> Vec<(&'static str, Value)> {
                let mut entries = vec![$((stringify!($name), Value::$variant(self.$name))),*];
                if let Some(leader) = &self.leader {
                    entries.extend(leader.entries());
                }
                entries.extend(self.synced_observers.map(|count| ("synced_observers", Value::Whole(count))));
                entries.extend(self.quorum_size.map(|count| ("quorum_size", Value::Whole(count))));
                entries
            }
        }
    };
}

gauges! {
    avg_latency f64, Fraction "Average request latency ms (4 decimals).";
    max_latency i64, Whole "Max request latency ms.";
    min_latency i64, Whole "Min request latency ms.";
    packets_received i64, Whole "Packets from clients.";
    packets_sent i64, Whole "Packets to clients.";
    num_alive_connections i64, Whole "Open client connections.";
    outstanding_requests i64, Whole "Requests in process.";
    uptime i64, Whole "Ms since server object start.";
    znode_count i64, Whole "Nodes incl. the two root entries (fresh server: 5).";
    watch_count i64, Whole "Watches in data plus child tables.";
    ephemerals_count i64, Whole "Ephemeral nodes.";
    approximate_data_size i64, Whole "Sum of path and data lengths.";
    global_sessions i64, Whole "Global sessions.";
    local_sessions i64, Whole "Local sessions.";
    open_file_descriptor_count i64, Whole "Open fds.";
    max_file_descriptor_count i64, Whole "Fd limit.";
    connection_drop_probability f64, Fraction "BLUE drop probability.";
    last_client_response_size i64, Whole "Last reply bytes (-1 none).";
    max_client_response_size i64, Whole "Max reply bytes.";
    min_client_response_size i64, Whole "Min reply bytes.";
    outstanding_tls_handshake i64, Whole "TLS handshakes in progress (Netty; else 0). Never unregistered.";
    auth_failed_count i64, Whole "TLS client auth failures.";
    non_mtls_remote_conn_count i64, Whole "Remote connections without mTLS (Netty).";
    non_mtls_local_conn_count i64, Whole "Loopback connections without mTLS (Netty).";
    disk_full_writes_waiting i64, Whole "1 while writes wait for space on a full disk. Not in the reference.";
}

/// What only a leader has (reference: `LeaderZooKeeperServer.registerMetrics`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaderGauges {
    /// Learners that are connected.
    pub learners: i64,
    /// Followers that are in sync.
    pub synced_followers: i64,
    /// Of these, such as have no vote.
    pub synced_non_voting_followers: i64,
    /// Syncs of clients that wait for a commit.
    pub pending_syncs: i64,
    /// Milliseconds since the epoch was established.
    pub leader_uptime: i64,
    /// Bytes of the last proposal, -1 before the first.
    pub last_proposal_size: i64,
    /// Of the largest.
    pub max_proposal_size: i64,
    /// Of the smallest.
    pub min_proposal_size: i64,
}

impl LeaderGauges {
    fn entries(&self) -> [(&'static str, Value); 8] {
        [
            ("learners", self.learners),
            ("synced_followers", self.synced_followers),
            ("synced_non_voting_followers", self.synced_non_voting_followers),
            ("pending_syncs", self.pending_syncs),
            ("leader_uptime", self.leader_uptime),
            ("last_proposal_size", self.last_proposal_size),
            ("max_proposal_size", self.max_proposal_size),
            ("min_proposal_size", self.min_proposal_size),
        ]
        .map(|(name, value)| (name, Value::Whole(value)))
    }
}

/// Limits and usage below one first path component, summed over its quotas. A limit is the hard
/// one if set, else the soft one, else -1. Reference: `QuotaMetricsUtils`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaGauges {
    /// Nodes allowed; None when there is no limit node.
    pub count_limit: Option<i64>,
    /// Bytes allowed; None when there is no limit node.
    pub bytes_limit: Option<i64>,
    /// Nodes there are.
    pub count_usage: i64,
    /// Bytes there are.
    pub bytes_usage: i64,
}
