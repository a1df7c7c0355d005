//! Frames no client library sends: the answers, and whether the connection lives on, compared.

use anyhow::Result;
use compat_tests::artifacts;
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::server::{Options, Server};
use compat_tests::wire::{Body, Client, Reply, op};

const UNIMPLEMENTED: i32 = -6;

/// One request on a fresh session and what came of it. The body is shown unless it holds a time.
fn outcome(server: &Server, label: &str, op: i32, body: &Body) -> Result<String> {
    let mut client = Client::connect(server.addr(), 10_000)?;
    let answer = match client.call(7, op, body) {
        // The reference closes a moment after such an answer, and may serve a request in between.
        Ok(reply) if reply.err == UNIMPLEMENTED => {
            let closed = client.receive_frame().is_err();
            return Ok(format!("{label}: {}; closed {closed}\n", shown(&reply)));
        }
        Ok(reply) => shown(&reply),
        Err(_) => "closed without a reply".to_owned(),
    };
    let after = match client.call(8, op::EXISTS, &Body::path_and_watch("/none", false)) {
        Ok(reply) => format!("open, then {}", reply.err),
        Err(_) => "closed".to_owned(),
    };
    Ok(format!("{label}: {answer}; {after}\n"))
}

fn shown(reply: &Reply) -> String {
    let zxid = if reply.zxid > 0 { "now".to_owned() } else { reply.zxid.to_string() };
    format!("xid {} zxid {zxid} err {} body of {}", reply.xid, reply.err, reply.body.len())
}

fn check(name: &str, what: &str, script: impl Fn(&Server) -> Result<String> + Sync) -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&Case::new(name, "frames no client sends", what), &Options::default(), |server| {
        let transcript = script(server)?;
        anyhow::ensure!(server.alive(), "the server died of it");
        Ok(transcript)
    })
}

#[test]
fn every_op_code_with_an_empty_body() -> Result<()> {
    check("wire-empty", "every op code with an empty body", |server| {
        let mut transcript = String::new();
        let codes = (-12..=23).chain(99..=108).chain([-100, 255, 1000, i32::MIN, i32::MAX]);
        // A client's deleteContainer is refused on purpose: see exceptions.toml.
        for code in codes.filter(|code| *code != op::DELETE_CONTAINER) {
            transcript.push_str(&outcome(server, &format!("op {code}"), code, &Body::new())?);
        }
        Ok(transcript)
    })
}

#[test]
fn broken_bodies() -> Result<()> {
    check("wire-broken", "broken bodies", |server| {
        let cut = |body: Body, length: usize| Body(body.0[..length].to_vec());
        let create = Body::create("/x", b"data", 0);
        let cases = [
            ("create cut in its path", op::CREATE, cut(create.clone(), 5)),
            ("create cut in its data", op::CREATE, cut(create.clone(), 9)),
            ("create cut in its list", op::CREATE, cut(create.clone(), 20)),
            ("create without flags", op::CREATE, cut(create.clone(), create.0.len() - 4)),
            ("create with more behind", op::CREATE, create.int(99)),
            ("create with unknown flags", op::CREATE, Body::create("/y", b"", 77)),
            (
                "create with a path of length -1",
                op::CREATE,
                Body::new().int(-1).buffer(b"").open_acl().int(0),
            ),
            (
                "create with a path of length -2",
                op::CREATE,
                Body::new().int(-2).buffer(b"").open_acl().int(0),
            ),
            ("create with a huge path", op::CREATE, Body::new().int(i32::MAX).int(0)),
            ("create with null data", op::CREATE, Body::new().string("/null").int(-1).open_acl().int(0)),
            ("create with a null list", op::CREATE, Body::new().string("/l").buffer(b"").int(-1).int(0)),
            (
                "create with a huge list",
                op::CREATE,
                Body::new().string("/l").buffer(b"").int(i32::MAX).int(0),
            ),
            (
                "create with bad UTF-8",
                op::CREATE,
                Body::new().buffer(b"/\xff\xfe").buffer(b"").open_acl().int(0),
            ),
            ("get with bad UTF-8", op::GET_DATA, Body::new().buffer(b"/\xff\xfe").bool(false)),
            ("get without the flag", op::GET_DATA, Body::new().string("/")),
            ("get with a flag of 2", op::GET_DATA, Body(vec![0, 0, 0, 1, b'/', 2])),
            ("ttl create without ttl", op::CREATE_TTL, Body::create("/t", b"", 5)),
            ("multi without an end", op::MULTI, Body::new().int(op::CREATE).bool(false).int(-1)),
            (
                "multi of an unknown op",
                op::MULTI,
                Body::new().int(77).bool(false).int(-1).int(-1).bool(true).int(-1),
            ),
            (
                "multi in multi",
                op::MULTI,
                Body::new().int(op::MULTI).bool(false).int(-1).int(-1).bool(true).int(-1),
            ),
            ("set watches cut", op::SET_WATCHES, Body::new().long(0).int(5)),
            ("auth cut", op::AUTH, Body::new().int(0)),
            ("auth of an unknown scheme", op::AUTH, Body::new().int(0).string("nope").buffer(b"x")),
            ("auth with digest", op::AUTH, Body::new().int(0).string("digest").buffer(b"a:b")),
            ("auth with digest without colon", op::AUTH, Body::new().int(0).string("digest").buffer(b"ab")),
            ("sync without path", op::SYNC, Body::new()),
            ("delete below the root", op::DELETE, Body::new().string("/none").int(-1)),
        ];
        let mut transcript = String::new();
        for (label, code, body) in cases {
            transcript.push_str(&outcome(server, label, code, &body)?);
        }
        Ok(transcript)
    })
}

#[test]
fn broken_frames_and_handshakes() -> Result<()> {
    check("wire-frames", "broken frames and handshakes", |server| {
        let mut transcript = String::new();
        let hello = |protocol: i32, zxid: i64, session: i64, password: &[u8]| {
            Body::new().int(protocol).long(zxid).int(10_000).long(session).buffer(password)
        };
        let hellos = [
            ("plain", hello(0, 0, 0, &[0; 16]).bool(false)),
            ("without the read-only flag", hello(0, 0, 0, &[0; 16])),
            ("ready to only read", hello(0, 0, 0, &[0; 16]).bool(true)),
            ("protocol 9", hello(9, 0, 0, &[0; 16]).bool(false)),
            ("from the future", hello(0, i64::MAX, 0, &[0; 16]).bool(false)),
            ("short password", hello(0, 0, 0, &[0; 3]).bool(false)),
            ("no password", hello(0, 0, 0, &[]).bool(false)),
            ("null password", Body::new().int(0).long(0).int(10_000).long(0).int(-1).bool(false)),
            ("unknown session", hello(0, 0, 0x1234_5678, &[7; 16]).bool(false)),
            ("negative timeout", Body::new().int(0).long(0).int(-5).long(0).buffer(&[0; 16]).bool(false)),
            ("cut", Body::new().int(0).long(0)),
            ("empty", Body::new()),
        ];
        for (label, body) in hellos {
            let outcome = match Client::handshake(server.addr(), &body.0) {
                Ok(client) => format!(
                    "session {} password of {} timeout {}",
                    client.session != 0,
                    client.password.len(),
                    client.timeout_ms
                ),
                Err(_) => "closed".to_owned(),
            };
            transcript.push_str(&format!("handshake {label}: {outcome}\n"));
        }
        for (label, bytes) in [
            ("negative length", (-1i32).to_be_bytes().to_vec()),
            ("zero length", vec![0; 4]),
            ("length over the limit", 1_048_576i32.to_be_bytes().to_vec()),
            ("far over the limit", i32::MAX.to_be_bytes().to_vec()),
            ("frame of four bytes", vec![0, 0, 0, 4, 0, 0, 0, 1]),
            ("a word inside a session", b"ruok".to_vec()),
        ] {
            let mut client = Client::connect(server.addr(), 10_000)?;
            client.send_bytes(&bytes)?;
            let outcome = match client.receive() {
                Ok(reply) => shown(&reply),
                Err(_) => "closed".to_owned(),
            };
            transcript.push_str(&format!("{label}: {outcome}\n"));
        }
        Ok(transcript)
    })
}

#[test]
fn close_session_answers_and_then_closes() -> Result<()> {
    check("wire-close", "closing and what follows", |server| {
        let mut client = Client::connect(server.addr(), 10_000)?;
        client.call(1, op::CREATE2, &Body::create("/e", b"", 1))?;
        client.call(2, op::SYNC, &Body::new().string("/"))?;
        let multi = client.call(3, op::MULTI, &Body::new().int(-1).bool(true).int(-1))?;
        let bye = client.call(4, op::CLOSE_SESSION, &Body::new())?;
        let rest = client.receive_frame().is_err();
        Ok(format!("{}\n{}\nclosed: {rest}\n", shown(&multi), shown(&bye)))
    })
}
