//! When snapshots are taken, what is in them, and that they stand in nobody's way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::proto::CreateRequest;
use jute::{OpCode, SessionId, Zxid};

use super::snapshots::{Job, Options, Outcome, Pace, RETRY_MS, SnapshotTaker, purge_regularly};
use super::walk::{self, SLICE_BYTES, SLICE_NODES};
use super::{Snapshots, State};
use crate::clock::{Clock, ManualClock};
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, RealDisk};
use crate::logging::testing::logged_by;
use crate::metrics::Metrics;
use crate::request::prepare::Preparer;
use crate::request::testing::{Asked, OPTIONS, SESSIONS, creation, creation_of, deletion, prepare};
use crate::runtime::budget::Budget;
use crate::session::Sessions;
use crate::snapshot::{Compression, Loaded, Visitor, Writer, load};
use crate::tree::{Cursor, OwnerRules, Tree, digest};

const HOURS_MS: i64 = 10_000_000;

/// Hours go by between two looks at it.
#[derive(Debug, Default)]
struct FastClock(AtomicI64);

impl Clock for FastClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(HOURS_MS, Ordering::Relaxed)
    }

    fn now_us(&self) -> i64 {
        self.now_ms() * 1000
    }

    fn wall_ms(&self) -> i64 {
        self.now_ms()
    }
}

/// Nothing goes by.
#[derive(Debug)]
pub(super) struct StillClock;

impl Clock for StillClock {
    fn now_us(&self) -> i64 {
        0
    }

    fn wall_ms(&self) -> i64 {
        0
    }
}

pub(super) fn job(directory: &tempfile::TempDir, clock: Arc<dyn Clock>, nodes: &[Asked]) -> Job {
    let mut tree = Tree::new(OwnerRules::default());
    let mut sessions = Sessions::new(2000, 1, 0);
    for session in SESSIONS {
        sessions.track(session, 30_000, 0);
        sessions.commit(session);
    }
    let mut preparer = Preparer::new(OPTIONS, Zxid::ZERO);
    for node in nodes {
        let entry = prepare(&mut preparer, &tree, &mut sessions, node.request(), 0).unwrap();
        tree.replay(entry);
        preparer.applied(tree.last_zxid());
    }
    Job {
        state: Arc::new(State::new(tree, sessions, OPTIONS, Budget::unlimited(), 0)),
        disk: Arc::new(RealDisk),
        clock,
        metrics: Arc::new(Metrics::new()),
        options: Options {
            directory: directory.path().to_owned(),
            compression: Compression::None,
            txns: 10,
            log_bytes: None,
            digest: true,
            last_zxid: true,
        },
    }
}

fn small_nodes(count: usize) -> Vec<Asked> {
    (0..count).map(|n| creation(&format!("/{n}"), CreateMode::Persistent)).collect()
}

fn files(directory: &tempfile::TempDir) -> Vec<String> {
    let names = fs::read_dir(directory.path()).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_snapshot_is_given_up_when_the_server_stops_but_not_the_first_one() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&directory, Arc::new(StillClock), &small_nodes(10));
    let cursor = || Cursor::new(&job.state.tree());
    let stop = AtomicBool::new(true);
    assert_eq!(job.take(cursor(), Pace::BesideClients(&stop)).unwrap(), Outcome::GivenUp);
    assert_eq!(files(&directory), [""; 0], "nothing is left of it");
    assert_eq!(job.take(cursor(), Pace::Alone).unwrap(), Outcome::Written);
    assert_eq!(files(&directory), ["snapshot.a"]);
    stop.store(false, Ordering::Relaxed);
    assert_eq!(job.take(cursor(), Pace::BesideClients(&stop)).unwrap(), Outcome::Written);
}

/// A server with ten million nodes took seven seconds to stop. With that, this test takes weeks.
#[test]
fn a_stopping_server_does_not_wait_for_the_snapshot_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(FastClock::default());
    let mut taker = SnapshotTaker::new(job(&directory, clock.clone(), &small_nodes(300)));
    taker.start();
    // Until it has written the first node, and rests for hours.
    while clock.0.load(Ordering::Relaxed) < 5 * HOURS_MS {
        std::thread::yield_now();
    }
    drop(taker);
    assert_eq!(files(&directory), [""; 0], "nothing is left of it");
}

#[test]
fn what_is_not_needed_any_more_is_removed_as_soon_as_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    for zxid in 1..=4 {
        let mut writer = Writer::create(&disk, directory.path(), Zxid(zxid), Compression::None).unwrap();
        writer.begin(&[], &[(1, Vec::new())]).unwrap();
        writer.node("", None, 1, &Default::default()).unwrap();
        writer.finish(None, None).unwrap();
    }
    let path = directory.path().to_owned();
    purge_regularly(disk, path.clone(), path, 3, Duration::from_secs(3600)).unwrap();
    let is_done = |_| {
        std::thread::yield_now();
        files(&directory).len() == 3
    };
    assert!((0..1_000_000).any(is_done), "it does not purge");
}

#[test]
fn after_one_was_given_up_the_next_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut taker = SnapshotTaker::new(job(&directory, Arc::new(StillClock), &small_nodes(10)));
    taker.give_up();
    taker.start();
    while !taker.is_idle() {
        std::thread::yield_now();
    }
    assert_eq!(files(&directory), ["snapshot.a"]);
}

/// A slice was 256 nodes, whatever they held: 256 MB under the tree's lock.
#[test]
fn a_slice_ends_when_it_has_many_bytes_or_took_long() {
    const DATA_BYTES: usize = 50_000;
    let directory = tempfile::tempdir().unwrap();
    let nodes: Vec<_> = (0..20).map(|n| creation_of(&format!("/{n}"), DATA_BYTES)).collect();
    let slices = |clock: Arc<dyn Clock>| {
        let job = job(&directory, clock, &nodes);
        let mut cursor = Cursor::new(&job.state.tree());
        let mut slices = Vec::new();
        loop {
            let (mut buffer, mut nodes) = (Vec::new(), 0);
            let (clock, now_ms) = (&*job.clock, job.clock.now_ms());
            let is_done =
                walk::slice(&job.state, clock, &mut cursor, SLICE_NODES, now_ms, &mut buffer, &mut nodes);
            slices.push((nodes, buffer.len()));
            if is_done {
                break slices;
            }
        }
    };
    let by_bytes = slices(Arc::new(StillClock));
    assert!(by_bytes.iter().all(|(_, bytes)| *bytes < SLICE_BYTES + DATA_BYTES + 100));
    assert!((7..10).contains(&by_bytes.len()), "{by_bytes:?}");
    assert!(slices(Arc::new(FastClock::default())).iter().all(|(nodes, _)| *nodes <= 1));
}

/// 390,000 lists were copied under the tree's lock: 2.5 seconds, and as much memory again.
#[test]
fn lists_are_shared_with_the_tree_and_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&directory, Arc::new(StillClock), &small_nodes(10));
    let lists = job.lists(&mut Cursor::new(&job.state.tree()));
    let kept = job.state.tree().acls().to_file();
    assert_eq!(lists.len(), 2, "of the new nodes and of /zookeeper/config");
    assert!(lists.iter().zip(&kept).all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(&one.1, &other.1)));
}

/// As the reference writes them, also where a list takes the place of one that nobody needs any more.
#[test]
fn the_lists_of_a_snapshot_are_in_the_order_of_their_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let with_list = |path: &str, id: &str| {
        let id = Id { scheme: Some("ip".into()), id: Some(id.into()) };
        let acl = Some(vec![Acl { perms: 31, id }]);
        let create = CreateRequest { path: Some(path.into()), data: None, acl, flags: 0 };
        Asked { session: SESSIONS[0], op: OpCode::CREATE, body: create.to_bytes() }
    };
    let nodes = [
        with_list("/first", "10.0.0.1"),
        with_list("/second", "10.0.0.2"),
        deletion("/first"),
        with_list("/third", "10.0.0.3"),
        with_list("/fourth", "10.0.0.4"),
    ];
    let job = job(&directory, Arc::new(StillClock), &nodes);
    let lists = job.lists(&mut Cursor::new(&job.state.tree()));
    assert!(lists.len() >= 3 && lists.is_sorted_by_key(|(id, _)| *id), "{lists:?}");
}

#[test]
fn the_sessions_of_a_snapshot_are_those_committed_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&directory, Arc::new(StillClock), &[]);
    job.state.sessions().track(SessionId(1), 30_000, 0);
    assert_eq!(job.sessions(), SESSIONS.map(|session| (session, 30_000)));
}

/// The root, `/zookeeper` and what is below it.
const SYSTEM_NODES: usize = 4;

/// What a snapshot holds.
#[derive(Default)]
struct Content {
    sessions: Vec<(SessionId, i32)>,
    lists: Vec<i64>,
    nodes: BTreeSet<String>,
}

impl Visitor for Content {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.sessions.push((id, timeout_ms));
        Ok(())
    }
    fn acl(&mut self, id: i64, _: Vec<Acl>) -> Result<(), String> {
        self.lists.push(id);
        Ok(())
    }
    fn node(&mut self, path: &str, _: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        assert!(self.nodes.insert(path.to_owned()), "{path} twice");
        Ok(())
    }
}

fn content(path: &Path) -> (Loaded, Content) {
    let mut content = Content::default();
    let loaded = load(&RealDisk, path, 1 << 20, &mut content).unwrap();
    (loaded, content)
}

#[test]
fn a_snapshot_holds_every_node_the_lists_the_sessions_and_what_it_was_asked_to_end_with() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = job(&directory, Arc::new(StillClock), &small_nodes(1000));
    let cursor = Cursor::new(&job.state.tree());
    let (lines, outcome) = logged_by(|| job.take(cursor, Pace::Alone));
    assert_eq!(outcome.unwrap(), Outcome::Written);
    assert!(lines.contains(&format!("nodes={}", 1000 + SYSTEM_NODES)), "{lines}");
    let path = directory.path().join("snapshot.3e8");
    let (loaded, found) = content(&path);
    let tree_digest = job.state.tree().digest().cast_signed();
    assert_eq!(loaded.zxid_from_name, Zxid(1000));
    assert_eq!(loaded.last_zxid, Some(Zxid(1000)));
    assert_eq!(loaded.digest, Some((Zxid(1000), digest::VERSION, tree_digest)));
    assert_eq!(found.nodes.len(), 1000 + SYSTEM_NODES);
    assert!((0..1000).all(|n| found.nodes.contains(&format!("/{n}"))));
    assert_eq!(found.sessions, SESSIONS.map(|session| (session, 30_000)));
    assert_eq!(found.lists.len(), 2);
    assert!(found.lists.is_sorted());
    assert_eq!(job.metrics.snapshottime.count(), 1);
    (job.options.digest, job.options.last_zxid) = (false, false);
    job.take(Cursor::new(&job.state.tree()), Pace::Alone).unwrap();
    let (loaded, _) = content(&path);
    assert_eq!((loaded.digest, loaded.last_zxid), (None, None));
}

/// How many transactions, and bytes of log, make it due: for each of many times.
fn due(taker: &mut SnapshotTaker, mut is_due: impl FnMut(&mut SnapshotTaker, u64) -> bool) -> Vec<u64> {
    (0..200).map(|_| (1..).find(|n| is_due(taker, *n)).unwrap()).collect()
}

#[test]
fn a_snapshot_is_due_after_half_of_the_transactions_and_a_random_part_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = job(&directory, Arc::new(ManualClock::at_us(5_000_000)), &[]);
    (job.options.txns, job.options.log_bytes) = (100, Some(1000));
    let mut taker = SnapshotTaker::new(job);
    let by_txns = due(&mut taker, |taker, _| taker.is_due(1, 0));
    assert!(by_txns.iter().all(|n| (51..=100).contains(n)), "{by_txns:?}");
    assert!(by_txns.iter().collect::<BTreeSet<_>>().len() > 20, "{by_txns:?}");
    let by_bytes = due(&mut taker, |taker, n| taker.is_due(0, n));
    assert!(by_bytes.iter().all(|n| (501..=1000).contains(n)), "{by_bytes:?}");
    assert!(by_bytes.iter().collect::<BTreeSet<_>>().len() > 20, "{by_bytes:?}");
    // Several at once count as so many.
    assert!(taker.is_due(100, 0) && !taker.is_due(50, 0));
}

#[test]
fn without_a_bound_on_the_log_only_transactions_count() {
    let directory = tempfile::tempdir().unwrap();
    let mut taker = SnapshotTaker::new(job(&directory, Arc::new(ManualClock::at_us(1)), &[]));
    assert!(!taker.is_due(1, u64::MAX));
    assert!(taker.is_due(10, 0));
}

/// Until the snapshot under way is there, or has failed.
fn wait(taker: &mut SnapshotTaker) {
    while !taker.is_idle() {
        std::thread::yield_now();
    }
}

#[test]
fn a_snapshot_is_written_beside_the_clients_and_another_one_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&directory, Arc::new(ManualClock::at_us(1)), &small_nodes(600));
    let metrics = job.metrics.clone();
    let mut taker = SnapshotTaker::new(job);
    for number in 1..=2 {
        taker.start();
        wait(&mut taker);
        assert_eq!(metrics.snapshottime.count(), number);
    }
    let (loaded, found) = content(&directory.path().join("snapshot.258"));
    assert_eq!(loaded.last_zxid, Some(Zxid(600)));
    assert_eq!(found.nodes.len(), 600 + SYSTEM_NODES);
}

#[test]
fn a_snapshot_for_which_there_is_no_space_is_tried_again_in_a_minute() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at_us(1_000_000));
    let disk = FaultyDisk::default();
    let mut job = job(&directory, clock.clone(), &small_nodes(3));
    (job.disk, job.options.txns) = (Arc::new(disk.clone()) as Arc<dyn Disk>, 1000);
    let mut taker = SnapshotTaker::new(job);
    disk.set_full(true);
    taker.start();
    wait(&mut taker);
    assert_eq!(files(&directory), [""; 0], "nothing is left of it");
    clock.advance_us((RETRY_MS - 1) * 1000);
    assert!(!taker.is_due(1, 0));
    clock.advance_us(1000);
    assert!(taker.is_due(1, 0));
    disk.set_full(false);
    taker.start();
    wait(&mut taker);
    assert_eq!(files(&directory), ["snapshot.3"]);
    clock.advance_us(RETRY_MS * 10_000);
    assert!(!taker.is_due(1, 0), "it worked");
}

/// Without snapshots the log grows for ever: the server ends, as the reference does. A process of its own shows it.
#[test]
fn a_snapshot_that_cannot_be_written_ends_the_server_with_code_10() {
    const NAME: &str =
        "runtime::snapshots_test::a_snapshot_that_cannot_be_written_ends_the_server_with_code_10";
    const IS_CHILD: &str = "OXKEEPER_SNAPSHOT_TEST_CHILD";
    if std::env::var_os(IS_CHILD).is_some() {
        let directory = tempfile::tempdir().unwrap();
        let mut job = job(&directory, Arc::new(ManualClock::at_us(1)), &[]);
        job.options.directory = directory.path().join("missing");
        let mut taker = SnapshotTaker::new(job);
        taker.start();
        wait(&mut taker);
        return;
    }
    let program = std::env::current_exe().unwrap();
    let child = Command::new(program).args(["--exact", NAME]).env(IS_CHILD, "1").output().unwrap();
    assert_eq!(child.status.code(), Some(10), "{}", String::from_utf8_lossy(&child.stdout));
}
