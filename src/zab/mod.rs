//! How servers agree on the order of transactions.
//!
//! Pure: what happened goes in through [`Zab::input`], what to do comes out of [`Zab::poll`]; no sockets,
//! files, clocks or threads. It knows neither disk nor tree: it asks for the log to be made durable with a
//! [`Ticket`] and is handed the ticket back when that is done.
//!
//! What there is so far is the smallest ensemble: a leader whose quorum is itself. It already decides what a
//! driver may do when, so that a driver has no way to apply, and so to acknowledge, what is not durable.

mod durable;

use std::collections::VecDeque;

use jute::Zxid;

pub use self::durable::{Effect, Ticket};

use self::durable::Durables;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// These transactions, of consecutive zxids, were prepared and appended to the log, not yet durably.
    Appended {
        /// The first of them.
        first: Zxid,
        /// The last of them.
        last: Zxid,
    },
    /// The disk has done what the ticket asks for.
    Done(Ticket),
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Make something durable, and hand the ticket back.
    Persist(Ticket),
    /// Apply everything up to here, in order, and answer.
    Commit {
        /// The last transaction to apply.
        up_to: Zxid,
    },
}

/// A server's part in the agreement.
#[derive(Debug)]
pub struct Zab {
    /// *committed ≤ durable ≤ proposed*
    proposed: Zxid,
    durables: Durables,
    committed: Zxid,
    outputs: VecDeque<Output>,
}

impl Zab {
    /// Leads a quorum of one, from where recovery ended.
    #[must_use]
    pub const fn leading_alone(recovered: Zxid) -> Self {
        Self {
            proposed: recovered,
            durables: Durables::recovered(recovered),
            committed: recovered,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    ///
    /// # Panics
    /// When a proposal leaves a gap, or a ticket comes back out of turn: going on would lose data.
    pub fn input(&mut self, input: Input) {
        match input {
            Input::Appended { first, last } => {
                assert_eq!(first, self.proposed.successor(), "a proposal follows the one before it");
                assert!(first <= last, "a batch of proposals is not empty");
                self.proposed = last;
                let ticket = self.durables.ask(Effect::Log { up_to: last });
                self.outputs.push_back(Output::Persist(ticket));
            }
            Input::Done(ticket) => {
                self.durables.confirm(ticket);
                let durable = self.durables.logged();
                if durable > self.committed {
                    self.committed = durable;
                    self.outputs.push_back(Output::Commit { up_to: durable });
                }
            }
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persist(zab: &mut Zab) -> Ticket {
        match zab.poll() {
            Some(Output::Persist(ticket)) => ticket,
            other => panic!("a ticket and not {other:?}"),
        }
    }

    #[test]
    fn nothing_is_committed_before_it_is_durable() {
        let mut zab = Zab::leading_alone(Zxid(5));
        zab.input(Input::Appended { first: Zxid(6), last: Zxid(6) });
        let first = persist(&mut zab);
        zab.input(Input::Appended { first: Zxid(7), last: Zxid(9) });
        let second = persist(&mut zab);
        assert_eq!(zab.poll(), None);
        zab.input(Input::Done(first));
        assert_eq!(zab.poll(), Some(Output::Commit { up_to: Zxid(6) }));
        zab.input(Input::Done(second));
        assert_eq!(zab.poll(), Some(Output::Commit { up_to: Zxid(9) }));
        assert_eq!(zab.poll(), None);
    }

    #[test]
    #[should_panic(expected = "follows the one before it")]
    fn a_gap_stops_the_server() {
        Zab::leading_alone(Zxid(5)).input(Input::Appended { first: Zxid(7), last: Zxid(7) });
    }

    #[test]
    #[should_panic(expected = "in the order they were made")]
    fn a_ticket_out_of_turn_stops_the_server() {
        let mut zab = Zab::leading_alone(Zxid(5));
        zab.input(Input::Appended { first: Zxid(6), last: Zxid(6) });
        zab.input(Input::Appended { first: Zxid(7), last: Zxid(7) });
        let _first = persist(&mut zab);
        let second = persist(&mut zab);
        zab.input(Input::Done(second));
    }
}
