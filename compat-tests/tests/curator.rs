//! Curator 5.9 on the reference's client: every recipe once, against both servers.

use anyhow::Result;
use compat_tests::compare::side_by_side;
use compat_tests::server::Options;
use compat_tests::{artifacts, bundles};

fn check(section: &str) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let options = Options::default()
        .tick_time_ms(500)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("znode.container.checkIntervalMs", "3600000");
    side_by_side(&format!("curator-{section}"), &options, |server| {
        bundles::run("curator", "Main", &[], &[&server.connect_string(), section])
    })
}

#[test]
fn the_framework_itself() -> Result<()> {
    check("framework")
}

#[test]
fn locks_and_semaphores() -> Result<()> {
    check("locks")
}

#[test]
fn barriers() -> Result<()> {
    check("barriers")
}

#[test]
fn leader_latches_and_selectors() -> Result<()> {
    check("elections")
}

#[test]
fn queues() -> Result<()> {
    check("queues")
}

#[test]
fn caches() -> Result<()> {
    check("caches")
}

#[test]
fn counters_and_atomic_numbers() -> Result<()> {
    check("counters")
}

#[test]
fn persistent_nodes_groups_and_watchers() -> Result<()> {
    check("nodes")
}

#[test]
fn service_discovery() -> Result<()> {
    check("discovery")
}

#[test]
fn recipes_survive_a_lost_session() -> Result<()> {
    check("lost")
}
