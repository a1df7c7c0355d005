//! Who takes a member's turns: whoever brought something, or the writer's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jute::SessionId;
use jute::multi::CreateMode;
use tempfile::TempDir;

use super::super::inbox::Lender;
use super::super::{Client, Inbox, Snapshots, State, Turn};
use super::member_test::World;
use super::turns::Turns;
use crate::clock::Clock;
use crate::request::testing::creation;
use crate::request::{Body, Request};
use crate::zab::PeerState;

/// Nobody waits this long: what ends a wait is what is brought.
const LONG: Duration = Duration::from_secs(3600);

/// The only voter of its ensemble, which leads, with a client.
struct Lent {
    world: World,
    client: Arc<Client>,
    session: SessionId,
}

impl Lent {
    fn new() -> Self {
        let mut world = World::new(&[1], true);
        world.wait(500);
        let client = world.open();
        let session = client.session().unwrap().id;
        Self { world, client, session }
    }

    fn creations(&self, count: i32) -> Vec<Request> {
        let create = |number: i32| {
            let asked = creation(&format!("/n{number}"), CreateMode::Persistent);
            let body = Body::decode(asked.op, &asked.body);
            self.world.request(&self.client, self.session, number, asked.op, body)
        };
        (0..count).map(create).collect()
    }

    /// Lends the writer; its thread is not started.
    fn lend(self) -> (Arc<Turns>, Arc<Inbox>, Arc<State>, Arc<Client>, TempDir) {
        let Self { world, client, .. } = self;
        let World { inbox, state, writer, held, .. } = world;
        let turns = Turns::of(writer);
        turns.lend();
        (turns, inbox, state, client, held)
    }
}

/// Runs the writer's thread until it has served everything there is.
fn run_to_the_end(turns: &Arc<Turns>, inbox: &Inbox) {
    inbox.stop();
    turns.run().unwrap();
}

#[test]
fn whoever_brings_something_takes_the_turn() {
    let lent = Lent::new();
    let mut asked = lent.creations(4);
    let (_turns, inbox, state, client, _held) = lent.lend();
    inbox.push(&mut asked);
    assert_eq!(client.in_flight(), 0, "all is answered when it was brought");
    assert!(state.tree().get("/n0").is_some() && state.tree().get("/n3").is_some());
}

#[test]
fn much_at_once_is_left_to_the_writers_thread() {
    let lent = Lent::new();
    let mut asked = lent.creations(5);
    let (turns, inbox, _, client, _held) = lent.lend();
    inbox.push(&mut asked);
    assert_eq!(client.in_flight(), 5);
    run_to_the_end(&turns, &inbox);
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn what_is_brought_during_a_turn_waits_for_its_end_and_nobody_waits_for_the_turn() {
    let lent = Lent::new();
    let mut asked = lent.creations(1);
    let (turns, inbox, _, client, _held) = lent.lend();
    turns.during_a_turn(|| inbox.push(&mut asked));
    assert_eq!(client.in_flight(), 1);
    inbox.wait(LONG); // the writer's thread does not sleep over it
    run_to_the_end(&turns, &inbox);
    assert_eq!(client.in_flight(), 0);
}

/// A turn that is due takes place when it is due, and is not put off.
#[test]
fn time_passes_for_the_core_at_its_deadline_and_not_before() {
    let mut world = World::new(&[1], true);
    let turn = |world: &mut World, passed_us| {
        world.clock.advance_us(passed_us);
        assert_eq!(world.writer.turn(), Turn::Continue);
        world.state.standing.told().is_some_and(|told| told.state == PeerState::Leading)
    };
    assert!(!turn(&mut world, 0));
    assert!(!turn(&mut world, 199_000));
    assert_eq!(world.writer.deadline_ms(), world.clock.now_ms() + 1);
    world.clock.advance_us(1000);
    assert_eq!(world.writer.timeout(), Duration::from_millis(1), "nobody spins for what is due");
    assert!(turn(&mut world, 0), "the wait for a better vote is over");
    let metrics = &world.writer.driver.metrics;
    assert_eq!((metrics.looking_count.value(), metrics.election_time.sum()), (1, 200), "it is counted");
}

/// A clock on which two milliseconds pass between two looks.
#[derive(Debug)]
struct Hurried(AtomicI64);

impl Clock for Hurried {
    fn now_us(&self) -> i64 {
        self.0.fetch_add(2000, Ordering::Relaxed)
    }

    fn wall_ms(&self) -> i64 {
        0
    }
}

#[test]
fn a_short_turn_applies_for_about_a_millisecond_and_leaves_the_rest_to_others() {
    let lent = Lent::new();
    let mut asked = lent.creations(20);
    let mut world = lent.world;
    let now_us = world.clock.now_us();
    world.writer.driver.clock = Arc::new(Hurried(AtomicI64::new(now_us)));
    world.inbox.push(&mut asked);
    let applied = |world: &World| {
        (0..20).filter(|number| world.state.tree().get(&format!("/n{number}")).is_some()).count()
    };
    assert_eq!(world.writer.short_turn(), Turn::Continue);
    let few = applied(&world);
    assert!((1..20).contains(&few), "{few} were applied");
    assert!(world.writer.timeout().is_zero(), "the rest is not to wait");
    assert_eq!(world.writer.turn(), Turn::Continue);
    assert_eq!(applied(&world), 20);
}

/// Somebody brings requests in the middle of a turn.
struct Bringing(Arc<Inbox>, Vec<Request>);

impl Snapshots for Bringing {
    fn is_due(&mut self, _appended: u64, _bytes: u64) -> bool {
        self.0.push(&mut self.1);
        false
    }
    fn start(&mut self) {}
}

#[test]
fn what_is_brought_during_a_lent_turn_is_dealt_with_behind_it() {
    let mut lent = Lent::new();
    let mut first = lent.creations(2);
    let second = first.split_off(1);
    lent.world.writer.snapshots = Box::new(Bringing(lent.world.inbox.clone(), second));
    let (_turns, inbox, state, client, _held) = lent.lend();
    inbox.push(&mut first);
    assert_eq!(client.in_flight(), 0, "nobody else takes a turn");
    assert!(state.tree().get("/n0").is_some() && state.tree().get("/n1").is_some());
}

#[test]
fn the_writers_thread_is_called_when_a_turn_is_due_before_it_would_wake() {
    let lent = Lent::new();
    let clock = lent.world.clock.clone();
    let (turns, inbox, _, _, _held) = lent.lend();
    for wakes_at in [i64::MIN, clock.now_ms()] {
        turns.expect_at(wakes_at);
        turns.take_turn();
        assert!(!inbox.is_called(), "it wakes before anything is due");
    }
    turns.expect_at(i64::MAX);
    turns.take_turn();
    assert!(inbox.is_called());
    inbox.wait(LONG);
    assert!(!inbox.is_called(), "a call is heard once");
}

#[test]
fn the_writers_thread_is_called_for_what_is_left_and_when_the_disk_has_failed() {
    let lent = Lent::new();
    let mut asked = lent.creations(20);
    let Lent { mut world, client, session } = lent;
    let now_us = world.clock.now_us();
    world.writer.driver.clock = Arc::new(Hurried(AtomicI64::new(now_us)));
    world.inbox.push(&mut asked);
    let (turns, inbox, _, client, _held) = Lent { world, client, session }.lend();
    turns.expect_at(i64::MIN);
    turns.take_turn();
    assert!(inbox.is_called() && client.in_flight() > 0);

    let mut lent = Lent::new();
    lent.world.writer.has_failed = true;
    let (turns, inbox, _, _, _held) = lent.lend();
    turns.expect_at(i64::MIN);
    turns.take_turn();
    assert!(inbox.is_called(), "it ends the server");
}

#[test]
fn the_writers_thread_lends_the_writer_as_soon_as_it_runs() {
    let World { inbox, writer, held: _held, .. } = Lent::new().world;
    let turns = Turns::of(writer);
    assert!(!inbox.is_lent());
    run_to_the_end(&turns, &inbox);
    assert!(inbox.is_lent());
    assert!(turns.expects() > i64::MIN, "others know when it wakes");
}

#[test]
fn the_writers_thread_goes_on_until_the_inbox_is_stopped() {
    let lent = Lent::new();
    let mut first = lent.creations(10);
    let mut second = first.split_off(5);
    let (turns, inbox, state, client, _held) = lent.lend();
    let thread = std::thread::spawn({
        let turns = turns.clone();
        move || turns.run()
    });
    for (asked, left) in [(&mut first, 5), (&mut second, 0)] {
        inbox.push(asked);
        while client.in_flight() > left {
            assert!(!thread.is_finished(), "it serves whoever comes");
            std::thread::yield_now();
        }
    }
    inbox.stop();
    thread.join().unwrap().unwrap();
    assert!(state.tree().get("/n9").is_some());
}

#[test]
fn a_turn_keeps_nothing_of_connections_that_have_gone() {
    let mut world = Lent::new().world;
    (0..10).for_each(|connection| world.inbox.push_gone(connection));
    world.wait(1);
    assert!(world.writer.taken.gone.is_empty());
}

#[test]
fn after_the_end_nobody_takes_a_turn() {
    let lent = Lent::new();
    let (turns, inbox, state, client, _held) = lent.lend();
    run_to_the_end(&turns, &inbox);
    turns.take_turn();
    turns.run().unwrap();
    assert!(state.tree().get("/n0").is_none());
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn a_turn_is_due_within_a_second_however_late_everything_else_is() {
    let World { writer, clock, state, held: _held, .. } = Lent::new().world;
    let now_ms = clock.now_ms();
    assert!(state.sessions().next_deadline_ms().unwrap() > now_ms + 5000);
    let left_ms = writer.deadline_ms() - now_ms;
    assert!((1..=1000).contains(&left_ms), "in {left_ms} ms");
    assert_eq!(writer.timeout(), Duration::from_millis(left_ms.unsigned_abs()));
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

#[test]
fn what_is_due_by_time_is_done_in_the_turn_of_that_time() {
    let mut world = World::new(&[1, 2, 3], true);
    world.wait(1);
    let due_ms = world.writer.deadline_ms();
    let left_ms = due_ms - world.clock.now_ms();
    assert!((1..1000).contains(&left_ms), "it votes again in {left_ms} ms");
    world.clock.advance_us(left_ms * 1000);
    world.writer.turn();
    assert!(world.writer.deadline_ms() > due_ms);
}

/// Somebody brings a request in the middle of each turn.
struct BringingMore(Arc<Inbox>, Vec<Request>);

impl Snapshots for BringingMore {
    fn is_due(&mut self, _appended: u64, _bytes: u64) -> bool {
        self.0.push(&mut self.1.pop().into_iter().collect());
        false
    }
    fn start(&mut self) {}
}

#[test]
fn who_brought_something_takes_a_few_turns_and_leaves_what_comes_then_to_the_writers_thread() {
    let mut lent = Lent::new();
    let mut asked = lent.creations(7);
    let mut first = asked.split_off(6);
    lent.world.writer.snapshots = Box::new(BringingMore(lent.world.inbox.clone(), asked));
    let (turns, inbox, _, client, _held) = lent.lend();
    turns.expect_at(i64::MIN); // nothing is due by time
    inbox.push(&mut first);
    assert_eq!(client.in_flight(), 3);
    assert!(inbox.is_called());
}
