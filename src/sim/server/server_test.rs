//! Many seeds of the simulated server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::world::{Figures, World};

/// Steps of one seed: some tens of simulated seconds.
const STEPS: usize = 600;
/// Seeds of the bounded form.
const SEEDS: u64 = 300;

/// Plays the seeds that `OXKEEPER_SEEDS` names as `A..B`, or [`SEEDS`]; `OXKEEPER_SEED` plays one alone.
#[test]
fn a_simulated_server_keeps_its_promises() {
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
        let played = catch_unwind(AssertUnwindSafe(|| World::new(seed).run(STEPS)));
        let Ok(figures) = played else {
            panic!(
                "seed {seed} failed; repeat it with\n\
                 OXKEEPER_SEED={seed} cargo test --lib sim::server -- --nocapture"
            );
        };
        all.simulated_ms += figures.simulated_ms;
        all.replies += figures.replies;
        all.events += figures.events;
        all.transactions += figures.transactions;
        all.crashes += figures.crashes;
    }
    println!("{count} seeds in {:?}: {all:?}", began.elapsed());
}
