//! What a replica needs of whoever drives it.

use std::sync::Arc;

use jute::records::data::Stat;
use jute::txn::TxnBody;
use jute::{OpCode, SessionId, Zxid};

use crate::request::replies::Replies;
use crate::request::{ConnectionId, Head};
use crate::session::SessionHandle;
use crate::tree::{Applied, Identities};
use crate::watch::EventType;
use crate::zab::Serving;

/// Carries what a replica says to connections, and may count what it does. In the server this is
/// `runtime::Delivery`; a test may keep everything in plain values.
pub trait Host {
    /// Answers a request, which is thereby done. What `write` appends goes behind all that the connection was
    /// sent before. Nothing happens when the connection is gone.
    fn answer(&mut self, head: &Head, outcome: Outcome, write: impl FnOnce(&mut Replies));

    /// The request is done without an answer.
    fn drop_request(&mut self, head: &Head);

    /// Sends a watch event, which goes behind all that the connection was sent before.
    fn notify(&mut self, to: ConnectionId, event: EventType, path: &str, zxid: Zxid);

    /// The connection has this session now.
    fn bind(&mut self, connection: ConnectionId, session: Arc<SessionHandle>);

    /// Ends a connection.
    fn close(&mut self, connection: ConnectionId, how: Close);

    /// Whether the connection is gone.
    fn is_gone(&self, connection: ConnectionId) -> bool;

    /// As whom the connection has proven itself; `None` when it is gone.
    fn identities(&self, connection: ConnectionId) -> Option<Identities>;

    /// Its other end, for the log.
    fn peer(&self, connection: ConnectionId) -> String;

    /// Whether the connection had nothing to read at or after `since_ms`, so that a silence until then was the
    /// client's and not the server's. When it is not known yet, asks the connection to look.
    fn has_listened(&mut self, connection: ConnectionId, since_ms: i64) -> bool;

    /// Whether the replica should return, so that others can have the tree. Asked between requests.
    fn must_yield(&mut self) -> bool;

    /// Whether it wants to hear of [`Observation::Done`] and [`Observation::SessionEnded`].
    fn audits(&self) -> bool;

    /// Hears of what may be worth counting.
    fn observe(&mut self, what: Observation<'_>);
}

/// How the answer to a request is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new session began, in the transaction of this zxid. It counts as a request.
    Began(Zxid),
    /// A session begins, or is come back to, or is gone: a connect response.
    Connected,
    /// A reply.
    Replied {
        /// The zxid in it.
        zxid: Zxid,
        /// Whether it reports success.
        is_ok: bool,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// When everything it was sent has been written.
    AfterReplies,
    /// At once: nothing more of what it asked for is carried out.
    Now,
    /// At once, and the server's log says why.
    Refused(&'static str),
}

/// Something that happened.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A transaction is about to be applied.
    Applying {
        /// What it does.
        body: &'a TxnBody,
        /// When its request came, in milliseconds of the monotonic clock; `None` when nobody asked for it here.
        received_ms: Option<i64>,
    },
    /// What a client asked for came to this.
    Done {
        /// The request.
        head: &'a Head,
        /// What came of it.
        applied: &'a Applied,
    },
    /// The end of a session was applied.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// The transaction.
        body: &'a TxnBody,
        /// The nodes that went.
        deleted: &'a [String],
    },
    /// One change fired watches.
    Fired(Fired),
    /// The tree has this digest after this transaction.
    Digest {
        /// The transaction.
        zxid: Zxid,
        /// The digest.
        digest: u64,
        /// Whether the transaction predicted another one.
        is_wrong: bool,
    },
    /// From here on clients are served like this. Said before anybody is served so.
    Serves(Serving),
    /// A client came back to a session, or tried to.
    Revalidated,
    /// A hard quota refused a request below this top-level node.
    QuotaExceeded(&'a str),
    /// A session was not heard from for its whole timeout.
    Expired(SessionId),
    /// A reply was made that the reference keeps in a cache.
    Reply {
        /// To which operation.
        op: OpCode,
        /// About which node.
        path: &'a str,
        /// In which state.
        stat: &'a Stat,
    },
    /// A read found a node.
    Read {
        /// Its path.
        path: &'a str,
        /// Bytes read beyond path and stat.
        bytes: usize,
    },
}

/// Watches fired by one change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fired {
    /// On the creation of the node.
    pub created: usize,
    /// On its deletion.
    pub deleted: usize,
    /// On new data.
    pub changed: usize,
    /// On another child of its parent, or one less.
    pub children: usize,
}

impl Fired {
    pub(super) const fn count(&mut self, event: EventType) {
        match event {
            EventType::NodeCreated => self.created += 1,
            EventType::NodeDeleted => self.deleted += 1,
            EventType::NodeDataChanged => self.changed += 1,
            EventType::NodeChildrenChanged => self.children += 1,
        }
    }
}
