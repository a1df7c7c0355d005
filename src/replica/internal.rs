//! Requests that the server makes itself: ends of sessions that expired, removals of nodes that are due, and
//! what has to go before a session can end.

use jute::{OpCode, SessionId};

use super::host::Host;
use super::proposals::{Prepared, Step};
use super::{Now, Replica};
use crate::request::{Body, Request, Write};
use crate::session::Sessions;
use crate::tree::Tree;

impl Replica {
    /// Adds what is due by now.
    pub fn add_internal(&mut self, now: Now, tree: &Tree, sessions: &mut Sessions, host: &mut impl Host) {
        if self.is_full || self.role.preparer().is_none() || !self.may_prepare() {
            return;
        }
        self.expire(now, sessions, host);
        for path in self.sweep.due(tree, now.monotonic_ms, now.wall_ms) {
            let write = Write::DeleteContainer(Some(path));
            let removal =
                Request::internal(SessionId::NONE, OpCode::DELETE_CONTAINER, write, now.monotonic_ms);
            self.arrived.push_back(removal);
        }
    }

    /// Prepares the end of a session, behind multis for what one transaction cannot list.
    pub(super) fn end_session(&mut self, end: Request, now: Now, tree: &Tree, sessions: &mut Sessions) {
        let session = end.head.session;
        let removals = self
            .role
            .preparer()
            .map_or_else(Vec::new, |preparer| preparer.removals_before_end(tree, session));
        if !removals.is_empty() {
            tracing::warn!(
                %session,
                "session owns more ephemerals than one closeSession transaction can hold; deleting them in \
                 {} separate transactions first", removals.len()
            );
        }
        let removal = |paths| {
            Request::internal(session, OpCode::MULTI, Write::RemoveEphemerals(paths), now.monotonic_ms)
        };
        for Request { head, identities, body } in removals.into_iter().map(removal).chain([end]) {
            let Body::Write(write) = body else { continue };
            if !self.may_prepare() {
                return;
            }
            let Some(preparer) = self.role.preparer_mut() else { return };
            let entry = preparer.prepare(tree, sessions, &head, write, &identities, now.wall_ms);
            self.proposals.push(Prepared { head, step: Step::Txn(entry) });
        }
    }
}
