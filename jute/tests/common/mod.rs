//! Every record of the crate behind one table, for tests and fuzz targets that treat all alike.

#![allow(dead_code, reason = "each test binary uses its own part")]

use jute::Record;
use jute::read::{DecodeError, Reader};

/// What one decoding found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The value, as `Debug` shows it.
    pub(crate) shown: String,
    /// The value encoded again.
    pub(crate) encoded: Vec<u8>,
    /// How many bytes were read.
    pub(crate) consumed: usize,
}

/// Reads one kind of record from bytes.
pub(crate) type Decode = fn(&[u8]) -> Result<Decoded, DecodeError>;

/// Reads one kind of record and only says how many bytes it took.
pub(crate) type Check = fn(&[u8]) -> Result<usize, DecodeError>;

/// One kind of record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The last part of its IDL module.
    pub(crate) module: &'static str,
    /// Its Rust name.
    pub(crate) name: &'static str,
    /// Decodes, shows and encodes again.
    pub(crate) decode: Decode,
    /// Decodes and drops the value: allocates only what decoding needs.
    pub(crate) check: Check,
}

/// Fields in wire order: name and wire type.
pub(crate) type Schema = Vec<(&'static str, String)>;

/// The records each module says it has.
pub(crate) fn schemas() -> Vec<(&'static str, Vec<(&'static str, Schema)>)> {
    use jute::records::{data, persistence, proto, quorum, txn};
    vec![
        ("data", data::schemas()),
        ("persistence", persistence::schemas()),
        ("proto", proto::schemas()),
        ("quorum", quorum::schemas()),
        ("txn", txn::schemas()),
    ]
}

/// A name without what Rust and the IDL write differently.
pub(crate) fn normalised(name: &str) -> String {
    name.trim_start_matches("r#").replace('_', "").to_lowercase()
}

fn decode<R: Record + std::fmt::Debug>(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut reader = Reader::new(bytes);
    let record = R::decode(&mut reader)?;
    Ok(Decoded { shown: format!("{record:?}"), encoded: record.to_bytes(), consumed: reader.offset() })
}

fn check<R: Record>(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(bytes);
    drop(R::decode(&mut reader)?);
    Ok(reader.offset())
}

macro_rules! kinds {
    ($($module:ident { $($name:ident),* $(,)? })*) => {
        /// Every record.
        pub(crate) const KINDS: &[Kind] = &[$($(Kind {
            module: stringify!($module),
            name: stringify!($name),
            decode: decode::<jute::records::$module::$name>,
            check: check::<jute::records::$module::$name>,
        }),*),*];
    };
}

kinds! {
    data { Acl, ClientInfo, Id, Stat, StatPersisted }
    persistence { FileHeader }
    proto { AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, ConnectRequest,
        ConnectResponse, Create2Response, CreateRequest, CreateResponse, CreateTTLRequest,
        DeleteRequest, ErrorResponse, ExistsRequest, ExistsResponse, GetACLRequest, GetACLResponse,
        GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildren2Request,
        GetChildren2Response, GetChildrenRequest, GetChildrenResponse, GetDataRequest,
        GetDataResponse, GetEphemeralsRequest, GetEphemeralsResponse, GetMaxChildrenRequest,
        GetMaxChildrenResponse, GetSASLRequest, MultiHeader, ReconfigRequest, RemoveWatchesRequest,
        ReplyHeader, RequestHeader, SetACLRequest, SetACLResponse, SetDataRequest, SetDataResponse,
        SetMaxChildrenRequest, SetSASLRequest, SetSASLResponse, SetWatches, SetWatches2,
        SyncRequest, SyncResponse, WatcherEvent, WhoAmIResponse }
    quorum { LearnerInfo, QuorumAuthPacket, QuorumPacket }
    txn { CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTTLTxn,
        CreateTxn, CreateTxnV0, DeleteTxn, ErrorTxn, MultiTxn, SetACLTxn, SetDataTxn,
        SetMaxChildrenTxn, Txn, TxnDigest, TxnHeader }
}
