//! Many seeds of simulated ensembles.

use std::time::Instant;

use super::world::{Figures, World};
use crate::sim::seeds;

/// Simulated time of one seed before the faults end, in milliseconds.
const PLAYED_MS: i64 = 20_000;
/// Seeds of the bounded form.
const SEEDS: u64 = 40;

#[test]
fn simulated_ensembles_keep_their_promises() {
    let began = Instant::now();
    let mut all = Figures::default();
    let count = seeds::each(1..SEEDS + 1, "sim::ensemble", |seed| {
        let figures = World::new(seed).run(PLAYED_MS);
        all.simulated_ms += figures.simulated_ms;
        all.replies += figures.replies;
        all.events += figures.events;
        all.transactions += figures.transactions;
        all.crashes += figures.crashes;
        all.cuts += figures.cuts;
        all.pauses += figures.pauses;
        all.epochs += figures.epochs;
        all.snapshots += figures.snapshots;
    });
    println!("{count} ensembles in {:?}: {all:?}", began.elapsed());
}
