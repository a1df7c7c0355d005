//! Rolling replacement, as `docs/migration.md` tells it: under the load of clients that stay, every server of an Apache
//! ensemble is replaced by Oxkeeper on its own directory, and replaced back. Nothing acknowledged is lost and no session
//! ends.

mod clients;
mod steps;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::acknowledged::number;
use compat_tests::artifacts::{self, LINE_BEFORE, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::ensemble::{Ensemble, Load, Plan, assert_no_mismatches, assert_same};
use compat_tests::server::Kind;
use compat_tests::skip::skip;

use clients::Clients;
use steps::{Step, WRITES, check_config, replace_all, show};

const APACHE: Kind = Kind::Apache(REFERENCE);
/// Rounds of the figures, if they are asked for.
const ROUNDS: &str = "OXKEEPER_ROLLING_ROUNDS";

#[test]
fn every_server_is_replaced_in_place_and_back_under_load_of_real_clients() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn", "python3"])? {
        return Ok(());
    }
    let sessions = number("OXKEEPER_ROLLING_SESSIONS", || 50)? as usize;
    roll(APACHE, &[judged(), APACHE], sessions, true).map(drop)
}

#[test]
fn an_ensemble_of_the_line_before_is_replaced_in_place_and_back_under_load() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let older = Kind::Apache(LINE_BEFORE);
    roll(older, &[judged(), older], 20, false).map(drop)
}

/// Prints the longest time without writes in each step, beside a rolling restart of the reference by the same script.
#[test]
fn each_step_is_timed_beside_the_references_own_rolling_restart() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let rounds = number(ROUNDS, || 0)?;
    if rounds == 0 {
        skip(&format!("the figures of a rolling replacement are taken when {ROUNDS} says how often"));
        return Ok(());
    }
    let sessions = number("OXKEEPER_ROLLING_SESSIONS", || 200)? as usize;
    let (mut references, mut ours): (Vec<Vec<Step>>, Vec<Vec<Step>>) = Default::default();
    for _ in 0..rounds {
        references.push(roll(APACHE, &[APACHE, APACHE], sessions, false)?);
        ours.push(roll(APACHE, &[judged(), APACHE], sessions, false)?);
    }
    println!("{}", show(&references, &ours));
    Ok(())
}

/// Starts three servers of a kind, and replaces all of them by each of these kinds, one after the other.
fn roll(from: Kind, ways: &[Kind], sessions: usize, has_real_clients: bool) -> Result<Vec<Step>> {
    let plan = Plan::voters(&[from; 3]).line("snapCount=2000").line("preAllocSize=1024");
    let mut ensemble = Ensemble::start(&plan)?;
    let result = there_and_back(&mut ensemble, ways, sessions, has_real_clients);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs("rolling")?.display());
    }
    result.with_context(|| ensemble.logs())
}

fn there_and_back(
    ensemble: &mut Ensemble,
    ways: &[Kind],
    sessions: usize,
    has_real_clients: bool,
) -> Result<Vec<Step>> {
    check_config(ensemble)?;
    let mut clients = if has_real_clients { Some(Clients::start(&ensemble.addrs())?) } else { None };
    let load = Load { sessions, window: 1, pause: Duration::from_millis(10), timeout_ms: 30_000 };
    let load = load.start(&ensemble.addrs(), "/rolling");
    load.wait_for(WRITES)?;
    let mut steps = Vec::new();
    for kind in ways {
        steps.extend(replace_all(ensemble, *kind, &load)?);
        if let Some(clients) = &mut clients {
            clients.must_be_well(&format!("all servers are {kind}"))?;
        }
    }
    if let Some(clients) = clients {
        clients.finish()?;
    }
    // Last, because nobody pings its sessions any more.
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    for at in ensemble.running() {
        summary.verify(ensemble.members()[at].addr())?;
    }
    summary.end(ensemble.members()[0].addr())?;
    assert_same(ensemble)?;
    assert_no_mismatches(ensemble, WRITES)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    println!(
        "{} writes of {sessions} sessions, {} moves, 0 lost, 0 expired",
        summary.acknowledged(),
        summary.moves()
    );
    Ok(steps)
}
