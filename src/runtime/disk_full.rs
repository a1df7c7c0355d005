//! A full disk: writes wait, everything else goes on.
//!
//! A transaction for which the log finds no space keeps its zxid and its place; all that was prepared
//! before it is synced and answered, all that came after it waits behind it. Nothing is answered that is
//! not durable, so what a client sees is a slow server: it may give up its connection, come back to its
//! session and read. No session expires meanwhile, as its end would be a transaction too, and each has
//! its whole timeout again when there is space.
//!
//! What waits is bounded: a request that was not prepared yet goes when its connection has gone, with
//! all others of that connection, so that none of them is carried out without those before it.

use super::writer::Writer;
use crate::txnlog::LogError;

/// How long a full disk is left alone between two attempts.
const RETRY_MS: i64 = 200;
/// Time between two lines in the server's log while the disk stays full.
const REMIND_MS: i64 = 60_000;

/// Since when there is no space, and when it is looked for again; milliseconds on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiskFull {
    since_ms: i64,
    retry_ms: i64,
    remind_ms: i64,
}

impl DiskFull {
    pub(super) const fn retry_ms(&self) -> i64 {
        self.retry_ms
    }
}

impl Writer {
    /// The log found no space.
    pub(super) fn set_full(&mut self, error: &LogError) {
        let now_ms = self.driver.clock.now_ms();
        self.driver.replica.set_full();
        self.driver.state.set_disk_full(true);
        let known = self.disk_full;
        let mut full = known.unwrap_or(DiskFull { since_ms: now_ms, retry_ms: now_ms, remind_ms: now_ms });
        full.retry_ms = now_ms + RETRY_MS;
        if now_ms >= full.remind_ms {
            full.remind_ms = now_ms + REMIND_MS;
            let (waiting, for_ms) = (self.waiting(), now_ms - full.since_ms);
            tracing::error!(waiting, for_ms, "the disk is full, so writes wait and reads go on: {error}");
        }
        self.disk_full = Some(full);
    }

    /// What the log could not take, it has taken.
    pub(super) fn set_space(&mut self) {
        let now = self.driver.now();
        let Some(full) = self.disk_full.take() else { return };
        self.driver.replica.set_space(now, &self.driver.state.sessions());
        self.driver.state.set_disk_full(false);
        let after_ms = now.monotonic_ms - full.since_ms;
        tracing::info!(after_ms, "there is space on the disk again; writes go on");
    }

    pub(super) fn say_stopping(&self) {
        tracing::warn!(waiting = self.waiting(), "stopping with a full disk; what waits is not carried out");
    }

    fn waiting(&self) -> usize {
        self.driver.replica.backlog() + self.driver.replica.prepared_count()
    }
}
