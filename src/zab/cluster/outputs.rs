//! What cores ask for, done: messages on their way, disks at work.

use std::collections::VecDeque;

use jute::Zxid;

use super::node::Frame;
use super::world::{Event, Wire, World};
use crate::zab::{Input, Link, Ms, Output, Serving, Sid, ToLearner, Zab};

impl World {
    pub(super) fn give(&mut self, sid: Sid, input: Input) {
        let now = self.now;
        if let Some(zab) = &mut self.node(sid).zab {
            zab.input(now, input);
            self.settle(sid);
        }
    }

    /// Does what a core asks for until it asks for nothing.
    pub(super) fn settle(&mut self, sid: Sid) {
        while let Some(output) = self.node(sid).zab.as_mut().and_then(Zab::poll) {
            self.act(sid, output);
        }
        let now = self.now;
        let node = self.node(sid);
        let deadline = node.zab.as_ref().and_then(Zab::deadline).map(|at| at.max(now + 1));
        if let Some(at) = deadline.filter(|at| node.tick_at.is_none_or(|tick_at| tick_at > *at)) {
            node.tick_at = Some(at);
            let life = node.life;
            self.at_time(at, Event::Tick { sid, life, at });
        }
    }

    pub(super) fn act(&mut self, sid: Sid, output: Output) {
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
                let begin = diff.map(ToLearner::Diff);
                let pairs = records.into_iter().flat_map(|record| {
                    let zxid = record.zxid;
                    [ToLearner::Proposal(record), ToLearner::Commit(zxid)]
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
                        up: VecDeque::new(),
                        down: VecDeque::new(),
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

    pub(super) fn send_down(&mut self, link: Link, frame: Frame) {
        let delay = 1 + self.random.below(20) as Ms;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.down.push_back(frame);
        wire.last_down = wire.last_down.max(self.now + delay);
        let at = wire.last_down;
        self.at_time(at, Event::Arrives { link, at_leader: false });
    }

    pub(super) fn disk_goes_on(&mut self, sid: Sid) {
        let takes = 1 + self.random.below(8) as Ms;
        let node = self.node(sid);
        if node.has_disk_work() && !node.disk_is_busy {
            node.disk_is_busy = true;
            let (life, takes) = (node.life, takes + std::mem::take(&mut node.slow_ms));
            self.at(takes, Event::Disk { sid, life });
        }
    }

    pub(super) fn serves(&mut self, sid: Sid, serving: Serving) {
        let node = self.node(sid);
        node.leads = None;
        node.is_serving = serving != Serving::No;
        if let Serving::Leading { epoch } = serving {
            node.leads = Some(Zxid::begin_of(epoch));
            self.seen.leaders += 1;
            let other = self.leaders.insert(epoch, sid);
            assert!(other.is_none(), "epoch {epoch} has two leaders, {other:?} and {sid}");
        }
        if serving != Serving::No {
            self.check(sid);
        }
    }
}
