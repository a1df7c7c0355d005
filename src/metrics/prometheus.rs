//! The metrics in Prometheus' text format, under the reference's names, without a prefix.
//!
//! Nothing is recorded twice: at each scrape the counters and gauges are copied into a recorder of
//! the `metrics` facade, which renders them. Summaries are written here, because their count and sum
//! already exist and the facade would have to see every observation again.
//!
//! Reference: `PrometheusMetricsProvider`. Its quantiles forget observations older than ten
//! minutes, and are `NaN` when none is left; ours compare with a copy taken at an earlier scrape, in
//! steps of two minutes.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::PrometheusBuilder;

use super::handles::Distribution;
use super::java;
use super::mntr::QUOTAS;
use super::{Detail, Entry, Gauges, Metrics, Summary, process};

/// Renders scrapes.
pub struct Exporter {
    metrics: Arc<Metrics>,
    gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
    export_process: bool,
    windows: Mutex<HashMap<String, Window>>,
}

/// Earlier copies of a distribution with their time in milliseconds, oldest first.
type Window = VecDeque<(u64, Distribution)>;

const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Observations count towards quantiles for this time.
const WINDOW_MS: u64 = 600_000;
/// Time between two copies.
const STEP_MS: u64 = 120_000;

impl Exporter {
    /// Exports `metrics`, and what `gauges` gives at each scrape. `export_process` adds the figures of
    /// the process (`metricsProvider.exportJvmInfo`).
    pub fn new(
        metrics: Arc<Metrics>,
        gauges: impl Fn() -> Gauges + Send + Sync + 'static,
        export_process: bool,
    ) -> Self {
        Self { metrics, gauges: Box::new(gauges), export_process, windows: Mutex::default() }
    }

    /// One scrape: all metrics as text format 0.0.4. `now_ms` is a monotonic clock in milliseconds.
    pub fn render(&self, now_ms: u64) -> String {
        let gauges = (self.gauges)();
        // A recorder of its own for each scrape: it would go on telling of a quota that is gone.
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || self.feed(&gauges));
        let mut text = recorder.handle().render();
        self.heads_without_samples(&mut text);
        if self.export_process {
            // A counter of fractions, which the facade does not have.
            head(&mut text, CPU_SECONDS, "counter");
            let _ = writeln!(text, "{CPU_SECONDS} {}", java::double(process::cpu_seconds()));
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.metrics.entries() {
            match entry {
                Entry::Summary(name, detail, summary) => {
                    head(&mut text, name, "summary");
                    let recent = recent(windows.entry(name.to_owned()).or_default(), summary, now_ms);
                    write_summary(&mut text, name, "", detail, summary, &recent);
                }
                Entry::KeyedSummary(name, detail, keyed) => {
                    head(&mut text, name, "summary");
                    keyed.each(|key, summary| {
                        let window = windows.entry(format!("{name} {key}")).or_default();
                        let label = format!("key=\"{}\",", escaped(key));
                        let recent = recent(window, summary, now_ms);
                        write_summary(&mut text, name, &label, detail, summary, &recent);
                    });
                }
                Entry::Counter(..) | Entry::KeyedCounter(..) => {}
            }
        }
        text
    }

    /// The entries of `mntr` when this provider is active: the samples of a scrape, all as doubles.
    /// Reference: `PrometheusMetricsProvider.dump`.
    pub fn mntr_entries(&self, now_ms: u64) -> Vec<(String, String)> {
        let text = self.render(now_ms);
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| {
            let (key, value) = line.rsplit_once(' ')?;
            Some((key.replace(",}", "}"), java::double(value.parse().unwrap_or(f64::NAN))))
        };
        samples.filter_map(pair).collect()
    }

    /// What has a sample for each key, and no key yet, is named all the same: a scrape of the
    /// reference tells every name. The facade knows only what has a sample.
    fn heads_without_samples(&self, text: &mut String) {
        let quotas = QUOTAS.map(|(name, _)| (name, "gauge"));
        let keyed = self.metrics.entries().into_iter().filter_map(|entry| match entry {
            Entry::KeyedCounter(name, _) => Some((name, "counter")),
            _ => None,
        });
        for (name, kind) in quotas.into_iter().chain(keyed) {
            if !text.contains(&format!("# TYPE {name} ")) {
                head(text, name, kind);
            }
        }
    }

    fn feed(&self, gauges: &Gauges) {
        for entry in self.metrics.entries() {
            match entry {
                Entry::Counter(name, counter) => {
                    metrics::describe_counter!(name, name);
                    metrics::counter!(name).absolute(counter.value());
                }
                Entry::KeyedCounter(name, keyed) => {
                    metrics::describe_counter!(name, name);
                    keyed.each(|key, counter| {
                        metrics::counter!(name, "key" => key.to_owned()).absolute(counter.value());
                    });
                }
                Entry::Summary(..) | Entry::KeyedSummary(..) => {}
            }
        }
        for (name, value) in gauges.entries() {
            metrics::describe_gauge!(name, name);
            metrics::gauge!(name).set(value.as_f64());
        }
        for (name, of) in QUOTAS {
            for (key, value) in gauges.quotas.iter().filter_map(|(key, quota)| Some((key, of(quota)?))) {
                metrics::gauge!(name, "key" => key.clone()).set(value as f64);
            }
        }
        for (name, label, value) in if self.export_process { process::java_names() } else { Vec::new() } {
            match label {
                Some((key, label)) => metrics::gauge!(name, key => label).set(value),
                None => metrics::gauge!(name).set(value),
            }
        }
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Exporter").field("export_process", &self.export_process).finish_non_exhaustive()
    }
}

/// What was observed in the last ten minutes, as far as scrapes tell.
fn recent(window: &mut Window, summary: &Summary, now_ms: u64) -> Distribution {
    let all = summary.distribution();
    // The newest copy that is old enough is the one to compare with; older ones are done for.
    while window.get(1).is_some_and(|(taken_ms, _)| taken_ms + WINDOW_MS <= now_ms) {
        window.pop_front();
    }
    let baseline = window.front().filter(|(taken_ms, _)| taken_ms + WINDOW_MS <= now_ms);
    let recent = baseline.map_or_else(|| all.clone(), |(_, earlier)| all.since(earlier));
    if window.back().is_none_or(|(taken_ms, _)| taken_ms + STEP_MS <= now_ms) {
        window.push_back((now_ms, all));
    }
    recent
}

fn head(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}");
}

fn write_summary(
    text: &mut String,
    name: &str,
    label: &str,
    detail: Detail,
    summary: &Summary,
    recent: &Distribution,
) {
    let shares: &[f64] = if detail == Detail::Percentiles { &[0.5, 0.9, 0.99] } else { &[0.5] };
    for share in shares {
        let value = java::double(recent.quantile(*share).unwrap_or(f64::NAN));
        let _ = writeln!(text, "{name}{{{label}quantile=\"{share}\",}} {value}");
    }
    let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
    let _ = writeln!(text, "{name}_count{labels} {}", java::double(summary.count() as f64));
    let _ = writeln!(text, "{name}_sum{labels} {}", java::double(summary.sum() as f64));
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::QuotaGauges;

    fn exporter() -> Exporter {
        let quotas = [("app".to_owned(), QuotaGauges { count_usage: 4, ..QuotaGauges::default() })].into();
        let gauges = Gauges { znode_count: 5, avg_latency: 0.25, quotas, ..Gauges::default() };
        Exporter::new(Arc::new(Metrics::new()), move || gauges.clone(), true)
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }

    #[test]
    fn names_have_no_prefix_and_counters_no_suffix() {
        let exporter = exporter();
        exporter.metrics.commit_count.add(3);
        exporter.metrics.quota_exceeded_error_per_namespace.add("app", 2);
        let text = exporter.render(0);
        has(&text, "# TYPE commit_count counter");
        has(&text, "commit_count 3");
        has(&text, "quota_exceeded_error_per_namespace{key=\"app\"} 2");
        has(&text, "# TYPE znode_count gauge");
        has(&text, "znode_count 5");
        has(&text, "avg_latency 0.25");
        has(&text, "quota_count_usage_per_namespace{key=\"app\"} 4");
        assert!(text.contains("jvm_memory_bytes_used{area=\"heap\"} "));
        exporter.metrics.commit_count.add(1);
        has(&exporter.render(1), "commit_count 4");
    }

    #[test]
    fn a_quota_that_is_gone_is_told_no_more() {
        let quotas = [("app".to_owned(), QuotaGauges::default())].into();
        let now = Arc::new(Mutex::new(Gauges { quotas, ..Gauges::default() }));
        let seen = Arc::clone(&now);
        let exporter = Exporter::new(Arc::default(), move || seen.lock().unwrap().clone(), false);
        has(&exporter.render(0), "quota_count_usage_per_namespace{key=\"app\"} 0");
        *now.lock().unwrap() = Gauges::default();
        assert!(!exporter.render(1).contains("key=\"app\""));
    }

    #[test]
    fn every_name_has_one_head_with_and_without_samples() {
        let exporter = exporter();
        for text in [exporter.render(0), exporter.render(1)] {
            has(&text, "# TYPE quota_exceeded_error_per_namespace counter");
            has(&text, "# TYPE quota_bytes_limit_per_namespace gauge");
            has(&text, "# TYPE process_cpu_seconds_total counter");
            let mut heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
            heads.sort_unstable();
            assert!(heads.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn summaries_have_quantiles_count_and_sum() {
        let exporter = exporter();
        (1..=3).for_each(|ms| exporter.metrics.fsynctime.observe(ms));
        exporter.metrics.readlatency.observe(7);
        exporter.metrics.write_per_namespace.observe("a\"b", 9);
        let text = exporter.render(0);
        has(&text, "# HELP fsynctime fsynctime");
        has(&text, "# TYPE fsynctime summary");
        has(&text, "fsynctime{quantile=\"0.5\",} 2.0");
        has(&text, "fsynctime_count 3.0");
        has(&text, "fsynctime_sum 6.0");
        assert!(!text.contains("fsynctime{quantile=\"0.9\""));
        has(&text, "readlatency{quantile=\"0.99\",} 7.0");
        has(&text, "updatelatency{quantile=\"0.5\",} NaN");
        has(&text, "write_per_namespace{key=\"a\\\"b\",quantile=\"0.5\",} 9.0");
        has(&text, "write_per_namespace_sum{key=\"a\\\"b\",} 9.0");
    }

    #[test]
    fn quantiles_forget_what_is_older_than_ten_minutes() {
        let exporter = exporter();
        exporter.metrics.fsynctime.observe(30);
        has(&exporter.render(0), "fsynctime{quantile=\"0.5\",} 30.0");
        exporter.metrics.fsynctime.observe(2);
        let later = exporter.render(WINDOW_MS);
        has(&later, "fsynctime{quantile=\"0.5\",} 2.0");
        has(&later, "fsynctime_count 2.0");
        has(&exporter.render(3 * WINDOW_MS), "fsynctime{quantile=\"0.5\",} NaN");
    }

    #[test]
    fn mntr_shows_the_samples_as_doubles() {
        let exporter = exporter();
        exporter.metrics.commit_count.add(3);
        exporter.metrics.fsynctime.observe(4);
        let lines = exporter.mntr_entries(0);
        for (key, value) in
            [("commit_count", "3.0"), ("znode_count", "5.0"), ("fsynctime{quantile=\"0.5\"}", "4.0")]
        {
            assert!(lines.contains(&(key.to_owned(), value.to_owned())), "{key}");
        }
    }
}
