//! Time: where the system is asked for it.
//!
//! Whoever else asks says why with `#[expect(clippy::disallowed_methods)]`: timers of the runtime under deadlines
//! of sockets, and measurements that decide nothing. Times of log lines are the subscriber's.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where time comes from. Pure modules are told the time; only drivers ask.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds of a clock that never goes back. What it counts from is the machine's start, so that
    /// session ids of a restarted server differ (reference: `Time.currentElapsedTime`).
    fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// The same clock in microseconds: for slices of work that end after a short time.
    fn now_us(&self) -> i64;

    /// Milliseconds since 1970. May go back; orders nothing.
    fn wall_ms(&self) -> i64;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now_us(&self) -> i64 {
        micros(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
    }

    fn wall_ms(&self) -> i64 {
        micros(rustix::time::clock_gettime(rustix::time::ClockId::Realtime)) / 1000
    }
}

const fn micros(time: rustix::time::Timespec) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// A clock that stands still until it is moved, for tests and the simulator.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicI64,
    /// What the wall shows more than the clock that never goes back.
    wall_ahead_us: AtomicI64,
}

impl ManualClock {
    /// A clock that shows this many microseconds, on the wall too.
    #[must_use]
    pub const fn at_us(now_us: i64) -> Self {
        Self { now_us: AtomicI64::new(now_us), wall_ahead_us: AtomicI64::new(0) }
    }

    /// Lets so many microseconds pass.
    pub fn advance_us(&self, by_us: i64) {
        debug_assert!(by_us >= 0, "this clock never goes back");
        self.now_us.fetch_add(by_us, Ordering::Relaxed);
    }

    /// Sets the wall's clock, which may go back; the other one goes on.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ahead_us.store(wall_ms * 1000 - self.now_us(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> i64 {
        (self.now_us() + self.wall_ahead_us.load(Ordering::Relaxed)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_those_of_the_microseconds() {
        let before_ms = RealClock.now_ms();
        let us = RealClock.now_us();
        assert!((before_ms..=RealClock.now_ms()).contains(&(us / 1000)));
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_moved() {
        let clock = ManualClock::at_us(5_000);
        assert_eq!((clock.now_us(), clock.now_ms(), clock.wall_ms()), (5_000, 5, 5));
        clock.advance_us(2_500);
        assert_eq!((clock.now_us(), clock.now_ms(), clock.wall_ms()), (7_500, 7, 7));
        clock.set_wall_ms(3);
        assert_eq!((clock.now_ms(), clock.wall_ms()), (7, 3));
        clock.advance_us(1_000);
        assert_eq!((clock.now_ms(), clock.wall_ms()), (8, 4));
    }
}
