//! Timeouts, deadlines, ids, and what a snapshot keeps.

use super::*;

fn expire(sessions: &mut Sessions, now_ms: i64) -> Vec<SessionId> {
    sessions.expire(now_ms, &mut |_, _| true)
}

#[test]
fn a_server_that_looks_late_ends_sessions_in_the_order_in_which_their_time_was_up() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let [first, second, third] = [(); 3].map(|()| sessions.allocate_id());
    sessions.track(first, 8000, 1);
    sessions.track(second, 4000, 1);
    sessions.track(third, 4000, 1).touch(3000);
    assert_eq!(expire(&mut sessions, 60_000), [second, third, first]);
}

#[test]
fn a_session_of_which_nobody_knows_whether_it_was_silent_is_asked_about_again() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    let handle = sessions.track(id, 4000, 1);
    let mut asked = Vec::new();
    assert!(
        sessions
            .expire(6000, &mut |id, deadline| {
                asked.push((id, deadline));
                false
            })
            .is_empty()
    );
    assert_eq!(asked, [(id, 4001)]);
    assert_eq!(sessions.next_deadline_ms(), Some(6000 + RECHECK_MS));
    assert!(!handle.is_closing());
    // It had been heard from all along.
    handle.touch(3000);
    assert!(expire(&mut sessions, 6000 + RECHECK_MS).is_empty());
    assert_eq!(expire(&mut sessions, 8000), [id]);
}

#[test]
fn time_in_which_the_server_was_deaf_does_not_count() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    let handle = sessions.track(id, 4000, 1);
    sessions.postpone(5000, 5001);
    assert_eq!(handle.deadline_ms(), 9001);
    // It was heard from since: twice the pause would be too much.
    sessions.postpone(5000, 5001);
    assert_eq!(handle.deadline_ms(), 9001);
    assert!(expire(&mut sessions, 8000).is_empty());
    assert_eq!(expire(&mut sessions, 10_000), [id]);
}

#[test]
fn a_session_expires_at_the_tick_after_its_timeout_unless_heard_from() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    let handle = sessions.track(id, 4000, 1);
    assert_eq!(sessions.next_deadline_ms(), Some(6000));
    assert!(handle.touch(5000));
    assert!(expire(&mut sessions, 6000).is_empty());
    assert_eq!(sessions.next_deadline_ms(), Some(10_000));
    assert_eq!(expire(&mut sessions, 10_000), [id]);
    assert!(!handle.touch(10_001));
    assert!(sessions.reopen(id, 4000, 10_002).is_none());
}

#[test]
fn coming_back_with_a_shorter_timeout_brings_the_deadline_forward() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    sessions.track(id, 40_000, 0);
    sessions.reopen(id, 4000, 0);
    assert_eq!(expire(&mut sessions, 6000), [id]);
}

/// Only what is committed goes into snapshots: the log before them may be purged.
#[test]
fn a_session_that_recovery_found_is_in_the_next_snapshot() {
    let mut sessions = Sessions::new(2000, 1, 0);
    sessions.restore(SessionId(7), 4000, 1);
    sessions.track(SessionId(8), 4000, 1);
    assert_eq!(sessions.committed(), [SessionId(7)]);
    assert_eq!(expire(&mut sessions, 6000), [SessionId(7), SessionId(8)]);
}

#[test]
fn what_another_server_heard_counts_with_the_timeout_it_says() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    sessions.track(id, 40_000, 0);
    assert!(sessions.touch(id, 4000, 1000));
    assert!(!sessions.touch(SessionId(99), 4000, 1000));
    assert!(expire(&mut sessions, 4000).is_empty());
    assert_eq!(expire(&mut sessions, 6000), [id]);
    assert!(!sessions.touch(id, 4000, 6001));
    assert!(!sessions.touch(id, 5000, 6001));
}

#[test]
fn what_is_not_committed_is_forgotten_with_the_role_that_began_it() {
    let mut sessions = Sessions::new(2000, 1, 0);
    sessions.restore(SessionId(7), 4000, 0);
    sessions.restore(SessionId(8), 4000, 0);
    let begun = sessions.track(SessionId(9), 4000, 0);
    assert_eq!(expire(&mut sessions, 6000), [SessionId(7), SessionId(8), SessionId(9)]);
    sessions.forget_uncommitted();
    assert!(begun.is_closing());
    let mut left = sessions.ids();
    left.sort_unstable();
    assert_eq!(left, [SessionId(7), SessionId(8)]);
    sessions.renew_all(10_000);
    assert!(expire(&mut sessions, 12_000).is_empty());
    assert_eq!(expire(&mut sessions, 16_000), left);
}

#[test]
fn the_sessions_of_another_database_take_the_place_of_all() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let id = sessions.allocate_id();
    let before = sessions.track(id, 4000, 0);
    sessions.replace(&[(SessionId(7), 4000)].into(), 1000);
    assert!(before.is_closing());
    assert_eq!(sessions.committed(), [SessionId(7)]);
    assert_ne!(sessions.allocate_id(), id);
    assert_eq!(expire(&mut sessions, 6000), [SessionId(7)]);
}

#[test]
fn ids_carry_the_server_and_the_time() {
    let mut sessions = Sessions::new(2000, 1, 0x1234);
    assert_eq!(sessions.allocate_id().0, 0x0100_0000_1234_0000);
    assert_eq!(sessions.allocate_id().0, 0x0100_0000_1234_0001);
}

#[test]
fn nothing_is_waited_for_when_no_session_is_left() {
    let mut sessions = Sessions::new(2000, 1, 0);
    assert_eq!(sessions.next_deadline_ms(), None);
    sessions.track(SessionId(1), 4000, 1);
    sessions.track(SessionId(2), 4000, 1);
    sessions.remove(SessionId(1));
    assert_eq!(sessions.next_deadline_ms(), Some(6000));
    sessions.remove(SessionId(2));
    assert_eq!((sessions.next_deadline_ms(), sessions.ids()), (None, Vec::new()));
    sessions.track(SessionId(3), 40_000, 0);
    sessions.reopen(SessionId(3), 1000, 0);
    assert_eq!(sessions.next_deadline_ms(), Some(2000), "and nothing is left where it was");
    assert_eq!(expire(&mut sessions, 2000), [SessionId(3)]);
    assert_eq!(sessions.next_deadline_ms(), None);
}

#[test]
fn a_session_that_is_ending_is_not_come_back_to() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let handle = sessions.track(SessionId(1), 4000, 0);
    assert!(sessions.get(SessionId(2)).is_none() && sessions.reopen(SessionId(2), 4000, 0).is_none());
    assert_eq!(sessions.reopen(SessionId(1), 9000, 10).map(|handle| handle.deadline_ms()), Some(9010));
    assert_eq!(handle.timeout_ms(), 9000);
    sessions.set_closing(SessionId(1));
    sessions.set_closing(SessionId(2));
    assert!(handle.is_closing() && !handle.touch(20));
    assert!(sessions.reopen(SessionId(1), 4000, 20).is_none());
    assert!(sessions.get(SessionId(1)).is_some(), "until its end is applied");
    let other = sessions.track(SessionId(3), 4000, 0);
    sessions.remove(SessionId(3));
    assert!(other.is_closing() && sessions.get(SessionId(3)).is_none());
}

#[test]
fn hearing_from_a_session_late_does_not_take_back_what_was_heard_before() {
    let mut sessions = Sessions::new(2000, 1, 0);
    let handle = sessions.track(SessionId(1), 4000, 0);
    handle.touch(100);
    handle.touch(50);
    assert_eq!(handle.deadline_ms(), 4100);
    let same = sessions.track(SessionId(1), 9999, 200);
    assert_eq!((same.timeout_ms(), handle.deadline_ms()), (4000, 4200), "it was there already");
    assert_eq!(sessions.bucket_end_of(SessionId(1)), Some(6000));
    assert_eq!(sessions.bucket_end_of(SessionId(2)), None);
    sessions.renew_all(3000);
    assert_eq!((handle.deadline_ms(), sessions.bucket_end_of(SessionId(1))), (7000, Some(8000)));
}

#[test]
fn only_sessions_whose_beginning_is_applied_count() {
    let mut sessions = Sessions::new(2000, 1, 0);
    sessions.track(SessionId(1), 4000, 0);
    sessions.track(SessionId(2), 4000, 0);
    assert_eq!(sessions.committed_count(), 0);
    sessions.commit(SessionId(2));
    sessions.commit(SessionId(3));
    assert_eq!((sessions.committed_count(), sessions.ids().len()), (1, 2));
}

#[test]
fn an_id_is_given_out_once_and_never_is_the_mark_of_a_container() {
    let mut sessions = Sessions::new(2000, 0x80, 0);
    assert_eq!(sessions.allocate_id(), SessionId(i64::MIN + 1));
    sessions.track(SessionId(i64::MIN + 2), 4000, 0);
    assert_eq!(sessions.allocate_id(), SessionId(i64::MIN + 3));
}

#[test]
fn a_tick_may_be_a_millisecond_and_is_never_less() {
    for tick_ms in [1, 0, -5] {
        let mut sessions = Sessions::new(tick_ms, 1, 0);
        let id = sessions.allocate_id();
        sessions.track(id, 4, 0);
        assert!(expire(&mut sessions, 4).is_empty());
        assert_eq!(expire(&mut sessions, 5), [id], "the next tick, of {tick_ms} ms");
    }
}
