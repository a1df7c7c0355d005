//! Data directories of every supported release, opened by both servers, and Oxkeeper's own
//! directory opened by the reference again.
//!
//! Each directory is made by the release itself; see `compat_tests::golden`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::{equal, judged};
use compat_tests::server::{Kind, Server};
use compat_tests::{golden, programs};

fn check(version: &'static str, compression: &str) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let name = format!("data-{version}{compression}");
    let home = tempfile::tempdir().context("make a directory")?;
    let [theirs, ours] = ["theirs", "ours"].map(|name| home.path().join(name));
    let with = |dir: &Path| golden::options(dir, compression);

    let made = golden::made(version, compression)?;
    golden::copy(&made, &theirs)?;
    golden::copy(&made, &ours)?;

    let mut reference = Server::start(Kind::Apache(REFERENCE), &with(&theirs))?;
    let expected = dump(&reference)?;
    reference.stop()?;
    let mut server = Server::start(judged(), &with(&ours))?;
    equal(&format!("{name}-opened"), &expected, &dump(&server)?)?;

    // More of everything through our server, then the reference on what it left.
    programs::java(REFERENCE, "workload", "Workload", &[], &[&server.connect_string(), "/more"])?;
    let before = dump(&server)?;
    server.stop()?;
    let after = Server::start(Kind::Apache(REFERENCE), &with(&ours))?;
    equal(&format!("{name}-returned"), &without_hashes(&before), &without_hashes(&dump(&after)?))?;
    drop(after);

    // The same after a kill, which leaves the last log unfinished.
    let mut server = Server::start(judged(), &with(&ours))?;
    programs::java(REFERENCE, "workload", "Workload", &[], &[&server.connect_string(), "/last"])?;
    let before = dump(&server)?;
    server.kill()?;
    let after = Server::start(Kind::Apache(REFERENCE), &with(&ours))?;
    equal(&format!("{name}-killed"), &without_hashes(&before), &without_hashes(&dump(&after)?))
}

/// Everything a server can tell of what it holds: position, digests, sessions, ephemerals, tree.
fn dump(server: &Server) -> Result<String> {
    let srvr = server.ask("srvr")?;
    let position = srvr.lines().find(|line| line.starts_with("Zxid: ")).context("srvr without Zxid")?;
    let hashes = server.ask("hash")?;
    let sessions = sessions(&server.ask("dump")?);
    let tree = golden::tree(server)?;
    let mntr = server.ask("mntr")?;
    let mismatches = mntr.lines().find(|line| line.starts_with("zk_digest_mismatches_count"));
    // The config node carries the time of this very start.
    let tree: Vec<&str> = tree.lines().filter(|line| !line.starts_with("/zookeeper/config ")).collect();
    let mismatches = mismatches.unwrap_or("no digest count");
    Ok(format!(
        "{position}\n{mismatches}\n# hash\n{hashes}# sessions\n{sessions}\n# tree\n{}\n",
        tree.join("\n")
    ))
}

/// Sessions and their ephemerals from a `dump`, without times and in order.
fn sessions(dump: &str) -> String {
    let body = dump.split("Connections dump:").next().unwrap_or_default();
    let (tracked, ephemerals) = body.split_once("ephemeral nodes dump:").unwrap_or((body, ""));
    let mut known = BTreeSet::new();
    for line in tracked.lines().filter(|line| line.starts_with("\t0x")) {
        known.insert(format!("open {}", line.trim()));
    }
    let mut owner = "";
    for line in ephemerals.lines() {
        match line.strip_prefix('\t') {
            Some(path) => {
                known.insert(format!("ephemeral {owner} {path}"));
            }
            None => owner = line.trim_end_matches(':'),
        }
    }
    known.into_iter().collect::<Vec<_>>().join("\n")
}

/// Which digests are kept, and the position after the dump's own session, depend on the past of
/// the process and not on the directory.
fn without_hashes(dump: &str) -> String {
    let (head, rest) = dump.split_once("# hash\n").unwrap_or((dump, ""));
    let (_, rest) = rest.split_once("# sessions\n").unwrap_or(("", rest));
    let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Zxid: ")).collect();
    format!("{}\n# sessions\n{rest}", head.join("\n"))
}

#[test]
fn of_3_4() -> Result<()> {
    check("3.4.14", "")
}

#[test]
fn of_3_5() -> Result<()> {
    check("3.5.10", "")
}

#[test]
fn of_3_6() -> Result<()> {
    check("3.6.4", "")
}

#[test]
fn of_3_6_with_gzip() -> Result<()> {
    check("3.6.4", "gz")
}

#[test]
fn of_3_7() -> Result<()> {
    check("3.7.2", "")
}

#[test]
fn of_3_7_with_snappy() -> Result<()> {
    check("3.7.2", "snappy")
}

#[test]
fn of_3_8() -> Result<()> {
    check("3.8.4", "")
}

#[test]
fn of_3_9() -> Result<()> {
    check("3.9.5", "")
}

#[test]
fn of_3_9_with_gzip() -> Result<()> {
    check("3.9.5", "gz")
}

#[test]
fn of_3_9_with_snappy() -> Result<()> {
    check("3.9.5", "snappy")
}
