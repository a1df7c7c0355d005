//! The metrics as `mntr` and the admin server show them.
//!
//! Reference: `DefaultMetricsProvider.dump`. Its order is that of hash tables, group by group; we
//! keep the same order where names do not share a slot, so that a diff of two servers is short.

use super::java;
use super::{Detail, Entry, Gauges, Metrics, QuotaGauges, Summary, Value};

impl Metrics {
    /// Keys (without the `zk_` that `mntr` puts before them) and values of all metrics, in the
    /// order of the reference.
    pub fn mntr_entries(&self, gauges: &Gauges) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        for (name, value) in in_table_order(gauges.entries(), |(name, _)| name) {
            lines.push((name.to_owned(), printed(value)));
        }
        for (name, of) in in_table_order(QUOTAS.to_vec(), |(name, _)| name) {
            let known = gauges.quotas.iter().filter_map(|(key, quota)| Some((key, of(quota)?)));
            lines.extend(known.map(|(key, value)| (format!("{key}_{name}"), value.to_string())));
        }
        let mut groups: [Vec<(&str, Entry<'_>)>; 6] = Default::default();
        for entry in self.entries() {
            let (group, name) = match &entry {
                Entry::Counter(name, _) => (0, *name),
                Entry::KeyedCounter(name, _) => (1, *name),
                Entry::Summary(name, Detail::Basic, _) => (2, *name),
                Entry::Summary(name, Detail::Percentiles, _) => (3, *name),
                Entry::KeyedSummary(name, Detail::Basic, _) => (4, *name),
                Entry::KeyedSummary(name, Detail::Percentiles, _) => (5, *name),
            };
            groups[group].push((name, entry));
        }
        for group in groups {
            for (_, entry) in in_table_order(group, |(name, _)| name) {
                append(&mut lines, &entry);
            }
        }
        lines
    }
}

type QuotaField = fn(&QuotaGauges) -> Option<i64>;

/// The gauges of quotas, by name.
pub(super) const QUOTAS: [(&str, QuotaField); 4] = [
    ("quota_count_limit_per_namespace", |quota| quota.count_limit),
    ("quota_bytes_limit_per_namespace", |quota| quota.bytes_limit),
    ("quota_count_usage_per_namespace", |quota| Some(quota.count_usage)),
    ("quota_bytes_usage_per_namespace", |quota| Some(quota.bytes_usage)),
];

fn printed(value: Value) -> String {
    match value {
        Value::Whole(number) => number.to_string(),
        Value::Fraction(number) => java::double(number),
    }
}

fn append(lines: &mut Vec<(String, String)>, entry: &Entry<'_>) {
    match entry {
        Entry::Counter(name, counter) => lines.push(((*name).to_owned(), counter.value().to_string())),
        Entry::KeyedCounter(name, keyed) => {
            keyed.each(|key, counter| lines.push((format!("{key}_{name}"), counter.value().to_string())));
        }
        Entry::Summary(name, detail, summary) => append_summary(lines, name, *detail, summary),
        Entry::KeyedSummary(name, detail, keyed) => {
            keyed.each(|key, summary| append_summary(lines, &format!("{key}_{name}"), *detail, summary));
        }
    }
}

fn append_summary(lines: &mut Vec<(String, String)>, name: &str, detail: Detail, summary: &Summary) {
    lines.push((format!("avg_{name}"), java::double(summary.average())));
    for (prefix, value) in [("min", summary.min()), ("max", summary.max())] {
        lines.push((format!("{prefix}_{name}"), value.to_string()));
    }
    lines.push((format!("cnt_{name}"), summary.count().to_string()));
    lines.push((format!("sum_{name}"), summary.sum().to_string()));
    if detail == Detail::Percentiles {
        let distribution = summary.distribution();
        for (prefix, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            let value = distribution.quantile(share).unwrap_or(0.0);
            // Math.round: halves go up.
            lines.push((format!("{prefix}_{name}"), ((value + 0.5).floor() as i64).to_string()));
        }
    }
}

/// The order in which Java's `ConcurrentHashMap` lists these names.
fn in_table_order<T>(mut items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut slots = 16;
    while items.len() * 4 >= slots * 3 {
        slots *= 2;
    }
    items.sort_by_key(|item| {
        let hash =
            name(item).encode_utf16().fold(0u32, |h, unit| h.wrapping_mul(31).wrapping_add(unit.into()));
        (hash ^ (hash >> 16)) as usize & (slots - 1)
    });
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(lines: &'a [(String, String)], key: &str) -> &'a str {
        let found = lines.iter().find(|(k, _)| k == key);
        &found.unwrap_or_else(|| panic!("no {key}")).1
    }

    #[test]
    fn every_metric_prints_the_keys_of_its_kind() {
        let metrics = Metrics::new();
        metrics.commit_count.add(3);
        metrics.fsynctime.observe(1);
        metrics.fsynctime.observe(2);
        (1..=100).for_each(|latency| metrics.readlatency.observe(latency % 10));
        metrics.write_per_namespace.observe("app", 12);
        metrics.quota_exceeded_error_per_namespace.add("app", 2);
        let lines = metrics.mntr_entries(&Gauges::default());
        assert_eq!(value(&lines, "commit_count"), "3");
        for (key, expected) in [("avg", "1.5"), ("min", "1"), ("max", "2"), ("cnt", "2"), ("sum", "3")]
            .map(|(p, v)| (format!("{p}_fsynctime"), v))
        {
            assert_eq!(value(&lines, &key), expected, "{key}");
        }
        assert!(lines.iter().all(|(key, _)| key != "p50_fsynctime"));
        assert_eq!(value(&lines, "p50_readlatency"), "5");
        assert_eq!(value(&lines, "p999_readlatency"), "9");
        assert_eq!(value(&lines, "max_app_write_per_namespace"), "12");
        assert_eq!(value(&lines, "app_quota_exceeded_error_per_namespace"), "2");
        assert_eq!(value(&lines, "avg_election_time"), "0.0");
    }

    #[test]
    fn gauges_are_printed_as_java_prints_them() {
        let quota = QuotaGauges { count_limit: Some(10), bytes_limit: None, count_usage: 4, bytes_usage: 99 };
        let gauges = Gauges {
            avg_latency: 0.3333,
            znode_count: 5,
            last_client_response_size: -1,
            quotas: [("app".to_owned(), quota)].into(),
            ..Gauges::default()
        };
        let lines = Metrics::new().mntr_entries(&gauges);
        assert_eq!(value(&lines, "avg_latency"), "0.3333");
        assert_eq!(value(&lines, "znode_count"), "5");
        assert_eq!(value(&lines, "connection_drop_probability"), "0.0");
        assert_eq!(value(&lines, "last_client_response_size"), "-1");
        assert_eq!(value(&lines, "app_quota_count_limit_per_namespace"), "10");
        assert!(lines.iter().all(|(key, _)| key != "app_quota_bytes_limit_per_namespace"));
    }

    #[test]
    fn keys_are_unique_and_reset_returns_to_zero() {
        let metrics = Metrics::new();
        metrics.response_bytes.add(7);
        metrics.updatelatency.observe(5);
        metrics.reset();
        let lines = metrics.mntr_entries(&Gauges::default());
        let mut keys: Vec<_> = lines.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(value(&lines, "response_bytes"), "0");
        assert_eq!(value(&lines, "cnt_updatelatency"), "0");
    }

    #[test]
    fn names_are_listed_as_a_java_hash_table_lists_them() {
        // "a" to "d" hash to 97 to 100, slots 1 to 4 of 16.
        assert_eq!(in_table_order(vec!["d", "b", "a", "c"], |name| name), ["a", "b", "c", "d"]);
    }
}
