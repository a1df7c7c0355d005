//! Requests that the server makes itself: ends of sessions that expired, removals of nodes that are due, and
//! what has to go before a session can end.

use std::sync::Arc;

use jute::{OpCode, SessionId};

use super::Pipeline;
use crate::request::{Body, Request};
use crate::tree::Tree;

impl Pipeline {
    /// Requests that the server makes itself: ends of expired sessions, removals of the sweep.
    pub(super) fn add_own_requests(&mut self, batch: &mut Vec<Request>) {
        let now = self.clock.now_ms();
        let expired = self.state.sessions().expire(now);
        for session in expired {
            tracing::info!(%session, "session expired");
            self.metrics.stale_sessions_expired.increment();
            batch.push(own_request(session, OpCode::CLOSE_SESSION, Body::CloseSession, now));
        }
        if now >= self.sweep.next_ms() {
            let wall = self.clock.wall_ms();
            let candidates = self.sweep.candidates(&self.state.tree(), wall);
            for path in self.sweep.due(|| candidates, now) {
                let body = Body::DeleteContainer(Some(path));
                batch.push(own_request(SessionId::NONE, OpCode::DELETE_CONTAINER, body, now));
            }
        }
    }

    /// Multis that must go before this request, if it is the end of a session that has more ephemerals than
    /// its end can list.
    pub(super) fn removals_before_end(&self, tree: &Tree, request: &Request, now: i64) -> Vec<Request> {
        if request.op != OpCode::CLOSE_SESSION {
            return Vec::new();
        }
        let session = request.session;
        let parts = self.preparer.removals_before_end(tree, session);
        if !parts.is_empty() {
            tracing::warn!(%session, "has more ephemerals than its end can list: some go before it");
        }
        let removal = |paths| own_request(session, OpCode::MULTI, Body::RemoveEphemerals(paths), now);
        parts.into_iter().map(removal).collect()
    }
}

fn own_request(session: SessionId, op: OpCode, body: Body, now: i64) -> Request {
    Request { client: None, session, xid: 0, op, body, identities: Arc::new([]), received_ms: now, bytes: 0 }
}
