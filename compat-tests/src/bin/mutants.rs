//! Small random changes to the server's code, each to be noticed by an in-process test.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::mutants::sample::{MODULES, Plan, run};
use compat_tests::mutants::{self, copy};

const USAGE: &str = "\
usage: mutants [--sample N] [--seed S | --commit] [--modules A,B] [--jobs N] [--resume] [--survivors-max N]
  --sample N         how many changes (default 400)
  --seed S           which ones (default 1)
  --commit           the hash of the commit is the seed
  --modules A,B      modules and files below src/ (default: the serving half)
  --jobs N           mutants at a time (default 2)
  --resume           go on with an interrupted run of this seed
  --survivors-max N  how many may survive without a reason in survivors.toml (default 0)
Ends with 1 when more survive, or when less than 90 % are caught or have a reason.";

/// Of a hundred mutants, so many must be caught.
const CAUGHT_PERCENT: usize = 90;

fn main() -> Result<ExitCode> {
    let mut plan =
        Plan { modules: MODULES.map(str::to_owned).to_vec(), sample: 400, seed: 1, jobs: 2, resume: false };
    let mut survivors_max = 0;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--sample" => plan.sample = value()?.parse().context("--sample")?,
            "--seed" => plan.seed = value()?.parse().context("--seed")?,
            "--commit" => plan.seed = mutants::commit()?,
            "--modules" => plan.modules = value()?.split(',').map(str::to_owned).collect(),
            "--jobs" => plan.jobs = value()?.parse().context("--jobs")?,
            "--resume" => plan.resume = true,
            "--survivors-max" => survivors_max = value()?.parse().context("--survivors-max")?,
            _ => bail!("{USAGE}"),
        }
    }
    let exists = |module: &String| {
        let path = copy::workspace().join("src").join(module);
        path.is_dir() || path.with_extension("rs").is_file()
    };
    plan.modules.retain(exists);
    ensure!(!plan.modules.is_empty(), "none of the modules is there\n{USAGE}");
    let report = run(&plan)?;
    let missing = report.missing_reasons();
    print!("\n{}", report.text());
    if !missing.is_empty() {
        println!("\nFor compat-tests/survivors.toml, with a reason each, or a test:\n\n{missing}");
    }
    println!("results: {}", report.results.display());
    let unexplained = report.survivors().filter(|mutant| mutant.reason.is_none()).count();
    let good =
        unexplained <= survivors_max && good_enough(report.killed(), report.mutants.len(), survivors_max);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether enough were caught. A handful says nothing of a percentage.
fn good_enough(killed: usize, tried: usize, survivors_max: usize) -> bool {
    killed * 100 >= tried * CAUGHT_PERCENT || tried - killed <= survivors_max
}
