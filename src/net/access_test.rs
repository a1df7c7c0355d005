//! Who may do what, all the way from the frame to the reply.

use jute::records::data::Acl;
use jute::records::proto::{GetACLResponse, GetDataResponse};
use jute::{Code, OpCode, Zxid};

use super::testing::{Peer, Server, Setup, ask};
use crate::auth::{self, Identity};
use crate::logging::testing::logged_by;
use crate::request::Options;
use crate::request::testing::OPTIONS;

/// A session that has proven to be this user.
fn connect_as(server: &mut Server, credentials: &str) -> Peer {
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::auth("digest", credentials.as_bytes()));
    peer
}

/// Only who created the node, with these permissions; everybody with the others.
fn only_creator(perms: i32, others: i32) -> Vec<Acl> {
    let mut list = vec![ask::acl(perms, "auth", "")];
    list.extend((others != 0).then(|| ask::acl(others, "world", "anyone")));
    list
}

const READ: i32 = 1;
const CREATE: i32 = 4;
const ALL: i32 = 31;
const CHANGED: i32 = 3;

#[test]
fn data_is_shown_to_those_who_may_read_it() {
    let mut server = Server::new();
    let (mut owner, mut other) = (connect_as(&mut server, "u:secret"), server.connect());
    server.succeed(&mut owner, ask::create_with("/a", b"mine", only_creator(ALL, ALL & !READ), 0));
    let refused = server.ask(&mut other, ask::get_data("/a", true));
    assert_eq!((refused.code, refused.body.len()), (Code::NO_AUTH, 0));
    assert!(server.state().watches().is_empty(), "who may not read leaves no watch");
    let reply = server.succeed(&mut owner, ask::get_data("/a", false));
    assert_eq!(reply.body::<GetDataResponse>().data.as_deref(), Some(&b"mine"[..]));
    // The order of both is the connection's, so what is proven counts from there on and not before.
    server.succeed(&mut other, ask::auth("digest", b"u:secret"));
    server.succeed(&mut other, ask::get_data("/a", false));
}

#[test]
fn nodes_are_created_by_those_who_may_create_there() {
    let mut server = Server::new();
    let (mut owner, mut other) = (connect_as(&mut server, "u:secret"), server.connect());
    server.succeed(&mut owner, ask::create_with("/a", b"", only_creator(ALL, ALL & !CREATE), 0));
    assert_eq!(server.ask(&mut other, ask::create("/a/b", b"")).code, Code::NO_AUTH);
    assert!(!server.has("/a/b"));
    server.succeed(&mut owner, ask::create("/a/b", b""));
}

/// ZooKeeper CVE-2019-0201: everybody was shown the hashes of passwords.
#[test]
fn hashes_are_shown_to_those_who_may_administer() {
    let mut server = Server::new();
    let (mut owner, mut other) = (connect_as(&mut server, "u:secret"), server.connect());
    server.succeed(&mut owner, ask::create_with("/a", b"", only_creator(ALL, READ), 0));
    let mut shown = |peer| {
        let list = server.succeed(peer, ask::get_acl("/a")).body::<GetACLResponse>().acl.unwrap();
        list[0].id.id.clone().unwrap()
    };
    assert_eq!(shown(&mut other), "u:x");
    assert_eq!(shown(&mut owner), auth::digest::identity("u:secret", auth::digest::Algorithm::default()));
}

/// CVE-2024-23944: a persistent watch told of nodes that its owner may not read.
#[test]
fn events_are_told_to_those_who_may_read_the_node() {
    let mut server = Server::new();
    let (mut owner, mut other) = (connect_as(&mut server, "u:secret"), server.connect());
    for peer in [&mut owner, &mut other] {
        server.succeed(peer, ask::add_watch("/", 1));
    }
    server.succeed(&mut owner, ask::create_with("/a", b"", only_creator(ALL, 0), 0));
    server.succeed(&mut owner, ask::set_data("/a", b"new", -1));
    server.succeed(&mut owner, ask::delete("/a"));
    other.serve();
    let paths = |peer: &mut Peer| -> Vec<_> { peer.take_events().into_iter().map(|(_, at)| at).collect() };
    assert_eq!(paths(&mut owner), ["/a", "/a", "/a"]);
    assert_eq!(paths(&mut other), [""; 0]);
    server.succeed(&mut owner, ask::create("/open", b""));
    server.succeed(&mut owner, ask::set_data("/open", b"new", -1));
    other.serve();
    assert_eq!(other.take_events().last(), Some(&(CHANGED, "/open".to_owned())));
}

/// Requests behind refused credentials were carried out as nobody, and the client believed them done as somebody.
#[test]
fn nothing_behind_a_refused_authentication_is_carried_out() {
    let mut server = Server::new();
    for scheme in ["nobody", "key"] {
        let mut peer = server.connect();
        peer.send(ask::auth(scheme, b"u:secret"));
        peer.send(ask::create("/behind", b""));
        peer.send(ask::get_data("/", true));
        peer.serve();
        let codes: Vec<_> = peer.take_replies().iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [Code::AUTH_FAILED]);
        assert!(peer.end().is_some());
        server.turn();
        assert!(!server.has("/behind") && server.state().watches().is_empty());
    }
}

/// What the client has not read keeps the refusal from being written; what is refused is over all the same.
#[test]
fn nothing_behind_a_refusal_is_carried_out_while_earlier_replies_are_unread() {
    let unproven =
        || auth::Options { required_schemes: Some(vec!["digest".into()]), ..auth::Options::default() };
    let container = (OpCode::DELETE_CONTAINER, Vec::new());
    for (refused, auth) in [
        (ask::auth("nobody", b""), auth::Options::default()),
        (ask::create("/refused", b""), unproven()),
        (container, auth::Options::default()),
    ] {
        let mut server = Server::with(Setup { auth, ..Setup::default() });
        let mut peer = server.connect();
        peer.set_reads(false);
        peer.send((OpCode::PING, Vec::new()));
        peer.serve();
        assert!(peer.unsent() > 0);
        peer.send(refused);
        peer.send(ask::auth("digest", b"u:secret"));
        peer.send(ask::create("/behind", b""));
        peer.serve();
        server.turn();
        assert!(!server.has("/behind"));
        peer.set_reads(true);
        peer.serve();
        assert!(peer.end().is_some());
    }
}

/// Consul CVE-2023-3518, where an identity that was demanded did not have to be shown.
#[test]
fn without_a_scheme_that_is_required_nothing_is_carried_out() {
    let required =
        auth::Options { required_schemes: Some(vec!["digest".into()]), ..auth::Options::default() };
    let mut server = Server::with(Setup { auth: required, ..Setup::default() });
    let mut peer = server.connect();
    peer.send(ask::create("/a", b""));
    peer.send(ask::create("/b", b""));
    peer.serve();
    let codes: Vec<_> = peer.take_replies().iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [Code::SESSION_CLOSED_REQUIRE_SASL_AUTH]);
    server.turn();
    assert!(peer.end().is_some() && !server.has("/a") && !server.has("/b"));
    let mut proven = connect_as(&mut server, "u:secret");
    server.succeed(&mut proven, ask::create("/a", b""));
}

#[test]
fn a_hard_quota_refuses_what_would_pass_it() {
    let options = Options { enforce_quota: true, ..OPTIONS };
    let mut server = Server::with(Setup { options, ..Setup::default() });
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b""));
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_stats"] {
        server.succeed(&mut peer, ask::create(path, b"count=1,bytes=0"));
    }
    let limits = b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=2";
    server.succeed(&mut peer, ask::create("/zookeeper/quota/a/zookeeper_limits", limits));
    server.succeed(&mut peer, ask::create("/a/b", b"12345"));
    // No more nodes may come; what is there may change.
    server.succeed(&mut peer, ask::set_data("/a/b", b"54321", -1));
    assert_eq!(server.ask(&mut peer, ask::create("/a/c", b"")).code, Code::QUOTA_EXCEEDED);
    assert_eq!(server.ask(&mut peer, ask::set_data("/a/b", b"12345678901", -1)).code, Code::QUOTA_EXCEEDED);
    server.succeed(&mut peer, ask::set_data("/a/b", b"1234567890", -1));
    server.succeed(&mut peer, ask::delete("/a/b"));
    server.succeed(&mut peer, ask::create("/a/c", b""));
}

#[test]
fn a_malformed_authentication_closes_without_an_answer() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send((OpCode::AUTH, vec![0, 0]));
    peer.serve();
    assert!(peer.take_replies().is_empty());
    assert!(peer.end().is_some_and(|why| why.contains("malformed credentials")), "{:?}", peer.end());
}

#[test]
fn a_client_that_means_another_ensemble_is_closed_and_each_answer_is_counted() {
    let named = |names: Option<&[&str]>| {
        let ensemble_names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        auth::Options { ensemble_enabled: true, ensemble_names, ..auth::Options::default() }
    };
    let counts = |server: &Server| {
        let metrics = &server.shared.metrics;
        [&metrics.ensemble_auth_success, &metrics.ensemble_auth_skip, &metrics.ensemble_auth_fail]
            .map(|counter| counter.value())
    };
    let mut server = Server::with(Setup { auth: named(Some(&["ours", "alias"])), ..Setup::default() });
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::auth("ensemble", b"ours"));
    server.succeed(&mut peer, ask::auth("ensemble", b"alias"));
    assert_eq!(counts(&server), [2, 0, 0]);
    server.succeed(&mut peer, ask::auth("ensemble", b""));
    assert_eq!(counts(&server), [2, 1, 0]);
    peer.send(ask::auth("ensemble", b"theirs"));
    peer.serve();
    assert_eq!((counts(&server), peer.take_replies().len()), ([2, 1, 1], 0));
    assert!(peer.end().is_some_and(|why| why.contains("theirs")), "{:?}", peer.end());
    let mut server = Server::with(Setup { auth: named(None), ..Setup::default() });
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::auth("ensemble", b"whatever"));
    assert_eq!(counts(&server), [0, 1, 0]);
}

/// Without a login configuration the reference answers a token with none, and does not survive that there is none.
#[test]
fn a_step_of_sasl_is_answered_with_no_token() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let reply = server.succeed(&mut peer, (OpCode::SASL, vec![0, 0, 0, 1, 7]));
    assert_eq!((reply.body, reply.zxid), (vec![0xFF; 4], Zxid::ZERO));
    for (token, why) in [(vec![0xFF; 4], "without a token"), (vec![0, 0], "malformed SASL token")] {
        let mut peer = server.connect();
        peer.send((OpCode::SASL, token));
        peer.serve();
        assert!(peer.take_replies().is_empty());
        assert!(peer.end().is_some_and(|told| told.contains(why)), "{:?}", peer.end());
    }
}

#[test]
fn the_log_tells_who_proves_to_be_the_superuser_and_who_fails_to() {
    let super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
    let auth = auth::Options { super_digest, ..auth::Options::default() };
    let mut server = Server::with(Setup { auth, ..Setup::default() });
    let mut told = |credentials: &str| {
        let (lines, _) = logged_by(|| connect_as(&mut server, credentials));
        assert!(!lines.contains("test") && !lines.contains("secret"), "no password is told: {lines}");
        ["has proven to be the superuser", "a wrong password for the superuser"]
            .map(|said| lines.contains(said))
    };
    assert_eq!(told("super:test"), [true, false]);
    assert_eq!(told("super:secret"), [false, true]);
    assert_eq!(told("u:secret"), [false, false]);
    let superuser = connect_as(&mut server, "super:test");
    let schemes: Vec<_> =
        superuser.client.identities().iter().map(|identity| identity.scheme.clone()).collect();
    assert_eq!(schemes, ["ip", "super", "digest"], "all that was proven counts");
}

/// Every client has an identity, its address: that is not what a certificate proves.
#[test]
fn an_auth_packet_for_x509_proves_nothing_without_a_certificate() {
    let auth = auth::Options { x509_enabled: true, ..auth::Options::default() };
    let mut server = Server::with(Setup { auth, ..Setup::default() });
    let (mut plain, mut certified) = (server.connect(), server.connect());
    let shown = Identity { scheme: "x509".into(), id: "CN=me".into() };
    assert!(certified.client.add_identity(shown));
    server.succeed(&mut certified, ask::auth("x509", b""));
    assert_eq!(server.ask(&mut plain, ask::auth("x509", b"")).code, Code::AUTH_FAILED);
    assert!(plain.end().is_some() && certified.end().is_none());
}
