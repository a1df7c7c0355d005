//! Members of one ensemble in one thread, for tests: real replicas and cores, with queues for a network and disks
//! that do at once what they are asked, or wait.

mod member;
mod spoken;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use jute::records::proto::ConnectRequest;
use jute::{OpCode, SessionId, Zxid};

pub(in crate::replica) use self::member::Member;
use self::spoken::identities;
pub(in crate::replica) use self::spoken::{Said, Spoken};
use super::{Close, Data, Now, Options, Replica, SweepOptions};
use crate::request::testing::OPTIONS;
use crate::request::{Body, ConnectionId, Head, Options as RequestOptions, Origin, Request, is_write};
use crate::session::{Sessions, password_for};
use crate::tree::{OwnerRules, Tree};
use crate::watch::Watches;
use crate::zab::{
    self, FromMaster, Input, Link, Members, Output, Packet, Proposal, Quorum, Recovered, Sid, Zab,
};

/// What clients ask for, in milliseconds.
pub(in crate::replica) const TIMEOUT_MS: i32 = 10_000;
const TICK_MS: i64 = 2000;
/// Turns after which a test that does not come to rest fails.
const TURNS_MAX: usize = 100_000;

/// Servers 1, 2, … that can all talk to each other.
pub(in crate::replica) struct Ensemble {
    pub(in crate::replica) members: BTreeMap<Sid, Member>,
    pub(in crate::replica) now: Now,
    /// Leader and learner at the ends of a connection.
    links: BTreeMap<Link, (Sid, Sid)>,
    last_link: u64,
    last_connection: ConnectionId,
}

/// A client's connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct Client {
    pub(in crate::replica) at: Sid,
    pub(in crate::replica) connection: ConnectionId,
    pub(in crate::replica) session: SessionId,
}

/// Whether it is of the connection to the leader.
const fn is_of_master(input: &Input) -> bool {
    use Input::{MasterCame, MasterLeft, MasterSaid, SnapshotArrived};
    matches!(input, MasterCame | MasterSaid(_) | MasterLeft { .. } | SnapshotArrived { .. })
}

impl Ensemble {
    /// Servers that know each other and are not started, all with what `prepare` leaves.
    pub(in crate::replica) fn with(voters: Sid, prepare: impl Fn(&mut Tree, &mut Sessions)) -> Self {
        let now = Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 };
        let members = Members {
            voters: (1..=voters).collect(),
            observers: BTreeSet::new(),
            quorum: Quorum::Majority,
            version: 0,
            text: Bytes::from_static(b"version=0"),
        };
        let start = |me: Sid| {
            let mut tree = Tree::new(OwnerRules::default());
            let mut sessions = Sessions::new(TICK_MS, me as u8, 77);
            prepare(&mut tree, &mut sessions);
            let logged = tree.last_zxid();
            let recovered = Recovered { logged, accepted: 0, current: 0, is_trusted: true, tail: Vec::new() };
            let options = zab::Options {
                me,
                is_observer: false,
                tick_ms: TICK_MS,
                init_limit: 5,
                sync_limit: 5,
                notification_ms: (200, 60_000),
                force_snapshot: false,
                tuning: zab::Tuning::default(),
            };
            let zab = Zab::member(options, members.clone(), recovered, now.monotonic_ms);
            let member = Member {
                replica: Replica::member(replica_options(), zab, logged, now.monotonic_ms),
                tree,
                sessions,
                host: Spoken::default(),
                watches: Watches::default(),
                is_disk_slow: false,
                tickets: VecDeque::new(),
                master: None,
                log: Vec::new(),
                staged: Vec::new(),
                has_installed: false,
                inputs: VecDeque::new(),
                requests: Vec::new(),
            };
            (me, member)
        };
        let members = (1..=voters).map(start).collect();
        Self { members, now, links: BTreeMap::new(), last_link: 0, last_connection: 0 }
    }

    /// Three servers, of which the last leads.
    pub(in crate::replica) fn serving() -> Self {
        let mut ensemble = Self::with(3, |_, _| {});
        ensemble.elect();
        ensemble
    }

    /// Lets time pass until an election has ended.
    pub(in crate::replica) fn elect(&mut self) {
        for _ in 0..20 {
            self.pass(100);
        }
    }

    /// Lets so many milliseconds pass, and everything happen that does.
    pub(in crate::replica) fn pass(&mut self, ms: i64) {
        self.let_pass(ms);
        self.settle();
    }

    /// The disk of a server has space again.
    pub(in crate::replica) fn make_space(&mut self, sid: Sid) {
        let now = self.now;
        let member = self.member(sid);
        member.replica.set_space(now, &member.sessions);
    }

    /// Lets so many milliseconds pass, and nothing happen yet.
    pub(in crate::replica) fn let_pass(&mut self, ms: i64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
        let now = self.now;
        for member in self.members.values_mut() {
            if member.replica.zab_deadline().is_some_and(|deadline| deadline <= now.monotonic_ms) {
                member.inputs.push_back(Input::Tick);
            }
            let Member { replica, tree, sessions, host, .. } = member;
            if replica.deadline(sessions) <= now.monotonic_ms {
                replica.add_internal(now, tree, sessions, host);
            }
        }
    }

    /// Lets everything happen that can without time.
    pub(in crate::replica) fn settle(&mut self) {
        let sids: Vec<_> = self.members.keys().copied().collect();
        for _ in 0..TURNS_MAX {
            let turns: Vec<bool> = sids.iter().map(|sid| self.turn(*sid)).collect();
            if !turns.contains(&true) {
                return;
            }
        }
        panic!("the ensemble does not come to rest");
    }

    /// One turn of one server. Whether it did anything.
    pub(in crate::replica) fn turn(&mut self, sid: Sid) -> bool {
        let now = self.now;
        let Some(member) = self.members.get_mut(&sid) else { return false };
        let mut did = !member.requests.is_empty();
        let Member { replica, tree, sessions, host, watches, requests, .. } = member;
        replica.push(requests);
        // What the leader says waits while the disk is busy with what it said before, as in the server.
        let mut waiting = VecDeque::new();
        for input in member.inputs.drain(..) {
            if is_of_master(&input) && !(waiting.is_empty() && replica.takes_master()) {
                waiting.push_back(input);
            } else {
                did = true;
                replica.peer(now, input);
            }
        }
        member.inputs = waiting;
        while replica.wants_prepare() {
            did = true;
            replica.prepare(now, tree, sessions, host);
        }
        let mut outputs = Vec::new();
        while let Some(output) = replica.poll(now, sessions, host) {
            outputs.push(output);
        }
        while replica.is_released() {
            did = true;
            replica.release(&mut Data { tree, watches, sessions }, host);
        }
        did |= !outputs.is_empty();
        outputs.into_iter().for_each(|output| self.carry(sid, output));
        did
    }

    fn carry(&mut self, sid: Sid, output: Output) {
        match output {
            Output::Persist(ticket) => {
                let member = self.member(sid);
                member.tickets.push_back(ticket);
                if !member.is_disk_slow {
                    member.do_tickets();
                }
            }
            Output::Notify { to, notification } => self.tell(to, Input::Notified { from: sid, notification }),
            Output::DialMaster(leader) => {
                self.last_link += 1;
                let link = Link(self.last_link);
                self.links.insert(link, (leader, sid));
                self.member(sid).master = Some(link);
                self.tell(sid, Input::MasterCame);
            }
            Output::ToMaster(packet) => {
                let Some(link) = self.member(sid).master else { return };
                let Some((leader, _)) = self.links.get(&link).copied() else { return };
                let packet = as_sent(|out| packet.encode(out));
                let input = match packet.clone().into_hello() {
                    Ok(hello) => Input::LearnerCame { link, hello },
                    Err(_) => Input::LearnerSaid { link, said: packet.into_from_learner().unwrap() },
                };
                self.tell(leader, input);
            }
            Output::ToLearner { link, packet } => {
                let bytes = packet.weight();
                self.tell(sid, Input::Drained { link, bytes });
                let Some((_, learner)) = self.links.get(&link).copied() else { return };
                let said = as_sent(|out| packet.encode(out)).into_from_master().unwrap();
                self.tell(learner, Input::MasterSaid(said));
            }
            Output::CloseMaster { .. } => {
                self.member(sid).inputs.retain(|input| !is_of_master(input));
                if let Some(link) = self.member(sid).master.take() {
                    self.cut(link, sid);
                }
            }
            Output::CloseLearner { link, .. } => self.cut(link, sid),
            Output::Append(proposal) => self.member(sid).log.push(proposal),
            Output::Replace => {
                let now = self.now;
                self.member(sid).replace(now);
            }
            Output::StreamLog { link, diff, after, to } => {
                let its = |proposal: &&Proposal| after < proposal.zxid && proposal.zxid <= to;
                let log: Vec<_> = self.member(sid).log.iter().filter(its).cloned().collect();
                let Some((_, learner)) = self.links.get(&link).copied() else { return };
                if let Some(zxid) = diff {
                    self.tell(learner, Input::MasterSaid(FromMaster::Diff(zxid)));
                }
                for proposal in log {
                    let zxid = proposal.zxid;
                    self.tell(learner, Input::MasterSaid(FromMaster::Proposal(proposal)));
                    self.tell(learner, Input::MasterSaid(FromMaster::Commit(zxid)));
                }
                self.tell(sid, Input::Streamed { link });
            }
            Output::StreamSnapshot { link } => {
                let now = self.now;
                let leader = self.member(sid);
                let zxid = leader.tree.last_zxid();
                leader.replica.peer(now, Input::SnapshotBegan { link, zxid });
                let its = |proposal: &&Proposal| proposal.zxid <= zxid;
                let staged = leader.log.iter().filter(its).cloned().collect();
                let Some((_, learner)) = self.links.get(&link).copied() else { return };
                self.member(learner).staged = staged;
                self.tell(learner, Input::SnapshotArrived { zxid });
                self.tell(sid, Input::Streamed { link });
            }
            Output::Dial | Output::Listen(_) => {}
            other => panic!("not for a driver: {other:?}"),
        }
    }

    /// A connection between members ends; `by` knows.
    fn cut(&mut self, link: Link, by: Sid) {
        let Some((leader, learner)) = self.links.remove(&link) else { return };
        if by != leader {
            self.tell(leader, Input::LearnerLeft { link });
        }
        if by != learner {
            self.tell(learner, Input::MasterLeft { why: "its connection has ended".into() });
        }
    }

    pub(in crate::replica) fn tell(&mut self, sid: Sid, input: Input) {
        if let Some(member) = self.members.get_mut(&sid) {
            member.inputs.push_back(input);
        }
    }

    /// Something comes to a leader from a learner, as a packet of its would.
    pub(in crate::replica) fn say(&mut self, leader: Sid, link: Link, said: zab::FromLearner) {
        self.tell(leader, Input::LearnerSaid { link, said });
        self.settle();
    }

    /// The connection of a learner to its leader.
    pub(in crate::replica) fn link_of(&mut self, learner: Sid) -> Link {
        self.member(learner).master.expect("it has a leader")
    }

    /// One of the connections between members ends.
    pub(in crate::replica) fn cut_some(&mut self, which: usize) {
        let links: Vec<_> = self.links.keys().copied().collect();
        if let Some(link) = links.get(which % links.len().max(1)).copied() {
            let Some((leader, learner)) = self.links.remove(&link) else { return };
            self.tell(leader, Input::LearnerLeft { link });
            self.tell(learner, Input::MasterLeft { why: "its connection was cut".into() });
        }
    }

    /// The process of a member ends.
    pub(in crate::replica) fn kill(&mut self, sid: Sid) {
        self.members.remove(&sid);
        let its = |(link, (leader, learner)): (&Link, &(Sid, Sid))| {
            (*leader == sid || *learner == sid).then_some(*link)
        };
        let links: Vec<_> = self.links.iter().filter_map(its).collect();
        links.into_iter().for_each(|link| self.cut(link, sid));
        self.settle();
    }

    pub(in crate::replica) fn member(&mut self, sid: Sid) -> &mut Member {
        self.members.get_mut(&sid).expect("it is there")
    }

    /// The disk of a member does what it was asked.
    pub(in crate::replica) fn let_disk_go(&mut self, sid: Sid) {
        let member = self.member(sid);
        member.is_disk_slow = false;
        member.do_tickets();
        self.settle();
    }

    /// What a connection was sent.
    pub(in crate::replica) fn said(&self, client: Client) -> &[Said] {
        self.members[&client.at].host.said.get(&client.connection).map_or(&[], Vec::as_slice)
    }

    /// How a connection was ended.
    pub(in crate::replica) fn closed(&self, client: Client) -> Option<Close> {
        self.members[&client.at].host.closed.get(&client.connection).copied()
    }

    /// A first frame, on a new connection.
    pub(in crate::replica) fn ask_for_session(
        &mut self,
        at: Sid,
        session: SessionId,
        passwd: Vec<u8>,
        last_zxid_seen: Zxid,
    ) -> Client {
        let client = self.dial(at, session, passwd, last_zxid_seen);
        self.settle();
        client
    }

    /// The same, and nothing happens yet.
    pub(in crate::replica) fn dial(
        &mut self,
        at: Sid,
        session: SessionId,
        passwd: Vec<u8>,
        last_zxid_seen: Zxid,
    ) -> Client {
        self.last_connection += 1;
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            time_out: TIMEOUT_MS,
            session_id: session,
            passwd: Some(passwd),
            read_only: false,
        };
        let client = Client { at, connection: self.last_connection, session };
        self.push(client, 0, OpCode::CREATE_SESSION, Body::Connect(connect));
        client
    }

    /// A new client with a session.
    pub(in crate::replica) fn connect(&mut self, at: Sid) -> Client {
        let client = self.ask_for_session(at, SessionId::NONE, vec![0; 16], Zxid::ZERO);
        match self.member(at).host.said.remove(&client.connection).as_deref() {
            Some([Said::Session(session)]) => Client { session: *session, ..client },
            other => panic!("a session and not {other:?}"),
        }
    }

    /// The client of a session comes back to it at this server.
    pub(in crate::replica) fn come_back(&mut self, at: Sid, session: SessionId) -> Client {
        self.ask_for_session(at, session, password_for(session).to_vec(), Zxid::ZERO)
    }

    /// A client sends something. Nothing happens yet.
    pub(in crate::replica) fn send(&mut self, client: Client, xid: i32, op: OpCode, body: &[u8]) {
        let is_learner = self.member(client.at).replica.role.preparer().is_none();
        let body = if is_learner { Body::for_leader(op, body) } else { Body::decode(op, body) };
        assert!(is_write(op) || !matches!(body, Body::Write(_)));
        self.push(client, xid, op, body);
    }

    fn push(&mut self, client: Client, xid: i32, op: OpCode, body: Body) {
        let head = Head {
            origin: Origin::Client(client.connection),
            session: client.session,
            xid,
            op,
            received_ms: self.now.monotonic_ms,
            bytes: 10,
            knows_read_only: true,
        };
        if let Some(handle) = self.member(client.at).sessions.get(client.session) {
            handle.touch(head.received_ms);
        }
        self.member(client.at).requests.push(Request { head, identities: identities(), body });
    }

    /// Where the trees stand: they must be the same.
    pub(in crate::replica) fn zxid(&self) -> Zxid {
        let stands = |member: &Member| (member.tree.last_zxid(), member.tree.digest());
        let all: BTreeSet<_> = self.members.values().map(stands).collect();
        assert_eq!(all.len(), 1, "the trees are the same: {all:?}");
        all.first().expect("there is one").0
    }
}

/// As the bytes of a packet arrive.
fn as_sent(encode: impl FnOnce(&mut Vec<u8>)) -> Packet {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    Packet::decode(&bytes.into()).unwrap()
}

pub(in crate::replica) fn replica_options() -> Options {
    Options {
        request: RequestOptions { in_ensemble: true, ..OPTIONS },
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40_000,
        sweep: SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 },
    }
}
