//! Quotas: where they stand and how their nodes are written (reference: `Quotas`, `StatsTrack`).

use std::collections::{BTreeMap, HashSet};

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

/// The text of a limits or usage node. Missing and malformed numbers are -1: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsTrack(BTreeMap<String, i64>);

impl StatsTrack {
    /// Reads the node's data.
    #[must_use]
    pub fn parse(data: Option<&[u8]>) -> Self {
        let text = String::from_utf8_lossy(data.unwrap_or_default());
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
pub struct QuotaPaths(HashSet<String>);

impl QuotaPaths {
    /// A limits node came into being.
    pub fn add(&mut self, path: &str) {
        if !path.is_empty() {
            self.0.insert(path.to_owned());
        }
    }

    /// A limits node went away.
    pub fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// The deepest quota that `path` counts towards. A quota on the root is ignored, as the reference
    /// ignores it.
    #[must_use]
    pub fn governing<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        super::path::self_and_ancestors(path).find(|prefix| *prefix != "/" && self.0.contains(*prefix))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
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
    fn hard_limits_follow_a_stray_equals_sign() {
        let text = b"count=1,bytes=2=;byteHardLimit=3;countHardLimit=4";
        let track = StatsTrack::parse(Some(text));
        assert_eq!((track.count(), track.bytes()), (1, 2));
        assert_eq!((track.count_hard_limit(), track.byte_hard_limit()), (4, 3));
        assert_eq!(track.to_string().as_bytes(), text);
        assert_eq!(StatsTrack::parse(None).to_string(), "count=-1,bytes=-1");
    }

    #[test]
    fn the_deepest_quota_governs() {
        let mut paths = QuotaPaths::default();
        paths.add("/a");
        paths.add("/a/b");
        assert_eq!(paths.governing("/a/b/c"), Some("/a/b"));
        assert_eq!(paths.governing("/a"), Some("/a"));
        assert_eq!(paths.governing("/ab"), None);
    }
}
