//! What a server can say of itself, as plain data.
//!
//! Numbers carry their unit in the name. Nothing here is formatted: [`super::four_letter`] makes text
//! of it, the HTTP commands will make JSON.

use std::net::SocketAddr;
use std::ops::ControlFlow;

/// What the server calls itself where clients and tools read a version: the release it is
/// compatible with, the commit of Oxkeeper, and a date. The form is part of the contract: tools match
/// `[A-Za-z0-9.-]+, built on YYYY-MM-DD HH:MM ZONE`. A release sets it with
/// `OXKEEPER_FULL_VERSION` when it compiles; otherwise it names the project's first commit.
/// Reference: `Version.getFullVersion`.
pub const VERSION: &str = match option_env!("OXKEEPER_FULL_VERSION") {
    Some(version) => version,
    None => "3.9.5-525a6f8ce1ae510cb5ae1c03bd9aa5317fdcb7cf, built on 2026-11-21 00:44 UTC",
};

/// What the server is at this moment. Its [`name`](Mode::name) is printed in `Mode:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Alone.
    Standalone,
    /// Leading an ensemble.
    Leader,
    /// Following, with a vote.
    Follower,
    /// Following, without a vote.
    Observer,
    /// Cut off from the ensemble, serving read-only clients.
    ReadOnly,
}

impl Mode {
    /// The word tools look for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::ReadOnly => "read-only",
        }
    }
}

/// Last, smallest and largest of a series of sizes in bytes; -1 while there is none.
/// Reference: `BufferStats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The most recent one.
    pub last_bytes: i64,
    /// The smallest.
    pub min_bytes: i64,
    /// The largest.
    pub max_bytes: i64,
}

/// The server as a whole: `srvr`, the head of `stat` and of `mntr`.
/// Reference: `ServerStats.toString`, `StatCommand`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerReport {
    /// Full version; normally [`VERSION`].
    pub version: String,
    /// Smallest latency of a request since the last reset; 0 before the first.
    pub latency_min_ms: i64,
    /// Average latency, rounded to four decimals: [`crate::metrics::java::average`].
    pub latency_avg_ms: f64,
    /// Largest latency.
    pub latency_max_ms: i64,
    /// Packets from clients.
    pub received: u64,
    /// Packets to clients, watch events included.
    pub sent: u64,
    /// Open client connections.
    pub connections: usize,
    /// Requests in process.
    pub outstanding: u64,
    /// Last applied zxid.
    pub zxid: i64,
    /// What the server is.
    pub mode: Mode,
    /// Nodes in the tree; a fresh tree has 5.
    pub node_count: u64,
    /// On a leader: sizes of its proposals.
    pub proposal_sizes: Option<Sizes>,
}

/// One client connection: a line of `cons`, and in brief of `stat`.
/// Reference: `ServerCnxn.dumpConnectionInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReport {
    /// The client's end.
    pub remote: SocketAddr,
    /// What the connection waits for: 1 to read, 4 to write, 5 both, 0 neither.
    pub interest_ops: u32,
    /// Requests waiting for their reply.
    pub queued: u64,
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// The session, once there is one.
    pub session: Option<SessionReport>,
}

/// The session part of a connection's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// Session id, never 0.
    pub id: i64,
    /// Four letters of the last operation, `NA` before the first: [`last_operation`].
    pub last_operation: &'static str,
    /// When the connection was accepted, in milliseconds since 1970.
    pub established_unix_ms: i64,
    /// Negotiated session timeout.
    pub timeout_ms: i32,
    /// Last client request id; negative while there is none, and then not printed.
    pub last_cxid: i64,
    /// Zxid of the last reply.
    pub last_zxid: i64,
    /// When the last reply was sent, in milliseconds of the process's monotonic clock.
    pub last_response_ms: i64,
    /// Latency of the last request.
    pub last_latency_ms: i64,
    /// Smallest latency; 0 before the first request.
    pub min_latency_ms: i64,
    /// Average latency, rounded down.
    pub avg_latency_ms: i64,
    /// Largest latency.
    pub max_latency_ms: i64,
}

/// What `lop=` shows for an operation code; a request that failed shows `NA`.
/// Reference: `FinalRequestProcessor.processRequest`.
pub fn last_operation(op_code: i32) -> &'static str {
    match op_code {
        1 | 15 | 19 | 21 => "CREA",
        2 | 20 => "DELE",
        3 => "EXIS",
        4 => "GETD",
        5 => "SETD",
        6 => "GETA",
        7 => "SETA",
        8 | 12 => "GETC",
        9 => "SYNC",
        11 => "PING",
        13 => "CHEC",
        14 => "MULT",
        16 => "RECO",
        17 => "CHKW",
        18 => "REMW",
        22 => "MLTR",
        101 => "SETW",
        103 => "GETE",
        104 => "GETACN",
        105 => "STW2",
        106 => "ADDW",
        107 => "HOMI",
        -11 => "CLOS",
        -10 => "SESS",
        _ => "NA",
    }
}

/// The settings `conf` shows. Reference: `ZooKeeperServer.dumpConf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfReport {
    /// Plain client port, -1 when there is none.
    pub client_port: i32,
    /// TLS client port, -1 when there is none.
    pub secure_client_port: i32,
    /// Absolute path of the snapshot directory, `version-2` included.
    pub data_dir: String,
    /// Bytes in its snapshot files.
    pub data_dir_bytes: u64,
    /// Absolute path of the log directory, `version-2` included.
    pub data_log_dir: String,
    /// Bytes in its log files.
    pub data_log_bytes: u64,
    /// Tick time.
    pub tick_time_ms: i32,
    /// Connections per client address.
    pub max_client_cnxns: i32,
    /// Smallest session timeout.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout.
    pub max_session_timeout_ms: i32,
    /// Backlog of the listening sockets, -1 when the system chooses.
    pub client_port_listen_backlog: i32,
    /// Server id, 0 for a server that is alone.
    pub server_id: i64,
    /// In an ensemble, the rest.
    pub quorum: Option<QuorumConfReport>,
}

/// What `conf` adds in an ensemble. Reference: `QuorumZooKeeperServer.dumpConf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumConfReport {
    /// Ticks to connect and synchronise.
    pub init_limit: i32,
    /// Ticks of lag.
    pub sync_limit: i32,
    /// Always 3.
    pub election_alg: i32,
    /// Election ports of this server.
    pub election_ports: Vec<u16>,
    /// Quorum ports of this server.
    pub quorum_ports: Vec<u16>,
    /// 0 for a participant, 1 for an observer.
    pub peer_type: i32,
    /// Text of the membership; None on a read-only server.
    pub membership: Option<String>,
}

/// Bytes on disk: `dirs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirsReport {
    /// Bytes in snapshot files.
    pub data_dir_bytes: u64,
    /// Bytes in log files.
    pub log_dir_bytes: u64,
}

/// Things that expire together: a bucket of sessions or of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket<T> {
    /// When, in milliseconds since 1970.
    pub expires_unix_ms: i64,
    /// What.
    pub members: Vec<T>,
}

/// One connection as `dump` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedConnection {
    /// The client's end.
    pub remote: SocketAddr,
    /// Its session, 0 before there is one.
    pub session: i64,
}

/// A line of `wchc` or `wchp`: what follows belongs to the one that came before it of the other kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch<'a> {
    /// A session that watches.
    Session(i64),
    /// A path that is watched.
    Path(&'a str),
}

/// Numbers of watches: `wchs`. Data and exist watches only, as in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections that watch anything.
    pub connections: usize,
    /// Paths watched.
    pub paths: usize,
    /// Pairs of the two.
    pub watches: usize,
}

/// The digest of the tree after one zxid: a line of `hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestReport {
    /// After this transaction.
    pub zxid: i64,
    /// The digest, as the reference's signed number.
    pub digest: i64,
}

/// Where the facts come from. The server implements it; tests stand in for it.
///
/// Every method answers for the moment of the call and must be cheap enough for a monitor that asks
/// every second. Those that `tell` one thing after the other, for as long as more is wanted, walk what may be
/// millions, in steps: they hold up nobody else and keep nothing, and what changes meanwhile may be told or
/// not.
pub trait Source {
    /// Whether requests are served. When not, most words say just that.
    fn is_serving(&self) -> bool;
    /// Whether this is a read-only server.
    fn is_read_only(&self) -> bool;
    /// The server as a whole.
    fn server(&self) -> ServerReport;
    /// All client connections of the port the question came to.
    fn connections(&self, tell: &mut dyn FnMut(ConnectionReport) -> ControlFlow<()>);
    /// Settings.
    fn conf(&self) -> ConfReport;
    /// Name and value pairs, in order: [`environment`] gives those of this process.
    fn environment(&self) -> Vec<(String, String)>;
    /// Session ids by expiry, earliest first.
    fn sessions_by_expiry(&self) -> Vec<Bucket<i64>>;
    /// Sessions that own ephemeral nodes, sorted.
    fn ephemeral_owners(&self) -> Vec<i64>;
    /// Paths of a session's ephemeral nodes, sorted.
    fn ephemerals_of(&self, session: i64, tell: &mut dyn FnMut(&str) -> ControlFlow<()>);
    /// Connections of that port by expiry, earliest first.
    fn connections_by_expiry(&self) -> Vec<Bucket<DumpedConnection>>;
    /// Numbers of watches.
    fn watch_summary(&self) -> WatchSummary;
    /// Each session, followed by the paths it watches.
    fn watches_by_session(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>);
    /// Each watched path, followed by the sessions that watch it.
    fn watches_by_path(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>);
    /// Bytes on disk.
    fn dirs(&self) -> DirsReport;
    /// Keys without their `zk_`, and values: what follows version and state in `mntr`.
    fn monitor(&self) -> Vec<(String, String)>;
    /// Digests kept, oldest first.
    fn digests(&self) -> Vec<DigestReport>;
    /// The trace mask.
    fn trace_mask(&self) -> i64;
    /// Changes the trace mask.
    fn set_trace_mask(&self, mask: i64);
    /// Forgets latencies, packet counts and the metrics of the default provider.
    fn reset_stats(&self);
    /// Forgets counts and latencies of the connections of that port.
    fn reset_connections(&self);
}

/// The pairs of `envi` for this process. Names are those of a Java process, because tools expect
/// them; what does not exist here is `<NA>`. Reference: `Environment.list`.
#[expect(clippy::disallowed_methods, reason = "what the system tells of the machine is no file")]
pub fn environment() -> Vec<(String, String)> {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| "<NA>".to_owned());
    let first_line = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let missing = || "<NA>".to_owned();
    let directory = std::env::current_dir().map_or_else(|_| missing(), |path| path.display().to_string());
    let memory = crate::metrics::process::Memory::of_this_process();
    let mega = |bytes: u64| format!("{}MB", bytes / (1024 * 1024));
    let pairs = [
        ("zookeeper.version", VERSION.to_owned()),
        ("host.name", first_line("/proc/sys/kernel/hostname").unwrap_or_else(missing)),
        ("java.version", missing()),
        ("java.vendor", format!("Oxkeeper {}", env!("CARGO_PKG_VERSION"))),
        ("java.home", missing()),
        ("java.class.path", missing()),
        ("java.library.path", missing()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", missing()),
        (
            "os.name",
            if cfg!(target_os = "linux") { "Linux".to_owned() } else { std::env::consts::OS.to_owned() },
        ),
        ("os.arch", if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH }.to_owned()),
        ("os.version", first_line("/proc/sys/kernel/osrelease").unwrap_or_else(missing)),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", directory),
        ("os.memory.free", mega(memory.available_bytes)),
        ("os.memory.max", mega(memory.limit_bytes)),
        ("os.memory.total", mega(memory.resident_bytes)),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
