//! Exceptions that a member of an ensemble shows.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::log_files::{Ending, records};
use compat_tests::seat::Seat;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, hello, op, request};

use super::Case;

/// Without an answer for so long there will be none.
const SILENCE: Duration = Duration::from_secs(8);
/// Failing transactions; of the reference's follower, which logs some in one way and some in the other.
const FAILURES: i32 = 400;
/// How often they are sent until one is logged in the other way: one of two thousand was, on a busy machine.
const BURSTS_MAX: usize = 60;
/// How often something is tried that must fall between two pings.
const TRIES: usize = 5;
const TICK_MS: u32 = 1000;
const SHORT_MS: i32 = 2 * TICK_MS as i32;
const LONG_MS: i32 = 20 * TICK_MS as i32;

pub(super) const CASES: [Case; 3] = [
    Case {
        name: "undecodable-write-of-a-member",
        play: undecodable_write,
        reference: "no answer; no answer to the next write",
        ours: "code -5; code 0 to the next write",
    },
    Case {
        name: "failed-multi-of-a-member",
        play: failed_multi,
        reference: "some failed transactions are logged otherwise than they were proposed",
        ours: "failed transactions are logged as they were proposed",
    },
    Case {
        name: "late-touch-of-a-learner",
        play: late_touch,
        reference: "the session keeps the longer timeout at times",
        ours: "the session has the shorter timeout every time",
    },
];

fn start(kind: Kind, seat: Seat) -> Result<Server> {
    Server::start(kind, &Options::default().seat(Some(seat)).tick_time_ms(TICK_MS))
}

fn impatient(addr: SocketAddr) -> Result<Client> {
    let stream = TcpStream::connect_timeout(&addr, SILENCE).with_context(|| format!("connect to {addr}"))?;
    Client::handshake_within(stream, &hello(LONG_MS, 0, &[0; 16], 0), SILENCE)
}

fn undecodable_write(kind: Kind) -> Result<String> {
    let server = start(kind, Seat::Leader)?;
    let (mut client, mut other) = (impatient(server.addr())?, impatient(server.addr())?);
    let mut cut = Body::create("/x", b"", 0);
    cut.0.truncate(cut.0.len() - 3);
    let code = |client: &mut Client, body: &Body| match client.call(1, op::CREATE, body) {
        Ok(reply) => format!("code {}", reply.err),
        Err(_) => "no answer".to_owned(),
    };
    let (first, next) = (code(&mut client, &cut), code(&mut other, &Body::create("/y", b"", 0)));
    Ok(format!("{first}; {next} to the next write"))
}

/// Transactions whose second part fails, in bursts, so that a follower has some to log while others are applied. Whether
/// that happens in one burst is chance.
fn failed_multi(kind: Kind) -> Result<String> {
    let mut server = start(kind, Seat::Follower)?;
    let mut client = Client::connect(server.addr(), LONG_MS)?;
    let create = Body::new().int(op::CREATE).bool(false).int(-1).string("/x").buffer(b"").open_acl().int(0);
    let check = create.int(op::CHECK).bool(false).int(-1).string("/not-there").int(-1);
    let multi = check.int(-1).bool(true).int(-1);
    let burst: Vec<u8> = (1..=FAILURES).flat_map(|xid| request(xid, op::MULTI, &multi)).collect();
    let mut sent = 0;
    for _ in 0..BURSTS_MAX {
        client.send_bytes(&burst)?;
        for _ in 0..FAILURES {
            let reply = client.receive()?;
            ensure!(reply.body.windows(4).any(|code| code == (-101_i32).to_be_bytes()), "it did not fail");
        }
        sent += FAILURES as usize;
        let (logged, proposed) = logged_multis(&server, Ending::MayBeTorn)?;
        if proposed < logged {
            break;
        }
    }
    server.stop()?;
    let (logged, proposed) = logged_multis(&server, Ending::Whole)?;
    ensure!(logged == sent, "{logged} of {sent} are logged");
    println!("{proposed} of {logged} are logged as they were proposed");
    Ok(if proposed == logged {
        "failed transactions are logged as they were proposed".to_owned()
    } else {
        "some failed transactions are logged otherwise than they were proposed".to_owned()
    })
}

/// How many transactions of several parts are in the log, and how many of them as they were proposed.
fn logged_multis(server: &Server, ending: Ending) -> Result<(usize, usize)> {
    let is_multi = |payload: &[u8]| payload.get(28..32) == Some(&op::MULTI.to_be_bytes()[..]);
    // The type of the first part, behind the header and the number of parts.
    let is_proposed = |payload: &[u8]| payload.get(36..40) == Some(&op::CREATE.to_be_bytes()[..]);
    let records = records(server.data_dir(), ending)?;
    let multis = records.iter().filter(|record| is_multi(&record.payload));
    Ok((multis.clone().count(), multis.filter(|record| is_proposed(&record.payload)).count()))
}

/// A session that was just heard from comes back with a shorter timeout, and is silent then: how long does it live?
fn late_touch(kind: Kind) -> Result<String> {
    let server = start(kind, Seat::Follower)?;
    let mut watcher = Client::connect(server.addr(), LONG_MS)?;
    for n in 0..TRIES {
        let mut client = Client::connect(server.addr(), LONG_MS)?;
        let path = format!("/of-session-{n}");
        ensure!(client.call(1, op::CREATE, &Body::create(&path, b"", 1))?.err == 0, "{path} is not made");
        client.call(2, op::PING, &Body::new())?;
        let again = Client::reconnect(server.addr(), SHORT_MS, client.session, &client.password, 0)?;
        ensure!(again.timeout_ms == SHORT_MS, "the timeout became {}", again.timeout_ms);
        drop((client, again));
        let begun = Instant::now();
        let halfway = Duration::from_millis((SHORT_MS + LONG_MS) as u64 / 2);
        loop {
            let is_gone = match watcher.call(3, op::EXISTS, &Body::path_and_watch(&path, false))?.err {
                0 => false,
                -101 => true,
                code => bail!("code {code}"),
            };
            if is_gone {
                break;
            }
            if begun.elapsed() > halfway {
                return Ok("the session keeps the longer timeout at times".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok("the session has the shorter timeout every time".to_owned())
}
