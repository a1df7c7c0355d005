//! What the core asks for, done.

use super::{MemberWriter, replaces};
use crate::zab::{Input, Output, Serving, Ticket};

impl MemberWriter {
    /// Does everything that the core asks for by now. Whether it asked for anything. What is said to other members may
    /// stay here until they are [flushed](crate::runtime::peers::Peers::flush).
    pub(super) fn do_outputs(&mut self) -> bool {
        let mut outputs = Vec::new();
        let serves = self.driver.poll(&mut outputs);
        let has_moved = !outputs.is_empty() || !serves.is_empty();
        let appended = self.appended;
        for serving in serves {
            let is_served = serving != Serving::No;
            self.begins = is_served.then_some(serving);
            if !is_served {
                self.set_serving(serving);
            }
        }
        outputs.into_iter().for_each(|output| self.act(output));
        self.log.flush();
        // The others' syncs are what a proposal waits for: it does not wait for what is applied in this turn.
        if self.appended > appended {
            self.peers.flush();
        }
        has_moved
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Append(proposal) => {
                self.appended += 1;
                if self.leads {
                    let bytes = i64::try_from(proposal.payload.len()).unwrap_or(i64::MAX);
                    self.driver.state.standing.count_proposal(bytes);
                }
                self.log.append(proposal);
            }
            Output::Persist(ticket) => self.persist(ticket),
            Output::Replace => self.replace(),
            Output::Notify { to, notification } => self.peers.notify(to, notification),
            Output::Dial => self.peers.dial(),
            Output::Listen(is_open) => self.peers.listen(is_open),
            Output::ToLearner { link, packet } => self.peers.to_learner(link, packet),
            Output::StreamLog { link, diff, after, to } => self.peers.stream_log(link, diff, after, to),
            Output::StreamSnapshot { link } => {
                let zxid = self.peers.stream_snapshot(link);
                let now = self.driver.now();
                self.driver.replica.peer(now, Input::SnapshotBegan { link, zxid });
            }
            Output::CloseLearner { link, why } => self.peers.close_learner(link, &why),
            Output::DialMaster(leader) => {
                // Before the sync, which may tell otherwise (reference: `Learner.syncWithLeader`).
                self.show_members();
                self.peers.dial_master(leader);
            }
            Output::ToMaster(packet) => self.peers.to_master(packet),
            Output::CloseMaster { why } => {
                self.peers.close_master(&why);
                self.forget_master();
            }
            // The replica does these by itself.
            Output::Commit { .. }
            | Output::Serve(_)
            | Output::CollectTouched
            | Output::Submit { .. }
            | Output::Touch(_)
            | Output::Revalidate { .. }
            | Output::Revalidated { .. }
            | Output::Synced { .. }
            | Output::LearnerGone { .. } => {}
        }
    }

    pub(super) fn persist(&mut self, ticket: Ticket) {
        let mut file = None;
        if replaces(&ticket) {
            // One that is under way is of what is about to go.
            self.snapshots.give_up();
            file = self.master.file.take();
        }
        self.log.persist(ticket, self.driver.state.last_zxid(), file);
    }
}
