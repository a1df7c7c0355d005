//! What one request means: from decoded bytes to a transaction, and from what was applied to a reply.
//!
//! Pure: no lock, no socket, no clock. A write goes [`Request`] → [`prepare::Preparer`] (checked against the
//! tree and every change not yet applied) → transaction → `Tree::apply` → [`reply`]. A read goes
//! [`read::Read::answer`]. What is answered is appended to [`replies::Replies`].

mod access;
#[cfg(test)]
mod access_test;
pub mod context;
pub mod one_state;
mod op;
pub mod outstanding;
pub mod prepare;
#[cfg(test)]
mod prepare_test;
pub mod read;
#[cfg(test)]
mod read_test;
pub mod replies;
pub mod reply;
pub mod set_watches;
#[cfg(test)]
mod size_test;
#[cfg(test)]
pub(crate) mod testing;
pub mod unfinished;

use jute::multi::{MultiOp, MultiRequest};
use jute::records::Record;
use jute::records::proto::{
    ConnectRequest, CreateRequest, CreateTTLRequest, DeleteRequest, SetACLRequest, SetDataRequest,
};
use jute::records::txn::CreateSessionTxn;
use jute::{Code, DecodeError, OpCode, Reader, SessionId};

use crate::tree::{AclRules, Identities, Identity};
use crate::zab::{Forwarded, Link};

/// A connection, as far as requests are concerned: its number, which is also its number as a watcher.
pub type ConnectionId = crate::watch::WatcherId;

/// Switches that decide what requests mean.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which access checks are made.
    pub acl: AclRules,
    /// `extendedTypesEnabled`: TTL nodes may be created.
    pub extended_types: bool,
    /// `enforceQuota`: hard quotas refuse.
    pub enforce_quota: bool,
    /// `digest.enabled`: transactions carry the tree's digest.
    pub digest: bool,
    /// `zookeeper.closeSessionTxn.enabled`: ends of sessions list their ephemerals.
    pub close_session_lists: bool,
    /// `reconfigEnabled`.
    pub reconfig: bool,
    /// Servers of the reference may have to apply what is made here: what would end them is refused.
    pub in_ensemble: bool,
    /// The largest transaction that a start will read again: `jute.maxbuffer` with its extra size.
    pub txn_bytes_max: usize,
}

/// Who brought a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this server.
    Client(ConnectionId),
    /// A client of the learner at the other end of this link. Nobody is answered here: the learner answers when it
    /// applies the transaction.
    Learner(Link),
    /// The server itself: nobody is answered.
    Internal,
}

/// What is known of a request besides its body.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Who is to be answered.
    pub origin: Origin,
    /// Whose session it is; [`SessionId::NONE`] while there is none.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: i32,
    /// What was asked for.
    pub op: OpCode,
    /// When it came, in milliseconds of the monotonic clock.
    pub received_ms: i64,
    /// Its size as it came, in bytes.
    pub bytes: usize,
    /// Whether connect responses to its connection end with the read-only byte, which clients before 3.4
    /// neither send nor expect.
    pub knows_read_only: bool,
}

/// A request that takes its turn with all others: every write, and what must not overtake a write of
/// its own session.
#[derive(Debug)]
pub struct Request {
    /// Whose, and when.
    pub head: Head,
    /// As whom: the connection's identities when the request came.
    pub identities: Identities,
    /// With what.
    pub body: Body,
}

impl Request {
    /// A request that the server makes itself.
    #[must_use]
    pub fn internal(session: SessionId, op: OpCode, write: Write, now_ms: i64) -> Self {
        let head = Head {
            origin: Origin::Internal,
            session,
            xid: 0,
            op,
            received_ms: now_ms,
            bytes: 0,
            knows_read_only: true,
        };
        Self { head, identities: Identities::default(), body: Body::Write(write) }
    }

    /// A request that a learner passes on. Whatever is in it becomes a transaction, as the learner waits for one
    /// (reference: `LearnerHandler`, `PrepRequestProcessor`); only `sync` does not.
    #[must_use]
    pub fn of_learner(link: Link, forwarded: Forwarded, now_ms: i64) -> Self {
        let Forwarded { session, cxid, op, body, identities } = forwarded;
        let head = Head {
            origin: Origin::Learner(link),
            session,
            xid: cxid,
            op,
            received_ms: now_ms,
            bytes: body.len(),
            knows_read_only: true,
        };
        let identity = |id: jute::records::data::Id| {
            Some(Identity { scheme: id.scheme?, id: id.id.unwrap_or_default() })
        };
        let identities = identities.into_iter().filter_map(identity).collect();
        Self { head, identities, body: Body::of_learner(op, &body) }
    }
}

/// What a [`Request`] carries.
#[derive(Debug)]
pub enum Body {
    /// A first frame: a session is asked for or come back to.
    Connect(ConnectRequest),
    /// It takes a zxid.
    Write(Write),
    /// A read, ping or watch request behind a write of its session: its bytes, decoded when it is answered.
    Ordered(Vec<u8>),
    /// A write or `sync` that goes to the leader as it came: the bytes behind its header, which decode.
    Raw(Vec<u8>),
    /// It does not decode, and takes no zxid.
    Malformed,
}

/// A request that becomes a transaction, be it one that records a failure.
#[derive(Debug)]
pub enum Write {
    /// One of the creates; `ttl` is -1 but for `createTTL`.
    Create(CreateTTLRequest),
    /// A deletion by a client.
    Delete(DeleteRequest),
    /// A deletion by the container sweep.
    DeleteContainer(String),
    /// New data.
    SetData(SetDataRequest),
    /// New access control list.
    SetAcl(SetACLRequest),
    /// Several writes.
    Multi(Vec<MultiOp>),
    /// A multi that decodes but mixes in what a multi cannot carry out.
    MultiOfReads,
    /// It does not decode, and the reference takes a zxid before it finds out: `multi`, `createSession`.
    MalformedLate,
    /// It takes a zxid, and fails with this.
    Refused(Code),
    /// Membership.
    Reconfig,
    /// A session begins.
    CreateSession(CreateSessionTxn),
    /// Part of the end of a session that owns more ephemerals than one transaction can list.
    RemoveEphemerals(Vec<String>),
    /// A session ends.
    CloseSession,
}

impl Body {
    /// Decodes the bytes after a request header. Reads stay bytes: they are decoded where they are
    /// answered.
    #[must_use]
    pub fn decode(op: OpCode, bytes: &[u8]) -> Self {
        if !is_write(op) {
            return Self::Ordered(bytes.to_vec());
        }
        match Write::decode(op, &mut Reader::new(bytes)) {
            Ok(write) => Self::Write(write),
            Err(DecodeError::Null { .. }) => Self::Malformed,
            Err(_) if matches!(op, OpCode::MULTI | OpCode::CREATE_SESSION) => {
                Self::Write(Write::MalformedLate)
            }
            Err(_) => Self::Malformed,
        }
    }

    /// The same where writes go to a leader elsewhere. What does not decode is answered here, unless a leader of
    /// the reference gives it a zxid: what it gives none it proposes under an old one, and is stuck with it.
    #[must_use]
    pub fn for_leader(op: OpCode, bytes: &[u8]) -> Self {
        match Self::decode(op, bytes) {
            Self::Ordered(bytes) if op == OpCode::SYNC => Self::Raw(bytes),
            Self::Write(_) => Self::Raw(bytes.to_vec()),
            body => body,
        }
    }

    /// The same for a request that a learner passed on.
    fn of_learner(op: OpCode, bytes: &[u8]) -> Self {
        // Learners of the reference pass on a client's deleteContainer, which clients may not send here.
        if op == OpCode::DELETE_CONTAINER || !is_write(op) && op != OpCode::SYNC {
            return Self::Write(Write::Refused(Code::UNIMPLEMENTED));
        }
        match Self::decode(op, bytes) {
            Self::Malformed => Self::Write(Write::MalformedLate),
            body => body,
        }
    }
}

impl Write {
    fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
                Self::Create(CreateRequest::decode(reader)?.into())
            }
            OpCode::CREATE_TTL => Self::Create(Record::decode(reader)?),
            OpCode::DELETE => Self::Delete(Record::decode(reader)?),
            OpCode::DELETE_CONTAINER => match Record::decode(reader)? {
                // The reference turns the bytes into a path while it decodes.
                None => return Err(DecodeError::Null { what: "the path of a deleteContainer" }),
                Some(path) => Self::DeleteContainer(path),
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
            _ => Self::CloseSession,
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
        assert!(matches!(Body::decode(OpCode::MULTI, &bytes), Body::Write(Write::MalformedLate)));
        jute::write::int(&mut bytes, -1);
        jute::write::int(&mut bytes, 0);
        assert!(matches!(Body::decode(OpCode::MULTI, &bytes), Body::Malformed));
    }

    /// The differential run found the zxid of a cut `createSession` one too low, and that of a
    /// `deleteContainer` without a path one too high.
    #[test]
    fn what_does_not_decode_takes_a_zxid_where_the_reference_took_one_before() {
        assert!(matches!(Body::decode(OpCode::CREATE_SESSION, &[0, 0]), Body::Write(Write::MalformedLate)));
        assert!(matches!(Body::decode(OpCode::DELETE_CONTAINER, &[0xFF; 4]), Body::Malformed));
        assert!(matches!(Body::decode(OpCode::CREATE, &[0, 0]), Body::Malformed));
    }

    /// A learner of the reference passes on what its client may not ask for.
    #[test]
    fn what_a_learner_passes_on_is_a_write_or_a_sync() {
        let path = [0, 0, 0, 2, b'/', b'a'];
        for op in [OpCode::DELETE_CONTAINER, OpCode::EXISTS] {
            let body = Body::of_learner(op, &path);
            assert!(matches!(body, Body::Write(Write::Refused(Code::UNIMPLEMENTED))), "{op}");
        }
        assert!(matches!(Body::of_learner(OpCode::SYNC, &path), Body::Ordered(_)));
        assert!(matches!(Body::of_learner(OpCode::DELETE, &[0]), Body::Write(Write::MalformedLate)));
    }

    #[test]
    fn what_goes_to_a_leader_stays_as_it_came_unless_a_leader_of_the_reference_would_be_stuck_with_it() {
        let delete = [0, 0, 0, 2, b'/', b'a', 0xFF, 0xFF, 0xFF, 0xFF];
        let is_raw = |op, bytes: &[u8]| matches!(Body::for_leader(op, bytes), Body::Raw(raw) if raw == bytes);
        assert!(is_raw(OpCode::DELETE, &delete));
        assert!(is_raw(OpCode::SYNC, &[]));
        assert!(is_raw(OpCode::CLOSE_SESSION, &[]));
        assert!(is_raw(OpCode::MULTI, &create_in_multi()));
        assert!(matches!(Body::for_leader(OpCode::DELETE, &[0]), Body::Malformed));
        assert!(matches!(Body::for_leader(OpCode::EXISTS, &[0]), Body::Ordered(_)));
    }
}
