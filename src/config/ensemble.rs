//! How a member of an ensemble takes part, but for who the members are.

/// Settings of a member; a server alone has no use for them. Times in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// Ticks a learner tries to connect to its leader.
    pub connect_limit_ticks: i32,
    /// Whether a leader serves clients.
    pub leader_serves: bool,
    /// Whether an observer keeps a log and takes snapshots.
    pub observer_logs: bool,
    /// Whether quorum and election port are bound on every interface.
    pub listens_on_all: bool,
    /// How often binding the election port is tried, a second apart; 0 for ever.
    pub election_bind_retries: u32,
    /// How long the election port of another member is tried.
    pub election_connect_ms: u64,
    /// How long somebody who connects to the election port may take to say who it is.
    pub election_handshake_ms: u64,
    /// The first and the longest wait before an election is asked about again.
    pub notification_ms: (i64, i64),
    /// Whether a server may have several addresses, which others are then told.
    pub has_several_addresses: bool,
    /// Learners are always sent the whole tree.
    pub forces_snapshots: bool,
    /// How large the log files from a learner's last transaction on may be, in parts of the newest snapshot, for it to
    /// be sent transactions from them and not a snapshot; 0 for any size, below 0 never.
    pub log_share: f64,
    /// What is seldom changed.
    pub tuning: super::tuning::Tuning,
    /// How members prove to each other who they are; None where they do not.
    pub peers: Option<crate::config::sasl::Peers>,
    /// Why the login configuration of `peers` cannot be used: then a member does not start.
    pub peers_problem: Option<String>,
    /// Why a member must not start with this configuration, a sentence for each reason: it asks for what this
    /// version has not, and nothing else would do instead.
    pub refusals: Vec<String>,
}
