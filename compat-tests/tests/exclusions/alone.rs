//! Exceptions that a server alone shows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::seat::Seat;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, Reply, op, request};

use super::Case;

const ENDS: &str = "the server ends";
const TWO_CODES: &str = "code 0, in an ensemble code -8";
/// In which a server that a request ends must have ended.
const END_LIMIT: Duration = Duration::from_secs(20);
/// In which one that lives must answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often something is tried that depends on how fast the server is.
const TRIES: usize = 60;
const EPHEMERAL: i32 = 1;

pub(super) const CASES: [Case; 9] = [
    Case { name: "createttl-without-ttl-mode", play: create_ttl, reference: ENDS, ours: "code -8" },
    Case {
        name: "delete-container-of-a-client",
        play: delete_container,
        reference: "code 0, then the node is there: false",
        ours: "code -6, closed, then the node is there: true",
    },
    Case { name: "limits-of-the-quota-root", play: limits_of_the_root, reference: ENDS, ours: TWO_CODES },
    Case { name: "malformed-quota-numbers", play: quota_numbers, reference: ENDS, ours: TWO_CODES },
    Case {
        name: "null-in-a-multi-of-a-burst",
        play: null_in_a_multi,
        reference: "at times a node is there that was never made",
        ours: "it is made every time",
    },
    Case {
        name: "null-id-of-the-key-scheme",
        play: null_of_the_key_scheme,
        reference: "the server ends, and starts again: false",
        ours: "code -5",
    },
    Case {
        name: "set-acl-in-a-burst",
        play: set_acl,
        reference: "at times the list before counts",
        ours: "the new list counts every time",
    },
    Case {
        name: "transaction-too-large-to-be-read-again",
        play: too_large,
        reference: "code 0, and it starts again: false",
        ours: "code -5, and it starts again: true",
    },
    Case {
        name: "ephemeral-container-ahead",
        play: ephemeral_container,
        reference: "it is refused a child",
        ours: "it has a child",
    },
];

fn start(kind: Kind, options: &Options) -> Result<(Server, Client)> {
    let options = options.clone().property("zookeeper.extendedTypesEnabled", "true");
    let server = Server::start(kind, &options)?;
    let client = Client::connect(server.addr(), 30_000)?;
    Ok((server, client))
}

fn made(client: &mut Client, path: &str, data: &[u8]) -> Result<()> {
    let code = client.call(1, op::CREATE, &Body::create(path, data, 0))?.err;
    ensure!(code == 0, "create {path}: code {code}");
    Ok(())
}

fn is_there(client: &mut Client, path: &str) -> Result<bool> {
    Ok(client.call(1, op::EXISTS, &Body::path_and_watch(path, false))?.err == 0)
}

/// Whether somebody else can still write. What ends the server may have been answered before.
fn serves(server: &Server) -> bool {
    let write = || -> Result<Reply> {
        let stream = std::net::TcpStream::connect_timeout(&server.addr(), ANSWER_LIMIT)?;
        let hello = compat_tests::wire::hello(30_000, 0, &[0; 16], 0);
        let mut client = Client::handshake_within(stream, &hello, ANSWER_LIMIT)?;
        client.call(1, op::CREATE, &Body::create("/somebody-else", b"", 0))
    };
    write().is_ok_and(|reply| reply.err == 0)
}

/// What a request came to: its code, or the end of the server.
fn outcome(server: &mut Server, came: Result<i32>) -> Result<String> {
    if serves(server) {
        return came.map(|code| format!("code {code}"));
    }
    let deadline = Instant::now() + END_LIMIT;
    while Instant::now() < deadline {
        if server.ended()?.is_some() {
            return Ok(ENDS.to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the server neither serves nor ends; its log ends:\n{}", server.log())
}

fn create_ttl(kind: Kind) -> Result<String> {
    let (mut server, mut client) = start(kind, &Options::default())?;
    let body = Body::create("/x", b"", 0).long(-1);
    let came = client.call(2, op::CREATE_TTL, &body).map(|reply| reply.err);
    outcome(&mut server, came)
}

fn delete_container(kind: Kind) -> Result<String> {
    let (server, mut client) = start(kind, &Options::default())?;
    made(&mut client, "/x", b"")?;
    let reply = client.call(2, op::DELETE_CONTAINER, &Body::new().string("/x"))?;
    let is_closed = reply.err != 0 && client.receive_frame().is_err();
    let mut other = Client::connect(server.addr(), 30_000)?;
    let closed = if is_closed { ", closed" } else { "" };
    Ok(format!("code {}{closed}, then the node is there: {}", reply.err, is_there(&mut other, "/x")?))
}

/// The same in an ensemble, where Oxkeeper is careful for the sake of the others: what the request comes to there.
fn in_ensemble(kind: Kind, play: fn(&mut Client) -> Result<i32>) -> Result<String> {
    if kind != Kind::Oxkeeper {
        return Ok(String::new());
    }
    let (_server, mut client) = start(kind, &Options::default().seat(Some(Seat::Leader)))?;
    Ok(format!(", in an ensemble code {}", play(&mut client)?))
}

fn limits_of_the_root(kind: Kind) -> Result<String> {
    let play = |client: &mut Client| -> Result<i32> {
        let body = Body::create("/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1", 0);
        Ok(client.call(2, op::CREATE, &body)?.err)
    };
    let (mut server, mut client) = start(kind, &Options::default())?;
    let came = play(&mut client);
    Ok(outcome(&mut server, came)? + &in_ensemble(kind, play)?)
}

fn quota_numbers(kind: Kind) -> Result<String> {
    let junk = |client: &mut Client| -> Result<i32> {
        made(client, "/a", b"")?;
        made(client, "/zookeeper/quota/a", b"")?;
        made(client, "/zookeeper/quota/a/zookeeper_limits", b"count=10,bytes=1000")?;
        made(client, "/zookeeper/quota/a/zookeeper_stats", b"count=1,bytes=0")?;
        let junk = Body::set_data("/zookeeper/quota/a/zookeeper_stats", b"count=many,bytes=few", -1);
        Ok(client.call(1, op::SET_DATA, &junk)?.err)
    };
    let (mut server, mut client) = start(kind, &Options::default())?;
    let taken = junk(&mut client)?;
    ensure!(taken == 0, "the junk: code {taken}");
    let came = client.call(3, op::CREATE, &Body::create("/a/b", b"", 0)).map(|reply| reply.err);
    Ok(outcome(&mut server, came)? + &in_ensemble(kind, junk)?)
}

fn part_of_multi(body: Body, op: i32) -> Body {
    body.int(op).bool(false).int(-1)
}

fn null_in_a_multi(kind: Kind) -> Result<String> {
    let (_server, mut client) = start(kind, &Options::default())?;
    for n in 0..TRIES {
        let (path, create) = (format!("/n{n}"), Body::create(&format!("/n{n}"), b"", 0));
        let good = part_of_multi(Body::new(), op::CREATE).string(&path).buffer(b"").open_acl().int(0);
        let bad = part_of_multi(good, op::CREATE).string("/other").buffer(b"");
        let bad = bad.int(1).int(31).string("world").int(-1).int(0);
        let multi = bad.int(-1).bool(true).int(-1);
        client.send_bytes(&[request(2, op::MULTI, &multi), request(3, op::CREATE, &create)].concat())?;
        let refused = client.receive()?.err;
        ensure!(refused != 0, "a null id is taken");
        match client.receive()?.err {
            0 => {}
            -110 => return Ok("at times a node is there that was never made".to_owned()),
            code => bail!("code {code}"),
        }
    }
    Ok("it is made every time".to_owned())
}

fn null_of_the_key_scheme(kind: Kind) -> Result<String> {
    let class = "org.apache.zookeeper.server.auth.KeyAuthenticationProvider";
    let options = Options::default().property("zookeeper.authProvider.1", class);
    let (mut server, mut client) = start(kind, &options)?;
    let body = Body::new().string("/x").buffer(b"").int(1).int(31).string("key").int(-1).int(0);
    let reply = client.call(2, op::CREATE, &body).map(|reply| reply.err);
    let came = outcome(&mut server, reply)?;
    if came != ENDS {
        return Ok(came);
    }
    Ok(format!("{came}, and starts again: {}", server.launch().is_ok()))
}

fn set_acl(kind: Kind) -> Result<String> {
    let (_server, mut client) = start(kind, &Options::default())?;
    for n in 0..TRIES {
        made(&mut client, &format!("/n{n}"), b"")?;
        let read_only = Body::new().string(&format!("/n{n}")).int(1).int(1).string("world").string("anyone");
        let below = Body::create(&format!("/n{n}/below"), b"", 0);
        let burst = [request(2, op::SET_ACL, &read_only.int(-1)), request(3, op::CREATE, &below)];
        client.send_bytes(&burst.concat())?;
        ensure!(client.receive()?.err == 0, "the list is refused");
        match client.receive()?.err {
            -102 => {}
            0 => return Ok("at times the list before counts".to_owned()),
            code => bail!("code {code}"),
        }
    }
    Ok("the new list counts every time".to_owned())
}

/// A multi that lists the client's identities so often that it is several times as large as any record may be.
fn too_large(kind: Kind) -> Result<String> {
    let (mut server, mut client) = start(kind, &Options::default())?;
    for n in 0..40 {
        let credentials = format!("user-with-a-long-name-{n:04}:password");
        let proven = client.call(1, op::AUTH, &Body::auth("digest", credentials.as_bytes()))?;
        ensure!(proven.err == 0, "credentials: code {}", proven.err);
    }
    let multi = (0..300).fold(Body::new(), |body, n| {
        let part = part_of_multi(body, op::CREATE).string(&format!("/n{n}")).buffer(b"");
        (0..10).fold(part.int(10), |body, perms| body.int(perms + 1).string("auth").string("")).int(0)
    });
    let code = client.call(2, op::MULTI, &multi.int(-1).bool(true).int(-1))?.err;
    server.kill()?;
    Ok(format!("code {code}, and it starts again: {}", server.launch().is_ok()))
}

fn ephemeral_container(kind: Kind) -> Result<String> {
    let (_server, mut client) = start(kind, &Options::default())?;
    let container = part_of_multi(Body::new(), op::CREATE_CONTAINER).string("/c").buffer(b"");
    let child = part_of_multi(container.open_acl().int(EPHEMERAL), op::CREATE).string("/c/x").buffer(b"");
    let multi = child.open_acl().int(0).int(-1).bool(true).int(-1);
    let reply = client.call(2, op::MULTI, &multi).context("a multi")?;
    let has_child = is_there(&mut client, "/c/x")?;
    let refused = reply.body.windows(4).any(|code| code == (-108_i32).to_be_bytes());
    Ok(match (has_child, refused) {
        (true, false) => "it has a child".to_owned(),
        (false, true) => "it is refused a child".to_owned(),
        _ => bail!("has a child: {has_child}, refused: {refused}"),
    })
}
