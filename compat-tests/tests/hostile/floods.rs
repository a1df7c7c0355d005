//! Many of something small: identities, sessions, connections, questions of operators.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::hostile::{
    Arena, MEMORY_MAX, descriptors, eventually, eventually_within, mntr, raise_descriptors, scale,
};
use compat_tests::server::Options;
use compat_tests::wire::{Body, Client, op, request};

const BAD_VERSION: i32 = -103;

/// F2, F6: all identities of a connection were copied for each that was added: 30 s for 16,325 of them.
#[test]
fn thousands_of_identities_stop_nobody() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("identities")?;
    let (clients, each) = scale((3, 6_000), (3, 16_325));
    let floods: Vec<_> = (0..clients)
        .map(|client| {
            let addr = trial.addr();
            std::thread::spawn(move || -> Result<usize> {
                let mut client_of = Client::connect(addr, 30_000)?;
                let mut receiver = client_of.try_clone()?;
                let reader = std::thread::spawn(move || {
                    (0..each).take_while(|_| receiver.receive().is_ok_and(|reply| reply.err == 0)).count()
                });
                let requests: Vec<u8> = (0..each)
                    .flat_map(|n| {
                        let credentials = format!("user-{client}-{n}:x");
                        request(-4, op::AUTH, &Body::auth("digest", credentials.as_bytes()))
                    })
                    .collect();
                client_of.pour(&requests, Duration::from_secs(30))?;
                Ok(reader.join().expect("no panic"))
            })
        })
        .collect();
    for flood in floods {
        let proven = flood.join().expect("no panic")?;
        ensure!(proven > 1_000, "{proven} identities");
    }
    trial.end_within(MEMORY_MAX).map(drop)
}

/// Sessions that say nothing more: they take little, expire, and leave nothing.
#[test]
fn silent_sessions_expire_and_leave_nothing() -> Result<()> {
    raise_descriptors()?;
    let trial = Arena::open(&Options::default())?.begin("silent sessions")?;
    let pid = trial.arena.server.process_id()?;
    let open = descriptors(pid)?;
    let mut silent = Vec::new();
    for _ in 0..scale(1_000, 5_000) {
        silent.push(Client::connect(trial.addr(), 4_000)?);
    }
    eventually_within("they have expired", Duration::from_secs(30), || {
        Ok(descriptors(pid)? <= open + 1 && mntr(&trial.arena.server, "zk_num_alive_connections")? <= 4)
    })?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// Sessions opened and left without an end, as fast as it goes.
#[test]
fn sessions_opened_and_left_stop_nobody() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("sessions opened and left")?;
    for _ in 0..scale(5_000, 100_000) {
        Client::connect(trial.addr(), 4_000)?;
    }
    trial.end_within(scale(1, 3) * MEMORY_MAX).map(drop)
}

/// Connections that ask for nothing, or for half of something.
#[test]
fn connections_without_a_session_do_not_stay() -> Result<()> {
    raise_descriptors()?;
    let options = Options::default().property("zookeeper.nio.sessionlessCnxnTimeout", "3000");
    let trial = Arena::open(&options)?.begin("connections without a session")?;
    let pid = trial.arena.server.process_id()?;
    let open = descriptors(pid)?;
    let mut idle = Vec::new();
    for n in 0..scale(1_000, 5_000) {
        let mut stream = TcpStream::connect(trial.addr()).context("connect")?;
        // Nothing, a part of a length, a length, a part of a word or of a frame.
        stream.write_all([&b""[..], b"\0\0", b"\0\0\0\x2d", b"ru", b"\0\x0f\xff\xff\0\0\0\0"][n % 5])?;
        idle.push(stream);
        if n % 20 == 0 {
            std::thread::sleep(Duration::from_millis(5)); // the queue of the kernel is short
        }
    }
    eventually_within("they are closed", Duration::from_secs(20), || Ok(descriptors(pid)? <= open + 1))?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// F15: the answer to a word was made whole, under the lock of the watches, and kept for whoever does not read it.
#[test]
fn words_that_nobody_reads_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut watcher = Client::connect(arena.addr(), 40_000)?;
    let count = scale(100_000, 800_000);
    let mut receiver = watcher.try_clone()?;
    let reader = std::thread::spawn(move || (0..count).take_while(|_| receiver.receive().is_ok()).count());
    for chunk in 0..count / 1_000 {
        let requests: Vec<u8> = (0..1_000)
            .flat_map(|n| {
                let path = format!("/none/{}", chunk * 1_000 + n);
                request(n, op::EXISTS, &Body::path_and_watch(&path, true))
            })
            .collect();
        watcher.send_bytes(&requests)?;
    }
    ensure!(reader.join().expect("no panic") == count as usize, "not all watches were set");
    let trial = arena.begin("unread words")?;
    let pid = trial.arena.server.process_id()?;
    let open = descriptors(pid)?;
    let mut unread = Vec::new();
    for n in 0..30 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect(&trial.addr().into())?;
        let mut stream: TcpStream = socket.into();
        stream.write_all(if n % 2 == 0 { b"wchp" } else { b"wchc" })?;
        unread.push(stream);
    }
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..2 {
        ensure!(watcher.call(-2, op::PING, &Body::new())?.xid == -2, "the watcher is served");
    }
    eventually_within("whoever does not read is closed", Duration::from_secs(30), || {
        Ok(descriptors(pid)? <= open + 1)
    })?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// Words asked by many at once, and read.
#[test]
fn words_asked_all_the_time_stop_nobody() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("words")?;
    let server = &trial.arena.server;
    std::thread::scope(|scope| -> Result<()> {
        let askers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || -> Result<()> {
                    for word in ["mntr", "cons", "dump", "wchp", "conf", "stat"].iter().cycle().take(60) {
                        server.ask(word)?;
                    }
                    Ok(())
                })
            })
            .collect();
        askers.into_iter().try_for_each(|asker| asker.join().expect("no panic"))
    })?;
    eventually("its connections are gone", || Ok(mntr(server, "zk_num_alive_connections")? <= 3))?;
    trial.end_within(MEMORY_MAX).map(drop)
}

/// Thousands of connections that write at the same time.
#[test]
fn many_connections_that_write_at_once_stop_nobody() -> Result<()> {
    raise_descriptors()?;
    let trial = Arena::open(&Options::default())?.begin("many connections that write")?;
    let count = scale(500, 3_000);
    let mut clients = (0..count).map(|_| trial.client()).collect::<Result<Vec<_>>>()?;
    for (n, client) in clients.iter_mut().enumerate() {
        let created = client.call(1, op::CREATE, &Body::create(&format!("/by-{n}"), b"", 1))?;
        ensure!(created.err == 0, "{created:?}");
    }
    for round in 0..4 {
        for (n, client) in clients.iter_mut().enumerate() {
            let body = Body::set_data(&format!("/by-{n}"), b"x", round);
            let writes: Vec<u8> = (0..10).flat_map(|_| request(round, op::SET_DATA, &body)).collect();
            client.send_bytes(&writes)?;
        }
        // Of ten that expect the same version the first succeeds.
        for client in &mut clients {
            let answers: Vec<_> = (0..10).map(|_| Ok(client.receive()?.err)).collect::<Result<_>>()?;
            ensure!(answers[0] == 0 && answers[1..] == [BAD_VERSION; 9], "{answers:?}");
        }
    }
    drop(clients);
    trial.end_within(MEMORY_MAX).map(drop)
}

/// A client whose bytes come one by one.
#[test]
fn a_client_whose_bytes_trickle_is_served() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("bytes that trickle")?;
    let mut client = trial.client()?;
    client.stream().set_nodelay(true)?;
    for byte in request(7, op::CREATE, &Body::create("/trickled", b"data", 0)) {
        client.send_bytes(&[byte])?;
        std::thread::sleep(Duration::from_millis(5));
    }
    let created = client.receive()?;
    ensure!((created.xid, created.err) == (7, 0), "{created:?}");
    trial.end_within(MEMORY_MAX).map(drop)
}
