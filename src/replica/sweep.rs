//! Removing containers that have emptied and nodes that have aged (reference: `ContainerManager`).

use std::collections::VecDeque;

use crate::tree::{Owner, Tree};

/// When and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between looks.
    pub interval_ms: i64,
    /// Removals per minute at most.
    pub per_minute: i64,
    /// Age at which a container goes that never had a child; 0 for never.
    pub never_used_ms: i64,
}

/// What is due, and what of it may go now.
#[derive(Debug)]
pub(super) struct Sweep {
    options: Options,
    next_look_ms: i64,
    next_removal_ms: i64,
    candidates: VecDeque<String>,
}

impl Sweep {
    /// The first look is one interval after `now_ms`.
    pub(super) fn new(options: Options, now_ms: i64) -> Self {
        Self {
            options,
            next_look_ms: now_ms + options.interval_ms,
            next_removal_ms: now_ms,
            candidates: VecDeque::new(),
        }
    }

    /// When there is something to do.
    pub(super) fn next_ms(&self) -> i64 {
        if self.candidates.is_empty() { self.next_look_ms } else { self.next_removal_ms }
    }

    /// The paths to try to remove now.
    pub(super) fn due(&mut self, tree: &Tree, now_ms: i64, wall_ms: i64) -> Vec<String> {
        if now_ms >= self.next_look_ms {
            self.next_look_ms = now_ms + self.options.interval_ms;
            if self.candidates.is_empty() {
                self.candidates = self.candidates(tree, wall_ms).into();
                self.next_removal_ms = now_ms;
            }
        }
        let mut due = Vec::new();
        let pause_ms = (60_000 / self.options.per_minute.max(1)).max(1);
        while now_ms >= self.next_removal_ms
            && let Some(path) = self.candidates.pop_front()
        {
            due.push(path);
            self.next_removal_ms += pause_ms;
        }
        due
    }

    /// What a look finds.
    pub(super) fn candidates(&self, tree: &Tree, wall_ms: i64) -> Vec<String> {
        let is_empty_container = |path: &&str| {
            tree.get(path).is_some_and(|node| {
                let age = wall_ms - node.persisted().mtime;
                let unused_for_long = self.options.never_used_ms > 0 && age > self.options.never_used_ms;
                node.children().is_empty() && (node.persisted().cversion > 0 || unused_for_long)
            })
        };
        let is_aged = |path: &&str| {
            tree.get(path).is_some_and(|node| {
                let stat = node.persisted();
                let ttl = match Owner::from_field(stat.ephemeral_owner, tree.rules()) {
                    Owner::Ttl(ms) => ms,
                    _ => 0,
                };
                node.children().is_empty() && ttl != 0 && wall_ms - stat.mtime > ttl
            })
        };
        tree.containers()
            .filter(is_empty_container)
            .chain(tree.ttls().filter(is_aged))
            .map(str::to_owned)
            .collect()
    }
}
