//! A server that is played turn by turn: the real state, writer, log and connections, without sockets, threads
//! and a clock that runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jute::records::Record;
use jute::records::proto::ConnectRequest;
use jute::{SessionId, Zxid};
use oxkeeper::auth::{self, Auth};
use oxkeeper::clock::{Clock, ManualClock};
use oxkeeper::metrics::Metrics;
use oxkeeper::net::{Limits, NoWords, Shared};
use oxkeeper::replica::{self, SweepOptions};
use oxkeeper::request::Options;
use oxkeeper::runtime::budget::Budget;
use oxkeeper::runtime::{Inbox, NoSnapshots, Parts, State, Writer};
use oxkeeper::session::{Sessions, password_for};
use oxkeeper::tree::{AclRules, OwnerRules, Tree};
use oxkeeper::txnlog::{self, Io, Log};

use crate::check_can_be_loaded;
use crate::connection::Connection;
use crate::memory_disk::MemoryDisk;

/// The default of `jute.maxbuffer` and its extra size together.
const TXN_BYTES_MAX: usize = 2 * 0xF_FFFF;
/// Connections at a time.
pub(crate) const CONNECTIONS: usize = 3;
const TICK_MS: i64 = 2000;
/// The smallest timeout, and what everybody asks for.
const TIMEOUT_MS: i32 = 4000;
/// Requests that wait for the writer; then it has its turn by itself.
const WAITING_MAX: usize = 32;
/// Time between two words that the threads which serve connections run.
const LISTENING_MS: i64 = 100;
/// Turns after which everything that can be answered has been.
const LAST_TURNS: usize = 10_000;

/// Bounds that nothing in a short script meets.
const LIMITS: Limits = Limits {
    frame_bytes_max: 1 << 16,
    requests_max: 1024,
    request_bytes_max: 1 << 20,
    unsent_bytes_max: 1 << 20,
    sessionless: Duration::from_secs(10),
};
/// Bounds that are met at once.
const TIGHT_LIMITS: Limits =
    Limits { requests_max: 3, request_bytes_max: 200, unsent_bytes_max: 300, ..LIMITS };

/// Everything.
pub(crate) struct Server {
    shared: Arc<Shared>,
    clock: Arc<ManualClock>,
    writer: Writer,
    connections: Vec<Connection>,
    clients: u64,
}

impl Server {
    /// The bits of `switches` are those of [`Options`]; the last one makes every bound tight.
    pub(crate) fn new(switches: u8) -> Self {
        let on = |bit: u8| switches & 1 << bit != 0;
        let options = Options {
            acl: AclRules { skip: on(0), digest: !on(1), ..AclRules::default() },
            extended_types: on(2),
            enforce_quota: on(3),
            digest: true,
            close_session_lists: !on(4),
            in_ensemble: false,
            reconfig: on(5),
            txn_bytes_max: TXN_BYTES_MAX,
        };
        let tree = Tree::new(OwnerRules { extended_types: on(2), emulate_353: on(6) });
        let (limits, budget) =
            if on(7) { (TIGHT_LIMITS, Budget::new(2000, Some(4))) } else { (LIMITS, Budget::unlimited()) };
        let log_options = txnlog::Options {
            prealloc_bytes: 0,
            io: Io::Plain,
            ..txnlog::Options::new(PathBuf::from("/log"))
        };
        let log = Log::open(Arc::new(MemoryDisk::default()), log_options, Zxid::ZERO).expect("a new log");
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(TICK_MS, 1, 0);
        let state = Arc::new(State::new(tree, sessions, options, budget, clock.now_ms()));
        let (inbox, metrics) = (Arc::new(Inbox::default()), Arc::new(Metrics::new()));
        let sweep = SweepOptions { interval_ms: 10_000, per_minute: 10_000, never_used_ms: 100 };
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            log,
            snapshots: Box::new(NoSnapshots),
            options: replica::Options {
                request: options,
                min_session_timeout_ms: TIMEOUT_MS,
                max_session_timeout_ms: 10 * TIMEOUT_MS,
                sweep,
            },
        });
        let shared = Arc::new(Shared {
            state,
            inbox,
            clock: clock.clone(),
            metrics,
            commands: Arc::new(NoWords),
            limits,
            auth: Auth::new(auth::Options::default()),
        });
        let mut server = Self { shared, clock, writer, connections: Vec::new(), clients: 0 };
        (0..CONNECTIONS).for_each(|_| server.dial());
        // The last one says by itself what it wants.
        (1..CONNECTIONS).for_each(|who| server.connect(who - 1, SessionId::NONE));
        server
    }

    fn dial(&mut self) {
        self.clients += 1;
        self.connections.push(Connection::new(&self.shared, self.clients));
    }

    fn connect(&mut self, who: usize, session: SessionId) {
        let passwd = Some(password_for(session).to_vec());
        let request = ConnectRequest { session_id: session, passwd, ..ConnectRequest::default() };
        self.connections[who].send_frame(&request.to_bytes());
        self.serve(who);
    }

    /// Bytes come as they stand.
    pub(crate) fn receive(&mut self, who: usize, bytes: &[u8]) {
        self.connections[who].send(bytes);
        self.serve(who);
    }

    /// A frame comes, with the length it has.
    pub(crate) fn receive_frame(&mut self, who: usize, frame: &[u8]) {
        self.connections[who].send_frame(frame);
        self.serve(who);
    }

    /// Whether the client reads what it is sent from now on. The connection has not noticed yet: the writer may be
    /// the first to use the room.
    pub(crate) fn set_reads(&self, who: usize, reads: bool) {
        self.connections[who].set_reads(reads);
    }

    /// The connection has its turn; the writer has one if a session is waited for, or much else.
    fn serve(&mut self, who: usize) {
        self.connections[who].serve();
        if self.connections[who].is_connecting() || self.shared.state.budget.waiting() >= WAITING_MAX {
            self.turn();
        }
        self.replace_ended();
    }

    fn replace_ended(&mut self) {
        for who in 0..CONNECTIONS {
            if self.connections[who].is_over() {
                self.dial();
                self.connections.swap_remove(who);
            }
        }
    }

    /// The socket closes, and another comes in its place.
    pub(crate) fn hang_up(&mut self, who: usize) {
        self.connections[who].hang_up();
        self.replace_ended();
    }

    /// The client comes back to its session on another socket; the server has not seen the first one close yet.
    pub(crate) fn reconnect(&mut self, who: usize) {
        let session = self.connections[who].session();
        let earlier = self.connections.swap_remove(who);
        self.dial();
        self.connections.swap(who, CONNECTIONS - 1);
        self.connect(who, session);
        // Unless it was closed by then, it is served once more.
        let mut earlier = earlier;
        earlier.serve();
        earlier.hang_up();
    }

    /// The clock goes on, and the server listens meanwhile, unless it `is_paused`.
    pub(crate) fn pass_time(&mut self, passed_ms: i64, is_paused: bool) {
        let step_ms = if is_paused { passed_ms.max(1) } else { LISTENING_MS };
        for _ in 0..passed_ms.div_euclid(step_ms) {
            self.clock.advance_us(step_ms * 1000);
            if !is_paused {
                self.shared.state.listening.tick(self.clock.now_ms());
            }
        }
        self.turn();
        self.connections.iter_mut().for_each(Connection::serve);
        self.replace_ended();
    }

    /// The writer has its turn: whatever waits is logged, carried out and answered.
    pub(crate) fn turn(&mut self) {
        self.shared.state.listening.tick(self.clock.now_ms());
        self.writer.turn().expect("memory takes every transaction");
        assert_eq!(
            self.shared.metrics.digest_mismatches_count.value(),
            0,
            "a digest was not what was predicted"
        );
        self.connections.iter_mut().for_each(Connection::serve);
        self.replace_ended();
    }

    /// What must hold once nothing waits any more.
    pub(crate) fn check_end(mut self) {
        let state = self.shared.state.clone();
        (0..CONNECTIONS).for_each(|who| self.set_reads(who, true));
        self.turn();
        let mut turns = 0;
        while state.budget.waiting() > 0 || self.connections.iter().any(Connection::may_go_on) {
            self.turn();
            turns += 1;
            assert!(turns < LAST_TURNS, "the server comes to no end");
        }
        self.connections.iter().for_each(Connection::check_answered);
        let held: usize = self.connections.iter_mut().map(Connection::held_bytes).sum();
        assert_eq!((state.budget.bytes(), state.budget.waiting()), (held as i64, 0), "what connections hold");
        check_can_be_loaded(&state.tree());
        // Nothing is left of connections that have gone.
        self.connections.iter_mut().for_each(Connection::hang_up);
        self.writer.turn().expect("memory takes every transaction");
        assert!(state.watches().is_empty());
        assert_eq!((state.client_count(), state.budget.bytes(), state.budget.waiting()), (0, 0, 0));
    }
}
