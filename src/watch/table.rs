//! One table of watches: by path for triggering, by watcher for removal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::fault::{self, Fault};

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

/// The paths one watcher watches.
#[derive(Debug, Default)]
struct Watched {
    paths: IndexSet<Arc<str>, RandomState>,
    /// What they take in memory.
    bytes: usize,
}

/// What a watch takes in memory besides its path: its places in both maps.
const WATCH_BYTES: usize = 128;

/// So many paths are moved quickly.
const KEEP_PATHS: usize = 1024;

const fn bytes_of(path: &str) -> usize {
    WATCH_BYTES + path.len()
}

impl Watched {
    fn insert(&mut self, path: Arc<str>) {
        self.bytes += bytes_of(&path);
        self.paths.insert(path);
    }

    fn remove(&mut self, path: &str) {
        if self.paths.swap_remove(path) {
            self.bytes -= bytes_of(path);
        }
    }
}

/// How far a listing that goes on later has come. What is watched all the while is listed; a path may be
/// listed twice when others go meanwhile, because the last one takes the place of one that goes.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Places from here on are listed; it goes down.
    from: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Self { from: usize::MAX }
    }
}

impl Listing {
    /// Whether everything is listed.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.from == 0
    }
}

/// Watches of one kind.
#[derive(Debug, Default)]
pub struct Table {
    by_path: IndexMap<Arc<str>, Vec<(WatcherId, Modes)>, RandomState>,
    by_watcher: HashMap<WatcherId, Watched, RandomState>,
    /// Pairs of path and watcher.
    watches: usize,
    /// Recursive watches in the table; without any, ancestors need not be looked at.
    recursive: usize,
}

impl Table {
    /// Adds a mode to what the watcher has on the path.
    pub fn add(&mut self, path: &str, watcher: WatcherId, mode: Mode) {
        let key = match self.by_path.get_key_value(path) {
            Some((key, _)) => key.clone(),
            None => path.into(),
        };
        let watchers = self.by_path.entry(key.clone()).or_default();
        let before = match watchers.iter_mut().find(|(id, _)| *id == watcher) {
            Some((_, modes)) => std::mem::replace(modes, modes.with(mode)),
            None => {
                watchers.push((watcher, Modes(mode as u8)));
                self.watches += 1;
                self.by_watcher.entry(watcher).or_default().insert(key);
                Modes(0)
            }
        };
        if mode == Mode::PersistentRecursive && !before.has(mode) {
            self.recursive += 1;
        }
    }

    /// Whether the watcher watches the path, in this mode if one is given.
    #[must_use]
    pub fn contains(&self, path: &str, watcher: WatcherId, mode: Option<Mode>) -> bool {
        let modes = self.by_path.get(path).and_then(|list| list.iter().find(|(id, _)| *id == watcher));
        modes.is_some_and(|(_, modes)| mode.is_none_or(|mode| modes.has(mode)))
    }

    /// Removes a mode, or all of them, from what the watcher has on the path; whether anything went.
    pub fn remove(&mut self, path: &str, watcher: WatcherId, mode: Option<Mode>) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else { return false };
        let Some(index) = watchers.iter().position(|(id, _)| *id == watcher) else { return false };
        let Some((_, modes)) = watchers.get_mut(index) else { return false };
        let before = *modes;
        let after = mode.map_or(Modes(0), |mode| before.without(mode));
        *modes = after;
        if after == Modes(0) {
            watchers.swap_remove(index);
            self.watches -= 1;
            if watchers.is_empty() {
                self.by_path.swap_remove(path);
            }
            self.forget(watcher, path);
        }
        if before.has(Mode::PersistentRecursive) && !after.has(Mode::PersistentRecursive) {
            self.recursive -= 1;
        }
        before != after
    }

    /// Removes up to so many watches of the watcher; whether there are more.
    pub fn remove_some(&mut self, watcher: WatcherId, most: usize) -> bool {
        let Some(watched) = self.by_watcher.get_mut(&watcher) else { return false };
        for _ in 0..most {
            let Some(path) = watched.paths.pop() else { break };
            let Some(watchers) = self.by_path.get_mut(&path) else { continue };
            if let Some(index) = watchers.iter().position(|(id, _)| *id == watcher) {
                let (_, modes) = watchers.swap_remove(index);
                self.watches -= 1;
                self.recursive -= usize::from(modes.has(Mode::PersistentRecursive));
            }
            if watchers.is_empty() {
                self.by_path.swap_remove(&path);
            }
        }
        if !watched.paths.is_empty() {
            return true;
        }
        self.by_watcher.remove(&watcher);
        // What so many watches took is given back, where few are left to move.
        if self.by_path.len() < KEEP_PATHS && self.by_path.capacity() > 16 * KEEP_PATHS {
            self.by_path.shrink_to(KEEP_PATHS);
        }
        false
    }

    /// Calls `tell` once for each watcher of the path, and of its ancestors recursively; what fires once
    /// is gone afterwards.
    pub fn trigger(&mut self, path: &str, mut tell: impl FnMut(WatcherId)) {
        if self.by_path.is_empty() {
            return;
        }
        let mut told = Vec::new();
        let mut spent = Vec::new();
        if let Some(watchers) = self.by_path.get_mut(path) {
            watchers.retain_mut(|(watcher, modes)| {
                told.push(*watcher);
                if !fault::is_on(Fault::WatchStays) {
                    *modes = modes.without(Mode::Standard);
                }
                let stays = *modes != Modes(0);
                if !stays {
                    spent.push(*watcher);
                }
                stays
            });
            if watchers.is_empty() {
                self.by_path.swap_remove(path);
            }
        }
        self.watches -= spent.len();
        // A watcher stays known when its last watch fires, and goes when it removes its last one: the
        // reference counts connections like that.
        for watcher in spent {
            if let Some(watched) = self.by_watcher.get_mut(&watcher) {
                watched.remove(path);
            }
        }
        if self.recursive > 0 {
            let mut known: HashSet<_, RandomState> = told.iter().copied().collect();
            for ancestor in ancestors(path) {
                for (watcher, modes) in self.by_path.get(ancestor).into_iter().flatten() {
                    if modes.has(Mode::PersistentRecursive) && known.insert(*watcher) {
                        told.push(*watcher);
                    }
                }
            }
        }
        told.into_iter().for_each(&mut tell);
    }

    fn forget(&mut self, watcher: WatcherId, path: &str) {
        if let Some(watched) = self.by_watcher.get_mut(&watcher) {
            watched.remove(path);
            if watched.paths.is_empty() {
                self.by_watcher.remove(&watcher);
            }
        }
    }

    /// What the watches of a watcher take in memory.
    pub(super) fn bytes_of(&self, watcher: WatcherId) -> usize {
        self.by_watcher.get(&watcher).map_or(0, |watched| watched.bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) const fn watch_count(&self) -> usize {
        self.watches
    }

    pub(super) fn summary(&self) -> (usize, usize, usize) {
        (self.by_watcher.len(), self.by_path.len(), self.watches)
    }

    pub(super) fn paths_of(
        &self,
        watcher: WatcherId,
        listing: &mut Listing,
        most: usize,
    ) -> Option<Vec<Arc<str>>> {
        let paths = &self.by_watcher.get(&watcher)?.paths;
        let end = listing.from.min(paths.len());
        listing.from = end.saturating_sub(most);
        Some(paths.get_range(listing.from..end).into_iter().flatten().cloned().collect())
    }

    pub(super) fn paths(&self, listing: &mut Listing, most: usize) -> Vec<(Arc<str>, Vec<WatcherId>)> {
        let mut found = Vec::new();
        let mut names = 0;
        listing.from = listing.from.min(self.by_path.len());
        while names < most && listing.from > 0 {
            listing.from -= 1;
            let Some((path, list)) = self.by_path.get_index(listing.from) else { break };
            found.push((path.clone(), list.iter().map(|(id, _)| *id).collect()));
            names += 1 + list.len();
        }
        found
    }
}

/// The paths above `path`, deepest first, ending with `/`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let above = |path: &str| path.rfind('/').map(|slash| slash.max(1)).filter(|end| *end < path.len());
    let mut end = above(path);
    std::iter::from_fn(move || {
        let ancestor = path.get(..end?)?;
        end = above(ancestor);
        Some(ancestor)
    })
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
        while table.remove_some(1, 1) {}
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

    /// Lists everything in small steps; `between` happens after each of them.
    fn listed(table: &mut Table, mut between: impl FnMut(&mut Table)) -> Vec<String> {
        let (mut listing, mut all) = (Listing::default(), Vec::new());
        while !listing.is_over() {
            all.extend(table.paths(&mut listing, 3).into_iter().map(|(path, _)| path.to_string()));
            between(table);
        }
        all.sort();
        all
    }

    #[test]
    fn a_listing_in_steps_misses_nothing_that_is_watched_all_the_while() {
        let mut table = Table::default();
        let path = |number: usize| format!("/{number:02}");
        (0..20).for_each(|number| table.add(&path(number), 1, Mode::Persistent));
        let all: Vec<_> = (0..20).map(path).collect();
        assert_eq!(listed(&mut table, |_| {}), all);

        let mut gone = (0..20).step_by(3);
        let mut came = 20..;
        let mut found = listed(&mut table, |table| {
            if let Some(number) = gone.next() {
                table.remove(&path(number), 1, None);
            }
            table.add(&path(came.next().unwrap_or_default()), 1, Mode::Persistent);
        });
        found.dedup();
        for number in (0..20).filter(|number| number % 3 > 0) {
            assert!(found.contains(&path(number)), "{number} of {found:?}");
        }
    }

    #[test]
    fn a_watcher_s_paths_are_listed_and_removed_in_steps() {
        let mut table = Table::default();
        (0..10).for_each(|number| table.add(&format!("/{number}"), 1, Mode::Standard));
        table.add("/0", 2, Mode::Standard);
        let (mut listing, mut steps, mut paths) = (Listing::default(), 0, Vec::new());
        while !listing.is_over() {
            paths.extend(table.paths_of(1, &mut listing, 4).unwrap());
            steps += 1;
        }
        assert_eq!((steps, paths.len()), (3, 10));
        assert_eq!(table.summary(), (2, 10, 11));
        assert!(table.remove_some(1, 4));
        assert_eq!(table.summary(), (2, 6, 7), "the path of another stays, the others went");
        assert!(table.remove_some(1, 4));
        assert!(!table.remove_some(1, 4));
        assert_eq!(table.summary(), (1, 1, 1));
    }

    #[test]
    fn ancestors_of_a_path_end_at_the_root() {
        assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a", "/"]);
        assert_eq!(ancestors("/a").collect::<Vec<_>>(), ["/"]);
        assert!(ancestors("/").next().is_none());
        assert!(ancestors("").next().is_none());
        assert!(ancestors("a").next().is_none());
    }
}
