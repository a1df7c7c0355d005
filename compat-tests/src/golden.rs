//! Data directories written by releases of the reference, and what can happen to them.
//!
//! Each directory is made by the release itself: a workload runs, leaves its sessions open, and the server
//! is killed, so that the last log has no end. A directory is made once and kept in the cache; its users
//! work on copies. [`variants`] are the ways in which a copy can be cut short or damaged.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::programs::{java, sources};
use crate::server::{Kind, Options, Server};
use crate::{artifacts, programs};

/// `super:secret`.
const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
/// So that there is something before and after a record in the middle.
const LAST_LOG_RECORDS_MIN: usize = 5;
/// Times a directory is made anew until its last log is long enough.
const MAKES_MAX: usize = 10;
/// Bytes before the first record of a log.
const LOG_HEADER: usize = 16;
/// Bytes of a record before its payload: checksum and length.
const RECORD_HEADER: usize = 12;

/// How a directory is written and opened. Long ticks let sessions outlive the change of servers; small
/// counts make many files.
#[must_use]
pub fn options(data_dir: &Path, compression: &str) -> Options {
    let options = Options::default()
        .data_dir(data_dir)
        .tick_time_ms(10_000)
        .line("snapCount=40")
        .line("preAllocSize=64")
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER)
        .property("znode.container.checkIntervalMs", "3600000");
    match compression {
        "" => options,
        method => options.line(&format!("snapshot.compression.method={method}")),
    }
}

/// The directory that a release has written; snapshots are compressed if a method is given.
pub fn made(version: &'static str, compression: &str) -> Result<PathBuf> {
    let mut text = Vec::new();
    for source in sources("workload")? {
        text.extend(fs::read(&source).with_context(|| format!("read {}", source.display()))?);
    }
    let name = format!("golden-{version}{compression}-{:016x}", artifacts::checksum(&text));
    artifacts::once(&name, |dir| {
        for _ in 0..MAKES_MAX {
            let mut maker = Server::start(Kind::Apache(version), &options(dir, compression))?;
            java(version, "workload", "Workload", &[], &[&maker.connect_string(), "/made"])?;
            maker.kill()?;
            expect_files(dir, compression)?;
            let last = files(dir, "log.")?.pop().context("a log")?;
            if records(&read(&last)?)?.len() >= LAST_LOG_RECORDS_MIN {
                return Ok(());
            }
            // The releases roll their logs at a random number of records, here just before the end.
            let written = dir.join("version-2");
            fs::remove_dir_all(&written).with_context(|| format!("remove {}", written.display()))?;
        }
        bail!("{version} ended {MAKES_MAX} times with a log of fewer than {LAST_LOG_RECORDS_MIN} records")
    })
}

/// The directory must hold what tests of it are about: several logs, several snapshots, compressed if
/// asked.
fn expect_files(data_dir: &Path, compression: &str) -> Result<()> {
    let (logs, snapshots) = (files(data_dir, "log.")?, files(data_dir, "snapshot.")?);
    let ending = if compression.is_empty() { String::new() } else { format!(".{compression}") };
    let compressed = snapshots.iter().filter(|path| path.to_string_lossy().ends_with(&ending)).count();
    ensure!(logs.len() > 2 && compressed > 2, "too few files: {logs:?} {snapshots:?}");
    Ok(())
}

/// Logs or snapshots, oldest first.
pub fn files(data_dir: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let dir = data_dir.join("version-2");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("read a directory entry")?.path();
        if let Some(zxid) = zxid_of(&path, prefix) {
            found.push((zxid, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn zxid_of(path: &Path, prefix: &str) -> Option<u64> {
    let zxid = path.file_name()?.to_str()?.strip_prefix(prefix)?.split('.').next()?;
    u64::from_str_radix(zxid, 16).ok()
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
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

/// The whole tree as the reference's client sees it, one line a node.
pub fn tree(server: &Server) -> Result<String> {
    programs::java(artifacts::REFERENCE, "dump", "Dump", &[], &[&server.connect_string(), "super:secret"])
}

/// Something that happened to a directory: a file is gone or has this content now.
#[derive(Clone, Debug)]
pub struct Variant {
    /// In words.
    pub name: String,
    /// The entry of `exceptions.toml` under which the servers take it differently.
    pub exception: Option<&'static str>,
    /// All that was written can still be known, so what is loaded must be what the intact directory holds.
    pub whole: bool,
    changes: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Variant {
    /// Lets it happen to a copy.
    pub fn apply(&self, data_dir: &Path) -> Result<()> {
        for (name, content) in &self.changes {
            let path = data_dir.join("version-2").join(name);
            match content {
                Some(bytes) => fs::write(&path, bytes),
                None => fs::remove_file(&path),
            }
            .with_context(|| format!("change {}", path.display()))?;
        }
        Ok(())
    }
}

/// What is known of one directory while its variants are made.
struct Maker {
    logs: Vec<PathBuf>,
    snapshots: Vec<PathBuf>,
    variants: Vec<Variant>,
}

/// Everything that may happen to this directory.
pub fn variants(data_dir: &Path) -> Result<Vec<Variant>> {
    let mut maker = Maker {
        logs: files(data_dir, "log.")?,
        snapshots: files(data_dir, "snapshot.")?,
        variants: Vec::new(),
    };
    maker.variants.push(Variant {
        name: "intact".to_owned(),
        exception: None,
        whole: true,
        changes: Vec::new(),
    });
    maker.last_log()?;
    maker.earlier_log()?;
    maker.snapshots()?;
    Ok(maker.variants)
}

impl Maker {
    fn add(&mut self, name: String, changes: &[(&Path, Option<Vec<u8>>)]) {
        let bare = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
        let changes = changes.iter().map(|(path, content)| (bare(path), content.clone())).collect();
        self.variants.push(Variant { name, exception: None, whole: false, changes });
    }

    /// What was added last is taken differently.
    fn known(&mut self, exception: &'static str) {
        if let Some(variant) = self.variants.last_mut() {
            variant.exception = Some(exception);
        }
    }

    /// The log that was written last, which replay always needs.
    fn last_log(&mut self) -> Result<()> {
        let path = self.logs.last().context("a log")?.clone();
        let bytes = read(&path)?;
        let records = records(&bytes)?;
        let (first, last) = (&records[0], &records[records.len() - 1]);
        let middle = &records[records.len() / 2];
        for (at, what) in [
            (0, "to nothing"),
            (5, "in its header"),
            (LOG_HEADER, "after its header"),
            (first.start + 20, "in its first record"),
            (last.start, "before its last record"),
            (last.start + 6, "in the checksum of its last record"),
            (last.start + RECORD_HEADER, "before the payload of its last record"),
            ((last.start + last.end) / 2, "in the payload of its last record"),
            (last.end - 1, "before the mark after its last record"),
            ((middle.start + middle.end) / 2, "in the payload of a record in the middle"),
            (last.end, "after its last record"),
        ] {
            self.add(format!("the last log cut {what}"), &[(&path, Some(bytes[..at].to_vec()))]);
            if (1..LOG_HEADER).contains(&at) {
                self.known("log-cut-in-its-header");
            }
        }
        for (at, what) in [
            (0, "magic"),
            (middle.start + 7, "checksum of a record in the middle"),
            (middle.start + 8, "high byte of the length of a record in the middle"),
            (middle.start + 11, "low byte of the length of a record in the middle"),
            (middle.start + RECORD_HEADER + 33, "payload of a record in the middle"),
            (middle.end - 1, "mark after a record in the middle"),
            (last.start + 7, "checksum of the last record"),
            (last.start + 11, "low byte of the length of the last record"),
            (last.start + RECORD_HEADER + 33, "payload of the last record"),
            (last.end - 1, "mark after the last record"),
        ] {
            self.add(format!("the last log: {what} damaged"), &[(&path, Some(flipped(&bytes, at)))]);
            if [middle.start + 11, middle.end - 1, last.start + 11, last.end - 1].contains(&at) {
                self.known("end-mark-not-where-it-should-be");
            }
        }
        for (range, what) in [
            ((last.start + last.end) / 2..last.end, "the second half of the last record"),
            (last.start..last.end, "the last record"),
            (middle.start..middle.end, "a record in the middle"),
        ] {
            let mut zeroed = bytes.clone();
            zeroed[range].fill(0);
            self.add(format!("the last log: {what} zero"), &[(&path, Some(zeroed))]);
        }
        self.add("the last log gone".to_owned(), &[(&path, None)]);
        let next = path.with_file_name("log.ffff");
        self.add("an empty log after the last".to_owned(), &[(&next, Some(Vec::new()))]);
        let header = bytes[..LOG_HEADER].to_vec();
        self.add("a log without records after the last".to_owned(), &[(&next, Some(header))]);
        Ok(())
    }

    /// A log in the middle of what is replayed once all snapshots but the oldest are gone.
    fn earlier_log(&mut self) -> Result<()> {
        let newer: Vec<_> = self.snapshots.iter().skip(1).cloned().collect();
        let gone: Vec<(&Path, Option<Vec<u8>>)> = newer.iter().map(|path| (path.as_path(), None)).collect();
        let with = |path: &'_ Path, content: Option<Vec<u8>>| -> Vec<(PathBuf, Option<Vec<u8>>)> {
            let change = [(path.to_owned(), content)];
            gone.iter().map(|(path, content)| (path.to_path_buf(), content.clone())).chain(change).collect()
        };
        self.add("only the oldest snapshot left".to_owned(), &gone);
        let path = self.logs[self.logs.len() / 2].clone();
        let bytes = read(&path)?;
        let records = records(&bytes)?;
        let (middle, last) = (&records[records.len() / 2], &records[records.len() - 1]);
        let cut = |at: usize| Some(bytes[..at].to_vec());
        let several = [
            ("gone", with(&path, None)),
            ("cut to nothing", with(&path, cut(0))),
            ("cut after its header", with(&path, cut(LOG_HEADER))),
            ("cut in a record in the middle", with(&path, cut(middle.start + 20))),
            ("cut in its last record", with(&path, cut(last.end - 5))),
            ("damaged in a payload in the middle", with(&path, Some(flipped(&bytes, middle.start + 45)))),
            ("damaged in its last payload", with(&path, Some(flipped(&bytes, last.start + 45)))),
        ];
        for (what, changes) in several {
            let changes: Vec<_> =
                changes.iter().map(|(path, content)| (path.as_path(), content.clone())).collect();
            self.add(format!("only the oldest snapshot left, and a log after it {what}"), &changes);
        }
        // The newest snapshot makes the earlier log unnecessary.
        self.add("a log before the newest snapshot gone".to_owned(), &[(&path, None)]);
        let damaged = flipped(&bytes, middle.start + 45);
        self.add("a log before the newest snapshot damaged".to_owned(), &[(&path, Some(damaged))]);
        Ok(())
    }

    fn snapshots(&mut self) -> Result<()> {
        let before = self.variants.len();
        let path = self.snapshots.last().context("a snapshot")?.clone();
        let bytes = read(&path)?;
        for (at, what) in [
            (0, "to nothing"),
            (10, "in its header"),
            (bytes.len() / 2, "in half"),
            (bytes.len() - 1, "by its last byte"),
            (bytes.len() - 14, "in its last seal"),
        ] {
            self.add(format!("the newest snapshot cut {what}"), &[(&path, Some(bytes[..at].to_vec()))]);
        }
        for (at, what) in [
            (0, "at its first byte"),
            (bytes.len() / 3, "after a third"),
            (bytes.len() * 2 / 3, "after two thirds"),
            (bytes.len() - 6, "in its last seal"),
        ] {
            self.add(format!("the newest snapshot damaged {what}"), &[(&path, Some(flipped(&bytes, at)))]);
        }
        if let Some(at) = owner_of(&bytes, "/made/bob") {
            let damaged = flipped(&bytes, at + 3);
            self.add("the newest snapshot: owner of a node damaged".to_owned(), &[(&path, Some(damaged))]);
            self.known("leftovers-of-a-damaged-snapshot");
        }
        self.add("the newest snapshot gone".to_owned(), &[(&path, None)]);
        self.variants[before..].iter_mut().for_each(|variant| variant.whole = true);
        let all = self.snapshots.clone();
        let gone: Vec<_> = all.iter().map(|path| (path.as_path(), None)).collect();
        self.add("all snapshots gone".to_owned(), &gone);
        let mut halves = Vec::new();
        for path in &all {
            let bytes = read(path)?;
            halves.push((path.as_path(), Some(bytes[..bytes.len() / 2].to_vec())));
        }
        self.add("all snapshots cut in half".to_owned(), &halves);
        let next = path.with_file_name("snapshot.ffff");
        self.add("an empty snapshot after the newest".to_owned(), &[(&next, Some(Vec::new()))]);
        let stray = [path.with_file_name("snapshot.what"), path.with_file_name("log.what")];
        let stray: Vec<_> = stray.iter().map(|path| (path.as_path(), Some(b"?".to_vec()))).collect();
        self.add("files that only look like logs and snapshots".to_owned(), &stray);
        Ok(())
    }
}

/// Where an uncompressed snapshot has the owner of a node: path, data, list, and in the stat.
fn owner_of(bytes: &[u8], path: &str) -> Option<usize> {
    let named = [&(path.len() as u32).to_be_bytes(), path.as_bytes()].concat();
    let data = bytes.windows(named.len()).position(|window| window == named)? + named.len();
    let length = u32::from_be_bytes(*bytes.get(data..)?.first_chunk()?) as usize;
    Some(data + 4 + length + 8 + 44)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x40;
    bytes
}

/// Where the records of a log are, with header and mark.
fn records(bytes: &[u8]) -> Result<Vec<std::ops::Range<usize>>> {
    let mut found = Vec::new();
    let mut at = LOG_HEADER;
    while let Some(length) = bytes.get(at + 8..at + RECORD_HEADER) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length == 0 {
            break;
        }
        let end = at + RECORD_HEADER + length + 1;
        ensure!(bytes.get(end - 1) == Some(&b'B'), "a record without its mark at {at}");
        found.push(at..end);
        at = end;
    }
    Ok(found)
}
