//! Kill -9 at random moments under write load: what was acknowledged is there after a restart.
//!
//! Several sessions pipeline creates and sets, and note every acknowledgement. After each kill
//! the same directory is opened again and every noted write is read back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use compat_tests::artifacts;
use compat_tests::compare::judged;
use compat_tests::server::{Options, Server};
use compat_tests::wire::{Body, Client, Reply, op};

const SESSIONS: usize = 4;
const WINDOW: i32 = 32;
/// Rounds on one data directory, which grows with each.
const ROUNDS_PER_DIRECTORY: u64 = 20;
/// Every so many rounds, and after a directory's last, all its rounds are read back and not only the last.
const READ_ALL_EVERY: u64 = 5;

/// A small generator of numbers, so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What one session knows: values acknowledged, and values sent whose fate is open.
#[derive(Default)]
struct Known {
    acknowledged: HashMap<String, u64>,
    last_sent: HashMap<String, u64>,
    highest_zxid: i64,
}

/// Creates and sets until the connection breaks. Every path belongs to one session, and its
/// values only grow, so any value from the last acknowledged to the last sent is right.
fn write(addr: SocketAddr, round: u64, session: usize, known: &mut Known, over: &AtomicBool) -> Result<()> {
    let mut sender = Client::connect(addr, 30_000)?;
    let mut receiver = sender.try_clone()?;
    let mut pending: std::collections::VecDeque<(i32, String, u64)> = std::collections::VecDeque::new();
    let mut xid = 0;
    for step in 0..1_000_000u64 {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Two kinds in turn: a new node, and a set of one made a little earlier.
        let (path, value, kind) = if step % 2 == 0 {
            (format!("/r{round}-s{session}-{step}"), 0, op::CREATE)
        } else {
            (format!("/r{round}-s{session}-{}", (step / 16) * 8), step, op::SET_DATA)
        };
        xid += 1;
        let body = match kind {
            op::CREATE => Body::create(&path, b"0", 0),
            _ => Body::set_data(&path, value.to_string().as_bytes(), -1),
        };
        known.last_sent.insert(path.clone(), value);
        pending.push_back((xid, path, value));
        if sender.send(xid, kind, &body).is_err() {
            break;
        }
        if pending.len() < WINDOW as usize {
            continue;
        }
        let Ok(reply) = receiver.receive() else { break };
        let (expected, path, value) = pending.pop_front().context("a reply nobody waits for")?;
        ensure!(reply.xid == expected, "reply {} where {expected} was due", reply.xid);
        ensure!(reply.err == 0, "{path}: code {}", reply.err);
        ensure!(reply.zxid > known.highest_zxid, "zxid {:#x} after {:#x}", reply.zxid, known.highest_zxid);
        known.highest_zxid = reply.zxid;
        known.acknowledged.insert(path, value);
    }
    // Replies already on their way count as acknowledged too.
    while let Some((_, path, value)) = pending.pop_front() {
        let Ok(reply) = receiver.receive() else { break };
        if reply.err == 0 {
            known.highest_zxid = known.highest_zxid.max(reply.zxid);
            known.acknowledged.insert(path, value);
        }
    }
    Ok(())
}

/// Reads back what is known to be there, many requests at a time.
fn verify(addr: SocketAddr, known: &Known) -> Result<()> {
    let mut client = Client::connect(addr, 30_000)?;
    let paths: Vec<(&String, &u64)> = known.acknowledged.iter().collect();
    for part in paths.chunks(256) {
        for (n, (path, _)) in part.iter().enumerate() {
            client.send(n as i32 + 1, op::GET_DATA, &Body::path_and_watch(path, false))?;
        }
        for (n, (path, least)) in part.iter().enumerate() {
            let reply = client.receive()?;
            ensure!(reply.xid == n as i32 + 1, "reply {} where {} was due", reply.xid, n + 1);
            check(path, **least, known, &reply)?;
        }
    }
    Ok(())
}

fn check(path: &str, least: u64, known: &Known, reply: &Reply) -> Result<()> {
    ensure!(reply.err == 0, "{path} was acknowledged and is gone: code {}", reply.err);
    ensure!(
        reply.zxid >= known.highest_zxid,
        "the server went back to {:#x}, acknowledged was {:#x}",
        reply.zxid,
        known.highest_zxid
    );
    let text = String::from_utf8_lossy(reply.first_buffer()?).into_owned();
    let value: u64 = text.parse().with_context(|| format!("{path} holds {text:?}"))?;
    let most = known.last_sent.get(path).copied().unwrap_or(least);
    ensure!(
        (least..=most).contains(&value),
        "{path} holds {value}, acknowledged was {least}, sent up to {most}"
    );
    Ok(())
}

/// What a server went through on its directory.
#[derive(Default)]
struct History {
    knowns: Vec<Known>,
    /// Those from here on have not been read back yet.
    unread_from: usize,
}

impl History {
    fn verify_from(&mut self, first: usize, addr: SocketAddr) -> Result<()> {
        self.knowns.iter().skip(first).try_for_each(|known| verify(addr, known))?;
        self.unread_from = self.knowns.len();
        Ok(())
    }
}

#[test]
fn acknowledged_writes_survive_kills() -> Result<()> {
    if std::env::var_os("OXKEEPER_COMPAT_SELF").is_some() && !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let rounds: u64 = match std::env::var("OXKEEPER_KILL_ROUNDS") {
        Ok(text) => text.parse().with_context(|| format!("OXKEEPER_KILL_ROUNDS={text} is not a number"))?,
        Err(_) => 10,
    };
    let seed = match std::env::var("OXKEEPER_KILL_SEED") {
        Ok(text) => text.parse().with_context(|| format!("OXKEEPER_KILL_SEED={text} is not a number"))?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_nanos() as u64 | 1,
    };
    println!("OXKEEPER_KILL_SEED={seed}");
    let mut random = Random(seed);
    let options = Options::default().line("snapCount=2000").line("preAllocSize=1024");
    let mut total = 0;
    let mut done = 0;
    while done < rounds {
        let count = ROUNDS_PER_DIRECTORY.min(rounds - done);
        let mut server = Server::start(judged(), &options)?;
        let mut history = History::default();
        for round in done..done + count {
            let context = || format!("round {round}, seed {seed}");
            total += live_and_die(&mut server, round, &mut random, &mut history).with_context(context)?;
            let last = round + 1 == done + count;
            let first = if last || round % READ_ALL_EVERY == 0 { 0 } else { history.unread_from };
            history.verify_from(first, server.addr()).with_context(context)?;
        }
        done += count;
    }
    println!("{done} kills, {total} acknowledged paths, every one read back");
    ensure!(total > 0, "nothing was acknowledged, so nothing was tested");
    Ok(())
}

/// One life under load, its end, and a new start; what was acknowledged goes to the history.
fn live_and_die(
    server: &mut Server,
    round: u64,
    random: &mut Random,
    history: &mut History,
) -> Result<usize> {
    let over = AtomicBool::new(false);
    let addr = server.addr();
    let mut knowns: Vec<Known> = (0..SESSIONS).map(|_| Known::default()).collect();
    let life = Duration::from_millis(50 + random.next(1500));
    std::thread::scope(|scope| -> Result<()> {
        let over = &over;
        let writers: Vec<_> = knowns
            .iter_mut()
            .enumerate()
            .map(|(n, known)| scope.spawn(move || write(addr, round, n, known, over)))
            .collect();
        // The random length of the server's life is the point of the test.
        std::thread::sleep(life);
        let killed = server.kill();
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(anyhow!("a writer panicked")))?;
        }
        killed
    })?;
    server.launch().context("start again")?;
    let acknowledged = knowns.iter().map(|known| known.acknowledged.len()).sum();
    println!("round {round}: killed after {life:?}, {acknowledged} acknowledged paths");
    history.knowns.extend(knowns);
    Ok(acknowledged)
}
