//! A member's writer, lent to whoever brings something.
//!
//! A write passes through several servers, and on each through the threads of connections, of the writer and of the
//! log. Where little is going on, most of its time goes into waking them. So a thread that has brought something takes
//! the writer's turn itself, if nobody else is in one. The writer's own thread takes the turns that are due by
//! time, those that would take longer, and those with much to do.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::super::inbox::{Inbox, Lender};
use super::super::writer::Turn;
use super::MemberWriter;
use crate::clock::Clock;
use crate::store::StoreError;

/// Turns that are taken one after the other by who brought something, while others bring more.
const SHORT_TURNS_MAX: usize = 4;

/// Who takes turns.
pub struct Turns {
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    /// Gone when the server stops.
    writer: Mutex<Option<MemberWriter>>,
    /// When the writer's thread is to wake by itself, on the monotonic clock in milliseconds.
    due_ms: AtomicI64,
}

impl Turns {
    /// Of this writer. Nobody takes any before it is [lent](Self::lend).
    #[must_use]
    pub fn of(writer: MemberWriter) -> Arc<Self> {
        let (inbox, clock) = (Arc::clone(&writer.inbox), Arc::clone(&writer.driver.clock));
        let (writer, due_ms) = (Mutex::new(Some(writer)), AtomicI64::new(i64::MIN));
        Arc::new(Self { inbox, clock, writer, due_ms })
    }

    /// From here on the writer is lent to whoever puts something into its inbox.
    pub(super) fn lend(self: &Arc<Self>) {
        let lender: Arc<dyn Lender> = self.clone();
        self.inbox.set_lender(Arc::downgrade(&lender));
    }

    /// The writer's thread: takes part until the inbox is stopped, then closes the log.
    ///
    /// # Errors
    /// What the disk cannot store or sync is the end: nothing of it was acknowledged to anybody.
    pub fn run(self: &Arc<Self>) -> Result<(), StoreError> {
        self.lend();
        let mut timeout = Duration::ZERO;
        loop {
            self.inbox.wait(timeout);
            let mut writer = self.writer();
            let Some(lent) = writer.as_mut() else { return Ok(()) };
            let goes_on = lent.turn() == Turn::Continue;
            timeout = lent.timeout();
            self.due_ms.store(self.due_in(timeout), Ordering::Relaxed);
            if !goes_on || self.inbox.is_over() {
                let ended = writer.take();
                // Closing waits for the log, which may be about to ask for a turn.
                drop(writer);
                return ended.map_or(Ok(()), MemberWriter::close);
            }
        }
    }

    /// Does something while somebody else is in a turn.
    #[cfg(test)]
    pub(super) fn during_a_turn(&self, what: impl FnOnce()) {
        let _in_a_turn = self.writer();
        what();
    }

    /// The writer's thread is to wake by itself then.
    #[cfg(test)]
    pub(super) fn expect_at(&self, due_ms: i64) {
        self.due_ms.store(due_ms, Ordering::Relaxed);
    }

    /// When the writer's thread is to wake by itself.
    #[cfg(test)]
    pub(super) fn expects(&self) -> i64 {
        self.due_ms.load(Ordering::Relaxed)
    }

    fn writer(&self) -> MutexGuard<'_, Option<MemberWriter>> {
        self.writer.lock().expect("no turn has panicked")
    }

    fn due_in(&self, timeout: Duration) -> i64 {
        let left_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        self.clock.now_ms().saturating_add(left_ms)
    }
}

impl Lender for Turns {
    fn take_turn(&self) {
        for _ in 0..SHORT_TURNS_MAX {
            let mut writer = match self.writer.try_lock() {
                Ok(writer) => writer,
                // Whoever is in a turn looks into the inbox after it.
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => panic!("a turn has panicked"),
            };
            let Some(lent) = writer.as_mut() else { return };
            let has_failed = lent.short_turn() == Turn::Stop;
            let timeout = lent.timeout();
            drop(writer);
            let is_due =
                has_failed || timeout.is_zero() || self.due_in(timeout) < self.due_ms.load(Ordering::Relaxed);
            if is_due {
                self.inbox.call();
                return;
            }
            if self.inbox.is_empty() {
                return;
            }
        }
        self.inbox.call();
    }
}
