//! One round of an election, vote by vote (reference: `FastLeaderElection.lookForLeader`).

use super::testing::{E, Member, notification};
use super::*;

/// A vote of server 1 or 3 in the first round: for whom, and what that server has.
fn looks(member: &mut Member, from: Sid, vote: (Sid, i64, i64)) {
    member.vote(from, notification(PeerState::Looking, vote, 1));
}

fn state(member: &Member) -> PeerState {
    member.zab.standing().state
}

/// The last vote of each counts.
#[test]
fn a_majority_that_falls_apart_elects_nobody() {
    for (last_word, outcome) in [((1, E + 2, 1), PeerState::Looking), ((2, E + 3, 1), PeerState::Leading)] {
        let mut member = Member::start(E + 3, true, false);
        looks(&mut member, 1, (2, E + 3, 1));
        member.pass(199);
        looks(&mut member, 1, last_word);
        member.pass(1);
        assert_eq!(state(&member), outcome, "the other votes for {last_word:?} now");
    }
}

#[test]
fn a_better_vote_begins_the_wait_for_another_anew() {
    let mut member = Member::start(E + 3, true, false);
    looks(&mut member, 1, (2, E + 3, 1));
    member.pass(100);
    looks(&mut member, 3, (3, E + 4, 1));
    member.pass(199);
    assert_eq!(state(&member), PeerState::Looking);
    member.pass(1);
    assert_eq!(state(&member), PeerState::Following);
}

#[test]
fn a_vote_of_an_earlier_round_counts_for_nothing_and_is_answered() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(3, notification(PeerState::Looking, (1, E + 1, 1), 5));
    member.take();
    member.vote(1, notification(PeerState::Looking, (3, E + 9, 1), 4));
    let told = member.votes_to(1);
    assert_eq!(told.iter().map(|vote| (vote.leader, vote.election_epoch)).collect::<Vec<_>>(), [(2, 5)]);
    member.pass(1000);
    assert_eq!(state(&member), PeerState::Looking, "it stands alone with its own vote");
}

/// A later round is taken over with the better of the vote that came and its own.
#[test]
fn a_later_round_begins_with_the_better_of_both_votes() {
    for (vote, best) in [((3, E + 4, 1), 3), ((1, E + 2, 1), 2)] {
        let mut member = Member::start(E + 3, true, false);
        member.take();
        member.vote(3, notification(PeerState::Looking, vote, 7));
        let told: Vec<_> = member.votes_to(1).iter().map(|vote| (vote.leader, vote.election_epoch)).collect();
        assert_eq!(told, [(best, 7)]);
    }
}

/// The votes of a round that is over go with it.
#[test]
fn a_vote_of_the_round_before_does_not_count_in_the_next() {
    let mut member = Member::start(E + 3, true, false);
    looks(&mut member, 1, (2, E + 3, 1));
    member.vote(3, notification(PeerState::Looking, (1, E + 1, 1), 2));
    member.pass(1000);
    assert_eq!(state(&member), PeerState::Looking, "nobody else has voted for it in this round");
}

/// It does not matter to a leader what becomes of those that have not elected it in this round.
#[test]
fn who_voted_in_the_round_before_is_no_elector() {
    let tuning = Tuning { epoch_wait_ms: Some(301), ..Tuning::default() };
    let mut member = Member::tuned(E + 3, true, false, tuning);
    looks(&mut member, 3, (2, E + 3, 1));
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 2)).pass(200);
    assert_eq!(state(&member), PeerState::Leading);
    member.pass(400).vote(3, notification(PeerState::Looking, (3, E + 4, 1), 3));
    assert_eq!(state(&member), PeerState::Leading);
    member.vote(1, notification(PeerState::Looking, (3, E + 4, 1), 3));
    assert_eq!(state(&member), PeerState::Looking);
}

/// It has lost what it once acknowledged: whoever counted it in would lose that, too.
#[test]
fn who_has_nothing_to_be_counted_on_neither_elects_nor_is_elected() {
    let mut without = Member::start(E + 3, false, false);
    looks(&mut without, 1, (1, E + 4, 1));
    looks(&mut without, 3, (1, E + 4, 1));
    without.pass(1000);
    assert_eq!(state(&without), PeerState::Looking);
    let mut only_voter = Member::of(1, 1, E + 3, false, Tuning::default());
    only_voter.pass(1000);
    assert_eq!(state(&only_voter), PeerState::Looking);
    let mut member = Member::start(E + 3, true, false);
    member.take();
    member.vote(3, notification(PeerState::Looking, (3, -1, 0), 9));
    assert!(member.votes_to(1).is_empty(), "its round is not followed");
    member.vote(3, notification(PeerState::Looking, (3, 1, 0), 9));
    assert_eq!(member.votes_to(1).len(), 1, "that of one with a little is");
}

#[test]
fn a_vote_for_a_server_that_is_no_voter_counts_for_nothing() {
    let mut member = Member::start(E + 3, true, false);
    member.take();
    member.vote(3, notification(PeerState::Looking, (4, E + 9, 9), 7));
    member.vote(3, notification(PeerState::Observing, (3, E + 9, 9), 7));
    assert!(member.votes_to(1).is_empty());
    assert_eq!(state(&member), PeerState::Looking);
}

/// A server that was elected and restarted at once is followed in the round in which it was elected, and in no other:
/// in that it leads nobody (reference: `checkLeader`).
#[test]
fn who_is_said_to_lead_does_so_only_in_the_round_in_which_it_was_elected() {
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Following, (2, E + 3, 1), 1));
    assert_eq!(state(&member), PeerState::Leading);
    let mut restarted = Member::start(E + 3, true, false);
    for sid in [1, 3] {
        restarted.vote(sid, notification(PeerState::Following, (2, E + 3, 1), 5));
    }
    assert_eq!(state(&restarted), PeerState::Looking);
}

/// Followers may not have noticed yet that it has gone.
#[test]
fn a_leader_is_followed_only_when_it_says_itself_that_it_leads() {
    let vote = (3, E + 9, 1);
    let mut member = Member::start(E + 3, true, false);
    member.vote(1, notification(PeerState::Following, vote, 5));
    assert_eq!(state(&member), PeerState::Looking);
    member.vote(3, notification(PeerState::Following, vote, 5));
    assert_eq!(state(&member), PeerState::Looking, "two follow it, and it has not said a word");
    member.vote(3, notification(PeerState::Leading, vote, 5));
    assert_eq!(state(&member), PeerState::Following);
    // The round is taken over: whoever looks again does so in the next.
    member.take();
    member.hear(Input::MasterLeft { why: "it is gone".to_owned() });
    assert_eq!(member.votes_to(1).last().map(|vote| vote.election_epoch), Some(6));
}

#[test]
fn whoever_looks_for_a_leader_or_is_alone_is_of_no_epoch() {
    let member = Member::start(E + 3, true, false);
    let alone = Zab::leading_alone(Zxid(E + 3));
    for (standing, serves) in [(member.zab.standing(), false), (alone.standing(), true)] {
        let Standing { is_serving, leader, epoch, learners, .. } = standing;
        assert_eq!((is_serving, leader, epoch, learners), (serves, None, 0, Vec::new()));
    }
}

/// Reference: `Leader.reportLookingSid`, which counts the votes of the last round.
#[test]
fn who_voted_for_it_in_an_earlier_round_only_did_not_elect_it() {
    let tuning = Tuning { epoch_wait_ms: Some(0), ..Tuning::default() };
    let mut member = Member::of(5, 2, E + 3, true, tuning);
    looks(&mut member, 5, (2, E + 3, 1));
    for sid in [1, 3] {
        member.vote(sid, notification(PeerState::Looking, (2, E + 3, 1), 2));
    }
    member.pass(200);
    assert_eq!(state(&member), PeerState::Leading);
    assert!(member.take().iter().any(|said| matches!(said, Output::Listen(true))), "it waits for learners");
    member.pass(1);
    for (sid, after) in [(5, PeerState::Leading), (3, PeerState::Looking)] {
        member.vote(sid, notification(PeerState::Looking, (5, E + 3, 1), 3));
        assert_eq!(state(&member), after, "when {sid} looks again");
    }
}

/// Reference: `FastLeaderElection.lookForLeader`, which asks nobody while it waits for a better vote.
#[test]
fn a_majority_waits_for_no_longer_where_votes_are_asked_for_more_often() {
    let mut member = Member::following(Vec::new());
    member.zab.common.options.notification_ms = (50, 50);
    member.hear(Input::MasterLeft { why: "it is gone".to_owned() });
    member.vote(1, notification(PeerState::Looking, (2, E + 3, 1), 2));
    member.pass(199);
    assert_eq!(state(&member), PeerState::Looking);
    member.pass(1);
    assert_eq!(state(&member), PeerState::Leading);
}
