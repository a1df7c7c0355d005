//! Exceptions that a peer on the quorum ports shows.

use anyhow::{Context, Result};
use compat_tests::acknowledged::Random;
use compat_tests::peer::Packet;
use compat_tests::peer::packet::kind as packet;
use compat_tests::quorum_ports::following::{Script, Start, play};
use compat_tests::quorum_ports::history::{History, Writer};
use compat_tests::quorum_ports::run::side;
use compat_tests::quorum_ports::seat::Layout;
use compat_tests::server::Kind;

use super::Case;

pub(super) const CASES: [Case; 1] = [Case {
    name: "first-of-an-epoch-left-out",
    play: second_of_an_epoch,
    reference: "it takes the transaction",
    ours: "it leaves the leader",
}];

/// After the last transaction of an older epoch, a leader sends the second one of its own.
fn second_of_an_epoch(kind: Kind) -> Result<String> {
    let layout = Layout::new(1, Vec::new())?;
    let histories = (1..50).map(|seed| History::generate(&mut Random::new(seed, 0)));
    let history = histories.into_iter().find(|history| history.last() > 0).context("a history")?;
    let epoch = history.accepted + 1;
    let zxid = (epoch << 32) | 2;
    let mut tree = history.tree.clone();
    let txn = Writer::after(&history).write(&mut tree, &mut Random::new(1, 0), zxid);
    let before = vec![
        Packet::new(packet::PROPOSAL, zxid, Some(&txn.payload)),
        Packet::new(packet::COMMIT, zxid, None),
    ];
    let script = Script {
        leader: 3,
        rounds_ahead: 0,
        epoch,
        start: Start::Diff(history.last()),
        before,
        has_config: true,
        between: Vec::new(),
        after: Vec::new(),
        is_wrong: true,
        given: vec![txn],
    };
    let story = play(&side(kind)?, &layout, &history, &script)?;
    let is_logged = story.contains(&format!("\n  {zxid:#x} "));
    Ok(match (story.contains("as the sync was aborted"), is_logged) {
        (true, false) => "it leaves the leader".to_owned(),
        (false, true) => "it takes the transaction".to_owned(),
        _ => story,
    })
}
