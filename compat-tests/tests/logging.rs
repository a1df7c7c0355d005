//! What is said to operators: a log that is read by a program which hangs, or dies, harms neither the server nor its clients,
//! and a server that is asked how it stands (`kill -3`) says so and goes on.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::systems::until;
use compat_tests::wire::{Body, Client, op};

/// More lines than a pipe holds: each of these connections is worth two.
const CONNECTIONS: usize = 1500;

/// A server whose output goes into a pipe; the other end is returned.
fn server_into_pipe(directory: &std::path::Path) -> Result<(Server, File)> {
    let pipe = directory.join("log.pipe");
    artifacts::run(Command::new("mkfifo").arg(&pipe))?;
    // For both directions: otherwise this would wait for the server, and the server for this.
    let reader = File::options().read(true).write(true).open(&pipe).context("open the pipe")?;
    let mut server = Server::start(
        Kind::Oxkeeper,
        &Options { environment: vec![("OXKEEPER_LOG".into(), "debug".into())], ..Options::default() },
    )?;
    server.stop()?;
    let redirected = format!("exec \"$0\" \"$@\" > '{}' 2>&1", pipe.display());
    server.run_under(["sh", "-c", &redirected].map(Into::into).to_vec());
    server.launch()?;
    Ok((server, reader))
}

/// Lets the server write lines, each for a connection of its own.
fn provoke(server: &Server, connections: usize) -> Result<()> {
    for _ in 0..connections {
        let mut stream = TcpStream::connect(server.addr())?;
        stream.write_all(&[0x7f, 0xff, 0xff, 0xff])?;
        let mut nothing = Vec::new();
        // Closed in order or reset: it is over either way.
        let _closed = stream.read_to_end(&mut nothing);
        drop(TcpStream::connect(server.addr())?);
    }
    Ok(())
}

/// Another client writes and reads as if nothing were.
fn serves(server: &mut Server, path: &str) -> Result<()> {
    ensure!(server.alive(), "the server has ended");
    let mut client = Client::connect(server.addr(), 10_000)?;
    let reply = client.call(1, op::CREATE, &Body::create(path, b"data", 0))?;
    ensure!(reply.err == 0, "create: code {}", reply.err);
    let reply = client.call(2, op::GET_DATA, &Body::path_and_watch(path, false))?;
    ensure!(reply.err == 0, "getData: code {}", reply.err);
    Ok(())
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (mut server, mut reader) = server_into_pipe(directory.path())?;
    provoke(&server, CONNECTIONS)?;
    serves(&mut server, "/a")?;
    server.stop()?;
    // The first lines are in the pipe.
    let mut text = vec![0; 64 << 10];
    let count = reader.read(&mut text)?;
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    ensure!(text.contains(" INFO Oxkeeper "), "{text}");
    ensure!(text.contains("closing connection: a frame of 2147483647 bytes"), "{text}");
    Ok(())
}

#[test]
fn a_log_whose_reader_dies_ends_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (mut server, reader) = server_into_pipe(directory.path())?;
    serves(&mut server, "/before")?;
    drop(reader);
    provoke(&server, 50)?;
    serves(&mut server, "/after")?;
    server.stop()
}

#[test]
fn what_a_client_sends_is_not_logged_whole() -> Result<()> {
    let server = Server::start(Kind::Oxkeeper, &Options::default())?;
    let scheme = "s".repeat(1_000_000);
    for _ in 0..20 {
        let mut client = Client::connect(server.addr(), 10_000)?;
        let credentials = Body::new().int(0).string(&scheme).buffer(b"x");
        let reply = client.call(-4, op::AUTH, &credentials)?;
        ensure!(reply.err == -115, "code {}", reply.err);
    }
    let log = server.log();
    ensure!(log.contains("authentication refused: no scheme \"sss"), "{log}");
    ensure!(log.len() < 20_000, "{} bytes of log", log.len());
    Ok(())
}

/// `kill -3`: a JVM prints its threads. Both go on with the clients that they have.
#[test]
fn a_server_that_is_asked_how_it_stands_says_so_and_goes_on() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for (kind, says) in [
        (Kind::Apache(REFERENCE), "Full thread dump"),
        (
            judged(),
            if judged() == Kind::Oxkeeper { "SIGQUIT: this server goes on" } else { "Full thread dump" },
        ),
    ] {
        // Whoever has silenced the log has asked for this all the same.
        let silent = vec![("OXKEEPER_LOG".into(), "error".into())];
        let mut server = Server::start(kind, &Options { environment: silent, ..Options::default() })?;
        let mut client = Client::connect(server.addr(), 10_000)?;
        ensure!(client.call(1, op::CREATE, &Body::create("/a", b"data", 0))?.err == 0, "{kind}: create");
        for times in 1..=2 {
            server.signal("QUIT")?;
            until("it has said how it stands", Duration::from_secs(30), || {
                Ok((server.log().matches(says).count() >= times).then_some(()))
            })
            .with_context(|| format!("{kind}, whose log is:\n{}", server.log()))?;
        }
        let reply = client.call(2, op::GET_DATA, &Body::path_and_watch("/a", false))?;
        ensure!(reply.err == 0, "{kind}: getData: code {}", reply.err);
        serves(&mut server, "/b").with_context(|| format!("{kind} after SIGQUIT"))?;
        if kind == Kind::Oxkeeper {
            let log = server.log();
            ensure!(log.contains("; mode: standalone; serves clients: yes; last zxid: 0x2\n"), "{log}");
            ensure!(log.contains("SIGQUIT: connections: 1, by secureClientPort: 0; "), "{log}");
        }
        server.stop()?;
    }
    Ok(())
}
