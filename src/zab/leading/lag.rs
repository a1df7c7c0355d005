//! How long a server has not made durable what it was given (reference: `SyncLimitCheck`).

use jute::Zxid;

use super::super::ids::Ms;

/// A transaction that a server was given and has not made durable, and the next after it, with the times of giving.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lag {
    waited: Option<(Zxid, Ms)>,
    next: Option<(Zxid, Ms)>,
}

impl Lag {
    /// It was given one.
    pub(super) const fn wait_for(&mut self, zxid: Zxid, now: Ms) {
        if self.waited.is_none() {
            self.waited = Some((zxid, now));
        } else if self.next.is_none() {
            self.next = Some((zxid, now));
        }
    }

    /// It has everything up to here.
    pub(super) fn reached(&mut self, zxid: Zxid) {
        if self.waited.is_some_and(|(waited, _)| waited <= zxid) {
            self.waited = self.next.take().filter(|(next, _)| *next > zxid);
        }
    }

    /// Whether one has been waited for too long.
    pub(super) fn is_over(&self, now: Ms, limit_ms: Ms) -> bool {
        self.waited.is_some_and(|(_, given_ms)| now - given_ms > limit_ms)
    }
}
