//! Holds the faults of `faults.toml` to what they say of the in-process tests.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::code;
use super::copy::{Copy, Which};
use super::faults::{self, DIFFERENTIAL, Fault, TESTS};
use super::judge::{Judge, in_parallel};

/// Tests of the storage's simulator take long, and judge where a fault names them.
const NAMED_ONLY: &str = "sim::";
/// Time a test may take without a fault.
const LIMIT: Duration = Duration::from_secs(300);
/// Tests at a time.
const JOBS: usize = 2;

/// A judge and its verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The fault.
    pub name: String,
    /// Who had to notice it.
    pub by: String,
    /// Whether the list knows that no test does yet.
    pub awaits_test: bool,
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

/// Lets the in-process tests judge some of the faults: those whose place among all that they judge, and whose
/// name, are `chosen`.
pub fn run(chosen: impl Fn(usize, &str) -> bool) -> Result<Vec<Verdict>> {
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
    let in_process = |fault: &Fault| fault.killed_by.iter().any(|by| by != DIFFERENTIAL);
    let judged = faults.iter().enumerate().filter(|(_, fault)| in_process(fault));
    let tried: Vec<_> = judged
        .enumerate()
        .filter(|(place, (_, fault))| chosen(*place, &fault.name))
        .map(|(_, fault)| fault)
        .collect();
    let claims: Vec<(usize, &Fault, &str)> = tried
        .iter()
        .flat_map(|(number, fault)| fault.killed_by.iter().map(|by| (*number, *fault, by.as_str())))
        .filter(|(_, _, by)| *by != DIFFERENTIAL)
        .collect();
    for (_, fault, by) in &claims {
        ensure!(names.iter().any(|name| is_judge(name, by)), "{}: there is no test {by}", fault.name);
    }
    let needed: Vec<_> =
        names.into_iter().filter(|name| claims.iter().any(|(_, _, by)| is_judge(name, by))).collect();
    // A test that fails without a fault too is no judge.
    let tests = judge.without_faults(&needed, LIMIT, JOBS)?;
    for (_, fault, by) in claims.iter().filter(|(_, _, by)| *by != TESTS) {
        let lost =
            needed.iter().find(|name| is_judge(name, by) && !tests.iter().any(|test| test.name == **name));
        if let Some(name) = lost {
            bail!("{}: {name}, which must notice it, fails in the copy without it too", fault.name);
        }
    }
    in_parallel(&claims, JOBS, |(number, fault, by)| {
        let judges = tests.iter().filter(|test| is_judge(&test.name, by));
        let noticed = judge.notices(*number, "", judges)?;
        println!("{} by {by}: {}", fault.name, noticed.as_deref().unwrap_or("NOT NOTICED"));
        let Fault { name, awaits_test, .. } = (*fault).clone();
        Ok(Verdict { name, by: (*by).to_owned(), awaits_test, noticed })
    })
}

/// Whether a test is one of those that must notice.
fn is_judge(test: &str, by: &str) -> bool {
    if by == TESTS { !test.starts_with(NAMED_ONLY) } else { test.starts_with(by) }
}
