//! What the replica says, on its way into outboxes: bounds, whose connection is woken, and for how long it goes on.

use std::sync::Arc;

use jute::{OpCode, SessionId, Zxid};

use super::budget::Budget;
use super::delivery::Delivery;
use super::outbox::{Closing, EVENT_BYTES_MAX, WAITING_BYTES_MAX};
use super::{Client, State};
use crate::clock::ManualClock;
use crate::metrics::Metrics;
use crate::replica::{Host, Observation, Outcome};
use crate::request::testing::OPTIONS;
use crate::request::{Head, Origin};
use crate::session::Sessions;
use crate::tree::{OwnerRules, Tree};
use crate::watch::EventType;

/// A request of the client.
const HEAD: Head = Head {
    origin: Origin::Client(1),
    session: SessionId(1),
    xid: 1,
    op: OpCode::CREATE,
    received_ms: 0,
    bytes: 100,
    knows_read_only: true,
};

struct World {
    state: State,
    metrics: Metrics,
    clock: ManualClock,
    client: Arc<Client>,
}

impl World {
    /// With a client in whose outbox so many bytes are.
    fn with(piled: usize) -> Self {
        let tree = Tree::new(OwnerRules::default());
        let state = State::new(tree, Sessions::new(2000, 1, 0), OPTIONS, Budget::unlimited(), 0);
        let client = Arc::new(Client::new(1, ([127, 0, 0, 1], 1).into(), 0));
        client.outbox().append(|out| out.raw(|out| out.resize(piled, 0)));
        state.register(client.clone());
        Self { state, metrics: Metrics::new(), clock: ManualClock::default(), client }
    }

    fn host(&self) -> Delivery<'_> {
        Delivery::new(&self.state, &self.metrics, &self.clock)
    }

    /// A request of the client is answered.
    fn answer(&self) {
        self.client.enter(100);
        self.state.budget.enter(1, 100);
        let mut host = self.host();
        host.answer(&HEAD, Outcome::Replied { zxid: Zxid(1), is_ok: true }, |out| {
            out.reply(1, Zxid(1), |_| Ok(()));
        });
        host.send();
    }

    fn notify(&self) {
        let mut host = self.host();
        host.notify(1, EventType::NodeCreated, "/a", Zxid(1));
        host.send();
    }
}

/// To the byte; what is answered is done, whether it is read or not.
#[test]
fn a_client_leaves_as_many_replies_unread_as_it_may_and_not_a_byte_more() {
    for (piled, closing) in [
        (WAITING_BYTES_MAX, None),
        (WAITING_BYTES_MAX + 1, Some(Closing::Refused("it reads none of the replies behind its writes"))),
    ] {
        let world = World::with(piled);
        world.answer();
        assert_eq!(world.client.outbox().closing(), closing);
        assert_eq!((world.client.in_flight(), world.client.in_flight_bytes()), (0, 0));
        assert_eq!(world.state.budget.waiting(), 0);
    }
}

#[test]
fn a_client_leaves_as_many_events_unread_as_it_may_and_not_a_byte_more() {
    for (piled, closing) in [
        (EVENT_BYTES_MAX, None),
        (EVENT_BYTES_MAX + 1, Some(Closing::Refused("it does not read its watch events"))),
    ] {
        let world = World::with(piled);
        world.notify();
        assert_eq!(world.client.outbox().closing(), closing);
    }
}

/// The connection may send the reply at once, long before the writer is through with what is committed.
#[test]
fn nobody_hears_of_a_transaction_before_pings_show_it() {
    let world = World::with(0);
    world.client.enter(100);
    world.state.budget.enter(1, 100);
    let mut host = world.host();
    host.answer(&HEAD, Outcome::Replied { zxid: Zxid(5), is_ok: true }, |_| {
        assert_eq!(world.state.last_zxid(), Zxid(5));
    });
    host.notify(1, EventType::NodeCreated, "/a", Zxid(6));
    assert_eq!(world.state.last_zxid(), Zxid(6));
    host.notify(1, EventType::NodeCreated, "/a", Zxid(4));
    assert_eq!(world.state.last_zxid(), Zxid(6), "it never goes back");
    host.send();
}

#[test]
fn what_piles_up_is_held_for_the_client() {
    let world = World::with(1 << 20);
    world.answer();
    assert_eq!(world.state.budget.bytes(), (1 << 20) + 20);
    let world = World::with(1 << 20);
    world.notify();
    assert_eq!(world.state.budget.bytes(), (1 << 20) + 20 + 8 + 6);
}

#[test]
fn a_digest_that_is_wrong_is_counted_and_no_other() {
    let world = World::with(0);
    let mut host = world.host();
    for (zxid, is_wrong) in [(127, false), (128, true), (129, false)] {
        host.observe(Observation::Digest { zxid: Zxid(zxid), digest: 7, is_wrong });
    }
    host.send();
    assert_eq!(world.metrics.digest_mismatches_count.value(), 1);
    assert_eq!(world.state.digests(), [(Zxid(128), 7)], "kept for comparison with other servers");
}

#[test]
fn what_a_quota_refuses_is_counted_for_its_namespace() {
    let world = World::with(0);
    let mut host = world.host();
    ["a", "b", "a"].into_iter().for_each(|namespace| host.observe(Observation::QuotaExceeded(namespace)));
    host.send();
    let counted = |key| world.metrics.quota_exceeded_error_per_namespace.of(key).map(|count| count.value());
    assert_eq!([counted("a"), counted("b")], [Some(2), Some(1)]);
}

/// The tree is held meanwhile. The clock is looked at now and then only: that costs too.
#[test]
fn others_have_the_tree_after_a_millisecond_and_not_before() {
    let world = World::with(0);
    let yields = |passed_us| {
        let mut host = world.host();
        world.clock.advance_us(passed_us);
        (0..8).filter(|_| host.must_yield()).count()
    };
    assert_eq!([yields(0), yields(999), yields(1000), yields(5000)], [0, 0, 2, 2]);
    let mut host = world.host();
    world.clock.advance_us(5000);
    assert_eq!([(); 4].map(|()| host.must_yield()), [false, false, false, true]);
}
