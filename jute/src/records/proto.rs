//! Module `org.apache.zookeeper.proto`: what clients and servers say to each other.

use super::data::{Acl, ClientInfo, Stat};
use super::{Buffer, Ustring, Vector, record};
use crate::ids::{SessionId, Zxid};

record! {
    /// The first frame a client sends; it has no header.
    ConnectRequest { protocol_version: i32, last_zxid_seen: Zxid, time_out: i32, session_id: SessionId, passwd: Buffer, read_only: bool }

    /// The answer to it; timeout 0 means the session is gone.
    ConnectResponse { protocol_version: i32, time_out: i32, session_id: SessionId, passwd: Buffer, read_only: bool }

    /// Watches a client re-registers after a reconnect.
    SetWatches { relative_zxid: Zxid, data_watches: Vector<Ustring>, exist_watches: Vector<Ustring>, child_watches: Vector<Ustring> }

    /// The same with persistent kinds.
    SetWatches2 { relative_zxid: Zxid, data_watches: Vector<Ustring>, exist_watches: Vector<Ustring>, child_watches: Vector<Ustring>, persistent_watches: Vector<Ustring>, persistent_recursive_watches: Vector<Ustring> }

    /// Precedes every request but the first.
    RequestHeader { xid: i32, r#type: i32 }

    /// Precedes each part of a multi and of its reply.
    MultiHeader { r#type: i32, done: bool, err: i32 }

    /// Credentials for one scheme.
    AuthPacket { r#type: i32, scheme: Ustring, auth: Buffer }

    /// Precedes every reply and notification.
    ReplyHeader { xid: i32, zxid: Zxid, err: i32 }

    /// Body of a `GetData` request.
    GetDataRequest { path: Ustring, watch: bool }

    /// Body of a `SetData` request.
    SetDataRequest { path: Ustring, data: Buffer, version: i32 }

    /// Body of a `Reconfig` request.
    ReconfigRequest { joining_servers: Ustring, leaving_servers: Ustring, new_members: Ustring, cur_config_id: i64 }

    /// Body of a `SetData` reply.
    SetDataResponse { stat: Stat }

    /// Body of a `GetSASL` request.
    GetSASLRequest { token: Buffer }

    /// Body of a `SetSASL` request.
    SetSASLRequest { token: Buffer }

    /// Body of a `SetSASL` reply.
    SetSASLResponse { token: Buffer }

    /// Body of a `Create` request.
    CreateRequest { path: Ustring, data: Buffer, acl: Vector<Acl>, flags: i32 }

    /// Body of a `CreateTTL` request.
    CreateTTLRequest { path: Ustring, data: Buffer, acl: Vector<Acl>, flags: i32, ttl: i64 }

    /// Body of a `Delete` request.
    DeleteRequest { path: Ustring, version: i32 }

    /// Body of a `GetChildren` request.
    GetChildrenRequest { path: Ustring, watch: bool }

    /// Body of a `GetAllChildrenNumber` request.
    GetAllChildrenNumberRequest { path: Ustring }

    /// Body of a `GetChildren2` request.
    GetChildren2Request { path: Ustring, watch: bool }

    /// Body of a `CheckVersion` request.
    CheckVersionRequest { path: Ustring, version: i32 }

    /// Body of a `GetMaxChildren` request.
    GetMaxChildrenRequest { path: Ustring }

    /// Body of a `GetMaxChildren` reply.
    GetMaxChildrenResponse { max: i32 }

    /// Body of a `SetMaxChildren` request.
    SetMaxChildrenRequest { path: Ustring, max: i32 }

    /// Body of a `Sync` request.
    SyncRequest { path: Ustring }

    /// Body of a `Sync` reply.
    SyncResponse { path: Ustring }

    /// Body of a `GetACL` request.
    GetACLRequest { path: Ustring }

    /// Body of a `SetACL` request.
    SetACLRequest { path: Ustring, acl: Vector<Acl>, version: i32 }

    /// Body of a `SetACL` reply.
    SetACLResponse { stat: Stat }

    /// Body of a `AddWatch` request.
    AddWatchRequest { path: Ustring, mode: i32 }

    /// A watch event.
    WatcherEvent { r#type: i32, state: i32, path: Ustring }

    /// Body of a `Error` reply.
    ErrorResponse { err: i32 }

    /// Body of a `Create` reply.
    CreateResponse { path: Ustring }

    /// Body of a `Create2` reply.
    Create2Response { path: Ustring, stat: Stat }

    /// Body of a `Exists` request.
    ExistsRequest { path: Ustring, watch: bool }

    /// Body of a `Exists` reply.
    ExistsResponse { stat: Stat }

    /// Body of a `GetData` reply.
    GetDataResponse { data: Buffer, stat: Stat }

    /// Body of a `GetChildren` reply.
    GetChildrenResponse { children: Vector<Ustring> }

    /// Body of a `GetAllChildrenNumber` reply.
    GetAllChildrenNumberResponse { total_number: i32 }

    /// Body of a `GetChildren2` reply.
    GetChildren2Response { children: Vector<Ustring>, stat: Stat }

    /// Body of a `GetACL` reply.
    GetACLResponse { acl: Vector<Acl>, stat: Stat }

    /// Body of a `CheckWatches` request.
    CheckWatchesRequest { path: Ustring, r#type: i32 }

    /// Body of a `RemoveWatches` request.
    RemoveWatchesRequest { path: Ustring, r#type: i32 }

    /// Body of a `GetEphemerals` request.
    GetEphemeralsRequest { prefix_path: Ustring }

    /// Body of a `GetEphemerals` reply.
    GetEphemeralsResponse { ephemerals: Vector<Ustring> }

    /// Body of a `WhoAmI` reply.
    WhoAmIResponse { client_info: Vector<ClientInfo> }
}
