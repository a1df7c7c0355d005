//! kazoo, the Python client, and its recipes against both servers.

use anyhow::Result;
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::seat::Seat;
use compat_tests::server::Options;
use compat_tests::{artifacts, programs, versions};

fn check(script: &str, what: &str, seat: Option<Seat>) -> Result<()> {
    if !artifacts::available(&["java", "mvn", "python3"])? {
        return Ok(());
    }
    let options = Options::default().tick_time_ms(500).seat(seat);
    let who = format!("kazoo {}", versions::kazoo()?);
    side_by_side(&Case::new(&format!("kazoo-{script}"), &who, what), &options, |server| {
        programs::python(script, &[&server.connect_string()])
    })
}

#[test]
fn nodes_acls_transactions_and_watches() -> Result<()> {
    check("basics.py", "nodes, ACLs, transactions, watches", None)
}

#[test]
fn nodes_acls_transactions_and_watches_through_a_follower() -> Result<()> {
    check("basics.py", "nodes, ACLs, transactions, watches", Some(Seat::Follower))
}

#[test]
fn recipes() -> Result<()> {
    check(
        "recipes.py",
        "locks, semaphores, election, parties, barriers, partitioner, queues, counters, tree cache",
        None,
    )
}

#[test]
fn lost_connections_and_sessions() -> Result<()> {
    check("sessions.py", "lost connections and sessions", None)
}
