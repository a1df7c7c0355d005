//! What reaches the operator: log lines, descriptors, the metrics port, the end of the server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::compare::judged;
use compat_tests::hostile::{Arena, eventually, mntr, plant, say, scale};
use compat_tests::server::{Kind, Options, free_port};
use compat_tests::wire::{Body, Client, framed, hello, op, request};

/// A bound of reason for a stop; how long it took is printed.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Clients that are worth a line in the log, of several kinds.
fn bad_clients(addr: SocketAddr, count: usize) -> Result<()> {
    for n in 0..count {
        if n % 3 == 0 {
            let mut client = Client::connect(addr, 10_000)?;
            client.send(-4, op::AUTH, &Body::auth(&format!("scheme-{n}"), b"x"))?;
            ensure!(client.receive()?.err == -115, "an unknown scheme");
            continue;
        }
        let mut stream = TcpStream::connect(addr).context("connect")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let first: &[u8] = if n % 3 == 1 { b"GET / HTTP/1.1\r\n\r\n" } else { b"\0\0\0\x04\0\0\0\0" };
        stream.write_all(first)?;
        let mut rest = Vec::new();
        // Closed or reset, as the kernel likes.
        let _end = stream.read_to_end(&mut rest);
    }
    Ok(())
}

/// F5: whoever read the log stood still: everything stood still.
#[test]
fn a_reader_of_the_log_that_stands_still_stops_nobody() -> Result<()> {
    let mut arena = Arena::open(&Options::default())?;
    let first = arena.server.log().len();
    arena.server.restart()?;
    // As much as a start says, and a little, still fits into the pipe.
    let room = arena.server.log().len() - first + 500;
    let filled = 65_536 - room;
    arena
        .relaunch_under(&format!(r#"exec > >(exec sleep 45) 2>&1; head -c {filled} /dev/zero; exec "$@""#))?;
    let trial = arena.begin("a reader of the log that stands still")?;
    bad_clients(trial.addr(), 60)?;
    trial.end().map(drop)
}

/// F16: 20 attempts with a scheme of a megabyte wrote 100 MB of log.
#[test]
fn what_clients_send_does_not_fill_the_log() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("a scheme of a megabyte")?;
    let before = trial.arena.server.log().len();
    let scheme = "s".repeat(1_000_000);
    for _ in 0..20 {
        let mut client = trial.client()?;
        client.send(-4, op::AUTH, &Body::auth(&scheme, b"x"))?;
        ensure!(client.receive()?.err == -115, "an unknown scheme");
    }
    let written = trial.arena.server.log().len() - before;
    let arena = trial.end()?;
    ensure!(judged() != Kind::Oxkeeper || written < 64 << 10, "{written} bytes of log");
    drop(arena);
    Ok(())
}

/// F16: each bad connection wrote a line.
#[test]
fn bad_connections_do_not_fill_the_log() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("bad connections")?;
    let before = trial.arena.server.log().len();
    let count = scale(3_000, 30_000);
    bad_clients(trial.addr(), count)?;
    let written = trial.arena.server.log().len() - before;
    let arena = trial.end()?;
    ensure!(judged() != Kind::Oxkeeper || written < count * 20, "{written} bytes of log for {count}");
    drop(arena);
    Ok(())
}

/// F10: connections took every descriptor, and the next file of the log ended the server.
#[test]
fn connections_leave_descriptors_for_files() -> Result<()> {
    let options = Options::default().property("zookeeper.snapCount", "100");
    let arena = Arena::open_under(&options, r#"ulimit -n 200; exec "$@""#)?;
    let directory = arena.server.data_dir().join("version-2");
    let snapshots = || -> Result<usize> {
        let names = fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| name.to_string_lossy().starts_with("snapshot.")).count())
    };
    let trial = arena.begin("connections for every descriptor")?;
    let before = snapshots()?;
    let mut taken = Vec::new();
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        // A part of them asks for a session. What is not taken, or closed at once, is as well.
        if taken.len() < 400 {
            let Ok(mut stream) = TcpStream::connect_timeout(&trial.addr(), Duration::from_millis(200)) else {
                continue;
            };
            if taken.len() % 2 == 0 {
                let _closed_already = stream.write_all(&framed(&hello(30_000, 0, &[0; 16], 0)));
            }
            taken.push(stream);
        } else {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    ensure!(snapshots()? > before, "no snapshot was taken meanwhile, so no log began");
    drop(taken);
    eventually("a new client is served", || Ok(trial.client().is_ok()))?;
    trial.end().map(drop)
}

/// F17: 40 requests sent by half blinded the metrics port for 10 s.
#[test]
fn half_sent_requests_do_not_blind_the_metrics() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let port = free_port()?;
    let options = Options::default()
        .line("metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
        .line("metricsProvider.httpHost=127.0.0.1")
        .line(&format!("metricsProvider.httpPort={port}"));
    let trial = Arena::open(&options)?.begin("half a request for metrics")?;
    let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut half = Vec::new();
    for n in 0..scale(100, 400) {
        // Of another host than whoever scrapes.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
        socket.connect(&metrics.into()).context("connect to the metrics port")?;
        let mut stream: TcpStream = socket.into();
        // Closed already, if there are too many of it.
        let _taken = stream.write_all(if n % 2 == 0 { b"GET /metrics HTTP/1.1\r\nHost:" } else { b"" });
        half.push(stream);
    }
    let asked = Instant::now();
    let text = scrape(metrics)?;
    say(&format!(
        "hostile half a request for metrics: a scrape took {:.1} ms",
        asked.elapsed().as_secs_f64() * 1e3
    ));
    ensure!(text.contains("znode_count"), "{text}");
    trial.end().map(drop)
}

fn scrape(addr: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(addr).context("connect to scrape")?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).context("a scrape was not answered")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// F18: a snapshot had to be written to its end before the server stopped.
#[test]
fn a_snapshot_under_way_does_not_delay_the_end() -> Result<()> {
    let options = Options::default().property("zookeeper.snapCount", "4000");
    let mut arena = Arena::open(&options)?;
    let mut client = arena.client()?;
    let nodes = scale(500_000, 5_000_000);
    plant(&mut client, nodes)?;
    let body = Body::set_data("/tree", b"x", -1);
    let requests: Vec<u8> = (0..6_000).flat_map(|xid| request(xid, op::SET_DATA, &body)).collect();
    client.send_bytes(&requests)?;
    for _ in 0..6_000 {
        ensure!(client.receive()?.err == 0, "a write failed");
    }
    let before = mntr(&arena.server, "zk_znode_count")?;
    stop_in_time(&mut arena, "a snapshot under way")?;
    arena.server.launch()?;
    ensure!(mntr(&arena.server, "zk_znode_count")? == before, "nodes are missing");
    Ok(())
}

/// F18: a client that asked for the size of subtrees delayed the end by 28 s.
#[test]
fn a_client_with_dear_questions_does_not_delay_the_end() -> Result<()> {
    let mut arena = Arena::open(&Options::default())?;
    plant(&mut arena.client()?, scale(300_000, 1_000_000))?;
    let mut client = arena.client()?;
    let body = Body::new().string("/tree");
    let requests: Vec<u8> =
        (0..6_000).flat_map(|xid| request(xid, op::GET_ALL_CHILDREN_NUMBER, &body)).collect();
    client.pour(&requests, Duration::from_secs(1))?;
    stop_in_time(&mut arena, "dear questions")
}

/// Clients that do not read, and a client that waits: neither keeps the server.
#[test]
fn clients_that_do_not_read_do_not_delay_the_end() -> Result<()> {
    let mut arena = Arena::open(&Options::default())?;
    let mut client = arena.client()?;
    ensure!(client.call(1, op::CREATE, &Body::create("/large", &[b'x'; 1_000_000], 0))?.err == 0, "/large");
    let reads: Vec<u8> =
        (0..50).flat_map(|xid| request(xid, op::GET_DATA, &Body::path_and_watch("/large", false))).collect();
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut client = arena.client()?;
        client.pour(&reads, Duration::from_millis(100))?;
        unread.push(client);
    }
    stop_in_time(&mut arena, "clients that do not read")
}

/// A log file cut while it is mapped: the server ends with an error that names it, and by no signal.
#[test]
fn a_log_file_cut_under_the_server_is_a_named_error() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let mut arena = Arena::open(&Options::default())?;
    let mut client = arena.client()?;
    ensure!(client.call(1, op::CREATE, &Body::create("/x", b"", 0))?.err == 0, "/x");
    let log = arena.server.data_dir().join("version-2/log.1");
    fs::File::options().write(true).open(&log)?.set_len(4096)?;
    let body = Body::set_data("/x", &[b'x'; 100], -1);
    for xid in 0..100 {
        // Until the server ends.
        if client.call(xid, op::SET_DATA, &body).is_err() {
            break;
        }
    }
    let code = arena.server.wait_for_end()?;
    let said = arena.server.log();
    ensure!(code == Some(1), "ended with {code:?}:\n{said}");
    ensure!(said.contains("log.1"), "the file is not named:\n{said}");
    Ok(())
}

fn stop_in_time(arena: &mut Arena, name: &str) -> Result<()> {
    let begun = Instant::now();
    arena.server.stop()?;
    let took = begun.elapsed();
    say(&format!("hostile {name}: stopped in {:.0} ms", took.as_secs_f64() * 1e3));
    ensure!(judged() != Kind::Oxkeeper || took < STOP_MAX, "stopped only after {took:?}");
    Ok(())
}
