//! Ensembles of both kinds: under load every member is killed in turn, and afterwards all servers hold the same.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::ensemble::{Ensemble, Load, Mix, assert_no_mismatches, assert_same, mixes};

/// What `cargo test` tries without being asked for more.
const SHORT: &str = "AAO+O OOA+A OO8 88O";
/// Writes between two events.
const WRITES: u64 = 300;

#[test]
fn killed_members_of_every_kind_come_back_and_all_servers_agree() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for mix in mixes(SHORT)? {
        kill_each(&mix).with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}

fn kill_each(mix: &Mix) -> Result<()> {
    let plan = mix.plan().line("snapCount=1000").line("preAllocSize=1024");
    let mut ensemble = Ensemble::start(&plan)?;
    let result = under_load(&mut ensemble, mix);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs(mix.name())?.display());
    }
    result
}

fn under_load(ensemble: &mut Ensemble, mix: &Mix) -> Result<()> {
    let first = ensemble.leader()?;
    ensure!(Some(&first) == ensemble.voters().last(), "server {} leads", first + 1);
    let load = Load::default().start(&ensemble.addrs(), "/load");
    load.wait_for(WRITES)?;
    let mut gaps: Vec<Duration> = Vec::new();
    // The leader goes first, and whoever leads then comes later.
    let order = std::iter::once(first).chain((0..ensemble.members().len()).filter(|at| *at != first));
    for at in order {
        let _ = load.take_gap();
        ensemble.kill(at)?;
        ensemble.wait_for(&load, WRITES)?;
        ensemble.bring_back(at)?;
        ensemble.wait_for(&load, WRITES)?;
        gaps.push(load.take_gap());
    }
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    let picture = assert_same(ensemble)?;
    assert_no_mismatches(ensemble, WRITES)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    println!(
        "{mix}: {} writes, {} moves, {} nodes and {} sessions equal; without writes {gaps:?}",
        summary.acknowledged(),
        summary.moves(),
        picture.tree.len(),
        picture.sessions.len()
    );
    Ok(())
}
