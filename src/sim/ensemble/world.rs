//! Who acts when, and what fails when: all of it from one number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jute::Zxid;
use jute::txn::TxnEntry;

use super::carrier::{Down, Said};
use super::network::Network;
use super::node::{PeerLink, Process, Setup};
use crate::clock::{Clock, ManualClock};
use crate::disk::Disk;
use crate::net::in_memory::MemoryStream;
use crate::sim::crash::{Choice, Fresh, Random, after};
use crate::sim::disk::SimDisk;
use crate::sim::server::client::SimClient;
use crate::sim::server::history::{History, Item};
use crate::sim::server::invariants;
use crate::txnlog::{Entries, Gaps, Io};
use crate::zab::{Input, Members, Notification, Packet, PeerState, Quorum, Sid};

const CLIENTS: usize = 5;
/// What a system buffers of what a client does not read.
const SOCKET_BYTES: usize = 16 << 10;
/// When the simulated machines were started, in microseconds.
const START_US: i64 = 1_000_000_000;

#[derive(Debug)]
enum Event {
    Vote { from: Sid, to: Sid, bytes: Bytes },
    Connected(PeerLink),
    Arrives { link: PeerLink, at_leader: bool },
    Broken { link: PeerLink, at_leader: bool },
    Turn { sid: Sid, life: u64 },
    Clients,
    Fault,
    Restart(Sid),
    Heal((Sid, Sid)),
}

struct Node {
    disk: SimDisk,
    process: Option<Process>,
    /// Counts starts.
    life: u64,
    master: Option<PeerLink>,
    listens: bool,
    /// Until then it does nothing, as a process that was stopped.
    paused_until_ms: i64,
    /// When its next turn is due, if one is planned.
    turn_at: Option<i64>,
}

/// How much was simulated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) simulated_ms: i64,
    pub(super) replies: usize,
    pub(super) events: usize,
    pub(super) transactions: usize,
    pub(super) crashes: usize,
    pub(super) cuts: usize,
    pub(super) pauses: usize,
    pub(super) epochs: usize,
    pub(super) snapshots: usize,
}

pub(super) struct World {
    random: Random,
    setup: Setup,
    events: BinaryHeap<Reverse<(i64, u64)>>,
    pending: BTreeMap<u64, Event>,
    number: u64,
    nodes: BTreeMap<Sid, Node>,
    network: Network,
    clients: Vec<SimClient>,
    history: History,
    has_faults: bool,
    leaders: BTreeMap<u32, Sid>,
    digests: BTreeMap<Zxid, (u64, Sid)>,
    figures: Figures,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let voters = if random.below(4) == 0 { 5 } else { 3 };
        let observers = if random.below(2) == 0 { [voters + 1].into() } else { [].into() };
        let members = Members {
            voters: (1..=voters).collect(),
            observers,
            quorum: Quorum::Majority,
            version: 0,
            text: Bytes::from_static(b"version=0"),
        };
        let clock = Arc::new(ManualClock::at_us(START_US));
        let snapshot_txns = 20 + random.below(200);
        let nodes = members.voters.iter().chain(&members.observers).map(|sid| {
            let disk = SimDisk::with(&[Path::new("/data"), Path::new("/data/version-2")]);
            let node = Node {
                disk,
                process: None,
                life: 0,
                master: None,
                listens: false,
                paused_until_ms: 0,
                turn_at: None,
            };
            (*sid, node)
        });
        let mut world = Self {
            nodes: nodes.collect(),
            random,
            setup: Setup { clock, members, snapshot_txns },
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            number: 0,
            network: Network::default(),
            clients: (0..CLIENTS).map(SimClient::new).collect(),
            history: History { is_of_ensemble: true, ..History::default() },
            has_faults: true,
            leaders: BTreeMap::new(),
            digests: BTreeMap::new(),
            figures: Figures::default(),
        };
        for sid in world.sids() {
            let wait = world.below(500);
            world.plan(wait, Event::Restart(sid));
        }
        world.plan(600, Event::Clients);
        world.plan(2000, Event::Fault);
        world
    }

    fn sids(&self) -> Vec<Sid> {
        self.nodes.keys().copied().collect()
    }

    fn below(&mut self, bound: u64) -> i64 {
        self.random.below(bound) as i64
    }

    fn now_ms(&self) -> i64 {
        self.setup.clock.now_ms()
    }

    fn plan(&mut self, wait_ms: i64, event: Event) {
        self.plan_at(self.now_ms() + wait_ms, event);
    }

    fn plan_at(&mut self, at_ms: i64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at_ms, self.number)));
        self.pending.insert(self.number, event);
    }

    /// Plays for so long, ends everything in order, and judges what was seen.
    pub(super) fn run(mut self, for_ms: i64) -> Figures {
        let begin = self.now_ms();
        self.run_until(begin + for_ms);
        self.end();
        let logged = self.logged();
        let mut figures = self.figures;
        figures.simulated_ms = self.now_ms() - begin;
        figures.transactions = logged.len();
        figures.epochs = self.leaders.len();
        let items = self.history.streams.iter().flat_map(|stream| &stream.items);
        figures.replies = items.clone().filter(|item| matches!(item, Item::Reply { .. })).count();
        figures.events = items.count() - figures.replies;
        invariants::check(&self.history, &logged);
        figures
    }

    fn run_until(&mut self, end_ms: i64) {
        while let Some(Reverse((at_ms, number))) =
            self.events.peek().copied().filter(|next| next.0.0 <= end_ms)
        {
            self.events.pop();
            self.setup.clock.advance_us((at_ms - self.now_ms()).max(0) * 1000);
            if let Some(event) = self.pending.remove(&number) {
                self.happen(event);
            }
        }
        self.setup.clock.advance_us((end_ms - self.now_ms()).max(0) * 1000);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Vote { from, to, bytes } => {
                if !self.network.is_cut(from, to) {
                    let notification = Notification::decode(&bytes).expect("what a core says decodes");
                    self.give(to, Input::Notified { from, notification });
                }
            }
            Event::Connected(link) => self.connected(link),
            Event::Arrives { link, at_leader } => self.arrives(link, at_leader),
            Event::Broken { link, at_leader } => {
                let Some(wire) = self.network.wires.get(&link) else { return };
                let (learner, leader) = (wire.learner, wire.leader);
                if at_leader {
                    self.give(leader, Input::LearnerLeft { link });
                } else if self.nodes[&learner].master == Some(link) {
                    self.node(learner).master = None;
                    self.give(learner, Input::MasterLeft { why: "the connection is lost".to_owned() });
                }
            }
            Event::Turn { sid, life } => {
                let now = self.now_ms();
                let node = self.node(sid);
                if node.life == life && node.turn_at == Some(now) {
                    node.turn_at = None;
                    self.turn(sid);
                }
            }
            Event::Clients => {
                self.clients_act();
                let wait = 1 + self.below(40);
                self.plan(wait, Event::Clients);
            }
            Event::Fault if self.has_faults => {
                self.fault();
                let wait = 200 + self.below(4000);
                self.plan(wait, Event::Fault);
            }
            Event::Fault => {}
            Event::Restart(sid) => self.restart(sid),
            Event::Heal(pair) => {
                self.network.cut.remove(&pair);
            }
        }
    }

    fn node(&mut self, sid: Sid) -> &mut Node {
        self.nodes.get_mut(&sid).expect("a member")
    }

    fn restart(&mut self, sid: Sid) {
        let io = if sid % 2 == 0 { Io::Mapped } else { Io::Plain };
        let setup = self.setup.clone();
        let node = self.node(sid);
        if node.process.is_none() {
            node.life += 1;
            node.turn_at = None;
            node.process = Some(Process::start(sid, &node.disk, io, &setup));
            self.turn(sid);
        }
    }

    fn give(&mut self, sid: Sid, input: Input) {
        if let Some(process) = &self.nodes[&sid].process {
            process.hear(input);
            self.turn(sid);
        }
    }

    /// A member takes a turn, unless it is stopped; and the next one is planned.
    fn turn(&mut self, sid: Sid) {
        let now = self.now_ms();
        let node = self.node(sid);
        let Some(process) = &mut node.process else { return };
        if node.paused_until_ms > now {
            let at_ms = node.paused_until_ms;
            return self.plan_turn(sid, at_ms);
        }
        let said = process.turn().expect("a disk fails only with the power");
        let due = process.deadline_ms().clamp(now + 1, now + 100);
        self.judge(sid);
        for said in said {
            self.carry(sid, said);
        }
        self.plan_turn(sid, due);
    }

    fn plan_turn(&mut self, sid: Sid, at_ms: i64) {
        let node = self.node(sid);
        if node.turn_at.is_none_or(|planned| planned > at_ms) {
            node.turn_at = Some(at_ms);
            let life = node.life;
            self.plan_at(at_ms, Event::Turn { sid, life });
        }
    }

    /// What must hold after each step: one leader an epoch, and equal digests at equal zxids.
    fn judge(&mut self, sid: Sid) {
        let Some(process) = &self.nodes[&sid].process else { return };
        if !process.is_serving() {
            return;
        }
        let (zxid, digest) = process.digest();
        if let Some(told) = process.told()
            && told.is_serving
            && told.state == PeerState::Leading
        {
            let leader = *self.leaders.entry(told.epoch).or_insert(sid);
            assert_eq!(leader, sid, "epoch {} has two leaders", told.epoch);
        }
        let (other, by) = *self.digests.entry(zxid).or_insert((digest, sid));
        assert_eq!(other, digest, "servers {by} and {sid} differ at {zxid}");
    }

    /// Takes what a member says on its way.
    fn carry(&mut self, sid: Sid, said: Said) {
        match said {
            Said::Vote { to, bytes } => {
                // Of what waits for a connection the port keeps only the last.
                if !self.has_faults || self.below(20) > 0 {
                    let wait = 1 + self.below(15);
                    self.plan(wait, Event::Vote { from: sid, to, bytes });
                }
            }
            Said::Listen(is_open) => {
                self.node(sid).listens = is_open;
                if !is_open {
                    let links = self.network.links(|wire| wire.leader == sid);
                    links.into_iter().for_each(|link| self.break_wire(link));
                }
            }
            Said::Down { link, frame } => {
                let (now, takes) = (self.now_ms(), 1 + self.below(15));
                let Some(wire) = self.network.wires.get_mut(&link) else { return };
                wire.down.push_back(frame);
                let at_ms = wire.arrival_down(now, takes);
                self.plan_at(at_ms, Event::Arrives { link, at_leader: false });
            }
            Said::Streamed(link) => self.give(sid, Input::Streamed { link }),
            Said::Refused(link) => self.give(sid, Input::StreamRefused { link }),
            Said::CloseLearner(link) => self.break_wire(link),
            Said::DialMaster(leader) => {
                let link = self.network.open(sid, leader);
                self.node(sid).master = Some(link);
                let wait = 1 + self.below(15);
                self.plan(wait, Event::Connected(link));
            }
            Said::Up(bytes) => {
                let Some(link) = self.nodes[&sid].master else { return };
                let (now, takes) = (self.now_ms(), 1 + self.below(15));
                let Some(wire) = self.network.wires.get_mut(&link) else { return };
                wire.up.push_back(bytes);
                let at_ms = wire.arrival_up(now, takes);
                self.plan_at(at_ms, Event::Arrives { link, at_leader: true });
            }
            Said::CloseMaster => {
                if let Some(link) = self.node(sid).master.take() {
                    self.break_wire(link);
                }
            }
        }
    }

    fn connected(&mut self, link: PeerLink) {
        let Some(wire) = self.network.wires.get(&link) else { return };
        let (learner, leader) = (wire.learner, wire.leader);
        if self.nodes[&learner].master != Some(link) {
            return;
        }
        let is_cut = self.network.is_cut(learner, leader) || self.network.is_cut(leader, learner);
        let there = &self.nodes[&leader];
        if there.listens && there.process.is_some() && !is_cut && !wire.is_broken {
            self.give(learner, Input::MasterCame);
        } else if self.below(5) == 0 {
            self.node(learner).master = None;
            self.give(learner, Input::MasterLeft { why: "it cannot be reached".to_owned() });
        } else {
            if let Some(wire) = self.network.wires.get_mut(&link) {
                wire.is_broken = false;
            }
            let wait = 50 + self.below(100);
            self.plan(wait, Event::Connected(link));
        }
    }

    fn arrives(&mut self, link: PeerLink, at_leader: bool) {
        let Some(wire) = self.network.wires.get_mut(&link).filter(|wire| !wire.is_broken) else { return };
        let (learner, leader) = (wire.learner, wire.leader);
        if at_leader {
            let Some(bytes) = wire.up.pop_front() else { return };
            let is_first = !std::mem::replace(&mut wire.is_known, true);
            let packet = Packet::decode(&bytes).expect("what a core says decodes");
            let input = if is_first {
                let hello = packet.into_hello().expect("a learner introduces itself");
                Input::LearnerCame { link, hello }
            } else {
                let said = packet.into_from_learner().expect("a learner speaks the protocol");
                Input::LearnerSaid { link, said }
            };
            return self.give(leader, input);
        }
        let Some(frame) = wire.down.pop_front() else { return };
        let is_heard = self.nodes[&learner].master == Some(link);
        match frame {
            Down::Packet(bytes, weight) => {
                if is_heard {
                    let packet = Packet::decode(&bytes).expect("what a core says decodes");
                    let said = packet.into_from_master().expect("a leader speaks the protocol");
                    self.give(learner, Input::MasterSaid(said));
                }
                self.give(leader, Input::Drained { link, bytes: weight });
            }
            Down::Snapshot(zxid, stream) => {
                self.figures.snapshots += 1;
                let is_kept = self.nodes[&learner]
                    .process
                    .as_ref()
                    .is_none_or(|process| process.hear_snapshot(zxid, &stream));
                assert!(is_kept, "a snapshot from {leader} is whole");
                self.turn(learner);
            }
        }
    }

    fn break_wire(&mut self, link: PeerLink) {
        let Some(wire) = self.network.wires.get_mut(&link) else { return };
        wire.is_broken = true;
        for at_leader in [true, false] {
            let wait = self.below(30);
            self.plan(wait, Event::Broken { link, at_leader });
        }
    }

    fn fault(&mut self) {
        let sids = self.sids();
        let sid = sids[self.random.below(sids.len() as u64) as usize];
        let other = sids[self.random.below(sids.len() as u64) as usize];
        match self.random.below(5) {
            0 | 1 => {
                self.crash(sid);
                let wait = 10 + self.below(3000);
                self.plan(wait, Event::Restart(sid));
            }
            2 => {
                self.figures.pauses += 1;
                let until = self.now_ms() + 10 + self.below(3000);
                self.node(sid).paused_until_ms = until;
            }
            _ => {
                let both = self.below(3) > 0;
                for pair in [(sid, other), (other, sid)].into_iter().take(1 + usize::from(both)) {
                    if pair.0 != pair.1 && self.network.cut.insert(pair) {
                        self.figures.cuts += 1;
                        let wait = 50 + self.below(3000);
                        self.plan(wait, Event::Heal(pair));
                    }
                }
                let cut = self.network.cut.clone();
                let links = self.network.links(|wire| {
                    cut.contains(&(wire.learner, wire.leader)) || cut.contains(&(wire.leader, wire.learner))
                });
                for link in links {
                    // Half of the time nobody is told: silence has to be noticed.
                    if self.below(2) == 0 {
                        self.break_wire(link);
                    } else if let Some(wire) = self.network.wires.get_mut(&link) {
                        wire.is_broken = true;
                    }
                }
            }
        }
    }

    /// The power of one machine goes, and some of what was not durable with it.
    fn crash(&mut self, sid: Sid) {
        self.figures.crashes += 1;
        for client in self.clients.iter_mut().filter(|client| client.server == Some(sid)) {
            client.disconnect();
        }
        let fresh = if self.below(2) == 0 { Fresh::Unwritten } else { Fresh::Recycled };
        let choice = Choice::Random(self.random.below(u64::MAX));
        let node = self.node(sid);
        node.process = None;
        node.life += 1;
        node.disk = after(&node.disk, fresh, choice);
        (node.master, node.listens, node.paused_until_ms) = (None, false, 0);
        let links = self.network.links(|wire| wire.learner == sid || wire.leader == sid);
        links.into_iter().for_each(|link| self.break_wire(link));
    }

    /// Clients do something, or what is due.
    fn clients_act(&mut self) {
        let now = self.now_ms();
        let who = self.random.below(CLIENTS as u64) as usize;
        match self.random.below(60) {
            0..=29 => self.clients[who].act(&mut self.random, now),
            30 => self.clients[who].disconnect(),
            31 | 32 => self.open(who),
            33 => self.clients[who].act_through_abandoned(&mut self.random, &mut self.history),
            34 => self.clients[who].close(&mut self.random, now, &mut self.history),
            35 => self.clients[who].is_reading = !self.clients[who].is_reading,
            _ => {}
        }
        for who in 0..CLIENTS {
            self.clients[who].well_since_ms = None;
            self.clients[who].tick(now);
            if self.clients[who].connection.is_none() && self.below(4) == 0 {
                self.open(who);
            }
            self.serve(who);
        }
        for sid in self.sids() {
            self.turn(sid);
        }
        (0..CLIENTS).for_each(|who| self.serve(who));
    }

    /// A client's connection is served where its server runs.
    fn serve(&mut self, who: usize) {
        let now = self.now_ms();
        let client = &mut self.clients[who];
        let nodes = &self.nodes;
        let runs = |server: Option<Sid>| {
            server.is_some_and(|sid| nodes[&sid].process.is_some() && nodes[&sid].paused_until_ms <= now)
        };
        let mut has_ended = false;
        if runs(client.server)
            && let Some(connection) = &mut client.connection
        {
            has_ended = !connection.link.run();
        }
        if runs(client.abandoned_server)
            && let Some(abandoned) = &mut client.abandoned
            && !abandoned.link.run()
        {
            client.abandoned = None;
        }
        if client.is_reading {
            client.receive(now, &mut self.history);
        }
        if has_ended {
            client.connection = None;
        }
    }

    /// A client connects to some server, also while it has another connection: then its session moves.
    fn open(&mut self, who: usize) {
        let sids = self.sids();
        let sid = sids[self.random.below(sids.len() as u64) as usize];
        let now = self.now_ms();
        let stream = MemoryStream::new(SOCKET_BYTES);
        let Some(process) = &mut self.node(sid).process else { return };
        let link = process.accept(stream.clone());
        let client = &mut self.clients[who];
        if !client.is_connected() {
            client.disconnect();
        }
        client.abandoned_server = client.server.replace(sid);
        client.connect(stream, link, now);
    }

    /// All faults are gone: soon everybody is served, and all servers hold the same.
    fn end(&mut self) {
        self.has_faults = false;
        self.network.cut.clear();
        for sid in self.sids() {
            self.node(sid).paused_until_ms = 0;
            self.restart(sid);
            self.turn(sid);
        }
        self.clients.iter_mut().for_each(|client| client.is_reading = true);
        let before = self.history.acknowledged.len();
        self.settle(10_000, "writes succeed again", |world| world.history.acknowledged.len() > before);
        self.settle(10_000, "every server serves", |world| {
            world.nodes.values().all(|node| node.process.as_ref().is_some_and(Process::is_serving))
        });
        for client in &mut self.clients {
            client.disconnect();
            client.absent_until_ms = i64::MAX;
        }
        // Without clients; the sessions that are left end, and nothing else changes.
        self.pending.retain(|_, event| !matches!(event, Event::Clients));
        self.settle(30_000, "all sessions have ended everywhere, and all servers hold the same", |world| {
            let held = |process: &Process| {
                let state = &process.shared.state;
                (state.sessions().committed_count(), state.tree().ephemerals_count(), process.digest())
            };
            let all: Vec<_> =
                world.nodes.values().filter_map(|node| node.process.as_ref()).map(held).collect();
            all.iter().all(|one| *one == all[0] && one.0 == 0 && one.1 == 0)
        });
    }

    fn settle(&mut self, within_ms: i64, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now_ms() + within_ms;
        while self.now_ms() < end {
            if is_so(self) {
                return;
            }
            let soon = self.now_ms() + 50;
            self.run_until(soon);
        }
        for (sid, node) in &self.nodes {
            let process = node.process.as_ref();
            eprintln!(
                "server {sid}: {:?}, {:?}, {:?} sessions",
                process.and_then(Process::told),
                process.map(Process::digest),
                process.map(|process| process.shared.state.sessions().committed_count())
            );
        }
        panic!("waited in vain for {within_ms} ms until {what}");
    }

    /// The history, from all logs together: where two servers have a transaction, it is the same.
    fn logged(&self) -> Vec<TxnEntry> {
        let mut all: BTreeMap<Zxid, Vec<u8>> = BTreeMap::new();
        for (sid, node) in &self.nodes {
            let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
            let mut entries = Entries::open(disk, Path::new("/data/version-2"), Zxid::ZERO, Gaps::Allow)
                .expect("the log can be read");
            while let Some(frame) = entries.next_frame().expect("the log can be read") {
                let known = all.entry(frame.zxid).or_insert_with(|| frame.payload.to_vec());
                assert_eq!(known, frame.payload, "server {sid} has another transaction {}", frame.zxid);
            }
        }
        all.values().map(|payload| TxnEntry::decode(payload).expect("it was decoded before")).collect()
    }
}
