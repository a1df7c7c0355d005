//! Clients of other languages: Rust's zookeeper-client, go-zookeeper, node-zookeeper-client and the
//! C client.
//!
//! Each runs where its runtime is installed and is skipped, loudly, elsewhere. Half way the
//! server is restarted, for the JavaScript client the connection cut; sessions, ephemerals and
//! watches must live through it.

use std::process::Command;

use anyhow::Result;
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::server::{Options, Server};
use compat_tests::{artifacts, native, versions};

fn check(case: &Case, run: impl Fn(&mut Server) -> Result<String> + Sync) -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let options = Options::default().tick_time_ms(500).property("zookeeper.extendedTypesEnabled", "true");
    side_by_side(case, &options, run)
}

fn through_a_restart(case: &Case, program: fn() -> Result<Command>) -> Result<()> {
    check(case, |server| native::run_through_a_restart(server, program()?))
}

#[test]
fn the_rust_client() -> Result<()> {
    let what = "every operation, multi, check writer, lock, watches of every kind, session through a restart";
    let who = format!("zookeeper-client (Rust) {}", versions::rust()?);
    through_a_restart(&Case::new("rust", &who, what), native::rust)
}

#[test]
fn go_zookeeper_and_its_readers_of_four_letter_words() -> Result<()> {
    let who = format!("go-zookeeper {}", versions::go()?);
    if !native::present(&who, &["go"], &[])? {
        return Ok(());
    }
    let what =
        "every operation, multi, lock, watches and session through a restart, FLWRuok, FLWSrvr, FLWCons";
    through_a_restart(&Case::new("go", &who, what), native::go)
}

#[test]
fn node_zookeeper_client() -> Result<()> {
    let who = format!("node-zookeeper-client {}", versions::node()?);
    if !native::present(&who, &["node", "npm"], &[])? {
        return Ok(());
    }
    let what = "every operation, transactions, watches and session through cut connections";
    check(&Case::new("node", &who, what), |server| native::run(server, native::node()?))
}

#[test]
fn the_c_client() -> Result<()> {
    if !native::present("C client", &["gcc"], &["zookeeper/zookeeper.h"])? {
        return Ok(());
    }
    let who = format!("C client {}", versions::c()?);
    let what = "every operation, multi, ACLs, watches and session through a restart";
    through_a_restart(&Case::new("c", &who, what), native::c)
}
