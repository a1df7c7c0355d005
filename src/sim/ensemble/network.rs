//! Messages between members on their way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::carrier::Down;
use super::node::PeerLink;
use crate::zab::Sid;

/// A learner's connection to its leader. Each way keeps its order.
pub(super) struct Wire {
    pub(super) learner: Sid,
    pub(super) leader: Sid,
    /// Nothing gets through any more, whether or not the ends know.
    pub(super) is_broken: bool,
    /// The leader has heard the first packet.
    pub(super) is_known: bool,
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Down>,
    last_up: i64,
    last_down: i64,
}

impl Wire {
    pub(super) const fn new(learner: Sid, leader: Sid) -> Self {
        Self {
            learner,
            leader,
            is_broken: false,
            is_known: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            last_up: 0,
            last_down: 0,
        }
    }

    /// When something sent at a time arrives that takes so long alone: not before what was sent before it.
    pub(super) fn arrival_up(&mut self, sent_ms: i64, takes_ms: i64) -> i64 {
        self.last_up = self.last_up.max(sent_ms + takes_ms);
        self.last_up
    }

    pub(super) fn arrival_down(&mut self, sent_ms: i64, takes_ms: i64) -> i64 {
        self.last_down = self.last_down.max(sent_ms + takes_ms);
        self.last_down
    }
}

/// All of them, and who reaches whom.
#[derive(Default)]
pub(super) struct Network {
    pub(super) wires: BTreeMap<PeerLink, Wire>,
    next_link: u64,
    /// Nothing gets from the first to the second.
    pub(super) cut: BTreeSet<(Sid, Sid)>,
}

impl Network {
    pub(super) fn open(&mut self, learner: Sid, leader: Sid) -> PeerLink {
        self.next_link += 1;
        let link = crate::zab::Link(self.next_link);
        self.wires.insert(link, Wire::new(learner, leader));
        link
    }

    pub(super) fn is_cut(&self, one: Sid, other: Sid) -> bool {
        self.cut.contains(&(one, other))
    }

    /// Connections that meet a condition.
    pub(super) fn links(&self, is_it: impl Fn(&Wire) -> bool) -> Vec<PeerLink> {
        self.wires.iter().filter(|(_, wire)| is_it(wire)).map(|(link, _)| *link).collect()
    }
}
