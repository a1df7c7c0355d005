//! Long differential runs on the quorum ports, and single seeds played again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::compare;
use compat_tests::quorum_ports::run::{Case, Plan, run, side};

const USAGE: &str = "\
usage: quorum-ports [--seeds A..B | --seed S] [--minutes M] [--keep-going N] [--lanes N]
                    [--print] [--story]
  --seeds A..B    seeds from A to B, B included (default 1..100)
  --seed S        one seed
  --minutes M     begin no new seed after M minutes
  --keep-going N  stop after N seeds that differ (default 1)
  --lanes N       pairs of servers at once (default 2)
  --print         print what a seed says, and play nothing
  --story         print what the judged server says";

fn main() -> Result<()> {
    let mut plan = Plan::up_to(100);
    let mut prints = false;
    let mut tells = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--seed" => {
                let seed = value()?.parse().context("--seed")?;
                plan.seeds = seed..=seed;
            }
            "--seeds" => {
                let range = value()?;
                let (first, last) = range.split_once("..").context("--seeds A..B")?;
                plan.seeds = first.parse().context("--seeds A..")?..=last.parse().context("--seeds ..B")?;
            }
            "--minutes" => {
                plan.limit = Some(Duration::from_secs(60 * value()?.parse::<u64>().context("--minutes")?));
            }
            "--keep-going" => plan.failures_max = value()?.parse().context("--keep-going")?,
            "--lanes" => plan.lanes = value()?.parse().context("--lanes")?,
            "--print" => prints = true,
            "--story" => tells = true,
            _ => bail!("{USAGE}"),
        }
    }
    if prints {
        for seed in plan.seeds {
            println!("{:#x?}", Case::generate(seed)?);
        }
        return Ok(());
    }
    if tells {
        let judged = side(compare::judged())?;
        for seed in plan.seeds {
            let [story, _] = Case::generate(seed)?.play([&judged, &judged], None)?;
            println!("seed {seed}\n{story}");
        }
        return Ok(());
    }
    let summary = run(&plan)?;
    println!("{summary}");
    summary.verdict()
}
