//! Which nodes go with which session.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use jute::SessionId;

/// Ephemerals by the session that owns them. A session stays known when its last one was deleted, and
/// goes when it is closed.
#[derive(Debug, Default)]
pub(super) struct Ephemerals {
    by_session: HashMap<SessionId, Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    paths: BTreeSet<Box<str>>,
    /// Length of all paths.
    bytes: usize,
}

/// What a list of paths takes in a record, but for its length in front.
pub const fn listed_bytes(count: usize, bytes: usize) -> usize {
    4 * count + bytes
}

impl Ephemerals {
    pub(super) fn insert(&mut self, session: SessionId, path: &str) {
        let owned = self.by_session.entry(session).or_default();
        if owned.paths.insert(path.into()) {
            owned.bytes += path.len();
        }
    }

    pub(super) fn remove(&mut self, session: SessionId, path: &str) {
        if let Some(owned) = self.by_session.get_mut(&session)
            && owned.paths.remove(path)
        {
            owned.bytes -= path.len();
        }
    }

    /// Forgets a session, and gives back what it had.
    pub(super) fn take(&mut self, session: SessionId) -> BTreeSet<Box<str>> {
        self.by_session.remove(&session).unwrap_or_default().paths
    }

    /// A session's, sorted.
    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.by_session.get(&session).into_iter().flat_map(|owned| &owned.paths).map(AsRef::as_ref)
    }

    /// A session's that come after this path, sorted.
    pub(super) fn after(&self, session: SessionId, path: &str) -> impl Iterator<Item = &str> {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let owned = self.by_session.get(&session);
        owned.into_iter().flat_map(move |owned| owned.paths.range::<str, _>(after)).map(AsRef::as_ref)
    }

    /// What the list of a session's takes in the record of its end.
    pub(super) fn listed_bytes_of(&self, session: SessionId) -> usize {
        self.by_session.get(&session).map_or(0, |owned| listed_bytes(owned.paths.len(), owned.bytes))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<Box<str>>)> {
        self.by_session.iter().map(|(session, owned)| (*session, &owned.paths))
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = SessionId> {
        self.by_session.keys().copied()
    }

    pub(super) fn count(&self) -> usize {
        self.by_session.values().map(|owned| owned.paths.len()).sum()
    }
}
