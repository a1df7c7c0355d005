//! Long differential runs, and single scripts played again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::differential::{self, Plan, generate, script};

const USAGE: &str = "\
usage: differential [--ops N] [--seeds A..B | --seed S] [--per-pair N] [--minutes M] [--keep-going N]
                    [--shrink] [--print] [--replay FILE]
  --ops N         requests per seed (default 4000)
  --seeds A..B    seeds from A to B, B included (default 1..5)
  --seed S        one seed
  --per-pair N    seeds played on one pair of servers (default 10)
  --minutes M     begin no new seed after M minutes
  --keep-going N  stop after N failing seeds (default 1)
  --shrink        make a failing script short
  --print         print a seed's script and play nothing
  --replay FILE   play one script";

fn main() -> Result<()> {
    let mut plan = Plan {
        seeds: 1..=5,
        ops_per_seed: 4000,
        seeds_per_pair: 10,
        shrink: false,
        limit: None,
        failures_max: 1,
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
            "--per-pair" => plan.seeds_per_pair = value()?.parse().context("--per-pair")?,
            "--minutes" => {
                plan.limit = Some(Duration::from_secs(60 * value()?.parse::<u64>().context("--minutes")?))
            }
            "--keep-going" => plan.failures_max = value()?.parse().context("--keep-going")?,
            "--shrink" => plan.shrink = true,
            "--print" => print = true,
            "--replay" => replay = Some(value()?),
            _ => bail!("{USAGE}"),
        }
    }
    if print {
        for seed in plan.seeds {
            print!("{}", script::print(&generate::script(seed, plan.ops_per_seed)));
        }
        return Ok(());
    }
    if let Some(path) = replay {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        return match differential::replay(&text)? {
            None => {
                println!("the servers agree");
                Ok(())
            }
            Some(mismatch) => bail!("the servers part at step {}:\n{}", mismatch.step, mismatch.story),
        };
    }
    let summary = differential::run(&plan)?;
    let rate = summary.ops as f64 / summary.playing.as_secs_f64();
    println!(
        "{} ops over {} seeds without a difference, {} log records compared, {rate:.0} ops/s",
        summary.ops, summary.seeds, summary.logged
    );
    for (name, count) in summary.exceptions.counts() {
        println!("exception {name}: {count} times");
    }
    let unmet = summary.exceptions.unmet();
    if summary.ops >= differential::LONG_RUN_OPS && !unmet.is_empty() {
        bail!("exceptions that no longer occur, to be taken off the list: {unmet:?}");
    }
    Ok(())
}
