//! One server process on a simulated disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jute::Zxid;
use jute::txn::TxnEntry;

use crate::auth::Auth;
use crate::clock::{Clock, ManualClock};
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::net::in_memory::{Link, MemoryStream};
use crate::net::{Limits, NoWords, Shared};
use crate::replica::{Options, SweepOptions};
use crate::request::Options as RequestOptions;
use crate::runtime::budget::Budget;
use crate::runtime::snapshots::{self, Job, Pace, Taking};
use crate::runtime::{Client, Inbox, Parts, Snapshots, State, Turn, Writer};
use crate::session::Sessions;
use crate::sim::disk::SimDisk;
use crate::snapshot::{Compression, SnapshotError};
use crate::store::testing::start;
use crate::tree::{AclRules, Cursor, SaslRule};
use crate::txnlog::{self, Gaps, Io, Log, ReplayOptions};

pub(in crate::sim) const DATA: &str = "/data/version-2";
/// What the clients ask for at least and at most.
pub(in crate::sim) const TIMEOUTS_MS: (i32, i32) = (4000, 10_000);
/// What all clients may make the server hold.
pub(in crate::sim) const MEMORY_BYTES: usize = 4 << 20;

pub(in crate::sim) const REQUEST_OPTIONS: RequestOptions = RequestOptions {
    acl: AclRules { skip: false, digest: true, key: false, sasl: SaslRule::Off, x509: false },
    extended_types: false,
    enforce_quota: true,
    digest: true,
    close_session_lists: true,
    in_ensemble: false,
    reconfig: false,
    txn_bytes_max: 2 << 20,
};

pub(in crate::sim) const LIMITS: Limits = Limits {
    frame_bytes_max: 1 << 20,
    requests_max: 64,
    request_bytes_max: 64 << 10,
    unsent_bytes_max: 32 << 10,
    sessionless: Duration::from_secs(10),
};

/// What a process is started with.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Settings {
    pub(in crate::sim) io: Io,
    /// What all clients may make the server hold.
    pub(in crate::sim) memory_bytes: usize,
    /// What a transaction may take.
    pub(in crate::sim) txn_bytes_max: usize,
}

/// A running process.
pub(in crate::sim) struct Machine {
    pub(in crate::sim) shared: Arc<Shared>,
    pub(in crate::sim) disk: SimDisk,
    writer: Writer,
    taker: Taker,
    next_connection: u64,
}

impl Machine {
    /// Recovers what is on the disk.
    pub(in crate::sim) fn start(disk: &SimDisk, clock: &Arc<ManualClock>, settings: Settings) -> Self {
        let Settings { io, memory_bytes, txn_bytes_max } = settings;
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let (tree, recovered, snapshot) = start(&dynamic).expect("a start needs no human");
        let last = tree.last_zxid();
        let now = clock.now_ms();
        let mut sessions = Sessions::new(500, 1, now);
        for (id, timeout_ms) in recovered {
            sessions.track(id, timeout_ms, now);
            sessions.commit(id);
        }
        let budget = Budget::new(memory_bytes, None);
        let request = RequestOptions { txn_bytes_max, ..REQUEST_OPTIONS };
        let state = Arc::new(State::new(tree, sessions, request, budget, now));
        let options =
            txnlog::Options { prealloc_bytes: 64 << 10, io, ..txnlog::Options::new(PathBuf::from(DATA)) };
        let log = Log::open(dynamic.clone(), options, last).expect("the log can be opened");
        let metrics = Arc::new(Metrics::new());
        let job = Job {
            state: state.clone(),
            disk: dynamic,
            clock: clock.clone(),
            metrics: metrics.clone(),
            options: snapshots::Options {
                directory: PathBuf::from(DATA),
                compression: Compression::None,
                txns: 100,
                log_bytes: None,
                digest: true,
                last_zxid: false,
            },
        };
        let mut taker = Taker(Arc::new(Mutex::new(Snapshot { job, txns: 0, taking: None })));
        if snapshot.is_none() {
            taker.start();
            while taker.go_on(usize::MAX) {}
        }
        let inbox = Arc::new(Inbox::default());
        let sweep = SweepOptions { interval_ms: 1000, per_minute: 6000, never_used_ms: 0 };
        let (min_session_timeout_ms, max_session_timeout_ms) = TIMEOUTS_MS;
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            log,
            snapshots: Box::new(taker.clone()),
            options: Options { request, min_session_timeout_ms, max_session_timeout_ms, sweep },
        });
        let shared = Arc::new(Shared {
            state,
            inbox,
            clock: clock.clone(),
            metrics,
            commands: Arc::new(NoWords),
            limits: LIMITS,
            auth: Auth::new(crate::auth::Options::default()),
        });
        Self { shared, disk: disk.clone(), writer, taker, next_connection: 0 }
    }

    /// A client connects.
    pub(in crate::sim) fn accept(&mut self, stream: MemoryStream) -> Link {
        let id = self.next_connection;
        self.next_connection += 1;
        let client = Arc::new(Client::new(id, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), 0));
        client.set_socket(Arc::new(stream.clone()));
        Link::new(&self.shared, &client, stream)
    }

    /// The writer takes a turn. False when the disk has lost its power.
    pub(in crate::sim) fn turn(&mut self) -> bool {
        match self.writer.turn() {
            Ok(turn) => turn == Turn::Continue,
            Err(error) => {
                assert!(self.disk.is_stopped(), "the log failed: {error}");
                false
            }
        }
    }

    /// The snapshot that is under way, if one is, goes on by so many nodes.
    pub(in crate::sim) fn snapshot(&self, nodes: usize) {
        self.taker.go_on(nodes);
    }

    /// Every transaction in the log, as a reader finds them.
    pub(in crate::sim) fn logged(disk: &SimDisk) -> Vec<TxnEntry> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut entries = Vec::new();
        let mut push = |entry| entries.push(entry);
        txnlog::replay(
            &disk,
            Path::new(DATA),
            Zxid::ZERO,
            ReplayOptions::new(Gaps::Refuse),
            &mut push,
            &mut |_| {},
        )
        .expect("the log can be read");
        entries
    }
}

/// Takes snapshots node by node, when it is told to.
#[derive(Clone)]
struct Taker(Arc<Mutex<Snapshot>>);

struct Snapshot {
    job: Job,
    txns: u64,
    taking: Option<Taking>,
}

impl Taker {
    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().expect("one thread")
    }

    /// Whether it is to go on.
    fn go_on(&self, nodes: usize) -> bool {
        let mut snapshot = self.snapshot();
        let Some(mut taking) = snapshot.taking.take() else { return false };
        let gone_on = match snapshot.job.go_on(&mut taking, nodes) {
            Ok(false) => {
                snapshot.taking = Some(taking);
                Ok(())
            }
            Ok(true) => snapshot.job.finish(taking),
            Err(error) => Err(error),
        };
        gone_on.unwrap_or_else(|error| check(&error));
        snapshot.taking.is_some()
    }
}

fn check(error: &SnapshotError) {
    assert!(error.is_full() || error.to_string().contains("power is off"), "{error}");
}

impl Snapshots for Taker {
    fn is_due(&mut self, txns: u64, _log_bytes: u64) -> bool {
        let mut snapshot = self.snapshot();
        snapshot.txns += txns;
        let is_due = snapshot.txns > snapshot.job.options.txns && snapshot.taking.is_none();
        if is_due {
            snapshot.txns = 0;
        }
        is_due
    }

    fn start(&mut self) {
        let mut snapshot = self.snapshot();
        let cursor = Cursor::new(&snapshot.job.state.tree());
        match snapshot.job.begin(cursor, Pace::Alone) {
            Ok(taking) => snapshot.taking = taking,
            Err(error) => check(&error),
        }
    }
}
