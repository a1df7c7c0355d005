//! A session that has ended, or has moved to another connection, does nothing any more: not what was sent
//! behind its end, and not what its earlier connection sends.

use std::collections::HashSet;

use jute::OpCode;
use jute::txn::{TxnBody, TxnEntry};

use crate::sim::server::history::History;

/// In an ensemble a leader answers what a learner passes on with a transaction in any case: one that records a failure
/// does nothing.
pub(super) fn check(history: &History, logged: &[TxnEntry]) {
    let forbidden: HashSet<_> = history.forbidden.iter().copied().collect();
    let mut ended = HashSet::new();
    let is_error = |body: &TxnBody| matches!(body, TxnBody::Error(_));
    let has_effect = |entry: &&TxnEntry| match &entry.body {
        // A client may end a session that has just expired: that is a transaction too, and ends nothing.
        TxnBody::CloseSession(Some(end)) if end.paths2delete.as_ref().is_some_and(Vec::is_empty) => {
            !history.is_of_ensemble
        }
        TxnBody::Multi(parts) => !history.is_of_ensemble || !parts.iter().any(is_error),
        body => !history.is_of_ensemble || !is_error(body),
    };
    for TxnEntry { header, body, .. } in logged.iter().filter(has_effect) {
        let (session, xid) = (header.client_id, header.cxid);
        assert!(
            !forbidden.contains(&(session, xid)),
            "{} of {session} was carried out: {body:?}",
            header.zxid
        );
        assert!(!ended.contains(&session), "{} is of {session}, which has ended: {body:?}", header.zxid);
        if header.r#type == OpCode::CLOSE_SESSION.0 {
            ended.insert(session);
        }
    }
}
