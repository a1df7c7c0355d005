//! Servers of one ensemble that differ in `zookeeper.closeSessionTxn.enabled`: whether the end of a session lists the
//! ephemeral nodes that go with it. Everybody must remove the same, and come to the same digest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::ensemble::{Ensemble, Mix, PATIENCE, assert_same, mismatches};
use compat_tests::systems::{Look, until};
use compat_tests::wire::{Body, Client, op};

const KEY: &str = "zookeeper.closeSessionTxn.enabled";
/// The shortest timeout there is.
const TIMEOUT_MS: i32 = 1000;

/// The mix, and for each server whether it lists; the last leads. A learner of the reference that lists does not read what a
/// leader that does not has written, whoever leads, so that is not among them.
const CASES: [(&str, [bool; 3]); 4] = [
    ("OOO", [true, false, true]),
    ("OOO", [true, true, false]),
    ("AOO", [false, false, true]),
    ("OOA", [true, false, false]),
];

/// Trap 28 of the quorum protocols.
#[test]
fn servers_that_list_ephemerals_and_servers_that_do_not_hold_the_same() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for (mix, lists) in CASES {
        let mut plan = Mix::parse(mix)?.plan();
        for (sid, is_listing) in (1..).zip(lists) {
            plan = plan.property_of(sid, KEY, &is_listing.to_string());
        }
        let mut ensemble = Ensemble::start(&plan)?;
        sessions_end(&mut ensemble, lists)
            .with_context(|| ensemble.logs())
            .with_context(|| format!("{mix} with {KEY}={lists:?}"))?;
    }
    Ok(())
}

/// Sessions with none to three ephemerals, at every server, are closed, and one more at each is left to expire.
fn sessions_end(ensemble: &mut Ensemble, lists: [bool; 3]) -> Result<()> {
    for at in 0..ensemble.members().len() {
        let addr = ensemble.members()[at].addr();
        for count in 0..4 {
            let mut client = Client::connect(addr, 30_000)?;
            make_ephemerals(&mut client, count)?;
            client.call(9, op::CLOSE_SESSION, &Body::new())?;
        }
        let mut client = Client::connect(addr, TIMEOUT_MS)?;
        make_ephemerals(&mut client, 2)?;
    }
    std::thread::sleep(Duration::from_millis(TIMEOUT_MS as u64));
    until("no ephemeral node is left", PATIENCE, || {
        for addr in ensemble.addrs() {
            let nodes = Look::at(addr)?.children("/")?.unwrap_or_default();
            ensure!(!nodes.iter().any(|node| node.starts_with("of-")), "{addr} has {nodes:?}");
        }
        Ok(Some(()))
    })?;
    let picture = assert_same(ensemble)?;
    let found = mismatches(ensemble)?;
    println!(
        "{} nodes, {} sessions, digests that differed: {found:?}",
        picture.tree.len(),
        picture.sessions.len()
    );
    for ((member, count), is_listing) in ensemble.members().iter().zip(&found).zip(lists) {
        // One of the reference takes the list for a digest, where the leader lists and it does not.
        let is_mistaken = member.is_reference() && !is_listing && lists[2];
        ensure!(*count == 0 || is_mistaken, "{member} found {count} digests that its tree did not have");
    }
    Ok(())
}

fn make_ephemerals(client: &mut Client, count: i32) -> Result<()> {
    for node in 0..count {
        let path = format!("/of-{:x}-{node}", client.session);
        let made = client.call(1 + node, op::CREATE, &Body::create(&path, b"", 1))?;
        ensure!(made.err == 0, "{path}: code {}", made.err);
    }
    Ok(())
}
