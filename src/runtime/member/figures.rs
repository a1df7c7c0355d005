//! What a member counts of its roles (reference: `QuorumPeer`, `Leader`, `Follower`, `Observer`).

use crate::metrics::Metrics;
use crate::runtime::standing::Published;
use crate::zab::{PeerState, Progress};

/// What was counted by the last turn. Times in milliseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Figures {
    last: Option<Progress>,
    /// When it began to look for a leader.
    looks_since: i64,
    /// When its role began.
    role_since: i64,
}

impl Figures {
    pub(super) const fn new(now_ms: i64) -> Self {
        Self { last: None, looks_since: now_ms, role_since: now_ms }
    }

    /// Counts what has happened since the last turn.
    pub(super) fn count(&mut self, metrics: &Metrics, standing: &Published, now_ms: i64, now: Progress) {
        let last = self.last.replace(now);
        if last.is_none_or(|last| last.state != now.state) {
            if now.state == PeerState::Looking {
                metrics.looking_count.increment();
                self.looks_since = now_ms;
            } else {
                metrics.election_time.observe(now_ms - self.looks_since);
            }
            self.role_since = now_ms;
        }
        if now.is_serving && last.is_none_or(|last| !last.is_serving || last.state != now.state) {
            self.begins_to_serve(metrics, now_ms, now.state);
        }
        if now.state == PeerState::Leading {
            let before = last.filter(|last| last.proposed.epoch() == now.proposed.epoch());
            let (proposed, committed) =
                before.map_or((0, 0), |last| (last.proposed.counter(), last.committed.counter()));
            metrics.proposal_count.add(now.proposed.counter().saturating_sub(proposed).into());
            metrics.commit_count.add(now.committed.counter().saturating_sub(committed).into());
        }
        if last.is_none_or(|last| last.pending_syncs != now.pending_syncs) {
            standing.set_pending_syncs(i64::try_from(now.pending_syncs).unwrap_or(i64::MAX));
        }
    }

    fn begins_to_serve(&self, metrics: &Metrics, now_ms: i64, state: PeerState) {
        let unavailable_ms = now_ms - self.looks_since;
        metrics.unavailable_time.observe(unavailable_ms);
        match state {
            PeerState::Leading => metrics.leader_unavailable_time.observe(unavailable_ms),
            PeerState::Following => metrics.follower_sync_time.observe(now_ms - self.role_since),
            PeerState::Observing => metrics.observer_sync_time.observe(now_ms - self.role_since),
            PeerState::Looking => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jute::Zxid;

    use super::*;

    const E: i64 = 1 << 32;

    fn progress(state: PeerState, is_serving: bool, proposed: i64, committed: i64) -> Progress {
        Progress {
            state,
            is_serving,
            proposed: Zxid(proposed),
            committed: Zxid(committed),
            pending_syncs: usize::try_from(proposed - committed).unwrap(),
        }
    }

    /// A turn may bring the first writes of a term with its beginning.
    #[test]
    fn what_a_term_begins_with_is_counted_whole() {
        let (metrics, standing) = (Metrics::new(), Published::default());
        let mut figures = Figures::new(0);
        let mut count = |proposed, committed| {
            figures.count(&metrics, &standing, 1, progress(PeerState::Leading, true, proposed, committed))
        };
        count(2 * E + 3, 2 * E + 2);
        assert_eq!((metrics.proposal_count.value(), metrics.commit_count.value()), (3, 2));
        count(4 * E + 2, 4 * E + 1);
        assert_eq!((metrics.proposal_count.value(), metrics.commit_count.value()), (5, 3));
    }

    #[test]
    fn terms_and_what_is_done_in_them_are_counted() {
        let (metrics, standing) = (Metrics::new(), Published::default());
        let mut figures = Figures::new(0);
        let mut count = |at, state, serves, proposed, committed| {
            figures.count(&metrics, &standing, at, progress(state, serves, proposed, committed));
        };
        count(10, PeerState::Looking, false, 0, 0);
        count(20, PeerState::Looking, false, 0, 0);
        count(50, PeerState::Following, false, 0, 0);
        count(80, PeerState::Following, true, 0, 0);
        count(90, PeerState::Looking, false, 0, 0);
        count(95, PeerState::Leading, false, 2 * E, 2 * E);
        count(99, PeerState::Leading, true, 2 * E + 3, 2 * E + 1);
        count(99, PeerState::Leading, true, 2 * E + 5, 2 * E + 4);
        assert_eq!(standing.pending_syncs(), 1);
        count(100, PeerState::Looking, false, 0, 0);
        count(101, PeerState::Leading, false, 3 * E, 3 * E);
        count(102, PeerState::Leading, true, 3 * E + 1, 3 * E + 1);
        assert_eq!(metrics.looking_count.value(), 3);
        assert_eq!((metrics.proposal_count.value(), metrics.commit_count.value()), (6, 5));
        let times = |summary: &crate::metrics::Summary| (summary.count(), summary.sum());
        assert_eq!(times(&metrics.election_time), (3, 40 + 5 + 1));
        assert_eq!(times(&metrics.follower_sync_time), (1, 30));
        assert_eq!(times(&metrics.unavailable_time), (3, 70 + 9 + 2));
        assert_eq!(times(&metrics.leader_unavailable_time), (2, 9 + 2));
        assert_eq!(standing.pending_syncs(), 0);
    }
}
