//! kazoo, the Python client, and its recipes against both servers.

use anyhow::Result;
use compat_tests::artifacts;
use compat_tests::compare::side_by_side;
use compat_tests::programs;
use compat_tests::server::Options;

fn check(script: &str) -> Result<()> {
    if !artifacts::available(&["java", "mvn", "python3"])? {
        return Ok(());
    }
    let options = Options::default().tick_time_ms(500);
    side_by_side(&format!("kazoo-{script}"), &options, |server| {
        programs::python(script, &[&server.connect_string()])
    })
}

#[test]
fn nodes_acls_transactions_and_watches() -> Result<()> {
    check("basics.py")
}

#[test]
fn recipes() -> Result<()> {
    check("recipes.py")
}

#[test]
fn lost_connections_and_sessions() -> Result<()> {
    check("sessions.py")
}
