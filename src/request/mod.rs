//! What one request means: from decoded bytes to a transaction, and from what was applied to a reply.
//!
//! Pure but for the locks that guard what connections share. A write goes
//! [`Request`] → [`prepare::Preparer`] (checked against the tree and every change not yet applied) →
//! transaction → `Tree::apply` → [`reply`]. A read goes [`read::answer`].

pub mod client;
mod op;
pub mod outbox;
pub mod outstanding;
pub mod prepare;
#[cfg(test)]
mod prepare_test;
pub mod read;
pub mod reply;
#[cfg(test)]
mod size_test;
pub mod state;
pub mod stats;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use jute::multi::{MultiOp, MultiRequest};
use jute::records::Record;
use jute::records::proto::{
    ConnectRequest, CreateRequest, CreateTTLRequest, DeleteRequest, SetACLRequest, SetDataRequest,
};
use jute::records::txn::CreateSessionTxn;
use jute::{DecodeError, OpCode, Reader, SessionId};

pub use self::client::Client;
pub use self::state::{Options, State};

use crate::tree::Identity;

/// A request that takes its turn with all others: every write, and what must not overtake a write of
/// its own session.
#[derive(Debug)]
pub struct Request {
    /// Who is to be answered; nobody for what the server does by itself.
    pub client: Option<Arc<Client>>,
    /// Whose session it is.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: i32,
    /// What was asked for.
    pub op: OpCode,
    /// With what.
    pub body: Body,
    /// As whom: the connection's identities when the request came.
    pub identities: Arc<[Identity]>,
    /// When it came, on the monotonic clock.
    pub received_ms: i64,
    /// Its size as it came.
    pub bytes: usize,
}

/// The decoded body of a [`Request`].
#[derive(Debug)]
pub enum Body {
    /// A first frame: a session is asked for or come back to.
    Connect(ConnectRequest),
    /// One of the creates; `ttl` is -1 but for `createTTL`.
    Create(CreateTTLRequest),
    /// A deletion by a client.
    Delete(DeleteRequest),
    /// A deletion by the container sweep.
    DeleteContainer(Option<String>),
    /// New data.
    SetData(SetDataRequest),
    /// New access control list.
    SetAcl(SetACLRequest),
    /// Several writes.
    Multi(Vec<MultiOp>),
    /// A multi that decodes but mixes in what a multi cannot carry out.
    MultiOfReads,
    /// It does not decode, and took a zxid before that was found out: `multi`, `createSession`.
    MalformedLate,
    /// Membership.
    Reconfig,
    /// A session begins.
    CreateSession(CreateSessionTxn),
    /// Of a session that has too many to list them when it ends.
    RemoveEphemerals(Vec<String>),
    /// A session ends.
    CloseSession,
    /// A read, ping or watch request behind a write of its session: its bytes.
    Ordered(Vec<u8>),
    /// It does not decode.
    Malformed,
}

impl Body {
    /// Decodes the bytes after a request header. Reads stay bytes: they are decoded where they are
    /// answered.
    #[must_use]
    pub fn decode(op: OpCode, bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes);
        match Self::try_decode(op, &mut reader) {
            Ok(body) => body,
            Err(DecodeError::Null { .. }) => Self::Malformed,
            Err(_) if matches!(op, OpCode::MULTI | OpCode::CREATE_SESSION) => Self::MalformedLate,
            Err(_) => Self::Malformed,
        }
    }

    fn try_decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
                Self::Create(CreateRequest::decode(reader)?.into())
            }
            OpCode::CREATE_TTL => Self::Create(Record::decode(reader)?),
            OpCode::DELETE => Self::Delete(Record::decode(reader)?),
            OpCode::DELETE_CONTAINER => match Record::decode(reader)? {
                // The reference turns the bytes into a path while it decodes.
                None => return Err(DecodeError::Null { what: "the path of a deleteContainer" }),
                path => Self::DeleteContainer(path),
            },
            OpCode::SET_DATA => Self::SetData(Record::decode(reader)?),
            OpCode::SET_ACL => Self::SetAcl(Record::decode(reader)?),
            OpCode::MULTI => match MultiRequest::decode(reader)? {
                MultiRequest::Write(ops) => Self::Multi(ops),
                MultiRequest::Read(_) => Self::MultiOfReads,
            },
            OpCode::RECONFIG => {
                jute::records::proto::ReconfigRequest::decode(reader)?;
                Self::Reconfig
            }
            OpCode::CREATE_SESSION => Self::CreateSession(Record::decode(reader)?),
            OpCode::CLOSE_SESSION => Self::CloseSession,
            _ => Self::Ordered(reader.rest().to_vec()),
        })
    }
}

/// Whether a request of this kind takes a zxid.
#[must_use]
pub const fn is_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::CREATE
            | OpCode::CREATE2
            | OpCode::CREATE_CONTAINER
            | OpCode::CREATE_TTL
            | OpCode::DELETE
            | OpCode::DELETE_CONTAINER
            | OpCode::SET_DATA
            | OpCode::SET_ACL
            | OpCode::MULTI
            | OpCode::RECONFIG
            | OpCode::CREATE_SESSION
            | OpCode::CLOSE_SESSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of one create in a multi, its path and its data.
    fn create_in_multi() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF];
        jute::write::ustring(&mut bytes, Some("/a"));
        jute::write::buffer(&mut bytes, None);
        bytes
    }

    /// The differential run sent a create without a list inside a multi. The reference stumbles over it
    /// while it decodes, before it takes a zxid; over what merely does not decode, after.
    #[test]
    fn a_multi_takes_a_zxid_unless_a_list_is_null() {
        let mut bytes = create_in_multi();
        assert!(matches!(Body::decode(OpCode::MULTI, &bytes), Body::MalformedLate));
        jute::write::int(&mut bytes, -1);
        jute::write::int(&mut bytes, 0);
        assert!(matches!(Body::decode(OpCode::MULTI, &bytes), Body::Malformed));
    }

    /// The differential run found the zxid of a cut `createSession` one too low, and that of a
    /// `deleteContainer` without a path one too high.
    #[test]
    fn what_does_not_decode_takes_a_zxid_where_the_reference_took_one_before() {
        assert!(matches!(Body::decode(OpCode::CREATE_SESSION, &[0, 0]), Body::MalformedLate));
        assert!(matches!(Body::decode(OpCode::DELETE_CONTAINER, &[0xFF; 4]), Body::Malformed));
        assert!(matches!(Body::decode(OpCode::CREATE, &[0, 0]), Body::Malformed));
    }
}
