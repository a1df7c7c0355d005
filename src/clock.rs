//! Time: the only place that asks the system for it.

/// Where time comes from. The pure rooms are told; only drivers ask.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds of a clock that never goes back. What it counts from is the machine's start, so that
    /// session ids of a restarted server differ (reference: `Time.currentElapsedTime`).
    fn now_ms(&self) -> i64;

    /// Milliseconds since 1970. May go back; orders nothing.
    fn wall_ms(&self) -> i64;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now_ms(&self) -> i64 {
        millis(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
    }

    fn wall_ms(&self) -> i64 {
        millis(rustix::time::clock_gettime(rustix::time::ClockId::Realtime))
    }
}

const fn millis(time: rustix::time::Timespec) -> i64 {
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
