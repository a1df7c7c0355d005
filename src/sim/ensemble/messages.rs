//! What members say, on its way to others.

use super::carrier::{Down, Said};
use super::node::PeerLink;
use super::world::{Event, World};
use crate::snapshot::SnapshotError;
use crate::zab::{Input, Packet, Sid};

impl World {
    /// Takes what a member says on its way.
    pub(super) fn carry(&mut self, sid: Sid, said: Said) {
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
                if let Down::Snapshot(zxid, _) = &frame {
                    self.keep_committed(sid, *zxid);
                }
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

    pub(super) fn connected(&mut self, link: PeerLink) {
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

    pub(super) fn arrives(&mut self, link: PeerLink, at_leader: bool) {
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
                let kept = match &self.nodes[&learner].process {
                    Some(process) => process.hear_snapshot(zxid, &stream),
                    None => Ok(()),
                };
                match kept {
                    Ok(()) => self.turn(learner),
                    // Its connection ends, and it comes again.
                    Err(SnapshotError::Disk(_)) => self.break_wire(link),
                    Err(error) => panic!("a snapshot from {leader} is whole: {error}"),
                }
            }
        }
    }

    pub(super) fn break_wire(&mut self, link: PeerLink) {
        let Some(wire) = self.network.wires.get_mut(&link) else { return };
        wire.is_broken = true;
        for at_leader in [true, false] {
            let wait = self.below(30);
            self.plan(wait, Event::Broken { link, at_leader });
        }
    }
}
