//! Ensembles of cores: real [`Zab`]s on model disks, with messages as bytes, from one number. The whole servers are
//! simulated in `sim`; this is the quick loop for the core alone.
//!
//! A failing seed prints the command that repeats it.

mod node;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use jute::Zxid;

use self::node::{Frame, Node};
use super::members::testing::voters;
use super::message::Proposal;
use super::{Input, Link, Members, Ms, Notification, Options, Output, Packet, PeerState, Serving, Sid};

/// Numbers from one number.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn once_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

#[derive(Debug)]
enum Event {
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

struct Wire {
    learner: Sid,
    leader: Sid,
    is_broken: bool,
    /// What is under way, to the leader and from it, with the time it arrives at the earliest.
    up: std::collections::VecDeque<Bytes>,
    down: std::collections::VecDeque<Frame>,
    last_up: Ms,
    last_down: Ms,
}

pub(super) struct World {
    now: Ms,
    random: Random,
    events: BinaryHeap<Reverse<(Ms, u64)>>,
    pending: BTreeMap<u64, Event>,
    number: u64,
    nodes: BTreeMap<Sid, Node>,
    members: Members,
    wires: BTreeMap<Link, Wire>,
    next_link: u64,
    cut: BTreeSet<(Sid, Sid)>,
    has_faults: bool,
    next_payload: u64,
    /// The one history: whatever any server applied while it served.
    history: Vec<Proposal>,
    leaders: BTreeMap<u32, Sid>,
    seen: Seen,
}

/// What has happened in a run, so that a test can tell that it tried something.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) committed: u64,
    pub(super) leaders: u64,
    pub(super) crashes: u64,
    pub(super) cuts: u64,
    pub(super) diffs: u64,
    pub(super) truncs: u64,
    pub(super) snaps: u64,
    pub(super) logs: u64,
}

impl World {
    fn new(seed: u64) -> Self {
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

    fn options(&self, me: Sid) -> Options {
        Options {
            me,
            is_observer: self.members.observers.contains(&me),
            tick_ms: 100,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 2000),
            force_snapshot: false,
        }
    }

    fn at(&mut self, after: Ms, event: Event) {
        self.at_time(self.now + after, event);
    }

    fn at_time(&mut self, time: Ms, event: Event) {
        self.number += 1;
        self.events.push(Reverse((time, self.number)));
        self.pending.insert(self.number, event);
    }

    fn run_until(&mut self, end: Ms) {
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

    fn happen(&mut self, event: Event) {
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

    fn node(&mut self, sid: Sid) -> &mut Node {
        self.nodes.get_mut(&sid).expect("a member")
    }

    fn reach(&self, from: Sid, to: Sid) -> bool {
        !self.cut.contains(&(from, to)) && self.nodes[&to].zab.is_some() && self.nodes[&from].zab.is_some()
    }

    fn restart(&mut self, sid: Sid) {
        if self.nodes[&sid].zab.is_none() {
            let (options, members, now) = (self.options(sid), self.members.clone(), self.now);
            self.node(sid).start(options, members, now);
            self.settle(sid);
        }
    }

    fn fault(&mut self) {
        let sids: Vec<_> = self.nodes.keys().copied().collect();
        let sid = sids[self.random.below(sids.len() as u64) as usize];
        match self.random.below(4) {
            0 | 1 => {
                self.crash(sid);
                let after = 10 + self.random.below(2500) as Ms;
                self.at(after, Event::Restart { sid });
            }
            2 => {
                let other = sids[self.random.below(sids.len() as u64) as usize];
                let both = !self.random.once_in(3);
                for pair in [(sid, other), (other, sid)].into_iter().take(1 + usize::from(both)) {
                    if pair.0 != pair.1 && self.cut.insert(pair) {
                        self.seen.cuts += 1;
                        let after = 50 + self.random.below(2500) as Ms;
                        self.at(after, Event::Heal { pair });
                    }
                }
                self.break_cut_wires();
            }
            _ => {
                let stop = 5 + self.random.below(700) as Ms;
                self.node(sid).slow_ms = stop;
            }
        }
    }

    fn crash(&mut self, sid: Sid) {
        self.seen.crashes += 1;
        let kept = self.random.below(6) as usize;
        self.node(sid).crash(kept);
        let links: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.learner == sid || wire.leader == sid)
            .map(|(link, _)| *link)
            .collect();
        links.into_iter().for_each(|link| self.break_wire(link));
    }

    fn break_cut_wires(&mut self) {
        let is_cut = |wire: &Wire| {
            self.cut.contains(&(wire.learner, wire.leader)) || self.cut.contains(&(wire.leader, wire.learner))
        };
        let links: Vec<_> =
            self.wires.iter().filter(|(_, wire)| is_cut(wire)).map(|(link, _)| *link).collect();
        for link in links {
            // Half of the time nobody is told: silence has to be noticed.
            if self.random.once_in(2) {
                self.break_wire(link);
            } else if let Some(wire) = self.wires.get_mut(&link) {
                wire.is_broken = true;
            }
        }
    }

    fn break_wire(&mut self, link: Link) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.is_broken = true;
        for at_leader in [true, false] {
            let after = self.random.below(30) as Ms;
            self.at(after, Event::Broken { link, at_leader });
        }
    }

    fn clients_ask(&mut self) {
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

    fn connected(&mut self, link: Link) {
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

    fn arrives(&mut self, link: Link, at_leader: bool) {
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

    fn count(&mut self, said: &super::FromMaster) {
        match said {
            super::FromMaster::Diff(_) => self.seen.diffs += 1,
            super::FromMaster::Trunc(_) => self.seen.truncs += 1,
            _ => {}
        }
    }

    fn give(&mut self, sid: Sid, input: Input) {
        let now = self.now;
        if let Some(zab) = &mut self.node(sid).zab {
            zab.input(now, input);
            self.settle(sid);
        }
    }

    /// Does what a core asks for until it asks for nothing.
    fn settle(&mut self, sid: Sid) {
        while let Some(output) = self.node(sid).zab.as_mut().and_then(super::Zab::poll) {
            self.act(sid, output);
        }
        let now = self.now;
        let node = self.node(sid);
        let deadline = node.zab.as_ref().and_then(super::Zab::deadline).map(|at| at.max(now + 1));
        if let Some(at) = deadline.filter(|at| node.tick_at.is_none_or(|tick_at| tick_at > *at)) {
            node.tick_at = Some(at);
            let life = node.life;
            self.at_time(at, Event::Tick { sid, life, at });
        }
    }

    fn act(&mut self, sid: Sid, output: Output) {
        match output {
            Output::Append(proposal) => self.node(sid).append(proposal),
            Output::Persist(ticket) => {
                self.node(sid).persist(ticket);
                self.disk_goes_on(sid);
            }
            Output::Commit { up_to } => {
                self.node(sid).apply(up_to);
                self.check(sid);
            }
            Output::Replace => self.node(sid).replace(),
            Output::Serve(serving) => self.serves(sid, serving),
            Output::Notify { to, notification } => {
                let mut bytes = Vec::new();
                notification.encode(&mut bytes);
                let after = 1 + self.random.below(20) as Ms;
                // The port keeps one message, so that one may be lost when another follows.
                if !self.has_faults || !self.random.once_in(20) {
                    self.at(after, Event::Vote { from: sid, to, bytes: bytes.into() });
                }
            }
            Output::Dial => {}
            Output::Listen(is_open) => {
                let node = self.node(sid);
                node.listens = is_open;
                if !is_open {
                    node.known.clear();
                    let links: Vec<_> = self
                        .wires
                        .iter()
                        .filter(|(_, wire)| wire.leader == sid)
                        .map(|(link, _)| *link)
                        .collect();
                    links.into_iter().for_each(|link| self.break_wire(link));
                }
            }
            Output::ToLearner { link, packet } => {
                let weight = packet.weight();
                let mut bytes = Vec::new();
                packet.encode(&mut bytes);
                self.send_down(link, Frame::Packet(bytes.into(), weight));
            }
            Output::StreamLog { link, diff, after, to } => {
                let Some(records) = self.node(sid).records(after, to) else {
                    return self.give(sid, Input::StreamRefused { link });
                };
                self.seen.logs += 1;
                let begin = diff.map(super::ToLearner::Diff);
                let pairs = records.into_iter().flat_map(|record| {
                    let zxid = record.zxid;
                    [super::ToLearner::Proposal(record), super::ToLearner::Commit(zxid)]
                });
                for packet in begin.into_iter().chain(pairs) {
                    let mut bytes = Vec::new();
                    packet.encode(&mut bytes);
                    self.send_down(link, Frame::Packet(bytes.into(), 0));
                }
                self.give(sid, Input::Streamed { link });
            }
            Output::StreamSnapshot { link } => {
                let (zxid, log) = self.node(sid).snapshot();
                self.give(sid, Input::SnapshotBegan { link, zxid });
                self.send_down(link, Frame::Snapshot(zxid, log));
                self.give(sid, Input::Streamed { link });
            }
            Output::CloseLearner { link, .. } => self.break_wire(link),
            Output::DialMaster(leader) => {
                self.next_link += 1;
                let link = Link(self.next_link);
                self.node(sid).master = Some(link);
                self.wires.insert(
                    link,
                    Wire {
                        learner: sid,
                        leader,
                        is_broken: false,
                        up: std::collections::VecDeque::new(),
                        down: std::collections::VecDeque::new(),
                        last_up: 0,
                        last_down: 0,
                    },
                );
                let after = 1 + self.random.below(20) as Ms;
                self.at(after, Event::Connected { link });
            }
            Output::ToMaster(packet) => {
                let Some(link) = self.nodes[&sid].master else { return };
                let mut bytes = Vec::new();
                packet.encode(&mut bytes);
                let delay = 1 + self.random.below(20) as Ms;
                let Some(wire) = self.wires.get_mut(&link) else { return };
                wire.up.push_back(bytes.into());
                wire.last_up = wire.last_up.max(self.now + delay);
                let at = wire.last_up;
                self.at_time(at, Event::Arrives { link, at_leader: true });
            }
            Output::CloseMaster { .. } => {
                if let Some(link) = self.node(sid).master.take() {
                    self.break_wire(link);
                }
            }
            Output::CollectTouched => self.give(sid, Input::Touched(Vec::new())),
            Output::Submit { .. }
            | Output::Touch(_)
            | Output::Revalidate { .. }
            | Output::Revalidated { .. }
            | Output::Synced { .. }
            | Output::LearnerGone { .. } => {}
        }
    }

    fn send_down(&mut self, link: Link, frame: Frame) {
        let delay = 1 + self.random.below(20) as Ms;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.down.push_back(frame);
        wire.last_down = wire.last_down.max(self.now + delay);
        let at = wire.last_down;
        self.at_time(at, Event::Arrives { link, at_leader: false });
    }

    fn disk_goes_on(&mut self, sid: Sid) {
        let takes = 1 + self.random.below(8) as Ms;
        let node = self.node(sid);
        if node.has_disk_work() && !node.disk_is_busy {
            node.disk_is_busy = true;
            let (life, takes) = (node.life, takes + std::mem::take(&mut node.slow_ms));
            self.at(takes, Event::Disk { sid, life });
        }
    }

    fn serves(&mut self, sid: Sid, serving: Serving) {
        let node = self.node(sid);
        node.leads = None;
        node.is_serving = serving != Serving::No;
        if let Serving::Leading { epoch } = serving {
            node.leads = Some(Zxid(i64::from(epoch) << 32));
            self.seen.leaders += 1;
            let other = self.leaders.insert(epoch, sid);
            assert!(other.is_none(), "epoch {epoch} has two leaders, {other:?} and {sid}");
        }
        if serving != Serving::No {
            self.check(sid);
        }
    }

    /// What a server that serves has applied is the one history, as far as it goes.
    fn check(&mut self, sid: Sid) {
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
    fn end(&mut self) {
        self.has_faults = false;
        self.cut.clear();
        let sids: Vec<_> = self.nodes.keys().copied().collect();
        sids.iter().for_each(|sid| self.restart(*sid));
        self.run_until(self.now + 10_000);
        let before = self.history.len();
        self.run_until(self.now + 1000);
        assert!(self.history.len() > before, "nothing is committed 10 s after the last fault");
        for (sid, node) in &self.nodes {
            let standing = node.zab.as_ref().map(super::Zab::standing);
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

/// Plays one seed.
pub(super) fn play(seed: u64) -> Seen {
    let repeats = Repeats(seed);
    let mut world = World::new(seed);
    world.run_until(20_000);
    world.end();
    std::mem::forget(repeats);
    world.seen
}

/// Says how to repeat a seed that failed.
struct Repeats(u64);

impl Drop for Repeats {
    fn drop(&mut self) {
        let seed = self.0;
        eprintln!(
            "seed {seed} failed; repeat it with OXKEEPER_SEEDS={seed}..{} cargo test --lib zab::cluster",
            seed + 1
        );
    }
}

#[test]
fn ensembles_agree_whatever_happens() {
    #[expect(clippy::disallowed_methods, reason = "seeds of the test")]
    let asked = std::env::var("OXKEEPER_SEEDS").ok();
    let range = asked.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some((from.parse().ok()?, to.parse().ok()?))
    });
    let (from, to) = range.unwrap_or((0, 50));
    let mut sum = Seen::default();
    for seed in from..to {
        let seen = play(seed);
        sum.committed += seen.committed;
        sum.leaders += seen.leaders;
        sum.crashes += seen.crashes;
        sum.cuts += seen.cuts;
        sum.diffs += seen.diffs;
        sum.truncs += seen.truncs;
        sum.snaps += seen.snaps;
        sum.logs += seen.logs;
    }
    println!("{} ensembles: {sum:?}", to - from);
    if range.is_none() {
        for (what, count) in
            [("TRUNC", sum.truncs), ("SNAP", sum.snaps), ("DIFF", sum.diffs), ("log", sum.logs)]
        {
            assert!(count > 0, "no learner was brought up to date by {what}");
        }
    }
}
