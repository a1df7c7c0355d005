//! Whether the comparison would notice: a server with one fault after the other, and how soon each is
//! caught.
//!
//! The faults are in a build of their own (`src/fault.rs` of the server) and are chosen by name when it
//! starts. Each must be caught, by a script that can be made short; the short script must part the
//! servers with the fault when it is read back, and must not part them without.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::pair::{Pair, Setup};
use super::script::{self, Step};
use super::{generate, play_alone, shrink};
use crate::artifacts;

/// The faults as the server declares them.
const SOURCE: &str = include_str!("../../../src/fault.rs");
/// Requests in one script: short ones are made short quickly.
const OPS_PER_SEED: usize = 400;
/// How many seeds may pass before a fault is caught.
const SEEDS_MAX: u64 = 60;

/// A fault that was caught.
#[derive(Debug)]
pub struct Caught {
    /// Its name.
    pub name: String,
    /// What it does.
    pub what: String,
    /// By which seed.
    pub seed: u64,
    /// After so many requests, those of earlier seeds included.
    pub ops: u64,
    /// What is needed to see it.
    pub short: Vec<Step>,
    /// What is then seen.
    pub story: String,
}

/// Names of the faults, with what they do.
#[must_use]
pub fn names() -> Vec<(String, String)> {
    let body = SOURCE.split_once("enum Fault {").and_then(|(_, rest)| rest.split_once("\n}"));
    let mut names = Vec::new();
    let mut what = "";
    for line in body.map_or("", |(body, _)| body).lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(text) => what = text.trim(),
            None if !line.is_empty() => names.push((line.trim_end_matches(',').to_owned(), what.to_owned())),
            None => {}
        }
    }
    names
}

/// Builds the server that can have them.
pub fn build() -> Result<PathBuf> {
    let target = artifacts::target_dir()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "oxkeeper", "--features", "faults", "--bin", "oxkeeper-faulty"]);
    command.arg("--target-dir").arg(&target).current_dir(artifacts::package_dir().join(".."));
    artifacts::run(&mut command)?;
    Ok(target.join("debug/oxkeeper-faulty"))
}

/// Switches each fault on and plays until it is caught; a fault that is not is an error. Each script is
/// made short in `tries_max` tries.
pub fn run(tries_max: usize) -> Result<Vec<Caught>> {
    let program = build()?;
    let setup = Setup::new()?;
    let names = names();
    ensure!(names.len() >= 10, "only {} faults were found", names.len());
    let mut caught = Vec::new();
    for (name, what) in names {
        let begun = Instant::now();
        caught.push(catch(&setup, &program, name, what, tries_max)?);
        if let Some(last) = caught.last() {
            println!("{} caught and made short in {:.1} s", last.name, begun.elapsed().as_secs_f64());
        }
    }
    Ok(caught)
}

fn catch(setup: &Setup, program: &Path, name: String, what: String, tries_max: usize) -> Result<Caught> {
    let faulty = setup.with_fault(program, &name);
    let mut pair = Pair::start(&faulty)?;
    for seed in 1..=SEEDS_MAX {
        let steps = generate::script(seed, OPS_PER_SEED);
        let found = match pair.play(&steps, true)? {
            None => pair.settle(steps.len())?,
            mismatch => mismatch,
        };
        let Some(mismatch) = found else { continue };
        // A server that is gone would part from the other one too, and not for this fault.
        ensure!(pair.sides[1].server.alive(), "{name}: the faulty server has died: {}", mismatch.story);
        let ops = pair.played;
        drop(pair);
        let (short, mismatch) = shrink::shrink(&faulty, &steps[..mismatch.step], tries_max, |_, _| {})
            .with_context(|| format!("{name}: seed {seed} does not part fresh servers"))?;
        let read_back = script::parse(&script::print(&short))?;
        ensure!(play_alone(&faulty, &read_back)?.is_some(), "{name}: the short script shows nothing again");
        if let Some(other) = play_alone(&setup.with_fault(program, "none"), &read_back)? {
            bail!("{name}: the servers part without the fault too: {}", other.story);
        }
        return Ok(Caught { name, what, seed, ops, short, story: mismatch.story });
    }
    bail!("{name} ({what}) was not caught in {} requests", pair.played)
}

/// The table of what was caught.
#[must_use]
pub fn table(caught: &[Caught]) -> String {
    let mut text =
        String::from("| Fault | What it does | Caught after | Seed | Lines of the short script |\n");
    text.push_str("|---|---|---|---|---|\n");
    for Caught { name, what, seed, ops, short, .. } in caught {
        let _ = writeln!(text, "| {name} | {what} | {ops} requests | {seed} | {} |", short.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn every_fault_is_known_with_what_it_does() {
        let names = names();
        assert!(names.len() >= 10, "{names:?}");
        assert!(names.iter().all(|(name, what)| !name.contains(' ') && what.ends_with('.')), "{names:?}");
    }
}
