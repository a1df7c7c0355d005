//! How servers agree on the order of transactions.
//!
//! Pure: what happened goes in through [`Zab::handle`], what to do comes out of [`Zab::poll`]; no
//! sockets, files, clocks or threads. It knows neither disk nor tree: it asks for an append and is told
//! when it is durable.
//!
//! What there is so far is the smallest ensemble: a leader whose quorum is itself. It already decides
//! what a driver may do when, so that a driver has no way to apply, and so to acknowledge, what is not
//! durable.

use std::collections::VecDeque;

use jute::Zxid;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction was prepared and stored in the log, not yet durably.
    Proposed(Zxid),
    /// The log is durable up to here.
    LogSynced(Zxid),
}

/// What the driver must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Apply everything up to here, in order, and answer.
    Commit(Zxid),
}

/// A server's part in the agreement.
#[derive(Debug)]
pub struct Zab {
    /// *committed ≤ synced ≤ proposed*
    proposed: Zxid,
    synced: Zxid,
    committed: Zxid,
    actions: VecDeque<Action>,
}

impl Zab {
    /// Leads a quorum of one, from where recovery ended.
    #[must_use]
    pub fn leading_alone(recovered: Zxid) -> Self {
        Self { proposed: recovered, synced: recovered, committed: recovered, actions: VecDeque::new() }
    }

    /// Takes in what happened.
    ///
    /// # Panics
    /// When a proposal leaves a gap, or the log claims to hold what was not proposed: going on would
    /// lose data.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Proposed(zxid) => {
                assert_eq!(zxid, self.proposed.successor(), "a proposal follows the one before it");
                self.proposed = zxid;
            }
            Event::LogSynced(zxid) => {
                assert!(zxid <= self.proposed, "the log holds nothing that was not proposed");
                self.synced = self.synced.max(zxid);
                if self.synced > self.committed {
                    self.committed = self.synced;
                    self.actions.push_back(Action::Commit(self.committed));
                }
            }
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_before_it_is_durable() {
        let mut zab = Zab::leading_alone(Zxid(5));
        zab.handle(Event::Proposed(Zxid(6)));
        zab.handle(Event::Proposed(Zxid(7)));
        assert_eq!(zab.poll(), None);
        zab.handle(Event::LogSynced(Zxid(6)));
        assert_eq!(zab.poll(), Some(Action::Commit(Zxid(6))));
        zab.handle(Event::LogSynced(Zxid(7)));
        assert_eq!(zab.poll(), Some(Action::Commit(Zxid(7))));
        assert_eq!(zab.poll(), None);
    }

    #[test]
    #[should_panic(expected = "follows the one before it")]
    fn a_gap_stops_the_server() {
        Zab::leading_alone(Zxid(5)).handle(Event::Proposed(Zxid(7)));
    }
}
