//! What clients are answered: codes, bodies, zxids and events of every operation.

use jute::records::Record;
use jute::records::data::{Acl, ClientInfo, Id, Stat};
use jute::records::proto::{
    Create2Response, CreateResponse, GetACLResponse, GetAllChildrenNumberResponse, GetChildren2Response,
    GetChildrenResponse, GetDataResponse, GetEphemeralsResponse, SetWatches2, SyncResponse,
};
use jute::{Code, OpCode, Reader, SessionId, Vector, Zxid};

use super::testing::{Ask, Peer, Reply, Server, Setup, ask};
use crate::request::Options;
use crate::request::testing::OPTIONS;

fn connected() -> (Server, Peer) {
    let mut server = Server::new();
    let peer = server.connect();
    (server, peer)
}

fn stat(server: &mut Server, peer: &mut Peer, path: &str) -> Stat {
    server.succeed(peer, ask::exists(path, false)).body()
}

fn code(server: &mut Server, peer: &mut Peer, asked: Ask) -> Code {
    let reply = server.ask(peer, asked);
    assert!(reply.code == Code::OK || reply.body.is_empty(), "an error has no body");
    reply.code
}

/// Operation, error and body of each part of a multi's reply.
fn results(reply: &Reply) -> Vec<(i32, i32, Vec<u8>)> {
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
        (ask::create("/a/..", b""), Code::BAD_ARGUMENTS),
        (ask::create_with("/b", b"", all.clone(), 77), Code::BAD_ARGUMENTS),
        (ask::create_with("/b", b"", Vec::new(), 0), Code::INVALID_ACL),
        (ask::create_with("/b", b"", vec![ask::acl(31, "nobody", "knows")], 0), Code::INVALID_ACL),
        (ask::create_ttl("/b", b"", 0, 1000), Code::BAD_ARGUMENTS),
        (ask::create_ttl("/b", b"", 5, 0), Code::BAD_ARGUMENTS),
        (ask::create_ttl("/b", b"", 5, i64::MAX), Code::BAD_ARGUMENTS),
    ];
    for (asked, wanted) in cases {
        assert_eq!(code(&mut server, &mut peer, asked.clone()), wanted, "{asked:?}");
    }
    assert!(!server.has("/b"));
    server.succeed(&mut peer, ask::create_ttl("/t", b"", 5, 1000));
    assert!(server.has("/t"));
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
    for asked in [ask::set_data("/a", b"", -1), ask::set_acl("/a", ask::open_acl(), -1), ask::delete("/a")] {
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
fn reads_tell_what_is_there() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b"data"));
    for path in ["/a/x", "/a/ü", "/a/x/y"] {
        server.succeed(&mut peer, ask::create(path, b""));
    }
    server.succeed(&mut peer, ask::ephemeral("/a/e"));
    server.succeed(&mut peer, ask::ephemeral("/f"));
    let whole = stat(&mut server, &mut peer, "/a");
    let reply = server.succeed(&mut peer, ask::get_data("/a", false));
    assert_eq!(reply.zxid, server.state().last_zxid());
    let read: GetDataResponse = reply.body();
    assert_eq!((read.data.as_deref(), read.stat), (Some(&b"data"[..]), whole.clone()));
    let sorted = |mut names: Vec<Option<String>>| {
        names.sort();
        names.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
    };
    let read: GetChildrenResponse = server.succeed(&mut peer, ask::get_children("/a", false, false)).body();
    assert_eq!(sorted(read.children.unwrap()), ["e", "x", "ü"]);
    let read: GetChildren2Response = server.succeed(&mut peer, ask::get_children("/a", false, true)).body();
    assert_eq!((sorted(read.children.unwrap()).len(), read.stat), (3, whole));
    let count = |server: &mut Server, peer: &mut Peer, path: &str| {
        let read = server.succeed(peer, ask::of_path(OpCode::GET_ALL_CHILDREN_NUMBER, path));
        read.body::<GetAllChildrenNumberResponse>().total_number
    };
    assert_eq!((count(&mut server, &mut peer, "/a"), count(&mut server, &mut peer, "/a/x/y")), (4, 0));
    let below = |server: &mut Server, peer: &mut Peer, path: &str| {
        let read = server.succeed(peer, ask::of_path(OpCode::GET_EPHEMERALS, path));
        sorted(read.body::<GetEphemeralsResponse>().ephemerals.unwrap())
    };
    assert_eq!(below(&mut server, &mut peer, "/"), ["/a/e", "/f"]);
    assert_eq!(below(&mut server, &mut peer, " "), ["/a/e", "/f"]);
    assert_eq!(below(&mut server, &mut peer, "/a"), ["/a/e"]);
    let mut other = server.connect();
    assert_eq!(below(&mut server, &mut other, "/"), [""; 0], "only one's own");
    let read: SyncResponse = server.succeed(&mut peer, ask::of_path(OpCode::SYNC, "/a/nowhere")).body();
    assert_eq!(read.path.as_deref(), Some("/a/nowhere"));
    for op in [OpCode::GET_ACL, OpCode::GET_ALL_CHILDREN_NUMBER] {
        assert_eq!(code(&mut server, &mut peer, ask::of_path(op, "/none")), Code::NO_NODE);
    }
    assert_eq!(code(&mut server, &mut peer, ask::exists("/none", false)), Code::NO_NODE);
    assert_eq!(code(&mut server, &mut peer, ask::exists("/a\0", false)), Code::BAD_ARGUMENTS);
    // What does not decode is answered, not taken amiss.
    for op in
        [OpCode::GET_DATA, OpCode::EXISTS, OpCode::GET_CHILDREN2, OpCode::ADD_WATCH, OpCode::CHECK_WATCHES]
    {
        assert_eq!(code(&mut server, &mut peer, (op, vec![0, 0])), Code::MARSHALLING_ERROR);
        let nothing = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9];
        if op != OpCode::ADD_WATCH {
            assert_eq!(code(&mut server, &mut peer, (op, nothing)), Code::MARSHALLING_ERROR);
        }
    }
}

#[test]
fn a_multi_of_reads_answers_each_part_for_itself() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b"data"));
    server.succeed(&mut peer, ask::create("/a/b", b""));
    let parts =
        vec![ask::get_data("/a", true), ask::get_data("/none", false), ask::get_children("/a", true, false)];
    let reply = server.succeed(&mut peer, ask::multi(OpCode::MULTI_READ, parts));
    let found = results(&reply);
    let kinds: Vec<_> = found.iter().map(|(op, err, _)| (*op, *err)).collect();
    assert_eq!(
        kinds,
        [(OpCode::GET_DATA.0, 0), (OpCode::ERROR.0, Code::NO_NODE.0), (OpCode::GET_CHILDREN.0, 0)]
    );
    let data = GetDataResponse::decode(&mut Reader::new(&found[0].2)).unwrap();
    assert_eq!(data.data.as_deref(), Some(&b"data"[..]));
    assert!(server.state().watches().is_empty(), "it leaves no watches");
    let reply = server.ask(&mut peer, ask::multi(OpCode::MULTI_READ, [ask::create("/x", b"")]));
    assert_eq!((reply.code, results(&reply).len()), (Code::MARSHALLING_ERROR, 0));
    assert_eq!(results(&server.succeed(&mut peer, ask::multi(OpCode::MULTI_READ, []))).len(), 0);
    let reply = server.ask(&mut peer, (OpCode::MULTI_READ, vec![0]));
    assert_eq!((reply.code, reply.body.len()), (Code::MARSHALLING_ERROR, 0));
}

fn infos(reply: &Reply) -> Vec<(String, String)> {
    let infos: Vector<ClientInfo> = reply.body();
    let info = |info: ClientInfo| (info.auth_scheme.unwrap_or_default(), info.user.unwrap_or_default());
    infos.unwrap().into_iter().map(info).collect()
}

#[test]
fn whoever_may_not_administer_a_node_is_shown_no_hash() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::auth("digest", b"user:secret"));
    let list = vec![ask::acl(31, "auth", ""), ask::acl(1, "world", "anyone")];
    server.succeed(&mut peer, ask::create_with("/a", b"", list, 0));
    let shown = |reply: &Reply| {
        let ids = reply.body::<GetACLResponse>().acl.unwrap();
        ids.into_iter().map(|Acl { perms, id: Id { id, .. } }| (perms, id.unwrap())).collect::<Vec<_>>()
    };
    let whole = shown(&server.succeed(&mut peer, ask::get_acl("/a")));
    assert!(whole[0].1.starts_with("user:") && whole[0].1.len() > 20, "{whole:?}");
    assert_eq!(whole[1], (1, "anyone".to_owned()));
    let mut other = server.connect();
    let masked = shown(&server.succeed(&mut other, ask::get_acl("/a")));
    assert_eq!(masked, [(31, "user:x".to_owned()), (1, "anyone".to_owned())]);
    for asked in
        [ask::set_data("/a", b"", -1), ask::create("/a/b", b""), ask::set_acl("/a", ask::open_acl(), -1)]
    {
        assert_eq!(code(&mut server, &mut other, asked), Code::NO_AUTH);
    }
    let check = server.ask(&mut other, ask::multi(OpCode::MULTI, [ask::check("/a", -1)]));
    assert_eq!(results(&check)[0].0, OpCode::CHECK.0, "who may read may check");
    assert_eq!(code(&mut server, &mut peer, ask::create("/a/b", b"")), Code::OK);
    assert_eq!(code(&mut server, &mut other, ask::delete("/a/b")), Code::NO_AUTH);
    server.succeed(&mut peer, ask::create_with("/s", b"", vec![ask::acl(31, "auth", "")], 0));
    for asked in [
        ask::get_data("/s", false),
        ask::exists("/s", false),
        ask::get_acl("/s"),
        ask::get_children("/s", false, true),
    ] {
        assert_eq!(code(&mut server, &mut other, asked), Code::NO_AUTH);
    }
    assert_eq!(
        code(&mut server, &mut other, ask::of_path(OpCode::GET_ALL_CHILDREN_NUMBER, "/s")),
        Code::NO_AUTH
    );
    let check = server.ask(&mut other, ask::multi(OpCode::MULTI, [ask::check("/s", -1)]));
    assert_eq!(results(&check)[0].1, Code::NO_AUTH.0);
    let who = infos(&server.succeed(&mut peer, (OpCode::WHO_AM_I, Vec::new())));
    assert_eq!(who, [("ip".into(), "127.0.0.1".into()), ("digest".into(), "user".into())]);
}

#[test]
fn watches_are_found_and_removed_by_their_kind() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create("/a", b""));
    server.succeed(&mut peer, ask::get_data("/a", true));
    server.succeed(&mut peer, ask::get_children("/a", true, false));
    server.succeed(&mut peer, ask::add_watch("/p", 0));
    server.succeed(&mut peer, ask::add_watch("/r", 1));
    let mut other = server.connect();
    let has = |server: &mut Server, peer: &mut Peer, path: &str, kind: i32| {
        let code = code(server, peer, ask::watches(OpCode::CHECK_WATCHES, path, kind));
        assert!(code == Code::OK || code == Code::NO_WATCHER, "{code:?}");
        code == Code::OK
    };
    let kinds = |server: &mut Server, peer: &mut Peer, path: &str| {
        (1..=5).filter(|kind| has(server, peer, path, *kind)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&mut server, &mut peer, "/a"), [1, 2, 3]);
    assert_eq!(kinds(&mut server, &mut peer, "/p"), [3, 4]);
    assert_eq!(kinds(&mut server, &mut peer, "/r"), [3, 5]);
    assert_eq!(kinds(&mut server, &mut other, "/a"), [0; 0]);
    let remove = |kind, path| ask::watches(OpCode::REMOVE_WATCHES, path, kind);
    assert_eq!(code(&mut server, &mut peer, remove(4, "/a")), Code::NO_WATCHER);
    assert_eq!(code(&mut server, &mut peer, remove(1, "/a")), Code::OK);
    assert_eq!(kinds(&mut server, &mut peer, "/a"), [2, 3]);
    assert_eq!(code(&mut server, &mut peer, remove(3, "/a")), Code::OK);
    assert_eq!(code(&mut server, &mut peer, remove(3, "/a")), Code::NO_WATCHER);
    assert_eq!(code(&mut server, &mut peer, remove(4, "/p")), Code::OK);
    assert_eq!(code(&mut server, &mut peer, remove(5, "/r")), Code::OK);
    assert!(server.state().watches().is_empty());
    assert_eq!(code(&mut server, &mut peer, remove(6, "/r")), Code::MARSHALLING_ERROR);
    assert_eq!(code(&mut server, &mut peer, ask::add_watch("/r", 2)), Code::MARSHALLING_ERROR);
    server.succeed(&mut other, ask::set_data("/a", b"", -1));
    peer.serve();
    assert_eq!(peer.take_events(), []);
}

#[test]
fn a_client_that_comes_back_is_told_of_what_it_missed() {
    let (mut server, mut peer) = connected();
    for path in ["/same", "/changed", "/gone", "/parent", "/quiet"] {
        server.succeed(&mut peer, ask::create(path, b""));
    }
    let seen = server.state().last_zxid();
    server.succeed(&mut peer, ask::set_data("/changed", b"new", -1));
    server.succeed(&mut peer, ask::delete("/gone"));
    server.succeed(&mut peer, ask::create("/parent/child", b""));
    server.succeed(&mut peer, ask::create("/new", b""));
    let list = |paths: &[&str]| Some(paths.iter().map(|path| Some((*path).to_owned())).collect());
    let request = |persistent: &[&str], recursive: &[&str]| SetWatches2 {
        relative_zxid: seen,
        data_watches: list(&["/same", "/changed", "/gone"]),
        exist_watches: list(&["/new", "/never"]),
        child_watches: list(&["/parent", "/quiet", "/gone"]),
        persistent_watches: list(persistent),
        persistent_recursive_watches: list(recursive),
    };
    let body = request(&["/p"], &["/r"]).to_bytes();
    let reply = server.succeed(&mut peer, (OpCode::SET_WATCHES2, body.clone()));
    assert_eq!(reply.body, b"");
    let told = |events: &[(i32, &str)]| {
        events.iter().map(|(kind, path)| (*kind, (*path).to_owned())).collect::<Vec<_>>()
    };
    let missed = told(&[(3, "/changed"), (2, "/gone"), (1, "/new"), (4, "/parent"), (2, "/gone")]);
    assert_eq!(peer.take_events(), missed);
    // What is as it was is watched again.
    server.succeed(&mut peer, ask::set_data("/same", b"", -1));
    server.succeed(&mut peer, ask::create("/never", b""));
    server.succeed(&mut peer, ask::create("/quiet/child", b""));
    server.succeed(&mut peer, ask::set_data("/changed", b"", -1));
    assert_eq!(peer.take_events(), told(&[(3, "/same"), (1, "/never"), (4, "/quiet")]));
    for path in ["/p", "/r", "/r/deep"] {
        server.succeed(&mut peer, ask::create(path, b""));
    }
    assert_eq!(peer.take_events(), told(&[(1, "/p"), (1, "/r"), (1, "/r/deep")]));
    // The older form has no lists of watches that stay.
    let older = request(&[], &[]).to_bytes();
    let mut other = server.connect();
    server.succeed(&mut other, (OpCode::SET_WATCHES, older[..older.len() - 8].to_vec()));
    let missed = [
        (3, "/same"),
        (3, "/changed"),
        (2, "/gone"),
        (1, "/new"),
        (1, "/never"),
        (4, "/parent"),
        (4, "/quiet"),
        (2, "/gone"),
    ];
    assert_eq!(other.take_events(), told(&missed));
    let cut = server.ask(&mut other, (OpCode::SET_WATCHES2, older[..older.len() - 8].to_vec()));
    assert_eq!(cut.code, Code::MARSHALLING_ERROR);
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
