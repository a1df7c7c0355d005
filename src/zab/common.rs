//! What outlives a role: the disk's facts, the history, the vote, and what is to be done.

use std::collections::VecDeque;

use jute::Zxid;

use super::Options;
use super::durable::{Durables, Effect};
use super::history::History;
use super::members::Members;
use super::message::Proposal;
use super::notification::{Notification, PeerState, VERSION};
use super::output::Output;
use super::vote::Vote;

/// Shared by all roles of a member. *released ≤ committed, logged ≤ asked ≤ the history's last*
#[derive(Debug)]
pub(super) struct Common {
    pub(super) options: Options,
    pub(super) members: Members,
    pub(super) durables: Durables,
    /// Everything that was appended to the log, as far as it is kept in memory.
    pub(super) history: History,
    /// A sync was asked for up to here.
    asked: Zxid,
    /// Known to be committed.
    pub(super) committed: Zxid,
    /// The replica was told to apply up to here.
    released: Zxid,
    /// The round of the election (reference: `logicalclock`).
    pub(super) round: i64,
    /// The outcome of the last election, as others are told.
    pub(super) vote: Vote,
    outputs: VecDeque<Output>,
}

impl Common {
    pub(super) fn new(options: Options, members: Members, durables: Durables, history: History) -> Self {
        let logged = durables.logged();
        Self {
            options,
            members,
            durables,
            history,
            asked: logged,
            committed: logged,
            released: logged,
            round: 0,
            vote: Vote { leader: i64::MIN, zxid: logged, election_epoch: 0, peer_epoch: 0 },
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn take_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Appends a transaction, which was checked to follow the last one.
    pub(super) fn append(&mut self, proposal: Proposal) {
        self.history.push(proposal.clone());
        self.output(Output::Append(proposal));
    }

    /// Asks that everything appended becomes durable.
    pub(super) fn sync(&mut self) {
        let up_to = self.history.last();
        if up_to > self.asked {
            self.asked = up_to;
            let ticket = self.durables.ask(Effect::Log { up_to });
            self.output(Output::Persist(ticket));
        }
    }

    /// Lets the replica apply what is committed and durable here.
    pub(super) fn release(&mut self) {
        let up_to = self.committed.min(self.durables.logged());
        if up_to > self.released {
            self.released = up_to;
            self.output(Output::Commit { up_to });
        }
    }

    /// The transaction after `zxid`, if the replica was told to apply it.
    pub(super) fn released_after(&self, zxid: Zxid) -> Option<&Proposal> {
        self.history.after(zxid).filter(|proposal| proposal.zxid <= self.released)
    }

    /// The log was cut after this one.
    pub(super) fn cut(&mut self, to: Zxid) {
        self.history.cut(to);
        self.asked = to;
        self.committed = self.committed.min(to);
        self.released = self.released.min(to);
    }

    /// A snapshot has taken the place of everything.
    pub(super) fn restart(&mut self, zxid: Zxid) {
        self.history.restart(zxid);
        (self.asked, self.committed, self.released) = (zxid, zxid, zxid);
    }

    /// What others are told.
    pub(super) fn notification(&self, state: PeerState, vote: Vote, election_epoch: i64) -> Notification {
        let Vote { leader, zxid, peer_epoch, .. } = vote;
        let config = self.members.text.clone();
        Notification { state, leader, zxid, election_epoch, peer_epoch, version: VERSION, config }
    }
}
