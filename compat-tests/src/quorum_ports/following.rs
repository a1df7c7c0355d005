//! The server learns: scripted voters have a leader already, which brings it up to date in every way.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::history::{History, Writer};
use super::seat::{Layout, Seat, VOTERS};
use super::{PATIENCE, QUIET, Side, directory};
use crate::acknowledged::Random;
use crate::peer::packet::kind;
use crate::peer::tree::Txn;
use crate::peer::{Form, Heard, Leader, Notification, Packet, State, Tree, Voter};

/// For what a server may leave out, once something wrong was said to it.
const AFTER_WRONG: Duration = Duration::from_millis(700);

/// How the sync begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// DIFF up to this zxid.
    Diff(i64),
    /// TRUNC to this zxid.
    Trunc(i64),
    /// SNAP of this zxid.
    Snap(i64, Box<Tree>),
}

/// What is said to a learner.
#[derive(Clone, Debug)]
pub struct Script {
    /// The scripted leader.
    pub leader: i64,
    /// By how much the round of the others is ahead.
    pub rounds_ahead: i64,
    /// The epoch it is offered.
    pub epoch: i64,
    /// The first packet of the sync.
    pub start: Start,
    /// What follows before NEWLEADER.
    pub before: Vec<Packet>,
    /// Whether NEWLEADER brings a configuration.
    pub has_config: bool,
    /// What follows before UPTODATE.
    pub between: Vec<Packet>,
    /// What follows then.
    pub after: Vec<Packet>,
    /// Whether something of it is wrong.
    pub is_wrong: bool,
    /// Transactions it gives, those that the server has to log.
    pub given: Vec<Txn>,
}

impl Script {
    /// From a seed.
    pub fn generate(random: &mut Random, layout: &Layout, history: &History) -> Self {
        let is_observer = layout.sid > VOTERS;
        let others = layout.others();
        let leader = others[random.below(others.len() as u64) as usize];
        let rounds_ahead = [0, 0, 1, 5][random.below(4) as usize];
        let epoch = history.accepted + [1, 1, 1, 2, 0, -1][random.below(6) as usize];
        let (start, mut tree, last) = start(random, history);
        // Nobody leads an epoch that is older than what it has.
        let epoch = epoch.max(last >> 32).max(1);
        let mut given = Vec::new();
        let mut writer = Writer::after(history);
        let mut parts: [Vec<Packet>; 3] = Default::default();
        let mut zxid = last;
        let mut commits = Vec::new();
        for part in &mut parts {
            for _ in 0..random.below(5) {
                // One more of the same epoch, or the first of the leader's.
                zxid = if random.below(5) == 0 && zxid >> 32 < epoch { (epoch << 32) | 1 } else { zxid + 1 };
                if zxid >> 32 == 0 {
                    zxid = (epoch << 32) | 1;
                }
                let txn = writer.write(&mut tree, random, zxid);
                if is_observer {
                    part.push(Packet::new(kind::INFORM, zxid, Some(&txn.payload)));
                } else {
                    part.push(Packet::new(kind::PROPOSAL, zxid, Some(&txn.payload)));
                    commits.push(zxid);
                    // Commits come later, in order.
                    while !commits.is_empty() && random.below(4) > 0 {
                        part.push(Packet::new(kind::COMMIT, commits.remove(0), None));
                    }
                }
                given.push(txn);
            }
        }
        let is_wrong = random.below(5) == 0 && spoil(random, &mut parts);
        let [before, between, after] = parts;
        let has_config = random.below(4) > 0;
        Self { leader, rounds_ahead, epoch, start, before, has_config, between, after, is_wrong, given }
    }
}

fn start(random: &mut Random, history: &History) -> (Start, Tree, i64) {
    let logged = history.logged();
    match random.below(4) {
        0 if logged.len() > 1 => {
            let at = random.below(logged.len() as u64) as usize;
            let zxid = logged[at].zxid;
            // What the server cannot have in its tree any more is of no use to a leader.
            let newest = history.snapshots.keys().next_back().copied().unwrap_or(0);
            let zxid = zxid.max(newest).max(logged[0].zxid);
            (Start::Trunc(zxid), history.tree.clone(), zxid)
        }
        1 => {
            let other = History::generate(random);
            let zxid = if other.last() == 0 { (1 << 32) | 1 } else { other.last() };
            (Start::Snap(zxid, Box::new(other.tree.clone())), other.tree, zxid)
        }
        _ => (Start::Diff(history.last()), history.tree.clone(), history.last()),
    }
}

/// Leaves a packet out, or says it twice; false if there is none that makes a difference. The first of an epoch is not left
/// out (`first-of-an-epoch-left-out` in `exceptions.toml`).
fn spoil(random: &mut Random, parts: &mut [Vec<Packet>; 3]) -> bool {
    let part = &mut parts[0];
    let proposals: Vec<usize> = (0..part.len()).filter(|at| part[*at].kind != kind::COMMIT).collect();
    // The first may follow on anything, and the last may have no successor.
    let Some(inner) = proposals.get(1..proposals.len().saturating_sub(1)).filter(|inner| !inner.is_empty())
    else {
        return false;
    };
    let place = random.below(inner.len() as u64) as usize;
    let (before, at) = (proposals[place], inner[place]);
    let begins_epoch = part[at].zxid >> 32 > part[before].zxid >> 32;
    if random.below(2) == 0 && !begins_epoch {
        part.remove(at);
    } else {
        let again = part[at].clone();
        part.insert(at, again);
    }
    true
}

/// Plays a script against a server and takes down what it says.
pub fn play(side: &Side, layout: &Layout, history: &History, script: &Script) -> Result<String> {
    let mut story = String::new();
    let mut voters = Vec::new();
    for sid in layout.others() {
        voters.push(Voter::listen(sid, layout.of(sid).election)?);
    }
    let mut leader = Leader::listen(layout.of(script.leader).quorum)?;
    let mut seat = Seat::start(side, layout, history)?;
    let result = converse(layout, history, script, &mut voters, &mut leader, &mut story);
    let is_aborted = story.contains("\n  closed");
    let state = seat.state()?;
    result
        .with_context(|| format!("the server: {state}; its log ends:\n{}\nso far:\n{story}", seat.log()))?;
    drop((voters, leader));
    let disk = seat.stop()?;
    let _ = writeln!(story, "on disk{}", if is_aborted { ", as the sync was aborted" } else { "" });
    for line in disk.lines().filter(|line| is_compared(line, script)) {
        let _ = writeln!(story, "{line}");
    }
    Ok(story)
}

/// After SNAP the reference keeps records of the past that the snapshot replaced: only what came afterwards counts.
/// After SNAP and TRUNC it has what was committed before NEWLEADER in its snapshot, and not in its log.
fn is_compared(line: &str, script: &Script) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let is_one_of = |zxids: Vec<i64>| zxids.iter().any(|zxid| first == format!("{zxid:#x}"));
    if !first.starts_with("0x") {
        return true;
    }
    // The past may have had the same zxids.
    let is_given = script.given.iter().any(|txn| line.ends_with(&directory::show(&txn.payload)));
    let early = |packet: &&Packet| matches!(packet.kind, kind::COMMIT | kind::INFORM);
    let is_in_snapshot = is_one_of(script.before.iter().filter(early).map(|packet| packet.zxid).collect());
    match script.start {
        Start::Diff(_) => true,
        Start::Trunc(_) => !is_in_snapshot,
        Start::Snap(..) => is_given && !is_in_snapshot,
    }
}

fn converse(
    layout: &Layout,
    history: &History,
    script: &Script,
    voters: &mut [Voter],
    leader: &mut Leader,
    story: &mut String,
) -> Result<()> {
    let own = layout.of(layout.sid);
    let mut config = Vec::new();
    for voter in voters.iter_mut() {
        if let Some(handshake) = voter.meet(layout.sid, own.election, PATIENCE)? {
            let _ = writeln!(story, "dials {}: {handshake}", voter.sid);
        }
        let Heard::Some(vote) = voter.hear(PATIENCE)? else { anyhow::bail!("it does not vote") };
        let _ = writeln!(story, "votes: {vote}");
        config.clone_from(&vote.config);
    }
    for voter in voters.iter_mut() {
        let state = if voter.sid == script.leader { State::Leading } else { State::Following };
        let vote = Notification {
            state,
            leader: script.leader,
            zxid: history.last(),
            round: 1 + script.rounds_ahead,
            epoch: script.epoch,
            config: config.clone(),
        };
        voter.say(&vote, Form::Whole)?;
    }
    anyhow::ensure!(leader.accept(PATIENCE)?, "it does not come to its leader");
    bring_up(script, &config, leader)?;
    story.push_str(&leader.story);
    leader.story.clear();
    if !leader_is_followed(leader)? {
        return Ok(());
    }
    // What it tells one that looks for a leader.
    if let Some(voter) = voters.iter_mut().find(|voter| voter.sid != script.leader) {
        let asked =
            Notification { state: State::Looking, leader: voter.sid, zxid: 0, round: 9, epoch: 0, config };
        voter.hear_out(QUIET)?;
        voter.say(&asked, Form::Whole)?;
        let Heard::Some(told) = voter.hear(PATIENCE)? else { anyhow::bail!("it does not tell its leader") };
        let _ = writeln!(story, "tells: {told}");
    }
    Ok(())
}

/// Whether the learner is still there, and says nothing.
fn leader_is_followed(leader: &mut Leader) -> Result<bool> {
    let is_closed = leader.hear(QUIET)?.is_none() && leader.story.contains("closed");
    leader.story.clear();
    Ok(!is_closed)
}

fn bring_up(script: &Script, config: &[u8], leader: &mut Leader) -> Result<()> {
    if leader.hear(PATIENCE)?.is_none() {
        return Ok(());
    }
    let patience = if script.is_wrong { AFTER_WRONG } else { PATIENCE };
    let begin = script.epoch << 32;
    leader.say(&Packet::new(kind::LEADER_INFO, begin, Some(&0x10000_i32.to_be_bytes())))?;
    if leader.hear(PATIENCE)?.is_none() {
        return Ok(());
    }
    match &script.start {
        Start::Diff(zxid) => leader.say(&Packet::new(kind::DIFF, *zxid, None))?,
        Start::Trunc(zxid) => leader.say(&Packet::new(kind::TRUNC, *zxid, None))?,
        Start::Snap(zxid, tree) => leader.say_tree(*zxid, tree)?,
    }
    for packet in &script.before {
        leader.say(packet)?;
    }
    leader.say(&Packet::new(kind::NEW_LEADER, begin, script.has_config.then_some(config)))?;
    if leader.hear(patience)?.is_none() {
        return Ok(());
    }
    for packet in &script.between {
        leader.say(packet)?;
    }
    leader.say(&Packet::new(kind::UP_TO_DATE, -1, None))?;
    if leader.hear(patience)?.is_none() {
        return Ok(());
    }
    for packet in &script.after {
        leader.say(packet)?;
    }
    leader.say(&Packet::new(kind::PING, begin, None))?;
    collect(script, leader, patience)
}

/// Acknowledgements and the answer to the ping come in any order to each other, each in its own.
fn collect(script: &Script, leader: &mut Leader, patience: Duration) -> Result<()> {
    let proposed = |packets: &[Packet]| packets.iter().filter(|packet| packet.kind == kind::PROPOSAL).count();
    let committed = script.before.iter().filter(|packet| packet.kind == kind::COMMIT).count();
    let all = proposed(&script.before) + proposed(&script.between) + proposed(&script.after);
    let mut missing = all.saturating_sub(committed) + 1;
    let begun = leader.story.len();
    while missing > 0 && leader.hear(patience)?.is_some() {
        missing -= 1;
    }
    let mut heard: Vec<String> = leader.story.split_off(begun).lines().map(str::to_owned).collect();
    heard.sort_by_key(|line| line.contains("PING"));
    for line in heard {
        let _ = writeln!(leader.story, "{line}");
    }
    // What the server logs by itself must be there before it is stopped.
    std::thread::sleep(QUIET);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_never_the_first_of_an_epoch() {
        let zxids = [(3 << 32) | 5, (5 << 32) | 1, (5 << 32) | 2, (5 << 32) | 3];
        let whole: Vec<Packet> = zxids.iter().map(|zxid| Packet::new(kind::PROPOSAL, *zxid, None)).collect();
        for seed in 1..50 {
            let mut parts = [whole.clone(), Vec::new(), Vec::new()];
            assert!(spoil(&mut Random::new(seed, 0), &mut parts), "seed {seed}");
            let left: Vec<i64> = parts[0].iter().map(|packet| packet.zxid).collect();
            assert_ne!(left, zxids, "seed {seed}");
            assert!(left.contains(&zxids[1]), "seed {seed}: {left:x?}");
        }
    }
}
