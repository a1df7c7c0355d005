//! Faults put into the code on purpose must be noticed by the in-process tests; see `compat_tests::mutants`.

use anyhow::{Result, ensure};
use compat_tests::mutants;

/// One fault in so many is tried without a long form.
const ONE_IN: u64 = 10;

/// Which are tried follows from the commit, so that all are after some commits.
#[test]
fn faults_put_in_on_purpose_are_noticed_by_the_in_process_tests() -> Result<()> {
    let all = std::env::var("OXKEEPER_FAULTS").is_ok_and(|which| which == "all");
    let commit = if all { 0 } else { mutants::commit()? };
    let verdicts = mutants::trial::run(|place| all || place as u64 % ONE_IN == commit % ONE_IN)?;
    ensure!(!verdicts.is_empty(), "no fault was tried");
    let missed: Vec<_> = verdicts.iter().filter(|verdict| verdict.noticed.is_none()).collect();
    println!("{} faults and judges, {} missed", verdicts.len(), missed.len());
    let missed: Vec<_> = missed.iter().map(|verdict| format!("{} by {}", verdict.name, verdict.by)).collect();
    ensure!(missed.is_empty(), "not noticed: {}", missed.join(", "));
    Ok(())
}
