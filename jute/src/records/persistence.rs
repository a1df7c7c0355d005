//! Module `org.apache.zookeeper.server.persistence`.

use super::record;

record! {
    /// The first 16 bytes of logs and snapshots.
    FileHeader { magic: i32, version: i32, dbid: i64 }
}
