//! The writer's thread of a member: it goes on turn after turn until it is stopped, and knows when it must wake.

use std::time::Duration;

use super::turns_test::Lent;
use crate::clock::Clock;

#[test]
fn the_writers_thread_goes_on_until_it_is_stopped() {
    let lent = Lent::new();
    let mut first = lent.creations(10);
    let mut second = first.split_off(5);
    let (turns, inbox, state, client, _held) = lent.lend();
    let thread = std::thread::spawn(move || turns.run());
    for (asked, left) in [(&mut first, 5), (&mut second, 0)] {
        inbox.push(asked); // too many for a turn of whoever brings them
        while client.in_flight() > left {
            assert!(!thread.is_finished(), "it ended by itself");
            std::thread::yield_now();
        }
    }
    inbox.stop();
    thread.join().unwrap().unwrap();
    assert!(state.tree().get("/n9").is_some());
}

#[test]
fn what_is_overdue_is_due_in_a_millisecond_and_not_at_once() {
    let world = Lent::new().world;
    world.clock.advance_us(60_000_000);
    assert!(world.writer.deadline_ms() < world.clock.now_ms());
    assert_eq!(world.writer.timeout(), Duration::from_millis(1));
}

#[test]
fn a_turn_counts_what_was_proposed_and_committed_in_it() {
    let mut lent = Lent::new();
    let metrics = lent.world.writer.driver.metrics.clone();
    let before = (metrics.proposal_count.value(), metrics.commit_count.value());
    let mut asked = lent.creations(3);
    lent.world.inbox.push(&mut asked);
    lent.world.wait(1);
    let after = (metrics.proposal_count.value(), metrics.commit_count.value());
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 3));
}
