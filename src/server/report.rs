//! What this server says of itself: the facts behind four-letter words and metrics.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jute::SessionId;

use super::members;
use super::walks::{self, session_of};
use crate::admin::Out;
use crate::admin::four_letter::{self, Whitelist};
use crate::admin::report::{
    Bucket, ConfReport, ConnectionReport, DigestReport, DirsReport, DumpedConnection, Mode, QuorumConfReport,
    ServerReport, SessionReport, Sizes, Source, VERSION, Watch, WatchSummary, environment,
};
use crate::clock::Clock;
use crate::config::dynamic::Role;
use crate::config::{Config, MetricsProvider};
use crate::disk::Disk;
use crate::metrics::prometheus::Exporter;
use crate::metrics::{Gauges, LeaderGauges, Metrics, QuotaGauges, java, process};
use crate::net::{Commands, Secure};
use crate::runtime::client::Port;
use crate::runtime::outbox::ClientStats;
use crate::runtime::standing::Proposals;
use crate::runtime::{Client, State};
use crate::store;
use crate::tree::quota::{StatsTrack, limits_path, stats_path};
use crate::tree::{Tree, path};
use crate::zab::{PeerState, Sid};

/// What a [`Reporter`] looks at.
pub(super) struct Facts {
    pub(super) state: Arc<State>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) snapshots: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) client_port: Option<u16>,
    pub(super) secure_client_port: Option<u16>,
    pub(super) secure: Option<Arc<Secure>>,
    pub(super) config: Config,
}

/// Answers for the running server.
pub(super) struct Reporter {
    pub(super) facts: Facts,
    started_ms: i64,
    trace_mask: AtomicI64,
}

/// The trace mask a server starts with (reference: `ZooTrace.traceMask`).
const TRACE_MASK: i64 = 306;

impl Reporter {
    pub(super) fn new(facts: Facts) -> Self {
        let started_ms = facts.clock.now_ms();
        Self { facts, started_ms, trace_mask: AtomicI64::new(TRACE_MASK) }
    }

    /// As it answers who asks by this port.
    pub(super) const fn asked_by(&self, port: Port) -> Asked<'_> {
        Asked { reporter: self, port }
    }

    /// Gauges as of now.
    pub(super) fn gauges(&self) -> Gauges {
        let Facts { state, clock, secure, .. } = &self.facts;
        let (min_latency, total, count, max_latency) = state.stats.latency();
        let (last, least, most) = state.stats.response_bytes();
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let sessions = state.sessions().committed_count();
        let watches = state.watches().count();
        let tree = state.tree();
        Gauges {
            avg_latency: java::average(total, count.unsigned_abs()),
            max_latency,
            min_latency,
            packets_received: state.stats.received().cast_signed(),
            packets_sent: state.stats.sent().cast_signed(),
            num_alive_connections: whole(state.client_count()),
            outstanding_requests: whole(state.budget.waiting()),
            uptime: clock.now_ms() - self.started_ms,
            znode_count: whole(tree.node_count()),
            watch_count: whole(watches),
            ephemerals_count: whole(tree.ephemerals_count()),
            approximate_data_size: tree.approximate_data_size(),
            global_sessions: whole(sessions),
            open_file_descriptor_count: process::open_file_descriptors(),
            max_file_descriptor_count: process::max_file_descriptors(),
            last_client_response_size: last,
            max_client_response_size: most,
            min_client_response_size: least,
            outstanding_tls_handshake: secure.as_ref().map_or(0, |secure| whole(secure.handshakes())),
            auth_failed_count: secure.as_ref().map_or(0, |secure| secure.failed()),
            disk_full_writes_waiting: state.is_disk_full().into(),
            quotas: quota_gauges(&tree),
            leader: self.leader_gauges(),
            synced_observers: self.synced_observers(),
            quorum_size: self.quorum_size(),
            ..Gauges::default()
        }
    }

    /// What only a leader has.
    fn leader_gauges(&self) -> Option<LeaderGauges> {
        let Facts { state, clock, config, .. } = &self.facts;
        let told = state.standing.told().filter(|told| told.state == PeerState::Leading)?;
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let is_synced_follower = |learner: &&(Sid, bool, bool)| matches!(learner, (_, false, true));
        let is_voter = |sid: &Sid| config.membership.voters().any(|voter| voter.id == *sid);
        let synced = told.learners.iter().filter(is_synced_follower);
        let proposals = state.standing.proposals();
        Some(LeaderGauges {
            learners: whole(told.learners.len()),
            synced_followers: whole(synced.clone().count()),
            synced_non_voting_followers: whole(synced.filter(|(sid, ..)| !is_voter(sid)).count()),
            pending_syncs: state.standing.pending_syncs(),
            leader_uptime: clock.now_ms() - proposals.since_ms,
            last_proposal_size: proposals.last_bytes,
            max_proposal_size: proposals.max_bytes,
            min_proposal_size: proposals.min_bytes,
        })
    }

    /// Observers in sync with this server, where there can be such.
    fn synced_observers(&self) -> Option<i64> {
        let told = self.facts.state.standing.told()?;
        match told.state {
            PeerState::Leading => {
                let synced = told.learners.iter().filter(|learner| matches!(learner, (_, true, true)));
                Some(i64::try_from(synced.count()).unwrap_or(i64::MAX))
            }
            PeerState::Following => Some(0),
            PeerState::Looking | PeerState::Observing => None,
        }
    }

    /// Voters, where there are others (reference: `QuorumZooKeeperServer.registerMetrics`).
    fn quorum_size(&self) -> Option<i64> {
        self.facts.state.standing.told()?;
        Some(i64::try_from(self.facts.config.membership.voters().count()).unwrap_or(i64::MAX))
    }

    /// What this server is to the others.
    fn mode(&self) -> Mode {
        match self.facts.state.standing.told().map(|told| told.state) {
            None => Mode::Standalone,
            Some(PeerState::Leading) => Mode::Leader,
            Some(PeerState::Observing) => Mode::Observer,
            Some(PeerState::Following | PeerState::Looking) => Mode::Follower,
        }
    }

    /// What `conf` adds in an ensemble.
    fn quorum_conf(&self) -> Option<QuorumConfReport> {
        let config = &self.facts.config;
        if !config.is_distributed() {
            return None;
        }
        let me = config.server_id.and_then(|me| config.membership.servers.get(&me))?;
        Some(QuorumConfReport {
            init_limit: config.init_limit_ticks,
            sync_limit: config.sync_limit_ticks,
            election_alg: 3,
            election_ports: me.addresses.iter().map(|address| address.election_port).collect(),
            quorum_ports: me.addresses.iter().map(|address| address.quorum_port).collect(),
            peer_type: (config.peer_type == Role::Observer).into(),
            membership: Some(members::text(&config.membership, config.raw.len())),
        })
    }

    /// The size of a directory, without what the reference's would not hold.
    fn bytes_in(&self, directory: &Path) -> u64 {
        let mut names = self.facts.disk.list(directory).unwrap_or_default();
        names.retain(|name| !store::is_extra(name));
        let sizes =
            names.iter().filter_map(|name| self.facts.disk.open_read(&directory.join(name)).ok()?.len().ok());
        sizes.sum()
    }

    /// When a moment of the monotonic clock is, in milliseconds since 1970.
    fn to_wall(&self, monotonic_ms: i64) -> i64 {
        self.facts.clock.wall_ms() + monotonic_ms - self.facts.clock.now_ms()
    }
}

/// Limits and usage of every quota, summed by the first component of its path.
fn quota_gauges(tree: &Tree) -> std::collections::BTreeMap<String, QuotaGauges> {
    let mut gauges = std::collections::BTreeMap::<String, QuotaGauges>::new();
    for quota in tree.quota_paths() {
        let track = |path: &str| tree.get(path).map(|node| StatsTrack::parse(node.data()));
        let Some(namespace) = path::top_namespace(quota) else { continue };
        let of_namespace = gauges.entry(namespace.to_owned()).or_default();
        if let Some(limits) = track(&limits_path(quota)) {
            let either = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
            let add = |sum: &mut Option<i64>, limit: i64| *sum = Some(sum.unwrap_or(0) + limit);
            add(&mut of_namespace.count_limit, either(limits.count_hard_limit(), limits.count()));
            add(&mut of_namespace.bytes_limit, either(limits.byte_hard_limit(), limits.bytes()));
        }
        if let Some(usage) = track(&stats_path(quota)) {
            of_namespace.count_usage += usage.count();
            of_namespace.bytes_usage += usage.bytes();
        }
    }
    gauges
}

/// What `mntr` says of a member that serves, which is all it answers for (reference:
/// `QuorumPeer.getDetailedPeerState`).
const fn peer_state(state: PeerState) -> &'static str {
    match state {
        PeerState::Leading => "leading - broadcast",
        PeerState::Following => "following - broadcast",
        PeerState::Observing => "observing - broadcast",
        PeerState::Looking => "looking",
    }
}

/// The running server as it answers who asks by one of its ports.
pub(super) struct Asked<'a> {
    reporter: &'a Reporter,
    port: Port,
}

impl Asked<'_> {
    /// The clients of the port.
    fn clients(&self) -> impl Iterator<Item = Arc<Client>> {
        let clients = self.reporter.facts.state.clients().into_iter();
        clients.filter(|client| client.port == self.port)
    }
}

impl Source for Asked<'_> {
    fn is_serving(&self) -> bool {
        self.reporter.facts.state.standing.serves()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn server(&self) -> ServerReport {
        let state = &self.reporter.facts.state;
        let (latency_min_ms, total, count, latency_max_ms) = state.stats.latency();
        let tree = state.tree();
        ServerReport {
            version: VERSION.to_owned(),
            latency_min_ms,
            latency_avg_ms: java::average(total, count.unsigned_abs()),
            latency_max_ms,
            received: state.stats.received(),
            sent: state.stats.sent(),
            connections: state.client_count(),
            outstanding: state.budget.waiting() as u64,
            zxid: tree.last_zxid().0,
            mode: self.reporter.mode(),
            node_count: tree.node_count() as u64,
            proposal_sizes: (self.reporter.mode() == Mode::Leader).then(|| {
                let Proposals { last_bytes, min_bytes, max_bytes, .. } = state.standing.proposals();
                Sizes { last_bytes, min_bytes, max_bytes }
            }),
        }
    }

    fn connections(&self, tell: &mut dyn FnMut(ConnectionReport) -> ControlFlow<()>) {
        let report = |client: &Arc<Client>| {
            let stats = client.outbox().stats.clone();
            ConnectionReport {
                remote: client.peer,
                interest_ops: u32::from(client.session().is_some()),
                queued: client.in_flight() as u64,
                received: stats.received,
                sent: stats.sent,
                session: client.session().map(|session| SessionReport {
                    id: session.id.0,
                    last_operation: stats.last_op,
                    established_unix_ms: client.established_ms,
                    timeout_ms: i32::try_from(session.timeout_ms()).unwrap_or(i32::MAX),
                    last_cxid: stats.last_cxid,
                    last_zxid: stats.last_zxid,
                    last_response_ms: stats.last_response_ms,
                    last_latency_ms: stats.last_latency,
                    min_latency_ms: stats.min_latency.unwrap_or(0),
                    avg_latency_ms: stats.total_latency.checked_div(stats.count).unwrap_or(0),
                    max_latency_ms: stats.max_latency,
                }),
            }
        };
        let _enough = self.clients().map(|client| report(&client)).try_for_each(tell);
    }

    fn conf(&self) -> ConfReport {
        let config = &self.reporter.facts.config;
        let dirs = self.dirs();
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        ConfReport {
            client_port: self.reporter.facts.client_port.map_or(-1, i32::from),
            secure_client_port: self.reporter.facts.secure_client_port.map_or(-1, i32::from),
            data_dir: absolute(&self.reporter.facts.snapshots).display().to_string(),
            data_dir_bytes: dirs.data_dir_bytes,
            data_log_dir: absolute(&self.reporter.facts.logs).display().to_string(),
            data_log_bytes: dirs.log_dir_bytes,
            tick_time_ms: config.tick_time_ms,
            max_client_cnxns: config.max_client_cnxns,
            min_session_timeout_ms: config.min_session_timeout_ms,
            max_session_timeout_ms: config.max_session_timeout_ms,
            client_port_listen_backlog: config.client_port_listen_backlog.unwrap_or(-1),
            server_id: config.server_id.filter(|_| config.is_distributed()).unwrap_or(0),
            quorum: self.reporter.quorum_conf(),
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        environment()
    }

    fn sessions_by_expiry(&self) -> Vec<Bucket<i64>> {
        let buckets = walks::sessions_by_expiry(&self.reporter.facts.state);
        let bucket = |(end, members)| Bucket { expires_unix_ms: self.reporter.to_wall(end), members };
        buckets.into_iter().map(bucket).collect()
    }

    fn ephemeral_owners(&self) -> Vec<i64> {
        walks::ephemeral_owners(&self.reporter.facts.state)
    }

    fn ephemerals_of(&self, session: i64, tell: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        walks::ephemerals_of(&self.reporter.facts.state, SessionId(session), tell);
    }

    fn connections_by_expiry(&self) -> Vec<Bucket<DumpedConnection>> {
        let mut connections = std::collections::BTreeMap::<i64, Vec<DumpedConnection>>::new();
        let tick = i64::from(self.reporter.facts.config.tick_time_ms);
        for client in self.clients() {
            let idle_until = client.session().map_or(0, |session| session.deadline_ms());
            let member = DumpedConnection { remote: client.peer, session: session_of(&client) };
            connections.entry((idle_until.div_euclid(tick) + 1) * tick).or_default().push(member);
        }
        let bucket = |(end, members)| Bucket { expires_unix_ms: self.reporter.to_wall(end), members };
        connections.into_iter().map(bucket).collect()
    }

    fn watch_summary(&self) -> WatchSummary {
        let (connections, paths, watches) = self.reporter.facts.state.watches().summary();
        WatchSummary { connections, paths, watches }
    }

    fn watches_by_session(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        walks::watches_by_session(&self.reporter.facts.state, tell);
    }

    fn watches_by_path(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        walks::watches_by_path(&self.reporter.facts.state, tell);
    }

    fn dirs(&self) -> DirsReport {
        DirsReport {
            data_dir_bytes: self.reporter.bytes_in(&self.reporter.facts.snapshots),
            log_dir_bytes: self.reporter.bytes_in(&self.reporter.facts.logs),
        }
    }

    fn monitor(&self) -> Vec<(String, String)> {
        let gauges = self.reporter.gauges();
        let peer_state = self.reporter.facts.state.standing.told().map(|told| peer_state(told.state));
        let mut entries = match self.reporter.facts.config.metrics {
            MetricsProvider::Default => self.reporter.facts.metrics.mntr_entries(&gauges),
            MetricsProvider::Null => Vec::new(),
            MetricsProvider::Prometheus => {
                let process = self.reporter.facts.config.metrics_export_jvm_info;
                let exporter =
                    Exporter::new(self.reporter.facts.metrics.clone(), move || gauges.clone(), process);
                exporter.mntr_entries(self.reporter.facts.clock.now_ms().cast_unsigned())
            }
        };
        if let Some(state) = peer_state {
            entries.insert(0, ("peer_state".to_owned(), state.to_owned()));
        }
        entries
    }

    fn digests(&self) -> Vec<DigestReport> {
        let report =
            |(zxid, digest): (jute::Zxid, u64)| DigestReport { zxid: zxid.0, digest: digest.cast_signed() };
        self.reporter.facts.state.digests().into_iter().map(report).collect()
    }

    fn trace_mask(&self) -> i64 {
        self.reporter.trace_mask.load(Ordering::Relaxed)
    }

    fn set_trace_mask(&self, mask: i64) {
        self.reporter.trace_mask.store(mask, Ordering::Relaxed);
    }

    fn reset_stats(&self) {
        self.reporter.facts.state.stats.reset();
        self.reporter.facts.state.standing.reset_proposals();
        if self.reporter.facts.config.metrics != MetricsProvider::Prometheus {
            self.reporter.facts.metrics.reset();
        }
    }

    fn reset_connections(&self) {
        for client in self.clients() {
            client.outbox().stats = ClientStats::RESET;
        }
    }
}

/// Four-letter words on the ports of clients.
pub(super) struct Words {
    whitelist: Whitelist,
    reporter: Arc<Reporter>,
}

impl Words {
    pub(super) fn new(whitelist: &[String], reporter: Arc<Reporter>) -> Self {
        Self { whitelist: Whitelist::of(whitelist), reporter }
    }
}

impl Commands for Words {
    fn is_word(&self, word: [u8; 4]) -> bool {
        four_letter::is_word(word)
    }

    fn extra_bytes(&self, word: [u8; 4]) -> usize {
        four_letter::extra_bytes(word, &self.whitelist)
    }

    fn is_heavy(&self, word: [u8; 4]) -> bool {
        four_letter::is_heavy(word)
    }

    fn answer(&self, port: Port, word: [u8; 4], extra: &[u8], send: &mut dyn FnMut(Vec<u8>) -> bool) {
        let mut out = Out::new(send);
        let source = self.reporter.asked_by(port);
        four_letter::answer(word, extra.try_into().ok(), &self.whitelist, &source, &mut out);
        out.finish();
    }
}

#[cfg(test)]
#[path = "report_test.rs"]
pub(super) mod tests;
