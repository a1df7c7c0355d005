//! Listing what may be a million watches in steps, each short.

use std::sync::Arc;

use hashbrown::HashTable;

use super::table::{Table, WatcherId};

/// How far a listing that goes on later has come. What is watched all the while is listed; when a table grows
/// meanwhile, it is begun again, and some may be listed twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    /// The table that is looked at, of several.
    table: usize,
    /// The place in it.
    bucket: usize,
    /// How many places it had.
    buckets: usize,
    is_over: bool,
}

impl Listing {
    /// Whether everything is listed.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.is_over
    }

    /// Looks at up to so many entries; `take` says for how many one counts. Whether the table is done.
    fn step<T>(&mut self, table: &HashTable<T>, most: usize, mut take: impl FnMut(&T) -> usize) -> bool {
        if table.num_buckets() != self.buckets {
            (self.bucket, self.buckets) = (0, table.num_buckets());
        }
        let mut taken = 0;
        while self.bucket < self.buckets && taken < most {
            if let Some(entry) = table.get_bucket(self.bucket) {
                taken += take(entry);
            }
            self.bucket += 1;
        }
        self.bucket >= self.buckets
    }
}

impl Table {
    /// Up to so many more of the paths that a watcher watches; `None` if it watches, and watched, none.
    pub(super) fn paths_of(
        &self,
        watcher: WatcherId,
        listing: &mut Listing,
        most: usize,
    ) -> Option<Vec<Arc<str>>> {
        let paths = self.watched(watcher)?;
        let mut found = Vec::new();
        listing.is_over = listing.step(paths, most, |(_, path)| {
            found.push(path.clone());
            1
        });
        Some(found)
    }

    /// Some more of the paths that are watched, with their watchers: none further when paths and watchers
    /// are so many.
    pub(super) fn paths(&self, listing: &mut Listing, most: usize) -> Vec<(Arc<str>, Vec<WatcherId>)> {
        let mut found = Vec::new();
        let mut names = 0;
        while names < most {
            let Some(table) = self.shards().get(listing.table) else {
                listing.is_over = true;
                break;
            };
            let is_done = listing.step(table, most - names, |watchers| {
                found.push((watchers.path().clone(), watchers.ids().collect()));
                let count = 1 + watchers.ids().len();
                names += count;
                count
            });
            if is_done {
                *listing = Self::next_table(*listing);
            }
        }
        found
    }

    const fn next_table(listing: Listing) -> Listing {
        Listing { table: listing.table + 1, bucket: 0, buckets: 0, is_over: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Mode;

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
        let mut leaving = table.take_watcher(1);
        assert!(table.remove_some(&mut leaving, 4));
        assert_eq!(table.summary().2, 7, "the others went");
        while table.remove_some(&mut leaving, 4) {}
        assert_eq!(table.summary(), (1, 1, 1), "the path of another stays");
    }

    #[test]
    fn steps_of_every_size_come_to_an_end_and_are_no_longer_than_asked_for() {
        let mut table = Table::default();
        for number in 0..30_u64 {
            table.add(&format!("/{number}"), 1, Mode::Persistent);
            table.add(&format!("/{}", number / 2), 2, Mode::Persistent);
        }
        for most in 1..8 {
            let (mut listing, mut paths, mut watchers) = (Listing::default(), 0, 0);
            while !listing.is_over() {
                let step = table.paths(&mut listing, most);
                let names: usize = step.iter().map(|(_, ids)| 1 + ids.len()).sum();
                assert!(names < most + 3, "{names} names where {most} were asked for");
                paths += step.len();
                watchers += step.iter().map(|(_, ids)| ids.len()).sum::<usize>();
            }
            assert_eq!((paths, watchers), (30, 45));
        }
        assert!(table.paths_of(3, &mut Listing::default(), 5).is_none());
    }
}
