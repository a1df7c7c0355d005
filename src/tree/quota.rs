//! Quotas: where they stand and how their nodes are written (reference: `Quotas`, `StatsTrack`).

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::prefixes;

/// The node that holds all quotas.
pub const ROOT: &str = "/zookeeper/quota";
/// The node with the limits of one quota.
pub const LIMITS: &str = "zookeeper_limits";
/// The node with the usage of one quota.
pub const STATS: &str = "zookeeper_stats";

/// The limits node of the quota on `path`.
#[must_use]
pub fn limits_path(path: &str) -> String {
    format!("{ROOT}{path}/{LIMITS}")
}

/// The usage node of the quota on `path`.
#[must_use]
pub fn stats_path(path: &str) -> String {
    format!("{ROOT}{path}/{STATS}")
}

/// So much of the text of a limits or usage node is looked at, each time something is written under the
/// quota. Text that anybody but a vandal wrote is shorter.
const TEXT_BYTES_MAX: usize = 1024;

/// Whether the reference can read a limits or usage node with this data. What it cannot read ends it.
#[must_use]
pub fn is_readable(data: Option<&[u8]>) -> bool {
    let Some(data) = data else { return false };
    let text = String::from_utf8_lossy(data);
    let mut pairs = text.split([',', ';']);
    let first_fits = text.is_empty() || pairs.clone().next().is_some_and(|first| !first.is_empty());
    first_fits
        && pairs.all(|pair| {
            let value = pair.trim_end_matches('=').split('=').nth(1);
            pair.is_empty() || value.is_some_and(|value| value.is_empty() || value.parse::<i64>().is_ok())
        })
}

/// The text of a limits or usage node. Missing and malformed numbers are -1: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsTrack(BTreeMap<String, i64>);

impl StatsTrack {
    /// Reads the node's data.
    #[must_use]
    pub fn parse(data: Option<&[u8]>) -> Self {
        let data = data.unwrap_or_default();
        let is_separator = |byte: &u8| matches!(byte, b',' | b';');
        let beginning = data.get(..TEXT_BYTES_MAX).map(|beginning| {
            let whole_pairs = beginning.iter().rposition(is_separator).unwrap_or(0);
            beginning.get(..whole_pairs).unwrap_or_default()
        });
        let text = String::from_utf8_lossy(beginning.unwrap_or(data));
        let pairs = text.split([',', ';']).filter(|pair| !pair.is_empty()).map(|pair| {
            let mut halves = pair.split('=');
            let key = halves.next().unwrap_or_default();
            let value = halves.next().and_then(|value| value.parse().ok()).unwrap_or(-1);
            (key.to_owned(), value)
        });
        Self(pairs.collect())
    }

    fn value(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    /// Nodes, or the soft limit of them.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.value("count")
    }

    /// Bytes of data, or the soft limit of them.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.value("bytes")
    }

    /// The limit of nodes that refuses.
    #[must_use]
    pub fn count_hard_limit(&self) -> i64 {
        self.value("countHardLimit")
    }

    /// The limit of bytes that refuses.
    #[must_use]
    pub fn byte_hard_limit(&self) -> i64 {
        self.value("byteHardLimit")
    }

    /// Sets both usage figures.
    pub fn set_usage(&mut self, count: i64, bytes: i64) {
        self.0.insert("count".into(), count);
        self.0.insert("bytes".into(), bytes);
    }
}

impl std::fmt::Display for StatsTrack {
    /// The reference's form, with the stray `=` it writes for the sake of old parsers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "count={},bytes={}", self.count(), self.bytes())?;
        let mut lead = "=";
        for (key, value) in self.0.iter().filter(|(key, _)| !matches!(key.as_str(), "count" | "bytes")) {
            write!(f, "{lead};{key}={value}")?;
            lead = "";
        }
        Ok(())
    }
}

/// The paths that have a quota.
#[derive(Debug, Default)]
pub struct QuotaPaths {
    paths: HashSet<String>,
    /// What is known of each beginning of these paths that ends with a component, by its hash.
    prefixes: HashMap<u64, Prefix, RandomState>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Prefix {
    /// How many of the paths begin with it.
    paths: usize,
    /// How many of them are it.
    whole: usize,
}

impl QuotaPaths {
    /// A limits node came into being.
    pub fn add(&mut self, path: &str) {
        if path.is_empty() || !self.paths.insert(path.to_owned()) {
            return;
        }
        for (end, hash) in prefixes::hashes(&self.hasher, path) {
            let prefix = self.prefixes.entry(hash).or_default();
            prefix.paths += 1;
            prefix.whole += usize::from(end == path.len());
        }
    }

    /// A limits node went away.
    pub fn remove(&mut self, path: &str) {
        if !self.paths.remove(path) {
            return;
        }
        for (end, hash) in prefixes::hashes(&self.hasher, path) {
            if let Some(prefix) = self.prefixes.get_mut(&hash) {
                prefix.paths -= 1;
                prefix.whole -= usize::from(end == path.len());
                if prefix.paths == 0 {
                    self.prefixes.remove(&hash);
                }
            }
        }
    }

    /// The deepest quota that `path` counts towards. A quota on the root is ignored, as the reference
    /// ignores it. Each byte of the path is looked at once, and none behind the first component that no
    /// path with a quota shares.
    #[must_use]
    pub fn governing<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.paths.is_empty() {
            return None;
        }
        let mut likely = Vec::new();
        for (end, hash) in prefixes::hashes(&self.hasher, path) {
            let Some(prefix) = self.prefixes.get(&hash) else { break };
            if prefix.whole > 0 {
                likely.push(end);
            }
        }
        let prefixes = likely.into_iter().rev().filter_map(|end| path.get(..end));
        prefixes.filter(|prefix| *prefix != "/").find(|prefix| self.paths.contains(*prefix))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }
}

/// The path that a node below [`ROOT`] is a quota for.
#[must_use]
pub fn governed_path(quota_node: &str) -> &str {
    quota_node.strip_prefix(ROOT).unwrap_or(quota_node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_reference_reads_is_told_from_what_ends_it() {
        let readable =
            ["", "count=1", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=2", "a==b,", "x=+5;;y=6"];
        let fatal =
            ["x", "count=", "=", ",count=1", "count=1,bytes= 5", "count=one", "count=99999999999999999999"];
        for text in readable {
            assert!(is_readable(Some(text.as_bytes())), "{text}");
        }
        for text in fatal {
            assert!(!is_readable(Some(text.as_bytes())), "{text}");
        }
        assert!(!is_readable(None));
    }

    #[test]
    fn hard_limits_follow_a_stray_equals_sign() {
        let text = b"count=1,bytes=2=;byteHardLimit=3;countHardLimit=4";
        let track = StatsTrack::parse(Some(text));
        assert_eq!((track.count(), track.bytes()), (1, 2));
        assert_eq!((track.count_hard_limit(), track.byte_hard_limit()), (4, 3));
        assert_eq!(track.to_string().as_bytes(), text);
        assert_eq!(StatsTrack::parse(None).to_string(), "count=-1,bytes=-1");
    }

    /// Every key of a usage node was kept: with 0.9 MB of them, each write under the quota took 34 ms.
    #[test]
    fn junk_in_a_usage_node_does_not_last() {
        let junk: String = (0..100_000).map(|n| format!(";k{n}=1")).collect();
        let mut track = StatsTrack::parse(Some(format!("count=5,bytes=6=;byteHardLimit=7{junk}").as_bytes()));
        track.set_usage(track.count() + 1, track.bytes());
        let text = track.to_string();
        assert!(text.starts_with("count=6,bytes=6=;byteHardLimit=7;k0=1;k1=1;k10=1;"), "{text}");
        assert!(text.len() < 2 * TEXT_BYTES_MAX);
    }

    #[test]
    fn the_deepest_quota_governs() {
        let mut paths = QuotaPaths::default();
        paths.add("/a");
        paths.add("/a/b");
        assert_eq!(paths.governing("/a/b/c"), Some("/a/b"));
        assert_eq!(paths.governing("/a"), Some("/a"));
        assert_eq!(paths.governing("/ab"), None);
        paths.remove("/a");
        assert_eq!((paths.governing("/a/b"), paths.governing("/a/c")), (Some("/a/b"), None));
        paths.remove("/a/b");
        assert!(paths.prefixes.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn the_quota_found_is_the_one_a_look_at_each_ancestor_finds(
            changes in proptest::collection::vec((proptest::bool::ANY, "/?([ab]/?){0,4}"), 0..30),
            asked in proptest::collection::vec("/?([ab]/?){0,6}", 1..10),
        ) {
            let mut paths = QuotaPaths::default();
            for (adds, path) in &changes {
                if *adds { paths.add(path) } else { paths.remove(path) }
            }
            for path in &asked {
                let mut ancestors = crate::tree::path::self_and_ancestors(path);
                let expected = ancestors.find(|prefix| *prefix != "/" && paths.paths.contains(*prefix));
                assert_eq!(paths.governing(path), expected, "{path:?}");
            }
            changes.iter().for_each(|(_, path)| paths.remove(path));
            assert!(paths.prefixes.is_empty());
        }
    }

    /// Each ancestor was hashed from its beginning: a write at depth 10,000 took 31 ms while there was a
    /// quota anywhere. With that, this test takes minutes.
    #[test]
    fn a_deep_path_is_looked_at_once() {
        let deep = "/a".repeat(100_000);
        let mut paths = QuotaPaths::default();
        paths.add("/b");
        assert_eq!(paths.governing(&deep), None);
        paths.add(&format!("{deep}/b"));
        paths.add("/a");
        assert_eq!(paths.governing(&deep), Some("/a"));
    }
}
