//! Who acts when: events in the order of their time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use bytes::Bytes;

use super::Seen;
use super::node::{Frame, Node};
use crate::sim::random::Random;
use crate::zab::members::testing::voters;
use crate::zab::message::Proposal;
use crate::zab::{
    FromMaster, Input, Link, Members, Ms, Notification, Options, Packet, PeerState, Sid, Tuning, Zab,
};

#[derive(Debug)]
pub(super) enum Event {
    /// A message of the election port arrives.
    Vote { from: Sid, to: Sid, bytes: Bytes },
    /// A learner's connection reaches the leader.
    Connected { link: Link },
    /// The front of what is on its way in a link arrives.
    Arrives { link: Link, at_leader: bool },
    /// An end of a link learns that it is broken.
    Broken { link: Link, at_leader: bool },
    /// The disk of a server, in this life, does what it was asked.
    Disk { sid: Sid, life: u64 },
    /// A server's timer.
    Tick { sid: Sid, life: u64, at: Ms },
    /// Clients ask the leader for something.
    Clients,
    /// Something goes wrong.
    Fault,
    /// A server comes back.
    Restart { sid: Sid },
    /// Two servers reach each other again.
    Heal { pair: (Sid, Sid) },
}

pub(super) struct Wire {
    pub(super) learner: Sid,
    pub(super) leader: Sid,
    pub(super) is_broken: bool,
    /// What is under way, to the leader and from it, with the time it arrives at the earliest.
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Frame>,
    pub(super) last_up: Ms,
    pub(super) last_down: Ms,
}

pub(super) struct World {
    pub(super) now: Ms,
    pub(super) random: Random,
    events: BinaryHeap<Reverse<(Ms, u64)>>,
    pending: BTreeMap<u64, Event>,
    number: u64,
    pub(super) nodes: BTreeMap<Sid, Node>,
    members: Members,
    pub(super) wires: BTreeMap<Link, Wire>,
    pub(super) next_link: u64,
    pub(super) cut: BTreeSet<(Sid, Sid)>,
    pub(super) has_faults: bool,
    next_payload: u64,
    /// The one history: whatever any server applied while it served.
    pub(super) history: Vec<Proposal>,
    pub(super) leaders: BTreeMap<u32, Sid>,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = [3, 3, 3, 5][random.below(4) as usize];
        let mut members = voters(count);
        if random.once_in(2) {
            members.observers.insert(count + 1);
        }
        let mut world = Self {
            now: 0,
            random,
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            number: 0,
            nodes: BTreeMap::new(),
            members,
            wires: BTreeMap::new(),
            next_link: 0,
            cut: BTreeSet::new(),
            has_faults: true,
            next_payload: 0,
            history: Vec::new(),
            leaders: BTreeMap::new(),
            seen: Seen::default(),
        };
        let sids: Vec<_> = world.members.voters.iter().chain(&world.members.observers).copied().collect();
        for sid in sids {
            world.nodes.insert(sid, Node::empty());
            let after = world.random.below(1000) as Ms;
            world.at(after, Event::Restart { sid });
        }
        world.at(500, Event::Clients);
        world.at(1500, Event::Fault);
        world
    }

    pub(super) fn options(&self, me: Sid) -> Options {
        Options {
            me,
            is_observer: self.members.observers.contains(&me),
            tick_ms: 100,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 2000),
            force_snapshot: false,
            tuning: Tuning::default(),
        }
    }

    pub(super) fn at(&mut self, after: Ms, event: Event) {
        self.at_time(self.now + after, event);
    }

    pub(super) fn at_time(&mut self, time: Ms, event: Event) {
        self.number += 1;
        self.events.push(Reverse((time, self.number)));
        self.pending.insert(self.number, event);
    }

    pub(super) fn run_until(&mut self, end: Ms) {
        while let Some(Reverse((time, number))) = self.events.peek().copied() {
            if time > end {
                break;
            }
            self.events.pop();
            self.now = time;
            if let Some(event) = self.pending.remove(&number) {
                self.happen(event);
            }
        }
        self.now = end;
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Vote { from, to, bytes } => {
                if self.reach(from, to) {
                    let notification = Notification::decode(&bytes).expect("what a core says decodes");
                    self.give(to, Input::Notified { from, notification });
                }
            }
            Event::Connected { link } => self.connected(link),
            Event::Arrives { link, at_leader } => self.arrives(link, at_leader),
            Event::Broken { link, at_leader } => {
                let Some(wire) = self.wires.get(&link) else { return };
                let (learner, leader) = (wire.learner, wire.leader);
                if at_leader {
                    self.give(leader, Input::LearnerLeft { link });
                } else if self.nodes[&learner].master == Some(link) {
                    self.node(learner).master = None;
                    self.give(learner, Input::MasterLeft { why: "broken".to_owned() });
                }
            }
            Event::Disk { sid, life } => {
                if self.nodes[&sid].life == life {
                    let inputs = self.node(sid).disk_works();
                    inputs.into_iter().for_each(|input| self.give(sid, input));
                    self.disk_goes_on(sid);
                }
            }
            Event::Tick { sid, life, at } => {
                let node = self.node(sid);
                if node.life == life && node.tick_at == Some(at) {
                    node.tick_at = None;
                    self.give(sid, Input::Tick);
                }
            }
            Event::Clients => {
                self.clients_ask();
                let after = 1 + self.random.below(60) as Ms;
                self.at(after, Event::Clients);
            }
            Event::Fault if self.has_faults => {
                self.fault();
                let after = 100 + self.random.below(3000) as Ms;
                self.at(after, Event::Fault);
            }
            Event::Fault => {}
            Event::Restart { sid } => self.restart(sid),
            Event::Heal { pair } => {
                self.cut.remove(&pair);
            }
        }
    }

    pub(super) fn node(&mut self, sid: Sid) -> &mut Node {
        self.nodes.get_mut(&sid).expect("a member")
    }

    pub(super) fn reach(&self, from: Sid, to: Sid) -> bool {
        !self.cut.contains(&(from, to)) && self.nodes[&to].zab.is_some() && self.nodes[&from].zab.is_some()
    }

    pub(super) fn restart(&mut self, sid: Sid) {
        if self.nodes[&sid].zab.is_none() {
            let (options, members, now) = (self.options(sid), self.members.clone(), self.now);
            self.node(sid).start(options, members, now);
            self.settle(sid);
        }
    }

    pub(super) fn clients_ask(&mut self) {
        let leading: Vec<_> =
            self.nodes.iter().filter(|(_, node)| node.leads.is_some()).map(|(sid, _)| *sid).collect();
        for sid in leading {
            for _ in 0..=self.random.below(4) {
                self.next_payload += 1;
                let payload = self.next_payload;
                let proposal = self.node(sid).next_proposal(payload);
                self.give(sid, Input::Prepared(vec![proposal]));
                if self.nodes[&sid].leads.is_none() {
                    break;
                }
            }
        }
    }

    pub(super) fn connected(&mut self, link: Link) {
        let Some(wire) = self.wires.get(&link) else { return };
        let (learner, leader, is_broken) = (wire.learner, wire.leader, wire.is_broken);
        let listens = self.nodes[&leader].listens && !is_broken && self.reach(learner, leader);
        if self.nodes[&learner].master != Some(link) {
            return;
        }
        if listens {
            self.give(learner, Input::MasterCame);
        } else if self.random.once_in(4) {
            self.node(learner).master = None;
            self.give(learner, Input::MasterLeft { why: "refused".to_owned() });
        } else {
            // The driver tries again for a while.
            let after = 20 + self.random.below(100) as Ms;
            if let Some(wire) = self.wires.get_mut(&link) {
                wire.is_broken = false;
            }
            self.at(after, Event::Connected { link });
        }
    }

    pub(super) fn arrives(&mut self, link: Link, at_leader: bool) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.is_broken {
            return;
        }
        let (learner, leader) = (wire.learner, wire.leader);
        if at_leader {
            let Some(bytes) = wire.up.pop_front() else { return };
            if self.nodes[&leader].zab.is_none() {
                return;
            }
            let packet = Packet::decode(&bytes).expect("what a core says decodes");
            let is_first = self.node(leader).known.insert(link);
            let input = if is_first {
                Input::LearnerCame { link, hello: packet.into_hello().expect("a learner introduces itself") }
            } else {
                let said = packet.into_from_learner().expect("a learner speaks the protocol");
                Input::LearnerSaid { link, said }
            };
            self.give(leader, input);
            return;
        }
        if !self.nodes[&learner].takes_master() {
            // Not read yet.
            self.at(3, Event::Arrives { link, at_leader });
            return;
        }
        let Some(frame) = wire.down.pop_front() else { return };
        let bytes = frame.weight();
        if self.nodes[&learner].master == Some(link) {
            match frame {
                Frame::Packet(bytes, _) => {
                    let packet = Packet::decode(&bytes).expect("what a core says decodes");
                    let said = packet.into_from_master().expect("a leader speaks the protocol");
                    self.count(&said);
                    self.give(learner, Input::MasterSaid(said));
                }
                Frame::Snapshot(zxid, log) => {
                    self.seen.snaps += 1;
                    self.node(learner).received = Some((zxid, log));
                    self.give(learner, Input::SnapshotArrived { zxid });
                }
            }
        }
        self.give(leader, Input::Drained { link, bytes });
    }

    pub(super) fn count(&mut self, said: &FromMaster) {
        match said {
            FromMaster::Diff(_) => self.seen.diffs += 1,
            FromMaster::Trunc(_) => self.seen.truncs += 1,
            _ => {}
        }
    }

    /// What a server that serves has applied is the one history, as far as it goes.
    pub(super) fn check(&mut self, sid: Sid) {
        let node = &self.nodes[&sid];
        if !node.is_serving {
            return;
        }
        let (applied, from) = (&node.applied, node.checked);
        let shared = applied.len().min(self.history.len());
        if from < shared && applied[from..shared] != self.history[from..shared] {
            let zxids = |log: &[Proposal]| log[from..shared].iter().map(|one| one.zxid).collect::<Vec<_>>();
            let (theirs, ours) = (zxids(applied), zxids(&self.history));
            panic!("server {sid} applied another history: {theirs:?} and not {ours:?}");
        }
        let more = applied[shared..].to_vec();
        self.seen.committed += more.len() as u64;
        self.history.extend(more);
        let node = self.node(sid);
        node.checked = node.applied.len();
    }

    /// Without faults everybody agrees soon.
    pub(super) fn end(&mut self) {
        self.has_faults = false;
        self.cut.clear();
        let sids: Vec<_> = self.nodes.keys().copied().collect();
        sids.iter().for_each(|sid| self.restart(*sid));
        self.run_until(self.now + 10_000);
        let before = self.history.len();
        self.run_until(self.now + 1000);
        assert!(self.history.len() > before, "nothing is committed 10 s after the last fault");
        for (sid, node) in &self.nodes {
            let standing = node.zab.as_ref().map(Zab::standing);
            assert!(node.is_serving, "server {sid} does not serve: {standing:?}");
            let behind = self.history.len() - node.applied.len();
            assert!(behind < 200, "server {sid} is {behind} transactions behind");
        }
        let leaders = self.nodes.values().filter(|node| node.leads.is_some()).count();
        assert_eq!(leaders, 1);
        assert!(
            self.nodes
                .values()
                .all(|node| node.zab.as_ref().is_some_and(|zab| zab.standing().state != PeerState::Looking))
        );
    }
}
