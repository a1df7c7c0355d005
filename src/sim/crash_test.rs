//! The scripts, cut at every change.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::check::{Checker, Counts, Depth, say};
use super::crash::Fresh;
use super::random::Random;
use super::storage_script::Setup;
use super::storage_script::Step::{self, *};
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

/// A snapshot begins before the cut and ends after it; an older one does.
const TRUNCATE_INTO_A_SNAPSHOT: &[Step] = &[
    Append(3),
    Sync,
    SnapshotBegin,
    SnapshotSlice(1),
    Append(5),
    Sync,
    SnapshotEnd,
    Append(2),
    Sync,
    Truncate(4),
    Append(2),
    Sync,
    Restart,
];

const KILLS: &[Step] = &[
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

/// Images of random scripts in the long form.
const RANDOM_IMAGES: u64 = 1_000_000;

/// A script and a setup nobody thought of.
fn random_case(random: &mut Random) -> (Setup, Fresh, Vec<Step>) {
    let one_of = |random: &mut Random, of: &[i64]| of[random.below(of.len() as u64) as usize];
    let mut setup = Setup::new(if random.below(2) == 0 { Io::Mapped } else { Io::Plain });
    setup.prealloc_bytes = one_of(random, &[0, 5000, 8 << 10]);
    setup.map_bytes_max = one_of(random, &[0, 300, 1 << 20]) as usize;
    setup.size_limit_bytes = (random.below(4) == 0).then_some(600);
    setup.compression = match random.below(8) {
        0 => Compression::Gzip,
        1 => Compression::Snappy,
        _ => Compression::None,
    };
    setup.split = random.below(3) == 0;
    let fresh = if random.below(2) == 0 { Fresh::Recycled } else { Fresh::Unwritten };
    // What a leader may ask to truncate to is not purged.
    let truncates = random.below(2) == 0;
    let (mut durable, mut snapshot, mut epoch) = (0, false, 0);
    let mut script = Vec::new();
    while script.len() < 14 {
        let step = match random.below(12) {
            0..4 => Append(1 + random.below(6) as usize),
            4 => Sync,
            5 => Roll,
            6 => Spare,
            7 if !snapshot => SnapshotBegin,
            7 => SnapshotEnd,
            8 if snapshot => SnapshotSlice(1 + random.below(4) as usize),
            9 if truncates && durable > 1 => Truncate(1 + random.below(durable - 1) as usize),
            9 if !truncates => Purge,
            10 => Kill,
            11 if random.below(2) == 0 => Restart,
            _ => {
                epoch += 1;
                Epoch(epoch)
            }
        };
        match step {
            // What is appended and not synced a kill may lose, so it does not count here.
            Append(count) if random.below(2) == 0 => {
                script.extend([step, Sync]);
                durable += count as u64;
                continue;
            }
            Truncate(back) => (durable, snapshot) = (durable - back as u64, false),
            SnapshotBegin => snapshot = true,
            SnapshotEnd | Restart | Kill => snapshot = false,
            _ => {}
        }
        script.push(step);
    }
    script.push(Append(3));
    (setup, fresh, script)
}

/// Scripts by seed, on every core, until there are images enough.
#[test]
fn random_scripts_survive_every_power_cut() {
    let wanted = if Depth::is_full() { RANDOM_IMAGES } else { 4000 };
    let first = std::env::var("OXKEEPER_SEED").map_or(0, |seed| seed.parse().unwrap());
    let next = AtomicU64::new(first);
    let total = Mutex::new(Counts::default());
    let began = Instant::now();
    let run = || {
        while total.lock().unwrap().images < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let (setup, fresh, script) = random_case(&mut Random::new(seed));
            let mut checker = Checker::new(setup, fresh, Depth::chosen());
            if let Err(error) = checker.every_cut(&script) {
                let (depth, profile) =
                    if Depth::is_full() { ("OXKEEPER_CRASH_FULL=1 ", " --release") } else { ("", "") };
                panic!(
                    "{setup:?}, {fresh:?}, {script:?}: {error}\nRepeat it with: OXKEEPER_SEED={seed} {depth}\
                     cargo test{profile} --lib sim::crash_test::random_scripts"
                );
            }
            *total.lock().unwrap() += checker.counts;
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(run)));
    });
    let scripts = next.into_inner() - first;
    say(&format!("{scripts} random scripts, {:.1?}", began.elapsed()), *total.lock().unwrap());
}

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
    check("truncation into a snapshot", TRUNCATE_INTO_A_SNAPSHOT, |_| {});
}

#[test]
fn a_killed_process_leaves_what_the_next_one_reads_durable() {
    check("kills", KILLS, |_| {});
}

/// The bounded form lets the process die at one change in three, and so never between the start that a
/// snapshot is loaded by and the change that relies on it.
#[test]
fn a_process_killed_at_any_change_leaves_the_snapshot_it_loaded_durable() {
    for io in MODES {
        let mut setup = Setup::new(io);
        setup.split = true;
        let depth =
            Depth { killed_every: 1, deep_every: Depth::chosen().deep_every.min(4), ..Depth::chosen() };
        if let Err(error) = Checker::new(setup, Fresh::Recycled, depth).every_cut(KILLS) {
            panic!("split, kills at every change, {io:?}: {error}");
        }
    }
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
