//! The writer of a server that is alone, turn by turn: when it wants its next turn, what it counts, and when a
//! snapshot is taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jute::records::proto::ConnectRequest;
use jute::{OpCode, SessionId, Zxid};

use super::budget::Budget;
use super::{Client, Inbox, Parts, Snapshots, State, Turn, Writer};
use crate::clock::{Clock, ManualClock};
use crate::disk::faulty::FaultyDisk;
use crate::logging::testing::logged_by;
use crate::metrics::Metrics;
use crate::replica::{Options, SweepOptions};
use crate::request::testing::{OPTIONS, creation_of};
use crate::request::{Body, Head, Origin, Request};
use crate::session::{Sessions, password_for};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Io, Log};

const SESSION: SessionId = SessionId(0x11);
const TIMEOUT_MS: i32 = 30_000;
const START_MS: i64 = 1_000_000;

/// Says when one is due, and notes what it was told.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    is_due: bool,
    asked: Vec<u64>,
    log_bytes: Vec<u64>,
    started: usize,
}

impl Snapshots for Noted {
    fn is_due(&mut self, txns: u64, log_bytes: u64) -> bool {
        let mut notes = self.0.lock().unwrap();
        notes.asked.push(txns);
        notes.log_bytes.push(log_bytes);
        notes.is_due
    }
    fn start(&mut self) {
        self.0.lock().unwrap().started += 1;
    }
}

struct World {
    disk: FaultyDisk,
    directory: tempfile::TempDir,
    state: Arc<State>,
    inbox: Arc<Inbox>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    snapshots: Noted,
    writer: Writer,
    client: Arc<Client>,
}

impl World {
    fn new() -> Self {
        Self::with(1000)
    }

    /// A log that says that a sync was slow when it took longer than so many milliseconds.
    fn with(fsync_warning_ms: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let options = txnlog::Options {
            prealloc_bytes: 0,
            io: Io::Plain,
            fsync_warning_ms,
            ..txnlog::Options::new(directory.path().to_owned())
        };
        let log = Log::open(Arc::new(disk.clone()), options, Zxid::ZERO).unwrap();
        let clock = Arc::new(ManualClock::at_us(START_MS * 1000));
        let mut sessions = Sessions::new(2000, 1, START_MS);
        sessions.track(SESSION, TIMEOUT_MS, START_MS);
        sessions.commit(SESSION);
        let tree = Tree::new(OwnerRules::default());
        let state = Arc::new(State::new(tree, sessions, OPTIONS, Budget::unlimited(), START_MS));
        let (inbox, metrics, snapshots) =
            (Arc::new(Inbox::default()), Arc::new(Metrics::new()), Noted::default());
        let sweep = SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            log,
            snapshots: Box::new(snapshots.clone()),
            options: Options {
                request: OPTIONS,
                min_session_timeout_ms: 4000,
                max_session_timeout_ms: 40_000,
                sweep,
            },
        });
        let client = Arc::new(Client::new(1, ([127, 0, 0, 1], 1).into(), 0));
        state.register(client.clone());
        let mut world = Self { disk, directory, state, inbox, clock, metrics, snapshots, writer, client };
        let connect = ConnectRequest {
            time_out: TIMEOUT_MS,
            session_id: SESSION,
            passwd: Some(password_for(SESSION).to_vec()),
            ..ConnectRequest::default()
        };
        world.push(OpCode::CREATE_SESSION, vec![Body::Connect(connect)]);
        world.turn();
        assert_eq!(world.client.in_flight(), 0, "it came back to its session");
        world
    }

    fn create(&self, paths: impl Iterator<Item = String>) {
        let creations = paths.map(|path| Body::decode(OpCode::CREATE, &creation_of(&path, 1000).body));
        self.push(OpCode::CREATE, creations.collect());
    }

    fn push(&self, op: OpCode, bodies: Vec<Body>) {
        let head = Head {
            origin: Origin::Client(self.client.id),
            session: SESSION,
            xid: 1,
            op,
            received_ms: self.clock.now_ms(),
            bytes: 100,
            knows_read_only: true,
        };
        let identities = self.client.identities();
        let request = |body| Request { head, identities: identities.clone(), body };
        let mut requests: Vec<_> = bodies.into_iter().map(request).collect();
        requests.iter().for_each(|_| self.client.enter(100));
        self.state.budget.enter(requests.len(), 100 * requests.len());
        self.inbox.push(&mut requests);
    }

    fn turn(&mut self) {
        self.state.listening.tick(self.clock.now_ms());
        assert_eq!(self.writer.turn().unwrap(), Turn::Continue);
    }

    fn logs(&self) -> usize {
        let names = std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("log.")).count()
    }
}

fn paths(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("/{name}{number}"))
}

#[test]
fn the_next_turn_is_due_when_the_first_session_may_expire_and_within_a_second() {
    let mut world = World::new();
    world.turn();
    assert_eq!(world.writer.deadline_ms(), START_MS + 1000, "nothing is nearer");
    let deadline_ms = world.state.sessions().next_deadline_ms().unwrap();
    world.clock.advance_us((deadline_ms - START_MS - 300) * 1000);
    world.turn();
    assert_eq!(world.writer.deadline_ms(), deadline_ms);
}

#[test]
fn a_full_disk_is_left_alone_for_a_while_and_then_looked_at_again() {
    let mut world = World::new();
    world.disk.set_full(true);
    world.create(paths("n", 100));
    world.turn();
    assert!(world.state.is_disk_full());
    assert_eq!(world.writer.deadline_ms(), START_MS + 200);
    world.disk.set_full(false);
    world.clock.advance_us(199_000);
    world.turn();
    assert!(world.state.is_disk_full(), "it was not looked at");
    world.clock.advance_us(1000);
    world.turn();
    assert!(!world.state.is_disk_full());
    assert_eq!(world.client.in_flight(), 0);
}

#[test]
fn a_snapshot_is_due_by_what_was_logged_and_taken_of_whole_batches_in_a_new_log() {
    let mut world = World::new();
    world.create(paths("a", 3));
    world.turn();
    world.turn();
    {
        let notes = world.snapshots.0.lock().unwrap();
        assert_eq!(
            (notes.asked.as_slice(), notes.started),
            (&[3][..], 0),
            "a turn without writes asks nothing"
        );
        assert!(notes.log_bytes[0] > 3000, "{} bytes", notes.log_bytes[0]);
    }
    assert_eq!(world.logs(), 1);
    world.snapshots.0.lock().unwrap().is_due = true;
    world.create(paths("b", 2));
    world.turn();
    assert_eq!(world.snapshots.0.lock().unwrap().asked, [3, 2], "what was asked about counts once");
    assert_eq!(world.snapshots.0.lock().unwrap().started, 1);
    world.create(paths("c", 1));
    world.turn();
    let log_bytes = world.snapshots.0.lock().unwrap().log_bytes.clone();
    assert!(world.logs() == 2 && log_bytes[2] < log_bytes[1], "the log was rolled: {log_bytes:?}");
}

#[test]
fn changes_that_wait_are_counted_when_they_come_and_when_they_are_applied() {
    let mut world = World::new();
    let figures = |world: &World| {
        let metrics = &world.metrics;
        [
            metrics.outstanding_changes_queued.value(),
            metrics.outstanding_changes_removed.value(),
            metrics.prep_processor_request_queued.value(),
            metrics.sync_processor_request_queued.value(),
            metrics.sync_processor_batch_size.sum().cast_unsigned(),
            metrics.prep_processor_queue_size.sum().cast_unsigned(),
        ]
    };
    for (batch, name) in [(1, "a"), (2, "b")] {
        let before = figures(&world);
        world.create(paths(name, 3));
        world.turn();
        let after = figures(&world);
        let more: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        // Each creation changes a node and its parent.
        assert_eq!(more, [6, 6, 3, 3, 3, 3]);
        assert_eq!(world.metrics.sync_processor_batch_size.count(), batch);
    }
}

/// The log was written and synced under the lock of the sessions: words hung exactly when the disk did.
#[test]
fn nobody_is_kept_from_anything_while_the_log_is_written_and_synced() {
    let mut world = World::new();
    let (state, looks) = (world.state.clone(), Arc::new(AtomicUsize::new(0)));
    let (counted, held) = (looks.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = held.clone();
    world.disk.set_witness(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        seen.fetch_add(usize::from(!state.is_free()), Ordering::Relaxed);
    });
    world.snapshots.0.lock().unwrap().is_due = true;
    for batch in 0..3 {
        world.create(paths(&format!("batch{batch}-"), 2000));
        world.turn();
    }
    assert!(looks.load(Ordering::Relaxed) >= 6, "each batch is written and synced");
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

/// The threshold was read, and nothing came of it.
#[test]
fn a_sync_that_takes_longer_than_the_threshold_is_warned_of() {
    let warned = |fsync_warning_ms| {
        let mut world = World::with(fsync_warning_ms);
        let (lines, ()) = logged_by(|| {
            world.create(paths("a", 1));
            world.turn();
        });
        lines.contains("took longer than fsync.warning")
    };
    assert_eq!([warned(0), warned(u64::MAX)], [true, false]);
}

#[test]
fn the_writers_thread_serves_what_came_before_it_was_stopped_and_ends() {
    let world = World::new();
    // More than one batch.
    world.create(paths("a", 10_000));
    world.inbox.stop();
    let World { writer, state, client, directory: _held, .. } = world;
    let (lines, ended) = logged_by(|| writer.run());
    assert!(ended.is_ok() && !lines.contains("stopping with a full disk"), "{lines}");
    assert_eq!(client.in_flight(), 0);
    assert!(paths("a", 10_000).all(|path| state.tree().get(&path).is_some()));
}

#[test]
fn the_writers_thread_sleeps_until_the_next_turn_is_due_and_not_while_requests_wait() {
    let mut world = World::new();
    world.turn();
    assert_eq!(world.writer.timeout(), Duration::from_secs(1));
    let deadline_ms = world.state.sessions().next_deadline_ms().unwrap();
    world.clock.advance_us((deadline_ms - START_MS - 300) * 1000);
    assert_eq!(world.writer.timeout(), Duration::from_millis(300));
    world.clock.advance_us(400_000);
    assert_eq!(world.writer.timeout(), Duration::from_millis(1), "it is due");
    world.create(paths("a", 10_000));
    world.turn();
    assert_eq!(world.writer.timeout(), Duration::ZERO, "the next batch waits");
}
