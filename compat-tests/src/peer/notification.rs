//! Votes as they go over the election port.

use std::fmt;

use super::wire::{Cursor, Partial};
use crate::wire::Body;

const SHORT: usize = 28;
const MIDDLE: usize = 40;
const LONGEST: i32 = 512 << 10;

/// What the sender of a vote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
    /// It observes.
    Observing,
}

const STATES: [State; 4] = [State::Looking, State::Following, State::Leading, State::Observing];

/// How a vote is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 28 bytes, as before 3.4.
    Short,
    /// 40 bytes, as before 3.5.
    Middle,
    /// With the text of a configuration.
    Whole,
}

/// One vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The sender's state.
    pub state: State,
    /// Whom it votes for.
    pub leader: i64,
    /// That server's last transaction.
    pub zxid: i64,
    /// The sender's round of the election.
    pub round: i64,
    /// That server's epoch.
    pub epoch: i64,
    /// The configuration the sender has.
    pub config: Vec<u8>,
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} leader {} zxid {:#x} round {} epoch {:#x} config {}",
            self.state,
            self.leader,
            self.zxid,
            self.round,
            self.epoch,
            self.config.escape_ascii()
        )
    }
}

impl Notification {
    /// As a frame.
    #[must_use]
    pub fn encode(&self, form: Form) -> Vec<u8> {
        let state = STATES.iter().position(|state| *state == self.state).unwrap_or(0) as i32;
        let body = Body::new().int(state).long(self.leader).long(self.zxid).long(self.round);
        let body = match form {
            Form::Short => body,
            Form::Middle => body.long(self.epoch).int(1),
            Form::Whole => body.long(self.epoch).int(2).buffer(&self.config),
        };
        crate::wire::framed(&body.0)
    }

    /// From the front of what came.
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Partial> {
        let length = cursor.int()?;
        if !(SHORT as i32..=LONGEST).contains(&length) {
            return Err(Partial::Wrong(format!("a vote of {length} bytes")));
        }
        let mut cursor = Cursor::new(cursor.take(length as usize)?);
        let whole = |partial| match partial {
            Partial::Short => Partial::Wrong(String::from("a vote cut short")),
            wrong => wrong,
        };
        let state = cursor.int().map_err(whole)?;
        let known = usize::try_from(state).ok().and_then(|at| STATES.get(at)).copied();
        let state = known.ok_or_else(|| Partial::Wrong(format!("the state {state}")))?;
        let leader = cursor.long().map_err(whole)?;
        let zxid = cursor.long().map_err(whole)?;
        let round = cursor.long().map_err(whole)?;
        if length as usize <= SHORT {
            return Ok(Self { state, leader, zxid, round, epoch: zxid >> 32, config: Vec::new() });
        }
        let epoch = cursor.long().map_err(whole)?;
        let version = cursor.int().map_err(whole)?;
        let config = match (length as usize, version) {
            (MIDDLE, _) => Vec::new(),
            (_, 2) => cursor.buffer().map_err(whole)?.unwrap_or_default().to_vec(),
            _ => return Err(Partial::Wrong(format!("a vote of version {version}"))),
        };
        Ok(Self { state, leader, zxid, round, epoch, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back() {
        let vote = Notification {
            state: State::Leading,
            leader: 3,
            zxid: 0x2_0000_0001,
            round: 7,
            epoch: 2,
            config: b"version=0".to_vec(),
        };
        for form in [Form::Short, Form::Middle, Form::Whole] {
            let bytes = vote.encode(form);
            let read = Notification::parse(&mut Cursor::new(&bytes)).expect("a vote");
            let config = if form == Form::Whole { vote.config.clone() } else { Vec::new() };
            assert_eq!(read, Notification { config, ..vote.clone() });
        }
    }
}
