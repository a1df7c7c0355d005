//! `docs/compatibility.md`, written from what ran: rows of the results file, the outcome that each
//! test program told, and the list of known differences. Nothing in it is written by hand, and no
//! date is in it, so that the same outcome gives the same file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::artifacts::{self, REFERENCE};
use crate::results::Row;
use crate::skip;

/// Where the report lies.
pub fn path() -> PathBuf {
    artifacts::package_dir().join("../docs/compatibility.md")
}

/// How many tests of each program passed, and those that did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites {
    suites: BTreeMap<String, Suite>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Suite {
    passed: usize,
    /// Those that could not run here, with the reasons.
    skipped: BTreeMap<String, String>,
    failed: Vec<String>,
}

impl Suites {
    /// From what `cargo test` prints: a program's name before its tests, a line for each test. What a program that ran
    /// again has printed counts in place of what it printed before.
    pub fn of(output: &str) -> Self {
        let mut suites = Self::default();
        let mut current = None;
        for line in output.lines() {
            let running = line.trim_start().strip_prefix("Running tests/");
            if let Some(name) = running.and_then(|rest| rest.split(".rs").next()) {
                suites.suites.insert(name.to_owned(), Suite::default());
                current = Some(name);
                continue;
            }
            // What stands before the first program is the compiler's.
            let Some(suite) = current.and_then(|name| suites.suites.get_mut(name)) else { continue };
            if let Some((name, why)) = skip::in_line(line) {
                suite.skipped.entry(name.to_owned()).or_insert_with(|| why.to_owned());
            }
            match test_line(line) {
                Some((name, "ok")) if suite.skipped.contains_key(name) => {}
                Some((_, "ok")) => suite.passed += 1,
                Some((name, "ignored")) => drop(suite.skipped.insert(name.to_owned(), "ignored".to_owned())),
                Some((name, _)) => suite.failed.push(name.to_owned()),
                None => {}
            }
        }
        suites
    }

    /// Whether there are tests, and none failed.
    #[must_use]
    pub fn good(&self) -> bool {
        !self.suites.is_empty() && self.suites.values().all(|suite| suite.failed.is_empty())
    }
}

/// `test <name> ... <outcome>`. What a test prints past libtest's own capture may stand before it.
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.rsplit_once(" ... ")?;
    let name = name.rsplit_once("test ")?.1;
    ["ok", "FAILED", "ignored"].contains(&outcome).then_some((name, outcome))
}

/// The whole report. `made_by` is the command, `runtimes` tells of the machine's programs.
pub fn render(made_by: &str, runtimes: &[String], rows: &[Row], suites: &Suites) -> Result<String> {
    let mut text = format!(
        "# Compatibility\n\n\
         Written by `{made_by}`, which runs the whole of `compat-tests`: nothing here is written by hand.\n\
         Clients and systems are unmodified; both servers are standalone, on one machine. [compat-tests/README.md](../compat-tests/README.md)\n\
         tells what each run does. Runtimes: {}.\n\n\
         ## Clients and systems\n\n\
         A script is run against Apache ZooKeeper {REFERENCE} and against Oxkeeper. *Compared* gives the number of lines\n\
         it printed (results, errors, stats, events) and whether they were equal on both.\n\n\
         | Client or system | What it did | Apache ZooKeeper | Oxkeeper | Compared |\n|---|---|---|---|---|\n",
        runtimes.join(", ")
    );
    for row in rows {
        let cells = [&row.who, &row.what, &row.reference, &row.judged, &row.compared];
        writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))?;
    }
    text.push_str("\n## Tests\n\n| Program | Passed | Skipped | Failed |\n|---|---|---|---|\n");
    for (name, Suite { passed, skipped, failed }) in &suites.suites {
        let skipped: Vec<_> = skipped.iter().map(|(test, why)| format!("{test}: {why}")).collect();
        let listed = |names: &[String]| {
            if names.is_empty() { "none".to_owned() } else { names.join("; ").replace('|', "\\|") }
        };
        writeln!(text, "| `{name}` | {passed} | {} | {} |", listed(&skipped), listed(failed))?;
    }
    text.push_str(&known_differences()?);
    Ok(text)
}

/// The section that lists `exceptions.toml`.
pub fn known_differences() -> Result<String> {
    let path = artifacts::package_dir().join("exceptions.toml");
    let list = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut text = "\n## Known differences\n\n\
         From `compat-tests/exceptions.toml`. A *difference* is met by the differential run, which fails when it no longer\n\
         occurs; one of *timing* by a run of a million requests. What is *excluded* would stop the reference or depends on\n\
         its timing; no generator sends it, and `tests/exclusions` sends each once to see that it is still so.\n\n\
         | Name | Kind | In the reference | Why |\n|---|---|---|---|\n"
        .to_owned();
    for table in list.split("[[exception]]").skip(1) {
        let value = |key: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
            let value = line.and_then(|rest| rest.strip_suffix('"'));
            value
                .map(|value| value.replace("\\\"", "\"").replace('|', "\\|"))
                .with_context(|| format!("no {key} in{table}"))
        };
        let cells = [value("name")?, value("kind")?, value("reference")?, value("reason")?];
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_what_cargo_prints() {
        let output = "     Running tests/wire.rs (target/debug/deps/wire-1)\n\nrunning 2 tests\n\
                      test a ... ok\nwhat it printedtest b ... FAILED\ntest a has been running for over 60 seconds\n\
                      test result: FAILED. 1 passed; 1 failed\n";
        let suites = Suites::of(output);
        assert_eq!(suites.suites["wire"].passed, 1);
        assert_eq!(suites.suites["wire"].failed, ["b"]);
        assert!(!suites.good());
        assert!(!Suites::of("   Compiling wire\n").good(), "no program ran");
        let again = "     Running tests/wire.rs (target/debug/deps/wire-1)\ntest a ... ok\ntest b ... ok\n";
        let suites = Suites::of(&(output.to_owned() + again));
        assert_eq!(suites.suites["wire"].passed, 2);
        assert!(suites.good());
        assert!(!Suites::of("").good());
        assert!(Suites::of("     Running tests/wire.rs (x)\ntest a ... ok\n").good());
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let output = "     Running tests/power.rs (target/debug/deps/power-1)\n\nrunning 3 tests\n\
                      \n*** SKIPPED b: no loop devices ***\ntest a ... ok\ntest b ... ok\ntest c ... ignored\n";
        let suites = Suites::of(output);
        let power = &suites.suites["power"];
        assert_eq!(power.passed, 1);
        let skipped: Vec<_> = power.skipped.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(skipped, [("b", "no loop devices"), ("c", "ignored")]);
        let text = render("x", &[], &[], &suites).unwrap();
        assert!(text.contains("| `power` | 1 | b: no loop devices; c: ignored | none |"), "{text}");
    }
}
