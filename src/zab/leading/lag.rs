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

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(zxids: &[i64]) -> Lag {
        let mut lag = Lag::default();
        zxids.iter().for_each(|n| lag.wait_for(Zxid(*n), n * 100));
        lag
    }

    #[test]
    fn a_wait_is_over_when_it_is_longer_than_the_limit() {
        assert!(!waiting(&[]).is_over(i64::MAX, 0));
        assert!(!waiting(&[1, 2]).is_over(150, 50));
        assert!(waiting(&[1, 2]).is_over(151, 50));
    }

    #[test]
    fn what_was_given_next_is_waited_for_from_when_it_was_given() {
        let mut lag = waiting(&[1, 2, 3]);
        lag.reached(Zxid(0));
        assert!(lag.is_over(151, 50), "it has not reached the first");
        lag.reached(Zxid(1));
        assert!(!lag.is_over(250, 50) && lag.is_over(251, 50));
        lag.reached(Zxid(2));
        assert!(!lag.is_over(i64::MAX, 0), "what was given later is not known of");
    }

    #[test]
    fn who_has_reached_the_next_one_too_is_not_waited_for() {
        for reached in [2, 3] {
            let mut lag = waiting(&[1, 2]);
            lag.reached(Zxid(reached));
            assert!(!lag.is_over(i64::MAX, 0));
            lag.wait_for(Zxid(4), 400);
            assert!(lag.is_over(451, 50));
        }
    }
}
