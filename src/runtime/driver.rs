//! Lends the tree and the sessions to the replica, for about a millisecond at a time, and what connections need
//! to hear is sent whenever they are let go. The log is never touched while they are held.

use std::sync::Arc;

use super::delivery::Delivery;
use super::state::State;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::replica::{Data, Now, Replica};
use crate::request::ConnectionId;
use crate::zab::{Output, Serving};

/// A replica and what it is lent.
pub(super) struct Driver {
    pub(super) state: Arc<State>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) replica: Replica,
}

impl Driver {
    pub(super) fn now(&self) -> Now {
        Now { monotonic_ms: self.clock.now_ms(), wall_ms: self.clock.wall_ms() }
    }

    /// Connections that have gone take along what waits for space on a full disk.
    pub(super) fn forget(&mut self, gone: &mut Vec<ConnectionId>) {
        if !self.replica.is_full() {
            gone.clear();
            return;
        }
        let Self { state, metrics, clock, replica } = self;
        let mut host = Delivery::new(state, metrics, &**clock);
        for connection in gone.drain(..) {
            replica.connection_gone(connection, &mut host);
        }
        host.send();
    }

    /// Adds ends of sessions and what else is due, unless the server has not been listening.
    pub(super) fn add_internal(&mut self) {
        let now = self.now();
        if !self.state.listening.is_current(now.monotonic_ms) {
            return;
        }
        let Self { state, metrics, clock, replica } = self;
        let mut sessions = state.sessions();
        let deaf_ms = state.listening.take_deaf_ms();
        if deaf_ms > 0 {
            tracing::warn!(
                "the server did not run for {deaf_ms} ms (stopped, or out of processor time); every session's \
                 timeout is extended by that"
            );
            sessions.postpone(deaf_ms, now.monotonic_ms);
        }
        if now.monotonic_ms < replica.deadline(&sessions) {
            return;
        }
        let tree = state.tree();
        let mut host = Delivery::new(state, metrics, &**clock);
        replica.add_internal(now, &tree, &mut sessions, &mut host);
        drop(tree);
        drop(sessions);
        host.send();
    }

    /// Prepares for about a millisecond.
    pub(super) fn prepare_slice(&mut self) {
        let now = self.now();
        let Self { state, metrics, clock, replica } = self;
        let mut sessions = state.sessions();
        let tree = state.tree();
        let mut host = Delivery::new(state, metrics, &**clock);
        replica.prepare(now, &tree, &mut sessions, &mut host);
        drop(tree);
        drop(sessions);
        host.send();
    }

    /// Applies and answers for about a millisecond.
    pub(super) fn release_slice(&mut self) {
        let Self { state, metrics, clock, replica } = self;
        let mut sessions = state.sessions();
        let mut tree = state.tree_mut();
        let mut watches = state.watches();
        let mut host = Delivery::new(state, metrics, &**clock);
        let mut data = Data { tree: &mut tree, watches: &mut watches, sessions: &mut sessions };
        replica.release(&mut data, &mut host);
        state.set_last_zxid(tree.last_zxid());
        drop(watches);
        drop(tree);
        drop(sessions);
        host.send();
    }

    /// Of a member: adds what the replica asks for, until that is everything. Returns how clients are to be served
    /// from here on, where that changes.
    pub(super) fn poll(&mut self, outputs: &mut Vec<Output>) -> Vec<Serving> {
        let now = self.now();
        let Self { state, metrics, clock, replica } = self;
        let mut sessions = state.sessions();
        let mut host = Delivery::new(state, metrics, &**clock);
        while let Some(output) = replica.poll(now, &mut sessions, &mut host) {
            outputs.push(output);
        }
        drop(sessions);
        host.send()
    }
}
