//! What a replica says, kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::{ConnectResponse, ReplyHeader};
use jute::{Code, Reader, SessionId, Zxid};

use crate::replica::{Close, Host, Observation, Outcome};
use crate::request::replies::Replies;
use crate::request::{ConnectionId, Head, Origin};
use crate::session::SessionHandle;
use crate::tree::{Identities, Identity};
use crate::watch::EventType;
use crate::zab::Serving;

/// What a connection was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::replica) enum Said {
    /// A connect response.
    Session(SessionId),
    /// A reply.
    Reply(i32, Code),
}

/// Keeps what a replica says.
#[derive(Debug, Default)]
pub(in crate::replica) struct Spoken {
    pub(in crate::replica) said: BTreeMap<ConnectionId, Vec<Said>>,
    pub(in crate::replica) closed: BTreeMap<ConnectionId, Close>,
    bound: BTreeMap<ConnectionId, SessionId>,
    pub(in crate::replica) served: Vec<Serving>,
    pub(in crate::replica) dropped: usize,
    pub(in crate::replica) expired: Vec<SessionId>,
    /// How many transactions were applied that a client here had asked for.
    pub(in crate::replica) asked_for: usize,
    /// How many digests were found to be wrong, where a test expects some.
    pub(in crate::replica) wrong_digests: Option<usize>,
    /// Whether others wait for the tree.
    pub(in crate::replica) wants_tree: bool,
}

impl Host for Spoken {
    fn answer(&mut self, head: &Head, outcome: Outcome, write: impl FnOnce(&mut Replies)) {
        let Origin::Client(connection) = head.origin else { return };
        let mut replies = Replies::default();
        write(&mut replies);
        let mut reader = Reader::new(&replies.bytes()[4..]);
        let said = if matches!(outcome, Outcome::Connected | Outcome::Began(_)) {
            let ConnectResponse { session_id, time_out, .. } = ConnectResponse::decode(&mut reader).unwrap();
            assert_eq!(time_out == 0, session_id == SessionId::NONE, "who has no session has no timeout");
            let bound = self.bound.get(&connection).copied().unwrap_or(SessionId::NONE);
            assert_eq!(bound, session_id, "a connection is its session's before its client is told");
            Said::Session(session_id)
        } else {
            let ReplyHeader { xid, err, .. } = ReplyHeader::decode(&mut reader).unwrap();
            Said::Reply(xid, Code(err))
        };
        if !self.closed.contains_key(&connection) {
            self.said.entry(connection).or_default().push(said);
        }
    }
    fn drop_request(&mut self, _head: &Head) {
        self.dropped += 1;
    }
    fn notify(&mut self, _to: ConnectionId, _event: EventType, _path: &str, _zxid: Zxid) {}
    fn bind(&mut self, connection: ConnectionId, session: Arc<SessionHandle>) {
        self.bound.insert(connection, session.id);
    }
    fn close(&mut self, connection: ConnectionId, how: Close) {
        self.closed.entry(connection).or_insert(how);
    }
    fn is_gone(&self, connection: ConnectionId) -> bool {
        self.closed.contains_key(&connection)
    }
    fn identities(&self, _connection: ConnectionId) -> Option<Identities> {
        Some(identities())
    }
    fn peer(&self, connection: ConnectionId) -> String {
        connection.to_string()
    }
    fn has_listened(&mut self, _connection: ConnectionId, _since_ms: i64) -> bool {
        true
    }
    fn must_yield(&mut self) -> bool {
        self.wants_tree
    }
    fn audits(&self) -> bool {
        false
    }
    fn observe(&mut self, what: Observation<'_>) {
        match what {
            Observation::Applying { received_ms, .. } => self.asked_for += usize::from(received_ms.is_some()),
            Observation::Serves(serving) => self.served.push(serving),
            Observation::Expired(session) => self.expired.push(session),
            Observation::Digest { is_wrong: true, .. } => {
                *self.wrong_digests.as_mut().expect("digests are the tree's") += 1;
            }
            _ => {}
        }
    }
}

/// As whom every client is known.
pub(in crate::replica) fn identities() -> Identities {
    [Identity { scheme: "ip".into(), id: "10.0.0.1".into() }].as_slice().into()
}
