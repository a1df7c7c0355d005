//! Many seeds of simulated ensembles.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::world::{Figures, World};

/// Simulated time of one seed before the faults end, in milliseconds.
const PLAYED_MS: i64 = 20_000;
/// Seeds of the bounded form.
const SEEDS: u64 = 40;

/// Plays the seeds that `OXKEEPER_SEEDS` names as `A..B`, or [`SEEDS`]; `OXKEEPER_SEED` plays one alone.
#[test]
fn simulated_ensembles_keep_their_promises() {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    let seeds = match (std::env::var("OXKEEPER_SEED"), std::env::var("OXKEEPER_SEEDS")) {
        (Ok(seed), _) => number(&seed)..number(&seed) + 1,
        (_, Ok(range)) => {
            let (first, end) = range.split_once("..").expect("OXKEEPER_SEEDS is A..B");
            number(first)..number(end)
        }
        _ => 1..SEEDS + 1,
    };
    let began = Instant::now();
    let mut all = Figures::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let played = catch_unwind(AssertUnwindSafe(|| World::new(seed).run(PLAYED_MS)));
        let Ok(figures) = played else {
            panic!(
                "seed {seed} failed; repeat it with\n\
                 OXKEEPER_SEED={seed} cargo test --lib sim::ensemble -- --nocapture"
            );
        };
        all.simulated_ms += figures.simulated_ms;
        all.replies += figures.replies;
        all.events += figures.events;
        all.transactions += figures.transactions;
        all.crashes += figures.crashes;
        all.cuts += figures.cuts;
        all.pauses += figures.pauses;
        all.epochs += figures.epochs;
        all.snapshots += figures.snapshots;
    }
    println!("{count} ensembles in {:?}: {all:?}", began.elapsed());
}
