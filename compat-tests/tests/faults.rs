//! Faults put into the code on purpose must be noticed by the in-process tests; see `compat_tests::mutants`.

use anyhow::{Result, ensure};
use compat_tests::mutants::{self, trial::Verdict};

/// One fault in so many is tried without a long form.
const ONE_IN: u64 = 10;

/// Which are tried follows from the commit, so that all are after some commits, or from `OXKEEPER_FAULTS`.
#[test]
fn faults_put_in_on_purpose_are_noticed_by_the_in_process_tests() -> Result<()> {
    let wanted = std::env::var("OXKEEPER_FAULTS").ok();
    let verdicts = match &wanted {
        Some(wanted) => {
            mutants::trial::run(|_, name| wanted == "all" || wanted.split(',').any(|wanted| wanted == name))?
        }
        None => {
            let commit = mutants::commit()?;
            mutants::trial::run(|place, _| place as u64 % ONE_IN == commit % ONE_IN)?
        }
    };
    ensure!(!verdicts.is_empty(), "no fault was tried");
    let names = |chosen: &dyn Fn(&Verdict) -> bool| -> Vec<String> {
        let chosen = verdicts.iter().filter(|verdict| chosen(verdict));
        chosen.map(|verdict| format!("{} by {}", verdict.name, verdict.by)).collect()
    };
    let long = wanted.is_some();
    let missed = names(&|verdict| verdict.noticed.is_none() && (long || !verdict.awaits_test));
    let done = names(&|verdict| verdict.noticed.is_some() && long && verdict.awaits_test);
    ensure!(
        missed.is_empty() && done.is_empty(),
        "not noticed: {missed:?}; noticed by now, so that `awaits_test` is to be taken away: {done:?}"
    );
    Ok(())
}
