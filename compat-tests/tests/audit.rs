//! The audit log: the same requests at the reference and at Oxkeeper give the same lines, alone and through a
//! follower.

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::REFERENCE;
use compat_tests::seat::Seat;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::systems::until;
use compat_tests::wire::{Body, Client, op};
use std::time::Duration;

const SET_ACL: i32 = 7;
const OK: i32 = 0;
const LIMIT: Duration = Duration::from_secs(20);

/// A part of a multi.
fn part(body: Body, op: i32, part: Body) -> Body {
    let mut body = body.int(op).bool(false).int(-1);
    body.0.extend(part.0);
    body
}

fn end(body: Body) -> Body {
    body.int(-1).bool(true).int(-1)
}

fn delete(path: &str) -> Body {
    Body::new().string(path).int(-1)
}

/// Does something of everything, and returns the answers' codes.
fn play(server: &Server) -> Result<Vec<i32>> {
    let mut client = Client::connect(server.addr(), 20_000)?;
    let mut short = Client::connect(server.addr(), 20_000)?;
    let multi = |parts: Vec<(i32, Body)>| {
        end(parts.into_iter().fold(Body::new(), |body, (op, of)| part(body, op, of)))
    };
    let requests = [
        (op::CREATE, Body::create("/a", b"x", 0)),
        (op::CREATE2, Body::create("/a/s-", b"x", 2)),
        (op::CREATE, Body::create("/a/e", b"x", 1)),
        (op::CREATE_CONTAINER, Body::create("/c", b"", 4)),
        (op::CREATE, Body::create("/a", b"x", 0)),
        (op::CREATE, Body::create("/missing/a", b"x", 3)),
        (op::CREATE, Body::create("no-path", b"x", 0)),
        (op::CREATE, Body::create("/a/unknown-mode", b"x", 77)),
        (op::SET_DATA, Body::set_data("/a", b"y", -1)),
        (op::SET_DATA, Body::set_data("/a", b"y", 99)),
        (op::GET_DATA, Body::path_and_watch("/a", false)),
        (
            SET_ACL,
            Body::new()
                .string("/c")
                .int(2)
                .int(31)
                .string("world")
                .string("anyone")
                .int(1)
                .string("ip")
                .string("10.0.0.0/8")
                .int(-1),
        ),
        (SET_ACL, Body::new().string("/missing").int(1).int(3).string("world").string("anyone").int(-1)),
        (
            op::MULTI,
            multi(vec![
                (op::CREATE, Body::create("/a/m", b"", 0)),
                (op::CREATE2, Body::create("/a/q-", b"", 3)),
                (op::SET_DATA, Body::set_data("/a/m", b"z", -1)),
                (op::DELETE, delete("/a/m")),
            ]),
        ),
        (
            op::MULTI,
            multi(vec![(op::CREATE, Body::create("/a/n", b"", 0)), (op::DELETE, delete("/not-there"))]),
        ),
        (op::DELETE, delete("/not-there")),
        (op::DELETE, delete("/a/e")),
    ];
    let mut codes = Vec::new();
    for (xid, (op, body)) in (1..).zip(&requests) {
        codes.push(client.call(xid, *op, body)?.err);
    }
    let reply = short.call(1, op::AUTH, &Body::auth("digest", b"me:secret"))?;
    ensure!(reply.err == OK, "auth: code {}", reply.err);
    for (xid, path) in (2..).zip(["/short", "/shorter"]) {
        codes.push(short.call(xid, op::CREATE, &Body::create(path, b"", 1))?.err);
    }
    codes.push(short.call(9, op::CLOSE_SESSION, &Body::new())?.err);
    Ok(codes)
}

/// The lines of the audit log, with names for sessions and for the order of identities, which is that of a hash table
/// in the reference.
fn lines(log: &str) -> Vec<String> {
    let mut sessions = Vec::new();
    let from = |line: &str| {
        let start = line.find("session=0x").or_else(|| line.find("user="))?;
        line.contains("operation=").then(|| line[start..].to_owned())
    };
    let mut name = |line: String| {
        let fields = line.split('\t').map(|field| match field.split_once('=') {
            Some(("session", id)) => {
                let known = sessions.iter().position(|known| known == id);
                let number = known.unwrap_or_else(|| {
                    sessions.push(id.to_owned());
                    sessions.len() - 1
                });
                format!("session={number}")
            }
            Some(("user", users)) => {
                let mut users: Vec<_> = users.split(',').collect();
                users.sort_unstable();
                format!("user={}", users.join(","))
            }
            _ => field.to_owned(),
        });
        fields.collect::<Vec<_>>().join("\t")
    };
    log.lines().filter_map(from).map(&mut name).collect()
}

/// What a server answers, and what its audit log holds when it has stopped.
fn audited(kind: Kind, seat: Option<Seat>) -> Result<(Vec<i32>, Vec<String>)> {
    let options = Options::default()
        .property("zookeeper.audit.enable", "true")
        .property("zookeeper.extendedTypesEnabled", "true")
        .seat(seat);
    let mut server = Server::start(kind, &options)?;
    let codes = play(&server).with_context(|| kind.to_string())?;
    // At the reference ephemeral nodes go, and their lines come, after the session's end was answered.
    until("the ephemeral nodes are audited", LIMIT, || {
        let gone = lines(&server.log()).iter().filter(|line| line.contains("operation=ephemeral")).count();
        Ok((gone >= 2).then_some(()))
    })?;
    server.stop()?;
    let lines = lines(&server.log());
    ensure!(!server.log().contains("me:"), "the log of {kind} tells the digest or the password of a client");
    Ok((codes, lines))
}

fn same(seat: Option<Seat>) -> Result<()> {
    let (codes, expected) = audited(Kind::Apache(REFERENCE), seat)?;
    let (found_codes, found) = audited(Kind::Oxkeeper, seat)?;
    assert_eq!(found_codes, codes);
    assert!(expected.len() > 20, "{expected:#?}");
    assert_eq!(found, expected, "found {found:#?}\nexpected {expected:#?}");
    Ok(())
}

#[test]
fn the_audit_log_of_a_server_alone_is_the_references() -> Result<()> {
    same(None)
}

#[test]
fn the_audit_log_of_a_follower_is_the_references() -> Result<()> {
    same(Some(Seat::Follower))
}

#[test]
fn a_file_of_its_own_holds_the_whole_audit_log_and_one_that_cannot_be_opened_stops_the_start() -> Result<()> {
    let held = tempfile::tempdir()?;
    let file = held.path().join("audit.log");
    let options = |file: &std::path::Path| {
        Options::default().line("audit.enable=true").line(&format!("oxkeeper.audit.file={}", file.display()))
    };
    let mut server = Server::start(Kind::Oxkeeper, &options(&file))?;
    play(&server)?;
    server.stop()?;
    let text = std::fs::read_to_string(&file)?;
    let found = lines(&text);
    assert!(found.first().is_some_and(|line| line.ends_with("operation=serverStart\tresult=success")));
    assert!(found.last().is_some_and(|line| line.ends_with("operation=serverStop\tresult=invoked")));
    assert_eq!(found.len(), text.lines().count());
    assert!(lines(&server.log()).is_empty(), "no line is in both");
    let missing = held.path().join("missing/audit.log");
    let started = Server::try_start(Kind::Oxkeeper, &options(&missing))?;
    let compat_tests::server::Started::Ended(code, log) = started else {
        panic!("it started without the audit log that was asked for")
    };
    assert_eq!(code, Some(1));
    assert!(log.contains("oxkeeper.audit.file") && log.contains("missing/audit.log"), "{log}");
    Ok(())
}
