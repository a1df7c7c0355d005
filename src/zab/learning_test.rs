//! Learning. What is said to whom in which state, and what is refused. The numbers are those of the traps in the
//! description of the quorum protocols.

use jute::{SessionId, Zxid};

use super::testing::{E, Member, TICK, new_leader, notification, proposal};
use super::*;

/// Traps 8 and 9: nothing is said between ACKEPOCH and the acknowledgement of NEWLEADER; pings are answered after UPTODATE,
/// with the sessions that were heard from.
#[test]
fn a_learner_says_nothing_while_it_is_brought_up_to_date() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3)), FromMaster::Ping(Zxid(E + 3))]);
    assert!(matches!(&member.packets_up()[..], [ToMaster::Hello(_), ToMaster::AckEpoch(_)]));
    member.master(new_leader()).master(FromMaster::Ping(Zxid(2 * E)));
    assert!(matches!(&member.packets_up()[..], [ToMaster::NewLeaderAck(_)]));
    member.master(FromMaster::UpToDate).master(FromMaster::Ping(Zxid(2 * E)));
    let said = member.packets_up();
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
        // The reference takes any transaction of a later epoch for the next one.
        (FromMaster::Proposal(proposal(2 * E + 2)), "gap"),
        (FromMaster::Proposal(proposal(E + 3)), "repeats"),
        (FromMaster::Proposal(proposal(E + 4)), "repeats"),
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

/// It may also hold less than what is here, which then never was.
#[test]
fn behind_a_snapshot_everything_goes_on_from_its_end() {
    for end in [E + 7, E + 1] {
        let mut member = Member::following(Vec::new());
        member.hear(Input::SnapshotArrived { zxid: Zxid(end) });
        member.master(FromMaster::Proposal(proposal(end + 1))).master(FromMaster::Commit(Zxid(end + 1)));
        member.master(new_leader()).master(FromMaster::UpToDate);
        assert_eq!((member.left_master(), committed(&member)), (None, Some(end + 1)));
        assert!(member.zab.standing().is_serving, "what came behind {end} is durable");
        member.take();
        member.hear(Input::MasterLeft { why: "gone".to_owned() });
        assert_eq!(member.votes_to(1).last().map(|vote| vote.zxid), Some(Zxid(end + 1)));
        let mut member = Member::following(Vec::new());
        member.hear(Input::SnapshotArrived { zxid: Zxid(end) });
        member.master(new_leader()).master(FromMaster::UpToDate);
        member.master(FromMaster::Proposal(proposal(2 * E + 1))).master(FromMaster::Commit(Zxid(2 * E + 1)));
        assert_eq!((member.left_master(), committed(&member)), (None, Some(2 * E + 1)));
    }
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
    let acked = member.packets_up().into_iter().map(|packet| match packet {
        ToMaster::Ack(ack) => ack.zxid().0,
        other => panic!("{other:?}"),
    });
    assert_eq!(acked.collect::<Vec<_>>(), [2 * E + 1, 2 * E + 2, 2 * E + 3]);
}

/// A leader of the reference sends what is proposed and not committed before NEWLEADER.
#[test]
fn what_was_proposed_during_the_sync_is_acknowledged_behind_the_acknowledgement_of_the_epoch() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3))]);
    member.master(FromMaster::Proposal(proposal(E + 4))).master(FromMaster::Commit(Zxid(E + 4)));
    member.master(FromMaster::Proposal(proposal(2 * E + 1)));
    member.take();
    member.master(new_leader());
    let said = member.packets_up();
    let [ToMaster::NewLeaderAck(_), ToMaster::Ack(ack)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ack.zxid(), Zxid(2 * E + 1), "what is committed is not acknowledged by itself");
    member.master(FromMaster::UpToDate).master(FromMaster::Proposal(proposal(2 * E + 2)));
    let said = member.packets_up();
    let [ToMaster::NewLeaderAck(_), ToMaster::Ack(ack)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ack.zxid(), Zxid(2 * E + 2), "each once");
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

/// A cut or a snapshot that is under way when the leader goes is what the next sync goes on from.
#[test]
fn what_the_disk_was_asked_for_a_leader_that_has_gone_counts_for_the_next() {
    let cut = (Input::MasterSaid(FromMaster::Trunc(Zxid(E + 2))), E + 2);
    let installed = (Input::SnapshotArrived { zxid: Zxid(E + 7) }, E + 7);
    for (asked, last) in [cut, installed] {
        let mut member = Member::following(Vec::new());
        member.zab.input(member.now, asked);
        let Some(Output::Persist(ticket)) = member.zab.poll() else { panic!("a ticket") };
        member.hear(Input::MasterLeft { why: "gone".to_owned() });
        member.take();
        member.hear(Input::Done(ticket));
        assert!(member.said.iter().any(|output| matches!(output, Output::Replace)));
        assert_eq!(member.votes_to(1).last().map(|vote| vote.zxid), Some(Zxid(last)));
        member.follow_again(2);
        member.master(FromMaster::Diff(Zxid(last + 1))).master(FromMaster::Proposal(proposal(last + 1)));
        member.master(FromMaster::Commit(Zxid(last + 1))).master(new_leader()).master(FromMaster::UpToDate);
        assert!(member.zab.standing().is_serving, "{:?}", member.left_master());
        let is_it = |output: &Output| matches!(output, Output::Commit { up_to } if up_to.0 == last + 1);
        assert!(member.said.iter().any(is_it));
    }
}

fn committed(member: &Member) -> Option<i64> {
    let of = |said: &Output| if let Output::Commit { up_to } = said { Some(up_to.0) } else { None };
    member.said.iter().filter_map(of).max()
}

#[test]
fn what_is_committed_during_the_sync_is_applied_with_up_to_date_and_what_is_not_is_not() {
    let sync = |is_committed| {
        let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 5))]);
        for zxid in [E + 4, E + 5] {
            member.master(FromMaster::Proposal(proposal(zxid)));
            if is_committed {
                member.master(FromMaster::Commit(Zxid(zxid)));
            }
        }
        member.master(new_leader()).master(FromMaster::UpToDate);
        assert!(member.zab.standing().is_serving);
        committed(&member)
    };
    assert_eq!([sync(true), sync(false)], [Some(E + 5), None]);
}

#[test]
fn a_cut_is_made_up_to_the_last_transaction_and_not_beyond() {
    for (to, is_made) in [(E + 2, true), (E + 3, true), (0, true), (E + 4, false), (-1, false)] {
        let mut member = Member::following(vec![FromMaster::Trunc(Zxid(to))]);
        assert_eq!(member.left_master().is_none(), is_made, "{to}");
        assert_eq!(member.said.iter().any(|said| matches!(said, Output::Replace)), is_made);
        if is_made {
            member.master(FromMaster::Proposal(proposal(to + 1))).master(FromMaster::Commit(Zxid(to + 1)));
            member.master(new_leader()).master(FromMaster::UpToDate);
            assert_eq!(committed(&member), Some(to + 1));
        }
    }
}

/// What was cut was logged, and need not have been committed; nor is what takes its place.
#[test]
fn what_follows_a_cut_or_a_snapshot_is_committed_when_the_leader_says_so() {
    for begin in
        [Input::MasterSaid(FromMaster::Trunc(Zxid(E + 1))), Input::SnapshotArrived { zxid: Zxid(E + 1) }]
    {
        let mut member = Member::following(Vec::new());
        member.hear(begin).take();
        member.master(new_leader());
        assert!(
            matches!(member.packets_up()[..], [ToMaster::NewLeaderAck(_)]),
            "what is left is not acknowledged"
        );
        let mut member = Member::following(Vec::new());
        member.hear(Input::MasterSaid(FromMaster::Trunc(Zxid(E + 1))));
        member.master(FromMaster::Proposal(proposal(E + 2))).master(FromMaster::Proposal(proposal(E + 3)));
        member.master(new_leader()).master(FromMaster::UpToDate);
        assert!(member.zab.standing().is_serving);
        assert_eq!((committed(&member), member.zab.committed_after(Zxid(E + 1))), (None, None));
        member.master(FromMaster::Commit(Zxid(E + 2)));
        assert_eq!((member.left_master(), committed(&member)), (None, Some(E + 2)));
    }
}

#[test]
fn a_snapshot_of_an_empty_tree_is_one() {
    for (zxid, is_one) in [(0, true), (-1, false)] {
        let mut member = Member::following(Vec::new());
        member.hear(Input::SnapshotArrived { zxid: Zxid(zxid) });
        assert_eq!(member.left_master().is_none(), is_one, "{zxid}");
        assert_eq!(member.said.iter().any(|said| matches!(said, Output::Replace)), is_one);
    }
}

/// Reference: `Learner.registerWithLeader`: it takes part, and its answer does not count.
#[test]
fn an_epoch_that_was_promised_before_is_acknowledged_without_the_current_one() {
    for (epoch, current) in [(1, None), (2, Some(1))] {
        let mut member = Member::start(E + 3, true, false);
        let vote = testing::notification(PeerState::Leading, (3, E + 9, 1), 1);
        let of_other = Notification { state: PeerState::Following, ..vote.clone() };
        member.vote(3, vote).vote(1, of_other).hear(Input::MasterCame);
        member.take();
        member.master(FromMaster::LeaderInfo { epoch, protocol: PROTOCOL });
        let said = member.packets_up();
        let [ToMaster::AckEpoch(ack)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((ack.current(), ack.last()), (current, Zxid(E + 3)));
        let mut sent = Vec::new();
        said[0].encode(&mut sent);
        let heard = Packet::decode(&sent.into()).unwrap().into_from_learner();
        let current = current.map_or(-1, u32::cast_signed);
        assert_eq!(heard, Ok(FromLearner::AckEpoch { current, last: Zxid(E + 3) }));
    }
}

/// The tree holds it, and so does the disk.
#[test]
fn behind_a_snapshot_nothing_is_left_to_be_synced_or_applied() {
    let mut member = Member::following(Vec::new());
    member.stuck = Some(Vec::new());
    member.hear(Input::SnapshotArrived { zxid: Zxid(E + 7) });
    let mut tickets = member.stuck.replace(Vec::new()).unwrap();
    assert_eq!(tickets.len(), 1, "it is to be installed");
    member.hear(Input::Done(tickets.remove(0)));
    assert!(member.stuck.as_ref().is_some_and(Vec::is_empty));
    assert_eq!(committed(&member), None);
}

/// It was the disk that it waited for, and not the leader.
#[test]
fn a_leader_has_its_whole_time_again_when_the_disk_has_done_what_it_wanted() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3))]);
    member.stuck = Some(Vec::new());
    member.master(new_leader());
    member.pass(50 * TICK).disk_goes_on().pass(5 * TICK - 1);
    assert_eq!(member.left_master(), None);
    member.pass(1);
    assert!(member.left_master().is_some());
}

#[test]
fn a_transaction_that_becomes_durable_is_no_sign_of_life_of_the_leader() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.stuck = Some(Vec::new());
    member.master(FromMaster::Proposal(proposal(2 * E + 1)));
    member.pass(3 * TICK).disk_goes_on().pass(2 * TICK);
    assert!(member.left_master().is_some());
}

#[test]
fn what_an_observer_is_informed_of_during_the_sync_is_applied_with_up_to_date() {
    let mut member = Member::start(E + 3, true, true);
    member.follow_again(1);
    member.master(FromMaster::Diff(Zxid(E + 4))).master(FromMaster::Inform(proposal(E + 4)));
    member.master(new_leader()).master(FromMaster::UpToDate);
    assert_eq!(committed(&member), Some(E + 4));
}

/// Reference: `FastLeaderElection.getInitLastLoggedZxid`, `getPeerEpoch`.
#[test]
fn an_observer_tells_nothing_of_its_history() {
    let mut member = Member::start(E + 3, true, true);
    let told = member.votes_to(1);
    let told: Vec<_> = told.iter().map(|vote| (vote.zxid.0, vote.peer_epoch)).collect();
    assert_eq!(told, [(i64::MIN, i64::MIN)]);
}

#[test]
fn an_observer_applies_what_it_is_informed_of() {
    let mut member = Member::start(E + 3, true, true);
    member.follow_again(1);
    member.master(FromMaster::Diff(Zxid(E + 3))).master(new_leader()).master(FromMaster::UpToDate);
    assert_eq!(committed(&member), None);
    member.master(FromMaster::Inform(proposal(2 * E + 1)));
    assert_eq!(committed(&member), Some(2 * E + 1));
}

/// Whichever way it is said that something is committed, and before or behind NEWLEADER.
#[test]
fn what_is_known_to_be_committed_is_applied_with_up_to_date() {
    for (is_observer, is_behind) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut member = Member::start(E + 3, true, is_observer);
        member.follow_again(1);
        member.master(FromMaster::Diff(Zxid(E + 4)));
        if is_behind {
            member.master(new_leader());
        }
        if is_observer {
            member.master(FromMaster::Inform(proposal(E + 4)));
        } else {
            member.master(FromMaster::Proposal(proposal(E + 4))).master(FromMaster::Commit(Zxid(E + 4)));
        }
        if !is_behind {
            member.master(new_leader());
        }
        assert_eq!(committed(&member), None, "not yet");
        member.master(FromMaster::UpToDate);
        assert_eq!(committed(&member), Some(E + 4), "observer: {is_observer}, behind: {is_behind}");
    }
}

#[test]
fn others_are_told_whom_a_learner_follows_and_since_when_it_serves() {
    for (is_observer, state) in [(false, PeerState::Following), (true, PeerState::Observing)] {
        let mut member = Member::start(E + 3, true, is_observer);
        let of = |state, is_serving, leader, epoch| Standing {
            state,
            is_serving,
            leader,
            epoch,
            learners: Vec::new(),
        };
        assert_eq!(member.zab.standing(), of(PeerState::Looking, false, None, 0));
        assert!(!member.zab.progress().is_serving);
        member.follow_again(1);
        member.master(FromMaster::Diff(Zxid(E + 3))).master(new_leader());
        assert_eq!(member.zab.standing(), of(state, false, Some(3), 2));
        member.master(FromMaster::UpToDate);
        assert_eq!(member.zab.standing(), of(state, true, Some(3), 2));
        let (proposed, committed, pending_syncs) = (Zxid::ZERO, Zxid::ZERO, 0);
        let progress = Progress { state, is_serving: true, proposed, committed, pending_syncs };
        assert_eq!(member.zab.progress(), progress, "only a leader proposes");
    }
}

/// While it waits for its own disk it listens to nobody.
#[test]
fn the_time_for_which_a_leader_may_be_silent_begins_when_the_disk_is_done() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3))]);
    member.stuck = Some(Vec::new());
    member.master(FromMaster::Proposal(proposal(E + 4))).master(new_leader()).pass(50 * TICK);
    assert!(!member.zab.takes_master());
    member.take();
    member.disk_goes_on();
    assert!(matches!(member.packets_up()[..], [ToMaster::NewLeaderAck(_), ToMaster::Ack(_)]));
    assert!(member.zab.takes_master());
    member.pass(5 * TICK - 1);
    assert_eq!(member.left_master(), None);
    member.pass(1);
    assert!(member.left_master().is_some_and(|why| why.contains("syncLimit")));
}

#[test]
fn what_the_disk_has_done_is_no_sign_of_the_leader() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.stuck = Some(Vec::new());
    member.master(FromMaster::Proposal(proposal(2 * E + 1))).pass(3 * TICK);
    assert!(member.zab.takes_master());
    member.disk_goes_on().pass(2 * TICK - 1);
    assert_eq!(member.left_master(), None);
    member.pass(1);
    assert!(member.left_master().is_some());
}

/// Each phase before NEWLEADER was acknowledged may take as long as initLimit, from what was heard last.
#[test]
fn a_leader_that_does_not_bring_this_server_up_to_date_is_left_at_init_limit() {
    for steps in 0..=3 {
        let mut member = Member::start(E + 3, true, false);
        let vote = (3, E + 9, 1);
        member.vote(3, notification(PeerState::Leading, vote, 1));
        member.vote(1, notification(PeerState::Following, vote, 1));
        let info = FromMaster::LeaderInfo { epoch: 2, protocol: PROTOCOL };
        let next =
            [Input::MasterCame, Input::MasterSaid(info), Input::MasterSaid(FromMaster::Diff(Zxid(E + 3)))];
        for input in next.into_iter().take(steps) {
            member.pass(10 * TICK - 1).hear(input);
        }
        member.pass(10 * TICK - 1);
        assert_eq!(member.left_master(), None, "after {steps} steps");
        member.pass(1);
        assert!(member.left_master().is_some_and(|why| why.contains("initLimit")), "after {steps} steps");
    }
}

/// An observer's wait before it connects does not count.
#[test]
fn an_observer_connects_when_its_wait_is_over_and_has_init_limit_from_then_on() {
    let tuning = Tuning { observer_connects_ms: 2000, ..Tuning::default() };
    let mut member = Member::tuned(E + 3, true, true, tuning);
    let vote = (3, E + 9, 1);
    member.vote(3, notification(PeerState::Leading, vote, 1));
    member.vote(1, notification(PeerState::Following, vote, 1)).take();
    let until = member.zab.deadline().expect("it waits");
    assert!((1..2000).contains(&until), "{until}");
    member.hear(Input::MasterCame).pass(until - 1);
    assert!(member.take().is_empty(), "what comes before it has connected is of another connection");
    member.pass(1);
    assert!(matches!(member.take()[..], [Output::DialMaster(3)]));
    member.pass(10 * TICK - 1);
    assert_eq!(member.left_master(), None);
    member.pass(1);
    assert!(member.left_master().is_some_and(|why| why.contains("initLimit")));
}

#[test]
fn a_leader_may_be_silent_until_sync_limit() {
    let mut member =
        Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate]);
    member.pass(5 * TICK - 1);
    assert_eq!(member.left_master(), None);
    member.pass(1);
    assert!(member.left_master().is_some());
}
