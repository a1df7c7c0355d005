//! How near the log comes to the disk when many writes wait: a measurement, beside a loop that does nothing but write
//! and sync the same batches.

use std::path::Path;
use std::time::{Duration, Instant};

use jute::Zxid;

use super::testing::{disk, large_entry};
use super::{Io, Log, Options};
use crate::disk::{Disk, RealDisk};

const RECORDS: i64 = 100_000;
/// Writes that wait when a sync begins, as they gather in a server's writer while one runs.
const BATCH_RECORDS: usize = 1000;
const PREALLOC_BYTES: i64 = 64 << 20;
const ROUNDS: usize = 5;

/// Time of the log with many in flight, and the bytes of each of its batches.
fn group_commit(directory: &Path, io: Io) -> (Duration, Vec<u64>) {
    let options = Options { prealloc_bytes: PREALLOC_BYTES, io, ..Options::new(directory.to_owned()) };
    let mut log = Log::open(disk(), options, Zxid(0)).unwrap();
    // The first batch waits for the file.
    log.append(&large_entry(1, 100)).unwrap();
    log.sync().unwrap();
    let entries: Vec<_> = (2..RECORDS + 2).map(|zxid| large_entry(zxid, 100)).collect();
    let mut batches = Vec::new();
    let began = Instant::now();
    for batch in entries.chunks(BATCH_RECORDS) {
        batch.iter().for_each(|entry| log.append(entry).unwrap());
        batches.push(log.sync().unwrap().bytes);
    }
    let took = began.elapsed();
    assert_eq!(log.durable_zxid(), Zxid(RECORDS + 1));
    (took, batches)
}

/// Time of the same appends and syncs alone: each record a write, or, at best, each batch.
fn bare_loop(directory: &Path, batches: &[u64], write_bytes: u64) -> Duration {
    let path = directory.join("bare");
    let file = RealDisk.create(&path).unwrap();
    file.allocate(0..PREALLOC_BYTES.cast_unsigned()).unwrap();
    file.sync().unwrap();
    let record = vec![7; usize::try_from(batches.iter().copied().max().unwrap()).unwrap()];
    let mut offset = 0;
    let began = Instant::now();
    for bytes in batches {
        let end = offset + bytes;
        while offset < end {
            let part = write_bytes.min(end - offset);
            file.write_at(offset, &record[..usize::try_from(part).unwrap()]).unwrap();
            offset += part;
        }
        file.sync_data().unwrap();
    }
    let took = began.elapsed();
    RealDisk.remove(&path).unwrap();
    took
}

#[test]
#[ignore = "a measurement, of the disk that the temporary directory is on: see docs/testing.md"]
fn group_commit_beside_a_bare_loop() {
    for io in [Io::Mapped, Io::Plain] {
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let directory = tempfile::tempdir().unwrap();
            let (ours, batches) = group_commit(directory.path(), io);
            let record_bytes = batches.iter().sum::<u64>() / RECORDS.cast_unsigned();
            let [by_record, by_batch] = [record_bytes, u64::MAX]
                .map(|bytes| bare_loop(directory.path(), &batches, bytes).as_secs_f64() / ours.as_secs_f64());
            println!(
                "{io:?}: {:.0} records/s in {} syncs: {by_record:.2} of a bare loop that writes records, {by_batch:.2} of one that writes batches",
                RECORDS as f64 / ours.as_secs_f64(),
                batches.len()
            );
            ratios.push(by_record);
        }
        ratios.sort_by(f64::total_cmp);
        println!("{io:?}: median {:.2}", ratios[ROUNDS / 2]);
    }
}
