//! Four-letter words whose answers are long, asked by clients that do not read them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context, Result, ensure};
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

const WATCHES: i32 = 200_000;
const WINDOW: i32 = 1000;

/// Resident memory of the server, in bytes.
fn resident(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn ask(server: &Server, word: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.addr())?;
    stream.write_all(word.as_bytes())?;
    Ok(stream)
}

fn path(number: i32) -> String {
    format!("/not-there-but-watched-{number:07}")
}

/// ZooKeeper CVE-2017-5637: `wchp` and `wchc`, asked again and again, stopped the server.
#[test]
fn unread_answers_take_no_memory_and_hold_up_nobody() -> Result<()> {
    let server = Server::start(Kind::Oxkeeper, &Options::default().line("maxClientCnxns=0"))?;
    let mut watching = Client::connect(server.addr(), 40_000)?;
    for number in 0..WATCHES + WINDOW {
        if number < WATCHES {
            watching.send(number + 1, op::EXISTS, &Body::path_and_watch(&path(number), true))?;
        }
        if number >= WINDOW {
            let reply = watching.receive()?;
            ensure!(reply.err == -101, "exists: code {}", reply.err);
        }
    }
    let before = resident(&server)?;
    let mut polite = Client::connect(server.addr(), 40_000)?;
    polite.call(1, op::CREATE, &Body::create("/polite", b"", 0))?;
    let unread = (0..30)
        .map(|number| ask(&server, ["wchp", "wchc", "dump"][number % 3]))
        .collect::<Result<Vec<_>>>()?;
    for xid in 2..500 {
        let reply = polite.call(xid, op::SET_DATA, &Body::set_data("/polite", b"x", -1))?;
        ensure!(reply.err == 0, "setData: code {}", reply.err);
    }
    let grown = resident(&server)?.saturating_sub(before);
    ensure!(grown < 32 << 20, "{grown} bytes more");
    // Those who go make place for one who reads.
    unread.iter().try_for_each(|stream| stream.shutdown(Shutdown::Both))?;
    drop(unread);
    for word in ["wchp", "wchc"] {
        let mut text = String::new();
        ask(&server, word)?.read_to_string(&mut text)?;
        let listed = text.lines().filter(|line| line.contains("/not-there-but-watched-")).count();
        ensure!(listed == WATCHES as usize, "{word} lists {listed} of {WATCHES}");
    }
    Ok(())
}
