//! Whether the server has been listening. A session must not expire for a time in which the server itself did
//! not hear: it was stopped by a signal or by its host, or had no processor.
//!
//! A task on the threads that serve connections says every [`TICK_MS`] that it ran. The writer lets no session
//! expire while the last such word is old, and gives every session back the time for which there was none.

use std::sync::atomic::{AtomicI64, Ordering};

/// Time between two words.
pub const TICK_MS: i64 = 100;
/// A word may be late by this much before it counts as silence.
const LATE_MS: i64 = 200;

/// What is known of the threads that serve connections.
#[derive(Debug)]
pub struct Listening {
    last_ms: AtomicI64,
    deaf_ms: AtomicI64,
}

impl Listening {
    /// As of now.
    #[must_use]
    pub const fn new(now_ms: i64) -> Self {
        Self { last_ms: AtomicI64::new(now_ms), deaf_ms: AtomicI64::new(0) }
    }

    /// The threads run.
    pub fn tick(&self, now_ms: i64) {
        let since_ms = now_ms - self.last_ms.swap(now_ms, Ordering::AcqRel);
        if since_ms > TICK_MS + LATE_MS {
            self.deaf_ms.fetch_add(since_ms, Ordering::AcqRel);
        }
    }

    /// Whether the last word is recent.
    #[must_use]
    pub fn is_current(&self, now_ms: i64) -> bool {
        now_ms - self.last_ms.load(Ordering::Acquire) <= TICK_MS + LATE_MS
    }

    /// The time for which nothing was heard, since this was last asked; 0 for none.
    pub fn take_deaf_ms(&self) -> i64 {
        self.deaf_ms.swap(0, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seen_at_once_and_counted_when_it_is_over() {
        let listening = Listening::new(1000);
        listening.tick(1100);
        listening.tick(1250);
        assert!(listening.is_current(1400));
        assert_eq!(listening.take_deaf_ms(), 0);
        assert!(!listening.is_current(9000));
        listening.tick(9000);
        assert!(listening.is_current(9000));
        assert_eq!(listening.take_deaf_ms(), 7750);
        assert_eq!(listening.take_deaf_ms(), 0);
    }

    #[test]
    fn a_word_may_be_late_by_so_much_and_no_more() {
        let listening = Listening::new(1000);
        assert!(listening.is_current(1300) && !listening.is_current(1301));
        listening.tick(1300);
        assert_eq!(listening.take_deaf_ms(), 0);
        listening.tick(1601);
        assert_eq!(listening.take_deaf_ms(), 301);
        // Two pauses in a row count together.
        listening.tick(2000);
        listening.tick(2400);
        assert_eq!(listening.take_deaf_ms(), 799);
    }
}
