//! Requests for tests: few paths and sessions, so that they meet.

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, MultiHeader, SetACLRequest,
    SetDataRequest,
};
use jute::txn::TxnEntry;
use jute::{Code, OpCode, SessionId, write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::prepare::Preparer;
use super::{Body, Head, Options, Origin, Request};
use crate::session::Sessions;
use crate::tree::{AclRules, Identity, SaslRule, Tree};

/// Who asks.
pub(crate) const SESSIONS: [SessionId; 3] = [SessionId(0x11), SessionId(0x22), SessionId(0x33)];

const PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b/d",
    "/a/e",
    "/q",
    "/q/n-",
    "/q/",
    "/q/x",
    "/",
    "/a/",
    "/zookeeper/config",
];
const DATA: &[&str] = &["", "x", "some more data"];

/// A request as it came, so that it can be made more than once.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) session: SessionId,
    pub(crate) op: OpCode,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The request.
    pub(crate) fn request(&self) -> Request {
        let identities = [Identity { scheme: "ip".into(), id: "10.0.0.1".into() }].as_slice().into();
        let head = Head {
            origin: Origin::Client(1),
            session: self.session,
            xid: 7,
            op: self.op,
            received_ms: 0,
            bytes: self.body.len(),
            knows_read_only: true,
        };
        Request { head, identities, body: Body::decode(self.op, &self.body) }
    }
}

/// The transaction that a write becomes, or the code it is refused with.
pub(crate) fn prepare(
    preparer: &mut Preparer,
    tree: &Tree,
    sessions: &mut Sessions,
    request: Request,
    time: i64,
) -> Result<TxnEntry, Code> {
    let Request { head, identities, body } = request;
    match body {
        Body::Write(write) => Ok(preparer.prepare(tree, sessions, &head, write, &identities, time)),
        Body::Malformed => Err(Code::MARSHALLING_ERROR),
        other => panic!("not a write: {other:?}"),
    }
}

/// Everything on but quotas, which look at what is applied and not at what will be.
pub(crate) const OPTIONS: Options = Options {
    acl: AclRules { skip: false, digest: true, key: false, sasl: SaslRule::Off, x509: false },
    extended_types: true,
    enforce_quota: false,
    digest: true,
    close_session_lists: true,
    in_ensemble: false,
    reconfig: false,
    txn_bytes_max: 2 << 20,
};

/// Any write.
pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let close = Just((OpCode::CLOSE_SESSION, Vec::new()));
    let others = select(vec![
        (OpCode::RECONFIG, vec![0xFF; 20]),
        (OpCode::CREATE_SESSION, vec![0, 0, 16, 0]),
        (OpCode::DELETE, Vec::new()),
        (OpCode::MULTI, vec![0]),
    ]);
    let operation = prop_oneof![40 => single(), 8 => multi(), 2 => close, 1 => others];
    (select(SESSIONS.to_vec()), operation).prop_map(|(session, (op, body))| Asked { session, op, body })
}

/// Sets or drops the quota on one of two paths in one transaction, as no client can see half of.
pub(crate) fn quota_change() -> impl Strategy<Value = Asked> {
    (select(vec!["/a", "/q"]), any::<bool>()).prop_map(|(path, set)| {
        let nodes =
            ["zookeeper_limits", "zookeeper_stats"].map(|name| format!("/zookeeper/quota{path}/{name}"));
        let parts = nodes.into_iter().map(|path| {
            let (path, acl) = (Some(path), Some(vec![entry((31, "world", "anyone"))]));
            if set {
                let data = Some(b"count=5,bytes=-1".to_vec());
                (OpCode::CREATE, CreateRequest { path, data, acl, flags: 0 }.to_bytes())
            } else {
                (OpCode::DELETE, DeleteRequest { path, version: -1 }.to_bytes())
            }
        });
        Asked { session: SESSIONS[0], op: OpCode::MULTI, body: multi_body(parts) }
    })
}

/// A plain creation by the first session.
pub(crate) fn creation(path: &str, mode: CreateMode) -> Asked {
    let flags = i32::from(mode == CreateMode::Ephemeral);
    let (path, acl) = (Some(path.to_owned()), Some(vec![entry((31, "world", "anyone"))]));
    let body = CreateRequest { path, data: None, acl, flags }.to_bytes();
    Asked { session: SESSIONS[0], op: OpCode::CREATE, body }
}

/// A plain node with this much data.
pub(crate) fn creation_of(path: &str, data_bytes: usize) -> Asked {
    let mut body = Vec::new();
    let (path, data) = (Some(path.into()), Some(vec![b'x'; data_bytes]));
    let acl = Some(vec![entry((31, "world", "anyone"))]);
    CreateRequest { path, data, acl, flags: 0 }.encode(&mut body);
    Asked { session: SESSIONS[0], op: OpCode::CREATE, body }
}

/// A deletion by the first session.
pub(crate) fn deletion(path: &str) -> Asked {
    let body = DeleteRequest { path: Some(path.to_owned()), version: -1 }.to_bytes();
    Asked { session: SESSIONS[0], op: OpCode::DELETE, body }
}

fn entry((perms, scheme, id): (i32, &str, &str)) -> Acl {
    Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
}

fn path() -> impl Strategy<Value = Option<String>> {
    prop_oneof![40 => select(PATHS).prop_map(|path| Some(path.to_owned())), 1 => Just(None)]
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![5 => select(DATA).prop_map(|data| Some(data.into())), 1 => Just(None)]
}

fn acl() -> impl Strategy<Value = Option<Vec<Acl>>> {
    let entries = vec![
        entry((31, "world", "anyone")),
        entry((31, "ip", "10.0.0.0/8")),
        entry((23, "world", "anyone")),
        entry((31, "digest", "u:h")),
    ];
    prop_oneof![
        12 => Just(Some(vec![entries[0].clone()])),
        3 => vec(select(entries), 1..3).prop_map(Some),
        1 => Just(None),
    ]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 1 => 0..3]
}

fn single() -> BoxedStrategy<(OpCode, Vec<u8>)> {
    let create = (path(), data(), acl(), 0..7i32, 0..4usize).prop_map(|(path, data, acl, flags, op)| {
        let is_ttl = CreateMode::from_flags(flags).is_some_and(CreateMode::is_ttl);
        if is_ttl {
            let request = CreateTTLRequest { path, data, acl, flags, ttl: 1000 };
            return (OpCode::CREATE_TTL, request.to_bytes());
        }
        let op = [OpCode::CREATE, OpCode::CREATE, OpCode::CREATE2, OpCode::CREATE_CONTAINER][op];
        (op, CreateRequest { path, data, acl, flags }.to_bytes())
    });
    let delete = (path(), version())
        .prop_map(|(path, version)| (OpCode::DELETE, DeleteRequest { path, version }.to_bytes()));
    let sweep = path().prop_map(|path| (OpCode::DELETE_CONTAINER, path.to_bytes()));
    let set_data = (path(), data(), version()).prop_map(|(path, data, version)| {
        (OpCode::SET_DATA, SetDataRequest { path, data, version }.to_bytes())
    });
    let set_acl = (path(), acl(), version())
        .prop_map(|(path, acl, version)| (OpCode::SET_ACL, SetACLRequest { path, acl, version }.to_bytes()));
    prop_oneof![8 => create, 5 => delete, 1 => sweep, 3 => set_data, 2 => set_acl].boxed()
}

fn multi() -> impl Strategy<Value = (OpCode, Vec<u8>)> {
    let check = (path(), version())
        .prop_map(|(path, version)| (OpCode::CHECK, CheckVersionRequest { path, version }.to_bytes()));
    let part = prop_oneof![
        6 => single().prop_filter("a multi cannot hold it", |(op, _)| {
            !matches!(*op, OpCode::SET_ACL | OpCode::DELETE_CONTAINER)
        }),
        1 => check,
    ];
    vec(part, 0..4).prop_map(|parts| (OpCode::MULTI, multi_body(parts)))
}

pub(crate) fn multi_body(parts: impl IntoIterator<Item = (OpCode, Vec<u8>)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (op, part) in parts {
        MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut body);
        body.extend(part);
    }
    write::int(&mut body, -1);
    write::boolean(&mut body, true);
    write::int(&mut body, -1);
    body
}
