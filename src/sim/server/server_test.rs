//! Many seeds of the simulated server.

use std::time::Instant;

use super::world::{Figures, World};
use crate::sim::seeds;

/// Steps of one seed: some tens of simulated seconds.
const STEPS: usize = 600;
/// Seeds of the bounded form.
const SEEDS: u64 = 300;

#[test]
fn a_simulated_server_keeps_its_promises() {
    let began = Instant::now();
    let mut all = Figures::default();
    let count = seeds::each(1..SEEDS + 1, "sim::server", |seed| {
        let figures = World::new(seed).run(STEPS);
        all.simulated_ms += figures.simulated_ms;
        all.replies += figures.replies;
        all.events += figures.events;
        all.transactions += figures.transactions;
        all.crashes += figures.crashes;
    });
    println!("{count} seeds in {:?}: {all:?}", began.elapsed());
}
