//! Clients that take every file descriptor leave the server those it needs for its files.

use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

/// A server whose shell has set a limit before it.
fn server_limited(limit: &str) -> Result<Server> {
    let options = Options::default().line("maxClientCnxns=0").line("snapCount=100").line("preAllocSize=64");
    let mut server = Server::start(Kind::Oxkeeper, &options)?;
    server.stop()?;
    server.run_under(["sh", "-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")].map(Into::into).to_vec());
    server.launch()?;
    Ok(server)
}

fn files(server: &Server, prefix: &str) -> Result<usize> {
    let entries = std::fs::read_dir(server.data_dir().join("version-2"))?;
    Ok(entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count())
}

#[test]
fn connections_that_use_up_descriptors_end_neither_log_nor_snapshots() -> Result<()> {
    let mut server = server_limited("-n 128")?;
    let mut client = Client::connect(server.addr(), 30_000)?;
    let (logs, snapshots) = (files(&server, "log.")?, files(&server, "snapshot.")?);
    let idle: Vec<_> = (0..300).map(|_| TcpStream::connect(server.addr())).collect::<Result<_, _>>()?;
    for number in 1..=1000 {
        let path = format!("/node-{number}");
        let reply = client.call(number, op::CREATE, &Body::create(&path, b"data", 0))?;
        ensure!(reply.err == 0, "create {number}: code {}", reply.err);
    }
    ensure!(server.alive(), "the server has ended");
    ensure!(files(&server, "log.")? > logs + 1, "no new log files");
    ensure!(files(&server, "snapshot.")? > snapshots + 1, "no new snapshots");
    drop(idle);
    let mut asked = None;
    for _ in 0..100 {
        // The server sees one by one that they are gone.
        asked = server.ask("mntr").ok().filter(|answer| answer.contains("zk_connection_rejected"));
        if asked.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let answer = asked.context("nobody is let in any more")?;
    ensure!(!answer.contains("zk_connection_rejected\t0\n"), "{answer}");
    let log = server.log();
    ensure!(log.contains("the system lets this process have 128 open files (ulimit -n)"), "{log}");
    Ok(())
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> Result<()> {
    let server = server_limited("-Sn 100 && ulimit -Hn 400")?;
    let answer = server.ask("mntr")?;
    ensure!(answer.contains("zk_max_file_descriptor_count\t400\n"), "{answer}");
    Ok(())
}
