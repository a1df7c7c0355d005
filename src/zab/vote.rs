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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::members::testing::voters;

    const VOTE: Vote = Vote { leader: 3, zxid: Zxid(7), election_epoch: 1, peer_epoch: 2 };

    const fn heard(state: PeerState, version: i32, vote: Vote) -> Heard {
        Heard { vote, state, version }
    }

    /// Servers of before 3.4.6 have a vote of another epoch than those after it, for the same leader.
    #[test]
    fn epochs_are_compared_where_both_servers_are_old_or_both_are_new() {
        let next = Vote { peer_epoch: 3, ..VOTE };
        let agree = |one, other| {
            heard(PeerState::Leading, one, VOTE).agrees(&heard(PeerState::Following, other, next))
        };
        assert!(agree(0, 1) && agree(1, 0));
        assert!(!agree(1, 1) && !agree(0, 0) && !agree(0, -1) && !agree(1, 2));
        let later = Vote { zxid: Zxid(9), election_epoch: 4, ..VOTE };
        let (one, other) = (heard(PeerState::Leading, 1, VOTE), heard(PeerState::Following, 1, later));
        assert!(one.agrees(&other), "the round and the zxid of then do not matter any more");
        assert!(!one.agrees(&heard(PeerState::Following, 1, Vote { leader: 1, ..VOTE })));
        assert!(!one.agrees(&heard(PeerState::Following, 0, Vote { leader: 1, ..VOTE })));
    }

    #[test]
    fn in_an_election_everything_of_a_vote_counts() {
        let one = heard(PeerState::Looking, 1, VOTE);
        assert!(one.agrees(&heard(PeerState::Following, 0, VOTE)));
        let others = [
            Vote { zxid: Zxid(9), ..VOTE },
            Vote { election_epoch: 4, ..VOTE },
            Vote { peer_epoch: 3, ..VOTE },
            Vote { leader: 1, ..VOTE },
        ];
        for other in others {
            assert!(!one.agrees(&heard(PeerState::Following, 1, other)));
            assert!(!heard(PeerState::Following, 1, other).agrees(&one));
        }
    }

    #[test]
    fn a_vote_does_not_beat_itself() {
        assert!(!VOTE.beats(&VOTE, &voters(3)));
        assert!(Vote { leader: 4, ..VOTE }.beats(&VOTE, &voters(4)));
    }
}
