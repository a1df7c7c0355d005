//! Both servers in lock step, every byte of every answer; see `compat_tests::differential`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::differential::faults;
use compat_tests::differential::run::{Plan, run};

const OPS_PER_SEED: usize = 4000;
/// How long each script is made short that shows a fault.
const SHRINK_LIMIT: Duration = Duration::from_secs(6);
/// How short it must get in this time: the scripts have hundreds of lines.
const SHORT_LINES_MAX: usize = 100;

fn ops_wanted() -> Result<usize> {
    match std::env::var("OXKEEPER_DIFF_OPS") {
        Ok(text) => text.parse().context("OXKEEPER_DIFF_OPS is no number"),
        Err(_) => Ok(200_000),
    }
}

#[test]
fn both_servers_answer_every_stream_alike() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let wanted = ops_wanted()?;
    let seeds = wanted.div_ceil(OPS_PER_SEED).max(1) as u64;
    let plan = Plan {
        seeds: 1..=seeds,
        ops_per_seed: wanted.min(OPS_PER_SEED),
        pairs: 2,
        seeds_per_pair: 10,
        shrink: Some(Duration::from_secs(60)),
        limit: None,
        failures_max: 1,
    };
    let summary = run(&plan)?;
    println!("{summary}");
    ensure!(summary.ops as usize >= wanted.min(1000) / 2, "only {} ops were played", summary.ops);
    summary.verdict()
}

/// A comparison that has never failed shows nothing: each of the faults that a build for tests can have
/// must be noticed.
#[test]
fn every_deliberate_fault_is_caught() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let caught = faults::run(SHRINK_LIMIT)?;
    println!("{}", faults::table(&caught));
    let longest = caught.iter().map(|fault| fault.short.len()).max();
    ensure!(
        longest.is_some_and(|lines| lines <= SHORT_LINES_MAX),
        "a script did not get short: {longest:?} lines"
    );
    Ok(())
}
