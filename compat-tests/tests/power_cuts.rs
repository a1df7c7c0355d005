//! Power cuts on a real kernel: the server's disk is an ext4 image that loses its power under load.
//!
//! Several sessions pipeline creates and sets. At a random moment random pages are sent to the disk and the
//! server stopped, the file system shut down and the server killed; the image is mounted again, as its journal
//! left it, and the server must start by itself and hold every acknowledged write.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use compat_tests::acknowledged::{self, History, Random, Seed};
use compat_tests::artifacts;
use compat_tests::power::{self, DiskImage, PowerSwitch, Shutdown};
use compat_tests::server::{Kind, Options, Server};

const IMAGE_BYTES: u64 = 64 << 20;
/// Cuts on one data directory, which grows with each.
const CUTS_PER_DIRECTORY: u64 = 25;
/// Every so many cuts, and after a directory's last, everything is read back and not only what is new.
const READ_ALL_EVERY: u64 = 8;

/// What was done, in all threads together.
#[derive(Default)]
struct Totals {
    cuts: AtomicU64,
    paths: AtomicU64,
    logs: AtomicU64,
    snapshots: AtomicU64,
}

#[test]
fn acknowledged_writes_survive_power_cuts() -> Result<()> {
    if !artifacts::available(&["python3"])? || !power::available()? {
        return Ok(());
    }
    let wanted = acknowledged::number("OXKEEPER_POWER_CUTS", || 60)?;
    let images = acknowledged::number("OXKEEPER_POWER_IMAGES", || 3)?;
    let seed =
        &Seed::choose("power_cuts", &[("OXKEEPER_POWER_CUTS", wanted), ("OXKEEPER_POWER_IMAGES", images)])?;
    let next = AtomicU64::new(0);
    let totals = Totals::default();
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let (next, totals) = (&next, &totals);
        let disks: Vec<_> =
            (0..images).map(|_| scope.spawn(move || disk(wanted, seed, next, totals))).collect();
        for disk in disks {
            disk.join().unwrap_or_else(|_| Err(anyhow!("a disk's thread panicked")))?;
        }
        Ok(())
    })?;
    let [cuts, paths, logs, snapshots] = [&totals.cuts, &totals.paths, &totals.logs, &totals.snapshots]
        .map(|total| total.load(Ordering::Relaxed));
    println!(
        "{cuts} power cuts in {:.0?}: {paths} acknowledged paths, every one read back; {logs} log files, {snapshots} snapshots; no start needed help",
        began.elapsed()
    );
    ensure!(cuts >= wanted && paths > 0, "too little was done");
    ensure!(logs > cuts / 2 && snapshots > cuts / 2, "logs did not roll or snapshots were not taken");
    Ok(())
}

/// Cuts the power of one disk again and again, until all disks together have done enough.
fn disk(wanted: u64, seed: &Seed, next: &AtomicU64, totals: &Totals) -> Result<()> {
    let mut image = DiskImage::create(IMAGE_BYTES)?;
    let mut switch = PowerSwitch::new()?;
    loop {
        let directory = next.fetch_add(1, Ordering::Relaxed);
        let first = directory * CUTS_PER_DIRECTORY;
        if first >= wanted {
            return Ok(());
        }
        let cuts = CUTS_PER_DIRECTORY.min(wanted - first);
        let mut random = Random::new(seed.number, directory);
        let io = if directory.is_multiple_of(2) { "mmap" } else { "plain" };
        on_one_directory(&mut image, &mut switch, io, cuts, &mut random, totals)
            .with_context(|| format!("directory {directory}, {io}; repeat it with: {}", seed.replay))?;
        image.renew()?;
    }
}

fn on_one_directory(
    image: &mut DiskImage,
    switch: &mut PowerSwitch,
    io: &str,
    cuts: u64,
    random: &mut Random,
    totals: &Totals,
) -> Result<()> {
    let data = image.root().join("data");
    let options = Options::default()
        .data_dir(&data)
        .line(&format!("oxkeeper.log.io={io}"))
        .line("preAllocSize=64")
        .line(&format!("snapCount={}", 100 + random.below(400)))
        .line("autopurge.snapRetainCount=3")
        .line("autopurge.purgeInterval=1");
    let mut server = Server::start(Kind::Oxkeeper, &options)?;
    let mut history = History::default();
    let mut names = BTreeSet::new();
    for cut in 0..cuts {
        let life = Duration::from_millis(2 + random.below(100));
        let how = match random.below(10) {
            0 => Shutdown::Flush,
            1..4 => Shutdown::LogFlush,
            _ => Shutdown::NoLogFlush,
        };
        let context = || format!("cut {cut} ({how:?} after {life:?})");
        let versions = data.join("version-2");
        let addr = server.addr();
        let knowns = acknowledged::load(addr, &format!("/c{cut}"), || {
            // The random length of the server's life is the point of the test.
            std::thread::sleep(life);
            let off = switch.cut(&versions, how, random.below(u64::MAX), server.process_id()?);
            server.kill().and(off)
        });
        let knowns = knowns.with_context(context)?;
        image.power_on().with_context(context)?;
        names.extend(file_names(&versions)?);
        server.launch().context("start again, without help").with_context(context)?;
        totals.cuts.fetch_add(1, Ordering::Relaxed);
        totals.paths.fetch_add(history.extend(knowns) as u64, Ordering::Relaxed);
        let all = cut + 1 == cuts || cut % READ_ALL_EVERY == 0;
        let read = if all { History::verify_all } else { History::verify_new };
        read(&mut history, server.addr()).with_context(context)?;
    }
    let begin_with = |prefix| names.iter().filter(|name| name.starts_with(prefix)).count() as u64;
    totals.logs.fetch_add(begin_with("log."), Ordering::Relaxed);
    totals.snapshots.fetch_add(begin_with("snapshot."), Ordering::Relaxed);
    server.kill()
}

fn file_names(directory: &std::path::Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    entries
        .map(|entry| Ok(entry.context("read a directory entry")?.file_name().to_string_lossy().into_owned()))
        .collect()
}
