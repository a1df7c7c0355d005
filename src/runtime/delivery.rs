//! What the replica says, on its way into the outboxes of connections.

use std::sync::{Arc, RwLockReadGuard};

use jute::Zxid;

use super::client::Client;
use super::outbox::{Closing, EVENT_BYTES_MAX, WAITING_BYTES_MAX};
use super::reply_caches::Found;
use super::stage_metrics;
use super::state::{Registry, State};
use super::stats::Tally;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::replica::{Close, Host, Observation, Outcome};
use crate::request::replies::Replies;
use crate::request::reply::short_name;
use crate::request::{ConnectionId, Head, Origin, is_write};
use crate::session::SessionHandle;
use crate::tree::Identities;
use crate::watch::EventType;
use crate::zab::Serving;

/// For how long the tree is held at a time, in microseconds.
const SLICE_US: i64 = 1000;
/// Requests between two looks at the clock. A single one may take most of a millisecond: a check against the longest
/// access control list.
const LOOK_EVERY: u32 = 4;
/// Connections that the writer answers itself instead of waking their tasks: with few, a write from here is
/// cheaper; with many, the tasks write side by side.
const DIRECT_REPLIES_MAX: usize = 2;

/// The host of one call of the replica.
pub(super) struct Delivery<'a> {
    state: &'a State,
    metrics: &'a Metrics,
    clock: &'a dyn Clock,
    clients: RwLockReadGuard<'a, Registry>,
    now_ms: i64,
    until_us: i64,
    asked: u32,
    tally: Tally,
    /// Requests that are done, and their bytes.
    done: (usize, usize),
    woken: Vec<Arc<Client>>,
    serves: Vec<Serving>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(state: &'a State, metrics: &'a Metrics, clock: &'a dyn Clock) -> Self {
        let now_us = clock.now_us();
        Self {
            state,
            metrics,
            clock,
            clients: state.registry(),
            now_ms: now_us / 1000,
            until_us: now_us + SLICE_US,
            asked: 0,
            tally: Tally::default(),
            done: (0, 0),
            woken: Vec::new(),
            serves: Vec::new(),
        }
    }

    /// Sends what was put into the outboxes. Call it when the tree is let go. Returns how clients are to be served
    /// from here on, where that changes.
    pub(super) fn send(self) -> Vec<Serving> {
        let Self { state, metrics, clients, tally, done, woken, serves, .. } = self;
        drop(clients);
        state.stats.count_replies(tally);
        if done.0 > 0 {
            state.budget.leave(done.0, done.1);
        }
        let directly = woken.len() <= DIRECT_REPLIES_MAX;
        for client in woken {
            client.deliver(directly, |packets| {
                state.stats.count_packets(packets);
                metrics.response_bytes.add(packets.bytes - packets.event_bytes);
                metrics.watch_bytes.add(packets.event_bytes);
            });
        }
        serves
    }
}

impl Host for Delivery<'_> {
    fn answer(&mut self, head: &Head, outcome: Outcome, write: impl FnOnce(&mut Replies)) {
        let Origin::Client(connection) = head.origin else { return };
        self.done = (self.done.0 + 1, self.done.1 + head.bytes);
        let Some(client) = self.clients.get(&connection) else { return };
        if let Outcome::Replied { zxid, .. } | Outcome::Began(zxid) = outcome {
            self.state.reach_zxid(zxid);
        }
        let mut outbox = client.outbox();
        let is_first = !outbox.has_news();
        let is_over = outbox.piled() > WAITING_BYTES_MAX;
        if !is_over {
            let before = outbox.waiting();
            outbox.append(write);
            if !is_write(head.op) {
                client.note_ordered(outbox.waiting() - before);
            }
            self.state.budget.hold(outbox.take_unaccounted() as i64);
        }
        let reply = match outcome {
            Outcome::Replied { zxid, is_ok } => Some((zxid, is_ok)),
            Outcome::Began(zxid) => Some((zxid, true)),
            Outcome::Connected => None,
        };
        if let Some((zxid, is_ok)) = reply {
            let op = if is_ok { short_name(head.op) } else { "NA" };
            outbox.stats.replied(op, head.xid, zxid, head.received_ms, self.now_ms);
            self.tally.add(self.now_ms - head.received_ms);
        }
        client.leave(head.bytes);
        drop(outbox);
        if is_over {
            client.close(Closing::Refused("it reads none of the replies behind its writes"));
        }
        if is_first {
            self.woken.push(client.clone());
        }
    }

    fn drop_request(&mut self, head: &Head) {
        let Origin::Client(connection) = head.origin else { return };
        self.done = (self.done.0 + 1, self.done.1 + head.bytes);
        if let Some(client) = self.clients.get(&connection) {
            client.leave(head.bytes);
        }
    }

    fn notify(&mut self, to: ConnectionId, event: EventType, path: &str, zxid: Zxid) {
        let Some(client) = self.clients.get(&to) else { return };
        self.state.reach_zxid(zxid);
        let mut outbox = client.outbox();
        let is_first = !outbox.has_news();
        if outbox.piled() > EVENT_BYTES_MAX {
            drop(outbox);
            return client.close(Closing::Refused("it does not read its watch events"));
        }
        outbox.append(|out| out.notify(event, path, zxid));
        self.state.budget.hold(outbox.take_unaccounted() as i64);
        drop(outbox);
        if is_first {
            self.woken.push(client.clone());
        }
    }

    fn bind(&mut self, connection: ConnectionId, session: Arc<SessionHandle>) {
        if let Some(client) = self.clients.get(&connection) {
            client.bind(session);
        }
    }

    fn close(&mut self, connection: ConnectionId, how: Close) {
        if let Some(client) = self.clients.get(&connection) {
            client.close(match how {
                Close::AfterReplies => Closing::AfterReplies,
                Close::Now => Closing::Now,
                Close::Refused(why) => Closing::Refused(why),
            });
        }
    }

    fn is_gone(&self, connection: ConnectionId) -> bool {
        self.clients.get(&connection).is_none_or(|client| client.is_closed())
    }

    fn identities(&self, connection: ConnectionId) -> Option<Identities> {
        self.clients.get(&connection).map(|client| client.identities())
    }

    fn peer(&self, connection: ConnectionId) -> String {
        self.clients.get(&connection).map_or_else(String::new, |client| client.peer.to_string())
    }

    fn has_listened(&mut self, connection: ConnectionId, since_ms: i64) -> bool {
        self.clients.get(&connection).is_none_or(|client| client.has_listened(since_ms))
    }

    fn must_yield(&mut self) -> bool {
        self.asked += 1;
        self.asked.is_multiple_of(LOOK_EVERY) && self.clock.now_us() >= self.until_us
    }

    fn audits(&self) -> bool {
        self.state.trail().is_some()
    }

    fn observe(&mut self, what: Observation<'_>) {
        let metrics = self.metrics;
        match what {
            Observation::Applying { body, received_ms } => {
                stage_metrics::count_writes(metrics, body);
                if let Some(received_ms) = received_ms {
                    metrics.updatelatency.observe(self.now_ms - received_ms);
                }
            }
            Observation::Done { head, applied } => {
                if let Origin::Client(connection) = head.origin
                    && let (Some(trail), Some(client)) = (self.state.trail(), self.clients.get(&connection))
                {
                    trail.done(client, head.session, head.xid, applied);
                }
            }
            Observation::SessionEnded { session, body, deleted } => {
                if let Some(trail) = self.state.trail() {
                    trail.session_ended(session, body, deleted);
                }
            }
            Observation::Fired(fired) => stage_metrics::count_watches(metrics, fired),
            Observation::Digest { zxid, digest, is_wrong } => {
                if is_wrong {
                    metrics.digest_mismatches_count.increment();
                }
                self.state.note_digest(zxid, digest);
            }
            Observation::QuotaExceeded(namespace) => {
                metrics.quota_exceeded_error_per_namespace.add(namespace, 1);
            }
            Observation::Serves(serving) => self.serves.push(serving),
            Observation::Revalidated => metrics.connection_revalidate_count.increment(),
            Observation::Expired(_) => metrics.stale_sessions_expired.increment(),
            Observation::Reply { op, path, stat } => {
                let mut found = Found::default();
                self.state.reply_caches.look(&mut found, op, path, stat);
                found.count(metrics);
            }
            Observation::Read { path, bytes } => stage_metrics::count_read(metrics, path, bytes),
        }
    }
}
