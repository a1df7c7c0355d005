//! The differential run: one stream of requests, two servers, every byte of every answer.
//!
//! A [`generate::script`] is played on the reference and on the judged server in lock step
//! ([`pair::Pair`]). What comes back is made comparable ([`normal`]) and compared: replies, events and
//! their place between the replies, closes. At the end of a seed the words and the whole tree are
//! compared ([`settle`]), at the end of a pair of servers their logs ([`logs`]). A stream that makes
//! them part is made short ([`shrink`]) and printed as a [`script`] that can be played again.
//!
//! Whether it would notice is shown with servers that have a fault on purpose ([`faults`]).
//!
//! What is known to differ stands in `exceptions.toml` ([`exceptions`]) and nowhere else.

pub mod connection;
pub mod coverage;
pub mod exceptions;
pub mod faults;
pub mod generate;
pub mod logs;
pub mod normal;
pub mod pair;
mod parts;
pub mod random;
mod requests;
pub mod run;
pub mod script;
pub mod settle;
pub mod shrink;
pub mod side;
mod words;

use anyhow::Result;

use self::pair::{Mismatch, Pair, Setup};
use crate::seat::Seat;

/// Plays a script from a file on a fresh pair, looking closely.
pub fn replay(text: &str, seat: Option<Seat>) -> Result<Option<Mismatch>> {
    play_alone(&Setup::in_seat(seat)?, &script::parse(text)?)
}

/// Plays a script on a fresh pair, looking closely.
pub fn play_alone(setup: &Setup, steps: &[script::Step]) -> Result<Option<Mismatch>> {
    let mut pair = Pair::start(setup)?;
    match pair.play(steps, true)? {
        None => pair.settle(steps.len()),
        mismatch => Ok(mismatch),
    }
}
