//! One client without rights that wants all the memory: replies that nobody reads, replies being built, requests
//! that wait, events.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use compat_tests::hostile::{
    Arena, MEMORY_MAX, MEMORY_OF_ALL_MAX, Trial, eventually, mntr, raise_descriptors, scale,
};
use compat_tests::server::Options;
use compat_tests::wire::{Body, Client, framed, op, request};

const MIB: usize = 1_000_000;
/// How long a client waits for the server to take more before it gives up sending.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a client that reads nothing stays.
const STAYS: Duration = Duration::from_secs(3);

/// A server with a node of a megabyte.
fn with_large_node(name: &str) -> Result<Trial> {
    let arena = Arena::open(&Options::default())?;
    let created = arena.client()?.call(1, op::CREATE, &Body::create("/large", &vec![b'x'; MIB], 0))?;
    ensure!(created.err == 0, "{created:?}");
    arena.begin(name)
}

fn get(xid: i32, path: &str) -> Vec<u8> {
    request(xid, op::GET_DATA, &Body::path_and_watch(path, false))
}

/// Sends all of it, reads nothing, stays a while, and goes.
fn pour_and_stay(client: &mut Client, bytes: &[u8]) -> Result<()> {
    let stay = Instant::now() + STAYS;
    client.pour(bytes, PATIENCE)?;
    std::thread::sleep(stay.saturating_duration_since(Instant::now()));
    Ok(())
}

/// F1: 63 KB of requests took 1.1 GiB.
#[test]
fn unread_replies_do_not_exhaust_memory() -> Result<()> {
    let trial = with_large_node("unread replies")?;
    let requests: Vec<u8> = (0..3_000).flat_map(|xid| get(xid, "/large")).collect();
    pour_and_stay(&mut trial.client()?, &requests)?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// F1: what had been received already was answered also after the client had left: 4.5 GiB.
#[test]
fn a_full_input_buffer_is_not_answered_into_memory() -> Result<()> {
    let trial = with_large_node("unread replies to a grown buffer")?;
    let mut client = trial.client()?;
    // A large frame first: the buffer for it keeps its size.
    let mut requests = request(1, op::SET_DATA, &Body::set_data("/none", &vec![0; MIB], -1));
    requests.extend((2..40_000).flat_map(|xid| get(xid, "/large")));
    pour_and_stay(&mut client, &requests)?;
    drop(client);
    std::thread::sleep(Duration::from_secs(1));
    trial.end_within(MEMORY_MAX).map(drop)
}

/// F1: many such clients at once; the bound is the server's and not the connection's.
#[test]
fn many_clients_that_do_not_read_share_one_bound() -> Result<()> {
    let trial = with_large_node("unread replies of many")?;
    let requests: Vec<u8> = (0..200).flat_map(|xid| get(xid, "/large")).collect();
    let mut clients = Vec::new();
    for _ in 0..scale(40, 400) {
        let mut client = trial.client()?;
        client.pour(&requests, Duration::from_millis(100))?;
        clients.push(client);
    }
    // At the bound, what ends something or comes back still gets through.
    let mut first = trial.client()?;
    for (code, body) in [
        (op::CREATE, Body::create("/short-lived", b"", 0)),
        (op::DELETE, Body::new().string("/short-lived").int(-1)),
        (op::PING, Body::new()),
    ] {
        let reply = first.call(-2, code, &body)?;
        ensure!(reply.err == 0, "op {code}: {reply:?}");
    }
    let mut back = Client::reconnect(trial.addr(), 30_000, first.session, &first.password, 0)?;
    ensure!(back.session == first.session, "a returning session was refused");
    ensure!(back.call(1, op::CLOSE_SESSION, &Body::new())?.err == 0, "a session could not end");
    std::thread::sleep(STAYS);
    drop(clients);
    trial.end_within(MEMORY_OF_ALL_MAX).map(drop)
}

/// Large writes of many clients, all on their way at once.
#[test]
fn waiting_requests_share_one_bound() -> Result<()> {
    let trial = with_large_node("waiting requests of many")?;
    let body = Body::set_data("/large", &vec![b'y'; MIB], -1);
    let requests: Vec<u8> = (0..4).flat_map(|xid| request(xid, op::SET_DATA, &body)).collect();
    let mut clients = (0..scale(60, 600)).map(|_| trial.client()).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.pour(&requests, Duration::from_secs(10)));
        }
    });
    std::thread::sleep(STAYS);
    drop(clients);
    trial.end_within(MEMORY_OF_ALL_MAX).map(drop)
}

/// Frames of which the last byte never comes, from clients that nobody knows yet.
/// Consul of 2025, where the length of a body had no bound.
#[test]
fn half_sent_frames_share_one_bound() -> Result<()> {
    raise_descriptors()?;
    let trial = with_large_node("half-sent frames of many")?;
    let frame = framed(&vec![0; MIB]);
    let mut streams = Vec::new();
    for _ in 0..scale(400, 2_000) {
        let mut stream = TcpStream::connect(trial.addr())?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        // Not taken whole, or refused, at the bound.
        let _taken = stream.write_all(&frame[..MIB - 1]);
        streams.push(stream);
    }
    std::thread::sleep(STAYS);
    drop(streams);
    trial.end_within(MEMORY_OF_ALL_MAX).map(drop)
}

/// F1: 60 multiReads with 64 such reads each took 1.7 GiB.
#[test]
fn a_reply_counts_while_it_is_built() -> Result<()> {
    let trial = with_large_node("multiReads")?;
    let mut reads = Body::new();
    for _ in 0..64 {
        reads = reads.int(op::GET_DATA).bool(false).int(-1).string("/large").bool(false);
    }
    let reads = reads.int(-1).bool(true).int(-1);
    let requests: Vec<u8> = (0..60).flat_map(|xid| request(xid, op::MULTI_READ, &reads)).collect();
    pour_and_stay(&mut trial.client()?, &requests)?;
    // One reply is as large as its request asks for: 64 MB here, whatever is bounded beside it.
    trial.end_within(2 * MEMORY_MAX).map(drop)
}

/// F1: a write and a thousand reads behind it took 963 MiB.
#[test]
fn reads_behind_a_write_are_bounded_by_their_replies() -> Result<()> {
    let trial = with_large_node("reads behind a write")?;
    let mut requests = request(1, op::CREATE, &Body::create("/small", b"", 0));
    requests.extend((2..1_002).flat_map(|xid| get(xid, "/large")));
    pour_and_stay(&mut trial.client()?, &requests)?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// A client that reads late still gets every reply, in order, through all the bounds.
#[test]
fn a_late_reader_gets_every_reply_in_order() -> Result<()> {
    let trial = with_large_node("a late reader")?;
    let mut client = trial.client()?;
    let mut requests = Vec::new();
    for xid in 0..100 {
        match xid % 10 {
            3 => requests.extend(request(
                xid,
                op::SET_DATA,
                &Body::set_data("/large", &vec![b'y'; MIB / 50], -1),
            )),
            4 => requests.extend(request(xid, op::SET_DATA, &Body::set_data("/large", &vec![b'x'; MIB], -1))),
            _ => requests.extend(get(xid, "/large")),
        }
    }
    let mut sender = client.try_clone()?;
    let sending = std::thread::spawn(move || sender.pour(&requests, Duration::from_secs(30)));
    std::thread::sleep(STAYS);
    for xid in 0..100 {
        let reply = client.receive()?;
        ensure!(reply.xid == xid && reply.err == 0, "{xid}: xid {} err {}", reply.xid, reply.err);
        let large = if xid % 10 == 4 { MIB / 50 } else { MIB };
        ensure!([3, 4].contains(&(xid % 10)) || reply.first_buffer()?.len() == large, "{xid}");
    }
    sending.join().expect("no panic")?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// Events that nobody reads: their connection is closed, and nobody else is.
#[test]
fn unread_events_end_their_connection() -> Result<()> {
    const PERSISTENT: i32 = 0;
    let trial = with_large_node("unread events")?;
    let mut writer = trial.client()?;
    let path = format!("/{}", "p".repeat(MIB / 4));
    let created = writer.call(1, op::CREATE, &Body::create(&path, b"", 0))?;
    ensure!(created.err == 0, "{created:?}");
    let mut watcher = trial.client()?;
    let added = watcher.call(1, op::ADD_WATCH, &Body::new().string(&path).int(PERSISTENT))?;
    ensure!(added.err == 0, "{added:?}");
    for n in 0..300 {
        let set = writer.call(n, op::SET_DATA, &Body::set_data(&path, b"", -1))?;
        ensure!(set.err == 0, "{set:?}");
    }
    eventually("its watches are gone", || Ok(mntr(&trial.arena.server, "zk_watch_count")? == 0))?;
    while watcher.receive_frame().is_ok() {}
    trial.end_within(MEMORY_MAX).map(drop)
}

/// A million watches of one client: bounded, and gone with it.
#[test]
fn watches_of_one_client_are_bounded_and_go_with_it() -> Result<()> {
    let trial = with_large_node("watches")?;
    let mut client = trial.client()?;
    let mut receiver = client.try_clone()?;
    let count = scale(100_000, 1_000_000);
    let reader =
        std::thread::spawn(move || (0..count).take_while(|_| receiver.receive_frame().is_ok()).count());
    for n in 0..count {
        // Each on a node of its own that does not exist.
        let body = Body::path_and_watch(&format!("/none/{n}"), true);
        if client.send(n, op::EXISTS, &body).is_err() {
            break;
        }
    }
    let answered = reader.join().expect("no panic");
    ensure!(answered > 50_000, "{answered} answers");
    drop(client);
    eventually("its watches are gone", || Ok(mntr(&trial.arena.server, "zk_watch_count")? == 0))?;
    trial.end_within(scale(1, 4) * MEMORY_MAX).map(drop)
}
