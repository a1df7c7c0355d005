//! What operators' tools read from either server: the rules by which Solr, Telegraf, Datadog and the
//! exporters take four-letter words apart, and a Prometheus scrape.
//!
//! Whatever a tool reads from the reference it must read from Oxkeeper: the same names, of the same
//! type. What Oxkeeper tells beyond that, a tool may read too.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use compat_tests::compare::{judged, verdict};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Options, Server, free_port};
use compat_tests::wire::{Body, Client, op};
use compat_tests::{artifacts, programs};

/// Names that tell of a Java virtual machine, which only one of the servers has.
const JAVA: [&str; 6] = [
    "telegraf: jvm_",
    "telegraf: rejects zk_jvm_",
    "datadog: zookeeper.jvm_",
    "exporter: zk_jvm_",
    "exporter: rejects zk_jvm_",
    "scrape: jvm_",
];

fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !JAVA.iter().any(|prefix| line.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

fn text<'a>(lines: impl Iterator<Item = &'a String>) -> String {
    lines.map(|line| format!("{line}\n")).collect()
}

/// What the tools read from a server that has served a little.
fn read(kind: Kind, metrics: bool) -> Result<String> {
    let mut options = Options::default();
    let mut port = None;
    if metrics {
        let free = free_port()?;
        options = options
            .line(
                "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
            )
            .line("metricsProvider.httpHost=127.0.0.1")
            .line(&format!("metricsProvider.httpPort={free}"));
        port = Some(free.to_string());
    }
    let server = Server::start(kind, &options)?;
    let mut client = Client::connect(server.addr(), 30_000)?;
    for (xid, path) in [(1, "/a"), (2, "/a/b")] {
        ensure!(client.call(xid, op::CREATE, &Body::create(path, b"data", 0))?.err == 0, "create {path}");
    }
    ensure!(client.call(3, op::GET_DATA, &Body::path_and_watch("/a", true))?.err == 0, "read /a");
    ensure!(client.call(4, op::SET_DATA, &Body::set_data("/a", b"new", -1))?.err == 0, "write /a");
    let address = server.connect_string();
    let args: Vec<&str> = [address.as_str()].into_iter().chain(port.as_deref()).collect();
    programs::python("operators.py", &args)
}

fn check(case: &Case, metrics: bool) -> Result<()> {
    if !artifacts::available(&["java", "mvn", "python3"])? {
        return Ok(());
    }
    let expected = read(Kind::Apache(artifacts::REFERENCE), metrics).map(|text| lines(&text));
    let actual = read(judged(), metrics).map(|text| lines(&text));
    let shown = match (&expected, actual) {
        // More may be told, but not what a tool stumbles over.
        (Ok(expected), Ok(actual)) => {
            Ok(text(actual.iter().filter(|line| expected.contains(*line) || line.contains(": rejects "))))
        }
        (_, actual) => actual.map(|lines| text(lines.iter())),
    };
    verdict(case, Some(expected.map(|lines| text(lines.iter()))), shown)
}

#[test]
fn readers_of_four_letter_words() -> Result<()> {
    let what = "Solr's status reader, Telegraf's, Datadog's, the mntr exporters'";
    check(&Case::new("operators", "operators' tools", what), false)
}

#[test]
fn a_scrape_and_the_readers_beside_it() -> Result<()> {
    let what = "a Prometheus scrape: names, types, samples; the readers of mntr beside it";
    check(&Case::new("operators-scrape", "operators' tools", what), true)
}
