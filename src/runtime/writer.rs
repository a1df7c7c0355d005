//! The writer of a server that is alone: drives the replica, the log and the snapshots. One turn: take all that waits → prepare → append →
//! one sync → apply and answer. A reply therefore never precedes the sync of what it acknowledges, and events are
//! in the outboxes before the reply that caused them.
//!
//! [`Writer::run`] is a thread that takes turns for as long as the server lives; the simulator takes the same
//! turns by itself.

use std::sync::Arc;
use std::time::Duration;

use super::disk_full::DiskFull;
use super::driver::Driver;
use super::inbox::{Inbox, Taken};
use super::stage_metrics::Stages;
use super::state::State;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::replica::{Options, Replica, Ticket};
use crate::txnlog::{Log, LogError};

/// The longest time between two turns, in milliseconds.
const IDLE_MS: i64 = 1000;

/// Takes snapshots; told at the end of each turn what was logged.
pub trait Snapshots: Send {
    /// Whether it is time for one, after `txns` more in a log of `log_bytes`.
    fn is_due(&mut self, txns: u64, log_bytes: u64) -> bool;

    /// Starts one of the tree as it stands. The log was just rolled.
    fn start(&mut self);

    /// Gives up the one under way, and returns when nothing is left of it: what it walks over is about to be
    /// replaced.
    fn give_up(&mut self) {}
}

/// No snapshots: for writers that are driven without them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn is_due(&mut self, _txns: u64, _log_bytes: u64) -> bool {
        false
    }
    fn start(&mut self) {}
}

/// What the writer starts with.
pub struct Parts {
    /// The recovered tree and sessions.
    pub state: Arc<State>,
    /// Where requests come from.
    pub inbox: Arc<Inbox>,
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

/// The writer's state.
pub struct Writer {
    pub(super) driver: Driver,
    inbox: Arc<Inbox>,
    log: Log,
    snapshots: Box<dyn Snapshots>,
    taken: Taken,
    /// A sync that was asked for and is not done.
    ticket: Option<Ticket>,
    pub(super) disk_full: Option<DiskFull>,
    /// Transactions in the batch under way, and when it began.
    batch: Batch,
}

/// The batch under way.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    txns: u64,
    changes: usize,
    began_ms: i64,
    made_wall_ms: i64,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The server goes on.
    Continue,
    /// The server stops on a full disk: what waits for space must not be gone on with.
    Stop,
}

impl Writer {
    /// Continues from what recovery left in the state.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { state, inbox, clock, metrics, log, snapshots, options } = parts;
        let replica = Replica::alone(options, state.tree().last_zxid(), clock.now_ms());
        Self {
            driver: Driver { state, clock, metrics, replica },
            inbox,
            log,
            snapshots,
            taken: Taken::default(),
            ticket: None,
            disk_full: None,
            batch: Batch::default(),
        }
    }

    /// Serves until the inbox is stopped and empty, then closes the log. On a full disk what waits
    /// for space is given up when the inbox is stopped: none of it was acknowledged.
    ///
    /// # Errors
    /// What the log cannot store or sync is the end: nothing unsynced was acknowledged.
    pub fn run(mut self) -> Result<(), LogError> {
        loop {
            let timeout = self.timeout();
            if !self.inbox.take(&mut self.taken, timeout) && !self.driver.replica.has_backlog() {
                if self.disk_full.is_some() {
                    self.say_stopping();
                    return Ok(());
                }
                break;
            }
            if self.take_turn()? == Turn::Stop {
                return Ok(());
            }
        }
        self.log.close()
    }

    /// Takes what waits in the inbox and takes a turn, without waiting for anything but the disk.
    ///
    /// # Errors
    /// As [`Writer::run`].
    pub fn turn(&mut self) -> Result<Turn, LogError> {
        self.inbox.take(&mut self.taken, Duration::ZERO);
        self.take_turn()
    }

    /// When the next turn is due, on the monotonic clock, if nothing comes before.
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        let now = self.driver.clock.now_ms();
        let idle = now + IDLE_MS;
        match &self.disk_full {
            Some(full) => full.retry_ms().min(idle),
            None if self.driver.replica.has_backlog() => now,
            None => self.driver.replica.deadline(&self.driver.state.sessions()).min(idle),
        }
    }

    /// How long nothing is to be done, if nothing comes.
    pub(super) fn timeout(&self) -> Duration {
        if self.disk_full.is_none() && self.driver.replica.has_backlog() {
            return Duration::ZERO;
        }
        let left = self.deadline_ms() - self.driver.clock.now_ms();
        Duration::from_millis(left.max(1).cast_unsigned())
    }

    fn take_turn(&mut self) -> Result<Turn, LogError> {
        self.driver.metrics.prep_processor_queue_size.observe(self.taken.requests.len() as i64);
        self.driver.replica.push(&mut self.taken.requests);
        self.driver.forget(&mut self.taken.gone);
        if self.disk_full.is_some() && !self.retry()? {
            if self.inbox.is_stopped() {
                self.say_stopping();
                return Ok(Turn::Stop);
            }
            self.driver.prepare_slice();
            return Ok(Turn::Continue);
        }
        self.driver.add_internal();
        self.batch.began_ms = self.driver.clock.now_ms();
        self.batch.made_wall_ms = self.driver.clock.wall_ms();
        self.batch.changes = self.driver.replica.outstanding_changes();
        loop {
            self.driver.prepare_slice();
            if !self.append()? {
                break;
            }
            if !self.driver.replica.wants_prepare() {
                break;
            }
        }
        self.sync()?;
        Ok(Turn::Continue)
    }

    /// Passes what is prepared to the log. False when the disk is full: what was passed before is synced all
    /// the same.
    fn append(&mut self) -> Result<bool, LogError> {
        while let Some(entry) = self.driver.replica.next_append() {
            let zxid = entry.header.zxid;
            match self.log.append(entry) {
                Ok(()) => {
                    self.driver.replica.set_appended(zxid);
                    self.batch.txns += 1;
                }
                Err(error) if error.is_retryable() => {
                    self.set_full(&error);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Ends the batch: makes it durable, carries it out and answers. False when the disk is full.
    pub(super) fn sync(&mut self) -> Result<bool, LogError> {
        let prepared_ms = self.driver.clock.now_ms();
        if self.ticket.is_none() {
            self.ticket = self.driver.replica.persist();
        }
        if let Some(ticket) = self.ticket.take() {
            let synced = match self.log.sync() {
                Ok(synced) => synced,
                Err(error) if error.is_retryable() => {
                    self.ticket = Some(ticket);
                    self.set_full(&error);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let took_ms = i64::try_from(synced.duration.as_millis()).unwrap_or(i64::MAX);
            self.driver.metrics.fsynctime.observe(took_ms);
            if synced.slow {
                tracing::warn!(
                    took_ms,
                    bytes = synced.bytes,
                    "syncing the transaction log took longer than fsync.warningthresholdms; every write waits \
                     for it, so look at the disk"
                );
            }
            self.driver.replica.done(ticket);
        }
        self.count(prepared_ms);
        let txns = std::mem::take(&mut self.batch.txns);
        while self.driver.replica.is_released() {
            self.driver.release_slice();
        }
        let removed = self.batch.changes.saturating_sub(self.driver.replica.outstanding_changes());
        self.driver.metrics.outstanding_changes_removed.add(removed as u64);
        let is_whole = self.driver.replica.prepared_count() == 0 && txns > 0;
        if is_whole && self.snapshots.is_due(txns, self.log.bytes_since_roll()) {
            self.log.roll()?;
            self.snapshots.start();
        }
        Ok(true)
    }

    /// Counts the stages of the batch, which is durable now.
    fn count(&mut self, prepared_ms: i64) {
        let Batch { txns, changes, began_ms, made_wall_ms } = self.batch;
        let requests = self.driver.replica.prepared_count();
        if requests == 0 {
            return;
        }
        let metrics = &self.driver.metrics;
        metrics.prep_processor_request_queued.add(requests as u64);
        let made = self.driver.replica.outstanding_changes();
        metrics.outstanding_changes_queued.add(made.saturating_sub(changes) as u64);
        self.batch.changes = made;
        if txns > 0 {
            metrics.sync_processor_request_queued.add(txns);
            metrics.sync_processor_batch_size.observe(txns.cast_signed());
        }
        let stages = Stages { began: began_ms, prepared: prepared_ms, synced: self.driver.clock.now_ms() };
        let ends =
            self.driver.replica.prepared().filter(|head| head.op == jute::OpCode::CLOSE_SESSION).count();
        let received = self.driver.replica.prepared().map(|head| head.received_ms);
        stages.count(metrics, received, ends, txns, (made_wall_ms, self.driver.clock.wall_ms()));
    }

    /// Tries again what found the disk full. Whether there is space.
    fn retry(&mut self) -> Result<bool, LogError> {
        let now_ms = self.driver.clock.now_ms();
        if self.disk_full.as_ref().is_some_and(|full| now_ms < full.retry_ms()) {
            return Ok(false);
        }
        if !self.sync()? || !self.append()? || !self.sync()? {
            return Ok(false);
        }
        self.set_space();
        Ok(true)
    }
}
