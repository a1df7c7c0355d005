//! How this server serves, for whoever must not ask the writer: connections, operators, metrics.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::zab::{self, Serving};

/// How this server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A quorum of one.
    Alone,
    /// A member of an ensemble.
    Member(Serving),
}

/// The standing, published by the writer.
#[derive(Debug)]
pub struct Published {
    /// What connections look at with each turn.
    flags: AtomicU8,
    whole: RwLock<Standing>,
    told: RwLock<Option<Arc<zab::Standing>>>,
    /// Leading: bytes of the last, smallest and largest proposal, and since when, on the monotonic clock.
    proposals: RwLock<Proposals>,
    /// Leading: transactions that learners wait for with a sync.
    pending_syncs: AtomicI64,
}

/// What a leader counts of its proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposals {
    /// Bytes of the last one; -1 before the first.
    pub last_bytes: i64,
    /// Bytes of the smallest.
    pub min_bytes: i64,
    /// Bytes of the largest.
    pub max_bytes: i64,
    /// Since when this server leads, in milliseconds of the monotonic clock.
    pub since_ms: i64,
}

impl Proposals {
    /// None yet.
    const fn since(since_ms: i64) -> Self {
        Self { last_bytes: -1, min_bytes: -1, max_bytes: -1, since_ms }
    }
}

/// Clients are served.
const SERVES: u8 = 1;
/// Writes go to a leader elsewhere.
const FORWARDS: u8 = 2;

impl Default for Published {
    /// Alone.
    fn default() -> Self {
        Self {
            flags: AtomicU8::new(SERVES),
            whole: RwLock::new(Standing::Alone),
            told: RwLock::new(None),
            proposals: RwLock::new(Proposals::since(0)),
            pending_syncs: AtomicI64::new(0),
        }
    }
}

impl Published {
    /// From here on clients are served like this. For members, the server's assembly says [`Serving::No`] before
    /// anybody can connect.
    pub fn set(&self, serving: Serving) {
        *self.whole.write().unwrap_or_else(PoisonError::into_inner) = Standing::Member(serving);
        let flags = match serving {
            Serving::No => 0,
            Serving::Leading { .. } => SERVES,
            Serving::Following { .. } | Serving::Observing { .. } => SERVES | FORWARDS,
        };
        self.flags.store(flags, Ordering::Release);
    }

    /// All of it.
    #[must_use]
    pub fn get(&self) -> Standing {
        *self.whole.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What operators may be told of a member, its learners included. Published from time to time.
    pub fn tell(&self, standing: zab::Standing) {
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(standing));
    }

    /// What operators may be told; nothing of a server that is alone.
    #[must_use]
    pub fn told(&self) -> Option<Arc<zab::Standing>> {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A term of leadership begins at this moment.
    pub(super) fn begin_leading(&self, now_ms: i64) {
        *self.proposals.write().unwrap_or_else(PoisonError::into_inner) = Proposals::since(now_ms);
    }

    /// A proposal of so many bytes was made.
    pub(super) fn count_proposal(&self, bytes: i64) {
        let mut all = self.proposals.write().unwrap_or_else(PoisonError::into_inner);
        all.last_bytes = bytes;
        all.max_bytes = all.max_bytes.max(bytes);
        all.min_bytes = if all.min_bytes < 0 { bytes } else { all.min_bytes.min(bytes) };
    }

    /// What a leader counts of its proposals.
    #[must_use]
    pub fn proposals(&self) -> Proposals {
        *self.proposals.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many transactions learners wait for with a sync.
    pub(super) fn set_pending_syncs(&self, count: i64) {
        self.pending_syncs.store(count, Ordering::Relaxed);
    }

    /// Leading: how many transactions learners wait for with a sync.
    #[must_use]
    pub fn pending_syncs(&self) -> i64 {
        self.pending_syncs.load(Ordering::Relaxed)
    }

    /// Forgets the sizes of proposals.
    pub fn reset_proposals(&self) {
        let since_ms = self.proposals().since_ms;
        *self.proposals.write().unwrap_or_else(PoisonError::into_inner) = Proposals::since(since_ms);
    }

    /// Whether clients are served.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.flags.load(Ordering::Acquire) & SERVES != 0
    }

    /// Whether writes go to a leader elsewhere.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.flags.load(Ordering::Acquire) & FORWARDS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_knows_its_last_smallest_and_largest_proposal() {
        let published = Published::default();
        let sizes = |published: &Published| {
            let Proposals { last_bytes, min_bytes, max_bytes, since_ms } = published.proposals();
            [last_bytes, min_bytes, max_bytes, since_ms]
        };
        assert_eq!(sizes(&published), [-1, -1, -1, 0]);
        published.begin_leading(7);
        for (bytes, wanted) in
            [(20, [20, 20, 20, 7]), (30, [30, 20, 30, 7]), (10, [10, 10, 30, 7]), (25, [25, 10, 30, 7])]
        {
            published.count_proposal(bytes);
            assert_eq!(sizes(&published), wanted);
        }
        published.reset_proposals();
        assert_eq!(sizes(&published), [-1, -1, -1, 7], "its term goes on");
        published.begin_leading(9);
        assert_eq!(sizes(&published), [-1, -1, -1, 9]);
    }

    #[test]
    fn who_serves_and_who_passes_writes_on_is_told_by_the_role() {
        let published = Published::default();
        assert!(published.serves() && !published.forwards());
        for (serving, serves, forwards) in [
            (Serving::No, false, false),
            (Serving::Leading { epoch: 1 }, true, false),
            (Serving::Following { leader: 2, epoch: 1 }, true, true),
            (Serving::Observing { leader: 2, epoch: 1 }, true, true),
        ] {
            published.set(serving);
            assert_eq!((published.serves(), published.forwards()), (serves, forwards), "{serving:?}");
            assert_eq!(published.get(), Standing::Member(serving));
        }
        published.set_pending_syncs(3);
        assert_eq!(published.pending_syncs(), 3);
    }
}
