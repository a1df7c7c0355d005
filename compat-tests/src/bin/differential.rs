//! Long differential runs, and single scripts played again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::differential::run::{Plan, run};
use compat_tests::differential::{self, faults, generate, script};
use compat_tests::seat;

const USAGE: &str = "\
usage: differential [--ops N] [--seeds A..B | --seed S] [--pairs N] [--per-pair N] [--minutes M]
                    [--keep-going N] [--shrink] [--print] [--replay FILE] [--faults]
  --ops N         requests per seed (default 4000)
  --seeds A..B    seeds from A to B, B included (default 1..5)
  --seed S        one seed
  --pairs N       pairs of servers at once (default 2)
  --per-pair N    seeds played on one pair of servers (default 10)
  --minutes M     begin no new seed after M minutes
  --keep-going N  stop after N failing seeds (default 1)
  --shrink        make a failing script short
  --print         print a seed's script and play nothing
  --replay FILE   play one script
  --faults        switch faults on, one at a time, and see each caught
OXKEEPER_ENSEMBLE=leader|follower|observer: both servers sit in ensembles of three";

/// Enough for a script of some thousand steps.
const SHRINK_TRIES_MAX: usize = 400;

fn main() -> Result<()> {
    let mut plan = Plan {
        seeds: 1..=5,
        ops_per_seed: 4000,
        pairs: 2,
        seeds_per_pair: 10,
        shrink: None,
        limit: None,
        failures_max: 1,
        seat: seat::wanted()?,
    };
    let mut replay = None;
    let mut print = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--ops" => plan.ops_per_seed = value()?.parse().context("--ops")?,
            "--seed" => {
                let seed = value()?.parse().context("--seed")?;
                plan.seeds = seed..=seed;
            }
            "--seeds" => {
                let range = value()?;
                let (first, last) = range.split_once("..").context("--seeds A..B")?;
                plan.seeds = first.parse().context("--seeds A..")?..=last.parse().context("--seeds ..B")?;
            }
            "--pairs" => plan.pairs = value()?.parse().context("--pairs")?,
            "--per-pair" => plan.seeds_per_pair = value()?.parse().context("--per-pair")?,
            "--minutes" => {
                plan.limit = Some(Duration::from_secs(60 * value()?.parse::<u64>().context("--minutes")?))
            }
            "--keep-going" => plan.failures_max = value()?.parse().context("--keep-going")?,
            "--shrink" => plan.shrink = Some(SHRINK_TRIES_MAX),
            "--faults" => return catch_faults(),
            "--print" => print = true,
            "--replay" => replay = Some(value()?),
            _ => bail!("{USAGE}"),
        }
    }
    if print {
        for seed in plan.seeds {
            print!("{}", script::print(&generate::script_for(seed, plan.ops_per_seed, plan.seat.is_some())));
        }
        return Ok(());
    }
    if let Some(path) = replay {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        return match differential::replay(&text, plan.seat)? {
            None => {
                println!("the servers agree");
                Ok(())
            }
            Some(mismatch) => bail!("the servers part at step {}:\n{}", mismatch.step, mismatch.story),
        };
    }
    let summary = run(&plan)?;
    println!("{summary}");
    summary.verdict()
}

fn catch_faults() -> Result<()> {
    let caught = faults::run(SHRINK_TRIES_MAX)?;
    for fault in &caught {
        println!(
            "# {}\n{}# {}\n",
            fault.name,
            script::print(&fault.short),
            fault.story.replace('\n', "\n# ")
        );
    }
    print!("{}", faults::table(&caught));
    Ok(())
}
