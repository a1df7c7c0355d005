//! The differential run of the quorum ports, in its short form.

use anyhow::Result;
use compat_tests::acknowledged::number;
use compat_tests::artifacts;
use compat_tests::quorum_ports::run::{Plan, run};

#[test]
fn both_servers_say_the_same_on_the_quorum_ports() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let last = number("OXKEEPER_QUORUM_SEEDS", || 300)?;
    let summary = run(&Plan { seeds: 1..=last, failures_max: 3, limit: None })?;
    println!("{summary}");
    summary.verdict()
}
