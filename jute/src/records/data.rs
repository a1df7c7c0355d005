//! Module `org.apache.zookeeper.data`.

use super::{Ustring, record};
use crate::ids::{SessionId, Zxid};

record! {
    /// An identity: a scheme and a name in it.
    Id { scheme: Ustring, id: Ustring }

    /// One entry of an access control list.
    Acl {
        /// Bits: read 1, write 2, create 4, delete 8, admin 16.
        perms: i32,
        id: Id,
    }

    /// What clients are told of a node.
    Stat {
        czxid: Zxid,
        mzxid: Zxid,
        /// Milliseconds since 1970, leader's wall clock.
        ctime: i64,
        /// Milliseconds since 1970, leader's wall clock.
        mtime: i64,
        version: i32,
        /// Creations plus deletions of children.
        cversion: i32,
        aversion: i32,
        ephemeral_owner: SessionId,
        data_length: i32,
        num_children: i32,
        pzxid: Zxid,
    }

    /// What snapshots keep of a node.
    StatPersisted {
        czxid: Zxid,
        mzxid: Zxid,
        ctime: i64,
        mtime: i64,
        version: i32,
        /// Creations of children only; see `Stat`.
        cversion: i32,
        aversion: i32,
        ephemeral_owner: SessionId,
        pzxid: Zxid,
    }

    /// One identity of a connection, as `whoAmI` tells it.
    ClientInfo { auth_scheme: Ustring, user: Ustring }
}
