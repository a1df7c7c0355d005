//! What of a member's part in an ensemble is seldom changed.

/// Settings of a member that are seldom changed. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Transactions that are kept in memory for learners.
    pub commit_log_count: usize,
    /// Learners that are being sent a snapshot, above which an observer has to come again.
    pub snap_syncs_max: usize,
    /// The same of those that are being sent transactions.
    pub diff_syncs_max: usize,
    /// How long a leader waits for a quorum, once one of those that elected it looks for a leader again; without it
    /// `initLimit` alone counts.
    pub epoch_wait_ms: Option<i64>,
    /// An observer waits a part of this before it connects to its leader.
    pub observer_connects_ms: i64,
    /// An observer that has lost its leader waits a part of this before it asks for the next one.
    pub observer_looks_ms: i64,
    /// Between two attempts to connect to the leader.
    pub master_retry_ms: u64,
    /// The acknowledgements of one proposal in so many are timed; below 1 of none.
    pub ack_logging_every: i64,
    /// Whether the system looks after silent connections of the election port.
    pub election_keepalive: bool,
    /// Whether a leader sends small packets to its learners at once.
    pub leader_nodelay: bool,
    /// Whether a learner does to its leader.
    pub learner_nodelay: bool,
    /// How long a connection of the election port to a server with several addresses may leave unacknowledged what it was
    /// sent; None leaves that to the system.
    pub reachable_ms: Option<u32>,
}
