//! Transactions as the log holds them: a header, a body by type, and the digest of the tree after it.
//! Reference: `SerializeUtils.deserializeTxn`, `Util.marshallTxnEntry`.

use crate::op::OpCode;
use crate::read::{DecodeError, Reader};
use crate::records::Record;
use crate::records::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTTLTxn, CreateTxn,
    CreateTxnV0, DeleteTxn, ErrorTxn, SetACLTxn, SetDataTxn, TxnDigest, TxnHeader,
};
use crate::write;

/// What a transaction does. The variant is the type in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnBody {
    /// A session begins.
    CreateSession(CreateSessionTxn),
    /// A session ends; without a list (old logs) it takes whatever ephemerals it has.
    CloseSession(Option<CloseSessionTxn>),
    /// Created by `create`.
    Create(CreateTxn),
    /// Created by `create2`.
    Create2(CreateTxn),
    /// Created by `createContainer`.
    CreateContainer(CreateContainerTxn),
    /// Created by `createTTL`.
    CreateTtl(CreateTTLTxn),
    /// Deleted by a client.
    Delete(DeleteTxn),
    /// Deleted by the container sweep.
    DeleteContainer(DeleteTxn),
    /// New data.
    SetData(SetDataTxn),
    /// New membership, stored as data of the config node.
    Reconfig(SetDataTxn),
    /// New access control list.
    SetAcl(SetACLTxn),
    /// A check that held; only inside a multi.
    Check(CheckVersionTxn),
    /// Several of the above. If one is an error, none of them happened.
    Multi(Vec<Self>),
    /// A write that failed.
    Error(ErrorTxn),
}

impl TxnBody {
    /// The type number in the header.
    #[must_use]
    pub const fn op(&self) -> OpCode {
        match self {
            Self::CreateSession(_) => OpCode::CREATE_SESSION,
            Self::CloseSession(_) => OpCode::CLOSE_SESSION,
            Self::Create(_) => OpCode::CREATE,
            Self::Create2(_) => OpCode::CREATE2,
            Self::CreateContainer(_) => OpCode::CREATE_CONTAINER,
            Self::CreateTtl(_) => OpCode::CREATE_TTL,
            Self::Delete(_) => OpCode::DELETE,
            Self::DeleteContainer(_) => OpCode::DELETE_CONTAINER,
            Self::SetData(_) => OpCode::SET_DATA,
            Self::Reconfig(_) => OpCode::RECONFIG,
            Self::SetAcl(_) => OpCode::SET_ACL,
            Self::Check(_) => OpCode::CHECK,
            Self::Multi(_) => OpCode::MULTI,
            Self::Error(_) => OpCode::ERROR,
        }
    }

    /// Appends the body without its type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateSession(body) => body.encode(out),
            Self::CloseSession(body) => {
                if let Some(body) = body {
                    body.encode(out);
                }
            }
            Self::Create(body) | Self::Create2(body) => body.encode(out),
            Self::CreateContainer(body) => body.encode(out),
            Self::CreateTtl(body) => body.encode(out),
            Self::Delete(body) | Self::DeleteContainer(body) => body.encode(out),
            Self::SetData(body) | Self::Reconfig(body) => body.encode(out),
            Self::SetAcl(body) => body.encode(out),
            Self::Check(body) => body.encode(out),
            Self::Error(body) => body.encode(out),
            Self::Multi(parts) => {
                write::int(out, write::length(parts.len()));
                for part in parts {
                    write::int(out, part.op().0);
                    let start = write::begin_frame(out);
                    part.encode(out);
                    write::patch_length(out, start);
                }
            }
        }
    }

    /// Decodes a body of type `op`.
    ///
    /// # Errors
    /// A type the log cannot hold, or bytes that do not fit it.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE_SESSION => Self::CreateSession(Record::decode(reader)?),
            OpCode::CLOSE_SESSION => Self::CloseSession(decode_close_session(reader)),
            OpCode::CREATE => Self::Create(decode_create(reader)?),
            OpCode::CREATE2 => Self::Create2(Record::decode(reader)?),
            OpCode::CREATE_CONTAINER => Self::CreateContainer(Record::decode(reader)?),
            OpCode::CREATE_TTL => Self::CreateTtl(Record::decode(reader)?),
            OpCode::DELETE => Self::Delete(Record::decode(reader)?),
            OpCode::DELETE_CONTAINER => Self::DeleteContainer(Record::decode(reader)?),
            OpCode::SET_DATA => Self::SetData(Record::decode(reader)?),
            OpCode::RECONFIG => Self::Reconfig(Record::decode(reader)?),
            OpCode::SET_ACL => Self::SetAcl(Record::decode(reader)?),
            OpCode::ERROR => Self::Error(Record::decode(reader)?),
            OpCode::MULTI => Self::Multi(decode_multi(reader)?),
            _ => return Err(DecodeError::Invalid { what: "unsupported transaction type" }),
        })
    }
}

/// 3.3 and older wrote no `parentCVersion`; they also wrote no digest, so the body ends the record.
fn decode_create(reader: &mut Reader<'_>) -> Result<CreateTxn, DecodeError> {
    let mut attempt = reader.clone();
    match CreateTxn::decode(&mut attempt) {
        Ok(body) => {
            *reader = attempt;
            Ok(body)
        }
        Err(DecodeError::Truncated { .. }) => {
            let CreateTxnV0 { path, data, acl, ephemeral } = Record::decode(reader)?;
            Ok(CreateTxn { path, data, acl, ephemeral, parent_cversion: -1 })
        }
        Err(error) => Err(error),
    }
}

/// The list may be missing, and then a digest may follow at once: a list that does not decode is none.
fn decode_close_session(reader: &mut Reader<'_>) -> Option<CloseSessionTxn> {
    let mut attempt = reader.clone();
    let body = CloseSessionTxn::decode(&mut attempt).ok()?;
    *reader = attempt;
    Some(body)
}

fn decode_multi(reader: &mut Reader<'_>) -> Result<Vec<TxnBody>, DecodeError> {
    let count = reader.vector_length()?.unwrap_or(0);
    let mut parts = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let op = OpCode(reader.int()?);
        let mut part = Reader::new(reader.buffer()?.unwrap_or_default());
        parts.push(match op {
            OpCode::CHECK => TxnBody::Check(Record::decode(&mut part)?),
            // A multi inside a multi was never written; refusing it also bounds the recursion.
            OpCode::MULTI => return Err(DecodeError::Invalid { what: "a multi inside a multi" }),
            _ => TxnBody::decode(op, &mut part)?,
        });
    }
    Ok(parts)
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnEntry {
    /// Who, when, which zxid. Its type is the body's.
    pub header: TxnHeader,
    /// What.
    pub body: TxnBody,
    /// The tree's digest afterwards, when digests are on and the txn has one.
    pub digest: Option<TxnDigest>,
}

impl TxnEntry {
    /// Appends header, body and digest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.body.encode(out);
        if let Some(digest) = &self.digest {
            digest.encode(out);
        }
    }

    /// Decodes a whole log payload.
    ///
    /// # Errors
    /// A type the log cannot hold, or bytes that do not fit it.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let header = TxnHeader::decode(&mut reader)?;
        let body = TxnBody::decode(OpCode(header.r#type), &mut reader)?;
        let digest = TxnDigest::decode(&mut reader).ok();
        Ok(Self { header, body, digest })
    }
}
