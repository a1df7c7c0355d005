//! Whether the comparison would notice: a server with one fault after the other, and how soon each is
//! caught.
//!
//! The faults are those of `faults.toml` that name the comparison as their judge. They are put into a copy of the
//! server ([`crate::mutants`]) and are chosen by number when it starts. Each must be caught, by a script that
//! can be made short; the short script must part the servers with the fault when it is read back, and must
//! not part them without.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::pair::{Pair, Setup};
use super::script::{self, Step};
use super::{generate, play_alone, shrink};
use crate::mutants::faults::{DIFFERENTIAL, Fault};
use crate::mutants::trial;

/// Requests in one script: short ones are made short quickly.
const OPS_PER_SEED: usize = 400;
/// How many seeds may pass before a fault is caught.
const SEEDS_MAX: u64 = 60;
/// How many of them may show what fresh servers do not show again.
const UNREPEATED_MAX: usize = 3;

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

/// Builds the server that can have them, and lists them with their numbers.
pub fn build() -> Result<(PathBuf, Vec<(usize, Fault)>)> {
    let (program, faults) = trial::build_program()?;
    let judged = |(_, fault): &(usize, Fault)| fault.killed_by.iter().any(|by| by == DIFFERENTIAL);
    Ok((program, faults.into_iter().enumerate().filter(judged).collect()))
}

/// Switches each fault on and plays until it is caught; a fault that is not is an error. Each script is
/// made short in `tries_max` tries.
pub fn run(tries_max: usize) -> Result<Vec<Caught>> {
    let (program, faults) = build()?;
    let setup = Setup::new()?;
    ensure!(faults.len() >= 10, "only {} faults were found", faults.len());
    let mut caught = Vec::new();
    for (number, fault) in faults {
        let begun = Instant::now();
        caught.push(catch(&setup, &program, number, fault, tries_max)?);
        if let Some(last) = caught.last() {
            println!("{} caught and made short in {:.1} s", last.name, begun.elapsed().as_secs_f64());
        }
    }
    Ok(caught)
}

fn catch(setup: &Setup, program: &Path, number: usize, fault: Fault, tries_max: usize) -> Result<Caught> {
    let Fault { name, what, .. } = fault;
    let faulty = setup.with_fault(program, Some(number));
    let mut pair = Pair::start(&faulty)?;
    let mut played = 0;
    let mut unrepeated = 0;
    for seed in 1..=SEEDS_MAX {
        let steps = generate::script(seed, OPS_PER_SEED);
        let found = match pair.play(&steps, true)? {
            None => pair.settle(steps.len())?,
            mismatch => mismatch,
        };
        let Some(mismatch) = found else { continue };
        // A server that is gone would part from the other one too, and not for this fault.
        ensure!(pair.sides[1].server.alive(), "{name}: the faulty server has died: {}", mismatch.story);
        played += pair.played;
        drop(pair);
        let Some((short, mismatch)) =
            shrink::shrink(&faulty, &steps[..mismatch.step.min(steps.len())], tries_max, |_, _| {})
        else {
            // What a busy machine has done is not what the fault does.
            unrepeated += 1;
            println!("{name}: what seed {seed} shows is not shown by fresh servers:\n{}", mismatch.story);
            ensure!(unrepeated <= UNREPEATED_MAX, "{name}: {unrepeated} seeds part no fresh servers");
            pair = Pair::start(&faulty)?;
            continue;
        };
        let read_back = script::parse(&script::print(&short))?;
        ensure!(
            play_alone(&faulty, &read_back)?.is_some(),
            "{name}: the short script shows nothing when it is played again:\n{}it showed:\n{}",
            script::print(&short),
            mismatch.story
        );
        if let Some(other) = play_alone(&setup.with_fault(program, None), &read_back)? {
            bail!("{name}: the servers part without the fault too: {}", other.story);
        }
        return Ok(Caught { name, what, seed, ops: played, short, story: mismatch.story });
    }
    bail!("{name} ({what}) was not caught in {} requests", played + pair.played)
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
