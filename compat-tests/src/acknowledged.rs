//! Sessions that write as fast as they can and note every acknowledgement, and a reader that later
//! asks for all of it: no matter how the server ended, what it acknowledged must be there.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};

use crate::wire::{Body, Client, Reply, op};

/// Sessions that write at the same time.
pub const SESSIONS: usize = 4;
/// Requests a session has under way.
const WINDOW: usize = 32;

/// A small generator of numbers, so that a run can be repeated from its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers from a seed; each `stream` of one seed gives others.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self((seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1)
    }

    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A number from the environment.
pub fn number(name: &str, otherwise: impl FnOnce() -> u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is not a number")),
        Err(_) => Ok(otherwise()),
    }
}

/// What a random run follows from, and how to repeat it.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The seed that `OXKEEPER_SEED` asks for, or one from the clock.
    pub number: u64,
    /// The command that repeats the run.
    pub replay: String,
}

impl Seed {
    /// Of a test program, which also depends on these variables. The command is printed.
    pub fn choose(program: &str, variables: &[(&str, u64)]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_nanos() as u64;
        let number = number("OXKEEPER_SEED", || now | 1)?;
        let mut replay = format!("OXKEEPER_SEED={number}");
        for (name, value) in variables {
            replay += &format!(" {name}={value}");
        }
        replay += &format!(" cargo test -p compat-tests --test {program}");
        println!("{replay}");
        Ok(Self { number, replay })
    }
}

/// What one session knows: values acknowledged, and values sent whose fate is open.
#[derive(Debug, Default)]
pub struct Known {
    acknowledged: HashMap<String, u64>,
    last_sent: HashMap<String, u64>,
    highest_zxid: i64,
}

impl Known {
    /// How many paths have an acknowledged value.
    pub fn paths(&self) -> usize {
        self.acknowledged.len()
    }

    fn acknowledge(&mut self, path: String, value: u64, reply: &Reply) -> Result<()> {
        ensure!(reply.err == 0, "{path}: code {}", reply.err);
        ensure!(reply.zxid > self.highest_zxid, "zxid {:#x} after {:#x}", reply.zxid, self.highest_zxid);
        self.highest_zxid = reply.zxid;
        self.acknowledged.insert(path, value);
        Ok(())
    }

    /// Creates and sets until the connection breaks. Every path belongs to one session, and its values
    /// only grow, so any value from the last acknowledged to the last sent is right. No connection at all
    /// is no error: the server may be dead already.
    fn write(&mut self, addr: SocketAddr, prefix: &str, over: &AtomicBool) -> Result<()> {
        let Ok(mut sender) = Client::connect(addr, 30_000) else { return Ok(()) };
        let mut receiver = sender.try_clone()?;
        let mut pending: VecDeque<(i32, String, u64)> = VecDeque::new();
        for (xid, step) in (1..).zip(0..1_000_000_u64) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            // Two kinds in turn: a new node, and a set of one made a little earlier.
            let (path, value, kind) = if step % 2 == 0 {
                (format!("{prefix}-{step}"), 0, op::CREATE)
            } else {
                (format!("{prefix}-{}", (step / 16) * 8), step, op::SET_DATA)
            };
            let body = match kind {
                op::CREATE => Body::create(&path, b"0", 0),
                _ => Body::set_data(&path, value.to_string().as_bytes(), -1),
            };
            self.last_sent.insert(path.clone(), value);
            pending.push_back((xid, path, value));
            if sender.send(xid, kind, &body).is_err() {
                break;
            }
            if pending.len() < WINDOW {
                continue;
            }
            let Ok(reply) = receiver.receive() else { break };
            let (expected, path, value) = pending.pop_front().context("a reply nobody waits for")?;
            ensure!(reply.xid == expected, "reply {} where {expected} was due", reply.xid);
            self.acknowledge(path, value, &reply)?;
        }
        // Replies already on their way count as acknowledged too.
        while let Some((_, path, value)) = pending.pop_front() {
            let Ok(reply) = receiver.receive() else { break };
            if reply.err == 0 {
                self.acknowledge(path, value, &reply)?;
            }
        }
        Ok(())
    }

    /// Reads back what is known to be there, many requests at a time.
    fn verify(&self, addr: SocketAddr) -> Result<()> {
        let mut client = Client::connect(addr, 30_000)?;
        let paths: Vec<(&String, &u64)> = self.acknowledged.iter().collect();
        for part in paths.chunks(256) {
            for (xid, (path, _)) in (1..).zip(part) {
                client.send(xid, op::GET_DATA, &Body::path_and_watch(path, false))?;
            }
            for (xid, (path, least)) in (1..).zip(part) {
                let reply = client.receive()?;
                ensure!(reply.xid == xid, "reply {} where {xid} was due", reply.xid);
                self.check(path, **least, &reply)?;
            }
        }
        Ok(())
    }

    fn check(&self, path: &str, least: u64, reply: &Reply) -> Result<()> {
        ensure!(reply.err == 0, "{path} was acknowledged and is gone: code {}", reply.err);
        ensure!(
            reply.zxid >= self.highest_zxid,
            "the server went back to {:#x}, acknowledged was {:#x}",
            reply.zxid,
            self.highest_zxid
        );
        let text = String::from_utf8_lossy(reply.first_buffer()?).into_owned();
        let value: u64 = text.parse().with_context(|| format!("{path} holds {text:?}"))?;
        let most = self.last_sent.get(path).copied().unwrap_or(least);
        ensure!(
            (least..=most).contains(&value),
            "{path} holds {value}, acknowledged was {least}, sent up to {most}"
        );
        Ok(())
    }
}

/// Writes from several sessions until `end` has ended the server; returns what they know. The prefix is
/// that of all their paths, and no other load on the same directory may have it.
pub fn load(addr: SocketAddr, prefix: &str, end: impl FnOnce() -> Result<()>) -> Result<Vec<Known>> {
    let over = AtomicBool::new(false);
    let mut knowns: Vec<Known> = (0..SESSIONS).map(|_| Known::default()).collect();
    std::thread::scope(|scope| -> Result<()> {
        let over = &over;
        let mut writers = Vec::new();
        for (session, known) in knowns.iter_mut().enumerate() {
            let prefix = format!("{prefix}-s{session}");
            writers.push(scope.spawn(move || known.write(addr, &prefix, over)));
        }
        let ended = end();
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(anyhow!("a writer panicked")))?;
        }
        ended
    })?;
    Ok(knowns)
}

/// All that was acknowledged on one directory.
#[derive(Debug, Default)]
pub struct History {
    knowns: Vec<Known>,
    /// Those from here on have not been read back yet.
    unread_from: usize,
}

impl History {
    /// Adds what a load left; returns how many paths that is.
    pub fn extend(&mut self, knowns: Vec<Known>) -> usize {
        let paths = knowns.iter().map(Known::paths).sum();
        self.knowns.extend(knowns);
        paths
    }

    /// Reads back what was not read yet.
    pub fn verify_new(&mut self, addr: SocketAddr) -> Result<()> {
        self.verify_from(self.unread_from, addr)
    }

    /// Reads back everything.
    pub fn verify_all(&mut self, addr: SocketAddr) -> Result<()> {
        self.verify_from(0, addr)
    }

    fn verify_from(&mut self, first: usize, addr: SocketAddr) -> Result<()> {
        self.knowns.iter().skip(first).try_for_each(|known| known.verify(addr))?;
        self.unread_from = self.knowns.len();
        Ok(())
    }
}
