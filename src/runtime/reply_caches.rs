//! What the reference's caches of serialised replies would have held (reference: `ResponseCache`). Replies are not cached
//! here, as to make one costs less than a look into a map that all connections share; operators see the counters all
//! the same.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use foldhash::fast::FixedState;
use jute::OpCode;
use jute::records::data::Stat;

use crate::metrics::Metrics;
use crate::tree::quota;

/// Groups of places for nodes.
const GROUPS: usize = 1 << 12;
/// Places of a group: of a few hundred nodes, hardly ever more are of one group.
const GROUP: usize = 4;
/// Bits of a place: how many replies had not been found when the node was last read,
const AGE: u64 = (1 << 20) - 1;
/// a part of the hash of the state that the node had,
const STATE: u64 = ((1 << 22) - 1) << 20;
/// and one of that of its path.
const NODE: u64 = !(AGE | STATE);

/// One for the replies to getData, one for those to getChildren2.
#[derive(Debug)]
pub struct ReplyCaches {
    data: ReplyCache,
    children: ReplyCache,
}

impl ReplyCaches {
    /// Caches of so many entries (`maxResponseCacheSize`, `maxGetChildrenResponseCacheSize`).
    #[must_use]
    pub fn new(data_entries: i64, children_entries: i64) -> Self {
        Self { data: ReplyCache::new(data_entries), children: ReplyCache::new(children_entries) }
    }

    /// Notes whether a reply would have been there.
    pub fn look(&self, found: &mut Found, op: OpCode, path: &str, stat: &Stat) {
        if path.ends_with(quota::STATS) {
            return;
        }
        let (cache, counts) = match op {
            OpCode::GET_DATA => (&self.data, &mut found.data),
            _ => (&self.children, &mut found.children),
        };
        if cache.finds(path, stat) { counts.hits += 1 } else { counts.misses += 1 }
    }
}

/// Replies of a turn.
#[derive(Debug, Default)]
pub struct Found {
    data: Counts,
    children: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: u64,
    misses: u64,
}

impl Found {
    /// Counts them.
    pub fn count(&self, metrics: &Metrics) {
        let Self { data, children } = self;
        for (count, counter) in [
            (data.hits, &metrics.response_packet_cache_hits),
            (data.misses, &metrics.response_packet_cache_misses),
            (children.hits, &metrics.response_packet_get_children_cache_hits),
            (children.misses, &metrics.response_packet_get_children_cache_misses),
        ] {
            if count > 0 {
                counter.add(count);
            }
        }
    }
}

impl Default for ReplyCaches {
    fn default() -> Self {
        Self::new(400, 400)
    }
}

/// Exact for as long as fewer nodes are read than it has entries. With more, the reference drops the one that was not
/// read for longest; here that is told from the replies that were not found since.
#[derive(Debug)]
struct ReplyCache {
    /// A race between two readers miscounts one reply. So does an empty place, which is taken for that of a node whose
    /// part of the hash is 0: one of four million.
    groups: Box<[[AtomicU64; GROUP]]>,
    /// Replies about nodes that were not there.
    missed: AtomicU32,
    entries: u32,
}

impl ReplyCache {
    fn new(entries: i64) -> Self {
        // The reference drops an entry as soon as there are as many as it may hold.
        let entries = u32::try_from(entries.saturating_sub(1)).unwrap_or(0).min(1 << 19);
        let groups = if entries > 0 { GROUPS } else { 0 };
        Self {
            groups: (0..groups).map(|_| Default::default()).collect(),
            missed: AtomicU32::default(),
            entries,
        }
    }

    /// Whether a reply about this state of this node would be there. From now on it is.
    fn finds(&self, path: &str, stat: &Stat) -> bool {
        let hasher = FixedState::default();
        let of_path = hasher.hash_one(path);
        let Some(group) = self.groups.get(of_path as usize % GROUPS) else { return false };
        let of_stat = hasher.hash_one((
            (stat.czxid.0, stat.mzxid.0, stat.pzxid.0),
            (stat.version, stat.cversion, stat.aversion),
        ));
        let now = u64::from(self.missed.load(Relaxed));
        let age_of = |place: u64| now.wrapping_sub(place) & AGE;
        let is_node = |place: u64| (place ^ of_path) & NODE == 0 && age_of(place) < u64::from(self.entries);
        let there = group.iter().map(|place| place.load(Relaxed));
        if let Some((place, there)) = group.iter().zip(there.clone()).find(|(_, there)| is_node(*there)) {
            let entry = of_path & NODE | of_stat & STATE | now & AGE;
            if entry != there {
                place.store(entry, Relaxed);
            }
            return (there ^ entry) & STATE == 0;
        }
        let now = u64::from(self.missed.fetch_add(1, Relaxed).wrapping_add(1));
        if let Some((place, _)) = group.iter().zip(there).max_by_key(|(_, there)| age_of(*there)) {
            place.store(of_path & NODE | of_stat & STATE | now & AGE, Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use jute::Zxid;

    use super::*;

    fn stat(mzxid: i64) -> Stat {
        Stat { mzxid: Zxid(mzxid), ..Stat::default() }
    }

    fn found(cache: &ReplyCache, nodes: std::ops::Range<u32>) -> usize {
        nodes.filter(|node| cache.finds(&format!("/node-{node}"), &stat(1))).count()
    }

    #[test]
    fn what_was_read_in_the_same_state_is_found() {
        let cache = ReplyCache::new(400);
        let finds = |path: &str, mzxid| cache.finds(path, &stat(mzxid));
        assert_eq!([finds("/a", 1), finds("/a", 1), finds("/a", 1)], [false, true, true]);
        assert_eq!([finds("/a", 2), finds("/a", 2), finds("/b", 2)], [false, true, false]);
    }

    #[test]
    fn both_caches_are_as_large_as_those_of_the_reference_unless_it_is_set() {
        let ReplyCaches { data, children } = ReplyCaches::default();
        assert_eq!((data.entries, children.entries), (399, 399));
    }

    #[test]
    fn as_many_are_found_again_as_there_is_room_for() {
        for (entries, nodes, again) in
            [(51, 50, 50), (51, 51, 0), (400, 300, 300), (2, 1, 1), (1, 1, 0), (0, 1, 0), (-5, 1, 0)]
        {
            let cache = ReplyCache::new(entries);
            assert_eq!(found(&cache, 0..nodes), 0);
            assert_eq!(found(&cache, 0..nodes), again, "{nodes} nodes, {entries} entries");
            assert_eq!(cache.groups.len(), if entries > 1 { GROUPS } else { 0 }, "its memory");
        }
    }

    #[test]
    fn what_was_found_stays_for_as_many_others_as_there_is_room_for() {
        for name in 0..20 {
            for (others, is_there) in [(49, true), (50, false)] {
                let cache = ReplyCache::new(51);
                let finds = || cache.finds(&format!("/found-{name}"), &stat(name));
                assert_eq!([finds(), finds()], [false, true]);
                found(&cache, 0..others);
                assert_eq!(finds(), is_there, "/found-{name} after {others} others");
            }
        }
    }

    #[test]
    fn what_is_read_again_and_again_stays_while_others_come_and_go() {
        let cache = ReplyCache::new(100);
        cache.finds("/hot", &stat(1));
        for round in 0..50 {
            found(&cache, 1000 * round..1000 * round + 50);
            assert!(cache.finds("/hot", &stat(1)));
        }
    }
}
