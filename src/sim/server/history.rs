//! What clients saw, in the order in which they saw it, and what must not have happened.

use jute::{OpCode, SessionId, Zxid};

use super::guarded::Proven;
use super::requests::Asked;

/// One connection, as its client saw it.
#[derive(Debug)]
pub(in crate::sim) struct Stream {
    pub(in crate::sim) session: SessionId,
    pub(in crate::sim) items: Vec<Item>,
}

/// Something a client received.
#[derive(Debug)]
pub(in crate::sim) enum Item {
    Reply {
        xid: i32,
        asked: Asked,
        zxid: Zxid,
        err: i32,
        body: Vec<u8>,
    },
    /// With what the connection has proven when the event came.
    Event {
        kind: i32,
        path: String,
        zxid: Zxid,
        proven: Proven,
    },
}

/// Everything that is judged at the end.
#[derive(Debug, Default)]
pub(in crate::sim) struct History {
    /// Several servers were asked.
    pub(in crate::sim) is_of_ensemble: bool,
    pub(in crate::sim) streams: Vec<Stream>,
    /// Requests that were sent through a connection whose session had moved away, or had ended.
    pub(in crate::sim) forbidden: Vec<(SessionId, i32)>,
    /// Successful writes: whose, which, and the zxid in the reply.
    pub(in crate::sim) acknowledged: Vec<(SessionId, i32, OpCode, Zxid)>,
    /// Requests that were sent in session: whose, which, and what their connection had proven.
    pub(in crate::sim) sent: Vec<(SessionId, i32, Proven)>,
    /// What a transaction may take, and behind which zxid that holds.
    pub(in crate::sim) txn_bytes_max: Vec<(Zxid, usize)>,
}
