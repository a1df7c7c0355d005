//! What clients are answered to writes: codes, bodies and zxids.

use jute::records::Record;
use jute::records::data::Stat;
use jute::records::proto::{
    Create2Response, CreateRequest, CreateResponse, DeleteRequest, GetChildrenResponse, GetDataResponse,
};
use jute::{Code, OpCode, Reader, SessionId, Zxid};

use super::testing::{Ask, Peer, Reply, Server, Setup, ask};
use crate::request::Options;
use crate::request::testing::OPTIONS;
use crate::tree::node::TTL_MAX_MS;

pub(super) fn connected() -> (Server, Peer) {
    let mut server = Server::new();
    let peer = server.connect();
    (server, peer)
}

pub(super) fn stat(server: &mut Server, peer: &mut Peer, path: &str) -> Stat {
    server.succeed(peer, ask::exists(path, false)).body()
}

pub(super) fn code(server: &mut Server, peer: &mut Peer, asked: Ask) -> Code {
    let reply = server.ask(peer, asked);
    assert!(reply.code == Code::OK || reply.body.is_empty(), "an error has no body");
    reply.code
}

/// Operation, error and body of each part of a multi's reply.
pub(super) fn results(reply: &Reply) -> Vec<(i32, i32, Vec<u8>)> {
    let mut reader = Reader::new(&reply.body);
    let mut parts = Vec::new();
    loop {
        let (op, done, err) = (reader.int().unwrap(), reader.boolean().unwrap(), reader.int().unwrap());
        if done {
            assert_eq!((op, err, reader.rest().len()), (-1, -1, 0));
            return parts;
        }
        let before = reader.rest();
        match OpCode(op) {
            OpCode::CREATE => drop(reader.ustring().unwrap()),
            OpCode::CREATE2 => drop(Create2Response::decode(&mut reader).unwrap()),
            OpCode::SET_DATA => drop(Stat::decode(&mut reader).unwrap()),
            OpCode::ERROR => assert_eq!(reader.int().unwrap(), err, "the code, twice"),
            OpCode::GET_DATA => drop(GetDataResponse::decode(&mut reader).unwrap()),
            OpCode::GET_CHILDREN => drop(GetChildrenResponse::decode(&mut reader).unwrap()),
            _ => {}
        }
        parts.push((op, err, before[..before.len() - reader.rest().len()].to_vec()));
    }
}

#[test]
fn a_creation_is_answered_with_the_path_and_where_asked_for_with_the_stat() {
    let (mut server, mut peer) = connected();
    let reply = server.succeed(&mut peer, ask::create("/a", b"data"));
    assert_eq!(reply.body::<CreateResponse>().path.as_deref(), Some("/a"));
    let found = stat(&mut server, &mut peer, "/a");
    assert_eq!((found.czxid, found.mzxid, found.pzxid), (reply.zxid, reply.zxid, reply.zxid));
    assert_eq!((found.version, found.cversion, found.aversion), (0, 0, 0));
    assert_eq!((found.data_length, found.num_children, found.ephemeral_owner), (4, 0, SessionId::NONE));
    for (op, path) in [(OpCode::CREATE2, "/b"), (OpCode::CREATE_CONTAINER, "/c")] {
        let body: Create2Response = server.succeed(&mut peer, ask::create_as(op, path, b"12")).body();
        assert_eq!(body.path.as_deref(), Some(path));
        assert_eq!(body.stat, stat(&mut server, &mut peer, path));
    }
    assert_eq!(stat(&mut server, &mut peer, "/c").ephemeral_owner, SessionId::NONE, "it is nobody's");
    let all = vec![ask::acl(31, "world", "anyone")];
    for number in 0..2 {
        let reply = server.succeed(&mut peer, ask::create_with("/a/s-", b"", all.clone(), 2));
        let path = format!("/a/s-{number:010}");
        assert_eq!(reply.body::<CreateResponse>().path, Some(path.clone()));
        assert!(server.has(&path));
    }
    server.succeed(&mut peer, ask::ephemeral("/e"));
    assert_eq!(stat(&mut server, &mut peer, "/e").ephemeral_owner, peer.session());
    let parent = stat(&mut server, &mut peer, "/a");
    assert_eq!((parent.cversion, parent.num_children, parent.version), (2, 2, 0));
}

#[test]
fn a_creation_that_cannot_be_is_refused_with_its_reason() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b""));
    server.succeed(&mut peer, ask::ephemeral("/e"));
    let all = ask::open_acl();
    let cases = [
        (ask::create("/a", b""), Code::NODE_EXISTS),
        (ask::create("/none/b", b""), Code::NO_NODE),
        (ask::create("/e/b", b""), Code::NO_CHILDREN_FOR_EPHEMERALS),
        (ask::create("/a/", b""), Code::BAD_ARGUMENTS),
        (ask::create("a", b""), Code::BAD_ARGUMENTS),
        (ask::create("/a/b\0", b""), Code::BAD_ARGUMENTS),
        (ask::create("/none/b\0", b""), Code::BAD_ARGUMENTS),
        (ask::create("/a/..", b""), Code::BAD_ARGUMENTS),
        (ask::create_with("/b", b"", all.clone(), 77), Code::BAD_ARGUMENTS),
        (ask::create_with("/b", b"", Vec::new(), 0), Code::INVALID_ACL),
        (ask::create_with("/b", b"", vec![ask::acl(31, "nobody", "knows")], 0), Code::INVALID_ACL),
        (ask::create_ttl("/b", b"", 0, 1000), Code::BAD_ARGUMENTS),
        (ask::create_ttl("/b", b"", 5, 0), Code::BAD_ARGUMENTS),
        (ask::create_ttl("/b", b"", 5, TTL_MAX_MS + 1), Code::BAD_ARGUMENTS),
    ];
    for (asked, wanted) in cases {
        assert_eq!(code(&mut server, &mut peer, asked.clone()), wanted, "{asked:?}");
    }
    assert!(!server.has("/b"));
    server.succeed(&mut peer, ask::create_ttl("/t", b"", 5, 1));
    server.succeed(&mut peer, ask::create_ttl("/u", b"", 6, TTL_MAX_MS));
    assert!(server.has("/t") && server.has("/u0000000003"));
    let options = Options { extended_types: false, ..OPTIONS };
    let mut server = Server::with(Setup { options, ..Setup::default() });
    let mut peer = server.connect();
    assert_eq!(code(&mut server, &mut peer, ask::create_ttl("/t", b"", 5, 1000)), Code::UNIMPLEMENTED);
}

#[test]
fn versions_are_compared_and_count_up() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b""));
    assert_eq!(code(&mut server, &mut peer, ask::set_data("/a", b"1", 1)), Code::BAD_VERSION);
    let reply = server.succeed(&mut peer, ask::set_data("/a", b"12", 0));
    let found: Stat = reply.body();
    assert_eq!((found.version, found.data_length, found.mzxid), (1, 2, reply.zxid));
    assert_eq!(found, stat(&mut server, &mut peer, "/a"));
    let found: Stat = server.succeed(&mut peer, ask::set_data("/a", b"", -1)).body();
    assert_eq!(found.version, 2);
    assert_eq!(code(&mut server, &mut peer, ask::set_acl("/a", ask::open_acl(), 1)), Code::BAD_VERSION);
    let found: Stat = server.succeed(&mut peer, ask::set_acl("/a", ask::open_acl(), 0)).body();
    assert_eq!((found.aversion, found.version), (1, 2));
    assert_eq!(code(&mut server, &mut peer, ask::delete_version("/a", 1)), Code::BAD_VERSION);
    assert_eq!(code(&mut server, &mut peer, ask::delete_version("/a", 2)), Code::OK);
    let gone = [ask::set_data("/a", b"", -1), ask::set_acl("/a", ask::open_acl(), -1), ask::delete("/a")];
    for asked in gone.into_iter().chain([ask::delete("/a/b")]) {
        assert_eq!(code(&mut server, &mut peer, asked), Code::NO_NODE);
    }
    for path in ["", "a", "/a/", "/a\0"] {
        let refused = [ask::set_data(path, b"", -1), ask::set_acl(path, ask::open_acl(), -1)];
        assert!(
            refused
                .map(|asked| code(&mut server, &mut peer, asked))
                .iter()
                .all(|c| *c == Code::BAD_ARGUMENTS)
        );
    }
}

#[test]
fn what_has_children_or_belongs_to_the_server_is_not_deleted() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b""));
    server.succeed(&mut peer, ask::create("/a/b", b""));
    assert_eq!(code(&mut server, &mut peer, ask::delete("/a")), Code::NOT_EMPTY);
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "a", "/a\0"] {
        assert_eq!(code(&mut server, &mut peer, ask::delete(path)), Code::BAD_ARGUMENTS, "{path}");
    }
    let reply = server.succeed(&mut peer, ask::delete("/a/b"));
    let parent = stat(&mut server, &mut peer, "/a");
    assert_eq!((parent.num_children, parent.cversion, parent.pzxid), (0, 2, reply.zxid));
    assert_eq!(reply.body, b"");
    server.succeed(&mut peer, ask::delete("/a"));
    assert!(!server.has("/a"));
}

#[test]
fn a_multi_is_carried_out_whole_or_not_at_all() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b""));
    let parts = || {
        vec![
            ask::create("/a/b", b""),
            ask::create_as(OpCode::CREATE2, "/a/c", b"1"),
            ask::set_data("/a/b", b"22", 0),
            ask::check("/a/b", 1),
            ask::create_as(OpCode::CREATE_CONTAINER, "/a/d", b""),
            ask::delete("/a/c"),
        ]
    };
    let reply = server.succeed(&mut peer, ask::multi(OpCode::MULTI, parts()));
    let found = results(&reply);
    assert_eq!(
        found.iter().map(|(op, err, _)| (*op, *err)).collect::<Vec<_>>(),
        [
            (OpCode::CREATE.0, 0),
            (OpCode::CREATE2.0, 0),
            (OpCode::SET_DATA.0, 0),
            (OpCode::CHECK.0, 0),
            (OpCode::CREATE2.0, 0),
            (OpCode::DELETE.0, 0),
        ]
    );
    let created = CreateResponse::decode(&mut Reader::new(&found[0].2)).unwrap();
    assert_eq!(created.path.as_deref(), Some("/a/b"), "what was created, as by itself");
    for (part, path) in [(1, "/a/c"), (4, "/a/d")] {
        let created = Create2Response::decode(&mut Reader::new(&found[part].2)).unwrap();
        assert_eq!((created.path.as_deref(), created.stat.czxid), (Some(path), reply.zxid));
    }
    assert_eq!(Stat::decode(&mut Reader::new(&found[2].2)).unwrap(), stat(&mut server, &mut peer, "/a/b"));
    assert!(server.has("/a/b") && server.has("/a/d") && !server.has("/a/c"));
    // The third of four fails: those before it say so with 0, those behind it were never looked at.
    let parts = vec![
        ask::create("/x", b""),
        ask::set_data("/a/b", b"no", -1),
        ask::check("/a/b", 7),
        ask::delete("/a/b"),
    ];
    let before = stat(&mut server, &mut peer, "/a/b");
    let reply = server.ask(&mut peer, ask::multi(OpCode::MULTI, parts));
    let codes: Vec<_> = results(&reply).iter().map(|(op, err, _)| (*op, Code(*err))).collect();
    assert!(codes.iter().all(|(op, _)| *op == OpCode::ERROR.0));
    let codes: Vec<_> = codes.into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [Code::OK, Code::OK, Code::BAD_VERSION, Code::RUNTIME_INCONSISTENCY]);
    assert_eq!(reply.code, Code::OK, "what failed is told in the parts");
    assert!(!server.has("/x"));
    assert_eq!(stat(&mut server, &mut peer, "/a/b"), before);
    // What it took back is not remembered: the next request is checked against what is.
    server.succeed(&mut peer, ask::create("/x", b""));
    server.succeed(&mut peer, ask::set_data("/a/b", b"yes", 1));
    let empty = server.succeed(&mut peer, ask::multi(OpCode::MULTI, []));
    assert_eq!((results(&empty).len(), empty.zxid), (0, server.state().last_zxid()));
    let found = server.ask(&mut peer, ask::multi(OpCode::MULTI, [ask::get_data("/a", false)]));
    assert_eq!(found.code, Code::MARSHALLING_ERROR);
}

#[test]
fn writes_that_wait_together_see_each_other() {
    let (mut server, mut peer) = connected();
    let mut other = server.connect();
    let failing = vec![ask::create("/a/x", b""), ask::check("/a", 9)];
    let asked = [
        ask::create("/a", b""),
        ask::create("/a/b", b""),
        ask::multi(OpCode::MULTI, failing),
        ask::create("/a/x", b""),
        ask::set_data("/a/b", b"1", 0),
        ask::set_data("/a/b", b"2", 0),
        ask::set_data("/a/b", b"3", 1),
        ask::delete("/a"),
        ask::delete("/a/x"),
        ask::create_with("/a/s", b"", ask::open_acl(), 2),
        ask::create_with("/a/s", b"", ask::open_acl(), 2),
        ask::get_data("/a/b", false),
    ];
    for asked in asked {
        peer.send(asked);
    }
    peer.serve();
    other.send(ask::create("/a", b""));
    other.serve();
    server.turn();
    peer.serve();
    other.serve();
    let replies = peer.take_replies();
    let codes: Vec<_> = replies.iter().map(|reply| reply.code).collect();
    assert_eq!(
        codes,
        [
            Code::OK,
            Code::OK,
            Code::OK,
            Code::OK,
            Code::OK,
            Code::BAD_VERSION,
            Code::OK,
            Code::NOT_EMPTY,
            Code::OK,
            Code::OK,
            Code::OK,
            Code::OK,
        ]
    );
    let zxids: Vec<_> = replies[..11].windows(2).map(|pair| pair[1].zxid.0 - pair[0].zxid.0).collect();
    assert_eq!(zxids, [1; 10], "each takes one, be it refused or not");
    assert_eq!(replies[9].body::<CreateResponse>().path.as_deref(), Some("/a/s0000000002"));
    assert_eq!(replies[10].body::<CreateResponse>().path.as_deref(), Some("/a/s0000000003"));
    let read: GetDataResponse = replies[11].body();
    assert_eq!((read.data.as_deref(), read.stat.version), (Some(&b"3"[..]), 2));
    assert_eq!(other.take_replies()[0].code, Code::NODE_EXISTS);
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    for op in [OpCode(9999), OpCode::DELETE_CONTAINER] {
        let (mut server, mut peer) = connected();
        peer.send((op, jute::records::proto::GetACLRequest { path: Some("/a".into()) }.to_bytes()));
        peer.send(ask::create("/behind", b""));
        peer.serve();
        server.turn();
        peer.serve();
        let replies = peer.take_replies();
        assert_eq!((replies.len(), replies[0].code, replies[0].zxid), (1, Code::UNIMPLEMENTED, Zxid(-1)));
        assert!(peer.end().is_some() && !server.has("/behind"));
    }
}

#[test]
fn reconfiguration_is_refused_unless_it_is_enabled() {
    let body = || vec![0xFF; 20];
    let (mut server, mut peer) = connected();
    assert_eq!(code(&mut server, &mut peer, (OpCode::RECONFIG, body())), Code::RECONFIG_DISABLED);
    let options = Options { reconfig: true, ..OPTIONS };
    let mut server = Server::with(Setup { options, ..Setup::default() });
    let mut peer = server.connect();
    assert_eq!(code(&mut server, &mut peer, (OpCode::RECONFIG, body())), Code::UNIMPLEMENTED);
    assert_eq!(code(&mut server, &mut peer, (OpCode::RECONFIG, vec![0])), Code::MARSHALLING_ERROR);
}

#[test]
fn the_end_of_a_session_removes_what_it_owns_and_is_answered_first() {
    let (mut server, mut peer) = connected();
    let mut other = server.connect();
    server.succeed(&mut peer, ask::create("/a", b""));
    server.succeed(&mut other, ask::ephemeral("/kept"));
    peer.send(ask::ephemeral("/a/e"));
    peer.send(ask::ephemeral("/f"));
    peer.send(ask::close_session());
    peer.serve();
    server.turn();
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!((replies.len(), replies[2].code, replies[2].body.len()), (3, Code::OK, 0));
    assert!(peer.end().is_some());
    assert!(!server.has("/a/e") && !server.has("/f") && server.has("/a") && server.has("/kept"));
    assert_eq!(stat(&mut server, &mut other, "/a").pzxid, replies[2].zxid);
    assert!(server.state().sessions().get(peer.session()).is_none());
}

/// A part without a path stops the reference before it has looked at any part.
#[test]
fn a_multi_with_a_part_that_names_no_node_is_no_multi() {
    let (mut server, mut peer) = connected();
    let nowhere = (OpCode::DELETE, DeleteRequest { path: None, version: -1 }.to_bytes());
    let asked = ask::multi(OpCode::MULTI, [ask::create("/a", b""), nowhere.clone(), ask::create("/b", b"")]);
    assert_eq!(code(&mut server, &mut peer, asked), Code::MARSHALLING_ERROR);
    assert!(!server.has("/a"));
    assert_eq!(code(&mut server, &mut peer, nowhere), Code::MARSHALLING_ERROR);
    let acl = Some(ask::open_acl());
    let create = (OpCode::CREATE, CreateRequest { path: None, data: None, acl, flags: 0 }.to_bytes());
    assert_eq!(code(&mut server, &mut peer, create), Code::MARSHALLING_ERROR);
}

/// It is a request like others, and no greeting.
#[test]
fn a_session_that_is_asked_for_in_a_session_and_not_understood_is_refused_by_a_reply() {
    let (mut server, mut peer) = connected();
    assert_eq!(code(&mut server, &mut peer, (OpCode::CREATE_SESSION, vec![])), Code::MARSHALLING_ERROR);
    assert_eq!(code(&mut server, &mut peer, ask::create("/a", b"")), Code::OK);
}

/// Each frame is taken off the input whole, whatever it asks for.
#[test]
fn requests_that_come_in_one_piece_are_all_answered() {
    let (mut server, mut peer) = connected();
    let asked = [
        ask::auth("digest", b"user:secret"),
        ask::get_data("/", false),
        (OpCode::SASL, vec![0, 0, 0, 1, 7]),
        ask::ping(),
        ask::exists("/", false),
        ask::create("/a", b""),
        ask::ping(),
        ask::get_data("/a", false),
        ask::auth("digest", b"other:secret"),
        ask::close_session(),
    ];
    let count = asked.len();
    for asked in asked {
        peer.send(asked);
    }
    for _ in 0..3 {
        peer.serve();
        server.turn();
    }
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.len(), count);
    assert!(replies.iter().all(|reply| reply.code == Code::OK));
    let sasl = replies.iter().find(|reply| reply.xid == 3).unwrap();
    assert_eq!(sasl.body, [0xFF; 4], "no token is the answer where there is no login");
    assert!(peer.end().is_some());
}
