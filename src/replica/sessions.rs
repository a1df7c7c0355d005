//! Sessions that begin, move and expire.
//!
//! A session has one connection. Whoever comes back to it with its password takes it over, and from then on
//! nothing that another connection asked for is carried out for it.

use jute::records::Record;
use jute::records::proto::{ConnectRequest, ConnectResponse};
use jute::records::txn::CreateSessionTxn;
use jute::{OpCode, SessionId, Zxid, write};

use super::host::{Close, Host, Observation, Outcome};
use super::leading::Owner;
use super::learning::Returning;
use super::proposals::{Prepared, Step};
use super::roles::Role;
use super::{Now, Replica};
use crate::request::replies::Replies;
use crate::request::{ConnectionId, Head, Request, Write};
use crate::session::{PASSWORD_LENGTH, Sessions, password_for};
use crate::tree::{Identities, Tree};

impl Replica {
    /// A first frame (reference: `ZooKeeperServer.processConnectRequest`).
    #[expect(clippy::too_many_arguments, reason = "what was asked, when, and what it is checked against")]
    pub(super) fn connect(
        &mut self,
        connection: ConnectionId,
        head: Head,
        request: ConnectRequest,
        now: Now,
        tree: &Tree,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) {
        if request.session_id != SessionId::NONE {
            return self.reopen(connection, &head, &request, now, tree, sessions, host);
        }
        if self.has_seen_more(&request, tree) {
            return turn_away(connection, &head, &request, tree, host);
        }
        let timeout = self.grant(request.time_out);
        let id = sessions.allocate_id();
        host.bind(connection, sessions.track(id, timeout, now.monotonic_ms));
        let head = Head { session: id, op: OpCode::CREATE_SESSION, ..head };
        match &mut self.role {
            Role::Learning(_) => {
                self.connected.insert(id, connection);
                return self.ask_for_session(head, timeout, now);
            }
            Role::Leading(leading) => leading.set_owner(id, Owner::Here),
            Role::Alone { .. } | Role::Looking => {}
        }
        let write = Write::CreateSession(CreateSessionTxn { time_out: timeout });
        let Some(preparer) = self.role.preparer_mut() else { return };
        let entry = preparer.prepare(tree, sessions, &head, write, &Identities::default(), now.wall_ms);
        self.connected.insert(id, connection);
        self.proposals.push(Prepared { head, step: Step::of(entry) });
    }

    /// A client comes back to its session. It takes no transaction, so it is answered at once, and nothing
    /// that the session's earlier connection asks for from here on is carried out (reference:
    /// `ZooKeeperServer.reopenSession`).
    #[expect(clippy::too_many_arguments, reason = "what was asked, when, and what it is checked against")]
    pub(super) fn reopen(
        &mut self,
        connection: ConnectionId,
        head: &Head,
        request: &ConnectRequest,
        now: Now,
        tree: &Tree,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) {
        if self.has_seen_more(request, tree) {
            return turn_away(connection, head, request, tree, host);
        }
        let id = request.session_id;
        if let Some(earlier) = self.connected.remove(&id) {
            host.close(earlier, Close::Now);
        }
        host.observe(Observation::Revalidated);
        let knows_password = request.passwd.as_deref() == Some(password_for(id).as_slice());
        if !knows_password {
            tracing::warn!(peer = %host.peer(connection), session = %id, "wrong password for session");
        }
        let timeout_ms = self.grant(request.time_out);
        if knows_password && matches!(self.role, Role::Learning(_)) {
            let returning = Returning { connection, head: *head, timeout_ms };
            return self.ask_about_session(id, returning, now, host);
        }
        let handle = if knows_password { sessions.reopen(id, timeout_ms, now.monotonic_ms) } else { None };
        match handle {
            Some(handle) => {
                if let Role::Leading(leading) = &mut self.role {
                    leading.set_owner(id, Owner::Here);
                }
                host.bind(connection, handle);
                self.connected.insert(id, connection);
                host.answer(head, Outcome::Connected, |out| write_response(out, head, id, timeout_ms));
            }
            None => say_gone(connection, head, id, host),
        }
    }

    /// Ends the sessions that were not heard from. A session whose connection may hold unread bytes is asked
    /// about again: its silence could be the server's.
    pub(super) fn expire(&mut self, now: Now, sessions: &mut Sessions, host: &mut impl Host) {
        let connected = &self.connected;
        let expired = sessions.expire(now.monotonic_ms, &mut |id, deadline_ms| {
            connected.get(&id).is_none_or(|connection| host.has_listened(*connection, deadline_ms))
        });
        for session in expired {
            tracing::info!(%session, "session expired");
            host.observe(Observation::Expired(session));
            let end =
                Request::internal(session, OpCode::CLOSE_SESSION, Write::CloseSession, now.monotonic_ms);
            self.ending.push_back(end);
        }
    }

    /// Whether the client has seen a later state than this server has: it must try another one. Everything before
    /// its leader's epoch is here; a leader of the reference shows the epoch's begin to its clients.
    fn has_seen_more(&self, request: &ConnectRequest, tree: &Tree) -> bool {
        let begin = match &self.role {
            Role::Leading(leading) => Zxid::begin_of(leading.epoch()),
            Role::Learning(learning) => Zxid::begin_of(learning.epoch()),
            Role::Alone { .. } | Role::Looking => Zxid::ZERO,
        };
        request.last_zxid_seen > tree.last_zxid().max(begin)
    }

    /// The timeout a client gets for the one it asks for, in milliseconds.
    fn grant(&self, asked_ms: i32) -> i32 {
        asked_ms.max(self.options.min_session_timeout_ms).min(self.options.max_session_timeout_ms)
    }
}

fn turn_away(
    connection: ConnectionId,
    head: &Head,
    request: &ConnectRequest,
    tree: &Tree,
    host: &mut impl Host,
) {
    tracing::info!(
        peer = %host.peer(connection), seen = %request.last_zxid_seen, ours = %tree.last_zxid(),
        "client has seen a newer zxid than this server has; it must try another server"
    );
    host.drop_request(head);
    host.close(connection, Close::AfterReplies);
}

/// A client came back to a session that does not exist, or does not know its password.
pub(super) fn say_gone(connection: ConnectionId, head: &Head, session: SessionId, host: &mut impl Host) {
    tracing::info!(peer = %host.peer(connection), %session, "session is gone");
    host.answer(head, Outcome::Connected, |out| write_response(out, head, SessionId::NONE, 0));
    host.close(connection, Close::AfterReplies);
}

/// Appends a connect response; id 0 says that the session is gone.
pub(super) fn write_response(out: &mut Replies, head: &Head, id: SessionId, timeout_ms: i32) {
    let password = if id == SessionId::NONE { [0; PASSWORD_LENGTH] } else { password_for(id) };
    let response = ConnectResponse {
        protocol_version: 0,
        time_out: timeout_ms,
        session_id: id,
        passwd: Some(password.to_vec()),
        read_only: false,
    };
    out.raw(|out| {
        let start = write::begin_frame(out);
        response.encode(out);
        if !head.knows_read_only {
            out.pop();
        }
        write::patch_length(out, start);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Origin;

    /// Clients of before 3.4 know the last field as little as they send it.
    #[test]
    fn a_connect_response_has_all_fields_and_the_last_for_those_who_know_it() {
        let response = |id: i64, timeout_ms, knows_read_only| {
            let (origin, session, op) = (Origin::Client(1), SessionId(id), OpCode::CREATE_SESSION);
            let head = Head { origin, session, xid: 0, op, received_ms: 0, bytes: 0, knows_read_only };
            let mut out = Replies::default();
            write_response(&mut out, &head, session, timeout_ms);
            out.bytes().to_vec()
        };
        let expected = |length: u8, id: u8, timeout: [u8; 2], password: [u8; 16], read_only: &[u8]| {
            let begin = [0, 0, 0, length, 0, 0, 0, 0, 0, 0, timeout[0], timeout[1], 0, 0, 0, 0, 0, 0, 0, id];
            [&begin[..], &[0, 0, 0, 16], &password, read_only].concat()
        };
        let password = password_for(SessionId(5));
        assert_eq!(response(5, 4000, true), expected(37, 5, [0x0F, 0xA0], password, &[0]));
        assert_eq!(response(5, 4000, false), expected(36, 5, [0x0F, 0xA0], password, &[]));
        assert_eq!(response(0, 0, true), expected(37, 0, [0, 0], [0; 16], &[0]), "there is no such session");
    }
}
