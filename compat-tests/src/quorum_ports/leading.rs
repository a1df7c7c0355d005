//! The server leads: one scripted voter elects it, scripted learners join it with what they claim to have.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::history::History;
use super::seat::{Layout, Seat};
use super::{PATIENCE, QUIET, Side, directory};
use crate::acknowledged::Random;
use crate::peer::learner::Claim;
use crate::peer::packet::kind;
use crate::peer::{Form, Heard, Learner, Notification, Packet, State, Voter};
use crate::wire::{Body, op};

/// Learners of a conversation, after the one that elects the leader.
const LEARNERS: u64 = 6;
/// A session of the scripted learner.
const SESSION: i64 = 0x0300_0000_0000_0077;

/// What is said to a leader.
#[derive(Clone, Debug)]
pub struct Script {
    /// The voter that elects it and stays.
    pub elector: Claim,
    /// Votes it says before it agrees.
    pub first_votes: Vec<Notification>,
    /// Those that join afterwards, one after the other.
    pub learners: Vec<Claim>,
    /// Requests that the elector forwards in the end: op, and body.
    pub requests: Vec<(i32, Vec<u8>)>,
}

impl Script {
    /// From a seed.
    pub fn generate(random: &mut Random, layout: &Layout, history: &History) -> Self {
        let others = layout.others();
        let sid = others[random.below(others.len() as u64) as usize];
        let third = others.iter().copied().find(|other| *other != sid).unwrap_or(sid);
        // The elector has a part of the history, or all.
        let zxids: Vec<i64> = std::iter::once(0).chain(history.txns.iter().map(|txn| txn.zxid)).collect();
        let zxid = zxids[random.below(zxids.len() as u64) as usize];
        let current = (zxid >> 32) as i32;
        let accepted = i64::from(current) + random.below(2) as i64 * random.below(9) as i64;
        let elector = Claim { sid, is_observer: false, accepted, current: Some(current), zxid, config: 0 };
        let mut first_votes = Vec::new();
        for _ in 0..random.below(2) {
            // Never one that wins.
            first_votes.push(Notification {
                state: State::Looking,
                leader: sid,
                zxid,
                round: random.below(2) as i64,
                epoch: i64::from(current) - 1,
                config: Vec::new(),
            });
        }
        let learners =
            (0..1 + random.below(LEARNERS)).map(|_| claim(random, third, history, &zxids)).collect();
        let requests = (0..random.below(6)).map(|number| request(random, number)).collect();
        Self { elector, first_votes, learners, requests }
    }
}

/// A learner that has any of the zxids that make a difference.
fn claim(random: &mut Random, voter: i64, history: &History, zxids: &[i64]) -> Claim {
    let last = history.last();
    let some = zxids[random.below(zxids.len() as u64) as usize];
    let zxid = match random.below(16) {
        0 => -1,
        1 => 0,
        2 => last,
        3 => last + 1 + random.below(3) as i64,
        // Nothing of an epoch that has begun, or will.
        4 => some & !0xffff_ffff,
        5 => (history.current + random.below(3) as i64) << 32,
        // What nobody else has: in the middle of an epoch, at its end, of a later one.
        6 => (some & !0xffff_ffff) + 0x1000,
        7 => ((some >> 32) + 1 + random.below(3) as i64) << 32 | (1 + random.below(4) as i64),
        _ => some,
    };
    let is_observer = random.below(3) == 0;
    let sid = if is_observer { 4 + random.below(2) as i64 } else { voter };
    let epoch = (zxid >> 32).max(0);
    // Below the leader's epoch, or the one it has just chosen and this learner has accepted already.
    let current = (random.below(5) > 0).then_some(epoch as i32);
    Claim { sid, is_observer, accepted: epoch, current, zxid, config: 0 }
}

fn request(random: &mut Random, number: u64) -> (i32, Vec<u8>) {
    let path = format!("/live-{}", random.below(3));
    match random.below(6) {
        _ if number == 0 => (-10, Body::new().int(40_000).0),
        0 => (op::DELETE, Body::new().string(&path).int(-1).0),
        1 => (op::SET_DATA, Body::set_data(&path, b"set", -1).0),
        2 => (op::SET_DATA, Body::set_data(&path, b"set", 77).0),
        3 => (op::CREATE, Body::create(&path, b"ephemeral", 1).0),
        4 => (op::CREATE, Body::create(&format!("{path}-"), b"sequence", 2).0),
        _ => (op::CREATE2, Body::create(&path, b"live", 0).0),
    }
}

/// Plays a script against a server and takes down what it says.
pub fn play(side: &Side, layout: &Layout, history: &History, script: &Script) -> Result<String> {
    let mut story = String::new();
    let elector_ports = layout.of(script.elector.sid);
    let mut voter = Voter::listen(script.elector.sid, elector_ports.election)?;
    let mut seat = Seat::start(side, layout, history)?;
    let result = converse(layout, script, &mut voter, &mut story);
    let state = seat.state()?;
    result
        .with_context(|| format!("the server: {state}; its log ends:\n{}\nso far:\n{story}", seat.log()))?;
    drop(voter);
    let _ = writeln!(story, "{state}, and on disk");
    story.push_str(&seat.stop()?);
    Ok(story)
}

fn converse(layout: &Layout, script: &Script, voter: &mut Voter, story: &mut String) -> Result<()> {
    let own = layout.of(layout.sid);
    if let Some(handshake) = voter.meet(layout.sid, own.election, PATIENCE)? {
        let _ = writeln!(story, "dials: {handshake}");
    }
    let Heard::Some(vote) = voter.hear(PATIENCE)? else { bail!("it does not vote") };
    let _ = writeln!(story, "votes: {vote}");
    for first in &script.first_votes {
        voter.say(&Notification { config: vote.config.clone(), ..first.clone() }, Form::Whole)?;
        let (answers, _) = voter.hear_out(QUIET)?;
        let _ = writeln!(story, "hears {first}");
        for answer in answers {
            let _ = writeln!(story, "  {answer}");
        }
    }
    voter.say(&vote, Form::Whole)?;
    let mut elector = Learner::join(own.quorum, &script.elector, PATIENCE)?;
    let _ = write!(story, "learner {:x?}\n{}", script.elector, elector.story);
    if !elector.is_up_to_date {
        return Ok(());
    }
    elector.story.clear();
    for claim in &script.learners {
        let learner = Learner::join(own.quorum, claim, PATIENCE)?;
        let _ = write!(story, "learner {claim:x?}\n{}", learner.story);
    }
    let mut cxid = 0;
    for (op, body) in &script.requests {
        cxid += 1;
        let request = Body::new().long(SESSION).int(cxid).int(*op).0;
        let data = [&request[..], body].concat();
        let mut packet = Packet::new(kind::REQUEST, -1, Some(&data));
        packet.identities = Some(vec![("ip".to_owned(), "127.0.0.1".to_owned())]);
        elector.say(&packet)?;
        let _ = writeln!(story, "request {op} {}", body.escape_ascii());
        answered(&mut elector, story)?;
    }
    Ok(())
}

/// A request becomes a proposal, which the learner acknowledges, and is committed.
fn answered(elector: &mut Learner, story: &mut String) -> Result<()> {
    while let Some(packet) = elector.hear(PATIENCE)? {
        let shown = packet.data.as_ref().map(|data| directory::show(data));
        let _ = writeln!(story, "  {} {:#x} {shown:?}", packet.name(), packet.zxid);
        if packet.kind == kind::PROPOSAL {
            elector.say(&Packet::new(kind::ACK, packet.zxid, None))?;
        }
        if packet.kind == kind::COMMIT {
            return Ok(());
        }
    }
    let _ = writeln!(story, "  no commit");
    Ok(())
}
