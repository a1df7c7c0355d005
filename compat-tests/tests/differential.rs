//! Both servers in lock step, every byte of every answer; see `compat_tests::differential`.

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::differential::{self, LONG_RUN_OPS, Plan};

const OPS_PER_SEED: usize = 4000;

fn ops_wanted() -> Result<usize> {
    match std::env::var("OXKEEPER_DIFF_OPS") {
        Ok(text) => text.parse().context("OXKEEPER_DIFF_OPS is no number"),
        Err(_) => Ok(20_000),
    }
}

#[test]
fn both_servers_answer_every_stream_alike() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let wanted = ops_wanted()?;
    let seeds = wanted.div_ceil(OPS_PER_SEED).max(1) as u64;
    let plan = Plan {
        seeds: 1..=seeds,
        ops_per_seed: wanted.min(OPS_PER_SEED),
        seeds_per_pair: 10,
        shrink: true,
        limit: None,
        failures_max: 1,
    };
    let summary = differential::run(&plan)?;
    println!("{} ops over {} seeds, {} log records", summary.ops, summary.seeds, summary.logged);
    ensure!(summary.ops as usize >= wanted.min(1000) / 2, "only {} ops were played", summary.ops);
    ensure!(summary.logged > 0, "no log was compared");
    let unmet = summary.exceptions.unmet();
    ensure!(summary.ops < LONG_RUN_OPS || unmet.is_empty(), "exceptions that no longer occur: {unmet:?}");
    Ok(())
}
