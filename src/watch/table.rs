//! One table of watches: by path for triggering, by watcher for removal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, IntoIter};

use crate::prefixes;

/// A connection, as far as watches are concerned.
pub type WatcherId = u64;

/// How a watch behaves when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fires once.
    Standard = 1,
    /// Stays.
    Persistent = 2,
    /// Stays, and fires for everything below too.
    PersistentRecursive = 4,
}

/// The modes a watcher has on one path; never empty while stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Modes(u8);

impl Modes {
    const fn has(self, mode: Mode) -> bool {
        self.0 & mode as u8 != 0
    }
    const fn with(self, mode: Mode) -> Self {
        Self(self.0 | mode as u8)
    }
    const fn without(self, mode: Mode) -> Self {
        Self(self.0 & !(mode as u8))
    }
}

/// The paths one watcher watches, with their hashes: growing does not look at the paths.
#[derive(Debug, Default)]
struct Watched {
    paths: HashTable<(u64, Arc<str>)>,
    /// What they take in memory.
    bytes: usize,
}

/// What a watch takes in memory besides its path: its places in both maps.
const WATCH_BYTES: usize = 128;

const fn bytes_of(path: &str) -> usize {
    WATCH_BYTES + path.len()
}

impl Watched {
    fn insert(&mut self, hash: u64, path: Arc<str>) {
        self.bytes += bytes_of(&path);
        self.paths.insert_unique(hash, (hash, path), |(hash, _)| *hash);
    }

    fn remove(&mut self, hash: u64, path: &str) {
        if let Ok(entry) = self.paths.find_entry(hash, |(other, known)| *other == hash && **known == *path) {
            self.bytes -= bytes_of(path);
            entry.remove();
        }
    }
}

/// Those who watch one path.
#[derive(Debug)]
pub(super) struct Watchers {
    hash: u64,
    path: Arc<str>,
    list: Vec<(WatcherId, Modes)>,
}

impl Watchers {
    fn are_of(&self, hash: u64, path: &str) -> bool {
        self.hash == hash && *self.path == *path
    }

    pub(super) const fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = WatcherId> {
        self.list.iter().map(|(id, _)| *id)
    }

    fn position(&self, watcher: WatcherId) -> Option<usize> {
        self.list.iter().position(|(id, _)| *id == watcher)
    }
}

/// Tables by path grow one at a time, so that no single watch pays for all.
const SHARDS: usize = 64;

/// Watches of one kind.
#[derive(Debug)]
pub struct Table {
    by_path: [HashTable<Watchers>; SHARDS],
    by_watcher: HashMap<WatcherId, Watched, RandomState>,
    hasher: RandomState,
    /// Paths that are watched.
    paths: usize,
    /// Watchers of all paths.
    watches: usize,
    /// Recursive watches in the table; without any, ancestors need not be looked at.
    recursive: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            by_path: std::array::from_fn(|_| HashTable::new()),
            by_watcher: HashMap::default(),
            hasher: RandomState::default(),
            paths: 0,
            watches: 0,
            recursive: 0,
        }
    }
}

/// What a watcher had that has gone, to be removed bit by bit.
#[derive(Debug)]
pub struct Leaving {
    watcher: WatcherId,
    paths: IntoIter<(u64, Arc<str>)>,
}

impl Table {
    /// The hash of a path goes from component to component, so that those of its ancestors are on the way.
    fn hash(&self, path: &str) -> u64 {
        prefixes::hashes(&self.hasher, path).last().map_or(0, |(_, hash)| hash)
    }

    fn shard(&self, hash: u64) -> &HashTable<Watchers> {
        &self.by_path[shard(hash)]
    }

    fn shard_mut(&mut self, hash: u64) -> &mut HashTable<Watchers> {
        &mut self.by_path[shard(hash)]
    }

    fn watchers(&self, hash: u64, path: &str) -> Option<&Watchers> {
        self.shard(hash).find(hash, |watchers| watchers.are_of(hash, path))
    }

    /// Adds a mode to what the watcher has on the path.
    pub fn add(&mut self, path: &str, watcher: WatcherId, mode: Mode) {
        let hash = self.hash(path);
        let is_it = |watchers: &Watchers| watchers.are_of(hash, path);
        let mut place = match self.shard_mut(hash).entry(hash, is_it, |watchers| watchers.hash) {
            Entry::Occupied(place) => place,
            Entry::Vacant(place) => place.insert(Watchers { hash, path: path.into(), list: Vec::new() }),
        };
        let watchers = place.get_mut();
        let is_new_path = watchers.list.is_empty();
        let mut new_watch = None;
        let before = match watchers.list.iter_mut().find(|(id, _)| *id == watcher) {
            Some((_, modes)) => std::mem::replace(modes, modes.with(mode)),
            None => {
                watchers.list.push((watcher, Modes(mode as u8)));
                new_watch = Some(watchers.path.clone());
                Modes(0)
            }
        };
        self.paths += usize::from(is_new_path);
        if let Some(path) = new_watch {
            self.watches += 1;
            self.by_watcher.entry(watcher).or_default().insert(hash, path);
        }
        if mode == Mode::PersistentRecursive && !before.has(mode) {
            self.recursive += 1;
        }
    }

    /// Whether the watcher watches the path, in this mode if one is given.
    #[must_use]
    pub fn contains(&self, path: &str, watcher: WatcherId, mode: Option<Mode>) -> bool {
        let watchers = self.watchers(self.hash(path), path);
        let modes = watchers.and_then(|watchers| watchers.list.iter().find(|(id, _)| *id == watcher));
        modes.is_some_and(|(_, modes)| mode.is_none_or(|mode| modes.has(mode)))
    }

    /// Removes a mode, or all of them, from what the watcher has on the path; whether anything went.
    pub fn remove(&mut self, path: &str, watcher: WatcherId, mode: Option<Mode>) -> bool {
        let hash = self.hash(path);
        let is_it = |watchers: &Watchers| watchers.are_of(hash, path);
        let Ok(mut place) = self.shard_mut(hash).find_entry(hash, is_it) else { return false };
        let mut places = place.get_mut().list.iter_mut().enumerate();
        let Some((index, (_, modes))) = places.find(|(_, (id, _))| *id == watcher) else { return false };
        let before = *modes;
        let after = mode.map_or(Modes(0), |mode| before.without(mode));
        *modes = after;
        if after == Modes(0) {
            place.get_mut().list.swap_remove(index);
            let is_last = place.get().list.is_empty();
            if is_last {
                place.remove();
            }
            self.paths -= usize::from(is_last);
            self.watches -= 1;
            self.forget(watcher, hash, path);
        }
        if before.has(Mode::PersistentRecursive) && !after.has(Mode::PersistentRecursive) {
            self.recursive -= 1;
        }
        before != after
    }

    /// Forgets what the watcher has watched. Until all of it is removed, its watches go on firing.
    pub fn take_watcher(&mut self, watcher: WatcherId) -> Leaving {
        let watched = self.by_watcher.remove(&watcher).unwrap_or_default();
        Leaving { watcher, paths: watched.paths.into_iter() }
    }

    /// Removes up to `most` watches of one that has gone; whether there may be more.
    pub fn remove_some(&mut self, leaving: &mut Leaving, most: usize) -> bool {
        for (hash, path) in leaving.paths.by_ref().take(most) {
            let is_it = |watchers: &Watchers| watchers.are_of(hash, &path);
            let Ok(mut place) = self.shard_mut(hash).find_entry(hash, is_it) else { continue };
            let Some(index) = place.get().position(leaving.watcher) else { continue };
            let (_, modes) = place.get_mut().list.swap_remove(index);
            let is_last = place.get().list.is_empty();
            if is_last {
                place.remove();
            }
            self.paths -= usize::from(is_last);
            self.watches -= 1;
            self.recursive -= usize::from(modes.has(Mode::PersistentRecursive));
        }
        leaving.paths.len() > 0
    }

    /// Calls `tell` once for each watcher of the path, and of its ancestors recursively; what fires once
    /// is gone afterwards.
    pub fn trigger(&mut self, path: &str, mut tell: impl FnMut(WatcherId)) {
        if self.is_empty() {
            return;
        }
        let mut told = Vec::new();
        self.trigger_here(path, &mut told);
        if self.recursive > 0 {
            let mut known: HashSet<_, RandomState> = told.iter().copied().collect();
            for watchers in self.above(path) {
                for (watcher, modes) in &watchers.list {
                    if modes.has(Mode::PersistentRecursive) && known.insert(*watcher) {
                        told.push(*watcher);
                    }
                }
            }
        }
        told.into_iter().for_each(&mut tell);
    }

    fn trigger_here(&mut self, path: &str, told: &mut Vec<WatcherId>) {
        let hash = self.hash(path);
        let is_it = |watchers: &Watchers| watchers.are_of(hash, path);
        let Ok(mut place) = self.shard_mut(hash).find_entry(hash, is_it) else { return };
        let mut spent = Vec::new();
        place.get_mut().list.retain_mut(|(watcher, modes)| {
            told.push(*watcher);
            *modes = modes.without(Mode::Standard);
            let stays = *modes != Modes(0);
            if !stays {
                spent.push(*watcher);
            }
            stays
        });
        let is_last = place.get().list.is_empty();
        if is_last {
            place.remove();
        }
        self.paths -= usize::from(is_last);
        self.watches -= spent.len();
        // A watcher stays known when its last watch fires, and goes when it removes its last one: the
        // reference counts connections like that.
        for watcher in spent {
            if let Some(watched) = self.by_watcher.get_mut(&watcher) {
                watched.remove(hash, path);
            }
        }
    }

    /// Those who watch an ancestor of `path`, the deepest first, the root last. Only the paths of those
    /// that there are, are looked at again.
    fn above(&self, path: &str) -> impl Iterator<Item = &Watchers> {
        let has_root = path.len() > 1 && path.starts_with('/');
        let root = has_root.then(|| self.watchers(self.hash("/"), "/")).flatten();
        let ancestors = prefixes::hashes(&self.hasher, path).filter(|(end, _)| *end < path.len());
        let watched = ancestors.filter_map(|(end, hash)| self.watchers(hash, path.get(..end)?));
        root.into_iter().chain(watched).collect::<Vec<_>>().into_iter().rev()
    }

    fn forget(&mut self, watcher: WatcherId, hash: u64, path: &str) {
        if let Some(watched) = self.by_watcher.get_mut(&watcher) {
            watched.remove(hash, path);
            if watched.paths.is_empty() {
                self.by_watcher.remove(&watcher);
            }
        }
    }

    /// What the watches of a watcher take in memory.
    pub(super) fn bytes_of(&self, watcher: WatcherId) -> usize {
        self.by_watcher.get(&watcher).map_or(0, |watched| watched.bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.paths == 0
    }

    pub(super) const fn watch_count(&self) -> usize {
        self.watches
    }

    pub(super) fn summary(&self) -> (usize, usize, usize) {
        (self.by_watcher.len(), self.paths, self.watches)
    }

    pub(super) fn watched(&self, watcher: WatcherId) -> Option<&HashTable<(u64, Arc<str>)>> {
        self.by_watcher.get(&watcher).map(|watched| &watched.paths)
    }

    pub(super) const fn shards(&self) -> &[HashTable<Watchers>] {
        &self.by_path
    }
}

const fn shard(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(table: &mut Table, path: &str) -> Vec<WatcherId> {
        let mut told = Vec::new();
        table.trigger(path, |watcher| told.push(watcher));
        told.sort_unstable();
        told
    }

    #[test]
    fn a_standard_watch_fires_once_and_a_persistent_one_stays() {
        let mut table = Table::default();
        table.add("/a", 1, Mode::Standard);
        table.add("/a", 2, Mode::Persistent);
        table.add("/a", 2, Mode::Standard);
        assert_eq!(fired(&mut table, "/a"), [1, 2]);
        assert_eq!(fired(&mut table, "/a"), [2]);
        assert!(!table.contains("/a", 2, Some(Mode::Standard)));
    }

    #[test]
    fn a_recursive_watch_hears_of_everything_below_once() {
        let mut table = Table::default();
        table.add("/", 1, Mode::PersistentRecursive);
        table.add("/a", 1, Mode::PersistentRecursive);
        table.add("/a/b", 1, Mode::Standard);
        assert_eq!(fired(&mut table, "/a/b"), [1]);
        assert_eq!(fired(&mut table, "/a/b/c"), [1]);
        assert_eq!(fired(&mut table, "/x"), [1]);
        let mut leaving = table.take_watcher(1);
        assert!(!table.remove_some(&mut leaving, usize::MAX));
        assert_eq!(table.recursive, 0);
        assert!(table.is_empty());
    }

    #[test]
    fn memory_is_counted_once_a_path_and_given_back() {
        let mut table = Table::default();
        table.add("/a", 1, Mode::Standard);
        table.add("/a", 1, Mode::Persistent);
        table.add("/long", 1, Mode::Standard);
        table.add("/a", 2, Mode::Standard);
        assert_eq!(table.bytes_of(1), 2 * WATCH_BYTES + 7);
        fired(&mut table, "/long");
        fired(&mut table, "/a");
        assert_eq!((table.bytes_of(1), table.bytes_of(2)), (WATCH_BYTES + 2, 0));
        table.remove("/a", 1, None);
        assert_eq!(table.bytes_of(1), 0);
    }

    /// Whichever way the last watch of a path goes.
    #[test]
    fn of_a_path_that_nobody_watches_nothing_is_kept() {
        let kept = |table: &Table| table.shards().iter().map(HashTable::len).sum::<usize>();
        let mut table = Table::default();
        for path in ["/a", "/b", "/c", "/d", "/e"] {
            table.add(path, 1, Mode::Standard);
        }
        assert_eq!((kept(&table), table.summary()), (5, (1, 5, 5)));
        fired(&mut table, "/a");
        assert!(table.remove("/b", 1, None));
        assert_eq!((kept(&table), table.summary()), (3, (1, 3, 3)));
        let mut leaving = table.take_watcher(1);
        assert!(table.remove_some(&mut leaving, 2), "one is left");
        assert_eq!(kept(&table), 1);
        assert!(!table.remove_some(&mut leaving, 1));
        assert_eq!((kept(&table), table.summary(), table.is_empty()), (0, (0, 0, 0), true));
    }

    #[test]
    fn ancestors_of_a_path_end_at_the_root() {
        let mut table = Table::default();
        for path in ["/", "/a", "/a/b", "a", ""] {
            table.add(path, 1, Mode::PersistentRecursive);
        }
        let above =
            |path: &str| table.above(path).map(|watchers| watchers.path.to_string()).collect::<Vec<_>>();
        assert_eq!(above("/a/b/c"), ["/a/b", "/a", "/"]);
        assert_eq!(above("/a/b"), ["/a", "/"]);
        assert_eq!(above("/ab"), ["/"]);
        for path in ["/", "", "a"] {
            assert_eq!(above(path), [""; 0], "{path:?}");
        }
    }

    /// Each ancestor was hashed from its beginning: a change at depth 10,000 took tens of milliseconds while
    /// anybody had a recursive watch. With that, this test takes minutes.
    #[test]
    fn a_deep_path_is_looked_at_once() {
        let deep = "/a".repeat(100_000);
        let mut table = Table::default();
        table.add("/", 1, Mode::PersistentRecursive);
        table.add("/a/a/a", 2, Mode::PersistentRecursive);
        table.add("/b", 3, Mode::PersistentRecursive);
        assert_eq!(fired(&mut table, &deep), [1, 2]);
    }

    /// A connection with 800,000 watches that went held all writes up while they were removed.
    #[test]
    fn watches_of_one_that_has_gone_are_removed_bit_by_bit() {
        let mut table = Table::default();
        let path = |n: usize| format!("/{n}");
        for n in 0..1000 {
            table.add(&path(n), 1, Mode::PersistentRecursive);
            table.add(&path(n % 10), 2, Mode::Standard);
        }
        let mut leaving = table.take_watcher(1);
        assert_eq!((table.bytes_of(1), table.watch_count()), (0, 1010));
        for left in (1..10).rev() {
            assert!(table.remove_some(&mut leaving, 100));
            assert_eq!(table.recursive, left * 100);
            // What happens in between does not confuse it.
            fired(&mut table, &path(left));
        }
        assert!(!table.remove_some(&mut leaving, 100));
        assert_eq!((table.recursive, table.summary()), (0, (1, 1, 1)));
        assert_eq!(fired(&mut table, "/0"), [2]);
        assert!(table.is_empty());
    }

    #[test]
    fn what_is_watched_is_counted_as_operators_see_it() {
        let mut table = Table::default();
        assert_eq!((table.summary(), table.watch_count(), table.is_empty()), ((0, 0, 0), 0, true));
        table.add("/a", 1, Mode::Standard);
        table.add("/a", 1, Mode::PersistentRecursive);
        table.add("/a", 2, Mode::Standard);
        table.add("/b", 1, Mode::Standard);
        assert_eq!((table.summary(), table.watch_count()), ((2, 2, 3), 3));
        assert!(!table.remove("/a", 1, Some(Mode::Persistent)) && !table.remove("/c", 1, None));
        assert!(table.remove("/a", 1, Some(Mode::Standard)));
        assert!(table.contains("/a", 1, None) && !table.contains("/a", 1, Some(Mode::Standard)));
        assert_eq!(table.recursive, 1);
        assert!(table.remove("/a", 1, Some(Mode::PersistentRecursive)));
        assert_eq!((table.recursive, table.summary()), (0, (2, 2, 2)));
        assert!(!table.remove("/a", 1, None) && table.remove("/a", 2, None));
        assert_eq!(table.summary(), (1, 1, 1));
        fired(&mut table, "/b");
        assert_eq!((table.summary(), table.is_empty()), ((1, 0, 0), true), "who had watches stays known");
    }
}
