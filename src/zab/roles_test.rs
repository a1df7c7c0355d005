//! One member among scripted peers: what it says to whom in which state, and what it refuses. The numbers are those of
//! the traps in the description of the quorum protocols.

use bytes::Bytes;
use jute::{SessionId, Zxid};

use super::members::testing::voters;
use super::*;

const E: i64 = 1 << 32;
const TICK: Ms = 100;

/// A member of three, with a disk that does everything at once.
struct Member {
    zab: Zab,
    now: Ms,
    said: Vec<Output>,
}

fn proposal(zxid: i64) -> Proposal {
    Proposal { zxid: Zxid(zxid), payload: Bytes::from_static(b"txn") }
}

fn notification(state: PeerState, vote: (Sid, i64, i64), round: i64) -> Notification {
    let (leader, zxid, peer_epoch) = vote;
    let (version, config) = (2, Bytes::new());
    Notification { state, leader, zxid: Zxid(zxid), election_epoch: round, peer_epoch, version, config }
}

impl Member {
    /// Number 2 of three, which has this of epoch 1.
    fn start(logged: i64, is_trusted: bool, is_observer: bool) -> Self {
        let mut members = voters(3);
        members.observers.insert(4);
        let options = Options {
            me: if is_observer { 4 } else { 2 },
            is_observer,
            tick_ms: TICK,
            init_limit: 10,
            sync_limit: 5,
            notification_ms: (200, 60_000),
            force_snapshot: false,
        };
        let logged = Zxid(logged);
        let tail: Vec<_> = (1..=logged.counter()).map(|n| proposal(E + i64::from(n))).collect();
        let recovered = Recovered { logged, accepted: 1, current: 1, is_trusted, tail };
        let mut member = Self { zab: Zab::member(options, members, recovered, 0), now: 0, said: Vec::new() };
        member.settle();
        member
    }

    fn settle(&mut self) {
        while let Some(output) = self.zab.poll() {
            match output {
                Output::Persist(ticket) => self.zab.input(self.now, Input::Done(ticket)),
                Output::CollectTouched => {
                    self.zab.input(self.now, Input::Touched(vec![(SessionId(9), 4000)]));
                }
                output => self.said.push(output),
            }
        }
    }

    fn hear(&mut self, input: Input) -> &mut Self {
        self.zab.input(self.now, input);
        self.settle();
        self
    }

    /// Time passes, ticked through.
    fn pass(&mut self, ms: Ms) -> &mut Self {
        let end = self.now + ms;
        while let Some(at) = self.zab.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now + 1);
            self.hear(Input::Tick);
        }
        self.now = end;
        self
    }

    fn vote(&mut self, from: Sid, notification: Notification) -> &mut Self {
        self.hear(Input::Notified { from, notification })
    }

    /// What was said since the last call.
    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    fn votes_to(&mut self, sid: Sid) -> Vec<Notification> {
        let of = |output: Output| match output {
            Output::Notify { to, notification } if to == sid => Some(notification),
            _ => None,
        };
        self.take().into_iter().filter_map(of).collect()
    }

    fn packets(&mut self, of: u64) -> Vec<ToLearner> {
        let to = |output: Output| match output {
            Output::ToLearner { link: Link(link), packet } if link == of => Some(packet),
            _ => None,
        };
        self.take().into_iter().filter_map(to).collect()
    }

    fn to_master(&mut self) -> Vec<ToMaster> {
        let to = |output: Output| if let Output::ToMaster(packet) = output { Some(packet) } else { None };
        self.take().into_iter().filter_map(to).collect()
    }

    fn learner(&mut self, link: u64, sid: Sid, accepted_epoch: i64) -> &mut Self {
        let hello = Hello {
            is_observer: sid == 4,
            accepted_epoch,
            sid: Some(sid),
            protocol: PROTOCOL,
            config_version: 0,
        };
        self.hear(Input::LearnerCame { link: Link(link), hello })
    }

    fn said(&mut self, link: u64, said: FromLearner) -> &mut Self {
        self.hear(Input::LearnerSaid { link: Link(link), said })
    }

    /// Elected by server 1, and serving with it as its follower over link 1, in epoch 2.
    fn leading() -> Self {
        let mut member = Self::start(E + 3, true, false);
        member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
        member.learner(1, 1, 1).said(1, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
        member.said(1, FromLearner::Ack(Zxid(2 * E)));
        assert!(member.is_closed(1).is_none());
        assert_eq!(member.zab.standing().epoch, 2);
        assert!(member.zab.standing().is_serving);
        member
    }

    fn is_closed(&self, of: u64) -> Option<&str> {
        self.said.iter().find_map(|output| match output {
            Output::CloseLearner { link: Link(link), why } if *link == of => Some(why.as_str()),
            _ => None,
        })
    }

    /// Follows server 3, of epoch 2, having been sent what is given between DIFF and NEWLEADER.
    fn following(sync: Vec<FromMaster>) -> Self {
        let mut member = Self::start(E + 3, true, false);
        let vote = (3, E + 9, 1);
        member.vote(3, notification(PeerState::Leading, vote, 1));
        member.vote(1, notification(PeerState::Following, vote, 1)).hear(Input::MasterCame);
        member.master(FromMaster::LeaderInfo { epoch: 2, protocol: PROTOCOL });
        for said in sync {
            member.master(said);
        }
        member
    }

    fn master(&mut self, said: FromMaster) -> &mut Self {
        self.hear(Input::MasterSaid(said))
    }

    fn left_master(&self) -> Option<&str> {
        self.said.iter().find_map(|output| match output {
            Output::CloseMaster { why } => Some(why.as_str()),
            _ => None,
        })
    }
}

fn new_leader() -> FromMaster {
    FromMaster::NewLeader { zxid: Zxid(2 * E), config: None }
}

#[test]
fn a_majority_waits_for_a_better_vote_and_takes_it() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(150);
    member.vote(3, notification(PeerState::Looking, (3, E + 4, 1), 1)).pass(100);
    assert_eq!(member.zab.standing().state, PeerState::Looking, "the wait began anew with the better vote");
    member.pass(99);
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    member.pass(2);
    assert_eq!(member.zab.standing().leader, Some(3));
}

/// A newer epoch beats a longer log, a longer log a larger number; a later round starts anew.
#[test]
fn votes_are_ordered_by_epoch_then_zxid_then_number_within_the_latest_round() {
    let mut member = Member::start(E + 3, true, false);
    let votes =
        |member: &mut Member| member.votes_to(1).last().map(|vote| (vote.leader, vote.election_epoch));
    assert_eq!(votes(&mut member), Some((2, 1)));
    member.vote(3, notification(PeerState::Looking, (1, E + 2, 1), 1));
    assert_eq!(votes(&mut member), None, "a worse one");
    member.vote(3, notification(PeerState::Looking, (3, E + 3, 1), 1));
    assert_eq!(votes(&mut member), Some((3, 1)));
    member.vote(1, notification(PeerState::Looking, (1, E + 1, 2), 1));
    assert_eq!(votes(&mut member), Some((1, 1)));
    member.vote(3, notification(PeerState::Looking, (3, E + 2, 1), 5));
    assert_eq!(votes(&mut member), Some((2, 5)), "its own again, in the later round");
    member.vote(1, notification(PeerState::Looking, (1, 9 * E, 9), 4));
    let late = member.votes_to(1);
    assert_eq!(late.len(), 1, "who is behind is told so");
    assert_eq!(late[0].leader, 2);
}

/// Trap 3: an old message, sent again after a reconnect, elects nobody.
#[test]
fn a_stale_vote_of_a_looking_server_that_leads_by_now_counts_for_its_round_only() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(3, notification(PeerState::Looking, (3, E + 4, 1), 0)).pass(1000);
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 2), 7));
    member.vote(1, notification(PeerState::Following, (3, E + 4, 2), 7));
    assert_eq!(member.zab.standing().leader, Some(3));
}

/// Traps 4 and 6: members show the vote of the epoch they are in; a server without a vote is told the round.
#[test]
fn a_member_with_a_leader_tells_whoever_looks() {
    let mut member = Member::leading();
    member.take();
    member.vote(3, notification(PeerState::Looking, (3, E, 1), 9));
    let [vote] = &member.votes_to(3)[..] else { panic!("one answer") };
    assert_eq!((vote.state, vote.leader, vote.peer_epoch), (PeerState::Leading, 2, 2));
    assert_eq!(vote.election_epoch, 1);
    member.vote(4, notification(PeerState::Observing, (i64::MIN, 0, 0), 0));
    let [vote] = &member.votes_to(4)[..] else { panic!("one answer") };
    assert_eq!((vote.state, vote.leader), (PeerState::Leading, 2));
    member.vote(3, notification(PeerState::Following, (2, E, 2), 1));
    assert!(member.votes_to(3).is_empty());
}

/// Trap 6: an observer finds the leader, and is no part of any majority.
#[test]
fn an_observer_listens_for_the_leader_and_registers_as_one() {
    let mut member = Member::start(E + 3, true, true);
    assert_eq!(member.votes_to(1)[0].leader, Sid::MIN);
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 2), 7));
    member.vote(1, notification(PeerState::Following, (3, E + 4, 2), 7)).hear(Input::MasterCame);
    assert!(matches!(&member.to_master()[..], [ToMaster::Hello(hello)] if hello.is_observer));
}

/// Trap 7: who has nothing to be counted on elects nobody, is elected by nobody, and asks for a snapshot.
#[test]
fn a_member_that_lost_its_database_helps_nobody_to_win() {
    let mut member = Member::start(E + 3, false, false);
    assert_eq!(member.votes_to(1)[0].zxid, Zxid(-1));
    member.vote(1, notification(PeerState::Looking, (1, E + 1, 1), 1)).pass(1000);
    assert_eq!(member.zab.standing().state, PeerState::Looking, "it does not count with server 1");
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 2), 7));
    member.vote(1, notification(PeerState::Following, (3, E + 4, 2), 7)).hear(Input::MasterCame);
    member.take();
    member.master(FromMaster::LeaderInfo { epoch: 2, protocol: PROTOCOL });
    assert!(matches!(&member.to_master()[..], [ToMaster::AckEpoch(ack)] if ack.last() == Zxid(-1)));

    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (1, -1, 1), 1));
    member.vote(3, notification(PeerState::Looking, (2, -1, 1), 1)).pass(1000);
    assert_eq!(member.zab.standing().state, PeerState::Looking, "nobody is elected by such a vote");
}

/// Trap 7 at the leader: its promise is no part of the quorum, and it gets the whole tree.
#[test]
fn a_learner_that_lost_its_database_is_sent_a_snapshot_and_not_counted() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
    member.learner(1, 1, 1).said(1, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    assert!(!member.said.iter().any(|output| matches!(output, Output::StreamSnapshot { .. })));
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    assert!(member.said.iter().any(|output| matches!(output, Output::StreamSnapshot { link: Link(1) })));
}

#[test]
fn a_learner_with_more_than_the_leader_is_turned_away_until_the_epoch_is_settled() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
    member.learner(1, 1, 1).learner(3, 3, 1);
    member.said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 4) });
    assert!(member.is_closed(3).is_some_and(|why| why.contains("ahead")));
    member.said(1, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    member.learner(5, 3, 1).said(5, FromLearner::AckEpoch { current: 1, last: Zxid(E + 4) });
    assert!(member.packets(5).contains(&ToLearner::Trunc(Zxid(E + 3))), "what it has more never was");
}

#[test]
fn the_epoch_is_above_every_promise_that_was_made() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
    member.learner(1, 1, 6);
    let [ToLearner::LeaderInfo(info)] = &member.packets(1)[..] else { panic!("an epoch") };
    assert_eq!(info.epoch(), 7);
    member.learner(3, 3, i64::from(i32::MAX));
    assert!(member.is_closed(3).is_some_and(|why| why.contains("cannot be")));
}

/// Trap 10: every acknowledgement counts for itself, and what was never sent cannot be acknowledged.
#[test]
fn a_transaction_is_committed_by_a_quorum_and_in_order() {
    let mut member = Member::leading();
    member.hear(Input::Prepared((1..=3).map(|n| proposal(2 * E + n)).collect()));
    let commits = |said: &[Output]| {
        let of = |output: &Output| if let Output::Commit { up_to } = output { Some(up_to.0) } else { None };
        said.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(commits(&member.said), [] as [i64; 0]);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    assert_eq!(commits(&member.said), [2 * E + 1]);
    assert!(member.packets(1).contains(&ToLearner::Commit(Zxid(2 * E + 1))));
    member.said(1, FromLearner::Ack(Zxid(2 * E + 3)));
    assert_eq!(commits(&member.said), [2 * E + 3]);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 4)));
    assert!(member.is_closed(1).is_some());
}

/// Trap 32: a follower whose disk hangs is dropped after syncLimit, one that answers late is not; and a leader without
/// a quorum stops leading.
#[test]
fn a_follower_that_does_not_acknowledge_is_dropped_and_a_lonely_leader_resigns() {
    let mut member = Member::leading();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)])).pass(4 * TICK);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    member.hear(Input::Prepared(vec![proposal(2 * E + 2)])).pass(4 * TICK);
    member.said(1, FromLearner::Ping(Vec::new())).pass(2 * TICK);
    assert!(member.is_closed(1).is_some_and(|why| why.contains("acknowledged")), "{:?}", member.said);
    member.pass(8 * TICK);
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    assert!(member.said.iter().any(|output| matches!(output, Output::Serve(Serving::No))));
}

/// Trap 33: a learner that takes long to come up to date counts as alive until initLimit and syncLimit are over.
#[test]
fn a_leader_goes_on_while_its_only_follower_takes_a_snapshot() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    member.hear(Input::SnapshotBegan { link: Link(3), zxid: Zxid(E + 3) });
    member.hear(Input::LearnerLeft { link: Link(1) }).pass(13 * TICK);
    assert!(member.zab.standing().is_serving);
    member.pass(5 * TICK);
    assert!(!member.zab.standing().is_serving);
}

/// Trap 31: nothing is said to a learner while the tree is on its way to it.
#[test]
fn nothing_is_said_into_a_snapshot() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    member.hear(Input::SnapshotBegan { link: Link(3), zxid: Zxid(E + 3) });
    member.take();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)])).said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    member.said(1, FromLearner::Ping(Vec::new())).pass(3 * TICK);
    assert_eq!(member.packets(3), []);
    member.hear(Input::Streamed { link: Link(3) });
    let kinds = member.packets(3);
    assert!(
        matches!(&kinds[..], [ToLearner::Proposal(_), ToLearner::Commit(_), ToLearner::NewLeader { .. }, ..]),
        "{kinds:?}"
    );
}

/// A learner's sync is answered behind the commit of what was proposed before it, and before later ones.
#[test]
fn a_sync_is_answered_behind_what_was_proposed_before_it() {
    let mut member = Member::leading();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)])).hear(Input::SyncAsked { link: Link(1) });
    member.hear(Input::Prepared(vec![proposal(2 * E + 2)]));
    assert!(!member.packets(1).contains(&ToLearner::Sync));
    member.said(1, FromLearner::Ack(Zxid(2 * E + 1))).said(1, FromLearner::Ack(Zxid(2 * E + 2)));
    let said = member.packets(1);
    let place = |packet: &ToLearner| said.iter().position(|one| one == packet);
    assert!(place(&ToLearner::Commit(Zxid(2 * E + 1))) < place(&ToLearner::Sync));
    assert!(place(&ToLearner::Sync) < place(&ToLearner::Commit(Zxid(2 * E + 2))));
}

/// Trap 38: a leader whose counter is full makes place for a new epoch.
#[test]
fn a_full_counter_ends_the_epoch() {
    let mut member = Member::leading();
    let Role::Leading(leading) = &mut member.zab.role else { panic!("it leads") };
    leading.skip_to(&mut member.zab.common, Zxid(3 * E - 3));
    member.hear(Input::Prepared(vec![proposal(3 * E - 2)]));
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    assert_eq!(
        member.votes_to(1).last().map(|vote| vote.zxid),
        Some(Zxid(3 * E - 2)),
        "nothing of it is lost"
    );
}

/// Traps 8 and 9: nothing is said between ACKEPOCH and the acknowledgement of NEWLEADER; pings are answered after UPTODATE,
/// with the sessions that were heard from.
#[test]
fn a_learner_says_nothing_while_it_is_brought_up_to_date() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3)), FromMaster::Ping(Zxid(E + 3))]);
    assert!(matches!(&member.to_master()[..], [ToMaster::Hello(_), ToMaster::AckEpoch(_)]));
    member.master(new_leader()).master(FromMaster::Ping(Zxid(2 * E)));
    assert!(matches!(&member.to_master()[..], [ToMaster::NewLeaderAck(_)]));
    member.master(FromMaster::UpToDate).master(FromMaster::Ping(Zxid(2 * E)));
    let said = member.to_master();
    let [ToMaster::NewLeaderAck(_), ToMaster::Ping { touched, .. }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(touched, &[(SessionId(9), 4000)]);
    assert!(member.zab.standing().is_serving);
}

/// Trap 13: a gap, a repetition, or a commit of nothing ends the connection; what came before it stays.
#[test]
fn what_does_not_follow_ends_the_connection() {
    let diff = FromMaster::Diff(Zxid(E + 5));
    for (wrong, says) in [
        (FromMaster::Proposal(proposal(E + 5)), "gap"),
        (FromMaster::Proposal(proposal(E + 3)), "repeats"),
        (FromMaster::Proposal(proposal(9 * E + 1)), "epoch"),
        (FromMaster::Commit(Zxid(E + 9)), "commits"),
        (FromMaster::UpToDate, "no place"),
    ] {
        let mut member = Member::following(vec![diff.clone(), FromMaster::Proposal(proposal(E + 4))]);
        member.pass(0);
        let mut member = if says == "gap" { Member::following(vec![diff.clone()]) } else { member };
        member.master(wrong);
        assert!(
            member.left_master().is_some_and(|why| why.contains(says)),
            "{says}: {:?}",
            member.left_master()
        );
        assert_eq!(member.zab.standing().state, PeerState::Looking);
    }
}

/// Trap 12: what a snapshot holds may be proposed and committed again behind it.
#[test]
fn what_a_snapshot_holds_already_is_passed_over() {
    let mut member = Member::following(Vec::new());
    member.hear(Input::SnapshotArrived { zxid: Zxid(E + 7) });
    for zxid in [E + 6, E + 7, E + 8] {
        member.master(FromMaster::Proposal(proposal(zxid))).master(FromMaster::Commit(Zxid(zxid)));
    }
    let appended = |said: &[Output]| said.iter().filter(|output| matches!(output, Output::Append(_))).count();
    assert_eq!((appended(&member.said), member.left_master()), (1, None));
    member.master(new_leader()).master(FromMaster::UpToDate);
    assert!(
        member.said.iter().any(|output| matches!(output, Output::Commit { up_to: Zxid(z) } if *z == E + 8))
    );
}

/// Trap 14: a cut whose place is not in the log is not made; the next sync begins with nothing.
#[test]
fn a_cut_without_its_place_is_followed_by_a_snapshot() {
    let mut member = Member::following(Vec::new());
    member.take();
    member.zab.input(member.now, Input::MasterSaid(FromMaster::Trunc(Zxid(E + 2))));
    let Some(Output::Persist(ticket)) = member.zab.poll() else { panic!("a ticket") };
    member.hear(Input::CutMissing(ticket));
    assert!(member.left_master().is_some_and(|why| why.contains("snapshot")));
    assert_eq!(member.votes_to(1).last().map(|vote| vote.zxid), Some(Zxid(-1)));
}

/// Trap 16: a sync that breaks off leaves transactions of a newer epoch; the epoch follows them before the next vote.
#[test]
fn the_epoch_of_a_broken_sync_is_raised_before_the_next_vote() {
    let sync = vec![FromMaster::Diff(Zxid(E + 3)), FromMaster::Proposal(proposal(2 * E + 1))];
    let mut member = Member::following(sync);
    member.take();
    member.hear(Input::MasterLeft { why: "gone".to_owned() });
    let vote = member.votes_to(1).pop().expect("a vote");
    assert_eq!((vote.zxid, vote.peer_epoch), (Zxid(2 * E + 1), 2));
}

/// Traps 10 and 11: each transaction is acknowledged once it is durable, one by one, and applied when it is committed and
/// durable.
#[test]
fn a_follower_acknowledges_each_transaction_when_it_is_durable_and_applies_it_when_it_is_committed_too() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.take();
    for n in 1..=3 {
        member.zab.input(0, Input::MasterSaid(FromMaster::Proposal(proposal(2 * E + n))));
    }
    member.zab.input(0, Input::MasterSaid(FromMaster::Commit(Zxid(2 * E + 1))));
    let mut ticket = None;
    while let Some(output) = member.zab.poll() {
        match output {
            Output::Persist(asked) => ticket = Some(asked),
            Output::Append(_) => {}
            other => panic!("not before it is durable: {other:?}"),
        }
    }
    member.hear(Input::Done(ticket.expect("one sync for all")));
    assert!(
        member
            .said
            .iter()
            .any(|output| matches!(output, Output::Commit { up_to: Zxid(z) } if *z == 2 * E + 1))
    );
    let acked = member.to_master().into_iter().map(|packet| match packet {
        ToMaster::Ack(ack) => ack.zxid().0,
        other => panic!("{other:?}"),
    });
    assert_eq!(acked.collect::<Vec<_>>(), [2 * E + 1, 2 * E + 2, 2 * E + 3]);
}

/// Trap 35, as far as this version goes: a reconfiguration cannot be taken part in, and is not passed over.
#[test]
fn a_reconfiguration_ends_the_connection() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.master(FromMaster::Activate(Zxid(2 * E + 1)));
    assert!(member.left_master().is_some_and(|why| why.contains("reconfiguration")));
}

#[test]
fn a_silent_leader_is_left_after_sync_limit_and_one_that_pings_is_not() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.pass(4 * TICK).master(FromMaster::Ping(Zxid(2 * E))).pass(4 * TICK);
    assert!(member.zab.standing().is_serving);
    member.pass(2 * TICK);
    assert!(member.left_master().is_some_and(|why| why.contains("syncLimit")));
}
