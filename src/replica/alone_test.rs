//! What one call may do, of a server that is alone and that the test drives.

use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{OpCode, SessionId, Zxid};

use super::testing::{Spoken, replica_options};
use super::{BATCH_ENDS_MAX, BATCH_MAX, Data, Now, Replica};
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
        let asked = || Write::DeleteContainer("/none".into());
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
    let mut server = Alone::asked(2 * BATCH_MAX + 5);
    server.prepare();
    assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (BATCH_MAX, BATCH_MAX + 5));
    assert!(!server.replica.wants_prepare() && server.replica.has_backlog());
    server.log();
    server.prepare();
    assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (2 * BATCH_MAX, 5));
    server.log();
    server.prepare();
    assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (2 * BATCH_MAX + 5, 0));
}

#[test]
fn a_batch_has_so_many_ends_of_sessions_and_the_others_are_left_to_the_next() {
    let mut server = Alone::asked(0);
    let count = 2 * BATCH_ENDS_MAX + 5;
    (1..=count as i64).for_each(|id| server.sessions.restore(SessionId(id), 4000, NOW.monotonic_ms));
    let later = Now { monotonic_ms: NOW.monotonic_ms + 60_000, ..NOW };
    server.replica.add_internal(later, &server.tree, &mut server.sessions, &mut server.host);
    assert_eq!(server.host.expired.len(), count);
    for prepared in [BATCH_ENDS_MAX, 2 * BATCH_ENDS_MAX, count] {
        server.prepare();
        assert_eq!((server.replica.prepared_count(), server.replica.backlog()), (prepared, count - prepared));
        assert!(!server.replica.wants_prepare());
        server.log();
    }
}

/// It has predicted the digest itself.
#[test]
fn a_server_whose_tree_is_not_as_it_was_predicted_says_so_at_once() {
    for is_damaged in [false, true] {
        let mut server = Alone::asked(0);
        server.host.wrong_digests = Some(0);
        server.sessions.restore(SessionId(1), 4000, NOW.monotonic_ms);
        let end = Request::internal(SessionId(1), OpCode::CLOSE_SESSION, Write::CloseSession, 0);
        server.replica.push(&mut vec![end]);
        server.prepare();
        server.log();
        if is_damaged {
            let body = TxnBody::Create(CreateTxn { path: Some("/a".into()), ..CreateTxn::default() });
            server.tree.apply(&TxnHeader::default(), body, &mut |_| {});
        }
        server.release();
        assert_eq!(server.tree.last_zxid(), Zxid(1));
        assert_eq!(server.host.wrong_digests, Some(usize::from(is_damaged)));
    }
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
