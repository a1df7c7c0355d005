//! One round of fast leader election (reference: `FastLeaderElection.lookForLeader`).

use std::collections::{BTreeMap, BTreeSet};

use jute::Zxid;

use super::common::Common;
use super::durable::OwnVote;
use super::ids::{Ms, Sid};
use super::notification::{Notification, PeerState};
use super::output::Output;
use super::vote::{Heard, Vote};

/// How long a majority waits for a better vote (reference: `FastLeaderElection.finalizeWait`).
const FINALIZE_MS: Ms = 200;

/// Rounds that no ensemble gets to. Who speaks of a later one would leave the others none to go on with.
const ROUND_MAX: i64 = 1 << 48;

/// A server that looks for a leader.
#[derive(Debug)]
pub(super) struct Election {
    own: OwnVote,
    proposal: Vote,
    /// Votes of this round.
    received: BTreeMap<Sid, Heard>,
    /// What those say who have a leader.
    settled: BTreeMap<Sid, Heard>,
    /// The wait before all are asked again, and when it ends.
    interval_ms: Ms,
    ask_at: Ms,
    /// A majority agrees: when it has waited long enough.
    ends_at: Option<Ms>,
}

impl Election {
    /// Begins a new round.
    pub(super) fn begin(common: &mut Common, now: Ms) -> Self {
        common.round += 1;
        let options = &common.options;
        let own = if common.members.is_voter(options.me) {
            OwnVote::of(&common.durables, options.me)
        } else {
            OwnVote::without_vote(&common.durables, options.is_observer)
        };
        let interval_ms = options.notification_ms.0;
        let mut election = Self {
            own,
            proposal: Vote::own(own, common.round),
            received: BTreeMap::new(),
            settled: BTreeMap::new(),
            interval_ms,
            ask_at: now + interval_ms,
            ends_at: None,
        };
        tracing::info!(
            round = common.round, zxid = %own.zxid(), epoch = own.peer_epoch(), "looking for a leader"
        );
        election.tell_all(common, now);
        election
    }

    /// What this server votes for now.
    pub(super) const fn proposal(&self) -> Vote {
        self.proposal
    }

    /// Who voted for this server.
    pub(super) fn supporters(&self, of: Sid) -> BTreeSet<Sid> {
        let votes = self.received.iter().filter(|(_, heard)| heard.vote.leader == of);
        votes.map(|(sid, _)| *sid).collect()
    }

    pub(super) fn deadline(&self) -> Ms {
        self.ends_at.map_or(self.ask_at, |ends_at| ends_at.min(self.ask_at))
    }

    /// Time has passed. The outcome, if there is one.
    pub(super) fn tick(&mut self, common: &mut Common, now: Ms) -> Option<Vote> {
        if self.ends_at.is_some_and(|ends_at| ends_at <= now) {
            return Some(self.proposal);
        }
        if self.ask_at <= now {
            common.output(Output::Dial);
            self.tell_all(common, now);
            self.interval_ms = (self.interval_ms * 2).min(common.options.notification_ms.1);
            self.ask_at = now + self.interval_ms;
        }
        None
    }

    /// A voter said something. The outcome, if that settles it.
    pub(super) fn notified(
        &mut self,
        common: &mut Common,
        now: Ms,
        from: Sid,
        notification: &Notification,
    ) -> Option<Vote> {
        if !common.members.is_voter(notification.leader) {
            tracing::warn!(
                from,
                leader = notification.leader,
                "ignoring a vote for a server that is no voting member"
            );
            return None;
        }
        if !(0..ROUND_MAX).contains(&notification.election_epoch) {
            let round = notification.election_epoch;
            tracing::warn!(from, round, "ignoring a vote of a round that cannot be");
            return None;
        }
        // Somebody is there: the wait for an answer begins anew, as it does for the reference.
        self.ask_at = now + self.interval_ms;
        match notification.state {
            PeerState::Looking => {
                self.vote_came(common, now, from, notification);
                None
            }
            PeerState::Observing => None,
            PeerState::Following | PeerState::Leading => self.leader_is_known(common, from, notification),
        }
    }

    fn vote_came(&mut self, common: &mut Common, now: Ms, from: Sid, notification: &Notification) {
        // Who has nothing to be counted on neither elects nor is elected.
        if self.own.zxid() == Zxid(-1) || notification.zxid == Zxid(-1) {
            return;
        }
        let vote = Vote::of(notification);
        if vote.election_epoch > common.round {
            common.round = vote.election_epoch;
            self.received.clear();
            let own = Vote::own(self.own, common.round);
            let is_better = vote.beats(&own, &common.members);
            self.proposal = if is_better { vote } else { own };
            self.tell_all(common, now);
        } else if vote.election_epoch < common.round {
            return;
        } else if vote.beats(&self.proposal, &common.members) {
            self.proposal = vote;
            self.tell_all(common, now);
        }
        self.received.insert(from, Heard::of(notification));
        self.count(common, now);
    }

    /// Whether a majority votes as this server does.
    fn count(&mut self, common: &Common, now: Ms) {
        let agreed = Heard { vote: self.proposal, state: PeerState::Looking, version: 2 };
        if common.members.is_quorum(&who_agree(&self.received, &agreed)) {
            self.ends_at.get_or_insert(now + FINALIZE_MS);
        } else {
            self.ends_at = None;
        }
    }

    /// A follower or leader told of the leader it has (reference: `receivedFollowingNotification`).
    fn leader_is_known(
        &mut self,
        common: &mut Common,
        from: Sid,
        notification: &Notification,
    ) -> Option<Vote> {
        let heard = Heard::of(notification);
        let is_outcome = |votes: &BTreeMap<Sid, Heard>, common: &Common| {
            common.members.is_quorum(&who_agree(votes, &heard)) && leads(votes, &heard.vote, common)
        };
        if heard.vote.election_epoch == common.round {
            self.received.insert(from, heard);
            if is_outcome(&self.received, common) {
                return Some(heard.vote);
            }
        }
        self.settled.insert(from, heard);
        if is_outcome(&self.settled, common) {
            common.round = heard.vote.election_epoch;
            return Some(heard.vote);
        }
        None
    }

    /// Sends this server's vote to every voter, and counts it.
    fn tell_all(&mut self, common: &mut Common, now: Ms) {
        let me = common.options.me;
        let notification = common.notification(PeerState::Looking, self.proposal, common.round);
        let voters: Vec<_> = common.members.voters.iter().copied().filter(|sid| *sid != me).collect();
        for to in voters {
            common.output(Output::Notify { to, notification: notification.clone() });
        }
        if common.members.is_voter(me) && self.own.zxid() != Zxid(-1) {
            self.received.insert(me, Heard::of(&notification));
            self.count(common, now);
        }
    }
}

fn who_agree(votes: &BTreeMap<Sid, Heard>, agreed: &Heard) -> BTreeSet<Sid> {
    votes.iter().filter(|(_, heard)| heard.agrees(agreed)).map(|(sid, _)| *sid).collect()
}

/// Whether the server that is voted for says itself that it leads (reference: `checkLeader`).
fn leads(votes: &BTreeMap<Sid, Heard>, vote: &Vote, common: &Common) -> bool {
    if vote.leader == common.options.me {
        return common.round == vote.election_epoch;
    }
    votes.get(&vote.leader).is_some_and(|heard| heard.state == PeerState::Leading)
}
