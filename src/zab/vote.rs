//! Votes and their order (reference: `Vote`, `FastLeaderElection.totalOrderPredicate`).

use jute::Zxid;

use super::durable::OwnVote;
use super::ids::Sid;
use super::members::Members;
use super::notification::{Notification, PeerState};

/// A vote for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) leader: Sid,
    /// The last transaction of that server.
    pub(super) zxid: Zxid,
    /// The round of the election.
    pub(super) election_epoch: i64,
    /// The current epoch of that server.
    pub(super) peer_epoch: i64,
}

impl Vote {
    pub(super) const fn own(own: OwnVote, election_epoch: i64) -> Self {
        Self { leader: own.leader(), zxid: own.zxid(), election_epoch, peer_epoch: own.peer_epoch() }
    }

    pub(super) const fn of(notification: &Notification) -> Self {
        let Notification { leader, zxid, election_epoch, peer_epoch, .. } = notification;
        Self { leader: *leader, zxid: *zxid, election_epoch: *election_epoch, peer_epoch: *peer_epoch }
    }

    /// Whether this one wins over the other: the newer history, then the larger number. A server that weighs
    /// nothing never wins.
    pub(super) fn beats(&self, other: &Self, members: &Members) -> bool {
        let rank = |vote: &Self| (vote.peer_epoch, vote.zxid, vote.leader);
        members.has_weight(self.leader) && rank(self) > rank(other)
    }
}

/// What a server has said of its vote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) vote: Vote,
    pub(super) state: PeerState,
    pub(super) version: i32,
}

impl Heard {
    pub(super) const fn of(notification: &Notification) -> Self {
        Self { vote: Vote::of(notification), state: notification.state, version: notification.version }
    }

    /// Whether both are for the same outcome. Out of an election only leader and epoch count, and before 3.4.6
    /// only the leader (reference: `Vote.equals`).
    pub(super) fn agrees(&self, other: &Self) -> bool {
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return self.vote == other.vote;
        }
        let is_old = |heard: &Self| heard.version <= 0;
        self.vote.leader == other.vote.leader
            && (is_old(self) != is_old(other) || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}
