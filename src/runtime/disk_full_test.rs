//! The writer on a disk that fills up and gets space again, turn by turn.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use jute::records::proto::ConnectRequest;
use jute::txn::TxnBody;
use jute::{OpCode, SessionId, Zxid};

use super::budget::Budget;
use super::{Client, Inbox, NoSnapshots, Parts, State, Turn, Writer};
use crate::clock::{Clock, ManualClock};
use crate::disk::faulty::FaultyDisk;
use crate::logging::testing::logged_by;
use crate::metrics::Metrics;
use crate::replica::{Options, SweepOptions};
use crate::request::testing::{OPTIONS, creation_of};
use crate::request::{Body, Head, Origin, Request};
use crate::session::{Sessions, password_for};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Gaps, Io, Log};

struct World {
    disk: FaultyDisk,
    directory: tempfile::TempDir,
    state: Arc<State>,
    inbox: Arc<Inbox>,
    clock: Arc<ManualClock>,
    writer: Writer,
    clients: u64,
}

/// One connection, and the replies it got.
struct Connection {
    client: Arc<Client>,
    sent: usize,
    replies: Vec<(i32, Zxid, i32)>,
}

impl World {
    fn new(prealloc_bytes: i64, io: Io) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let options =
            txnlog::Options { prealloc_bytes, io, ..txnlog::Options::new(directory.path().to_owned()) };
        let log = Log::open(Arc::new(disk.clone()), options, Zxid::ZERO).unwrap();
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(2000, 1, 0);
        let tree = Tree::new(OwnerRules::default());
        let state = Arc::new(State::new(tree, sessions, OPTIONS, Budget::unlimited(), clock.now_ms()));
        let inbox = Arc::new(Inbox::default());
        let sweep = SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: Arc::new(Metrics::new()),
            log,
            snapshots: Box::new(NoSnapshots),
            options: Options {
                request: OPTIONS,
                min_session_timeout_ms: 4000,
                max_session_timeout_ms: 40_000,
                sweep,
            },
        });
        Self { disk, directory, state, inbox, clock, writer, clients: 0 }
    }

    fn turn(&mut self) -> Turn {
        self.state.listening.tick(self.clock.now_ms());
        self.writer.turn().unwrap()
    }

    /// Long enough for another look at the disk.
    fn wait(&mut self) {
        self.clock.advance_us(250_000);
        self.turn();
    }

    fn connection(&mut self) -> Connection {
        self.clients += 1;
        let client = Arc::new(Client::new(self.clients, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), 0));
        self.state.register(client.clone());
        Connection { client, sent: 0, replies: Vec::new() }
    }

    fn connect(&self, connection: &Connection, session_id: SessionId) {
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 30_000,
            session_id,
            passwd: Some(password_for(session_id).to_vec()),
            read_only: false,
        };
        self.push(connection, session_id, OpCode::CREATE_SESSION, Body::Connect(connect));
    }

    fn open(&mut self) -> Connection {
        let connection = self.connection();
        self.connect(&connection, SessionId::NONE);
        self.turn();
        assert_eq!(connection.client.in_flight(), 0, "a new session");
        connection.client.outbox().collect(&mut Vec::new(), Waker::noop());
        connection
    }

    fn push(&self, connection: &Connection, session: SessionId, op: OpCode, body: Body) {
        let client = &connection.client;
        client.enter(100);
        self.state.budget.enter(1, 100);
        let head = Head {
            origin: Origin::Client(client.id),
            session,
            xid: connection.sent as i32,
            op,
            received_ms: self.clock.now_ms(),
            bytes: 100,
            knows_read_only: true,
        };
        self.inbox.push(&mut vec![Request { head, identities: client.identities(), body }]);
    }

    fn create(&self, connection: &mut Connection, path: &str) {
        connection.sent += 1;
        let asked = creation_of(path, 1000);
        let session = connection.client.session().unwrap().id;
        self.push(connection, session, asked.op, Body::decode(asked.op, &asked.body));
    }

    fn hang_up(&self, connection: &Connection) {
        self.state.unregister(&connection.client);
        self.inbox.push_gone(connection.client.id);
    }

    /// The lines that are logged while the writer waits, looking at the disk four times a second.
    fn told_in(&mut self, ms: i64) -> Vec<String> {
        let (lines, ()) = logged_by(|| (0..ms / 250).for_each(|_| self.wait()));
        lines.lines().filter(|line| line.contains("disk")).map(str::to_owned).collect()
    }

    /// Every transaction in the log, as a restart reads it.
    fn logged(&self) -> Vec<jute::txn::TxnEntry> {
        let mut entries = Vec::new();
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(self.disk.clone());
        txnlog::recover(
            &disk,
            self.directory.path(),
            Zxid::ZERO,
            Gaps::Refuse,
            &mut |entry| entries.push(entry),
            &mut |_| {},
        )
        .unwrap();
        entries
    }
}

impl Connection {
    /// Takes the replies that came; each is a frame of length, xid, zxid, code and body.
    fn collect(&mut self) {
        let mut bytes = Vec::new();
        self.client.outbox().collect(&mut bytes, Waker::noop());
        let mut rest = bytes.as_slice();
        while let Some((length, frame)) = rest.split_first_chunk::<4>() {
            let (frame, later) = frame.split_at(u32::from_be_bytes(*length) as usize);
            let mut reader = jute::Reader::new(frame);
            let reply = (reader.int().unwrap(), Zxid(reader.long().unwrap()), reader.int().unwrap());
            self.replies.push(reply);
            rest = later;
        }
    }

    fn unanswered(&self) -> usize {
        self.client.in_flight()
    }
}

fn in_every_mode(check: impl Fn(World)) {
    for (prealloc_bytes, io) in [(16 << 10, Io::Mapped), (16 << 10, Io::Plain), (0, Io::Plain)] {
        check(World::new(prealloc_bytes, io));
    }
}

#[test]
fn writes_wait_for_space_while_reads_and_returning_clients_go_on() {
    in_every_mode(|mut world| {
        let mut writer = world.open();
        world.create(&mut writer, "/first");
        world.turn();
        assert_eq!(writer.unanswered(), 0, "the first write");
        world.disk.set_full(true);
        for number in 0..60 {
            world.create(&mut writer, &format!("/n{number}"));
        }
        world.turn();
        assert!(world.state.is_disk_full());
        world.wait();
        writer.collect();
        let answered = writer.replies.len();
        assert!(answered < 61, "some write found the disk full");
        let last = writer.replies.last().unwrap().1;
        assert_eq!(world.state.tree().last_zxid(), last, "no more than was answered");
        assert_eq!(writer.unanswered(), 61 - answered);

        // Another connection comes back to the session, and reads what was answered.
        let session = writer.client.session().unwrap().clone();
        let back = world.connection();
        world.connect(&back, session.id);
        world.turn();
        assert_eq!(back.unanswered(), 0, "the answer to a returning client");
        assert_eq!(back.client.session().unwrap().id, session.id);
        assert!(world.state.tree().get("/first").is_some());
        // One with a new session waits, and goes when its connection does.
        let waiting = world.state.budget.waiting();
        let new = world.connection();
        world.connect(&new, SessionId::NONE);
        world.turn();
        assert_eq!(world.state.budget.waiting(), waiting + 1);
        world.hang_up(&new);
        world.turn();
        assert_eq!(world.state.budget.waiting(), waiting);

        // However long it takes, no session expires, and each has a whole timeout afterwards.
        (0..400).for_each(|_| world.wait());
        world.disk.set_full(false);
        world.wait();
        assert!(!world.state.is_disk_full());
        assert_eq!(session.deadline_ms(), world.clock.now_ms() + 30_000);
        assert_eq!(world.state.budget.waiting(), 0);
    });
}

/// The log takes a few transactions into memory, and only their sync finds no space. If more were taken in with each
/// look at the disk, there would be no end to it.
#[test]
fn while_a_sync_finds_no_space_nothing_more_is_taken_in() {
    let mut world = World::new(0, Io::Plain);
    let mut writer = world.open();
    world.disk.set_full(true);
    world.create(&mut writer, "/a");
    world.turn();
    for later in 1..=3 {
        world.create(&mut writer, &format!("/b{later}"));
        world.wait();
        let replica = &world.writer.driver.replica;
        assert!(world.state.is_disk_full());
        assert_eq!((replica.prepared_count(), replica.backlog()), (1, later));
        assert_eq!((writer.unanswered(), world.state.tree().get("/a").is_some()), (1 + later, false));
    }
    world.disk.set_full(false);
    world.wait();
    assert!(!world.state.is_disk_full());
    assert_eq!((writer.unanswered(), world.logged().len()), (0, 5));
}

#[test]
fn what_waited_for_space_is_carried_out_in_order() {
    in_every_mode(|mut world| {
        let mut writer = world.open();
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut writer, &format!("/n{number}")));
        world.turn();
        world.wait();
        assert!(world.state.is_disk_full());
        world.disk.set_full(false);
        world.wait();
        writer.collect();
        assert_eq!(writer.replies.len(), 60);
        // The session is transaction 1.
        for (index, (xid, zxid, code)) in writer.replies.iter().enumerate() {
            assert_eq!((*xid as usize, zxid.0, *code), (index + 1, index as i64 + 2, 0));
        }
        assert_eq!(world.logged().len(), 61);
    });
}

#[test]
fn a_lost_connection_takes_its_waiting_requests_along_and_those_of_nobody_else() {
    in_every_mode(|mut world| {
        let (mut first, mut gone, mut stays) = (world.open(), world.open(), world.open());
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut first, &format!("/first{number}")));
        world.turn();
        assert!(world.state.is_disk_full());
        let waiting = world.state.budget.waiting();
        for number in 0..60 {
            world.create(&mut gone, &format!("/gone{number}"));
            world.create(&mut stays, &format!("/stays{number}"));
        }
        world.turn();
        assert_eq!(world.state.budget.waiting(), waiting + 120);
        world.hang_up(&gone);
        world.turn();
        assert_eq!(world.state.budget.waiting(), waiting + 60);
        world.disk.set_full(false);
        world.wait();
        assert_eq!(stays.unanswered(), 0);
        let logged = world.logged();
        let created = |prefix: &str| {
            let creates = logged.iter().filter_map(|entry| match &entry.body {
                TxnBody::Create(txn) => txn.path.as_deref(),
                _ => None,
            });
            creates.filter(|path| path.starts_with(prefix)).count()
        };
        assert_eq!((created("/first"), created("/gone"), created("/stays")), (60, 0, 60));
    });
}

#[test]
fn a_server_that_waits_for_space_can_be_stopped() {
    in_every_mode(|mut world| {
        let mut writer = world.open();
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut writer, &format!("/n{number}")));
        world.turn();
        assert!(world.state.is_disk_full());
        writer.collect();
        world.inbox.stop();
        let (lines, turn) = logged_by(|| world.turn());
        assert_eq!(turn, Turn::Stop);
        assert!(lines.contains("stopping with a full disk"), "{lines}");
        // What was not answered may be there or not, and the server with the most has no gap.
        world.disk.set_full(false);
        assert!(world.logged().len() > writer.replies.len());
    });
}

/// The server's own thread, which finds nothing more in its inbox.
#[test]
fn a_server_that_waits_for_space_ends_when_it_is_stopped_and_says_so() {
    in_every_mode(|mut world| {
        let mut writer = world.open();
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut writer, &format!("/n{number}")));
        world.turn();
        world.inbox.stop();
        let World { writer, state, .. } = world;
        let (lines, ended) = logged_by(|| writer.run());
        assert!(ended.is_ok() && state.is_disk_full());
        assert_eq!(lines.matches("stopping with a full disk").count(), 1, "{lines}");
    });
}

#[test]
fn a_full_disk_is_told_of_at_once_and_once_a_minute_and_its_end_once() {
    in_every_mode(|mut world| {
        let mut writer = world.open();
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut writer, &format!("/n{number}")));
        let first = world.told_in(250);
        assert!(first.len() == 1 && first[0].contains("the disk is full") && first[0].contains("for_ms=0"));
        assert!(!first[0].contains("waiting=0"), "{}", first[0]);
        let next = world.told_in(60_000);
        assert!(next.len() == 1 && next[0].contains("the disk is full"), "{next:?}");
        assert!(next[0].contains("for_ms=60000"), "{}", next[0]);
        world.disk.set_full(false);
        let last = world.told_in(1000);
        assert!(last.len() == 1 && last[0].contains("there is space on the disk again"), "{last:?}");
        assert!(last[0].contains("after_ms=60250"), "{}", last[0]);
    });
}
