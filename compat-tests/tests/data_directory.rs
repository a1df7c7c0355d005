//! Data directories of every supported release, opened by both servers, and Oxkeeper's own
//! directory opened by the reference again.
//!
//! Each directory is made by the release itself: a workload runs, leaves its sessions open, and
//! the server is killed, so that the last log has no end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::{equal, judged};
use compat_tests::programs;
use compat_tests::server::{Kind, Options, Server};

const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// Long ticks let sessions outlive the change of servers; small counts make many files.
fn options(data_dir: &Path) -> Options {
    Options::default()
        .data_dir(data_dir)
        .tick_time_ms(10_000)
        .line("snapCount=40")
        .line("preAllocSize=64")
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER)
        .property("znode.container.checkIntervalMs", "3600000")
}

fn check(version: &'static str, compression: &str) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let name = format!("data-{version}{compression}");
    let home = tempfile::tempdir().context("make a directory")?;
    let [made, theirs, ours] = ["made", "theirs", "ours"].map(|name| home.path().join(name));
    let with = |dir: &Path| match compression {
        "" => options(dir),
        method => options(dir).line(&format!("snapshot.compression.method={method}")),
    };

    let mut maker = Server::start(Kind::Apache(version), &with(&made))?;
    programs::java(version, "workload", "Workload", &[], &[&maker.connect_string(), "/made"])?;
    maker.kill()?;
    expect_files(&made, compression)?;
    copy(&made, &theirs)?;
    copy(&made, &ours)?;

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

/// The directory must hold what the test is about: several logs, several snapshots, compressed
/// if asked.
fn expect_files(data_dir: &Path, compression: &str) -> Result<()> {
    let dir = data_dir.join("version-2");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        names.push(entry.context("read an entry")?.file_name().to_string_lossy().into_owned());
    }
    let logs = names.iter().filter(|name| name.starts_with("log.")).count();
    let ending = if compression.is_empty() { String::new() } else { format!(".{compression}") };
    let snapshots =
        names.iter().filter(|name| name.starts_with("snapshot.") && name.ends_with(&ending)).count();
    ensure!(logs > 2 && snapshots > 2, "{logs} logs and {snapshots} snapshots are too few: {names:?}");
    Ok(())
}

/// Everything a server can tell of what it holds: position, digests, sessions, ephemerals, tree.
fn dump(server: &Server) -> Result<String> {
    let srvr = server.ask("srvr")?;
    let position = srvr.lines().find(|line| line.starts_with("Zxid: ")).context("srvr without Zxid")?;
    let hashes = server.ask("hash")?;
    let sessions = sessions(&server.ask("dump")?);
    let tree = programs::java(REFERENCE, "dump", "Dump", &[], &[&server.connect_string(), "super:secret"])?;
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

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.context("read an entry")?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copy to {}", target.display()))?;
        }
    }
    Ok(())
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
