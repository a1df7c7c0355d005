//! What goes wrong.

use super::world::{Event, Wire, World};
use crate::zab::{Link, Ms, Sid};

impl World {
    pub(super) fn fault(&mut self) {
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

    pub(super) fn crash(&mut self, sid: Sid) {
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

    pub(super) fn break_cut_wires(&mut self) {
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

    pub(super) fn break_wire(&mut self, link: Link) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.is_broken = true;
        for at_leader in [true, false] {
            let after = self.random.below(30) as Ms;
            self.at(after, Event::Broken { link, at_leader });
        }
    }
}
