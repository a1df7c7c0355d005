//! Rolling replacement, as `docs/migration.md` tells it: under the load of clients that stay, every server of an Apache
//! ensemble is replaced by Oxkeeper on its own directory, and replaced back. Nothing acknowledged is lost and no session
//! ends. So it is with ensembles that are secured.

mod clients;
mod secured;
mod steps;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::acknowledged::number;
use compat_tests::artifacts::{self, LINE_BEFORE, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::ensemble::{Ensemble, Load, Plan, assert_no_mismatches, assert_same};
use compat_tests::server::Kind;
use compat_tests::skip::skip;

use clients::{Access, Clients};
use secured::{Files, Members};
use steps::{Step, WRITES, check_config, replace_all, show};

const APACHE: Kind = Kind::Apache(REFERENCE);
/// Rounds of the figures, if they are asked for, and how often a secured ensemble goes there and back.
const ROUNDS: &str = "OXKEEPER_ROLLING_ROUNDS";

#[test]
fn every_server_is_replaced_in_place_and_back_under_load_of_real_clients() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn", "python3"])? {
        return Ok(());
    }
    let sessions = number("OXKEEPER_ROLLING_SESSIONS", || 50)? as usize;
    let clients = |ensemble: &Ensemble| {
        let addrs = ensemble.addrs();
        Clients::start(&addrs, &Access::open(&addrs), true).map(Some)
    };
    roll(&plan(APACHE), &[judged(), APACHE], sessions, &clients).map(drop)
}

#[test]
fn an_ensemble_of_the_line_before_is_replaced_in_place_and_back_under_load() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let older = Kind::Apache(LINE_BEFORE);
    roll(&plan(older), &[judged(), older], 20, &nobody).map(drop)
}

#[test]
fn an_ensemble_whose_members_speak_tls_is_replaced_in_place_and_back_under_load() -> Result<()> {
    replace_secured(Members::Tls)
}

#[test]
fn an_ensemble_whose_members_log_in_is_replaced_in_place_and_back_under_load() -> Result<()> {
    replace_secured(Members::Logins)
}

fn replace_secured(members: Members) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn", "python3", "openssl", "keytool"])? {
        return Ok(());
    }
    let sessions = number("OXKEEPER_ROLLING_SESSIONS", || 5)? as usize;
    let ways = [judged(), APACHE].repeat(number(ROUNDS, || 1)? as usize);
    let files = Files::new()?;
    let clients =
        |ensemble: &Ensemble| Clients::start(&ensemble.addrs(), &files.access(ensemble), false).map(Some);
    roll(&files.plan(APACHE, members), &ways, sessions, &clients).map(drop)
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
        references.push(roll(&plan(APACHE), &[APACHE, APACHE], sessions, &nobody)?);
        ours.push(roll(&plan(APACHE), &[judged(), APACHE], sessions, &nobody)?);
    }
    println!("{}", show(&references, &ours));
    Ok(())
}

/// Three servers of a kind, as everybody may reach them.
fn plan(kind: Kind) -> Plan {
    Plan::voters(&[kind; 3])
}

/// Starts client libraries, if there are to be any, at an ensemble that runs.
type Starts<'a> = &'a dyn Fn(&Ensemble) -> Result<Option<Clients>>;

fn nobody(_: &Ensemble) -> Result<Option<Clients>> {
    Ok(None)
}

/// Starts the servers of a plan, and replaces all of them by each of these kinds, one after the other.
fn roll(plan: &Plan, ways: &[Kind], sessions: usize, clients: Starts<'_>) -> Result<Vec<Step>> {
    let plan = plan.clone().line("snapCount=2000").line("preAllocSize=1024");
    let mut ensemble = Ensemble::start(&plan)?;
    let result = there_and_back(&mut ensemble, ways, sessions, clients);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs("rolling")?.display());
    }
    result.with_context(|| ensemble.logs())
}

fn there_and_back(
    ensemble: &mut Ensemble,
    ways: &[Kind],
    sessions: usize,
    clients: Starts<'_>,
) -> Result<Vec<Step>> {
    check_config(ensemble)?;
    let mut clients = clients(ensemble)?;
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
    summary.verify_everywhere(ensemble)?;
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
