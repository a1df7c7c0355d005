//! Who acts when, and what fails when: all of it from one number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jute::Zxid;

use super::network::Network;
use super::node::{PeerLink, Process, Setup};
use crate::clock::{Clock, ManualClock};
use crate::sim::disk::{Plan, SimDisk};
use crate::sim::random::Random;
use crate::sim::server::client::SimClient;
use crate::sim::server::history::{History, Item};
use crate::sim::server::invariants;
use crate::txnlog::Io;
use crate::zab::{Input, Members, Notification, PeerState, Quorum, Sid};

pub(super) const CLIENTS: usize = 5;
/// What a system buffers of what a client does not read.
pub(super) const SOCKET_BYTES: usize = 16 << 10;
/// When the simulated machines were started, in microseconds.
const START_US: i64 = 1_000_000_000;

#[derive(Debug)]
pub(super) enum Event {
    Vote { from: Sid, to: Sid, bytes: Bytes },
    Connected(PeerLink),
    Arrives { link: PeerLink, at_leader: bool },
    Broken { link: PeerLink, at_leader: bool },
    Turn { sid: Sid, life: u64 },
    Clients,
    Fault,
    Restart(Sid),
    Heal((Sid, Sid)),
    Space(Sid),
}

pub(super) struct Node {
    pub(super) disk: SimDisk,
    pub(super) process: Option<Process>,
    /// Counts starts.
    pub(super) life: u64,
    pub(super) master: Option<PeerLink>,
    pub(super) listens: bool,
    /// Until then it does nothing, as a process that was stopped.
    pub(super) paused_until_ms: i64,
    /// When its next turn is due, if one is planned.
    pub(super) turn_at: Option<i64>,
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
    pub(super) full_disks: usize,
    pub(super) failed_disks: usize,
    pub(super) epochs: usize,
    pub(super) snapshots: usize,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) setup: Setup,
    pub(super) events: BinaryHeap<Reverse<(i64, u64)>>,
    pub(super) pending: BTreeMap<u64, Event>,
    pub(super) number: u64,
    pub(super) nodes: BTreeMap<Sid, Node>,
    pub(super) network: Network,
    pub(super) clients: Vec<SimClient>,
    pub(super) history: History,
    pub(super) has_faults: bool,
    pub(super) leaders: BTreeMap<u32, Sid>,
    pub(super) digests: BTreeMap<Zxid, (u64, Sid)>,
    /// Transactions that are committed, from logs that may be gone.
    pub(super) committed: BTreeMap<Zxid, Vec<u8>>,
    pub(super) figures: Figures,
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
            committed: BTreeMap::new(),
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

    pub(super) fn sids(&self) -> Vec<Sid> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn below(&mut self, bound: u64) -> i64 {
        self.random.below(bound) as i64
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.setup.clock.now_ms()
    }

    pub(super) fn plan(&mut self, wait_ms: i64, event: Event) {
        self.plan_at(self.now_ms() + wait_ms, event);
    }

    pub(super) fn plan_at(&mut self, at_ms: i64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at_ms, self.number)));
        self.pending.insert(self.number, event);
    }

    /// Plays for so long, ends everything in order, and judges what was seen.
    pub(super) fn run(mut self, for_ms: i64) -> Figures {
        let begin = self.now_ms();
        self.run_until(begin + for_ms);
        self.finish(begin)
    }

    /// Ends everything in order, and judges what was seen since.
    pub(super) fn finish(mut self, begin: i64) -> Figures {
        self.end();
        let logged = self.logged();
        let mut figures = self.figures;
        figures.simulated_ms = self.now_ms() - begin;
        figures.transactions = logged.len();
        figures.epochs = self.leaders.len();
        let items = self.history.streams.iter().flat_map(|stream| &stream.items);
        figures.replies = items.clone().filter(|item| matches!(item, Item::Reply { .. })).count();
        figures.events = items.count() - figures.replies;
        self.history.sent = self.clients.iter_mut().flat_map(|client| client.sent.drain(..)).collect();
        invariants::check(&self.history, &logged);
        figures
    }

    pub(super) fn run_until(&mut self, end_ms: i64) {
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

    pub(super) fn happen(&mut self, event: Event) {
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
                let wait = 1 + self.below(60);
                self.plan(wait, Event::Clients);
            }
            Event::Fault if self.has_faults => {
                self.fault();
                let wait = 200 + self.below(4000);
                self.plan(wait, Event::Fault);
            }
            Event::Fault => {}
            Event::Restart(sid) => self.restart(sid),
            Event::Space(sid) => self.node(sid).disk.set_plan(Plan::default()),
            Event::Heal(pair) => {
                self.network.cut.remove(&pair);
            }
        }
    }

    pub(super) fn node(&mut self, sid: Sid) -> &mut Node {
        self.nodes.get_mut(&sid).expect("a member")
    }

    pub(super) fn restart(&mut self, sid: Sid) {
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

    pub(super) fn give(&mut self, sid: Sid, input: Input) {
        if let Some(process) = &self.nodes[&sid].process {
            process.hear(input);
            self.turn(sid);
        }
    }

    /// A member takes a turn, unless it is stopped; and the next one is planned.
    pub(super) fn turn(&mut self, sid: Sid) {
        let now = self.now_ms();
        let node = self.node(sid);
        let Some(process) = &mut node.process else { return };
        if node.paused_until_ms > now {
            let at_ms = node.paused_until_ms;
            return self.plan_turn(sid, at_ms);
        }
        let Some(said) = process.turn() else {
            assert!(node.disk.is_to_fail(), "a disk fails only when it is told to");
            self.figures.failed_disks += 1;
            return self.crash_for_a_while(sid);
        };
        let due = process.deadline_ms().clamp(now + 1, now + 200);
        self.judge(sid);
        for said in said {
            self.carry(sid, said);
        }
        self.plan_turn(sid, due);
    }

    pub(super) fn plan_turn(&mut self, sid: Sid, at_ms: i64) {
        let node = self.node(sid);
        if node.turn_at.is_none_or(|planned| planned > at_ms) {
            node.turn_at = Some(at_ms);
            let life = node.life;
            self.plan_at(at_ms, Event::Turn { sid, life });
        }
    }

    /// What must hold after each step: one leader an epoch, and equal digests at equal zxids.
    pub(super) fn judge(&mut self, sid: Sid) {
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
}
