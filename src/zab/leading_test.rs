//! Looking for a leader, and leading. What is said to whom in which state, and what is refused. The numbers are those of the traps in the
//! description of the quorum protocols.

use jute::Zxid;

use super::testing::{E, Member, TICK, notification, proposal};
use super::*;

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

/// It would begin the next round in one that is long over, and observers would be told of that one.
#[test]
fn who_joins_a_leader_of_a_later_round_is_in_that_round() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 2), 7));
    member.vote(1, notification(PeerState::Following, (3, E + 4, 2), 7));
    assert_eq!(member.zab.standing().leader, Some(3));
    member.take();
    member.vote(4, notification(PeerState::Observing, (i64::MIN, 0, 0), 0));
    assert_eq!(member.votes_to(4).last().map(|vote| vote.election_epoch), Some(7));
    member.hear(Input::MasterLeft { why: "gone".to_owned() });
    assert_eq!(member.votes_to(1).last().map(|vote| vote.election_epoch), Some(8));
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
    let told = member.votes_to(1);
    let told = (told[0].leader, told[0].zxid.0, told[0].election_epoch, told[0].peer_epoch);
    assert_eq!(told, (i64::MIN, i64::MIN, 1, i64::MIN), "nothing of its history");
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 2), 7));
    member.vote(1, notification(PeerState::Following, (3, E + 4, 2), 7)).hear(Input::MasterCame);
    let said = member.packets_up();
    let [ToMaster::Hello(hello)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((hello.is_observer, hello.protocol), (true, 0x10000), "the version of 3.4 and later");
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
    assert!(matches!(&member.packets_up()[..], [ToMaster::AckEpoch(ack)] if ack.last() == Zxid(-1)));

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
    let said = member.packets(5);
    let [ToLearner::LeaderInfo(_), ToLearner::Trunc(to), ToLearner::NewLeader { zxid, .. }] = &said[..]
    else {
        panic!("a cut, and nothing more is lacking: {said:?}")
    };
    assert_eq!((*to, *zxid), (Zxid(E + 3), Zxid(2 * E)), "what it has more never was");
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

#[test]
fn a_leader_goes_on_for_as_long_as_its_followers_may_be_silent() {
    let mut member = Member::leading();
    for _ in 0..6 {
        member.said(1, FromLearner::Ping(Vec::new())).pass(5 * TICK);
        assert!(member.zab.standing().is_serving, "{:?}", member.said);
    }
    member.pass(2 * TICK);
    assert!(!member.zab.standing().is_serving);
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

/// A learner of before 3.9.3 forgets with NEWLEADER what was proposed before and not committed, and falls over its
/// commit when that comes before UPTODATE (ZOOKEEPER-4394).
#[test]
fn what_is_proposed_and_not_committed_follows_new_leader() {
    let mut member = Member::leading();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1), proposal(2 * E + 2)]));
    member.said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    member.said(1, FromLearner::Ack(Zxid(2 * E + 2)));
    member.said(3, FromLearner::Ack(Zxid(2 * E)));
    let told: Vec<_> = member
        .packets(3)
        .into_iter()
        .filter_map(|packet| match packet {
            ToLearner::Proposal(proposal) => Some(("proposal", proposal.zxid.counter())),
            ToLearner::Commit(zxid) => Some(("commit", zxid.counter())),
            ToLearner::NewLeader { .. } => Some(("new leader", 0)),
            ToLearner::UpToDate => Some(("up to date", 0)),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            ("proposal", 1),
            ("commit", 1),
            ("new leader", 0),
            ("proposal", 2),
            ("commit", 2),
            ("up to date", 0)
        ]
    );
}

/// A follower that writes a snapshot before it acknowledges NEWLEADER is not late with what was proposed meanwhile.
#[test]
fn what_was_proposed_before_a_follower_was_up_to_date_is_not_waited_for() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
    for _ in 0..7 {
        member.said(1, FromLearner::Ack(Zxid(2 * E + 1))).pass(TICK);
    }
    member.said(3, FromLearner::Ack(Zxid(2 * E))).pass(TICK);
    assert_eq!(member.is_closed(3), None);
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
    leading.skip_to(&mut member.zab.common, Zxid(3 * E - 4));
    member.hear(Input::Prepared(vec![proposal(3 * E - 3)]));
    assert_eq!(member.zab.standing().state, PeerState::Leading);
    member.hear(Input::Prepared(vec![proposal(3 * E - 2)]));
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    assert_eq!(
        member.votes_to(1).last().map(|vote| vote.zxid),
        Some(Zxid(3 * E - 2)),
        "nothing of it is lost"
    );
}

/// A follower that reads nothing is sent no more than its window, and is dropped when memory no longer reaches back to it.
#[test]
fn a_follower_that_reads_nothing_is_sent_a_window_and_then_dropped() {
    let mut member = Member::leading();
    member.take();
    let payload = bytes::Bytes::from(vec![0; 100 << 10]);
    let large = (1..=600).map(|n| Proposal { zxid: Zxid(2 * E + n), payload: payload.clone() }).collect();
    member.hear(Input::Prepared(large));
    let sent: usize = member.packets(1).iter().map(ToLearner::weight).sum();
    assert!((4 << 20..5 << 20).contains(&sent), "{sent} bytes are on their way");
    member.zab.applied(Zxid(2 * E + 600));
    member.hear(Input::Drained { link: Link(1), bytes: sent });
    assert!(member.is_closed(1).is_some_and(|why| why.contains("behind")));
}

/// From its first packet on, what a learner was sent counts until it is drained.
#[test]
fn a_learner_is_sent_more_for_as_long_as_its_window_is_not_full() {
    for (free, sent_behind_it) in [(1, 1), (0, 0)] {
        let mut member = Member::leading();
        member.take();
        member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
        member.said(3, FromLearner::Ack(Zxid(2 * E)));
        let sent: usize = member.packets(3).iter().map(ToLearner::weight).sum();
        let payload = bytes::Bytes::from(vec![0; (4 << 20) - 64 - sent - free]);
        member.hear(Input::Prepared(vec![Proposal { zxid: Zxid(2 * E + 1), payload }]));
        member.hear(Input::Prepared(vec![proposal(2 * E + 2)]));
        assert_eq!(member.packets(3).len(), 1 + sent_behind_it, "with {free} bytes left");
        member.hear(Input::Drained { link: Link(3), bytes: usize::MAX });
        assert_eq!(member.packets(3).len(), 1 - sent_behind_it);
    }
}

/// What a learner is told of where it stands.
#[test]
fn a_learner_that_stands_at_the_begin_of_the_epoch_is_told_of_that_place() {
    for (last, is_proposed, told) in [(E + 3, 0, E + 3), (2 * E, 0, 2 * E), (2 * E, 1, 2 * E + 1)] {
        let mut member = Member::leading();
        if is_proposed > 0 {
            member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
            member.said(1, FromLearner::Ack(Zxid(2 * E + 1)));
        }
        member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(last) });
        let said = member.packets(3);
        assert!(matches!(said[..], [ToLearner::LeaderInfo(_), ToLearner::Diff(zxid), ..] if zxid.0 == told));
        let sent = said.iter().filter(|packet| matches!(packet, ToLearner::Proposal(_))).count();
        assert_eq!(sent, is_proposed);
    }
}

/// The log on disk may not have the place either.
#[test]
fn a_learner_of_which_the_log_has_no_trace_is_sent_a_snapshot() {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(5) });
    let (from, upto) = (Zxid(5), Zxid(E));
    let is_stream = |said: &Output| {
        matches!(said, Output::StreamLog { link: Link(3), diff: Some(diff), after, to }
            if (*diff, *after, *to) == (Zxid(E + 3), from, upto))
    };
    assert!(member.take().iter().any(is_stream));
    let streams = |member: &mut Member| {
        let said = member.hear(Input::StreamRefused { link: Link(3) }).take();
        said.iter().filter(|said| matches!(said, Output::StreamSnapshot { link: Link(3) })).count()
    };
    assert_eq!(streams(&mut member), 1);
    member.hear(Input::SnapshotBegan { link: Link(3), zxid: Zxid(E + 3) });
    member.hear(Input::Streamed { link: Link(3) });
    assert!(matches!(member.packets(3)[..], [ToLearner::NewLeader { .. }]));
    assert_eq!(streams(&mut member), 0, "it is over");
    // Another one, to which the log has been sent, goes on behind it.
    member.learner(5, 5, 1).said(5, FromLearner::AckEpoch { current: 1, last: Zxid(5) });
    member.take();
    member.hear(Input::Streamed { link: Link(5) });
    let zxids = member.packets(5).into_iter().filter_map(|packet| match packet {
        ToLearner::Proposal(proposal) => Some(proposal.zxid.0),
        _ => None,
    });
    assert_eq!(zxids.collect::<Vec<_>>(), [E + 1, E + 2, E + 3]);
}

/// The same while it is brought up to date: then what it lacks comes from the log on disk.
#[test]
fn a_learner_that_takes_in_the_sync_slowly_is_sent_from_the_log_what_memory_has_lost() {
    let mut member = Member::leading();
    let (payload, last) = (bytes::Bytes::from(vec![0; 100 << 10]), Zxid(2 * E + 600));
    let large = (1..=600).map(|n| Proposal { zxid: Zxid(2 * E + n), payload: payload.clone() }).collect();
    member.hear(Input::Prepared(large));
    for _ in 0..20 {
        member.hear(Input::Drained { link: Link(1), bytes: usize::MAX });
    }
    member.said(1, FromLearner::Ack(last));
    member.take();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    let commits = member.packets(3).into_iter().filter_map(|packet| match packet {
        ToLearner::Commit(zxid) => Some(zxid),
        _ => None,
    });
    let sent = commits.max().expect("the beginning of it");
    member.zab.applied(last);
    member.hear(Input::Drained { link: Link(3), bytes: usize::MAX });
    let streams = member.take().into_iter().filter_map(|output| match output {
        Output::StreamLog { link: Link(3), diff: None, after, to } => Some((after, to)),
        _ => None,
    });
    let streams: Vec<_> = streams.collect();
    let [(after, to)] = streams[..] else { panic!("one stream: {streams:?}") };
    assert_eq!(after, sent);
    member.hear(Input::Streamed { link: Link(3) });
    let next = member.packets(3).into_iter().next();
    assert!(matches!(&next, Some(ToLearner::Proposal(next)) if next.zxid == to.successor()), "after {to}");
}

/// What it had proposed before is committed with the epoch, though nothing more is asked of it.
#[test]
fn the_only_voter_commits_its_history_when_it_leads_again() {
    let mut member = Member::leading_alone(E + 3);
    let Role::Leading(leading) = &mut member.zab.role else { panic!("it leads") };
    leading.skip_to(&mut member.zab.common, Zxid(3 * E - 3));
    let last = Zxid(3 * E - 2);
    member.take();
    member.hear(Input::Prepared(vec![proposal(last.0)])).pass(201);
    assert_eq!((member.zab.standing().is_serving, member.zab.standing().epoch), (true, 3));
    assert!(member.said.iter().any(|output| matches!(output, Output::Commit { up_to } if *up_to == last)));
}

/// Reference: `Leader.LEADERINFO`: the epoch is in the zxid, and the version of the protocol behind it.
#[test]
fn a_leader_tells_its_epoch_and_the_protocol_that_it_speaks() {
    let mut member = Member::leading();
    let said = member.packets(1);
    let info = said.iter().find(|said| matches!(said, ToLearner::LeaderInfo(_))).expect("it is told first");
    let mut sent = Vec::new();
    info.encode(&mut sent);
    let heard = Packet::decode(&sent.into()).unwrap().into_from_master();
    assert_eq!(heard, Ok(FromMaster::LeaderInfo { epoch: 2, protocol: PROTOCOL }));
}
