//! Both servers in lock step, every byte of every answer; see `compat_tests::differential`.

use anyhow::{Context, Result, ensure};
use compat_tests::differential::faults;
use compat_tests::differential::run::{Plan, run};
use compat_tests::seat::{self, Seat};
use compat_tests::{artifacts, mutants};

const OPS_PER_SEED: usize = 4000;
/// How often parts are left out of each script that shows a fault.
const SHRINK_TRIES_MAX: usize = 40;
/// What only a program with faults in it knows.
const SWITCH: &[u8] = mutants::copy::SWITCH.as_bytes();
/// How short it must get by that: the scripts have hundreds of lines.
const SHORT_LINES_MAX: usize = 60;

fn ops_wanted() -> Result<usize> {
    match std::env::var("OXKEEPER_DIFF_OPS") {
        Ok(text) => text.parse().context("OXKEEPER_DIFF_OPS is no number"),
        Err(_) => Ok(200_000),
    }
}

/// The short form of the run with ensembles.
const ENSEMBLE_OPS: usize = 3000;

fn compare(wanted: usize, seat: Option<Seat>) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let seeds = wanted.div_ceil(OPS_PER_SEED).max(1) as u64;
    let plan = Plan {
        seeds: 1..=seeds,
        ops_per_seed: wanted.min(OPS_PER_SEED),
        // Six servers are enough for a small machine.
        pairs: if seat.is_some() { 1 } else { 2 },
        seeds_per_pair: 10,
        shrink: Some(200),
        limit: None,
        failures_max: 1,
        seat,
    };
    let summary = run(&plan)?;
    println!("{summary}");
    ensure!(summary.ops as usize >= wanted.min(1000) / 2, "only {} ops were played", summary.ops);
    summary.verdict()
}

#[test]
fn both_servers_answer_every_stream_alike() -> Result<()> {
    compare(ops_wanted()?, seat::wanted()?)
}

#[test]
fn followers_in_ensembles_answer_a_stream_alike() -> Result<()> {
    compare(ENSEMBLE_OPS, Some(Seat::Follower))
}

/// A comparison that has never failed shows nothing: each of the faults of `faults.toml` that clients can see
/// must be noticed.
#[test]
fn every_deliberate_fault_is_caught() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    for (program, has_faults) in [(artifacts::oxkeeper()?, false), (faults::build()?.0, true)] {
        let bytes = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let found = bytes.windows(SWITCH.len()).any(|window| window == SWITCH);
        ensure!(found == has_faults, "{}: faults can be switched on: {found}", program.display());
    }
    let caught = faults::run(SHRINK_TRIES_MAX)?;
    println!("{}", faults::table(&caught));
    let longest = caught.iter().map(|fault| fault.short.len()).max();
    ensure!(
        longest.is_some_and(|lines| lines <= SHORT_LINES_MAX),
        "a script did not get short: {longest:?} lines"
    );
    Ok(())
}
