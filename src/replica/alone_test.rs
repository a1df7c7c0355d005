//! What one call may do, of a server that is alone and that the test drives.

use jute::{OpCode, SessionId, Zxid};

use super::testing::{Spoken, replica_options};
use super::{BATCH_MAX, Data, Now, Replica};
use crate::request::{Request, Write};
use crate::session::Sessions;
use crate::tree::{OwnerRules, Tree};
use crate::watch::Watches;

const NOW: Now = Now { monotonic_ms: 1000, wall_ms: 1_700_000_000_000 };

/// A server whose log takes and syncs everything.
struct Alone {
    replica: Replica,
    tree: Tree,
    sessions: Sessions,
    watches: Watches,
    host: Spoken,
}

impl Alone {
    /// It has so many requests to prepare.
    fn asked(count: usize) -> Self {
        let mut replica = Replica::alone(replica_options(), Zxid::ZERO, NOW.monotonic_ms);
        let asked = || Write::DeleteContainer(Some("/none".into()));
        let request =
            |_| Request::internal(SessionId::NONE, OpCode::DELETE_CONTAINER, asked(), NOW.monotonic_ms);
        replica.push(&mut (0..count).map(request).collect());
        let (tree, sessions) = (Tree::new(OwnerRules::default()), Sessions::new(2000, 1, 0));
        Self { replica, tree, sessions, watches: Watches::default(), host: Spoken::default() }
    }

    fn prepare(&mut self) {
        self.replica.prepare(NOW, &self.tree, &mut self.sessions, &mut self.host);
    }

    fn log(&mut self) {
        while let Some(zxid) = self.replica.next_append().map(|entry| entry.header.zxid) {
            self.replica.set_appended(zxid);
        }
        if let Some(ticket) = self.replica.persist() {
            self.replica.done(ticket);
        }
    }

    fn release(&mut self) {
        let Self { replica, tree, sessions, watches, host } = self;
        replica.release(&mut Data { tree, watches, sessions }, host);
    }
}

#[test]
fn who_wants_the_tree_gets_it_after_one_request_and_who_does_not_after_all_of_them() {
    let mut server = Alone::asked(5);
    server.prepare();
    server.log();
    server.host.wants_tree = true;
    server.release();
    assert_eq!((server.tree.last_zxid(), server.replica.is_released()), (Zxid(1), true));
    server.host.wants_tree = false;
    server.release();
    assert_eq!((server.tree.last_zxid(), server.replica.is_released()), (Zxid(5), false));
}

#[test]
fn a_batch_has_so_many_requests_and_the_others_are_left_to_the_next() {
    let mut server = Alone::asked(BATCH_MAX + 5);
    server.prepare();
    assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (BATCH_MAX, 5));
    assert!(!server.replica.wants_prepare() && server.replica.has_backlog());
    server.log();
    server.prepare();
    assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (BATCH_MAX + 5, 0));
}

#[test]
fn without_space_on_the_disk_nothing_is_prepared() {
    let mut server = Alone::asked(1);
    assert!(server.replica.wants_prepare());
    server.replica.set_full();
    assert!(!server.replica.wants_prepare() && !server.replica.has_backlog());
    server.prepare();
    assert_eq!(server.replica.prepared_count(), 0);
    server.replica.set_space(NOW, &server.sessions);
    assert!(server.replica.wants_prepare());
    server.prepare();
    assert_eq!(server.replica.prepared_count(), 1);
}
