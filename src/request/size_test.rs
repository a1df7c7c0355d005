//! Nothing is accepted that a start would not read again.

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, SetACLRequest, SetDataRequest,
};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, Zxid};

use super::prepare::Preparer;
use super::testing::{Asked, OPTIONS, SESSIONS, creation, deletion, multi_body, prepare};
use super::{Body, Options, Write};
use crate::session::Sessions;
use crate::tree::{Identity, OwnerRules, Tree};

struct Server {
    tree: Tree,
    sessions: Sessions,
    preparer: Preparer,
    identities: Vec<Identity>,
}

impl Server {
    fn new(txn_bytes_max: usize) -> Self {
        let mut sessions = Sessions::new(2000, 1, 0);
        SESSIONS.iter().for_each(|session| drop(sessions.track(*session, 30_000, 0)));
        let tree = Tree::new(OwnerRules { extended_types: true, emulate_353: false });
        let preparer = Preparer::new(Options { txn_bytes_max, ..OPTIONS }, Zxid::ZERO);
        let digest = |n| Identity { scheme: "digest".into(), id: format!("user{n}:hash") };
        Self { tree, sessions, preparer, identities: (0..20).map(digest).collect() }
    }

    fn prepare(&mut self, asked: &Asked) -> TxnEntry {
        let mut request = asked.request();
        request.identities = self.identities.as_slice().into();
        prepare(&mut self.preparer, &self.tree, &mut self.sessions, request, 5).unwrap()
    }

    fn serve(&mut self, asked: &Asked) -> TxnEntry {
        let entry = self.prepare(asked);
        self.apply(entry.clone());
        entry
    }

    fn apply(&mut self, entry: TxnEntry) {
        let TxnEntry { header, body, digest } = entry;
        self.tree.apply(&header, body, &mut |_| {});
        if let Some(digest) = digest {
            assert_eq!(digest.tree_digest.cast_unsigned(), self.tree.digest());
        }
        self.preparer.applied(self.tree.last_zxid());
    }
}

fn bytes_of(entry: &TxnEntry) -> usize {
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    bytes.len()
}

fn is_refused(entry: &TxnEntry) -> bool {
    matches!(&entry.body, TxnBody::Error(error) if error.err == Code::MARSHALLING_ERROR.0)
}

fn asked(op: OpCode, record: &impl Record) -> Asked {
    Asked { session: SESSIONS[0], op, body: record.to_bytes() }
}

fn list(scheme: &str) -> Option<Vec<Acl>> {
    let acl = |perms| Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some("anyone".into()) } };
    Some((1..8).map(acl).collect())
}

/// Every kind of write that takes data from outside, some of them growing on the way.
fn requests() -> Vec<Asked> {
    let (path, data) = (Some("/node".to_owned()), Some(vec![7; 300]));
    let flags = CreateMode::PersistentSequential as i32;
    let create = CreateRequest { path: path.clone(), data: data.clone(), acl: list("auth"), flags };
    let world = CreateRequest { acl: list("world"), ..create.clone() };
    let delete = DeleteRequest { path: Some("/there".into()), version: -1 };
    let ttl = CreateTTLRequest {
        path: path.clone(),
        data: None,
        acl: list("auth"),
        flags: CreateMode::PersistentWithTtl as i32,
        ttl: 1000,
    };
    let container = CreateRequest { flags: CreateMode::Container as i32, ..create.clone() };
    let there = Some("/there".to_owned());
    let set_data = SetDataRequest { path: there.clone(), data, version: -1 };
    let set_acl = SetACLRequest { path: there, acl: list("auth"), version: -1 };
    let parts = [
        (OpCode::CREATE, create.to_bytes()),
        (OpCode::CREATE2, world.to_bytes()),
        (OpCode::SET_DATA, set_data.to_bytes()),
        (OpCode::DELETE, delete.to_bytes()),
        (OpCode::CHECK, CheckVersionRequest { path, version: 3 }.to_bytes()),
    ];
    let failing = Asked { session: SESSIONS[0], op: OpCode::MULTI, body: multi_body(parts.clone()) };
    let fits = CheckVersionRequest { path: Some("/there".into()), version: 0 };
    let checked = std::iter::once((OpCode::CHECK, fits.to_bytes())).chain(parts[..4].iter().cloned());
    let working = Asked { body: multi_body(checked), ..failing.clone() };
    vec![
        asked(OpCode::CREATE, &create),
        asked(OpCode::CREATE2, &world),
        asked(OpCode::CREATE_TTL, &ttl),
        asked(OpCode::CREATE_CONTAINER, &container),
        asked(OpCode::SET_DATA, &set_data),
        asked(OpCode::SET_ACL, &set_acl),
        working,
        failing,
    ]
}

#[test]
fn what_just_fits_is_taken_and_a_byte_more_is_not() {
    for request in requests() {
        let attempt = |most| {
            let mut server = Server::new(most);
            let there = server.serve(&creation("/there", CreateMode::Persistent));
            assert!(!is_refused(&there), "the node to work on");
            let digest = server.tree.digest();
            let entry = server.serve(&request);
            if is_refused(&entry) {
                assert_eq!(server.tree.digest(), digest, "nothing of it is left");
            }
            // What was refused must not be in the way of what comes after it.
            assert!(!is_refused(&server.serve(&creation("/later", CreateMode::Persistent))));
            entry
        };
        let entry = attempt(1 << 20);
        assert!(!is_refused(&entry), "{:?}", entry.body);
        // A transaction has no digest when it fails, and a list of parts only when it is a multi.
        let spare =
            if entry.digest.is_none() { 12 } else { 0 } + if request.op == OpCode::MULTI { 0 } else { 4 };
        let bytes = bytes_of(&entry) + spare;
        assert_eq!(attempt(bytes), entry, "{:?}", request.op);
        assert!(is_refused(&attempt(bytes - 1)), "{:?} of {bytes} bytes", request.op);
    }
}

#[test]
fn a_session_has_no_more_ephemerals_than_its_end_can_list() {
    const MOST: usize = 5000;
    let mut server = Server::new(MOST);
    let ephemeral = |n: usize| creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral);
    let mut created = 0;
    // Some applied, some prepared, some in one multi that fails: none counts twice, none is forgotten.
    let mut pending = Vec::new();
    for n in 0.. {
        let entry = server.prepare(&ephemeral(n));
        if is_refused(&entry) {
            server.preparer.applied(Zxid::ZERO);
            pending.push(entry);
            break;
        }
        created += 1;
        pending.push(entry);
        if n % 7 == 0 {
            pending.drain(..).for_each(|entry| server.apply(entry));
        }
        if n % 11 == 0 {
            let CreateRequest { acl, .. } =
                Record::decode(&mut jute::Reader::new(&ephemeral(n).body)).unwrap();
            let create = |path: &str| CreateRequest {
                path: Some(path.into()),
                data: None,
                acl: acl.clone(),
                flags: 1,
            };
            let parts =
                ["/in-a-multi-that-fails", "/a/b/c"].map(|path| (OpCode::CREATE, create(path).to_bytes()));
            let multi = Asked { session: SESSIONS[0], op: OpCode::MULTI, body: multi_body(parts) };
            pending.push(server.prepare(&multi));
        }
    }
    pending.into_iter().for_each(|entry| server.apply(entry));
    assert!((MOST / 30..MOST / 10).contains(&created), "{created}");
    assert!(!is_refused(&server.serve(&creation("/plain", CreateMode::Persistent))));
    let others = Asked { session: SESSIONS[1], ..ephemeral(9999) };
    assert!(!is_refused(&server.serve(&others)), "another session has its own");
    // One goes, one of the same length may come.
    assert!(is_refused(&server.serve(&ephemeral(1000))));
    server.serve(&deletion("/ephemeral-10"));
    assert!(!is_refused(&server.serve(&ephemeral(777))));
    let close = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    assert!(matches!(Body::decode(close.op, &close.body), Body::Write(Write::CloseSession)));
    let entry = server.serve(&close);
    let bytes = bytes_of(&entry);
    assert!((MOST - 40..=MOST).contains(&bytes), "{bytes}");
    assert_eq!(server.tree.ephemerals_of(SESSIONS[0]).count(), 0);
}

/// Created where more was allowed; some are about to be deleted.
#[test]
fn a_session_that_inherited_too_many_ephemerals_can_end() {
    const MOST: usize = 3000;
    for (count, is_too_many) in [(50, false), (200, true), (2000, true)] {
        let mut server = Server::new(1 << 20);
        for n in 0..count {
            server.serve(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral));
        }
        let options = Options { txn_bytes_max: MOST, ..OPTIONS };
        server.preparer = Preparer::new(options, server.tree.last_zxid());
        let mut pending: Vec<_> =
            [3, 40].iter().map(|n| server.prepare(&deletion(&format!("/ephemeral-{n}")))).collect();
        let removals = server.preparer.removals_before_end(&server.tree, SESSIONS[0]);
        assert_eq!(!removals.is_empty(), is_too_many);
        let removals = removals.into_iter().map(|paths| (OpCode::MULTI, Write::RemoveEphemerals(paths)));
        let mut sizes = Vec::new();
        for (op, write) in removals.chain([(OpCode::CLOSE_SESSION, Write::CloseSession)]) {
            let mut request = Asked { session: SESSIONS[0], op, body: Vec::new() }.request();
            request.body = Body::Write(write);
            let entry =
                prepare(&mut server.preparer, &server.tree, &mut server.sessions, request, 5).unwrap();
            assert!(bytes_of(&entry) <= MOST, "{} bytes", bytes_of(&entry));
            sizes.push(bytes_of(&entry));
            pending.push(entry);
        }
        // No more is removed before the end than has to be, in no more parts than that takes.
        if is_too_many {
            let mut full = sizes.clone();
            full.remove(sizes.len() - 2);
            assert!(full.iter().all(|bytes| *bytes > MOST - 100), "{sizes:?}");
        }
        pending.into_iter().for_each(|entry| server.apply(entry));
        assert_eq!(server.tree.ephemerals_of(SESSIONS[0]).count(), 0);
    }
}

/// What is prepared and not applied yet counts too.
#[test]
fn ephemerals_that_wait_together_are_no_more_than_the_end_can_list() {
    const MOST: usize = 5000;
    let mut server = Server::new(MOST);
    let entries: Vec<_> = (100..900)
        .map(|n| server.prepare(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral)))
        .collect();
    let created = entries.iter().filter(|entry| !is_refused(entry)).count();
    entries.into_iter().for_each(|entry| server.apply(entry));
    assert_eq!(server.tree.ephemerals_of(SESSIONS[0]).count(), created);
    let close = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    let bytes = bytes_of(&server.serve(&close));
    assert!((MOST - 40..=MOST).contains(&bytes), "{bytes}");
}

#[test]
fn where_the_end_of_a_session_lists_nothing_nothing_is_removed_before_it() {
    let mut server = Server::new(1 << 20);
    for n in 0..200 {
        server.serve(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral));
    }
    let options = Options { txn_bytes_max: 1000, close_session_lists: false, ..OPTIONS };
    server.preparer = Preparer::new(options, server.tree.last_zxid());
    assert!(server.preparer.removals_before_end(&server.tree, SESSIONS[0]).is_empty());
    assert!(!is_refused(&server.serve(&creation("/one-more", CreateMode::Ephemeral))));
}

/// To the byte.
#[test]
fn before_the_end_of_a_session_nothing_is_removed_that_its_end_can_list() {
    let mut server = Server::new(1 << 20);
    for n in 100..200 {
        server.serve(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral));
    }
    let close = Asked { session: SESSIONS[0], op: OpCode::CLOSE_SESSION, body: Vec::new() };
    let end = {
        let mut alike = Server::new(1 << 20);
        (100..200)
            .for_each(|n| drop(alike.serve(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral))));
        bytes_of(&alike.serve(&close))
    };
    let removed = |txn_bytes_max| {
        let preparer = Preparer::new(Options { txn_bytes_max, ..OPTIONS }, server.tree.last_zxid());
        preparer.removals_before_end(&server.tree, SESSIONS[0]).concat().len()
    };
    assert_eq!([removed(end), removed(end - 1), removed(end - 18), removed(end - 19)], [0, 1, 1, 2]);
}

/// To the byte, too.
#[test]
fn what_is_removed_before_the_end_of_a_session_fills_its_transactions() {
    let mut server = Server::new(1 << 20);
    for n in 100..200 {
        server.serve(&creation(&format!("/ephemeral-{n}"), CreateMode::Ephemeral));
    }
    let removal = |paths: Vec<String>| {
        let mut request = Asked { session: SESSIONS[0], op: OpCode::MULTI, body: Vec::new() }.request();
        request.body = Body::Write(Write::RemoveEphemerals(paths));
        let mut preparer = Preparer::new(OPTIONS, server.tree.last_zxid());
        let mut sessions = Sessions::new(2000, 1, 0);
        bytes_of(&prepare(&mut preparer, &server.tree, &mut sessions, request, 5).unwrap())
    };
    let of_two = removal(vec!["/ephemeral-100".into(), "/ephemeral-101".into()]);
    for (txn_bytes_max, each) in [(of_two, 2), (of_two - 1, 1)] {
        let preparer = Preparer::new(Options { txn_bytes_max, ..OPTIONS }, server.tree.last_zxid());
        let parts = preparer.removals_before_end(&server.tree, SESSIONS[0]);
        assert!(parts.len() > 40 && parts.iter().all(|part| part.len() == each), "{parts:?}");
    }
}
