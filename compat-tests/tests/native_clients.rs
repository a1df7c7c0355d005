//! Clients of other languages: go-zookeeper, node-zookeeper-client and the C client.
//!
//! Each runs where its runtime is installed and is skipped, loudly, elsewhere. Half way the
//! server is restarted, for the JavaScript client the connection cut; sessions, ephemerals and
//! watches must live through it.

use std::process::Command;

use anyhow::Result;
use compat_tests::compare::side_by_side;
use compat_tests::server::Options;
use compat_tests::{artifacts, native, programs, systems};

fn check(name: &str, program: fn() -> Result<Command>) -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let options = Options::default().tick_time_ms(500).property("zookeeper.extendedTypesEnabled", "true");
    side_by_side(name, &options, |server| native::run_through_a_restart(server, program()?))
}

#[test]
fn go_zookeeper_and_its_readers_of_four_letter_words() -> Result<()> {
    if !systems::wanted("go") || !artifacts::present(&["go"]) {
        return Ok(());
    }
    check("go", native::go)
}

#[test]
fn node_zookeeper_client() -> Result<()> {
    if !systems::wanted("node") || !artifacts::present(&["node", "npm"]) {
        return Ok(());
    }
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let options = Options::default().tick_time_ms(500);
    side_by_side("node", &options, |server| programs::output(native::node()?.arg(server.connect_string())))
}

#[test]
fn the_c_client() -> Result<()> {
    if !systems::wanted("c") || !artifacts::present(&["gcc"]) || !native::c_client_present() {
        return Ok(());
    }
    check("c", native::c)
}
