//! What is taken and what is refused in each phase of a leader's and of a learner's time, and what they are told then.

use bytes::Bytes;
use jute::{SessionId, Zxid};

use super::testing::{E, Member, TICK, new_leader, notification, proposal};
use super::*;

fn info(epoch: i64) -> FromMaster {
    FromMaster::LeaderInfo { epoch, protocol: PROTOCOL }
}

/// Connected to server 3, which has said nothing yet.
fn connected(is_observer: bool) -> Member {
    let mut member = Member::start(E + 3, true, is_observer);
    let vote = (3, E + 9, 1);
    member.vote(3, notification(PeerState::Leading, vote, 1));
    member.vote(1, notification(PeerState::Following, vote, 1)).hear(Input::MasterCame);
    member
}

fn serving() -> Member {
    Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate])
}

#[test]
fn who_does_not_lead_takes_no_learners() {
    for mut member in [Member::start(E + 3, true, false), connected(false)] {
        member.learner(1, 1, 1);
        assert!(member.is_closed(1).is_some_and(|why| why.contains("does not lead")));
    }
    assert_eq!(connected(false).zab.standing().epoch, 0, "it is not known yet");
}

/// What it was given, it has taken.
#[test]
fn a_leader_whose_log_takes_everything_goes_on() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    member.said(3, FromLearner::Ack(Zxid(2 * E)));
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
    for link in [1, 3] {
        member.said(link, FromLearner::Ack(Zxid(2 * E + 1)));
    }
    for _ in 0..20 {
        for link in [1, 3] {
            member.said(link, FromLearner::Ping(Vec::new()));
        }
        member.pass(TICK);
    }
    assert!(member.zab.standing().is_serving, "{:?}", member.said);
}

#[test]
fn a_learner_introduces_itself_with_what_it_has_promised() {
    for (is_observer, me) in [(false, 2), (true, 4)] {
        let hello =
            Hello { is_observer, accepted_epoch: 1, sid: Some(me), protocol: PROTOCOL, config_version: 0 };
        assert_eq!(connected(is_observer).packets_up(), [ToMaster::Hello(hello)]);
    }
}

/// Reference: `Learner.registerWithLeader`.
#[test]
fn an_epoch_is_promised_that_can_be_and_is_none_that_is_over() {
    let last = i64::from(i32::MAX) - 1;
    for (epoch, says) in [
        (-1, Some("cannot be")),
        (0, Some("is promised to another one")),
        (1, None),
        (last, None),
        (last + 1, Some("cannot be")),
        (1 << 32, Some("cannot be")),
    ] {
        let mut member = connected(false);
        member.master(info(epoch));
        match says {
            None => assert_eq!((member.left_master(), i64::from(member.zab.standing().epoch)), (None, epoch)),
            Some(says) => assert!(member.left_master().is_some_and(|why| why.contains(says)), "{epoch}"),
        }
    }
}

/// The steps by which a learner comes to serve, and what it takes before each of them.
#[test]
fn a_learner_takes_in_each_phase_what_belongs_there() {
    let steps = [info(2), FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate];
    let ping = || FromMaster::Ping(Zxid(2 * E));
    let next = || FromMaster::Proposal(proposal(2 * E + 1));
    let revalidated = || FromMaster::Revalidated { session: SessionId(5), is_valid: true };
    let other_epoch = || FromMaster::NewLeader { zxid: Zxid(2 * E + 1), config: None };
    let said: [(FromMaster, [bool; 5]); 11] = [
        (ping(), [false, true, true, true, true]),
        (info(2), [true, false, false, false, false]),
        (FromMaster::Diff(Zxid(E + 3)), [false, true, false, false, false]),
        (FromMaster::Trunc(Zxid(E + 3)), [false, true, false, false, false]),
        (next(), [false, false, true, true, true]),
        (FromMaster::Inform(proposal(2 * E + 1)), [false, false, true, true, true]),
        (FromMaster::Commit(Zxid(E + 3)), [false, false, true, true, true]),
        (new_leader(), [false, false, true, false, false]),
        (FromMaster::UpToDate, [false, false, false, true, true]),
        (FromMaster::Sync, [false, false, false, false, true]),
        (revalidated(), [false, false, false, false, true]),
    ];
    let never = [other_epoch(), FromMaster::Activate(Zxid(2 * E + 1))].map(|said| (said, [false; 5]));
    for (said, is_taken) in said.into_iter().chain(never) {
        for (taken, is_taken) in is_taken.into_iter().enumerate() {
            let mut member = connected(false);
            for step in &steps[..taken] {
                member.master(step.clone());
            }
            assert_eq!(member.left_master(), None);
            member.master(said.clone());
            assert_eq!(member.left_master().is_none(), is_taken, "{said:?} after {taken} steps");
        }
    }
}

#[test]
fn a_snapshot_is_taken_where_the_sync_begins_and_nowhere_else() {
    let steps = [info(2), FromMaster::Diff(Zxid(E + 3)), new_leader(), FromMaster::UpToDate];
    for taken in 0..=steps.len() {
        let mut member = connected(false);
        for step in &steps[..taken] {
            member.master(step.clone());
        }
        member.hear(Input::SnapshotArrived { zxid: Zxid(E + 7) });
        assert_eq!(member.left_master().is_none(), taken == 1, "after {taken} steps");
    }
}

/// Reference: `Follower.processPacket`.
#[test]
fn what_a_leader_says_to_one_that_serves_is_passed_on_as_it_came() {
    let mut member = serving();
    member.take();
    member.master(FromMaster::Sync);
    assert!(matches!(member.take()[..], [Output::Synced { after: Zxid(after) }] if after == E + 3));
    member.master(FromMaster::Proposal(proposal(2 * E + 1))).master(FromMaster::Commit(Zxid(2 * E + 1)));
    member.take();
    member.master(FromMaster::Sync);
    assert!(matches!(member.take()[..], [Output::Synced { after: Zxid(after) }] if after == 2 * E + 1));
    member.master(FromMaster::Revalidated { session: SessionId(5), is_valid: false });
    assert!(matches!(member.take()[..], [Output::Revalidated { session: SessionId(5), is_valid: false }]));
    member.zab.input(member.now, Input::MasterSaid(FromMaster::Ping(Zxid(2 * E + 1))));
    member.zab.input(member.now, Input::MasterSaid(FromMaster::Ping(Zxid(2 * E + 2))));
    member.settle();
    let ping = |zxid| ToMaster::Ping { zxid: Zxid(zxid), touched: vec![(SessionId(9), 4000)] };
    assert_eq!(member.packets_up(), [ping(2 * E + 1), ping(2 * E + 2)], "each has its answer");
}

#[test]
fn commits_come_one_by_one_and_again_without_effect() {
    let mut member = serving();
    for n in 1..=3 {
        member.master(FromMaster::Proposal(proposal(2 * E + n)));
    }
    member.take();
    for zxid in [E, E + 3, 2 * E + 1, 2 * E + 1] {
        member.master(FromMaster::Commit(Zxid(zxid)));
    }
    assert!(matches!(member.take()[..], [Output::Commit { up_to: Zxid(up_to) }] if up_to == 2 * E + 1));
    member.master(FromMaster::Commit(Zxid(2 * E + 3)));
    assert!(member.left_master().is_some_and(|why| why.contains("is not the next")), "2 is left out");
}

#[test]
fn only_one_that_serves_passes_on_what_clients_ask_for() {
    let said = || {
        Input::Forward(ToMaster::Request(Forwarded {
            session: SessionId(5),
            cxid: 1,
            op: jute::OpCode::CREATE,
            body: Bytes::new(),
            identities: Vec::new(),
        }))
    };
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader()]);
    member.take();
    assert!(member.hear(said()).packets_up().is_empty());
    member.master(FromMaster::UpToDate).take();
    assert!(matches!(member.hear(said()).packets_up()[..], [ToMaster::Request(_)]));
    let mut leader = Member::leading();
    leader.take();
    assert!(leader.hear(said()).packets_up().is_empty());
}

/// Members show the vote of the epoch they are in (trap 4), from when it is established.
#[test]
fn who_looks_is_told_of_the_epoch_once_this_server_serves_in_it() {
    let mut member = Member::following(vec![FromMaster::Diff(Zxid(E + 3)), new_leader()]);
    member.take();
    let looks = || notification(PeerState::Looking, (1, E, 1), 9);
    let told = |member: &mut Member| {
        let votes = member.vote(1, looks()).votes_to(1);
        let of = |vote: &Notification| {
            (vote.state, vote.leader, vote.zxid.0, vote.election_epoch, vote.peer_epoch, vote.version)
        };
        votes.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut member), [(PeerState::Following, 3, E + 9, 1, 1, 2)]);
    member.master(FromMaster::UpToDate);
    assert_eq!(told(&mut member), [(PeerState::Following, 3, E + 9, 1, 2, 2)]);
}

/// Reference: `QuorumVerifier.getVotingMembers`: it is what it says that it is, whatever its number.
#[test]
fn who_comes_as_an_observer_counts_nowhere_though_its_number_is_a_voters() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201).take();
    let (accepted_epoch, sid, protocol) = (1, Some(1), PROTOCOL);
    let hello = Hello { is_observer: true, accepted_epoch, sid, protocol, config_version: 0 };
    let ack = || FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) };
    member.hear(Input::LearnerCame { link: Link(1), hello });
    assert!(member.packets(1).is_empty(), "it is no part of those that decide on the epoch");
    member.learner(3, 3, 1);
    assert_eq!(member.packets(1).len(), 1);
    assert!(member.said(1, ack()).packets(1).is_empty(), "nor of those that promise it");
    member.said(3, ack());
    member.said(1, FromLearner::Ack(Zxid(2 * E)));
    assert!(!member.zab.standing().is_serving, "nor of those that have its history");
    member.said(3, FromLearner::Ack(Zxid(2 * E)));
    assert!(member.zab.standing().is_serving);
}

/// Who has promised the epoch before may have more, does not count, and is cut to what the leader has.
#[test]
fn an_answer_that_does_not_count_is_not_compared() {
    let mut member = Member::start(E + 3, true, false);
    member
        .vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1))
        .pass(201)
        .learner(1, 1, 1)
        .learner(3, 3, 1);
    member.take();
    member.said(1, FromLearner::AckEpoch { current: -1, last: Zxid(E + 4) });
    assert_eq!(member.is_closed(1), None);
    assert!(member.packets(1).is_empty(), "no quorum has promised");
    member.said(3, FromLearner::AckEpoch { current: 0, last: Zxid(E + 9) });
    assert!(
        matches!(member.packets(1)[..], [ToLearner::Trunc(to), ToLearner::NewLeader { .. }] if to.0 == E + 3)
    );
}

#[test]
fn observers_without_a_number_are_given_one_each() {
    let mut member = Member::leading();
    for link in [5, 6] {
        let (is_observer, accepted_epoch, sid, protocol) = (true, 1, None, PROTOCOL);
        let hello = Hello { is_observer, accepted_epoch, sid, protocol, config_version: 0 };
        member.hear(Input::LearnerCame { link: Link(link), hello });
    }
    let (state, is_serving, leader, epoch) = (PeerState::Leading, true, Some(2), 2);
    let learners = vec![(1, false, true), (-1, true, false), (-2, true, false)];
    assert_eq!(member.zab.standing(), Standing { state, is_serving, leader, epoch, learners });
    let (proposed, committed, pending_syncs) = (Zxid(2 * E), Zxid(2 * E), 0);
    let progress = Progress { state, is_serving, proposed, committed, pending_syncs };
    assert_eq!(member.zab.progress(), progress, "the begin of the epoch before its first transaction");
}

/// Trap 33, to the tick: it came before the first one.
#[test]
fn a_learner_that_is_sent_the_tree_counts_for_init_limit_and_sync_limit() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    member.hear(Input::SnapshotBegan { link: Link(3), zxid: Zxid(E + 3) });
    member.hear(Input::LearnerLeft { link: Link(1) });
    // Half ticks are counted from its election, and the first one that it serves in begins a tick.
    let tick = |n: Ms| 200 + TICK / 2 + (n - 1) * TICK;
    member.pass(tick(10 + 5 + 1) - 1 - member.now);
    assert!(member.zab.standing().is_serving);
    member.pass(1);
    assert!(!member.zab.standing().is_serving);
}

#[test]
fn a_learner_that_has_the_tree_has_init_limit_from_then_on() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    member.hear(Input::SnapshotBegan { link: Link(3), zxid: Zxid(E + 3) });
    let well = |member: &mut Member, half_ticks| {
        for _ in 0..half_ticks {
            member.said(1, FromLearner::Ping(Vec::new())).pass(TICK / 2);
        }
    };
    well(&mut member, 60);
    member.pass(member.zab.deadline().unwrap() - member.now);
    member.hear(Input::Streamed { link: Link(3) });
    well(&mut member, 20);
    assert_eq!(member.is_closed(3), None);
    well(&mut member, 1);
    assert!(member.is_closed(3).is_some_and(|why| why.contains("initLimit")));
}

/// Nothing has to be waited for where nothing was proposed.
#[test]
fn a_sync_is_answered_at_once_where_nothing_was_proposed_in_the_epoch() {
    let mut member = Member::leading();
    member.take();
    member.hear(Input::SyncAsked { link: Link(1) });
    assert_eq!(member.packets(1), [ToLearner::Sync]);
    member.hear(Input::Revalidated { link: Link(1), session: SessionId(5), is_valid: true });
    assert_eq!(member.packets(1), [ToLearner::Revalidated { session: SessionId(5), is_valid: true }]);
}

/// A learner must not be pinged before it can answer: it says nothing between ACKEPOCH and NEWLEADER (trap 8).
#[test]
fn learners_are_pinged_from_new_leader_on_with_what_was_proposed_last() {
    let mut member = Member::leading();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)])).said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    member.learner(3, 3, 1).learner(5, 5, 1);
    member.said(5, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) }).take();
    member.pass(TICK / 2);
    let said = member.take();
    let pinged = |output: &Output| match output {
        Output::ToLearner { link: Link(link), packet: ToLearner::Ping(zxid) } => Some((*link, zxid.0)),
        _ => None,
    };
    let pinged: Vec<_> = said.iter().filter_map(pinged).collect();
    assert_eq!(pinged, [(1, 2 * E + 1), (5, 2 * E + 1)]);
}

/// What learners say is for the replica from when they are up to date.
#[test]
fn what_a_learner_says_before_it_is_up_to_date_ends_its_connection() {
    let touched = vec![(SessionId(9), 4000)];
    let revalidate = FromLearner::Revalidate { session: SessionId(5), timeout_ms: 4000 };
    for said in [FromLearner::Ping(touched), revalidate, FromLearner::Ack(Zxid(E + 3))] {
        let mut member = Member::leading();
        member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
        member.said(3, said);
        assert!(member.is_closed(3).is_some());
        let is_passed_on = |said: &Output| matches!(said, Output::Touch(_) | Output::Revalidate { .. });
        assert!(!member.said.iter().any(is_passed_on));
    }
    let mut member = Member::leading();
    member.take();
    member.said(1, FromLearner::Ping(Vec::new()));
    assert!(member.take().is_empty(), "nobody was heard from");
    member.said(1, FromLearner::Ping(vec![(SessionId(9), 4000)]));
    assert!(matches!(&member.take()[..], [Output::Touch(touched)] if touched == &[(SessionId(9), 4000)]));
}
