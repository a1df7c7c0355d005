//! Preparing ahead of the tree against preparing one by one.

use std::collections::VecDeque;

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{CheckVersionRequest, DeleteRequest, SetACLRequest, SetDataRequest};
use jute::records::txn::CheckVersionTxn;
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, SessionId, Zxid};
use proptest::collection::vec;
use proptest::prelude::*;

use super::prepare::Preparer;
use super::testing::{Asked, OPTIONS, SESSIONS, asked, creation, deletion, multi_body, prepare};
use super::{Options, Origin, Request, Write};
use crate::session::Sessions;
use crate::tree::model_test::contents;
use crate::tree::{OwnerRules, Tree};

/// A tree, and transactions that are prepared and not applied.
struct Server {
    tree: Tree,
    sessions: Sessions,
    preparer: Preparer,
    pending: VecDeque<TxnEntry>,
}

impl Server {
    fn new() -> Self {
        let mut sessions = Sessions::new(2000, 1, 0);
        SESSIONS.iter().for_each(|session| drop(sessions.track(*session, 30_000, 0)));
        let tree = Tree::new(OwnerRules { extended_types: true, emulate_353: false });
        Self { tree, sessions, preparer: Preparer::new(OPTIONS, Zxid::ZERO), pending: VecDeque::new() }
    }

    /// What the request becomes, without its digest: that is compared with the tree's.
    fn prepare(&mut self, asked: &Asked, time: i64) -> Result<TxnEntry, i32> {
        let request = asked.request();
        let entry = prepare(&mut self.preparer, &self.tree, &mut self.sessions, request, time)
            .map_err(|code| code.0)?;
        assert_eq!(entry.digest.is_none(), matches!(entry.body, TxnBody::Error(_)));
        self.pending.push_back(entry.clone());
        Ok(entry)
    }

    fn apply(&mut self, count: usize) {
        for TxnEntry { header, body, digest } in self.pending.drain(..count.min(self.pending.len())) {
            let shown = format!("{body:?}");
            self.tree.apply(&header, body, &mut |_| {});
            if let Some(digest) = digest {
                assert_eq!(digest.tree_digest.cast_unsigned(), self.tree.digest(), "after {shown}");
            }
        }
        self.preparer.applied(self.tree.last_zxid());
    }
}

/// Each request with how many transactions are applied after it was prepared.
fn check_ahead_is_as_one_by_one(steps: &[(Asked, usize)]) {
    let (mut ahead, mut one_by_one) = (Server::new(), Server::new());
    for (time, (asked, applied)) in steps.iter().enumerate() {
        let (first, second) = (ahead.prepare(asked, time as i64), one_by_one.prepare(asked, time as i64));
        assert_eq!(first, second, "for {:?}", asked.request());
        ahead.apply(*applied);
        one_by_one.apply(1);
    }
    ahead.apply(usize::MAX);
    assert_eq!(contents(&ahead.tree), contents(&one_by_one.tree));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn preparing_ahead_of_the_tree_is_as_preparing_one_by_one(
        steps in vec((asked(), prop_oneof![3 => Just(0), 2 => 0..3usize, 1 => Just(100)]), 1..60),
    ) {
        check_ahead_is_as_one_by_one(&steps);
    }
}

/// The end of a session took along what another session had just created under the name of one of its
/// ephemerals, when the deletion in between was not applied yet.
#[test]
fn the_end_of_a_session_leaves_alone_what_another_has_created_in_the_meantime() {
    let of = |session: SessionId, asked: Asked| Asked { session, ..asked };
    let end = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    for mode in [CreateMode::Ephemeral, CreateMode::Persistent] {
        check_ahead_is_as_one_by_one(&[
            (creation("/e", CreateMode::Ephemeral), 1),
            (of(SESSIONS[1], deletion("/e")), 0),
            (of(SESSIONS[1], creation("/e", mode)), 0),
            (end.clone(), 0),
        ]);
    }
}

/// What a request of this session is refused with.
fn refusal(server: &mut Server, session: SessionId, asked: Asked) -> Option<Code> {
    match server.prepare(&Asked { session, ..asked }, 5).expect("it decodes").body {
        TxnBody::Error(error) => Some(Code(error.err)),
        _ => None,
    }
}

#[test]
fn nothing_is_done_for_a_session_that_is_unknown_or_ending() {
    let mut server = Server::new();
    server.prepare(&creation("/there", CreateMode::Persistent), 1).unwrap();
    let asked = || {
        let path = Some("/there".to_owned());
        let set = SetDataRequest { path: path.clone(), data: None, version: -1 }.to_bytes();
        let acl =
            Some(vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }]);
        let set_acl = SetACLRequest { path: path.clone(), acl, version: -1 }.to_bytes();
        let of = |op, body| Asked { session: SESSIONS[0], op, body };
        [
            creation("/new", CreateMode::Persistent),
            of(OpCode::SET_DATA, set),
            of(OpCode::SET_ACL, set_acl),
            deletion("/there"),
        ]
    };
    let unknown = SessionId(99);
    for asked in asked() {
        assert_eq!(refusal(&mut server, unknown, asked), Some(Code::UNKNOWN_SESSION));
    }
    let ephemeral = || creation("/e", CreateMode::Ephemeral);
    assert_eq!(refusal(&mut server, unknown, ephemeral()), Some(Code::SESSION_EXPIRED));
    server.sessions.set_closing(SESSIONS[1]);
    for asked in asked().into_iter().chain([ephemeral()]) {
        assert_eq!(refusal(&mut server, SESSIONS[1], asked), Some(Code::SESSION_EXPIRED));
    }
    assert_eq!(refusal(&mut server, SESSIONS[0], ephemeral()), None);
    // From the moment at which its end is prepared.
    let end = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    assert_eq!(refusal(&mut server, SESSIONS[0], end), None);
    let late = creation("/late", CreateMode::Persistent);
    assert_eq!(refusal(&mut server, SESSIONS[0], late), Some(Code::SESSION_EXPIRED));
}

/// A leader tells whoever it does not know that its session has expired.
#[test]
fn in_an_ensemble_a_session_that_is_unknown_has_expired() {
    let mut server = Server::new();
    let options = Options { in_ensemble: true, ..OPTIONS };
    server.preparer = Preparer::new(options, Zxid::ZERO);
    let create = || creation("/new", CreateMode::Persistent);
    assert_eq!(refusal(&mut server, SessionId(99), create()), Some(Code::SESSION_EXPIRED));
    assert_eq!(refusal(&mut server, SESSIONS[0], create()), None);
}

/// The sweep acts on nobody's behalf, and what it found may have changed.
#[test]
fn the_sweep_removes_only_what_is_there_and_empty_and_no_session_s() {
    let mut server = Server::new();
    for (path, mode) in [
        ("/c", CreateMode::Persistent),
        ("/full", CreateMode::Persistent),
        ("/full/x", CreateMode::Persistent),
    ] {
        server.prepare(&creation(path, mode), 1).unwrap();
    }
    server.prepare(&creation("/e", CreateMode::Ephemeral), 1).unwrap();
    let sweep = |path: &str| Asked {
        session: SESSIONS[0],
        op: OpCode::DELETE_CONTAINER,
        body: Some(path.to_owned()).to_bytes(),
    };
    let mut found = |path: &str| refusal(&mut server, SessionId(0), sweep(path));
    assert_eq!(found("/full"), Some(Code::NOT_EMPTY));
    assert_eq!(found("/none"), Some(Code::NO_NODE));
    assert_eq!(found("/e"), Some(Code::BAD_VERSION));
    assert_eq!(found("/zookeeper"), Some(Code::BAD_ARGUMENTS));
    assert_eq!(found("/c"), None);
    assert_eq!(found("/c"), Some(Code::NO_NODE));
}

/// The reference stumbles over such a part, and with it over the whole multi.
#[test]
fn nothing_is_left_of_a_multi_that_fails_as_a_whole() {
    let mut server = Server::new();
    let first = creation("/first", CreateMode::Persistent);
    let nothing = DeleteRequest { path: None, version: -1 }.to_bytes();
    let body = multi_body([(first.op, first.body.clone()), (OpCode::DELETE, nothing)]);
    let multi = Asked { session: SESSIONS[0], op: OpCode::MULTI, body };
    assert_eq!(refusal(&mut server, SESSIONS[0], multi), Some(Code::MARSHALLING_ERROR));
    assert_eq!(refusal(&mut server, SESSIONS[0], first), None, "it is not there yet");
}

/// What other servers and tools read in the log.
#[test]
fn a_transaction_names_what_was_checked_and_the_version_of_its_digest() {
    let mut server = Server::new();
    server.prepare(&creation("/there", CreateMode::Persistent), 1).unwrap();
    let check = CheckVersionRequest { path: Some("/there".into()), version: 0 }.to_bytes();
    let body = multi_body([(OpCode::CHECK, check)]);
    let entry = server.prepare(&Asked { session: SESSIONS[0], op: OpCode::MULTI, body }, 77).unwrap();
    let checked = CheckVersionTxn { path: Some("/there".into()), version: 1 };
    assert_eq!(entry.body, TxnBody::Multi(vec![TxnBody::Check(checked)]));
    assert_eq!(entry.digest.map(|digest| digest.version), Some(2));
    let header = &entry.header;
    assert_eq!((header.client_id, header.cxid, header.zxid, header.time), (SESSIONS[0], 7, Zxid(2), 77));
    assert_eq!(header.r#type, OpCode::MULTI.0);
}

/// A client's numbers begin at 1.
#[test]
fn what_the_server_asks_of_itself_has_no_number() {
    let mut server = Server::new();
    let end = Request::internal(SESSIONS[0], OpCode::CLOSE_SESSION, Write::CloseSession, 5);
    assert_eq!((end.head.origin, end.head.bytes, end.head.received_ms), (Origin::Internal, 0, 5));
    let entry = prepare(&mut server.preparer, &server.tree, &mut server.sessions, end, 77).unwrap();
    assert_eq!((entry.header.client_id, entry.header.cxid, entry.header.time), (SESSIONS[0], 0, 77));
}
