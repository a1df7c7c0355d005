//! What decides how this server takes part.

use super::ids::{Ms, Sid};

/// What decides how this server takes part. The default is that of a server alone, which asks nobody and waits for nobody.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// This server.
    pub me: Sid,
    /// `peerType=observer`, or its line says so: it never votes.
    pub is_observer: bool,
    /// The unit of time (`tickTime`).
    pub tick_ms: Ms,
    /// Ticks a learner has to connect and be brought up to date, and a leader to gather a quorum (`initLimit`).
    pub init_limit: i64,
    /// Ticks after which a silent peer is given up (`syncLimit`).
    pub sync_limit: i64,
    /// The wait before an election is asked about again, at first and at most
    /// (`zookeeper.fastleader.minNotificationInterval`, `maxNotificationInterval`).
    pub notification_ms: (Ms, Ms),
    /// `forceSnapshotSync`: learners are sent the whole tree, for tests.
    pub force_snapshot: bool,
    /// What is seldom changed.
    pub tuning: Tuning,
}

/// What is seldom changed. The default is the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Transactions that are kept in memory for learners (`commitLogCount`), as far as they do not take too many bytes.
    pub kept_txns: usize,
    /// Learners that are being sent a snapshot, and transactions, above which an observer has to come again
    /// (`leader.maxConcurrentSnapSyncs`, `leader.maxConcurrentDiffSyncs`).
    pub syncs_max: Syncs,
    /// How long a leader waits for a quorum after which it gives up as soon as one of those that elected it looks for
    /// a leader again; without it `initLimit` alone counts (`leader.maxTimeToWaitForEpoch`).
    pub epoch_wait_ms: Option<Ms>,
    /// An observer waits so long, at most, before it connects to its leader (`observer.reconnectDelayMs`).
    pub observer_connects_ms: Ms,
    /// An observer that has lost its leader waits so long, at most, before it asks for the next one
    /// (`observer.election.DelayMs`).
    pub observer_looks_ms: Ms,
}

/// A number for each of the two kinds of bringing a learner up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syncs {
    /// With a snapshot.
    pub snap: usize,
    /// With transactions, or by cutting its log.
    pub diff: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            kept_txns: 500,
            syncs_max: Syncs { snap: 10, diff: 100 },
            epoch_wait_ms: None,
            observer_connects_ms: 0,
            observer_looks_ms: 200,
        }
    }
}

/// A part of a wait, so that observers which lost their leader at the same moment do not all come back at once. There is
/// no randomness here: they differ by their number, and one by the time (reference:
/// `Observer.waitForReconnectDelayHelper`, which draws lots).
pub(super) const fn part_of(wait_ms: Ms, me: Sid, now: Ms) -> Ms {
    if wait_ms <= 0 {
        return 0;
    }
    let mut mixed = me.wrapping_mul(0x9e37_79b9).wrapping_add(now).cast_unsigned();
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % wait_ms.cast_unsigned()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_set_is_as_in_the_reference() {
        let syncs_max = Syncs { snap: 10, diff: 100 };
        let (kept_txns, epoch_wait_ms, observer_connects_ms, observer_looks_ms) = (500, None, 0, 200);
        let tuning = Tuning { kept_txns, syncs_max, epoch_wait_ms, observer_connects_ms, observer_looks_ms };
        assert_eq!(Tuning::default(), tuning);
    }

    #[test]
    fn an_observer_comes_back_at_another_time_each_time() {
        let parts: std::collections::BTreeSet<_> = (5000..5050).map(|now| part_of(1000, 4, now)).collect();
        assert!(parts.len() > 40, "{parts:?}");
        assert_eq!(part_of(1, 4, 5000), 0, "a wait of 1 ms has one part");
    }

    #[test]
    fn observers_come_back_at_different_times_within_the_wait() {
        let parts: std::collections::BTreeSet<_> = (1..=50).map(|me| part_of(1000, me, 5000)).collect();
        assert!(parts.len() > 40 && parts.iter().all(|part| (0..1000).contains(part)), "{parts:?}");
        assert_eq!((part_of(0, 1, 5000), part_of(-1, 1, 5000)), (0, 0));
    }
}
