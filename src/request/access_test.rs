//! Every operation with every identity, at nodes that give one permission each.

use std::cell::RefCell;

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::{
    CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, GetDataRequest, MultiHeader,
    SetACLRequest, SetDataRequest,
};
use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{Code, OpCode, SessionId, Zxid, write};

use super::is_write;
use super::prepare::Preparer;
use super::read::{Outcome, Read, WatchAccess};
use super::replies::Replies;
use super::testing::{Asked, OPTIONS, SESSIONS, multi_body, prepare};
use crate::session::Sessions;
use crate::tree::acl::perms;
use crate::tree::{Identities, Identity, OwnerRules, Tree};
use crate::watch::Watches;

const LETTERS: [(char, i32); 5] = [
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('a', perms::ADMIN),
];

/// Where the list stands that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Parent,
    Node,
}

/// What ZooKeeper's documentation says of each operation: whose list decides, and which permissions suffice.
const GUARDED: &[(OpCode, Place, &str)] = &[
    (OpCode::CREATE, Place::Parent, "c"),
    (OpCode::CREATE2, Place::Parent, "c"),
    (OpCode::CREATE_CONTAINER, Place::Parent, "c"),
    (OpCode::CREATE_TTL, Place::Parent, "c"),
    (OpCode::DELETE, Place::Parent, "d"),
    (OpCode::EXISTS, Place::Node, "r"),
    (OpCode::GET_DATA, Place::Node, "r"),
    (OpCode::SET_DATA, Place::Node, "w"),
    (OpCode::GET_ACL, Place::Node, "ra"),
    (OpCode::SET_ACL, Place::Node, "a"),
    (OpCode::GET_CHILDREN, Place::Node, "r"),
    (OpCode::GET_CHILDREN2, Place::Node, "r"),
    (OpCode::GET_ALL_CHILDREN_NUMBER, Place::Node, "r"),
    (OpCode::CHECK, Place::Node, "r"),
];
/// The answer does not depend on who asks. Multis are asked with each of the parts they can have.
const FREE: &[OpCode] = &[
    OpCode::NOTIFICATION,
    OpCode::SYNC,
    OpCode::PING,
    OpCode::MULTI,
    OpCode::RECONFIG,
    OpCode::CHECK_WATCHES,
    OpCode::REMOVE_WATCHES,
    OpCode::DELETE_CONTAINER,
    OpCode::MULTI_READ,
    OpCode::AUTH,
    OpCode::SET_WATCHES,
    OpCode::SASL,
    OpCode::GET_EPHEMERALS,
    OpCode::SET_WATCHES2,
    OpCode::ADD_WATCH,
    OpCode::WHO_AM_I,
    OpCode::CREATE_SESSION,
    OpCode::CLOSE_SESSION,
    OpCode::ERROR,
];

/// Watches of a connection that is there.
#[derive(Default)]
struct Here(RefCell<Watches>);

impl WatchAccess for Here {
    fn with(&self, act: &mut dyn FnMut(&mut Watches)) {
        act(&mut self.0.borrow_mut());
    }
    fn set_over_limit(&self) {}
    fn is_over_limit(&self) -> bool {
        false
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Other,
    Right,
    Super,
}

const EVERYBODY: [Who; 4] = [Who::Nobody, Who::Other, Who::Right, Who::Super];

fn identities(who: Who) -> Identities {
    let of = |scheme: &str, id: &str| Identity { scheme: scheme.into(), id: id.into() };
    let address = of("ip", "10.0.0.1");
    match who {
        Who::Nobody => [address].as_slice().into(),
        Who::Other => [address, of("digest", "other:hash"), of("digest", "me:other")].as_slice().into(),
        Who::Right => [address, of("digest", "me:hash")].as_slice().into(),
        Who::Super => [address, of("super", "")].as_slice().into(),
    }
}

fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
}

/// `/p` and `/p/n`, of which one gives the permission and the other gives none to anybody who asks here; and `/open`.
fn tree(place: Place, perms: i32) -> Tree {
    let mut tree = Tree::new(OwnerRules { extended_types: true, emulate_353: false });
    let (given, closed) = (vec![entry(perms, "digest", "me:hash")], vec![entry(31, "digest", "nobody:hash")]);
    let (parent, node) = if place == Place::Parent { (given, closed) } else { (closed, given) };
    let open = vec![entry(31, "world", "anyone")];
    for (zxid, (path, acl)) in (1..).zip([("/p", parent), ("/p/n", node), ("/open", open)]) {
        let txn =
            CreateTxn { path: Some(path.into()), acl: Some(acl), parent_cversion: 1, ..CreateTxn::default() };
        let header = TxnHeader { zxid: Zxid(zxid), ..TxnHeader::default() };
        tree.apply(&header, TxnBody::Create(txn), &mut |_| {});
    }
    tree
}

/// A request that would work, were it allowed.
fn body(op: OpCode) -> Vec<u8> {
    let (node, new) = (Some("/p/n".to_owned()), Some("/p/new".to_owned()));
    let acl = Some(vec![entry(31, "world", "anyone")]);
    match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
            let flags = if op == OpCode::CREATE_CONTAINER { 4 } else { 0 };
            CreateRequest { path: new, data: None, acl, flags }.to_bytes()
        }
        OpCode::CREATE_TTL => CreateTTLRequest { path: new, data: None, acl, flags: 5, ttl: 1000 }.to_bytes(),
        OpCode::DELETE => DeleteRequest { path: node, version: -1 }.to_bytes(),
        OpCode::SET_DATA => SetDataRequest { path: node, data: None, version: -1 }.to_bytes(),
        OpCode::SET_ACL => SetACLRequest { path: node, acl, version: -1 }.to_bytes(),
        OpCode::CHECK => CheckVersionRequest { path: node, version: -1 }.to_bytes(),
        OpCode::GET_DATA | OpCode::EXISTS | OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => {
            GetDataRequest { path: node, watch: false }.to_bytes()
        }
        OpCode::ADD_WATCH | OpCode::CHECK_WATCHES | OpCode::REMOVE_WATCHES => {
            let mut body = node.to_bytes();
            write::int(&mut body, 1);
            body
        }
        OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => {
            let mut body = Vec::new();
            write::long(&mut body, 99);
            (0..5).for_each(|_| write::int(&mut body, 0));
            body
        }
        OpCode::MULTI | OpCode::MULTI_READ => multi_body([]),
        OpCode::CREATE_SESSION => vec![0, 0, 16, 0],
        OpCode::RECONFIG => vec![0xFF; 20],
        _ => node.to_bytes(),
    }
}

fn write_code(tree: &Tree, who: Who, op: OpCode, body: Vec<u8>) -> Code {
    let mut sessions = Sessions::new(2000, 1, 0);
    sessions.track(SESSIONS[0], 30_000, 0);
    let mut preparer = Preparer::new(OPTIONS, tree.last_zxid());
    let mut request = Asked { session: SESSIONS[0], op, body }.request();
    request.identities = identities(who);
    let entry = prepare(&mut preparer, tree, &mut sessions, request, 1).expect("it decodes");
    match entry.body {
        TxnBody::Error(error) => Code(error.err),
        // The first part that failed says why.
        TxnBody::Multi(parts) => {
            let failed = |part: &TxnBody| match part {
                TxnBody::Error(error) => Some(Code(error.err)),
                _ => None,
            };
            parts.iter().filter_map(failed).find(|code| *code != Code::OK).unwrap_or(Code::OK)
        }
        _ => Code::OK,
    }
}

fn read(tree: &Tree, who: Who, op: OpCode, body: &[u8]) -> (Code, Vec<u8>) {
    let (watches, identities, session) = (Here::default(), identities(who), SessionId(1));
    let read = Read {
        options: &OPTIONS,
        tree,
        watches: &watches,
        connection: 1,
        session,
        identities: &identities,
        meter: &|_| {},
    };
    let mut out = Replies::default();
    let outcome = read.answer(1, op, body, &mut out);
    let Outcome::Answered(code) = outcome else { panic!("{op}: {outcome:?}") };
    let mut bytes = Vec::new();
    out.raw(|out| bytes.clone_from(out));
    (code, bytes)
}

fn code(tree: &Tree, who: Who, op: OpCode) -> Code {
    if is_write(op) { write_code(tree, who, op, body(op)) } else { read(tree, who, op, &body(op)).0 }
}

/// In a multi, behind a part that is allowed.
fn code_in_multi(tree: &Tree, who: Who, op: OpCode) -> Option<Code> {
    match op {
        OpCode::CREATE
        | OpCode::CREATE2
        | OpCode::CREATE_CONTAINER
        | OpCode::CREATE_TTL
        | OpCode::DELETE
        | OpCode::SET_DATA
        | OpCode::CHECK => {
            let open = SetDataRequest { path: Some("/open".into()), data: None, version: -1 }.to_bytes();
            let parts = [(OpCode::SET_DATA, open), (op, body(op))];
            Some(write_code(tree, who, OpCode::MULTI, multi_body(parts)))
        }
        OpCode::GET_DATA | OpCode::GET_CHILDREN => {
            let mut parts = Vec::new();
            MultiHeader { r#type: op.0, done: false, err: -1 }.encode(&mut parts);
            parts.extend(body(op));
            MultiHeader { r#type: -1, done: true, err: -1 }.encode(&mut parts);
            let (code, bytes) = read(tree, who, OpCode::MULTI_READ, &parts);
            assert_eq!(code, Code::OK);
            // Behind length and header of the reply: the part's kind, whether it is the end, its code.
            let [.., c0, c1, c2, c3] = bytes[20..29] else { panic!("{bytes:?}") };
            Some(Code(i32::from_be_bytes([c0, c1, c2, c3])))
        }
        _ => None,
    }
}

#[test]
fn every_operation_code_is_in_the_matrix_once() {
    for op in OpCode::ALL {
        let guarded = GUARDED.iter().filter(|(one, ..)| one == op).count();
        let free = FREE.iter().filter(|one| *one == op).count();
        assert_eq!(guarded + free, 1, "{op}");
    }
}

/// etcd CVE-2026-33413, where some calls could be made without any permission, and CVE-2026-33343, where those inside a
/// transaction could.
#[test]
fn every_operation_needs_its_permission_alone_and_in_a_multi() {
    let mut refused = 0;
    for (letter, given) in LETTERS {
        for place in [Place::Parent, Place::Node] {
            let tree = tree(place, given);
            for (op, decides, suffices) in GUARDED {
                for who in EVERYBODY {
                    let allowed = who == Who::Super
                        || who == Who::Right && place == *decides && suffices.contains(letter);
                    let expected = if allowed { Code::OK } else { Code::NO_AUTH };
                    let alone = (*op != OpCode::CHECK).then(|| code(&tree, who, *op));
                    for found in alone.into_iter().chain(code_in_multi(&tree, who, *op)) {
                        assert_eq!(found, expected, "{op} by {who:?} where {letter} is given by {place:?}");
                        refused += usize::from(!allowed);
                    }
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn what_needs_no_permission_is_answered_the_same_whoever_asks() {
    let tree = tree(Place::Node, perms::READ);
    for op in FREE {
        let of_nobody = code(&tree, Who::Nobody, *op);
        for who in EVERYBODY {
            assert_eq!(code(&tree, who, *op), of_nobody, "{op} by {who:?}");
        }
    }
}

/// ZooKeeper CVE-2019-0201: everybody was shown the hashes of passwords.
#[test]
fn hashes_of_passwords_are_shown_to_nobody_who_may_not_change_the_list() {
    for (letter, given) in LETTERS {
        let tree = tree(Place::Node, given);
        for who in EVERYBODY {
            let (code, bytes) = read(&tree, who, OpCode::GET_ACL, &body(OpCode::GET_ACL));
            let shows = bytes.windows(7).any(|part| part == b"me:hash");
            let may = who == Who::Super || who == Who::Right && letter == 'a';
            assert_eq!(shows, may, "{letter} by {who:?}: {code:?}");
            let masked = bytes.windows(4).any(|part| part == b"me:x");
            assert_eq!(masked, who == Who::Right && letter == 'r', "{letter} by {who:?}");
        }
    }
}

/// A node whose list is open is open whatever it is asked for, and one that nobody may use is closed.
#[test]
fn ephemeral_and_sequential_nodes_need_what_others_need() {
    for flags in [1, 2, 3] {
        assert!(CreateMode::from_flags(flags).is_some());
        let acl = Some(vec![entry(31, "world", "anyone")]);
        let body = |path: &str| {
            CreateRequest { path: Some(path.into()), data: None, acl: acl.clone(), flags }.to_bytes()
        };
        let tree = tree(Place::Parent, perms::CREATE);
        for (who, expected) in [(Who::Other, Code::NO_AUTH), (Who::Right, Code::OK), (Who::Super, Code::OK)] {
            assert_eq!(write_code(&tree, who, OpCode::CREATE, body("/p/x")), expected);
            assert_eq!(write_code(&tree, who, OpCode::CREATE, body("/open/x")), Code::OK);
        }
    }
}
