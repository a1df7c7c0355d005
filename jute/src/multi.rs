//! The bodies of `multi` and `multiRead` (reference: `MultiOperationRecord`, `Op`).

use crate::op::OpCode;
use crate::read::{DecodeError, Reader};
use crate::records::Record;
use crate::records::proto::{
    CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, GetChildrenRequest, GetDataRequest,
    MultiHeader, SetDataRequest,
};

/// How a node is created (reference: `CreateMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// Stays until deleted.
    Persistent,
    /// Goes with its session.
    Ephemeral,
    /// Stays; the server appends a number.
    PersistentSequential,
    /// Goes with its session; the server appends a number.
    EphemeralSequential,
    /// Goes when its last child has gone.
    Container,
    /// Goes when it has had no change for a while and has no children.
    PersistentWithTtl,
    /// The same, with a number appended.
    PersistentSequentialWithTtl,
}

impl CreateMode {
    /// The mode a request's flags name, if they name one.
    #[must_use]
    pub const fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::PersistentWithTtl,
            6 => Self::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// Whether the node belongs to the creating session.
    #[must_use]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the server appends a number.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialWithTtl
        )
    }

    /// Whether the node has a time to live.
    #[must_use]
    pub const fn is_ttl(self) -> bool {
        matches!(self, Self::PersistentWithTtl | Self::PersistentSequentialWithTtl)
    }
}

/// One operation of a `multi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiOp {
    /// A creation of any mode; `op` is the type it is carried out as.
    Create {
        /// create, create2, createContainer or createTTL.
        op: OpCode,
        /// Path, data, ACL and flags; `ttl` is -1 where the request has none.
        request: CreateTTLRequest,
    },
    /// A deletion.
    Delete(DeleteRequest),
    /// New data.
    SetData(SetDataRequest),
    /// A version check.
    Check(CheckVersionRequest),
}

/// One operation of a `multiRead`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiReadOp {
    /// Child names.
    GetChildren(GetChildrenRequest),
    /// Data and stat.
    GetData(GetDataRequest),
}

/// Whichever of the two bodies was sent; the reference decodes both ops with one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiRequest {
    /// Writes (also what an empty request is).
    Write(Vec<MultiOp>),
    /// Reads.
    Read(Vec<MultiReadOp>),
}

impl From<CreateRequest> for CreateTTLRequest {
    fn from(CreateRequest { path, data, acl, flags }: CreateRequest) -> Self {
        Self { path, data, acl, flags, ttl: -1 }
    }
}

impl MultiRequest {
    /// Decodes operations up to the closing header.
    ///
    /// # Errors
    /// Unknown types or flags, reads mixed with writes, bytes that do not fit.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut writes = Vec::new();
        let mut reads = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                break;
            }
            match OpCode(header.r#type) {
                op @ (OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER) => {
                    writes.push(create(op, CreateRequest::decode(reader)?)?);
                }
                OpCode::CREATE_TTL => writes.push(create_ttl(Record::decode(reader)?)),
                OpCode::DELETE => writes.push(MultiOp::Delete(Record::decode(reader)?)),
                OpCode::SET_DATA => writes.push(MultiOp::SetData(Record::decode(reader)?)),
                OpCode::CHECK => writes.push(MultiOp::Check(Record::decode(reader)?)),
                OpCode::GET_CHILDREN => reads.push(MultiReadOp::GetChildren(Record::decode(reader)?)),
                OpCode::GET_DATA => reads.push(MultiReadOp::GetData(Record::decode(reader)?)),
                _ => return Err(DecodeError::Invalid { what: "invalid type of operation in a multi" }),
            }
            if !writes.is_empty() && !reads.is_empty() {
                return Err(DecodeError::Invalid { what: "reads and writes mixed in a multi" });
            }
        }
        Ok(if reads.is_empty() { Self::Write(writes) } else { Self::Read(reads) })
    }
}

/// Any of the three creates without a ttl: the mode decides what it is carried out as.
fn create(sent_as: OpCode, request: CreateRequest) -> Result<MultiOp, DecodeError> {
    let op = match CreateMode::from_flags(request.flags) {
        None => return Err(DecodeError::Invalid { what: "invalid flags of a create in a multi" }),
        Some(_) if request.acl.is_none() => {
            return Err(DecodeError::Null { what: "the access control list of a create in a multi" });
        }
        Some(mode) if mode.is_ttl() => return Err(DecodeError::Invalid { what: "a TTL mode without a ttl" }),
        Some(CreateMode::Container) => OpCode::CREATE_CONTAINER,
        Some(_) => sent_as,
    };
    Ok(MultiOp::Create { op, request: request.into() })
}

/// `createTTL`: without a TTL mode the ttl is forgotten and it is a plain create.
fn create_ttl(request: CreateTTLRequest) -> MultiOp {
    match CreateMode::from_flags(request.flags) {
        Some(mode) if mode.is_ttl() => MultiOp::Create { op: OpCode::CREATE_TTL, request },
        Some(CreateMode::Container) => {
            MultiOp::Create { op: OpCode::CREATE_CONTAINER, request: CreateTTLRequest { ttl: -1, ..request } }
        }
        _ => MultiOp::Create { op: OpCode::CREATE, request: CreateTTLRequest { ttl: -1, ..request } },
    }
}
