//! What a client can still do after the server has ended it: nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::compare::side_by_side;
use compat_tests::hostile::{Arena, anonymous_bytes, descriptors, eventually, mntr};
use compat_tests::results::Case;
use compat_tests::server::{Options, Server};
use compat_tests::wire::{Body, Client, Reply, op, request};

const MIB: usize = 1_000_000;
const UNIMPLEMENTED: i32 = -6;
const NO_NODE: i32 = -101;
const SESSION_EXPIRED: i32 = -112;

fn case(name: &str, what: &str) -> Case {
    Case::new(&format!("hostile-{name}"), "hostile clients", what)
}

fn exists(client: &mut Client, path: &str) -> Result<i32> {
    Ok(client.call(1, op::EXISTS, &Body::path_and_watch(path, false))?.err)
}

/// Fills what lies between the server and a client that does not read.
fn clog(client: &mut Client) -> Result<()> {
    let reads: Vec<u8> =
        (0..20).flat_map(|xid| request(xid, op::GET_DATA, &Body::path_and_watch("/large", false))).collect();
    client.send_bytes(&reads)?;
    std::thread::sleep(Duration::from_millis(300));
    Ok(())
}

fn large_node(server: &Server) -> Result<Client> {
    let mut client = Client::connect(server.addr(), 30_000)?;
    let created = client.call(1, op::CREATE, &Body::create("/large", &vec![b'x'; MIB], 0))?;
    ensure!(created.err == 0, "{created:?}");
    Ok(client)
}

/// F3: the old connection of a session that has moved, with replies that it does not read, could still write.
#[test]
fn the_old_connection_of_a_moved_session_cannot_write() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&case("moved", "a moved session's old connection"), &Options::default(), |server| {
        let mut witness = large_node(server)?;
        let mut old = Client::connect(server.addr(), 20_000)?;
        clog(&mut old)?;
        let mut new = Client::reconnect(server.addr(), 20_000, old.session, &old.password, 0)?;
        ensure!(new.session == old.session, "the session did not move");
        let mine = new.call(1, op::CREATE, &Body::create("/new", b"", 1))?;
        ensure!(mine.err == 0, "{mine:?}");
        old.pour(&request(50, op::CREATE, &Body::create("/old", b"", 0)), Duration::from_secs(1))?;
        old.pour(&request(51, op::DELETE, &Body::new().string("/large").int(-1)), Duration::from_secs(1))?;
        std::thread::sleep(Duration::from_millis(500));
        let mut transcript =
            format!("{} {}\n", exists(&mut witness, "/old")?, exists(&mut witness, "/large")?);
        // Now it reads: what was on its way, perhaps, and the end.
        let ended = loop {
            match old.receive() {
                Ok(reply) if reply.xid >= 50 && reply.err == 0 => break "carried out",
                Ok(_) => {}
                Err(_) => break "closed",
            }
        };
        transcript.push_str(&format!(
            "{ended}; {} {}; the new one: {}\n",
            exists(&mut witness, "/old")?,
            exists(&mut witness, "/large")?,
            exists(&mut new, "/new")?
        ));
        ensure!(transcript == "-101 0\nclosed; -101 0; the new one: 0\n", "{transcript}");
        Ok(transcript)
    })
}

/// F3: the same where all is sent before the session moves, so that it waits in the server.
#[test]
fn what_a_moved_session_had_sent_before_is_not_carried_out_later() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut witness = large_node(&arena.server)?;
    let mut old = Client::connect(arena.addr(), 20_000)?;
    clog(&mut old)?;
    // Behind the replies that nobody reads.
    old.pour(&request(50, op::CREATE, &Body::create("/old", b"", 0)), Duration::from_secs(1))?;
    std::thread::sleep(Duration::from_millis(200));
    let carried_out_before = exists(&mut witness, "/old")? == 0;
    let new = Client::reconnect(arena.addr(), 20_000, old.session, &old.password, 0)?;
    ensure!(new.session == old.session, "the session did not move");
    while old.receive_frame().is_ok() {}
    std::thread::sleep(Duration::from_millis(200));
    ensure!((exists(&mut witness, "/old")? == 0) == carried_out_before, "a create of the old connection");
    Ok(())
}

/// F3: the connection of an expired session that does not read kept its watches, its memory and its descriptor.
#[test]
fn the_connection_of_an_expired_session_keeps_nothing() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut witness = large_node(&arena.server)?;
    let pid = arena.server.process_id()?;
    let (open, memory) = (descriptors(pid)?, anonymous_bytes(pid)?);
    let mut expiring = Vec::new();
    for n in 0..10 {
        let mut client = Client::connect(arena.addr(), 4_000)?;
        let mine = client.call(1, op::CREATE, &Body::create(&format!("/mine-{n}"), b"", 1))?;
        ensure!(mine.err == 0, "{mine:?}");
        let watch = client.call(2, op::EXISTS, &Body::path_and_watch("/none", true))?;
        ensure!(watch.err == NO_NODE, "{watch:?}");
        clog(&mut client)?;
        expiring.push(client);
    }
    for n in 0..10 {
        let path = format!("/mine-{n}");
        eventually("its session has expired", || Ok(exists(&mut witness, &path)? == NO_NODE))?;
    }
    eventually("its watches are gone", || Ok(mntr(&arena.server, "zk_watch_count")? == 0))?;
    eventually("its descriptor is closed", || Ok(descriptors(pid)? <= open + 1))?;
    eventually("its memory is back", || Ok(anonymous_bytes(pid)? < memory + (16 << 20)))?;
    // And what it says now is not heard.
    for client in &mut expiring {
        client.pour(&request(60, op::CREATE, &Body::create("/late", b"", 0)), Duration::from_millis(100))?;
    }
    std::thread::sleep(Duration::from_millis(200));
    ensure!(exists(&mut witness, "/late")? == NO_NODE, "an expired session wrote");
    Ok(())
}

/// F8: every client could delete every node without children by an operation meant for the server itself.
#[test]
fn clients_cannot_send_the_servers_own_deletes() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut owner = arena.client()?;
    let secured =
        Body::new().string("/plain").buffer(b"").int(1).int(1).string("world").string("anyone").int(0);
    ensure!(owner.call(1, op::CREATE, &secured)?.err == 0, "/plain");
    let container = Body::create("/container", b"", 4);
    ensure!(owner.call(2, op::CREATE_CONTAINER, &container)?.err == 0, "/container");
    for path in ["/plain", "/container", "/none"] {
        let mut client = arena.client()?;
        let reply = client.call(7, op::DELETE_CONTAINER, &Body::new().string(path))?;
        ensure!((reply.xid, reply.err) == (7, UNIMPLEMENTED), "{path}: {reply:?}");
        ensure!(client.receive_frame().is_err(), "{path}: the connection is still open");
    }
    ensure!(exists(&mut owner, "/plain")? == 0 && exists(&mut owner, "/container")? == 0, "a node is gone");
    Ok(())
}

/// F9: what stands behind a failed authentication was carried out.
#[test]
fn nothing_behind_a_failed_authentication_is_carried_out() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&case("auth", "requests behind a failed authentication"), &Options::default(), |server| {
        let mut witness = Client::connect(server.addr(), 20_000)?;
        ensure!(witness.call(1, op::CREATE, &Body::create("/before", b"", 0))?.err == 0, "/before");
        let mut transcript = String::new();
        for n in 0..10 {
            let mut client = Client::connect(server.addr(), 20_000)?;
            let path = format!("/behind-{n}");
            let mut bytes = request(-4, op::AUTH, &Body::auth("nope", b"x"));
            bytes.extend(request(2, op::CREATE, &Body::create(&path, b"", 0)));
            bytes.extend(request(3, op::GET_DATA, &Body::path_and_watch("/before", false)));
            client.send_bytes(&bytes)?;
            transcript.push_str(&format!("{:?}; ", answers(&mut client)));
            std::thread::sleep(Duration::from_millis(50));
            transcript.push_str(&format!("{}\n", exists(&mut witness, &path)?));
        }
        Ok(transcript)
    })
}

/// F9: a read behind the end of the session was answered.
#[test]
fn nothing_behind_the_end_of_a_session_is_answered() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&case("close", "requests behind closeSession"), &Options::default(), |server| {
        let mut witness = Client::connect(server.addr(), 20_000)?;
        let mut transcript = String::new();
        for n in 0..10 {
            let mut client = Client::connect(server.addr(), 20_000)?;
            let path = format!("/behind-{n}");
            let mut bytes = request(1, op::CLOSE_SESSION, &Body::new());
            bytes.extend(request(2, op::GET_DATA, &Body::path_and_watch("/", false)));
            bytes.extend(request(3, op::CREATE, &Body::create(&path, b"", 0)));
            bytes.extend(request(-2, op::PING, &Body::new()));
            client.send_bytes(&bytes)?;
            // Now and then the reference says to some of it that the session has expired.
            let mut answers = answers(&mut client);
            answers.retain(|(_, err)| *err != SESSION_EXPIRED);
            transcript.push_str(&format!("{answers:?}; {}\n", exists(&mut witness, &path)?));
        }
        witness.call(1, op::CREATE, &Body::create("/written", b"", 0)).context("the witness")?;
        Ok(transcript)
    })
}

/// Xid and code of each reply until the end.
fn answers(client: &mut Client) -> Vec<(i32, i32)> {
    std::iter::from_fn(|| client.receive().ok()).map(|Reply { xid, err, .. }| (xid, err)).collect()
}
