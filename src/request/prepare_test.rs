//! Preparing ahead of the tree against preparing one by one.

use std::collections::VecDeque;

use jute::multi::CreateMode;
use jute::txn::{TxnBody, TxnEntry};
use jute::{OpCode, SessionId, Zxid};
use proptest::collection::vec;
use proptest::prelude::*;

use super::prepare::Preparer;
use super::testing::{Asked, OPTIONS, SESSIONS, asked, creation, deletion, prepare};
use crate::session::Sessions;
use crate::tree::model_test::contents;
use crate::tree::{OwnerRules, Tree};

/// A tree, and transactions that are prepared and not applied.
struct Server {
    tree: Tree,
    sessions: Sessions,
    preparer: Preparer,
    pending: VecDeque<TxnEntry>,
}

impl Server {
    fn new() -> Self {
        let mut sessions = Sessions::new(2000, 1, 0);
        SESSIONS.iter().for_each(|session| drop(sessions.track(*session, 30_000, 0)));
        let tree = Tree::new(OwnerRules { extended_types: true, emulate_353: false });
        Self { tree, sessions, preparer: Preparer::new(OPTIONS, Zxid::ZERO), pending: VecDeque::new() }
    }

    /// What the request becomes, without its digest: that is compared with the tree's.
    fn prepare(&mut self, asked: &Asked, time: i64) -> Result<TxnEntry, i32> {
        let request = asked.request();
        let entry = prepare(&mut self.preparer, &self.tree, &mut self.sessions, request, time)
            .map_err(|code| code.0)?;
        assert_eq!(entry.digest.is_none(), matches!(entry.body, TxnBody::Error(_)));
        self.pending.push_back(entry.clone());
        Ok(entry)
    }

    fn apply(&mut self, count: usize) {
        for TxnEntry { header, body, digest } in self.pending.drain(..count.min(self.pending.len())) {
            let shown = format!("{body:?}");
            self.tree.apply(&header, body, &mut |_| {});
            if let Some(digest) = digest {
                assert_eq!(digest.tree_digest.cast_unsigned(), self.tree.digest(), "after {shown}");
            }
        }
        self.preparer.applied(self.tree.last_zxid());
    }
}

/// Each request with how many transactions are applied after it was prepared.
fn check_ahead_is_as_one_by_one(steps: &[(Asked, usize)]) {
    let (mut ahead, mut one_by_one) = (Server::new(), Server::new());
    for (time, (asked, applied)) in steps.iter().enumerate() {
        let (first, second) = (ahead.prepare(asked, time as i64), one_by_one.prepare(asked, time as i64));
        assert_eq!(first, second, "for {:?}", asked.request());
        ahead.apply(*applied);
        one_by_one.apply(1);
    }
    ahead.apply(usize::MAX);
    assert_eq!(contents(&ahead.tree), contents(&one_by_one.tree));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn preparing_ahead_of_the_tree_is_as_preparing_one_by_one(
        steps in vec((asked(), prop_oneof![3 => Just(0), 2 => 0..3usize, 1 => Just(100)]), 1..60),
    ) {
        check_ahead_is_as_one_by_one(&steps);
    }
}

/// The end of a session took along what another session had just created under the name of one of its
/// ephemerals, when the deletion in between was not applied yet.
#[test]
fn the_end_of_a_session_leaves_alone_what_another_has_created_in_the_meantime() {
    let of = |session: SessionId, asked: Asked| Asked { session, ..asked };
    let end = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    for mode in [CreateMode::Ephemeral, CreateMode::Persistent] {
        check_ahead_is_as_one_by_one(&[
            (creation("/e", CreateMode::Ephemeral), 1),
            (of(SESSIONS[1], deletion("/e")), 0),
            (of(SESSIONS[1], creation("/e", mode)), 0),
            (end.clone(), 0),
        ]);
    }
}
