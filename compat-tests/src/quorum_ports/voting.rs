//! The server votes: what it answers on the election port to votes of every kind.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::history::History;
use super::seat::{Layout, Seat};
use super::{PATIENCE, QUIET, Side};
use crate::acknowledged::Random;
use crate::peer::{Form, Heard, Notification, State, Voter};

/// Votes of a conversation.
const VOTES: u64 = 6;

/// What is said on the election port.
#[derive(Clone, Debug)]
pub struct Script {
    /// Which voter says it.
    pub sid: i64,
    /// Votes, with their form.
    pub votes: Vec<(Notification, Form)>,
}

impl Script {
    /// From a seed.
    pub fn generate(random: &mut Random, layout: &Layout, history: &History) -> Self {
        let others = layout.others();
        let sid = others[random.below(others.len() as u64) as usize];
        let third = others.iter().copied().find(|other| *other != sid).unwrap_or(sid);
        let votes = (0..1 + random.below(VOTES)).map(|_| vote(random, sid, third, history)).collect();
        Self { sid, votes }
    }
}

fn vote(random: &mut Random, sid: i64, third: i64, history: &History) -> (Notification, Form) {
    let last = history.last();
    // Never the server itself: with this vote it would be elected.
    let leader = [sid, sid, third, 4, 99][random.below(5) as usize];
    let zxid = match random.below(6) {
        0 => -1,
        1 => 0,
        2 => last + 1,
        3 => last.saturating_sub(1).max(0),
        4 => ((last >> 32) + 1) << 32,
        _ => last,
    };
    let epoch = history.current + [-1, 0, 0, 1, 2][random.below(5) as usize];
    let round = [0, 1, 1, 1, 2, 3, 9][random.below(7) as usize];
    let state = match random.below(8) {
        0 => State::Following,
        1 => State::Observing,
        2 if leader == sid => State::Leading,
        _ => State::Looking,
    };
    let form = [Form::Whole, Form::Whole, Form::Middle, Form::Short][random.below(4) as usize];
    (Notification { state, leader, zxid, round, epoch, config: Vec::new() }, form)
}

/// Plays a script against a server and takes down what it says.
pub fn play(side: &Side, layout: &Layout, history: &History, script: &Script) -> Result<String> {
    let mut story = String::new();
    let mut voter = Voter::listen(script.sid, layout.of(script.sid).election)?;
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
    if let Some(handshake) = voter.meet(layout.sid, layout.of(layout.sid).election, PATIENCE)? {
        let _ = writeln!(story, "dials: {handshake}");
    }
    let Heard::Some(first) = voter.hear(PATIENCE)? else { anyhow::bail!("it does not vote") };
    let _ = writeln!(story, "votes: {first}");
    let mut current = first.clone();
    for (vote, form) in &script.votes {
        let vote = Notification { config: first.config.clone(), ..vote.clone() };
        voter.say(&vote, *form)?;
        let (answers, is_open) = voter.hear_out(QUIET)?;
        // It also repeats itself by its timers: what counts is what it says last.
        current = answers.last().cloned().unwrap_or(current);
        let _ = writeln!(story, "hears {form:?} {vote}\n  {current}");
        if !is_open {
            let _ = writeln!(story, "  closed");
            break;
        }
        // Two of three agree: what follows depends on when it is said.
        if current.state != State::Looking || (current.leader, current.round) == (vote.leader, vote.round) {
            break;
        }
    }
    Ok(())
}
