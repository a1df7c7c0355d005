//! Module `org.apache.zookeeper.server.quorum`.

use super::data::Id;
use super::{Buffer, Vector, record};
use crate::ids::Zxid;

record! {
    /// A learner introduces itself.
    LearnerInfo { serverid: i64, protocol_version: i32, config_version: i64 }

    /// Every message between leader and learner.
    QuorumPacket {
        r#type: i32,
        zxid: Zxid,
        data: Buffer,
        authinfo: Vector<Id>,
    }

    /// One step of authentication between servers.
    QuorumAuthPacket { magic: i64, status: i32, token: Buffer }
}
