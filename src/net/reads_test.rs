//! What clients are answered to reads, and what they hear of watches.

use jute::records::Record;
use jute::records::data::{Acl, ClientInfo, Id};
use jute::records::proto::{
    GetACLResponse, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    GetEphemeralsResponse, SetWatches2, SyncResponse,
};
use jute::{Code, OpCode, Reader, Vector};

use super::answers_test::{code, connected, results, stat};
use super::testing::{Peer, Reply, Server, ask};

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

/// The reference lets clients watch no path at all; nothing ever happens to it.
#[test]
fn a_watch_on_no_path_is_kept_and_found_and_never_fires() {
    let (mut server, mut peer) = connected();
    let of_nothing = |kind: i32| [&[0xFF; 4][..], &kind.to_be_bytes()].concat();
    for (mode, kind) in [(0, 4), (1, 5)] {
        let reply = server.succeed(&mut peer, (OpCode::ADD_WATCH, of_nothing(mode)));
        assert_eq!(reply.body, [0; 4], "an error response without an error");
        assert_eq!(code(&mut server, &mut peer, (OpCode::CHECK_WATCHES, of_nothing(kind))), Code::OK);
        assert_eq!(code(&mut server, &mut peer, (OpCode::REMOVE_WATCHES, of_nothing(kind))), Code::OK);
        assert_eq!(code(&mut server, &mut peer, (OpCode::CHECK_WATCHES, of_nothing(kind))), Code::NO_WATCHER);
    }
    let again = SetWatches2 {
        data_watches: Some(Vec::new()),
        exist_watches: Some(Vec::new()),
        child_watches: Some(Vec::new()),
        persistent_watches: Some(vec![None]),
        persistent_recursive_watches: Some(vec![None]),
        ..SetWatches2::default()
    };
    server.succeed(&mut peer, (OpCode::SET_WATCHES2, again.to_bytes()));
    assert_eq!(code(&mut server, &mut peer, (OpCode::CHECK_WATCHES, of_nothing(4))), Code::OK);
    assert_eq!(code(&mut server, &mut peer, (OpCode::CHECK_WATCHES, of_nothing(5))), Code::OK);
    let without = SetWatches2 { data_watches: Some(vec![None]), ..again.clone() };
    let refused = code(&mut server, &mut peer, (OpCode::SET_WATCHES2, without.to_bytes()));
    assert_eq!(refused, Code::MARSHALLING_ERROR);
    let without = SetWatches2 { child_watches: None, ..again };
    let refused = code(&mut server, &mut peer, (OpCode::SET_WATCHES2, without.to_bytes()));
    assert_eq!(refused, Code::MARSHALLING_ERROR);
}

#[test]
fn a_ping_tells_the_newest_zxid_also_to_who_was_told_nothing_of_it() {
    let (mut server, mut peer) = connected();
    let mut other = server.connect();
    let created = server.succeed(&mut other, ask::create("/a", b""));
    assert_eq!(server.succeed(&mut peer, ask::ping()).zxid, created.zxid);
}

#[test]
fn who_may_only_read_may_count_what_is_below() {
    let (mut server, mut peer) = connected();
    server.succeed(&mut peer, ask::create_with("/a", b"", vec![ask::acl(1, "world", "anyone")], 0));
    for asked in [
        ask::get_data("/a", false),
        ask::exists("/a", false),
        ask::get_children("/a", false, false),
        ask::get_acl("/a"),
        ask::of_path(OpCode::GET_ALL_CHILDREN_NUMBER, "/a"),
    ] {
        server.succeed(&mut peer, asked);
    }
    assert_eq!(code(&mut server, &mut peer, ask::set_data("/a", b"", -1)), Code::NO_AUTH);
}

/// Nobody would remove it again.
#[test]
fn a_read_behind_a_write_of_a_connection_that_has_gone_leaves_no_watch() {
    let (mut server, mut peer) = connected();
    peer.send(ask::create("/a", b""));
    peer.send(ask::get_data("/a", true));
    peer.serve();
    peer.client.set_closed();
    server.turn();
    assert!(server.has("/a") && server.state().watches().is_empty());
}
