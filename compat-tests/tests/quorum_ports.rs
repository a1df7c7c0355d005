//! The differential run of the quorum ports, in its short form.

use anyhow::{Result, ensure};
use compat_tests::acknowledged::number;
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::quorum_ports::run::{Fault, Plan, run};
use compat_tests::server::Kind;

#[test]
fn both_servers_say_the_same_on_the_quorum_ports() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let last = number("OXKEEPER_QUORUM_SEEDS", || 300)?;
    let summary = run(&Plan { failures_max: 3, ..Plan::up_to(last) })?;
    println!("{summary}");
    summary.verdict()
}

#[test]
fn what_is_spoilt_for_one_side_is_noticed() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for fault in [Fault::LastTransactionLost, Fault::EpochForgotten] {
        let spoilt =
            Plan { judged: Kind::Apache(REFERENCE), fault: Some(fault), lanes: 1, ..Plan::up_to(40) };
        let summary = run(&spoilt)?;
        ensure!(summary.differing() > 0, "{fault:?}: {summary}");
    }
    Ok(())
}
