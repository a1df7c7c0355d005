//! Sessions that write to an ensemble while its servers come and go. A session that loses its server goes on at
//! another one, as a client library does; what was acknowledged, and what a session saw, must never be undone.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::Ensemble;
use crate::wire::{Body, Client, Reply, hello, op, request};

/// For one answer. A server that is frozen or cut off from its leader is left after this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Between two tries to find a server that serves.
const RETRY: Duration = Duration::from_millis(30);
const NODE_EXISTS: i32 = -110;
/// Every so many writes a new node; the others set one of the last.
const CREATE_EVERY: u64 = 4;

/// What a load does.
#[derive(Clone, Debug)]
pub struct Load {
    /// Sessions, each on a thread.
    pub sessions: usize,
    /// Writes that a session has under way at once.
    pub window: u64,
    /// Between two windows of a session.
    pub pause: Duration,
    /// Timeout the sessions ask for.
    pub timeout_ms: i32,
}

impl Default for Load {
    fn default() -> Self {
        Self { sessions: 8, window: 4, pause: Duration::from_millis(2), timeout_ms: 40_000 }
    }
}

/// A load that runs. Dropping it lets the sessions stop by themselves.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Known>>>,
}

#[derive(Debug)]
struct Shared {
    addrs: Vec<SocketAddr>,
    load: Load,
    is_over: AtomicBool,
    acknowledged: AtomicU64,
    gap: Mutex<Gap>,
}

/// The longest time in which nothing was acknowledged to anybody.
#[derive(Debug)]
struct Gap {
    last: Instant,
    longest: Duration,
}

impl Load {
    /// Starts to write below paths that begin with `prefix`, which no other load on these servers may have.
    #[must_use]
    pub fn start(self, addrs: &[SocketAddr], prefix: &str) -> Running {
        let shared = Arc::new(Shared {
            addrs: addrs.to_vec(),
            load: self,
            is_over: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            gap: Mutex::new(Gap { last: Instant::now(), longest: Duration::ZERO }),
        });
        let threads = (0..shared.load.sessions)
            .map(|number| {
                let writer = Writer::new(Arc::clone(&shared), format!("{prefix}-s{number}"), number);
                std::thread::spawn(move || writer.run())
            })
            .collect();
        Running { shared, threads }
    }
}

impl Running {
    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more writes are acknowledged.
    pub fn wait_for(&self, writes: u64) -> Result<()> {
        let goal = self.acknowledged() + writes;
        let what = format!("{writes} more writes are acknowledged");
        crate::systems::until(&what, super::PATIENCE, || Ok((self.acknowledged() >= goal).then_some(())))
    }

    /// The longest time without an acknowledgement since the last time this was asked.
    #[must_use]
    pub fn take_gap(&self) -> Duration {
        let mut gap = self.shared.gap.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = gap.longest.max(gap.last.elapsed());
        gap.longest = Duration::ZERO;
        longest
    }

    /// Ends the load. Its sessions stay open, and nobody pings them.
    pub fn stop(mut self) -> Result<Summary> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut sessions = Vec::new();
        for thread in self.threads.drain(..) {
            sessions.push(thread.join().unwrap_or_else(|_| Err(anyhow!("a session's thread panicked")))?);
        }
        Ok(Summary { acknowledged: self.acknowledged(), sessions })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

/// What one session knows.
#[derive(Debug, Default)]
struct Known {
    session: i64,
    password: Vec<u8>,
    ephemeral: String,
    /// It was told that its ephemeral node is there. A load may end before one of its sessions has begun.
    has_begun: bool,
    acknowledged: BTreeMap<String, u64>,
    last_sent: BTreeMap<String, u64>,
    /// How often it came back to find its session gone.
    expired: u64,
    moves: u64,
}

/// What a load left.
#[derive(Debug)]
pub struct Summary {
    acknowledged: u64,
    sessions: Vec<Known>,
}

impl Summary {
    /// Writes that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Sessions that ended though their clients did all they could.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.sessions.iter().map(|known| known.expired).sum()
    }

    /// How often sessions went to another server.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.sessions.iter().map(|known| known.moves).sum()
    }

    /// Asks every server that runs for everything that was acknowledged.
    pub fn verify_everywhere(&self, ensemble: &Ensemble) -> Result<()> {
        ensemble.running().into_iter().try_for_each(|at| self.verify(ensemble.members()[at].addr()))
    }

    /// Asks a server for everything that was acknowledged, and for the ephemeral nodes of the sessions.
    pub fn verify(&self, addr: SocketAddr) -> Result<()> {
        let mut client = Client::connect(addr, 30_000)?;
        let synced = client.call(1, op::SYNC, &Body::new().string("/"))?;
        ensure!(synced.err == 0, "sync: code {}", synced.err);
        for known in &self.sessions {
            let paths: Vec<(&String, &u64)> = known.acknowledged.iter().collect();
            for part in paths.chunks(256) {
                let asked = part
                    .iter()
                    .flat_map(|(path, _)| request(2, op::GET_DATA, &Body::path_and_watch(path, false)));
                client.send_bytes(&asked.collect::<Vec<_>>())?;
                for (path, least) in part {
                    let reply = client.receive()?;
                    let most = known.last_sent.get(*path).copied().unwrap_or(**least);
                    check(path, **least, most, &reply).with_context(|| format!("at {addr}"))?;
                }
            }
            if !known.has_begun {
                continue;
            }
            let own = client.call(3, op::GET_DATA, &Body::path_and_watch(&known.ephemeral, false))?;
            ensure!(own.err == 0, "{addr}: {} of a living session: code {}", known.ephemeral, own.err);
        }
        client.call(4, op::CLOSE_SESSION, &Body::new()).map(drop)
    }

    /// Takes every session up again at a server, which only one that lives allows, and closes it.
    pub fn end(&self, addr: SocketAddr) -> Result<()> {
        for known in self.sessions.iter().filter(|known| known.session != 0) {
            let mut client = Client::reconnect(addr, 30_000, known.session, &known.password, 0)?;
            ensure!(client.session == known.session, "the session of {} is gone at {addr}", known.ephemeral);
            client.call(5, op::CLOSE_SESSION, &Body::new())?;
        }
        Ok(())
    }
}

fn check(path: &str, least: u64, most: u64, reply: &Reply) -> Result<()> {
    ensure!(reply.err == 0, "{path} was acknowledged and is gone: code {}", reply.err);
    let text = String::from_utf8_lossy(reply.first_buffer()?).into_owned();
    let value: u64 = text.parse().with_context(|| format!("{path} holds {text:?}"))?;
    ensure!(
        (least..=most).contains(&value),
        "{path} holds {value}, acknowledged was {least}, sent up to {most}"
    );
    Ok(())
}

struct Writer {
    shared: Arc<Shared>,
    prefix: String,
    server: usize,
    zxid: i64,
    step: u64,
    /// A write that was acknowledged, to be read wherever the session goes.
    latest: Option<(String, u64)>,
    known: Known,
}

impl Writer {
    fn new(shared: Arc<Shared>, prefix: String, number: usize) -> Self {
        let ephemeral = format!("{prefix}-ephemeral");
        let known = Known { ephemeral, password: vec![0; 16], ..Known::default() };
        Self { shared, prefix, server: number, zxid: 0, step: 0, latest: None, known }
    }

    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    fn run(mut self) -> Result<Known> {
        while !self.is_over() {
            let addr = self.shared.addrs[self.server % self.shared.addrs.len()];
            // A connection that breaks is what the test is about; a wrong answer is not.
            if let Ok(Some(client)) = self.connect(addr) {
                self.write(client, addr)?;
            } else {
                std::thread::sleep(RETRY);
            }
            self.server += 1;
            self.known.moves += 1;
        }
        Ok(self.known)
    }

    /// A connection with this writer's session; none if the session is gone: the next try makes a new one.
    fn connect(&mut self, addr: SocketAddr) -> Result<Option<Client>> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_LIMIT)?;
        let asked = hello(self.shared.load.timeout_ms, self.known.session, &self.known.password, self.zxid);
        let client = Client::handshake_within(stream, &asked, ANSWER_LIMIT)?;
        if client.session == 0 {
            self.known.expired += 1;
            self.known.session = 0;
            self.known.password = vec![0; 16];
            return Ok(None);
        }
        self.known.session = client.session;
        self.known.password.clone_from(&client.password);
        Ok(Some(client))
    }

    /// Writes until the connection breaks. Every path belongs to one session, and its values only grow, so any
    /// value from the last acknowledged to the last sent is right.
    fn write(&mut self, mut client: Client, addr: SocketAddr) -> Result<()> {
        if let Some((path, least)) = self.latest.clone() {
            let Ok(reply) = client.call(1, op::GET_DATA, &Body::path_and_watch(&path, false)) else {
                return Ok(());
            };
            let most = self.known.last_sent.get(&path).copied().unwrap_or(least);
            check(&path, least, most, &reply).with_context(|| format!("read at {addr} after a move"))?;
        }
        let ephemeral = Body::create(&self.known.ephemeral, b"0", 1);
        let Ok(reply) = client.call(2, op::CREATE, &ephemeral) else { return Ok(()) };
        ensure!([0, NODE_EXISTS].contains(&reply.err), "{}: code {}", self.known.ephemeral, reply.err);
        self.known.has_begun = true;
        let mut xid = 3;
        while !self.is_over() {
            let mut pending = Vec::new();
            for _ in 0..self.shared.load.window {
                self.step += 1;
                let created = self.step - self.step % CREATE_EVERY;
                let path = format!("{}-{created}", self.prefix);
                let value = self.step;
                let (kind, body) = if created == value || !self.known.last_sent.contains_key(&path) {
                    (op::CREATE, Body::create(&path, value.to_string().as_bytes(), 0))
                } else {
                    (op::SET_DATA, Body::set_data(&path, value.to_string().as_bytes(), -1))
                };
                self.known.last_sent.insert(path.clone(), value);
                if client.send(xid, kind, &body).is_err() {
                    return Ok(());
                }
                pending.push((xid, path, value));
                xid += 1;
            }
            for (xid, path, value) in pending {
                let Ok(reply) = client.receive() else { return Ok(()) };
                ensure!(reply.xid == xid, "reply {} where {xid} was due, from {addr}", reply.xid);
                self.acknowledge(path, value, &reply).with_context(|| format!("from {addr}"))?;
            }
            std::thread::sleep(self.shared.load.pause);
        }
        Ok(())
    }

    fn acknowledge(&mut self, path: String, value: u64, reply: &Reply) -> Result<()> {
        ensure!(reply.zxid > self.zxid, "zxid {:#x} after {:#x}", reply.zxid, self.zxid);
        self.zxid = reply.zxid;
        // A node may be missing because the connection broke before its creation was sent or carried out.
        if reply.err == 0 {
            self.known.acknowledged.insert(path.clone(), value);
            self.latest = Some((path, value));
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut gap = self.shared.gap.lock().unwrap_or_else(PoisonError::into_inner);
            gap.longest = gap.longest.max(gap.last.elapsed());
            gap.last = Instant::now();
            return Ok(());
        }
        let is_known = self.known.acknowledged.contains_key(&path);
        ensure!(reply.err == -101 && !is_known, "{path}: code {}", reply.err);
        Ok(())
    }
}
