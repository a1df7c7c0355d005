//! What bounds a leader and an observer beside the protocol: their own disk, how many are brought up to date at a time,
//! how long they wait.

use jute::Zxid;

use super::testing::{E, Member, TICK, notification, proposal};
use super::*;

/// A leader of three with both followers in sync, over links 1 and 3.
fn leading_both() -> Member {
    let mut member = Member::leading();
    member.learner(3, 3, 1).said(3, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
    member.said(3, FromLearner::Ack(Zxid(2 * E)));
    member
}

/// Both followers are well, for so many ticks.
fn pass_well(member: &mut Member, ticks: Ms, links: &[u64]) {
    for _ in 0..ticks {
        for link in links {
            member.said(*link, FromLearner::Ping(Vec::new()));
        }
        member.pass(TICK);
    }
}

#[test]
fn a_leader_whose_log_takes_nothing_makes_place_and_is_not_elected_before_it_does() {
    let mut member = leading_both();
    member.stuck = Some(Vec::new());
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
    for link in [1, 3] {
        member.said(link, FromLearner::Ack(Zxid(2 * E + 1)));
    }
    assert!(member.packets(3).contains(&ToLearner::Commit(Zxid(2 * E + 1))), "the others can do without it");
    pass_well(&mut member, 4, &[1, 3]);
    assert!(member.zab.standing().is_serving, "no longer than a follower may take");
    pass_well(&mut member, 3, &[1, 3]);
    assert!(!member.zab.standing().is_serving);
    assert!(member.take().iter().any(|output| matches!(output, Output::Listen(false))));
    member.pass(50 * TICK);
    assert!(member.votes_to(1).is_empty(), "what it would vote with is not durable");
    member.disk_goes_on();
    assert_eq!(member.votes_to(1).last().map(|vote| vote.zxid), Some(Zxid(2 * E + 1)));
}

/// Reference: `receivedFollowingNotification`, which counts the votes of the same round.
#[test]
fn a_leader_of_the_same_round_is_followed_at_once_where_a_vote_for_it_came_before() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Looking, (3, E + 4, 1), 1));
    assert_eq!(member.zab.standing().state, PeerState::Looking, "there may be a better one");
    member.vote(3, notification(PeerState::Leading, (3, E + 4, 1), 1));
    assert_eq!(member.zab.standing().state, PeerState::Following);
}

#[test]
fn what_others_say_while_the_disk_is_waited_for_counts_when_the_election_begins() {
    let mut member = leading_both();
    member.stuck = Some(Vec::new());
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
    for link in [1, 3] {
        member.said(link, FromLearner::Ack(Zxid(2 * E + 1)));
    }
    pass_well(&mut member, 7, &[1, 3]);
    assert_eq!(member.zab.standing().state, PeerState::Looking);
    for (sid, state) in [(3, PeerState::Leading), (1, PeerState::Following)] {
        member.vote(sid, notification(state, (3, 2 * E + 1, 3), 9));
    }
    member.disk_goes_on();
    assert_eq!(member.zab.standing().state, PeerState::Following, "nobody has to say it again");
}

#[test]
fn a_leader_whose_log_takes_nothing_goes_on_where_nobody_else_could_lead() {
    let mut member = Member::leading();
    member.stuck = Some(Vec::new());
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)])).said(1, FromLearner::Ack(Zxid(2 * E + 1)));
    pass_well(&mut member, 20, &[1]);
    assert!(member.zab.standing().is_serving, "reads go on");
    member.disk_goes_on();
    assert!(member.said.iter().any(|output| matches!(output, Output::Commit { .. })));
}

/// The file of the epoch is on the same disk.
#[test]
fn a_leader_that_cannot_write_its_epoch_gives_up_within_init_limit() {
    let mut member = Member::start(E + 3, true, false);
    member.stuck = Some(Vec::new());
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
    member.learner(1, 1, 1);
    member.take();
    member.pass(10 * TICK);
    assert!(member.take().iter().any(|output| matches!(output, Output::Listen(false))));
}

#[test]
fn an_observer_is_turned_away_while_too_many_others_are_brought_up_to_date() {
    let one = Tuning { syncs_max: Syncs { snap: 1, diff: 1 }, ..Tuning::default() };
    for (last, key) in [(-1, "leader.maxConcurrentSnapSyncs"), (E + 3, "leader.maxConcurrentDiffSyncs")] {
        let mut member = Member::leading_tuned(one);
        let come = |member: &mut Member, link, sid| {
            member.learner(link, sid, 1);
            member.said(link, FromLearner::AckEpoch { current: 1, last: Zxid(last) });
        };
        come(&mut member, 4, 4);
        assert_eq!(member.is_closed(4), None);
        come(&mut member, 5, 5);
        assert!(member.is_closed(5).is_some_and(|why| why.contains(key)), "{:?}", member.is_closed(5));
        come(&mut member, 3, 3);
        assert_eq!(member.is_closed(3), None, "a voter is never turned away");
        member.hear(Input::LearnerLeft { link: Link(3) }).hear(Input::LearnerLeft { link: Link(4) });
        come(&mut member, 6, 6);
        assert_eq!(member.is_closed(6), None, "the others have gone");
        member.hear(Input::SnapshotBegan { link: Link(6), zxid: Zxid(E + 3) });
        member.hear(Input::Streamed { link: Link(6) }).said(6, FromLearner::Ack(Zxid(2 * E)));
        come(&mut member, 7, 7);
        assert_eq!(member.is_closed(7), None, "the one before it is up to date");
    }
}

#[test]
fn a_leader_whose_elector_looks_again_gives_up_after_the_time_that_is_set() {
    let looks = |sid| (sid, notification(PeerState::Looking, (3, E + 4, 1), 2));
    for (epoch_wait_ms, gives_up) in [(Some(301), true), (None, false)] {
        let mut member = Member::tuned(E + 3, true, false, Tuning { epoch_wait_ms, ..Tuning::default() });
        member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(201);
        assert_eq!(member.zab.standing().state, PeerState::Leading);
        let (elector, vote) = looks(1);
        member.pass(300).vote(elector, vote.clone());
        assert_eq!(member.zab.standing().state, PeerState::Leading, "not before");
        member.pass(1).vote(3, vote.clone());
        assert_eq!(member.zab.standing().state, PeerState::Leading, "it did not elect this one");
        member.vote(elector, vote);
        assert_eq!(member.zab.standing().state == PeerState::Looking, gives_up);
    }
}

#[test]
fn an_observer_waits_before_it_connects_and_before_it_looks_again() {
    let tuning = Tuning { observer_connects_ms: 2000, observer_looks_ms: 3000, ..Tuning::default() };
    let mut member = Member::tuned(E + 3, true, true, tuning);
    let vote = (3, E + 4, 2);
    let elect = |member: &mut Member| {
        member.vote(3, notification(PeerState::Leading, vote, 7));
        member.vote(1, notification(PeerState::Following, vote, 7));
    };
    let passes_until = |member: &mut Member, wanted: fn(&Output) -> bool| {
        let begin = member.now;
        while !member.said.iter().any(wanted) {
            assert!(member.now - begin < 3000, "it waits for no longer than it is told to");
            member.pass(1);
        }
        member.take();
        member.now - begin
    };
    member.take();
    elect(&mut member);
    assert!(passes_until(&mut member, |said| matches!(said, Output::DialMaster(3))) > 0);
    member.hear(Input::MasterLeft { why: "it is gone".to_owned() });
    assert!(!member.take().iter().any(|said| matches!(said, Output::Notify { .. })), "it rests first");
    assert!(passes_until(&mut member, |said| matches!(said, Output::Notify { .. })) > 0);
}

/// A server that stood still hears what came meanwhile before it looks at its clock.
#[test]
fn an_observer_that_hears_something_when_its_rest_is_over_looks_all_the_same() {
    let tuning = Tuning { observer_looks_ms: 3000, ..Tuning::default() };
    let mut member = Member::tuned(E + 3, true, true, tuning);
    let vote = (3, E + 4, 2);
    member.vote(3, notification(PeerState::Leading, vote, 7));
    member.vote(1, notification(PeerState::Following, vote, 7));
    member.hear(Input::MasterLeft { why: "it is gone".to_owned() });
    member.take();
    member.now += 3000;
    member.vote(3, notification(PeerState::Looking, vote, 8)).pass(1);
    assert!(member.take().iter().any(|said| matches!(said, Output::Notify { .. })), "it looks for a leader");
}

#[test]
fn learners_syncs_that_wait_are_counted_by_what_they_wait_for() {
    let mut member = leading_both();
    member.hear(Input::Prepared(vec![proposal(2 * E + 1)]));
    member.hear(Input::SyncAsked { link: Link(1) }).hear(Input::SyncAsked { link: Link(3) });
    assert_eq!(member.zab.progress().pending_syncs, 1);
    member.hear(Input::Prepared(vec![proposal(2 * E + 2)])).hear(Input::SyncAsked { link: Link(1) });
    assert_eq!(member.zab.progress().pending_syncs, 2);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 1))).said(1, FromLearner::Ack(Zxid(2 * E + 2)));
    assert_eq!(member.zab.progress().pending_syncs, 0);
    assert_eq!(member.zab.progress().proposed, Zxid(2 * E + 2));
}

/// It is the commit that ends the wait: neither a learner that leaves nor one that reads late changes the count.
#[test]
fn the_count_of_syncs_that_wait_follows_proposals_and_commits() {
    let mut member = leading_both();
    let count = |member: &Member| member.zab.progress().pending_syncs;
    let sync = |link| Input::SyncAsked { link: Link(link) };
    member.hear(sync(1));
    assert_eq!(count(&member), 0, "everything is committed");
    for n in 1..=4 {
        member.hear(Input::Prepared(vec![proposal(2 * E + n)]));
        if n != 3 {
            member.hear(sync(1)).hear(sync(3)).hear(sync(1));
        }
    }
    assert_eq!(count(&member), 3, "nobody waits for the third transaction");
    member.hear(sync(9));
    assert_eq!(count(&member), 3);
    member.said(3, FromLearner::Ack(Zxid(2 * E + 1)));
    assert_eq!(count(&member), 2);
    member.hear(Input::LearnerLeft { link: Link(3) });
    assert_eq!(count(&member), 2);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 3)));
    assert_eq!(count(&member), 1);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 4)));
    assert_eq!(count(&member), 0);
    member.hear(sync(1));
    assert_eq!(count(&member), 0);
    // More than may be on its way to a learner: the commit has to wait until that is read.
    let payload = bytes::Bytes::from(vec![0; 5 << 20]);
    member.hear(Input::Prepared(vec![Proposal { zxid: Zxid(2 * E + 5), payload }])).hear(sync(1));
    assert_eq!(count(&member), 1);
    member.said(1, FromLearner::Ack(Zxid(2 * E + 5)));
    assert_eq!((count(&member), member.zab.progress().committed), (0, Zxid(2 * E + 5)));
    assert!(!member.packets(1).contains(&ToLearner::Commit(Zxid(2 * E + 5))), "it reads late");
}

/// In each phase before it serves, a leader waits for as long as initLimit.
#[test]
fn a_leader_that_no_quorum_follows_through_a_phase_gives_up_at_init_limit() {
    for steps in 0..=2 {
        let mut member = Member::start(E + 3, true, false);
        member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 1)).pass(200);
        assert_eq!(member.zab.standing().state, PeerState::Leading);
        if steps >= 1 {
            member.pass(7 * TICK).learner(1, 1, 1);
        }
        if steps >= 2 {
            member.pass(7 * TICK).said(1, FromLearner::AckEpoch { current: 1, last: Zxid(E + 3) });
        }
        member.pass(10 * TICK - 1);
        assert_eq!(member.zab.standing().state, PeerState::Leading, "after {steps} steps");
        member.pass(1);
        assert_eq!(member.zab.standing().state, PeerState::Looking, "after {steps} steps");
    }
}

#[test]
fn followers_are_pinged_twice_a_tick() {
    let mut member = leading_both();
    let elected = 200;
    member.take();
    let pings = |member: &mut Member| {
        member.packets(3).iter().filter(|packet| matches!(packet, ToLearner::Ping(_))).count()
    };
    for half in 1..=8 {
        member.said(1, FromLearner::Ping(Vec::new())).said(3, FromLearner::Ping(Vec::new()));
        member.pass(elected + half * TICK / 2 - 1 - member.now);
        assert_eq!(pings(&mut member), 0, "before half tick {half}");
        member.pass(1);
        assert_eq!(pings(&mut member), 1, "at half tick {half}");
    }
}

/// Whoever waits for it to answer can then be told.
#[test]
fn the_end_of_a_learner_is_said_once_whoever_ends_it() {
    let mut member = leading_both();
    let gone = |member: &mut Member| {
        let of = |said: Output| if let Output::LearnerGone { link } = said { Some(link.0) } else { None };
        member.take().into_iter().filter_map(of).collect::<Vec<_>>()
    };
    member.take();
    member.hear(Input::LearnerLeft { link: Link(1) });
    assert_eq!(gone(&mut member), [1]);
    member.said(3, FromLearner::Ack(Zxid(2 * E + 9)));
    assert!(member.is_closed(3).is_some());
    assert_eq!(gone(&mut member), [3]);
    member.hear(Input::LearnerLeft { link: Link(1) }).hear(Input::LearnerLeft { link: Link(3) });
    assert_eq!(gone(&mut member), [] as [u64; 0]);
}

#[test]
fn a_follower_may_be_silent_or_late_for_as_long_as_sync_limit_and_no_longer() {
    for owes_an_ack in [false, true] {
        let mut member = leading_both();
        if owes_an_ack {
            member
                .hear(Input::Prepared(vec![proposal(2 * E + 1)]))
                .said(1, FromLearner::Ack(Zxid(2 * E + 1)));
        }
        let begin = member.now;
        // Half ticks, at which it is looked at, fall on the limit.
        while member.now < begin + 5 * TICK {
            member.said(1, FromLearner::Ping(Vec::new()));
            if owes_an_ack {
                member.said(3, FromLearner::Ping(Vec::new()));
            }
            member.pass(TICK / 2);
        }
        assert_eq!(member.is_closed(3), None);
        member.said(1, FromLearner::Ping(Vec::new())).pass(TICK / 2);
        let why = member.is_closed(3).expect("it is dropped");
        assert_eq!(why.contains("acknowledged"), owes_an_ack, "{why}");
    }
}

#[test]
fn a_learner_that_takes_no_step_is_dropped_after_init_limit() {
    let mut member = Member::leading();
    member.learner(3, 3, 1);
    let begin = member.now;
    while member.now < begin + 10 * TICK {
        member.said(1, FromLearner::Ping(Vec::new())).pass(TICK / 2);
    }
    assert_eq!(member.is_closed(3), None);
    member.said(1, FromLearner::Ping(Vec::new())).pass(TICK / 2);
    assert!(member.is_closed(3).is_some_and(|why| why.contains("initLimit")));
}

/// Reference: `LearnerHandler.run`, `Leader.getEpochToPropose`.
#[test]
fn a_learner_that_cannot_take_part_is_turned_away() {
    let good =
        Hello { is_observer: false, accepted_epoch: 2, sid: Some(3), protocol: PROTOCOL, config_version: 0 };
    let last = i64::from(i32::MAX) - 2;
    for (hello, says) in [
        (good.clone(), None),
        (Hello { protocol: PROTOCOL - 1, ..good.clone() }, Some("3.4")),
        (Hello { config_version: 1, ..good.clone() }, Some("configuration")),
        (Hello { accepted_epoch: -1, ..good.clone() }, Some("cannot be")),
        (Hello { accepted_epoch: last + 1, ..good.clone() }, Some("cannot be")),
        (Hello { accepted_epoch: last, ..good.clone() }, None),
        (Hello { accepted_epoch: 0, ..good }, None),
    ] {
        let mut member = Member::leading();
        member.hear(Input::LearnerCame { link: Link(3), hello });
        match says {
            None => assert_eq!(member.is_closed(3), None),
            Some(says) => assert!(member.is_closed(3).is_some_and(|why| why.contains(says)), "{says}"),
        }
    }
}

/// Observers without a number of their own are told apart, and no number of a server is taken.
#[test]
fn observers_without_a_number_are_given_numbers_that_no_server_has() {
    let mut member = Member::leading();
    for link in 5..=7 {
        let hello =
            Hello { is_observer: true, accepted_epoch: 1, sid: None, protocol: PROTOCOL, config_version: 0 };
        member.hear(Input::LearnerCame { link: Link(link), hello });
    }
    let numbers: Vec<_> = member.zab.standing().learners.iter().map(|(sid, ..)| *sid).collect();
    assert_eq!(numbers, [1, -1, -2, -3]);
}

/// It took longer than initLimit, and that was not its fault.
#[test]
fn a_learner_that_was_sent_the_tree_has_its_whole_time_from_then_on() {
    let mut member = leading_both();
    member.learner(4, 4, 1).said(4, FromLearner::AckEpoch { current: 1, last: Zxid(-1) });
    member.hear(Input::SnapshotBegan { link: Link(4), zxid: Zxid(E + 3) });
    pass_well(&mut member, 13, &[1, 3]);
    member.hear(Input::Streamed { link: Link(4) });
    pass_well(&mut member, 10, &[1, 3]);
    assert_eq!(member.is_closed(4), None);
    pass_well(&mut member, 1, &[1, 3]);
    assert!(member.is_closed(4).is_some_and(|why| why.contains("initLimit")));
}

#[test]
fn a_learner_is_sent_no_more_than_its_window_until_it_has_read() {
    for (less, count) in [(0, 1), (1, 2)] {
        let mut member = leading_both();
        let sent = member.packets(1).iter().map(ToLearner::weight).sum();
        member.hear(Input::Drained { link: Link(1), bytes: sent });
        let weight = ToLearner::Proposal(Proposal { zxid: Zxid(1), payload: bytes::Bytes::new() }).weight();
        let payload = bytes::Bytes::from(vec![0; (4 << 20) - weight - less]);
        let first = Proposal { zxid: Zxid(2 * E + 1), payload };
        member.hear(Input::Prepared(vec![first, proposal(2 * E + 2)]));
        assert_eq!(member.packets(1).len(), count, "{less} bytes less than the window");
        member.hear(Input::Drained { link: Link(1), bytes: 1 });
        assert_eq!(member.packets(1).len(), 2 - count);
    }
}

/// It has been sent transactions that are committed since, and was not told, as it does not read.
#[test]
fn what_a_slow_learner_was_not_told_to_be_committed_is_kept_for_it() {
    let mut member = leading_both();
    let small = (1..=1200).map(|n| proposal(2 * E + n)).collect();
    let payload = bytes::Bytes::from(vec![0; 5 << 20]);
    let last = Zxid(2 * E + 1201);
    member.hear(Input::Prepared(small)).hear(Input::Prepared(vec![Proposal { zxid: last, payload }]));
    member.hear(Input::Drained { link: Link(3), bytes: usize::MAX }).said(3, FromLearner::Ack(last));
    member.zab.applied(last);
    member.take();
    member.hear(Input::Drained { link: Link(1), bytes: usize::MAX });
    assert_eq!(member.is_closed(1), None);
    let commits = member.packets(1).into_iter().filter(|packet| matches!(packet, ToLearner::Commit(_)));
    assert_eq!(commits.count(), 1201);
}

/// Reference: `FastLeaderElection.lookForLeader`.
#[test]
fn who_hears_nothing_asks_again_after_twice_as_long_each_time_up_to_a_limit() {
    let mut member = Member::start(E + 3, true, false);
    let asked = |member: &mut Member| {
        let said = member.take();
        let dials = said.iter().filter(|said| matches!(said, Output::Dial)).count();
        let votes = said.iter().filter(|said| matches!(said, Output::Notify { to: 1, .. })).count();
        (dials, votes)
    };
    assert_eq!(asked(&mut member), (0, 1));
    let waits = [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
    for wait in waits {
        member.pass(wait - 1);
        assert_eq!(asked(&mut member), (0, 0), "before {wait} ms");
        member.pass(1);
        assert_eq!(asked(&mut member), (1, 1), "after {wait} ms");
    }
    member.pass(59_000).vote(3, notification(PeerState::Looking, (3, 0, 0), 0));
    member.take();
    member.pass(59_999);
    assert_eq!(asked(&mut member), (0, 0), "whoever hears something waits anew");
    member.pass(1);
    assert_eq!(asked(&mut member), (1, 1));
}

#[test]
fn a_vote_of_a_round_that_cannot_be_is_not_taken() {
    for (round, is_taken) in [(1 << 48, false), ((1 << 48) - 1, true), (-1, false), (i64::MAX, false)] {
        let mut member = Member::start(E + 3, true, false);
        member.take();
        member.vote(3, notification(PeerState::Looking, (3, E + 4, 1), round));
        let told = member.votes_to(1).last().map(|vote| (vote.leader, vote.election_epoch));
        assert_eq!(told, is_taken.then_some((3, round)));
    }
}

#[test]
fn an_observer_that_is_sent_the_tree_as_the_log_has_no_trace_of_it_counts_among_those_that_are() {
    let one = Tuning { syncs_max: Syncs { snap: 1, diff: 2 }, ..Tuning::default() };
    let mut member = Member::leading_tuned(one);
    for sid in [4, 5] {
        member.learner(sid as u64, sid, 1);
        member.said(sid as u64, FromLearner::AckEpoch { current: 1, last: Zxid(5) });
    }
    assert!(member.is_closed(4).is_none() && member.is_closed(5).is_none(), "{:?}", member.said);
    member.hear(Input::StreamRefused { link: Link(4) });
    assert_eq!(member.is_closed(4), None);
    member.hear(Input::StreamRefused { link: Link(5) });
    assert!(member.is_closed(5).is_some_and(|why| why.contains("leader.maxConcurrentSnapSyncs")));
    member.learner(6, 6, 1).said(6, FromLearner::AckEpoch { current: 1, last: Zxid(5) });
    assert_eq!(member.is_closed(6), None, "both have left the others");
    let snapshots = |said: &&Output| matches!(said, Output::StreamSnapshot { .. });
    assert_eq!(member.said.iter().filter(snapshots).count(), 1);
}
