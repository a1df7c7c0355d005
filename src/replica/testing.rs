//! Members of one ensemble in one thread, for tests: real replicas and cores, with queues for a network and disks
//! that do at once what they are asked, or wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jute::records::Record;
use jute::records::proto::{ConnectRequest, ConnectResponse, ReplyHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, Reader, SessionId, Zxid};

use super::{Close, Data, Host, Now, Observation, Options, Outcome, Replica, SweepOptions};
use crate::request::replies::Replies;
use crate::request::testing::OPTIONS;
use crate::request::{Body, ConnectionId, Head, Options as RequestOptions, Origin, Request, is_write};
use crate::session::{SessionHandle, Sessions, password_for};
use crate::tree::{Identities, Identity, OwnerRules, Tree};
use crate::watch::{EventType, Watches};
use crate::zab::{
    self, Effect, FromMaster, Input, Link, Members, Output, Packet, Proposal, Quorum, Recovered, Serving,
    Sid, Ticket, Zab,
};

/// What clients ask for, in milliseconds.
pub(super) const TIMEOUT_MS: i32 = 10_000;
const TICK_MS: i64 = 2000;
/// Turns after which a test that does not come to rest fails.
const TURNS_MAX: usize = 100_000;

/// What a connection was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A connect response.
    Session(SessionId),
    /// A reply.
    Reply(i32, Code),
}

/// Keeps what a replica says.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    pub(super) said: BTreeMap<ConnectionId, Vec<Said>>,
    pub(super) closed: BTreeMap<ConnectionId, Close>,
    pub(super) served: Vec<Serving>,
    pub(super) dropped: usize,
    pub(super) expired: Vec<SessionId>,
}

impl Host for Spoken {
    fn answer(&mut self, head: &Head, outcome: Outcome, write: impl FnOnce(&mut Replies)) {
        let Origin::Client(connection) = head.origin else { return };
        let mut replies = Replies::default();
        write(&mut replies);
        let mut reader = Reader::new(&replies.bytes()[4..]);
        let said = if outcome == Outcome::Connected {
            Said::Session(ConnectResponse::decode(&mut reader).unwrap().session_id)
        } else {
            let ReplyHeader { xid, err, .. } = ReplyHeader::decode(&mut reader).unwrap();
            Said::Reply(xid, Code(err))
        };
        if !self.closed.contains_key(&connection) {
            self.said.entry(connection).or_default().push(said);
        }
    }
    fn drop_request(&mut self, _head: &Head) {
        self.dropped += 1;
    }
    fn notify(&mut self, _to: ConnectionId, _event: EventType, _path: &str, _zxid: Zxid) {}
    fn bind(&mut self, _connection: ConnectionId, _session: Arc<SessionHandle>) {}
    fn close(&mut self, connection: ConnectionId, how: Close) {
        self.closed.entry(connection).or_insert(how);
    }
    fn is_gone(&self, connection: ConnectionId) -> bool {
        self.closed.contains_key(&connection)
    }
    fn identities(&self, _connection: ConnectionId) -> Option<Identities> {
        Some(identities())
    }
    fn peer(&self, connection: ConnectionId) -> String {
        connection.to_string()
    }
    fn has_listened(&mut self, _connection: ConnectionId, _since_ms: i64) -> bool {
        true
    }
    fn observe(&mut self, what: Observation<'_>) {
        match what {
            Observation::Serves(serving) => self.served.push(serving),
            Observation::Expired(session) => self.expired.push(session),
            Observation::Digest { is_wrong, .. } => assert!(!is_wrong, "digests are the tree's"),
            _ => {}
        }
    }
}

/// As whom every client is known.
pub(super) fn identities() -> Identities {
    [Identity { scheme: "ip".into(), id: "10.0.0.1".into() }].as_slice().into()
}

/// One server.
pub(super) struct Member {
    pub(super) replica: Replica,
    pub(super) tree: Tree,
    pub(super) sessions: Sessions,
    pub(super) host: Spoken,
    watches: Watches,
    /// Whether the disk waits with what it is asked.
    pub(super) is_disk_slow: bool,
    tickets: VecDeque<Ticket>,
    master: Option<Link>,
    /// Everything since zxid 0, as its log and snapshots have it.
    log: Vec<Proposal>,
    /// What a leader's snapshot holds, until it is installed.
    staged: Vec<Proposal>,
    has_installed: bool,
    pub(super) inputs: VecDeque<Input>,
    requests: Vec<Request>,
}

impl Member {
    /// What the disk was asked is done.
    pub(super) fn do_tickets(&mut self) {
        for ticket in std::mem::take(&mut self.tickets) {
            self.do_ticket(ticket);
        }
    }

    fn do_ticket(&mut self, ticket: Ticket) {
        match ticket.effect() {
            Effect::Truncate { to } => self.log.retain(|proposal| proposal.zxid <= to),
            Effect::Install { .. } => {
                self.log = std::mem::take(&mut self.staged);
                self.has_installed = true;
            }
            Effect::Log { .. } | Effect::Accepted { .. } | Effect::Current { .. } => {}
        }
        self.inputs.push_back(Input::Done(ticket));
    }

    /// What was received, or is left of the log, takes over where the tree holds anything else. A tree holds only
    /// what is committed, so nothing is ever cut off it.
    fn replace(&mut self, now: Now) {
        let last = self.log.last().map_or(Zxid::ZERO, |last| last.zxid);
        assert!(self.tree.last_zxid() <= last, "what was applied is never cut");
        if !std::mem::take(&mut self.has_installed) {
            return;
        }
        let mut sessions = BTreeMap::new();
        self.tree = Tree::new(OwnerRules::default());
        for proposal in &self.log {
            let entry = TxnEntry::decode(&proposal.payload).unwrap();
            match &entry.body {
                TxnBody::CreateSession(txn) => {
                    sessions.insert(entry.header.client_id, txn.time_out);
                }
                TxnBody::CloseSession(_) => {
                    sessions.remove(&entry.header.client_id);
                }
                _ => {}
            }
            self.tree.replay(entry);
        }
        self.sessions.replace(&sessions, now.monotonic_ms);
        self.replica.replaced(last);
    }
}

/// Servers 1, 2, … that can all talk to each other.
pub(super) struct Ensemble {
    pub(super) members: BTreeMap<Sid, Member>,
    pub(super) now: Now,
    /// Leader and learner at the ends of a connection.
    links: BTreeMap<Link, (Sid, Sid)>,
    last_link: u64,
    last_connection: ConnectionId,
}

/// A client's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) at: Sid,
    pub(super) connection: ConnectionId,
    pub(super) session: SessionId,
}

impl Ensemble {
    /// Servers that know each other and are not started, all with what `prepare` leaves.
    pub(super) fn with(voters: Sid, prepare: impl Fn(&mut Tree, &mut Sessions)) -> Self {
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
    pub(super) fn serving() -> Self {
        let mut ensemble = Self::with(3, |_, _| {});
        ensemble.elect();
        ensemble
    }

    /// Lets time pass until an election has ended.
    pub(super) fn elect(&mut self) {
        for _ in 0..20 {
            self.pass(100);
        }
    }

    /// Lets so many milliseconds pass, and everything happen that does.
    pub(super) fn pass(&mut self, ms: i64) {
        self.let_pass(ms);
        self.settle();
    }

    /// Lets so many milliseconds pass, and nothing happen yet.
    pub(super) fn let_pass(&mut self, ms: i64) {
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
    pub(super) fn settle(&mut self) {
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
    pub(super) fn turn(&mut self, sid: Sid) -> bool {
        let now = self.now;
        let Some(member) = self.members.get_mut(&sid) else { return false };
        let mut did = !member.requests.is_empty();
        let Member { replica, tree, sessions, host, watches, requests, .. } = member;
        replica.push(requests);
        for input in member.inputs.drain(..) {
            did = true;
            replica.peer(now, input);
        }
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

    pub(super) fn tell(&mut self, sid: Sid, input: Input) {
        if let Some(member) = self.members.get_mut(&sid) {
            member.inputs.push_back(input);
        }
    }

    /// Something comes to a leader from a learner, as a packet of its would.
    pub(super) fn say(&mut self, leader: Sid, link: Link, said: zab::FromLearner) {
        self.tell(leader, Input::LearnerSaid { link, said });
        self.settle();
    }

    /// The connection of a learner to its leader.
    pub(super) fn link_of(&mut self, learner: Sid) -> Link {
        self.member(learner).master.expect("it has a leader")
    }

    /// One of the connections between members ends.
    pub(super) fn cut_some(&mut self, which: usize) {
        let links: Vec<_> = self.links.keys().copied().collect();
        if let Some(link) = links.get(which % links.len().max(1)).copied() {
            let Some((leader, learner)) = self.links.remove(&link) else { return };
            self.tell(leader, Input::LearnerLeft { link });
            self.tell(learner, Input::MasterLeft { why: "its connection was cut".into() });
        }
    }

    /// The process of a member ends.
    pub(super) fn kill(&mut self, sid: Sid) {
        self.members.remove(&sid);
        let its = |(link, (leader, learner)): (&Link, &(Sid, Sid))| {
            (*leader == sid || *learner == sid).then_some(*link)
        };
        let links: Vec<_> = self.links.iter().filter_map(its).collect();
        links.into_iter().for_each(|link| self.cut(link, sid));
        self.settle();
    }

    pub(super) fn member(&mut self, sid: Sid) -> &mut Member {
        self.members.get_mut(&sid).expect("it is there")
    }

    /// The disk of a member does what it was asked.
    pub(super) fn let_disk_go(&mut self, sid: Sid) {
        let member = self.member(sid);
        member.is_disk_slow = false;
        member.do_tickets();
        self.settle();
    }

    /// What a connection was sent.
    pub(super) fn said(&self, client: Client) -> &[Said] {
        self.members[&client.at].host.said.get(&client.connection).map_or(&[], Vec::as_slice)
    }

    /// How a connection was ended.
    pub(super) fn closed(&self, client: Client) -> Option<Close> {
        self.members[&client.at].host.closed.get(&client.connection).copied()
    }

    /// A first frame, on a new connection.
    pub(super) fn ask_for_session(
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
    pub(super) fn dial(
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
    pub(super) fn connect(&mut self, at: Sid) -> Client {
        let client = self.ask_for_session(at, SessionId::NONE, vec![0; 16], Zxid::ZERO);
        match self.member(at).host.said.remove(&client.connection).as_deref() {
            Some([Said::Session(session)]) => Client { session: *session, ..client },
            other => panic!("a session and not {other:?}"),
        }
    }

    /// The client of a session comes back to it at this server.
    pub(super) fn come_back(&mut self, at: Sid, session: SessionId) -> Client {
        self.ask_for_session(at, session, password_for(session).to_vec(), Zxid::ZERO)
    }

    /// A client sends something. Nothing happens yet.
    pub(super) fn send(&mut self, client: Client, xid: i32, op: OpCode, body: &[u8]) {
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
    pub(super) fn zxid(&self) -> Zxid {
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

fn replica_options() -> Options {
    Options {
        request: RequestOptions { in_ensemble: true, ..OPTIONS },
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40_000,
        sweep: SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 },
    }
}
