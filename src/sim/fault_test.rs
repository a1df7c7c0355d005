//! Disks that are full, fail or turn read-only at each point of a script.

use std::path::Path;

use super::check::{Checker, Depth, disk_of, say};
use super::crash::{Choice, Fresh, after, choices};
use super::disk::{Plan, SimDisk};
use super::storage_script::Step::{self, *};
use super::storage_script::{DATA, Setup, Storage};
use crate::disk::Disk;
use crate::snapshot::Compression;
use crate::store::testing::start;
use crate::txnlog::Io;

const SCRIPT: &[Step] = &[
    Append(4),
    Sync,
    Spare,
    Append(14),
    Sync,
    SnapshotBegin,
    SnapshotSlice(2),
    Append(3),
    Sync,
    SnapshotEnd,
    Roll,
    Append(2),
    Sync,
];

const DEPTH: Depth = Depth { random: 2, deep_every: 8, killed_every: 1 };

fn run(io: Io, plan: Plan) -> (SimDisk, Storage, Result<(), String>) {
    run_with(Setup::new(io), plan)
}

fn run_with(setup: Setup, plan: Plan) -> (SimDisk, Storage, Result<(), String>) {
    let disk = SimDisk::with(&[Path::new(DATA)]);
    disk.set_plan(plan);
    let mut storage = Storage::new(&disk, setup);
    let ran = storage.run(SCRIPT);
    (disk, storage, ran)
}

/// Runs with each plan in turn, and cuts the power at the end.
fn each(io: Io, count: impl Fn(&SimDisk) -> u64, plan: impl Fn(u64) -> Plan) {
    let (disk, storage, ran) = run(io, Plan::default());
    ran.unwrap();
    drop(storage);
    let mut checker = Checker::new(Setup::new(io), Fresh::Recycled, DEPTH);
    for index in 0..count(&disk) {
        let (disk, mut storage, ran) = run(io, plan(index));
        let promise = std::mem::take(&mut storage.promise);
        drop(storage);
        if let Err(error) = checker.power_cut(&disk, &promise) {
            panic!("{io:?}, fault {index} ({ran:?}): {error}");
        }
    }
}

/// The disk is full at each allocation, and then for one, a few or many attempts in a row. The process
/// goes on by itself, and a power cut at any of its changes loses nothing that was acknowledged.
#[test]
fn a_full_disk_at_any_allocation_stops_nothing_for_good() {
    let setups = [
        Setup::new(Io::Mapped),
        Setup::new(Io::Plain),
        Setup { prealloc_bytes: 0, ..Setup::new(Io::Plain) },
        Setup { compression: Compression::Gzip, ..Setup::new(Io::Mapped) },
    ];
    for setup in setups {
        let (disk, storage, ran) = run_with(setup, Plan::default());
        ran.unwrap();
        drop(storage);
        let allocations = disk.counts().0;
        let mut checker = Checker::new(setup, Fresh::Recycled, DEPTH);
        let mut waits = 0;
        for (start, length) in (0..allocations).flat_map(|start| [(start, 1), (start, 5), (start, 40)]) {
            let plan = Plan { full: start..start + length, ..Plan::default() };
            let (disk, mut storage, ran) = run_with(setup, plan.clone());
            ran.unwrap_or_else(|error| panic!("{setup:?}, full at {start} for {length}: {error}"));
            waits += storage.waits;
            let promise = std::mem::take(&mut storage.promise);
            assert_eq!(promise.floor, promise.history.len(), "everything was acknowledged in the end");
            let zxids = promise.history.iter().map(|entry| entry.header.zxid.0);
            assert!(zxids.eq(1..=promise.history.len() as i64), "without a gap");
            drop(storage);
            checker.power_cut(&disk, &promise).unwrap_or_else(|error| panic!("{setup:?}, {start}: {error}"));
            let names = disk.list(Path::new(DATA)).unwrap();
            assert!(!names.iter().any(|name| name.starts_with("tmp.")), "{names:?}");
            for stop_at in (0..disk.effects()).skip(start as usize % 7).step_by(7) {
                let plan = Plan { stop_at: Some(stop_at), ..plan.clone() };
                let (disk, mut storage, _stopped) = run_with(setup, plan);
                let promise = std::mem::take(&mut storage.promise);
                drop(storage);
                checker.power_cut(&disk, &promise).unwrap_or_else(|error| {
                    panic!("{setup:?}, full at {start} for {length}, cut at {stop_at}: {error}")
                });
            }
        }
        say("full disk", checker.counts);
        assert!(waits > 0, "the script met the full disk");
    }
}

#[test]
fn a_failed_sync_ends_the_process_and_loses_nothing_that_was_acknowledged() {
    for io in [Io::Mapped, Io::Plain] {
        let plan = |index| Plan { sync_fails: Some(index), ..Plan::default() };
        each(io, |disk| disk.counts().1, plan);
    }
}

#[test]
fn a_disk_that_turns_read_only_loses_nothing_that_was_acknowledged() {
    for io in [Io::Mapped, Io::Plain] {
        let plan = |index| Plan { read_only_from: Some(index), ..Plan::default() };
        each(io, SimDisk::effects, plan);
    }
}

#[test]
fn a_failed_read_at_start_is_an_error_or_passed_over_and_changes_nothing() {
    let (disk, mut storage, ran) = run(Io::Mapped, Plan::default());
    ran.unwrap();
    let promise = std::mem::take(&mut storage.promise);
    drop(storage);
    let durable = after(&disk, Fresh::Recycled, Choice::Nothing);
    let counting = durable.after_kill();
    start(&disk_of(&counting)).unwrap();
    let (_, _, reads) = counting.counts();
    assert!(reads > 3);
    let mut checker = Checker::new(Setup::new(Io::Mapped), Fresh::Recycled, DEPTH);
    for index in 0..reads {
        let failing = durable.after_kill();
        failing.set_plan(Plan { read_fails: Some(index), ..Plan::default() });
        match start(&disk_of(&failing)) {
            Err(error) => assert!(error.to_string().contains(DATA), "{error}"),
            Ok((tree, ..)) => {
                let last = promise.history.last().unwrap().header.zxid;
                assert_eq!(tree.last_zxid(), last, "read {index}: nothing is left out in silence");
            }
        }
        checker.power_cut(&failing, &promise).unwrap();
    }
}

#[test]
fn torn_sectors_are_survived_or_refused_and_never_believed() {
    for io in [Io::Mapped, Io::Plain] {
        let disk = SimDisk::with(&[Path::new(DATA)]);
        let mut storage = Storage::new(&disk, Setup::new(io));
        let (mut refused, mut survived) = (0, 0);
        storage.run(&[Append(4), Sync, Append(9)]).unwrap();
        disk.forget_syncs(true);
        let _stored = storage.run_on(Sync);
        let promise = std::mem::take(&mut storage.promise);
        drop(storage);
        assert!(choices(&disk, Fresh::Recycled, 0).len() > 4);
        for seed in 0..500 {
            let image = after(&disk, Fresh::Recycled, Choice::Torn(seed));
            match start(&disk_of(&image)) {
                Err(error) => {
                    assert!(error.to_string().contains("log.1"), "{error}");
                    refused += 1;
                }
                Ok((tree, ..)) => {
                    let known = promise.history.iter().any(|entry| entry.header.zxid == tree.last_zxid());
                    assert!(known && tree.last_zxid().0 >= 4);
                    survived += 1;
                }
            }
        }
        println!("torn sectors, {io:?}: {survived} survived, {refused} refused");
        assert!(survived > 0);
    }
}
