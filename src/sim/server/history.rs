//! What clients saw, in the order in which they saw it, and what must not have happened.

use jute::{OpCode, SessionId, Zxid};

use super::requests::Asked;

/// One connection, as its client saw it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) session: SessionId,
    pub(super) items: Vec<Item>,
}

/// Something a client received.
#[derive(Debug)]
pub(super) enum Item {
    Reply { xid: i32, asked: Asked, zxid: Zxid, err: i32, body: Vec<u8> },
    Event { kind: i32, path: String, zxid: Zxid },
}

/// Everything that is judged at the end.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) streams: Vec<Stream>,
    /// Requests that were sent through a connection whose session had moved away, or had ended.
    pub(super) forbidden: Vec<(SessionId, i32)>,
    /// Successful writes: whose, which, and the zxid in the reply.
    pub(super) acknowledged: Vec<(SessionId, i32, OpCode, Zxid)>,
}
