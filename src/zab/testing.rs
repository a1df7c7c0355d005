//! One member, and what scripted peers say to it.

use bytes::Bytes;
use jute::{SessionId, Zxid};

use super::members::testing::voters;
use super::*;

pub(super) const E: i64 = 1 << 32;
pub(super) const TICK: Ms = 100;

/// A member of three, with a disk that does everything at once.
pub(super) struct Member {
    pub(super) zab: Zab,
    pub(super) now: Ms,
    pub(super) said: Vec<Output>,
    /// While its disk does nothing, what waits for it.
    pub(super) stuck: Option<Vec<Ticket>>,
}

pub(super) fn proposal(zxid: i64) -> Proposal {
    Proposal { zxid: Zxid(zxid), payload: Bytes::from_static(b"txn") }
}

pub(super) fn notification(state: PeerState, vote: (Sid, i64, i64), round: i64) -> Notification {
    let (leader, zxid, peer_epoch) = vote;
    let (version, config) = (2, Bytes::new());
    Notification { state, leader, zxid: Zxid(zxid), election_epoch: round, peer_epoch, version, config }
}

impl Member {
    /// Number 2 of three, which has this of epoch 1.
    pub(super) fn start(logged: i64, is_trusted: bool, is_observer: bool) -> Self {
        Self::tuned(logged, is_trusted, is_observer, Tuning::default())
    }

    pub(super) fn tuned(logged: i64, is_trusted: bool, is_observer: bool, tuning: Tuning) -> Self {
        Self::of(3, if is_observer { 4 } else { 2 }, logged, is_trusted, tuning)
    }

    /// The only voter, which has this of epoch 1. It leads epoch 2.
    pub(super) fn leading_alone(logged: i64) -> Self {
        let mut member = Self::of(1, 1, logged, true, Tuning::default());
        member.pass(201);
        assert_eq!((member.zab.standing().is_serving, member.zab.standing().epoch), (true, 2));
        member
    }

    /// A member of so many voters and an observer, number 4.
    pub(super) fn of(count: Sid, me: Sid, logged: i64, is_trusted: bool, tuning: Tuning) -> Self {
        let mut members = voters(count);
        members.observers.insert(4);
        let is_observer = me == 4;
        let options = Options {
            me,
            is_observer,
            tick_ms: TICK,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 60_000),
            force_snapshot: false,
            tuning,
        };
        let logged = Zxid(logged);
        let tail: Vec<_> = (1..=logged.counter()).map(|n| proposal(E + i64::from(n))).collect();
        let recovered = Recovered { logged, accepted: 1, current: 1, is_trusted, tail };
        let zab = Zab::member(options, members, recovered, 0);
        let mut member = Self { zab, now: 0, said: Vec::new(), stuck: None };
        member.settle();
        member
    }

    pub(super) fn settle(&mut self) {
        while let Some(output) = self.zab.poll() {
            match output {
                Output::Persist(ticket) => match &mut self.stuck {
                    Some(stuck) => stuck.push(ticket),
                    None => self.zab.input(self.now, Input::Done(ticket)),
                },
                Output::CollectTouched => {
                    self.zab.input(self.now, Input::Touched(vec![(SessionId(9), 4000)]));
                }
                output => self.said.push(output),
            }
        }
    }

    /// The disk goes on.
    pub(super) fn disk_goes_on(&mut self) -> &mut Self {
        for ticket in self.stuck.take().unwrap_or_default() {
            self.zab.input(self.now, Input::Done(ticket));
            self.settle();
        }
        self
    }

    pub(super) fn hear(&mut self, input: Input) -> &mut Self {
        self.zab.input(self.now, input);
        self.settle();
        self
    }

    /// Time passes, ticked through.
    pub(super) fn pass(&mut self, ms: Ms) -> &mut Self {
        let end = self.now + ms;
        while let Some(at) = self.zab.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.hear(Input::Tick);
            let is_done = self.zab.deadline().is_none_or(|next| next > self.now);
            assert!(is_done, "what is due is done at its time");
        }
        self.now = end;
        self
    }

    pub(super) fn vote(&mut self, from: Sid, notification: Notification) -> &mut Self {
        self.hear(Input::Notified { from, notification })
    }

    /// What was said since the last call.
    pub(super) fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    pub(super) fn votes_to(&mut self, sid: Sid) -> Vec<Notification> {
        let of = |output: Output| match output {
            Output::Notify { to, notification } if to == sid => Some(notification),
            _ => None,
        };
        self.take().into_iter().filter_map(of).collect()
    }

    pub(super) fn packets(&mut self, of: u64) -> Vec<ToLearner> {
        let to = |output: Output| match output {
            Output::ToLearner { link: Link(link), packet } if link == of => Some(packet),
            _ => None,
        };
        self.take().into_iter().filter_map(to).collect()
    }

    pub(super) fn packets_up(&mut self) -> Vec<ToMaster> {
        let to = |output: Output| if let Output::ToMaster(packet) = output { Some(packet) } else { None };
        self.take().into_iter().filter_map(to).collect()
    }

    pub(super) fn learner(&mut self, link: u64, sid: Sid, accepted_epoch: i64) -> &mut Self {
        let hello = Hello {
            is_observer: sid >= 4,
            accepted_epoch,
            sid: Some(sid),
            protocol: PROTOCOL,
            config_version: 0,
        };
        self.hear(Input::LearnerCame { link: Link(link), hello })
    }

    pub(super) fn said(&mut self, link: u64, said: FromLearner) -> &mut Self {
        self.hear(Input::LearnerSaid { link: Link(link), said })
    }

    /// Elected by server 1, and serving with it as its follower over link 1, in epoch 2.
    pub(super) fn leading() -> Self {
        Self::leading_tuned(Tuning::default())
    }

    pub(super) fn leading_tuned(tuning: Tuning) -> Self {
        let mut member = Self::tuned(E + 3, true, false, tuning);
        member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
        member.learner(1, 1, 1).said(1, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
        member.said(1, FromLearner::Ack(Zxid(2 * E)));
        assert!(member.is_closed(1).is_none());
        assert_eq!(member.zab.standing().epoch, 2);
        assert!(member.zab.standing().is_serving);
        member
    }

    pub(super) fn is_closed(&self, of: u64) -> Option<&str> {
        self.said.iter().find_map(|output| match output {
            Output::CloseLearner { link: Link(link), why } if *link == of => Some(why.as_str()),
            _ => None,
        })
    }

    /// Follows server 3, of epoch 2, having been sent what is given between DIFF and NEWLEADER.
    pub(super) fn following(sync: Vec<FromMaster>) -> Self {
        let mut member = Self::start(E + 3, true, false);
        member.follow_again(1);
        for said in sync {
            member.master(said);
        }
        member
    }

    /// Finds server 3 leading epoch 2, by an election of this round.
    pub(super) fn follow_again(&mut self, round: i64) {
        let vote = (3, E + 9, 1);
        self.vote(3, notification(PeerState::Leading, vote, round));
        self.vote(1, notification(PeerState::Following, vote, round)).hear(Input::MasterCame);
        self.master(FromMaster::LeaderInfo { epoch: 2, protocol: PROTOCOL });
    }

    pub(super) fn master(&mut self, said: FromMaster) -> &mut Self {
        self.hear(Input::MasterSaid(said))
    }

    pub(super) fn left_master(&self) -> Option<&str> {
        self.said.iter().find_map(|output| match output {
            Output::CloseMaster { why } => Some(why.as_str()),
            _ => None,
        })
    }
}

pub(super) fn new_leader() -> FromMaster {
    FromMaster::NewLeader { zxid: Zxid(2 * E), config: None }
}
