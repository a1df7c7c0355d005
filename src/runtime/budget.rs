//! One bound for the memory that all clients together can make the server hold: requests that wait, replies
//! that were not read, input that is not whole yet.
//!
//! Each connection has bounds of its own (`net`), which a single client meets first. The budget is what
//! thousands of connections meet together. What is counted is what connections hold at the end of their turns,
//! so it is exact to within one turn of each.

use std::sync::atomic::{AtomicI64, Ordering};

/// Bytes and requests in the server's hands on behalf of clients.
#[derive(Debug)]
pub struct Budget {
    bytes_max: i64,
    requests_max: i64,
    /// Input and unsent output of connections.
    held_bytes: AtomicI64,
    /// Requests that were handed to the writer and are not done.
    waiting_bytes: AtomicI64,
    waiting: AtomicI64,
}

impl Budget {
    /// At most so many bytes, and so many requests that wait (`globalOutstandingLimit`; `None` for no limit).
    #[must_use]
    pub fn new(bytes_max: usize, requests_max: Option<usize>) -> Self {
        let signed = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            bytes_max: signed(bytes_max),
            requests_max: requests_max.map_or(i64::MAX, signed),
            held_bytes: AtomicI64::new(0),
            waiting_bytes: AtomicI64::new(0),
            waiting: AtomicI64::new(0),
        }
    }

    /// Without limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX, None)
    }

    /// A connection holds this many bytes more, or less.
    pub fn hold(&self, more_bytes: i64) {
        if more_bytes != 0 {
            self.held_bytes.fetch_add(more_bytes, Ordering::Relaxed);
        }
    }

    /// Requests were handed to the writer.
    pub fn enter(&self, requests: usize, bytes: usize) {
        self.waiting.fetch_add(requests as i64, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// Requests are done.
    pub fn leave(&self, requests: usize, bytes: usize) {
        self.waiting.fetch_sub(requests as i64, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// Requests that were handed to the writer and are not done.
    #[must_use]
    pub fn waiting(&self) -> usize {
        usize::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Bytes held for clients.
    pub fn bytes(&self) -> i64 {
        self.held_bytes.load(Ordering::Relaxed) + self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing more that takes memory should be taken in.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.bytes() >= self.bytes_max
    }

    /// Whether even those who hold next to nothing must wait: a quarter more than the bound is held.
    #[must_use]
    pub fn is_overdrawn(&self) -> bool {
        self.bytes() >= self.bytes_max.saturating_add(self.bytes_max / 4)
    }

    /// Whether a connection that has requests waiting should bring no more of them for now (reference:
    /// `ZooKeeperServer.shouldThrottle`).
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > self.requests_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_and_what_waits_count_together() {
        let budget = Budget::new(100, Some(2));
        budget.hold(60);
        assert!(!budget.is_exhausted());
        budget.enter(3, 40);
        assert!(budget.is_exhausted() && budget.is_throttled());
        budget.leave(1, 10);
        assert!(!budget.is_exhausted() && !budget.is_throttled());
        budget.hold(-60);
        assert_eq!(budget.bytes(), 30);
    }

    #[test]
    fn who_holds_little_waits_only_at_a_quarter_more_than_the_bound() {
        let budget = Budget::new(100, None);
        budget.hold(99);
        assert!(!budget.is_exhausted());
        budget.hold(1);
        assert!(budget.is_exhausted() && !budget.is_overdrawn());
        budget.hold(24);
        assert!(!budget.is_overdrawn());
        budget.hold(1);
        assert!(budget.is_overdrawn());
    }

    #[test]
    fn without_limits_nobody_waits() {
        let budget = Budget::unlimited();
        budget.hold(1 << 60);
        budget.enter(1 << 40, 1 << 50);
        assert!(!budget.is_exhausted() && !budget.is_overdrawn() && !budget.is_throttled());
        assert_eq!(budget.waiting(), 1 << 40);
        budget.leave(1 << 40, 1 << 50);
        assert_eq!((budget.waiting(), budget.bytes()), (0, 1 << 60));
    }

    #[test]
    fn as_many_requests_may_wait_as_the_limit_says() {
        let budget = Budget::new(100, Some(2));
        budget.enter(2, 0);
        assert!(!budget.is_throttled());
        budget.enter(1, 0);
        assert!(budget.is_throttled());
    }
}
