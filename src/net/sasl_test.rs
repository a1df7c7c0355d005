//! SASL on a connection, from the frame to the reply.

use std::sync::Arc;

use jute::records::proto::GetDataResponse;
use jute::{Code, OpCode, Zxid, write};

use super::testing::{Ask, Peer, Server, Setup, ask};
use crate::auth::sasl::{Exchange, Failure, Mechanism, Options as SaslOptions, Step};
use crate::auth::{self, Identity};
use crate::request::Options;
use crate::request::testing::OPTIONS;
use crate::tree::{AclRules, SaslRule};

/// A mechanism of two steps: `name` is asked `proof?`, and has proven it with `yes`.
#[derive(Debug)]
struct TwoSteps;

struct Asked(Option<String>);

impl Mechanism for TwoSteps {
    fn begin(&self) -> Box<dyn Exchange> {
        Box::new(Asked(None))
    }
}

impl Exchange for Asked {
    fn step(&mut self, token: &[u8]) -> Result<Step, Failure> {
        let token = String::from_utf8_lossy(token).into_owned();
        match self.0.take() {
            None => {
                self.0 = Some(token);
                Ok(Step::Challenge(b"proof?".to_vec()))
            }
            Some(name) if token == "yes" => {
                Ok(Step::Proven { token: Some(b"proven".to_vec()), authorization_id: name })
            }
            Some(_) => Err(Failure("no proof".into())),
        }
    }
}

fn server(keeps_failed_clients: bool, required: Option<&str>) -> Server {
    let sasl = SaslOptions {
        mechanism: Some(Arc::new(TwoSteps)),
        super_users: vec!["root".into()],
        keeps_failed_clients,
    };
    let required_schemes = required.map(|scheme| vec![scheme.to_owned()]);
    let auth = auth::Options { sasl_enabled: true, sasl, required_schemes, ..auth::Options::default() };
    let acl = AclRules { sasl: SaslRule::On { anybody: None }, ..OPTIONS.acl };
    Server::with(Setup { auth, options: Options { acl, ..OPTIONS }, ..Setup::default() })
}

fn step(token: &str) -> Ask {
    let mut body = Vec::new();
    write::buffer(&mut body, Some(token.as_bytes()));
    (OpCode::SASL, body)
}

/// The body of a reply with this token.
fn token(token: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    write::buffer(&mut body, token.map(str::as_bytes));
    body
}

fn prove(server: &mut Server, peer: &mut Peer, name: &str) {
    let reply = server.succeed(peer, step(name));
    assert_eq!((reply.zxid, reply.body), (Zxid::ZERO, token(Some("proof?"))));
    assert_eq!(server.succeed(peer, step("yes")).body, token(Some("proven")));
}

fn identities(peer: &Peer) -> Vec<Identity> {
    peer.client.identities().iter().filter(|identity| identity.scheme != "ip").cloned().collect()
}

fn sasl(id: &str) -> Identity {
    Identity { scheme: "sasl".into(), id: id.into() }
}

#[test]
fn who_has_proven_an_id_may_what_it_may() {
    let mut server = server(false, None);
    let (mut bob, mut other) = (server.connect(), server.connect());
    prove(&mut server, &mut bob, "bob");
    assert_eq!(identities(&bob), [sasl("bob")]);
    server.succeed(&mut bob, ask::create_with("/a", b"mine", vec![ask::acl(31, "auth", "")], 0));
    server.succeed(&mut bob, ask::create_with("/b", b"", vec![ask::acl(31, "sasl", "alice")], 0));
    assert_eq!(server.ask(&mut bob, ask::get_data("/b", false)).code, Code::NO_AUTH);
    assert_eq!(server.ask(&mut other, ask::get_data("/a", false)).code, Code::NO_AUTH);
    let reply = server.succeed(&mut bob, ask::get_data("/a", false));
    assert_eq!(reply.body::<GetDataResponse>().data.as_deref(), Some(&b"mine"[..]));
    prove(&mut server, &mut other, "root");
    assert_eq!(identities(&other).last().map(|identity| identity.scheme.as_str()), Some("super"));
    server.succeed(&mut other, ask::get_data("/a", false));
}

/// CVE-2023-44981's kin, and ZOOKEEPER-4839: whatever fails, or does not end, leaves nobody.
#[test]
fn an_exchange_that_fails_proves_nothing_and_closes() {
    let mut server = server(false, None);
    let mut peer = server.connect();
    server.succeed(&mut peer, step("bob"));
    assert!(identities(&peer).is_empty(), "an exchange that goes on proves nothing");
    peer.send(step("no"));
    peer.send(ask::create("/behind", b""));
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].code, replies[0].body.clone()), (Code::AUTH_FAILED, token(None)));
    assert!(peer.end().is_some() && identities(&peer).is_empty());
    server.turn();
    assert!(!server.has("/behind"));
}

#[test]
fn an_exchange_is_not_begun_again() {
    for keeps in [false, true] {
        let mut server = server(keeps, None);
        let mut peer = server.connect();
        prove(&mut server, &mut peer, "bob");
        let reply = server.ask(&mut peer, step("root"));
        assert_eq!(reply.code, if keeps { Code::OK } else { Code::AUTH_FAILED });
        assert_eq!(reply.body, token(None));
        assert_eq!(identities(&peer), [sasl("bob")]);
        assert_eq!(peer.end().is_some(), !keeps);
    }
}

#[test]
fn a_client_whose_exchange_failed_may_go_on_without_it_if_it_may() {
    let mut server = server(true, None);
    let mut peer = server.connect();
    server.succeed(&mut peer, step("bob"));
    assert_eq!(server.succeed(&mut peer, step("no")).body, token(None));
    assert_eq!(server.succeed(&mut peer, step("yes")).body, token(None), "it is over");
    assert!(identities(&peer).is_empty() && peer.end().is_none());
    server.succeed(&mut peer, ask::create("/a", b""));
}

#[test]
fn where_sasl_is_required_nothing_else_is_served_before() {
    let mut server = server(true, Some("sasl"));
    let mut peer = server.connect();
    server.succeed(&mut peer, step("bob"));
    peer.send(ask::create("/a", b""));
    peer.serve();
    let codes: Vec<_> = peer.take_replies().iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [Code::SESSION_CLOSED_REQUIRE_SASL_AUTH]);
    assert!(peer.end().is_some());
    let mut peer = server.connect();
    server.succeed(&mut peer, step("bob"));
    let reply = server.ask(&mut peer, step("no"));
    assert_eq!((reply.code, reply.body), (Code::SESSION_CLOSED_REQUIRE_SASL_AUTH, token(None)));
    assert!(peer.end().is_some());
    let mut peer = server.connect();
    prove(&mut server, &mut peer, "bob");
    server.succeed(&mut peer, ask::create("/a", b""));
}

/// Requests on their way keep the identities they came with, and what is proven counts from there on.
#[test]
fn what_is_proven_counts_for_what_comes_behind() {
    let mut server = server(false, None);
    let mut owner = server.connect();
    prove(&mut server, &mut owner, "bob");
    server.succeed(&mut owner, ask::create_with("/a", b"", vec![ask::acl(31, "sasl", "bob")], 0));
    let mut peer = server.connect();
    for asked in [ask::set_data("/a", b"1", -1), step("bob"), ask::set_data("/a", b"2", -1), step("yes")] {
        peer.send(asked);
    }
    peer.send(ask::set_data("/a", b"3", -1));
    peer.serve();
    server.turn();
    peer.serve();
    let mut codes: Vec<_> = peer.take_replies().iter().map(|reply| (reply.xid, reply.code)).collect();
    codes.sort_by_key(|(xid, _)| *xid);
    let expected = [Code::NO_AUTH, Code::OK, Code::NO_AUTH, Code::OK, Code::OK];
    assert_eq!(codes.iter().map(|(_, code)| *code).collect::<Vec<_>>(), expected);
}

#[test]
fn who_has_proven_an_id_is_told_it() {
    let mut with = server(false, None);
    let mut peer = with.connect();
    prove(&mut with, &mut peer, "bob");
    let who = with.succeed(&mut peer, (OpCode::WHO_AM_I, Vec::new()));
    let names = |reply: &super::testing::Reply| {
        let reply = reply.body::<jute::records::proto::WhoAmIResponse>();
        reply.client_info.unwrap_or_default().into_iter().filter_map(|info| info.user).collect::<Vec<_>>()
    };
    assert!(names(&who).contains(&"bob".to_owned()), "{:?}", names(&who));
}
