//! Ensembles of cores: real [`Zab`]s on model disks, with messages as bytes, from one number. The whole servers are
//! simulated in `sim`; this is the quick loop for the core alone.
//!
//! A failing seed prints the command that repeats it.

mod faults;
mod node;
mod outputs;
mod world;

use self::world::World;
use crate::sim::seeds;

/// Seeds of the bounded form.
const SEEDS: u64 = 50;

/// What has happened in a run, so that a test can tell that it tried something.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) committed: u64,
    pub(super) leaders: u64,
    pub(super) crashes: u64,
    pub(super) cuts: u64,
    pub(super) diffs: u64,
    pub(super) truncs: u64,
    pub(super) snaps: u64,
    pub(super) logs: u64,
}

/// Plays one seed.
pub(super) fn play(seed: u64) -> Seen {
    let mut world = World::new(seed);
    world.run_until(20_000);
    world.end();
    world.seen
}

#[test]
fn ensembles_agree_whatever_happens() {
    let mut sum = Seen::default();
    let count = seeds::each(0..SEEDS, "zab::cluster", |seed| {
        let seen = play(seed);
        sum.committed += seen.committed;
        sum.leaders += seen.leaders;
        sum.crashes += seen.crashes;
        sum.cuts += seen.cuts;
        sum.diffs += seen.diffs;
        sum.truncs += seen.truncs;
        sum.snaps += seen.snaps;
        sum.logs += seen.logs;
    });
    println!("{count} ensembles: {sum:?}");
    if count >= SEEDS {
        for (what, count) in
            [("TRUNC", sum.truncs), ("SNAP", sum.snaps), ("DIFF", sum.diffs), ("log", sum.logs)]
        {
            assert!(count > 0, "no learner was brought up to date by {what}");
        }
    }
}
