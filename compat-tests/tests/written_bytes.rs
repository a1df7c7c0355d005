//! What a small synced write costs the disk, from the block device's own counters.
//!
//! One session writes a hundred bytes at a time and waits for each, so nothing is batched. The data
//! directory is on an ext4 image of its own, and nobody else writes there. A bare loop does the same to a
//! file that is allocated already: what a sync costs in the file system at least.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::power::{self, DiskImage};
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

const IMAGE_BYTES: u64 = 256 << 20;
const RECORDS: u32 = 2000;
const PAGE_BYTES: f64 = 4096.0;
const SECTOR_BYTES: u64 = 512;

/// Bytes that ever reached the device.
fn written(image: &DiskImage) -> Result<u64> {
    artifacts::run(std::process::Command::new("sync").arg("--file-system").arg(image.root()))?;
    let device = image.block_device().context("a loop device")?;
    let path = format!("/sys/block/{device}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let sectors = text.split_whitespace().nth(6).with_context(|| format!("{path}: {text}"))?;
    Ok(sectors.parse::<u64>().with_context(|| format!("{path}: {text}"))? * SECTOR_BYTES)
}

/// Pages written per record that `write` stores.
fn pages_per_record(image: &DiskImage, write: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = written(image)?;
    write()?;
    Ok((written(image)? - before) as f64 / f64::from(RECORDS) / PAGE_BYTES)
}

fn by_the_server(io: &str) -> Result<f64> {
    let image = DiskImage::create(IMAGE_BYTES)?;
    let options = Options::default()
        .data_dir(&image.root().join("data"))
        .line(&format!("oxkeeper.log.io={io}"))
        .line("preAllocSize=65536")
        .line("snapCount=1000000");
    let mut server = Server::start(Kind::Oxkeeper, &options)?;
    let mut client = Client::connect(server.addr(), 30_000)?;
    let created = client.call(1, op::CREATE, &Body::create("/node", b"", 0))?;
    ensure!(created.err == 0, "create: code {}", created.err);
    let body = Body::set_data("/node", &[b'x'; 100], -1);
    let mut write = |count: u32| {
        for xid in 0..count {
            let reply = client.call(xid as i32 + 2, op::SET_DATA, &body)?;
            ensure!(reply.err == 0, "set: code {}", reply.err);
        }
        Ok(())
    };
    // The file that is prepared ahead of need is written first.
    write(50)?;
    let pages = pages_per_record(&image, || write(RECORDS))?;
    server.kill()?;
    Ok(pages)
}

/// `pwrite` and `fdatasync` of a record's length.
fn by_a_bare_loop() -> Result<f64> {
    let image = DiskImage::create(IMAGE_BYTES)?;
    let path = image.root().join("file");
    let file = allocated(&path)?;
    let record = [b'x'; 200];
    pages_per_record(&image, || {
        for index in 0..u64::from(RECORDS) {
            file.write_all_at(&record, index * record.len() as u64).context("write")?;
            file.sync_data().context("sync")?;
        }
        Ok(())
    })
}

fn allocated(path: &Path) -> Result<File> {
    artifacts::run(std::process::Command::new("fallocate").args(["--length", "64MiB"]).arg(path))?;
    let file = File::options().write(true).open(path).context("open the file")?;
    file.sync_all().context("sync the file")?;
    Ok(file)
}

#[test]
fn a_small_synced_write_costs_at_most_three_pages() -> Result<()> {
    if !artifacts::available(&["fallocate"])? || !power::available()? {
        return Ok(());
    }
    let bare = by_a_bare_loop()?;
    let mapped = by_the_server("mmap")?;
    let plain = by_the_server("plain")?;
    println!("pages per record: mapped {mapped:.2}, plain {plain:.2}, a bare loop {bare:.2}");
    ensure!(mapped <= 3.0 && plain <= 3.0, "more than three pages per record");
    ensure!(mapped <= 1.1 * plain, "the mapped log writes more than plain writes");
    Ok(())
}
