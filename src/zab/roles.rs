//! From one role to the next.

use super::election::Election;
use super::ids::Ms;
use super::leading::Leading;
use super::learning::Learning;
use super::options::{Options, part_of};
use super::output::{Output, Serving};
use super::vote::Vote;
use super::{Role, Zab};

impl Zab {
    /// The election has ended.
    pub(super) fn elected(&mut self, now: Ms, vote: Vote) {
        let common = &mut self.common;
        common.vote = vote;
        let Role::Looking(election) = &self.role else { return };
        self.role = if vote.leader == common.options.me {
            let electors = election.supporters(vote.leader);
            Role::Leading(Leading::begin(common, now, electors))
        } else {
            Role::Learning(Learning::begin(common, now, vote.leader))
        };
    }

    /// Ends the role, and looks for a leader once the disk is quiet.
    pub(super) fn leave(&mut self, why: &str, now: Ms) {
        match &self.role {
            Role::Leading(_) => {
                tracing::warn!("no longer leading: {why}");
                self.common.output(Output::Serve(Serving::No));
                self.common.output(Output::Listen(false));
            }
            Role::Learning(learning) => {
                tracing::warn!(leader = learning.leader(), "no longer learning: {why}");
                self.common.output(Output::Serve(Serving::No));
                self.common.output(Output::CloseMaster { why: why.to_owned() });
                if self.common.options.is_observer {
                    let Options { me, tuning, .. } = &self.common.options;
                    self.rests_until = now + part_of(tuning.observer_looks_ms, *me, now);
                }
            }
            Role::Alone { .. } | Role::Settling | Role::Looking(_) => return,
        }
        self.common.sync();
        self.role = Role::Settling;
        self.settle(now);
    }

    /// Begins an election if nothing asked of the disk is open: whatever is said then is a fact.
    pub(super) fn settle(&mut self, now: Ms) {
        if !self.common.durables.is_settled() {
            return;
        }
        // A sync that broke off may have left transactions of an epoch whose begin is here, and which was not made
        // current: as at a start, it is now, so that this server claims what it has.
        let durables = &mut self.common.durables;
        let epoch = durables.logged().epoch();
        if epoch > durables.current()
            && let Some(covered) = durables.covered(durables.logged())
        {
            let ticket = durables.ask_current(epoch, covered);
            self.common.output(Output::Persist(ticket));
            return;
        }
        if now < self.rests_until {
            return;
        }
        self.role = Role::Looking(Election::begin(&mut self.common, now));
        for (from, notification) in std::mem::take(&mut self.held) {
            self.notified(now, from, notification);
        }
    }
}
