//! What the generators of the differential runs never send, because it stops the reference or depends on its timing
//! (`kind = "excluded"` in `exceptions.toml`), is sent here, once to each server: an exception that is no longer true
//! is noticed.

mod alone;
mod members;
mod peers;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::differential::exceptions::excluded;
use compat_tests::server::Kind;

/// A script for one exception, and what must come of it.
struct Case {
    /// The exception's name.
    name: &'static str,
    /// Plays the script and says what came of it.
    play: fn(Kind) -> Result<String>,
    /// With the reference.
    reference: &'static str,
    /// With Oxkeeper.
    ours: &'static str,
}

fn check(cases: &[Case]) -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let mut false_ones = Vec::new();
    for Case { name, play, reference, ours } in cases {
        for (kind, expected) in [(Kind::Apache(REFERENCE), reference), (judged(), ours)] {
            let came = play(kind).with_context(|| format!("{name}, {kind}"))?;
            println!("{name}, {kind}: {came}");
            if came != *expected {
                false_ones.push(format!("{name}, {kind}: {came}; expected: {expected}"));
            }
        }
    }
    ensure!(false_ones.is_empty(), "exceptions that are not as exceptions.toml says: {false_ones:#?}");
    Ok(())
}

#[test]
fn exceptions_of_servers_alone_are_as_they_are_written() -> Result<()> {
    check(&alone::CASES)
}

#[test]
fn exceptions_of_ensembles_are_as_they_are_written() -> Result<()> {
    check(&members::CASES)
}

#[test]
fn exceptions_of_peers_are_as_they_are_written() -> Result<()> {
    check(&peers::CASES)
}

#[test]
fn every_excluded_exception_has_a_case() -> Result<()> {
    let all = alone::CASES.iter().chain(&members::CASES).chain(&peers::CASES);
    let mut cases: Vec<&str> = all.map(|case| case.name).collect();
    cases.sort_unstable();
    let mut listed = excluded()?;
    listed.sort_unstable();
    assert_eq!(cases, listed);
    Ok(())
}
