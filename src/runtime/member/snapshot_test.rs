//! When a member takes snapshots: what is asked, and what is done when it is time.

use std::sync::{Arc, Mutex};

use jute::multi::CreateMode;
use jute::{OpCode, Zxid};

use super::super::Snapshots;
use super::super::peers::Staged;
use super::member_test::World;
use crate::request::Body;
use crate::request::testing::creation;
use crate::tree::{OwnerRules, Tree};
use crate::zab::{Effect, Ticket};

/// What it was asked, and whether it said that it was time.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    is_due: bool,
    asked: Vec<(u64, u64)>,
    started: usize,
    given_up: usize,
}

impl Snapshots for Noted {
    fn is_due(&mut self, txns: u64, log_bytes: u64) -> bool {
        let mut notes = self.0.lock().unwrap();
        notes.asked.push((txns, log_bytes));
        notes.is_due
    }
    fn start(&mut self) {
        self.0.lock().unwrap().started += 1;
    }
    fn give_up(&mut self) {
        self.0.lock().unwrap().given_up += 1;
    }
}

#[test]
fn a_member_starts_a_snapshot_in_a_new_log_when_enough_was_appended() {
    let mut world = World::new(&[1], true);
    let noted = Noted::default();
    world.writer.snapshots = Box::new(noted.clone());
    world.wait(500);
    assert!(noted.0.lock().unwrap().asked.is_empty(), "nothing was appended");
    let client = world.open();
    let session = client.session().unwrap().id;
    noted.0.lock().unwrap().asked.clear();
    let mut logged = |name: &str, count: usize| {
        let created = (0..count).map(|n| creation(&format!("/{name}{n}"), CreateMode::Persistent));
        let mut requests: Vec<_> = created
            .map(|asked| {
                let body = Body::decode(OpCode::CREATE, &asked.body);
                world.request(&client, session, 1, OpCode::CREATE, body)
            })
            .collect();
        world.inbox.push(&mut requests);
        world.wait(1);
        let notes = noted.0.lock().unwrap();
        let asked = notes.asked.last().copied().unwrap_or_default();
        (notes.asked.len(), asked.0, asked.1, notes.started)
    };
    let (times, txns, first, started) = logged("a", 3);
    assert_eq!((times, txns, started), (1, 3, 0), "a turn that appends nothing asks nothing");
    noted.0.lock().unwrap().is_due = true;
    let (times, txns, second, started) = logged("b", 2);
    assert_eq!((times, txns, started), (2, 2, 1), "what was asked about counts once");
    noted.0.lock().unwrap().is_due = false;
    let (times, txns, third, started) = logged("c", 1);
    assert_eq!((times, txns, started), (3, 1, 1));
    assert!(first < second && third < second, "the log was rolled: {first}, {second} and {third} bytes");
}

/// It is of a tree that is about to go.
#[test]
fn a_snapshot_under_way_is_given_up_for_a_tree_that_takes_over() {
    let mut world = World::new(&[1], true);
    let noted = Noted::default();
    world.writer.snapshots = Box::new(noted.clone());
    let given_up = || noted.0.lock().unwrap().given_up;
    let mut persist = |effect| {
        world.writer.persist(Ticket::for_test(1, effect));
        given_up()
    };
    assert_eq!(persist(Effect::Log { up_to: Zxid(1) }), 0);
    assert_eq!(persist(Effect::Current { epoch: 1 }), 0);
    assert_eq!(persist(Effect::Truncate { to: Zxid(1) }), 1);
    assert_eq!(persist(Effect::Install { zxid: Zxid(1) }), 2);
    world.writer.replace();
    assert_eq!(given_up(), 2, "no other tree is there");
    let tree = Tree::new(OwnerRules::default());
    world.writer.staged = Some(Box::new(Staged { tree, sessions: Default::default() }));
    world.writer.replace();
    assert_eq!(given_up(), 3);
}
