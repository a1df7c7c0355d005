//! The writer thread: everything that takes its turn goes through here, in order.
//!
//! One round: take all that waits → prepare each against what will be → append → one sync → apply and
//! reply in the order of arrival. A reply therefore never precedes the sync of what it acknowledges,
//! and events are in the outboxes before the reply that caused them. This thread is the only one that
//! gives out zxids, touches the log or changes the tree.

pub mod figures;
mod full;
#[cfg(test)]
mod full_test;
mod own;
mod queue;
mod round;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jute::{SessionId, Zxid};

pub use self::queue::Queue;

use self::sweep::Sweep;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::request::prepare::Preparer;
use crate::request::{Client, State};
use crate::txnlog::{Log, LogError};
use crate::zab::Zab;

/// What the pipeline itself can be told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Smallest session timeout granted.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout granted.
    pub max_session_timeout_ms: i32,
    /// When containers and aged nodes are looked for.
    pub sweep: sweep::Options,
}

pub use self::sweep::Options as SweepOptions;

/// Takes snapshots; told at the end of each round what was logged.
pub trait Snapshots: Send {
    /// Whether it is time for one, after `txns` more in a log of `log_bytes`.
    fn is_due(&mut self, txns: u64, log_bytes: u64) -> bool;

    /// Starts one of the tree as it stands. The log was just rolled.
    fn start(&mut self);
}

/// The thread's state.
pub struct Pipeline {
    state: Arc<State>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    options: Options,
    preparer: Preparer,
    zab: Zab,
    log: Log,
    snapshots: Box<dyn Snapshots>,
    sweep: Sweep,
    /// Which connection a session has now.
    connected: HashMap<SessionId, Arc<Client>>,
}

/// What the pipeline starts with.
pub struct Parts {
    /// The recovered tree and sessions.
    pub state: Arc<State>,
    /// Where requests come from.
    pub queue: Arc<Queue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// The log, open after the last recovered transaction.
    pub log: Log,
    /// Who takes snapshots.
    pub snapshots: Box<dyn Snapshots>,
    /// Settings.
    pub options: Options,
}

impl Pipeline {
    /// Continues from what recovery left in the state.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { state, queue, clock, metrics, log, snapshots, options } = parts;
        let recovered: Zxid = state.tree().last_zxid();
        Self {
            preparer: Preparer::new(state.options, recovered),
            zab: Zab::leading_alone(recovered),
            sweep: Sweep::new(options.sweep, clock.now_ms()),
            connected: HashMap::new(),
            state,
            queue,
            clock,
            metrics,
            options,
            log,
            snapshots,
        }
    }

    /// Serves until the queue is stopped and empty, then closes the log. On a full disk what waits
    /// for space is given up when the queue is stopped: none of it was acknowledged.
    ///
    /// # Errors
    /// What the log cannot store or sync is the end: nothing unsynced was acknowledged.
    pub fn run(mut self) -> Result<(), LogError> {
        let mut batch = Vec::new();
        while self.queue.take(&mut batch, self.patience()) {
            self.add_own_requests(&mut batch);
            if !batch.is_empty() && !self.round(&mut batch)? {
                return Ok(());
            }
        }
        self.log.close()
    }

    /// How long there is nothing to do by itself.
    fn patience(&self) -> Duration {
        let now = self.clock.now_ms();
        let sessions = self.state.sessions().next_deadline_ms();
        let wake = sessions.into_iter().chain([self.sweep.next_ms()]).min().unwrap_or(now + 1000);
        Duration::from_millis(u64::try_from(wake - now).unwrap_or(0).clamp(1, 1000))
    }
}
