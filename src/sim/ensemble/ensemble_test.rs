//! Many seeds of simulated ensembles.

use std::time::Instant;

use super::world::{Figures, Node, World};
use crate::sim::disk::SimDisk;
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
        all.full_disks += figures.full_disks;
        all.failed_disks += figures.failed_disks;
        all.epochs += figures.epochs;
        all.snapshots += figures.snapshots;
    });
    println!("{count} ensembles in {:?}: {all:?}", began.elapsed());
}

/// Without a place of its own a leader's full disk would stop all writes until somebody comes.
#[test]
fn a_leader_with_a_full_disk_makes_place_for_another() {
    let is_full = |node: &Node| node.process.as_ref().is_some_and(|one| one.shared.state.is_disk_full());
    seeds::each(1..9, "sim::ensemble", |seed| {
        World::new(seed).run_with_spoilt_leader(SimDisk::fill, is_full);
    });
}

#[test]
fn a_leader_with_a_failing_disk_ends_and_somebody_leads_again() {
    seeds::each(1..9, "sim::ensemble", |seed| {
        World::new(seed).run_with_spoilt_leader(SimDisk::fail, |node| node.process.is_none());
    });
}
