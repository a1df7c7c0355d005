//! How near the log's thread comes to the disk: a measurement, beside a loop that does nothing but write
//! and sync the same batches.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jute::Zxid;

use super::testing::{disk, large_entry};
use super::{Durability, Io, Log, Options, Syncer};
use crate::disk::{Disk, RealDisk};

const RECORDS: i64 = 100_000;
const IN_FLIGHT: usize = 1000;
const PREALLOC_BYTES: i64 = 64 << 20;
const ROUNDS: usize = 5;

/// Time of the log's thread with many in flight, and the bytes of each of its batches.
fn group_commit(directory: &Path, io: Io) -> (Duration, Vec<u64>) {
    let options = Options { prealloc_bytes: PREALLOC_BYTES, io, ..Options::new(directory.to_owned()) };
    let log = Log::open(disk(), options, Zxid(0)).unwrap();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&batches);
    let report = move |durability| match durability {
        Durability::Reached(_, synced) => noted.lock().unwrap().push(synced.bytes),
        other => panic!("{other:?}"),
    };
    let syncer = Syncer::start(log, IN_FLIGHT, report).unwrap();
    // The first batch waits for the file.
    assert!(syncer.append(Arc::new(large_entry(1, 100))));
    while batches.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let entries: Vec<_> = (2..RECORDS + 2).map(|zxid| Arc::new(large_entry(zxid, 100))).collect();
    let began = Instant::now();
    entries.into_iter().for_each(|entry| assert!(syncer.append(entry)));
    let log = syncer.stop().unwrap();
    let took = began.elapsed();
    assert_eq!(log.durable_zxid(), Zxid(RECORDS + 1));
    let mut batches = std::mem::take(&mut *batches.lock().unwrap());
    batches.remove(0);
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
