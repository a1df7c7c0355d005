//! Which nodes go with which session.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use jute::SessionId;

/// Ephemerals by the session that owns them. A session stays known when its last one was deleted, and
/// goes when it is closed.
#[derive(Debug, Default)]
pub(super) struct Ephemerals {
    by_session: HashMap<SessionId, Owned>,
    count: usize,
    /// Changes so far.
    changes: u64,
}

#[derive(Debug, Default)]
struct Owned {
    paths: BTreeSet<Box<str>>,
    /// Length of all paths.
    bytes: usize,
    /// Which one of all changes was the last one here.
    last_change: u64,
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
            self.count += 1;
            self.changes += 1;
            owned.last_change = self.changes;
        }
    }

    pub(super) fn remove(&mut self, session: SessionId, path: &str) {
        if let Some(owned) = self.by_session.get_mut(&session)
            && owned.paths.remove(path)
        {
            owned.bytes -= path.len();
            self.count -= 1;
            self.changes += 1;
            owned.last_change = self.changes;
        }
    }

    /// Forgets a session, and gives back what it had.
    pub(super) fn take(&mut self, session: SessionId) -> BTreeSet<Box<str>> {
        let paths = self.by_session.remove(&session).unwrap_or_default().paths;
        self.count -= paths.len();
        paths
    }

    /// A session's that begin with `prefix` and come after `last`, unless that is empty; sorted. The others are not
    /// looked at.
    pub(super) fn of<'a>(
        &'a self,
        session: SessionId,
        prefix: &'a str,
        last: &str,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        let owned = self.by_session.get(&session);
        let from = if last.is_empty() { Bound::Included(prefix) } else { Bound::Excluded(last) };
        let from_there = owned.map(|owned| owned.paths.range::<str, _>((from, Bound::Unbounded)));
        let from_there = from_there.into_iter().flatten().map(AsRef::as_ref);
        from_there.take_while(move |path: &&str| path.starts_with(prefix))
    }

    /// A number that is another one whenever what the session has is.
    pub(super) fn last_change_of(&self, session: SessionId) -> u64 {
        self.by_session.get(&session).map_or(0, |owned| owned.last_change)
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

    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(1);

    #[test]
    fn a_prefix_finds_what_begins_with_it_and_nothing_else() {
        let mut ephemerals = Ephemerals::default();
        for path in ["/a", "/a/b", "/a-b", "/ab", "/b", "/ü"] {
            ephemerals.insert(SESSION, path);
        }
        let below = |prefix: &'static str| ephemerals.of(SESSION, prefix, "").collect::<Vec<_>>();
        assert_eq!(below("/a"), ["/a", "/a-b", "/a/b", "/ab"]);
        assert_eq!(below("/a/"), ["/a/b"]);
        assert_eq!(ephemerals.of(SESSION, "/a", "/a-b").collect::<Vec<_>>(), ["/a/b", "/ab"]);
        assert_eq!((below("").len(), below("/ü").len(), below("/z").len(), below("x").len()), (6, 1, 0, 0));
        assert_eq!(ephemerals.of(SessionId(2), "", "").count(), 0);
    }

    #[test]
    fn all_are_counted_once_and_their_bytes_with_them() {
        let mut ephemerals = Ephemerals::default();
        for (session, path) in [(1, "/a"), (1, "/a"), (2, "/bc"), (2, "/d")] {
            ephemerals.insert(SessionId(session), path);
        }
        ephemerals.remove(SessionId(1), "/bc");
        assert_eq!((ephemerals.count(), ephemerals.listed_bytes_of(SessionId(2))), (3, 13));
        ephemerals.remove(SessionId(2), "/bc");
        ephemerals.take(SessionId(1));
        assert_eq!((ephemerals.count(), ephemerals.listed_bytes_of(SessionId(2))), (1, 6));
    }
}
