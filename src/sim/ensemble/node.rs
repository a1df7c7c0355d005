//! A member on its simulated disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jute::Zxid;

use super::carrier::{Carrier, Said};
use crate::auth::Auth;
use crate::clock::{Clock, ManualClock};
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::net::in_memory::{Link as ClientLink, MemoryStream};
use crate::net::{NoWords, Shared};
use crate::replica::{Options, SweepOptions};
use crate::request::Options as RequestOptions;
use crate::runtime::budget::Budget;
use crate::runtime::peers::{FromPeers, Staged};
use crate::runtime::snapshots::{self, Job, Pace};
use crate::runtime::{Client, Inbox, LogKeeper, LogPort, MemberParts, MemberWriter, Snapshots, State, Turn};
use crate::session::Sessions;
use crate::sim::disk::SimDisk;
use crate::sim::server::machine::{LIMITS, MEMORY_BYTES, REQUEST_OPTIONS, TIMEOUTS_MS};
use crate::snapshot::{Compression, SnapshotError};
use crate::store::{self, Directories, Receiving};
use crate::tree::Cursor;
use crate::txnlog::{self, Io, Log};
use crate::zab::{self, Input, Link, Members, Proposal, Recovered, Serving, Sid, Standing, Zab};

const DATA: &str = "/data/version-2";

/// A running member.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    writer: MemberWriter,
    carrier: Carrier,
    disk: Arc<dyn Disk>,
    /// A snapshot could not be written, which ends a server.
    has_failed: Arc<AtomicBool>,
    next_connection: u64,
}

/// What all members of an ensemble share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) clock: Arc<ManualClock>,
    pub(super) members: Members,
    /// Transactions between snapshots.
    pub(super) snapshot_txns: u64,
}

pub(super) const TICK_MS: i64 = 200;

impl Process {
    /// Recovers what is on the disk.
    pub(super) fn start(me: Sid, disk: &SimDisk, io: Io, setup: &Setup) -> Self {
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let now = setup.clock.now_ms();
        let options = store::Options::new(PathBuf::from("/data"), PathBuf::from("/data"));
        let directories = Arc::new(Directories::open(&dynamic, &options).expect("the directories are right"));
        let member = store::recover_member(&dynamic, &directories, &options, &mut |_| {})
            .expect("a start needs no human");
        let last = member.found.tree.last_zxid();
        let mut sessions = Sessions::new(TICK_MS, me as u8, now);
        for (id, timeout_ms) in &member.found.sessions {
            sessions.restore(*id, *timeout_ms, now);
        }
        let request = RequestOptions { in_ensemble: true, ..REQUEST_OPTIONS };
        let state =
            Arc::new(State::new(member.found.tree, sessions, request, Budget::new(MEMORY_BYTES, None), now));
        state.standing.set(Serving::No);
        let log_options =
            txnlog::Options { prealloc_bytes: 64 << 10, io, ..txnlog::Options::new(PathBuf::from(DATA)) };
        let log = Log::open(dynamic.clone(), log_options, last).expect("the log can be opened");
        let metrics = Arc::new(Metrics::new());
        let inbox = Arc::new(Inbox::default());
        let job = Job {
            state: state.clone(),
            disk: dynamic.clone(),
            clock: setup.clock.clone(),
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
        let has_failed = Arc::new(AtomicBool::new(false));
        let mut taker =
            Taker { job, txns: 0, every: setup.snapshot_txns, has_failed: Arc::clone(&has_failed) };
        if member.found.snapshot.is_none() && member.is_trusted {
            taker.start();
        }
        let carrier = Carrier::new(state.clone(), setup.clock.clone(), dynamic.clone(), PathBuf::from(DATA));
        let keeper = LogKeeper::new(log, dynamic.clone(), directories, options, metrics.clone());
        let is_observer = setup.members.observers.contains(&me);
        let zab_options = zab::Options {
            me,
            is_observer,
            tick_ms: TICK_MS,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 2000),
            force_snapshot: false,
            tuning: zab::Tuning::default(),
        };
        let recovered = Recovered {
            logged: last,
            accepted: member.epochs.accepted,
            current: member.epochs.current,
            is_trusted: member.is_trusted,
            tail: member
                .tail
                .into_iter()
                .map(|(zxid, payload)| Proposal { zxid, payload: Bytes::from(payload) })
                .collect(),
        };
        let (min_session_timeout_ms, max_session_timeout_ms) = TIMEOUTS_MS;
        let sweep = SweepOptions { interval_ms: 1000, per_minute: 6000, never_used_ms: 0 };
        let writer = MemberWriter::new(MemberParts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: setup.clock.clone(),
            metrics: metrics.clone(),
            log: LogPort::inline(keeper),
            snapshots: Box::new(taker),
            peers: Box::new(carrier.clone()),
            options: Options { request, min_session_timeout_ms, max_session_timeout_ms, sweep },
            config: (setup.members.text.clone(), Zxid(setup.members.version)),
            leader_serves: true,
            zab: Zab::member(zab_options, setup.members.clone(), recovered, now),
        });
        let shared = Arc::new(Shared {
            state,
            inbox,
            clock: setup.clock.clone(),
            metrics,
            commands: Arc::new(NoWords),
            limits: LIMITS,
            auth: Auth::new(crate::auth::Options::default()),
        });
        Self { shared, writer, carrier, disk: dynamic, has_failed, next_connection: 0 }
    }

    /// A client connects.
    pub(super) fn accept(&mut self, stream: MemoryStream) -> ClientLink {
        self.next_connection += 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let client = Arc::new(Client::new(self.next_connection, address, 0));
        client.set_socket(Arc::new(stream.clone()));
        ClientLink::new(&self.shared, &client, stream)
    }

    /// Something comes from a peer.
    pub(super) fn hear(&self, input: Input) {
        self.shared.inbox.push_peer(FromPeers::Happened { input, bytes: 0 });
    }

    /// A tree comes from the leader.
    pub(super) fn hear_snapshot(&self, zxid: Zxid, stream: &[u8]) -> Result<(), SnapshotError> {
        let what = Receiving {
            zxid,
            from: "the leader",
            directory: Path::new(DATA),
            compression: Compression::None,
            field_bytes_max: 1 << 20,
            rules: crate::tree::OwnerRules::default(),
        };
        let received = store::receive(&self.disk, what, &mut &*stream)?;
        let staged = Box::new(Staged { tree: received.tree, sessions: received.sessions });
        self.shared.inbox.push_peer(FromPeers::Snapshot { zxid, staged, file: received.file });
        Ok(())
    }

    /// The writer takes a turn. What was said in it, or nothing when the disk has failed and the process ends.
    pub(super) fn turn(&mut self) -> Option<Vec<Said>> {
        self.shared.state.listening.tick(self.shared.clock.now_ms());
        let goes_on = self.writer.turn() == Turn::Continue && !self.has_failed.load(Ordering::Relaxed);
        goes_on.then(|| self.carrier.take())
    }

    pub(super) fn deadline_ms(&self) -> i64 {
        self.writer.deadline_ms()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.shared.state.standing.serves()
    }

    pub(super) fn told(&self) -> Option<Arc<Standing>> {
        self.shared.state.standing.told()
    }

    /// The last transaction applied and the tree's digest.
    pub(super) fn digest(&self) -> (Zxid, u64) {
        let tree = self.shared.state.tree();
        (tree.last_zxid(), tree.digest())
    }
}

/// The learner's number of a link is the same at both ends here.
pub(super) type PeerLink = Link;

/// Takes a whole snapshot at once.
struct Taker {
    job: Job,
    txns: u64,
    every: u64,
    has_failed: Arc<AtomicBool>,
}

impl Snapshots for Taker {
    fn is_due(&mut self, txns: u64, _log_bytes: u64) -> bool {
        self.txns += txns;
        let is_due = self.txns > self.every;
        if is_due {
            self.txns = 0;
        }
        is_due
    }

    fn start(&mut self) {
        let cursor = Cursor::new(&self.job.state.tree());
        if let Err(error) = self.job.take(cursor, Pace::Alone) {
            self.has_failed.store(!error.is_full(), Ordering::Relaxed);
        }
    }

    fn give_up(&mut self) {}
}
