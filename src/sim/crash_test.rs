//! The scripts, cut at every change.

use super::check::{Checker, Counts, Depth, say};
use super::crash::Fresh;
use super::world::Setup;
use super::world::Step::{self, *};
use crate::snapshot::Compression;
use crate::txnlog::Io;

const MODES: [Io; 2] = [Io::Mapped, Io::Plain];

/// Cuts a script everywhere, in both modes and with both kinds of fresh space.
fn check(what: &str, script: &[Step], adjust: impl Fn(&mut Setup)) {
    let mut counts = Counts::default();
    for io in MODES {
        for fresh in [Fresh::Recycled, Fresh::Unwritten] {
            if io == Io::Plain && fresh == Fresh::Unwritten && !Depth::is_full() {
                continue;
            }
            let mut setup = Setup::new(io);
            adjust(&mut setup);
            let mut checker = Checker::new(setup, fresh, Depth::chosen());
            if let Err(error) = checker.every_cut(script) {
                panic!("{what}, {io:?}, {fresh:?}: {error}");
            }
            counts += checker.counts;
        }
    }
    say(what, counts);
}

pub(super) const BATCHES: &[Step] = &[
    Append(1),
    Sync,
    Append(3),
    Sync,
    Append(12),
    Sync,
    Append(2),
    Sync,
    Epoch(1),
    Append(5),
    Sync,
    Epoch(2),
];

pub(super) const ROLLS: &[Step] = &[
    Append(3),
    Sync,
    Roll,
    Append(2),
    Roll,
    Spare,
    Append(4),
    Sync,
    Roll,
    Append(1),
    Sync,
    Restart,
    Append(2),
];

pub(super) const SNAPSHOT_WHILE_APPENDING: &[Step] = &[
    Append(9),
    Sync,
    SnapshotBegin,
    SnapshotSlice(3),
    Append(4),
    Sync,
    SnapshotSlice(2),
    Append(6),
    Sync,
    SnapshotSlice(3),
    Append(3),
    Sync,
    SnapshotEnd,
    Append(4),
    Sync,
    Restart,
    Append(2),
    Sync,
];

pub(super) const PURGE: &[Step] = &[
    Append(4),
    SnapshotBegin,
    SnapshotEnd,
    Append(3),
    SnapshotBegin,
    SnapshotEnd,
    Append(3),
    SnapshotBegin,
    SnapshotEnd,
    Append(2),
    Sync,
    Purge,
    Append(2),
    SnapshotBegin,
    SnapshotEnd,
    Purge,
    Append(2),
    Sync,
    Restart,
];

pub(super) const TRUNCATE: &[Step] = &[
    Append(4),
    SnapshotBegin,
    SnapshotEnd,
    Append(5),
    Sync,
    SnapshotBegin,
    SnapshotEnd,
    Append(3),
    Roll,
    Append(2),
    Sync,
    Truncate(8),
    Append(3),
    Sync,
    Restart,
    Append(2),
    Sync,
    Truncate(1),
    Append(1),
    Sync,
];

pub(super) const KILLS: &[Step] = &[
    Append(3),
    Sync,
    Append(4),
    Kill,
    Append(2),
    Sync,
    Spare,
    Append(3),
    Kill,
    Append(1),
    Sync,
    Kill,
    Append(2),
    Sync,
];

#[test]
fn batches_survive_every_power_cut() {
    check("batches", BATCHES, |_| {});
}

#[test]
fn batches_survive_when_nothing_is_allocated_ahead() {
    check("no allocation ahead", BATCHES, |setup| setup.prealloc_bytes = 0);
}

#[test]
fn rolling_to_new_and_spare_files_survives_every_power_cut() {
    check("rolls", ROLLS, |_| {});
}

#[test]
fn files_that_end_by_their_size_survive_every_power_cut() {
    let script =
        [Append(4), Sync, Append(4), Sync, Spare, Append(5), Sync, Append(12), Sync, Spare, Append(3), Sync];
    check("size limit", &script, |setup| setup.size_limit_bytes = Some(600));
    check("spare instead of growth", &script, |setup| setup.prealloc_bytes = 5000);
}

#[test]
fn a_snapshot_while_transactions_go_on_survives_every_power_cut() {
    check("snapshot", SNAPSHOT_WHILE_APPENDING, |_| {});
    let compressions = [Compression::Snappy, Compression::Gzip];
    for compression in compressions.into_iter().filter(|_| Depth::is_full()) {
        check("snapshot", SNAPSHOT_WHILE_APPENDING, |setup| setup.compression = compression);
    }
}

#[test]
fn purging_survives_every_power_cut() {
    check("purge", PURGE, |_| {});
}

#[test]
fn truncation_survives_every_power_cut() {
    check("truncation", TRUNCATE, |_| {});
}

#[test]
fn a_killed_process_leaves_what_the_next_one_reads_durable() {
    check("kills", KILLS, |_| {});
}

#[test]
fn a_log_directory_of_its_own_survives_every_power_cut() {
    check("split, kills", KILLS, |setup| setup.split = true);
    check("split, purge", PURGE, |setup| setup.split = true);
}

#[test]
fn an_empty_directory_survives_every_power_cut() {
    check("empty", &[Restart, Spare, Restart, Append(1)], |_| {});
}
