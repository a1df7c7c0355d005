//! Holds the faults of `faults.toml` to what they say of the in-process tests.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::code;
use super::copy::{Copy, Which};
use super::faults::{self, DIFFERENTIAL, Fault, TESTS};
use super::judge::{Judge, Outcome};

/// Tests of the storage's simulator take long, and judge where a fault names them.
const NAMED_ONLY: &str = "sim::";
/// Time the tests get for one fault.
const LIMIT: Duration = Duration::from_secs(300);

/// A judge and its verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The fault.
    pub name: String,
    /// Who had to notice it.
    pub by: String,
    /// The test that did.
    pub noticed: Option<String>,
}

/// The copy with all faults, locked, written and ready to be built.
fn write() -> Result<(Vec<Fault>, Copy)> {
    let faults = faults::load()?;
    let copy = Copy::open(Which::Faults)?;
    copy.write(faults.len(), &faults::edits(&faults, &code(&["src"])?)?)?;
    Ok((faults, copy))
}

/// Builds the server that has all faults, and returns it with them. The place of a fault in the list is its
/// number.
pub fn build_program() -> Result<(PathBuf, Vec<Fault>)> {
    let (faults, copy) = write()?;
    Ok((copy.build_program()?, faults))
}

/// Lets the in-process tests judge some of the faults: those whose place among all that they judge is
/// `chosen`.
pub fn run(chosen: impl Fn(usize) -> bool) -> Result<Vec<Verdict>> {
    let (faults, copy) = write()?;
    let judge = match copy.build_tests()? {
        Ok(program) => Judge::new(program)?,
        Err(errors) => {
            let errors: Vec<_> =
                errors.iter().map(|error| format!("{}: {}", error.file, error.message)).collect();
            bail!("the sources with the faults of faults.toml do not compile:\n{}", errors.join("\n"));
        }
    };
    let names = judge.names()?;
    let judged =
        faults.iter().enumerate().filter(|(_, fault)| fault.killed_by.iter().any(|by| by != DIFFERENTIAL));
    let mut verdicts = Vec::new();
    for (number, fault) in judged.enumerate().filter(|(place, _)| chosen(*place)).map(|(_, judged)| judged) {
        for by in fault.killed_by.iter().filter(|by| *by != DIFFERENTIAL) {
            let is_judge = |name: &&str| {
                if by == TESTS { !name.starts_with(NAMED_ONLY) } else { name.starts_with(by.as_str()) }
            };
            let judges: Vec<_> = names.iter().map(String::as_str).filter(is_judge).collect();
            ensure!(!judges.is_empty(), "{}: there is no test {by}", fault.name);
            let noticed = noticed(&judge, number, judges)?;
            println!("{}: {}", fault.name, noticed.as_deref().unwrap_or("NOT NOTICED"));
            verdicts.push(Verdict { name: fault.name.clone(), by: by.clone(), noticed });
        }
    }
    Ok(verdicts)
}

/// Who notices the fault. A test that fails without it too is no judge.
fn noticed(judge: &Judge, fault: usize, mut judges: Vec<&str>) -> Result<Option<String>> {
    loop {
        match judge.run(Some(fault), &judges, LIMIT)? {
            Outcome::Passed => return Ok(None),
            Outcome::Late => return Ok(Some("the tests did not end".to_owned())),
            Outcome::Failed(name) => {
                let alone: Vec<_> = judges.iter().copied().filter(|judge| *judge == name).collect();
                // Where the process ended, any of them may have been the one.
                let alone = if alone.is_empty() { judges.clone() } else { alone };
                if judge.run(None, &alone, LIMIT)? == Outcome::Passed {
                    return Ok(Some(name));
                }
                ensure!(alone.len() == 1, "the tests fail without a fault too: {}", alone.join(", "));
                judges.retain(|judge| *judge != name);
            }
        }
    }
}
