//! Curator 5.9 on the reference's client: every recipe once, against both servers.

use anyhow::Result;
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::server::Options;
use compat_tests::{artifacts, bundles, versions};

fn check(section: &str, what: &str) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let options = Options::default()
        .tick_time_ms(500)
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("znode.container.checkIntervalMs", "3600000");
    let who = format!("Curator {}", versions::maven("curator", "curator-recipes")?);
    side_by_side(&Case::new(&format!("curator-{section}"), &who, what), &options, |server| {
        bundles::run("curator", "Main", &[], &[&server.connect_string(), section])
    })
}

#[test]
fn the_framework_itself() -> Result<()> {
    check("framework", "fluent interface, transactions, watches, ACLs, ensemble tracker")
}

#[test]
fn locks_and_semaphores() -> Result<()> {
    check("locks", "mutex, semaphore mutex, read/write lock, multi lock, semaphore, revocation")
}

#[test]
fn barriers() -> Result<()> {
    check("barriers", "barrier, double barrier")
}

#[test]
fn leader_latches_and_selectors() -> Result<()> {
    check("elections", "leader latch, leader selector")
}

#[test]
fn queues() -> Result<()> {
    check("queues", "simple, plain, locked, id, priority and delay queues")
}

#[test]
fn caches() -> Result<()> {
    check("caches", "CuratorCache, NodeCache, PathChildrenCache, TreeCache")
}

#[test]
fn counters_and_atomic_numbers() -> Result<()> {
    check("counters", "shared count and value, atomic numbers")
}

#[test]
fn persistent_nodes_groups_and_watchers() -> Result<()> {
    check("nodes", "persistent and TTL nodes, group member, persistent watcher")
}

#[test]
fn service_discovery() -> Result<()> {
    check("discovery", "service discovery, its cache and provider")
}

#[test]
fn recipes_survive_a_lost_session() -> Result<()> {
    check("lost", "cache, latch, lock and persistent node through a lost session")
}
