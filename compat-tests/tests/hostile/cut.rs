//! Clients that end, or stop reading, at each point: nothing of them is carried out by half, and nothing is left.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::hostile::{Arena, MEMORY_MAX, Trial, descriptors, eventually, eventually_within, mntr};
use compat_tests::server::Options;
use compat_tests::wire::{Body, Client, framed, hello, op, request};

/// How a client ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In order.
    Close,
    /// It sends no more, and still reads.
    HalfClose,
    /// At once, so that the server hears of it as an error.
    Reset,
}

const ENDS: [End; 3] = [End::Close, End::HalfClose, End::Reset];

fn end(stream: &TcpStream, how: End) -> Result<()> {
    match how {
        End::Close => {}
        // The server may have closed before.
        End::HalfClose => drop(stream.shutdown(Shutdown::Write)),
        End::Reset => socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).context("linger")?,
    }
    Ok(())
}

/// Everything that the ended connections had is gone.
fn nothing_is_left(trial: &Trial, open: usize) -> Result<()> {
    let server = &trial.arena.server;
    let pid = server.process_id()?;
    eventually("descriptors are closed", || Ok(descriptors(pid)? <= open + 1))?;
    eventually("watches are gone", || Ok(mntr(server, "zk_watch_count")? == 0))?;
    // Sessions of 4 s, in buckets of 2 s; the victim's node stays.
    eventually_within("ephemeral nodes are gone", Duration::from_secs(15), || {
        Ok(mntr(server, "zk_ephemerals_count")? == 1)
    })
}

fn begin(name: &str) -> Result<(Trial, usize)> {
    let trial = Arena::open(&Options::default())?.begin(name)?;
    let open = descriptors(trial.arena.server.process_id()?)?;
    Ok((trial, open))
}

/// Requests of each kind; the last part of each names its node.
fn kinds(node: &str) -> Vec<(&'static str, Vec<u8>)> {
    let create = Body::create(node, b"data", 1);
    let mut multi = Body::new().int(op::CREATE).bool(false).int(-1);
    multi.0.extend(&create.0);
    let multi = multi.int(-1).bool(true).int(-1);
    vec![
        ("create", request(1, op::CREATE, &create)),
        ("multi", request(1, op::MULTI, &multi)),
        ("setData", request(1, op::SET_DATA, &Body::set_data(node, b"more", -1))),
        ("exists with a watch", request(1, op::EXISTS, &Body::path_and_watch(node, true))),
        ("getData", request(1, op::GET_DATA, &Body::path_and_watch("/polite", true))),
        ("auth", request(-4, op::AUTH, &Body::auth("digest", b"user:password"))),
        ("ping", request(-2, op::PING, &Body::new())),
        ("closeSession", request(1, op::CLOSE_SESSION, &Body::new())),
    ]
}

#[test]
fn a_request_cut_at_any_byte_is_not_carried_out() -> Result<()> {
    let (trial, open) = begin("requests cut at each byte")?;
    let mut witness = trial.client()?;
    for how in ENDS {
        for (kind, bytes) in kinds("/cut") {
            for length in 0..bytes.len() {
                let mut client = Client::connect(trial.addr(), 4_000)?;
                client.send_bytes(&bytes[..length])?;
                end(client.stream(), how)?;
                if length % 8 == 0 {
                    drop(client);
                    let found = witness.call(1, op::EXISTS, &Body::path_and_watch("/cut", false))?;
                    ensure!(found.err == -101, "{kind} cut after {length} bytes was carried out");
                }
            }
        }
    }
    drop(witness);
    nothing_is_left(&trial, open)?;
    trial.end_within(MEMORY_MAX).map(drop)
}

#[test]
fn a_handshake_cut_at_any_byte_leaves_nothing() -> Result<()> {
    let (trial, open) = begin("handshakes cut at each byte")?;
    let bytes = framed(&hello(4_000, 0, &[0; 16], 0));
    for how in ENDS {
        for length in 0..=bytes.len() {
            let stream = TcpStream::connect(trial.addr()).context("connect")?;
            std::io::Write::write_all(&mut &stream, &bytes[..length])?;
            end(&stream, how)?;
        }
    }
    nothing_is_left(&trial, open)?;
    trial.end_within(MEMORY_MAX).map(drop)
}

#[test]
fn clients_that_end_inside_any_step_leave_nothing() -> Result<()> {
    let (trial, open) = begin("clients that end inside each step")?;
    for round in 0..10 {
        for how in ENDS {
            for (kind, bytes) in kinds(&format!("/step-{round}")) {
                // Between a request and its answer.
                let mut client = Client::connect(trial.addr(), 4_000)?;
                client.send_bytes(&bytes)?;
                end(client.stream(), how)?;
                drop(client);
                // With many of it under way, and one cut behind them.
                let mut client = Client::connect(trial.addr(), 4_000)?;
                client.send_bytes(&bytes.repeat(20))?;
                // Closed already by a closeSession.
                client.pour(&bytes[..bytes.len() / 2], Duration::from_millis(100))?;
                end(client.stream(), how)?;
                drop(client);
                // While events are on their way to it.
                let mut client = Client::connect(trial.addr(), 4_000)?;
                let watched = client.call(1, op::GET_DATA, &Body::path_and_watch("/polite", true))?;
                ensure!(watched.err == 0, "{kind}: {watched:?}");
                end(client.stream(), how)?;
            }
        }
    }
    nothing_is_left(&trial, open)?;
    trial.end_within(MEMORY_MAX).map(drop)
}

#[test]
fn a_client_that_stops_reading_at_any_reply_hurts_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let created = arena.client()?.call(1, op::CREATE, &Body::create("/data", &[b'x'; 300_000], 0))?;
    ensure!(created.err == 0, "{created:?}");
    let trial = arena.begin("clients that stop reading")?;
    let open = descriptors(trial.arena.server.process_id()?)?;
    let requests: Vec<u8> = (0..40)
        .flat_map(|xid| match xid % 4 {
            0 => request(xid, op::CREATE, &Body::create(&format!("/stop-{xid}"), b"", 1)),
            1 => request(xid, op::SET_DATA, &Body::set_data("/data", &[b'y'; 300_000], -1)),
            _ => request(xid, op::GET_DATA, &Body::path_and_watch("/data", true)),
        })
        .collect();
    let mut stopped = Vec::new();
    for point in 0..20 {
        let mut client = Client::connect(trial.addr(), 4_000)?;
        let mut sender = client.try_clone()?;
        let requests = requests.clone();
        let sending = std::thread::spawn(move || sender.pour(&requests, Duration::from_millis(300)));
        for _ in 0..point {
            client.receive().with_context(|| format!("a reply before {point}"))?;
        }
        sending.join().expect("no panic")?;
        stopped.push(client);
    }
    // None of them pings: they expire, though they do not read.
    eventually_within("they have expired", Duration::from_secs(20), || {
        Ok(mntr(&trial.arena.server, "zk_ephemerals_count")? == 1)
    })?;
    nothing_is_left(&trial, open)?;
    drop(stopped);
    trial.end_within(MEMORY_MAX).map(drop)
}
