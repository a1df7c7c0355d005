//! Rolling replacement: under the load of sessions that stay, every server of an Apache ensemble is replaced by
//! Oxkeeper on its own directory, and replaced back. Nothing acknowledged is lost and no session ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::acknowledged::number;
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::ensemble::{Ensemble, Load, Plan, assert_no_mismatches, assert_same};
use compat_tests::server::Kind;

const WRITES: u64 = 200;

#[test]
fn every_server_is_replaced_in_place_and_back_under_load() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let apache = Kind::Apache(REFERENCE);
    let sessions = number("OXKEEPER_ROLLING_SESSIONS", || 50)? as usize;
    let plan = Plan::voters(&[apache; 3]).line("snapCount=2000").line("preAllocSize=1024");
    let mut ensemble = Ensemble::start(&plan)?;
    let result = there_and_back(&mut ensemble, [judged(), apache], sessions);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs("rolling")?.display());
    }
    result.with_context(|| ensemble.logs())
}

fn there_and_back(ensemble: &mut Ensemble, ways: [Kind; 2], sessions: usize) -> Result<()> {
    let load = Load { sessions, window: 1, pause: Duration::from_millis(10), timeout_ms: 30_000 };
    let load = load.start(&ensemble.addrs(), "/rolling");
    load.wait_for(WRITES)?;
    for kind in ways {
        for at in followers_first(ensemble)? {
            let before = load.take_gap();
            ensemble.replace(at, kind)?;
            load.wait_for(WRITES)?;
            println!(
                "server {} is {kind} now: {:?} without writes, {before:?} before",
                at + 1,
                load.take_gap()
            );
        }
    }
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    for at in ensemble.running() {
        summary.verify(ensemble.members()[at].addr())?;
    }
    assert_same(ensemble)?;
    assert_no_mismatches(ensemble, WRITES)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    println!("{} writes of {sessions} sessions, {} moves", summary.acknowledged(), summary.moves());
    Ok(())
}

/// An operator restarts the leader last.
fn followers_first(ensemble: &Ensemble) -> Result<Vec<usize>> {
    let leader = ensemble.leader()?;
    let followers = ensemble.running().into_iter().filter(|at| *at != leader);
    Ok(followers.chain([leader]).collect())
}
