//! Who is alive (reference: `SessionTrackerImpl`, `ExpiryQueue`).
//!
//! Pure: time comes in as milliseconds of a clock that never goes back. Hearing from a session is one
//! relaxed store, so that connections can do it without asking anyone; deadlines are found out when a
//! bucket comes due.

#[cfg(test)]
mod model_test;
mod password;
#[cfg(test)]
mod session_test;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jute::SessionId;

pub use self::password::{PASSWORD_LENGTH, password_for};

/// Time until a session is looked at again of which it is not known whether it was silent.
const RECHECK_MS: i64 = 20;

/// A session as its connection sees it.
#[derive(Debug)]
pub struct SessionHandle {
    /// Its id.
    pub id: SessionId,
    timeout_ms: AtomicI64,
    last_heard_ms: AtomicI64,
    closing: AtomicBool,
}

impl SessionHandle {
    /// Notes that the client was heard from. False when the session is ending: then nothing more is
    /// done for it.
    pub fn touch(&self, now_ms: i64) -> bool {
        self.last_heard_ms.fetch_max(now_ms, Ordering::Relaxed);
        !self.closing.load(Ordering::Acquire)
    }

    /// The negotiated timeout.
    #[must_use]
    pub fn timeout_ms(&self) -> i64 {
        self.timeout_ms.load(Ordering::Relaxed)
    }

    /// Whether its end is under way.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether its client was heard from at or after `since_ms`.
    #[must_use]
    pub fn was_heard_since(&self, since_ms: i64) -> bool {
        self.last_heard_ms.load(Ordering::Relaxed) >= since_ms
    }

    /// When it expires unless it is heard from.
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        self.last_heard_ms.load(Ordering::Relaxed).saturating_add(self.timeout_ms())
    }
}

/// Every session, by id and by the bucket in which it may expire.
#[derive(Debug)]
pub struct Sessions {
    tick_ms: i64,
    next_id: i64,
    by_id: HashMap<SessionId, Tracked>,
    /// By the end of the bucket. A session is in the bucket it was last seen to belong in, which may be
    /// earlier than the one it belongs in by now; never later.
    buckets: BTreeMap<i64, HashSet<SessionId>>,
}

#[derive(Debug)]
struct Tracked {
    handle: Arc<SessionHandle>,
    bucket: i64,
    /// Whether its creation is committed: only then it goes into snapshots.
    committed: bool,
}

impl Sessions {
    /// No sessions. `server_id` goes into the top byte of ids, `now_ms` below it, so that a restarted
    /// server does not give out the same ids again.
    #[must_use]
    pub fn new(tick_ms: i64, server_id: u8, now_ms: i64) -> Self {
        let time = ((now_ms as u64) << 24) >> 8;
        let mut next_id = (time | u64::from(server_id) << 56).cast_signed();
        if next_id == i64::MIN {
            next_id += 1; // that value marks container nodes
        }
        Self { tick_ms: tick_ms.max(1), next_id, by_id: HashMap::new(), buckets: BTreeMap::new() }
    }

    /// An id that no session had.
    pub fn allocate_id(&mut self) -> SessionId {
        loop {
            let id = SessionId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            // A clock that counts from the machine's start can lead back to ids of an earlier one.
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    /// Follows a session: one just asked for, or one that recovery found. It gets its full timeout.
    pub fn track(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) -> Arc<SessionHandle> {
        if let Some(tracked) = self.by_id.get(&id) {
            tracked.handle.touch(now_ms);
            return tracked.handle.clone();
        }
        let handle = Arc::new(SessionHandle {
            id,
            timeout_ms: AtomicI64::new(timeout_ms.into()),
            last_heard_ms: AtomicI64::new(now_ms),
            closing: AtomicBool::new(false),
        });
        let bucket = self.bucket(handle.deadline_ms());
        self.buckets.entry(bucket).or_default().insert(id);
        self.by_id.insert(id, Tracked { handle: handle.clone(), bucket, committed: false });
        handle
    }

    /// Follows a session that recovery found: it is in the log, and so in the next snapshot.
    pub fn restore(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        self.track(id, timeout_ms, now_ms);
        self.commit(id);
    }

    /// Puts the sessions of another database, with their timeouts in milliseconds, in the place of all that are
    /// here. Ids go on.
    pub fn replace(&mut self, sessions: &BTreeMap<SessionId, i32>, now_ms: i64) {
        for (_, tracked) in self.by_id.drain() {
            tracked.handle.closing.store(true, Ordering::Release);
        }
        self.buckets.clear();
        for (id, timeout_ms) in sessions {
            self.restore(*id, *timeout_ms, now_ms);
        }
    }

    /// Its creation was applied.
    pub fn commit(&mut self, id: SessionId) {
        if let Some(tracked) = self.by_id.get_mut(&id) {
            tracked.committed = true;
        }
    }

    /// A client comes back to its session with a newly negotiated timeout. `None` when the session does
    /// not exist or is ending.
    pub fn reopen(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) -> Option<Arc<SessionHandle>> {
        let tracked = self.by_id.get(&id).filter(|tracked| !tracked.handle.is_closing())?;
        let handle = tracked.handle.clone();
        handle.timeout_ms.store(timeout_ms.into(), Ordering::Relaxed);
        handle.touch(now_ms);
        // A shorter timeout can bring the deadline forward: put it where it belongs now.
        self.rebucket(id);
        Some(handle)
    }

    /// Another server heard from a client, whose session has this timeout now. False when the session does not
    /// exist or is ending.
    pub fn touch(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        match self.by_id.get(&id) {
            Some(tracked) if tracked.handle.timeout_ms() == i64::from(timeout_ms) => {
                tracked.handle.touch(now_ms)
            }
            Some(_) => self.reopen(id, timeout_ms, now_ms).is_some(),
            None => false,
        }
    }

    /// Forgets what was begun and is not committed: sessions whose creation was not applied, and ends that were
    /// decided. Whether they come to be is for the next leader to say.
    pub fn forget_uncommitted(&mut self) {
        let uncommitted: Vec<_> =
            self.by_id.iter().filter(|(_, tracked)| !tracked.committed).map(|(id, _)| *id).collect();
        uncommitted.into_iter().for_each(|id| self.remove(id));
        for (id, tracked) in &self.by_id {
            if tracked.handle.closing.swap(false, Ordering::AcqRel) {
                // When it was found to have expired it left its bucket.
                self.buckets.entry(tracked.bucket).or_default().insert(*id);
            }
        }
    }

    /// The session, if it exists.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Arc<SessionHandle>> {
        self.by_id.get(&id).map(|tracked| &tracked.handle)
    }

    /// Whether it exists and its creation was applied.
    #[must_use]
    pub fn is_committed(&self, id: SessionId) -> bool {
        self.by_id.get(&id).is_some_and(|tracked| tracked.committed)
    }

    /// Its end is decided; nothing more is accepted from it.
    pub fn set_closing(&mut self, id: SessionId) {
        if let Some(tracked) = self.by_id.get(&id) {
            tracked.handle.closing.store(true, Ordering::Release);
        }
    }

    /// Its end was applied.
    pub fn remove(&mut self, id: SessionId) {
        if let Some(tracked) = self.by_id.remove(&id) {
            tracked.handle.closing.store(true, Ordering::Release);
            self.leave_bucket(id, tracked.bucket);
        }
    }

    /// When [`Sessions::expire`] next has something to look at.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(end, _)| *end)
    }

    /// Marks as closing, and returns, the sessions that were not heard from in time, in the order in which their time
    /// was up (reference: `ExpiryQueue.poll`), and those of one tick in that of their ids. `is_silent` says whether one
    /// whose deadline has passed is known to have been silent until then; if not, it is asked about again after
    /// [`RECHECK_MS`].
    pub fn expire(
        &mut self,
        now_ms: i64,
        is_silent: &mut dyn FnMut(SessionId, i64) -> bool,
    ) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.buckets.first_entry().filter(|entry| *entry.key() <= now_ms) {
            let end = *entry.key();
            let ended_before = expired.len();
            for id in entry.remove() {
                let Some(tracked) = self.by_id.get(&id) else { continue };
                let deadline = tracked.handle.deadline_ms();
                let due = self.bucket(deadline);
                if due > end {
                    self.enter_bucket(id, due);
                } else if is_silent(id, deadline) {
                    tracked.handle.closing.store(true, Ordering::Release);
                    expired.push(id);
                } else {
                    self.enter_bucket(id, now_ms + RECHECK_MS);
                }
            }
            expired[ended_before..].sort_unstable();
        }
        expired
    }

    /// Moves deadlines, for a time until `now_ms` in which the server did not listen to anybody. Nobody counts as
    /// heard from later than now: whoever was heard from since gets no more than a whole timeout.
    pub fn postpone(&self, by_ms: i64, now_ms: i64) {
        for tracked in self.by_id.values() {
            let heard_ms = tracked.handle.last_heard_ms.load(Ordering::Relaxed);
            tracked.handle.touch((heard_ms + by_ms).min(now_ms));
        }
    }

    /// Gives every session its whole timeout again, after a time in which none of them could be served.
    pub fn renew_all(&self, now_ms: i64) {
        for tracked in self.by_id.values() {
            tracked.handle.touch(now_ms);
        }
    }

    /// Sessions whose creation is committed, in no order: what a snapshot keeps.
    #[must_use]
    pub fn committed(&self) -> Vec<SessionId> {
        self.by_id.iter().filter(|(_, tracked)| tracked.committed).map(|(id, _)| *id).collect()
    }

    /// How many committed sessions there are.
    #[must_use]
    pub fn committed_count(&self) -> usize {
        self.by_id.values().filter(|tracked| tracked.committed).count()
    }

    /// Every session, in no order.
    #[must_use]
    pub fn ids(&self) -> Vec<SessionId> {
        self.by_id.keys().copied().collect()
    }

    /// When the session's bucket ends, as of now.
    #[must_use]
    pub fn bucket_end_of(&self, id: SessionId) -> Option<i64> {
        self.by_id.get(&id).map(|tracked| self.bucket(tracked.handle.deadline_ms()))
    }

    /// The end of the bucket a deadline falls into: the next multiple of the tick.
    const fn bucket(&self, deadline_ms: i64) -> i64 {
        (deadline_ms.div_euclid(self.tick_ms) + 1).saturating_mul(self.tick_ms)
    }

    fn rebucket(&mut self, id: SessionId) {
        let Some(tracked) = self.by_id.get(&id) else { return };
        let (before, due) = (tracked.bucket, self.bucket(tracked.handle.deadline_ms()));
        self.leave_bucket(id, before);
        self.enter_bucket(id, due);
    }

    fn enter_bucket(&mut self, id: SessionId, bucket: i64) {
        self.buckets.entry(bucket).or_default().insert(id);
        if let Some(tracked) = self.by_id.get_mut(&id) {
            tracked.bucket = bucket;
        }
    }

    fn leave_bucket(&mut self, id: SessionId, bucket: i64) {
        if let Some(ids) = self.buckets.get_mut(&bucket) {
            ids.remove(&id);
            if ids.is_empty() {
                self.buckets.remove(&bucket);
            }
        }
    }
}
