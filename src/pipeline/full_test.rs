//! The whole writer on a disk that fills up and gets space again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jute::records::proto::ConnectRequest;
use jute::txn::TxnBody;
use jute::{OpCode, SessionId, Zxid};

use super::{Options, Parts, Pipeline, Queue, Snapshots, SweepOptions};
use crate::clock::RealClock;
use crate::disk::faulty::FaultyDisk;
use crate::metrics::Metrics;
use crate::request::testing::{OPTIONS, creation_of};
use crate::request::{Body, Client, Request, State};
use crate::session::{Sessions, password_for};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Gaps, Io, Log, LogError};

struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn is_due(&mut self, _txns: u64, _log_bytes: u64) -> bool {
        false
    }
    fn start(&mut self) {}
}

struct World {
    disk: FaultyDisk,
    directory: tempfile::TempDir,
    state: Arc<State>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<Result<(), LogError>>>,
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
        let sessions = Sessions::new(2000, 1, 0);
        let state = Arc::new(State::new(Tree::new(OwnerRules::default()), sessions, OPTIONS));
        let queue = Arc::new(Queue::default());
        let sweep = SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
        let pipeline = Pipeline::new(Parts {
            state: state.clone(),
            queue: queue.clone(),
            clock: Arc::new(RealClock),
            metrics: Arc::new(Metrics::new()),
            log,
            snapshots: Box::new(NoSnapshots),
            options: Options { min_session_timeout_ms: 4000, max_session_timeout_ms: 40_000, sweep },
        });
        let writer = Some(std::thread::spawn(move || pipeline.run()));
        Self { disk, directory, state, queue, writer, clients: 0 }
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
        eventually("a new session", || connection.client.in_flight() == 0);
        connection.client.outbox().collect(&mut Vec::new(), Waker::noop());
        connection
    }

    fn push(&self, connection: &Connection, session: SessionId, op: OpCode, body: Body) {
        let client = connection.client.clone();
        client.enter(100);
        let identities = client.identities();
        let xid = connection.sent as i32;
        let client = Some(client);
        self.queue.push(&mut vec![Request {
            client,
            session,
            xid,
            op,
            body,
            identities,
            received_ms: 0,
            bytes: 100,
        }]);
    }

    fn create(&self, connection: &mut Connection, path: &str) {
        connection.sent += 1;
        let asked = creation_of(path, 1000);
        let session = connection.client.session().unwrap().id;
        self.push(connection, session, asked.op, Body::decode(asked.op, &asked.body));
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

    fn stop(&mut self) -> Result<(), LogError> {
        self.queue.stop();
        self.writer.take().unwrap().join().unwrap()
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

/// Polls until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
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
        eventually("the first write", || writer.unanswered() == 0);
        world.disk.set_full(true);
        for number in 0..60 {
            world.create(&mut writer, &format!("/n{number}"));
        }
        eventually("a full disk", || world.queue.is_held_back());
        writer.collect();
        let answered = writer.replies.len();
        assert!(answered < 61, "some write found the disk full");
        assert_eq!(
            world.state.tree().last_zxid(),
            writer.replies.last().unwrap().1,
            "no more than was answered"
        );
        assert_eq!(writer.unanswered(), 61 - answered);

        // Another connection comes back to the session, and reads what was answered.
        let session = writer.client.session().unwrap().clone();
        let back = world.connection();
        world.connect(&back, session.id);
        eventually("the answer to a returning client", || back.unanswered() == 0);
        assert_eq!(back.client.session().unwrap().id, session.id);
        assert!(world.state.tree().get("/first").is_some());
        // One with a new session waits, and goes when its connection does.
        let waiting = world.queue.len();
        let new = world.connection();
        world.connect(&new, SessionId::NONE);
        eventually("one more that waits", || world.queue.len() == waiting + 1);
        world.state.unregister(&new.client);
        eventually("one less that waits", || world.queue.len() == waiting);

        let heard_before = session.deadline_ms();
        world.disk.set_full(false);
        eventually("the rest of the writes", || writer.unanswered() == 0);
        assert!(!world.queue.is_held_back());
        assert!(session.deadline_ms() > heard_before, "a whole timeout from now on");
        writer.collect();
        assert_eq!(writer.replies.len(), 61);
        // The session is transaction 1.
        for (index, (xid, zxid, code)) in writer.replies.iter().enumerate() {
            assert_eq!((*xid as usize, zxid.0, *code), (index + 1, index as i64 + 2, 0));
        }
        world.stop().unwrap();
        assert_eq!(world.logged().len(), 62);
    });
}

#[test]
fn a_lost_connection_takes_its_waiting_requests_along_and_those_of_nobody_else() {
    in_every_mode(|mut world| {
        let (mut first, mut gone, mut stays) = (world.open(), world.open(), world.open());
        world.disk.set_full(true);
        (0..60).for_each(|number| world.create(&mut first, &format!("/first{number}")));
        eventually("a full disk", || world.queue.is_held_back());
        let waiting = world.queue.len();
        for number in 0..60 {
            world.create(&mut gone, &format!("/gone{number}"));
            world.create(&mut stays, &format!("/stays{number}"));
        }
        eventually("all that wait", || world.queue.len() == waiting + 120);
        world.state.unregister(&gone.client);
        eventually("those that are left", || world.queue.len() == waiting + 60);
        world.disk.set_full(false);
        eventually("the rest of the writes", || stays.unanswered() == 0);
        world.stop().unwrap();
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
        eventually("a full disk", || world.queue.is_held_back());
        writer.collect();
        world.stop().unwrap();
        // What was not answered may be there or not, and the server with the most has no gap.
        world.disk.set_full(false);
        assert!(world.logged().len() > writer.replies.len());
    });
}
