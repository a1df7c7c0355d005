//! A member's writer, turn by turn: alone in its ensemble, and below a leader that the test plays.

use std::sync::Arc;

use bytes::Bytes;
use jute::multi::CreateMode;
use jute::records::proto::ConnectRequest;
use jute::records::txn::{CreateTxn, SetDataTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{OpCode, SessionId, Zxid};

use super::super::budget::Budget;
use super::super::log_port::Report;
use super::super::peers::{FromPeers, Staged};
use super::super::{Client, Inbox, LogKeeper, LogPort, MemberParts, MemberWriter, NoSnapshots, State, Turn};
use super::told_test::Told;
use crate::clock::{Clock, ManualClock};
use crate::disk::{Disk, RealDisk};
use crate::metrics::Metrics;
use crate::replica::{Options as ReplicaOptions, SweepOptions};
use crate::request::testing::{OPTIONS, creation};
use crate::request::{Body, Head, Origin, Request};
use crate::session::Sessions;
use crate::snapshot::{Compression, Writer};
use crate::store::{Directories, Options, recover_member};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Io, Log};
use crate::zab::{
    FromMaster, Input, Members, Notification, PeerState, Proposal, Quorum, Recovered, Serving, Sid, Zab,
};

const E: i64 = 1 << 32;

pub(super) struct World {
    disk: Arc<dyn Disk>,
    options: Options,
    directories: Arc<Directories>,
    pub(super) state: Arc<State>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Arc<ManualClock>,
    told: Told,
    pub(super) writer: MemberWriter,
    /// Goes with the directory.
    pub(super) held: tempfile::TempDir,
}

impl World {
    /// Server 1 of an ensemble with these voters.
    pub(super) fn new(voters: &[Sid], leader_serves: bool) -> Self {
        let held = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let options = Options::new(held.path().to_owned(), held.path().to_owned());
        let directories = Arc::new(Directories::open(&disk, &options).unwrap());
        write_first_snapshot(&disk, &directories);
        let log = txnlog::Options {
            prealloc_bytes: 0,
            io: Io::Plain,
            ..txnlog::Options::new(directories.logs.clone())
        };
        let log = Log::open(disk.clone(), log, Zxid::ZERO).unwrap();
        let metrics = Arc::new(Metrics::new());
        let keeper = LogKeeper::new(log, disk.clone(), directories.clone(), options.clone(), metrics.clone());
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(1000, 1, 0);
        let tree = Tree::new(OwnerRules::default());
        let state = Arc::new(State::new(tree, sessions, OPTIONS, Budget::unlimited(), clock.now_ms()));
        let (inbox, told) = (Arc::new(Inbox::default()), Told::default());
        let members = Members {
            voters: voters.iter().copied().collect(),
            observers: [].into(),
            quorum: Quorum::Majority,
            version: 0,
            text: Bytes::from_static(b"version=0"),
        };
        let zab = crate::zab::Options {
            me: 1,
            is_observer: false,
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 60_000),
            force_snapshot: false,
            tuning: crate::zab::Tuning::default(),
        };
        let recovered =
            Recovered { logged: Zxid::ZERO, accepted: 0, current: 0, is_trusted: true, tail: Vec::new() };
        let sweep = SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
        let writer = MemberWriter::new(MemberParts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics,
            log: LogPort::inline(keeper),
            snapshots: Box::new(NoSnapshots),
            peers: Box::new(told.clone()),
            options: ReplicaOptions {
                request: OPTIONS,
                min_session_timeout_ms: 2000,
                max_session_timeout_ms: 20_000,
                sweep,
            },
            zab: Zab::member(zab, members, recovered, clock.now_ms()),
            config: (Bytes::from_static(b"server.1=a:1:2:participant\nversion=7"), Zxid(7)),
            leader_serves,
        });
        Self { disk, options, directories, state, inbox, clock, told, writer, held }
    }

    fn turn(&mut self) {
        self.state.listening.tick(self.clock.now_ms());
        assert_eq!(self.writer.turn(), Turn::Continue);
        assert!(!self.told.has_unsent(), "what is said in a turn leaves with it");
    }

    /// Turns for so long, whenever one is due.
    pub(super) fn wait(&mut self, ms: i64) {
        let end = self.clock.now_ms() + ms;
        for _ in 0..1000 {
            self.turn();
            let now = self.clock.now_ms();
            if now >= end {
                return;
            }
            let next = self.writer.deadline_ms().max(now + 1).min(end);
            self.clock.advance_us((next - now) * 1000);
        }
        panic!("it turns without end");
    }

    /// The leader's connection brings this.
    fn hear(&mut self, input: Input, bytes: usize) {
        self.inbox.push_peer(FromPeers::Happened { input, bytes });
    }

    fn master_says(&mut self, said: FromMaster) {
        self.hear(Input::MasterSaid(said), 10);
    }

    /// Elects server 2, and connects to it.
    fn learn(&mut self) {
        self.elect(1);
        self.hear(Input::MasterCame, 0);
        self.master_says(FromMaster::LeaderInfo { epoch: 1, protocol: 0x10000 });
        self.turn();
        assert_eq!(self.told.take(), ["hello", "consumed 10", "ack epoch"].map(String::from));
    }

    /// Elects server 2 in this round.
    fn elect(&mut self, round: i64) {
        let vote = Notification {
            state: PeerState::Looking,
            leader: 2,
            zxid: self.state.tree().last_zxid(),
            election_epoch: round,
            peer_epoch: round - 1,
            version: 2,
            config: Bytes::from_static(b"version=0"),
        };
        self.hear(Input::Notified { from: 2, notification: vote }, 0);
        self.wait(300);
        assert_eq!(self.told.take(), ["dial 2"]);
    }

    /// Follows server 2, in sync with it.
    fn follow(&mut self) {
        self.learn();
        self.master_says(FromMaster::Diff(Zxid::ZERO));
        self.master_says(FromMaster::NewLeader { zxid: Zxid(E), config: None });
        self.master_says(FromMaster::UpToDate);
        self.turn();
        let told = self.told.take();
        assert_eq!(told.iter().filter(|said| *said == "ack new leader").count(), 2, "{told:?}");
        assert!(self.state.standing.serves());
    }

    pub(super) fn open(&mut self) -> Arc<Client> {
        let client = Arc::new(Client::new(7, std::net::SocketAddr::from(([127, 0, 0, 1], 1)), 0));
        self.state.register(client.clone());
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 10_000,
            session_id: SessionId::NONE,
            passwd: Some(vec![0; 16]),
            read_only: false,
        };
        self.push(&client, SessionId::NONE, 0, OpCode::CREATE_SESSION, Body::Connect(connect));
        self.turn();
        client
    }

    fn push(&self, client: &Client, session: SessionId, xid: i32, op: OpCode, body: Body) {
        self.inbox.push(&mut vec![self.request(client, session, xid, op, body)]);
    }

    pub(super) fn request(
        &self,
        client: &Client,
        session: SessionId,
        xid: i32,
        op: OpCode,
        body: Body,
    ) -> Request {
        client.enter(100);
        self.state.budget.enter(1, 100);
        let head = Head {
            origin: Origin::Client(client.id),
            session,
            xid,
            op,
            received_ms: self.clock.now_ms(),
            bytes: 100,
            knows_read_only: true,
        };
        Request { head, identities: client.identities(), body }
    }

    /// What a start finds on disk: the last transaction and the epochs.
    fn found(&self) -> (i64, u32, u32) {
        let member = recover_member(&self.disk, &self.directories, &self.options, &mut |_| {}).unwrap();
        (member.found.tree.last_zxid().0, member.epochs.accepted, member.epochs.current)
    }
}

fn write_first_snapshot(disk: &Arc<dyn Disk>, directories: &Directories) {
    let tree = Tree::new(OwnerRules::default());
    write_snapshot(
        &tree,
        Writer::create(disk, &directories.snapshots, Zxid::ZERO, Compression::None).unwrap(),
    )
    .finish(None, None)
    .unwrap();
}

fn write_snapshot(tree: &Tree, mut writer: Writer) -> Writer {
    let lists: Vec<_> = tree.acls().to_file().into_iter().map(|(id, list)| (id, list.to_vec())).collect();
    writer.begin(&[], &lists).unwrap();
    let mut bytes = Vec::new();
    crate::tree::Cursor::new(tree).slice(tree, usize::MAX, &mut |path, data, acl, stat| {
        crate::snapshot::format::put_node(&mut bytes, path, data, acl, stat);
    });
    writer.raw_nodes(&bytes).unwrap();
    writer
}

fn entry(zxid: i64) -> TxnEntry {
    let path = Some(format!("/n{zxid:x}"));
    let txn = CreateTxn { path, data: None, acl: Some(Vec::new()), ephemeral: false, parent_cversion: -1 };
    let body = TxnBody::Create(txn);
    let header =
        TxnHeader { client_id: SessionId(9), cxid: 1, zxid: Zxid(zxid), time: zxid, r#type: body.op().0 };
    TxnEntry { header, body, digest: None }
}

fn proposal(zxid: i64) -> Proposal {
    let mut payload = Vec::new();
    entry(zxid).encode(&mut payload);
    Proposal { zxid: Zxid(zxid), payload: payload.into() }
}

#[test]
fn the_only_voter_leads_and_serves_when_its_epoch_is_durable() {
    let mut world = World::new(&[1], true);
    assert!(!world.state.standing.serves());
    world.wait(500);
    assert!(world.state.standing.serves());
    assert!(matches!(
        world.state.standing.get(),
        super::super::standing::Standing::Member(Serving::Leading { epoch: 1 })
    ));
    assert_eq!(world.found(), (0, 1, 1));
    let client = world.open();
    let session = client.session().unwrap().id;
    let asked = creation("/a", CreateMode::Persistent);
    world.push(&client, session, 1, asked.op, Body::decode(asked.op, &asked.body));
    world.turn();
    assert_eq!(client.in_flight(), 0, "it is answered");
    assert!(world.state.tree().get("/a").is_some());
    assert_eq!(world.found(), (E + 2, 1, 1), "it is on disk");
    assert!(world.state.standing.proposals().last_bytes > 0, "it is counted");
}

#[test]
fn a_leader_that_is_not_to_serve_leads_all_the_same() {
    let mut world = World::new(&[1], false);
    world.wait(500);
    assert!(!world.state.standing.serves());
    assert_eq!(world.state.standing.told().unwrap().state, PeerState::Leading);
}

#[test]
fn the_configuration_node_shows_the_members() {
    let world = World::new(&[1, 2], true);
    let tree = world.state.tree();
    let node = tree.get("/zookeeper/config").unwrap();
    assert!(node.data().unwrap().ends_with(b"version=7"));
    assert_eq!((tree.stat(node).mzxid, tree.stat(node).version), (Zxid(7), -1));
    assert_eq!(tree.digest(), Tree::new(OwnerRules::default()).digest(), "it lies outside the digest");
}

#[test]
fn what_was_written_to_the_configuration_node_is_part_of_a_sync() {
    let mut world = World::new(&[1, 2, 3], true);
    world.learn();
    let mut set = entry(1);
    let txn =
        SetDataTxn { path: Some("/zookeeper/config".to_owned()), data: Some(b"x".to_vec()), version: 4 };
    set.body = TxnBody::SetData(txn);
    set.header.r#type = set.body.op().0;
    let mut payload = Vec::new();
    set.encode(&mut payload);
    world.master_says(FromMaster::Diff(Zxid(1)));
    world.master_says(FromMaster::Proposal(Proposal { zxid: Zxid(1), payload: payload.into() }));
    world.master_says(FromMaster::Commit(Zxid(1)));
    world.master_says(FromMaster::NewLeader { zxid: Zxid(E), config: None });
    world.master_says(FromMaster::UpToDate);
    world.wait(100);
    assert!(world.state.standing.serves());
    let shown = |world: &World| {
        let tree = world.state.tree();
        let node = tree.get("/zookeeper/config").unwrap();
        (node.data().unwrap().to_vec(), tree.stat(node).version)
    };
    assert_eq!(shown(&world), (b"x".to_vec(), 4));
    // It shows the members again before the next sync, which may tell otherwise.
    world.hear(Input::MasterLeft { why: "gone".into() }, 0);
    world.turn();
    world.told.take();
    world.elect(2);
    let (data, version) = shown(&world);
    assert!(data.ends_with(b"version=7") && version == -1, "{data:?}, version {version}");
}

#[test]
fn sessions_expire_at_a_member_that_leads_unless_its_disk_is_full() {
    let mut world = World::new(&[1], true);
    world.wait(500);
    let client = world.open();
    let session = client.session().unwrap().id;
    world.state.unregister(&client);
    let has = |world: &World| world.state.sessions().get(session).is_some();
    let listen = |world: &mut World, ms| (0..ms / 100).for_each(|_| world.wait(100));
    world.inbox.push_disk(Report::Full(true));
    listen(&mut world, 30_000);
    assert!(has(&world) && world.state.is_disk_full(), "its end could not be logged");
    world.inbox.push_disk(Report::Full(false));
    listen(&mut world, 9000);
    assert!(has(&world), "it has its whole timeout again");
    let due_ms = world.state.sessions().next_deadline_ms().unwrap();
    let left_ms = due_ms - 2 - world.clock.now_ms();
    listen(&mut world, left_ms);
    world.wait(left_ms % 100);
    assert_eq!(world.writer.deadline_ms(), due_ms);
    world.wait(2);
    assert!(!has(&world));
}

#[test]
fn a_follower_acknowledges_what_is_on_disk_and_applies_what_is_committed() {
    let mut world = World::new(&[1, 2, 3], true);
    world.follow();
    world.master_says(FromMaster::Proposal(proposal(E + 1)));
    world.master_says(FromMaster::Proposal(proposal(E + 2)));
    world.master_says(FromMaster::Commit(Zxid(E + 1)));
    world.turn();
    let told = world.told.take();
    assert_eq!(
        told.iter().filter(|said| said.starts_with("ack")).collect::<Vec<_>>(),
        ["ack 100000001", "ack 100000002"]
    );
    assert_eq!(told.iter().filter(|said| *said == "consumed 10").count(), 3);
    assert_eq!(world.state.tree().last_zxid(), Zxid(E + 1));
    assert_eq!(world.found(), (E + 2, 1, 1));
    let client = world.open();
    assert_eq!(world.told.take(), ["request 0"], "a new session is the leader's to make");
    assert_eq!(client.in_flight(), 1);
}

#[test]
fn what_a_lost_leader_said_is_not_taken_for_what_the_next_one_says() {
    let mut world = World::new(&[1, 2, 3], true);
    world.learn();
    // The core gives the connection up; more of it is in the inbox already.
    world.master_says(FromMaster::UpToDate);
    world.master_says(FromMaster::Diff(Zxid::ZERO));
    world.hear(Input::MasterLeft { why: "late".into() }, 0);
    world.turn();
    let told = world.told.take();
    assert!(told.iter().any(|said| said.starts_with("close master")), "{told:?}");
    assert_eq!(told.iter().filter(|said| said.starts_with("consumed")).count(), 2, "{told:?}");
    assert_eq!(world.state.standing.told().unwrap().state, PeerState::Looking);
}

#[test]
fn a_transaction_that_cannot_be_applied_ends_the_connection_and_not_the_server() {
    let mut world = World::new(&[1, 2, 3], true);
    world.follow();
    world
        .master_says(FromMaster::Proposal(Proposal { zxid: Zxid(E + 1), payload: Bytes::from_static(b"?") }));
    world.master_says(FromMaster::Proposal(proposal(E + 2)));
    world.turn();
    let told = world.told.take();
    assert!(
        told.iter().any(|said| said.starts_with("close master") && said.contains("0x100000001")),
        "{told:?}"
    );
    assert!(!world.state.standing.serves());
    assert_eq!(world.found(), (0, 1, 1), "nothing of it was logged");
}

#[test]
fn a_snapshot_of_the_leader_takes_over_the_tree_the_sessions_and_the_disk() {
    let mut world = World::new(&[1, 2, 3], true);
    world.learn();
    let mut tree = Tree::new(OwnerRules::default());
    tree.replay(entry(E + 1));
    let writer =
        Writer::create_received(&world.disk, &world.directories.snapshots, Zxid(E + 1), Compression::None);
    let file = write_snapshot(&tree, writer.unwrap()).finish_received().unwrap().path;
    let sessions = [(SessionId(5), 4000)].into();
    let staged = Box::new(Staged { tree, sessions });
    world.inbox.push_peer(FromPeers::Snapshot { zxid: Zxid(E + 1), staged, file: file.clone() });
    world.master_says(FromMaster::NewLeader { zxid: Zxid(E), config: None });
    world.master_says(FromMaster::UpToDate);
    world.turn();
    assert_eq!(world.state.tree().last_zxid(), Zxid(E + 1));
    assert!(world.state.tree().get(&format!("/n{:x}", E + 1)).is_some());
    assert!(world.state.sessions().get(SessionId(5)).is_some());
    assert!(world.state.tree().get("/zookeeper/config").unwrap().data().unwrap().ends_with(b"version=7"));
    assert!(world.state.standing.serves());
    assert!(world.disk.open_read(&file).is_err(), "it has its name");
    assert_eq!(world.found(), (E + 1, 1, 1));
}

#[test]
fn a_snapshot_that_is_not_installed_leaves_no_file() {
    let mut world = World::new(&[1, 2, 3], true);
    world.follow();
    let writer =
        Writer::create_received(&world.disk, &world.directories.snapshots, Zxid(E + 9), Compression::None);
    let tree = Tree::new(OwnerRules::default());
    let file = write_snapshot(&tree, writer.unwrap()).finish_received().unwrap().path;
    let staged = Box::new(Staged { tree, sessions: Default::default() });
    world.inbox.push_peer(FromPeers::Snapshot { zxid: Zxid(E + 9), staged, file: file.clone() });
    world.turn();
    assert!(world.told.take().iter().any(|said| said.starts_with("close master")));
    assert!(world.disk.open_read(&file).is_err());
    assert_eq!(world.state.tree().last_zxid(), Zxid::ZERO);
}
