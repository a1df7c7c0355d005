//! Module `org.apache.zookeeper.txn`: what the log holds.

use super::data::Acl;
use super::{Buffer, Ustring, Vector, record};
use crate::ids::{SessionId, Zxid};

record! {
    /// Digest of the whole tree after a transaction.
    TxnDigest { version: i32, tree_digest: i64 }

    /// What every transaction begins with.
    TxnHeader {
        /// The session that asked for it.
        client_id: SessionId,
        /// That session's xid.
        cxid: i32,
        zxid: Zxid,
        /// Milliseconds since 1970, leader's wall clock.
        time: i64,
        r#type: i32,
    }

    /// Creation as 3.3 and older wrote it.
    CreateTxnV0 { path: Ustring, data: Buffer, acl: Vector<Acl>, ephemeral: bool }

    /// Creation of a persistent or ephemeral node.
    CreateTxn {
        path: Ustring,
        data: Buffer,
        acl: Vector<Acl>,
        ephemeral: bool,
        /// The parent's child-creation count after this one; -1 in old logs means "one more".
        parent_cversion: i32,
    }

    /// Creation of a TTL node.
    CreateTTLTxn {
        path: Ustring,
        data: Buffer,
        acl: Vector<Acl>,
        parent_cversion: i32,
        /// Milliseconds.
        ttl: i64,
    }

    /// Creation of a container node.
    CreateContainerTxn { path: Ustring, data: Buffer, acl: Vector<Acl>, parent_cversion: i32 }

    /// Deletion.
    DeleteTxn { path: Ustring }

    /// New data.
    SetDataTxn {
        path: Ustring,
        data: Buffer,
        /// The version after it.
        version: i32,
    }

    /// A version check that held, inside a multi.
    CheckVersionTxn { path: Ustring, version: i32 }

    /// New access control list.
    SetACLTxn {
        path: Ustring,
        acl: Vector<Acl>,
        /// The ACL version after it.
        version: i32,
    }

    /// Never written by any release; in the IDL.
    SetMaxChildrenTxn { path: Ustring, max: i32 }

    /// A session begins.
    CreateSessionTxn {
        /// Milliseconds.
        time_out: i32,
    }

    /// A session ends, taking these ephemerals with it.
    CloseSessionTxn { paths2delete: Vector<Ustring> }

    /// A write that failed.
    ErrorTxn { err: i32 }

    /// One part of a multi.
    Txn { r#type: i32, data: Buffer }

    /// A multi.
    MultiTxn { txns: Vector<Txn> }
}
