//! The two that must not notice: a polite client and a victim.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::wire::{Body, Client, op};

const POLITE_EVERY: Duration = Duration::from_millis(10);
const PING_EVERY: Duration = Duration::from_millis(500);
/// The shortest session with the tick that tests have.
const VICTIM_TIMEOUT_MS: i32 = 4_000;

/// Node of the polite client, and node that the victim's session owns.
const POLITE: &str = "/polite";
const VICTIM: &str = "/victim";

/// How long the polite client waited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) operations: usize,
    pub(super) p99: Duration,
    pub(super) longest_gap: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let Self { operations, p99, longest_gap } = *self;
        write!(f, "{operations} operations, p99 {:.1} ms, longest gap {:.1} ms", ms(p99), ms(longest_gap))
    }
}

#[derive(Debug)]
struct Waits {
    took: Vec<Duration>,
    longest_gap: Duration,
    last: Instant,
}

impl Waits {
    fn new() -> Self {
        Self { took: Vec::new(), longest_gap: Duration::ZERO, last: Instant::now() }
    }

    fn answered(&mut self, asked: Instant) {
        let now = Instant::now();
        self.took.push(now - asked);
        self.longest_gap = self.longest_gap.max(now - self.last);
        self.last = now;
    }
}

/// Reads and writes every 10 ms.
pub(super) struct Polite {
    stop: Arc<AtomicBool>,
    waits: Arc<Mutex<Waits>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Polite {
    pub(super) fn start(addr: SocketAddr) -> Result<Self> {
        let mut client = Client::connect(addr, 30_000)?;
        let created = client.call(1, op::CREATE, &Body::create(POLITE, b"0", 0))?;
        ensure!([0, -110].contains(&created.err), "{created:?}");
        let (stop, waits) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Waits::new())));
        let thread = std::thread::spawn({
            let (stop, waits) = (stop.clone(), waits.clone());
            move || {
                let mut n = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let value = n.to_string();
                    for (code, body) in [
                        (op::SET_DATA, Body::set_data(POLITE, value.as_bytes(), -1)),
                        (op::GET_DATA, Body::path_and_watch(POLITE, false)),
                    ] {
                        let asked = Instant::now();
                        let reply = client.call(1, code, &body)?;
                        waits.lock().unwrap_or_else(PoisonError::into_inner).answered(asked);
                        ensure!(reply.err == 0, "{reply:?}");
                        ensure!(
                            code != op::GET_DATA || reply.first_buffer()? == value.as_bytes(),
                            "{reply:?}"
                        );
                    }
                    std::thread::sleep(POLITE_EVERY);
                }
                Ok(())
            }
        });
        Ok(Self { stop, waits, thread: Some(thread) })
    }

    /// Measures from now on.
    pub(super) fn forget(&self) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = Waits::new();
    }

    /// How long it waited so far; a wait that has not ended counts.
    pub(super) fn figures(&self) -> Figures {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut took = waits.took.clone();
        took.sort_unstable();
        Figures {
            operations: took.len(),
            p99: took.get(took.len() * 99 / 100).copied().unwrap_or_default(),
            longest_gap: waits.longest_gap.max(waits.last.elapsed()),
        }
    }

    /// Stops; fails if it was not answered.
    pub(super) fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it ended before")?;
        thread.join().unwrap_or_else(|_| Err(anyhow!("it panicked")))
    }
}

impl Drop for Polite {
    /// Where an attack itself fails, it tells what the polite client saw of it.
    fn drop(&mut self) {
        if self.thread.is_some() && !self.stop.load(Ordering::Relaxed) {
            super::say(&format!("hostile: the attack failed; polite: {}", self.figures()));
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Owns a node in the shortest session there is, and pings.
pub(super) struct Victim {
    addr: SocketAddr,
    client: Client,
    stop: Arc<AtomicBool>,
    pinger: Option<JoinHandle<Result<()>>>,
}

impl Victim {
    pub(super) fn start(addr: SocketAddr) -> Result<Self> {
        let mut client = Client::connect(addr, VICTIM_TIMEOUT_MS)?;
        ensure!(client.timeout_ms == VICTIM_TIMEOUT_MS, "a timeout of {} ms", client.timeout_ms);
        let created = client.call(1, op::CREATE, &Body::create(VICTIM, b"", 1))?;
        ensure!(created.err == 0, "{created:?}");
        let stop = Arc::new(AtomicBool::new(false));
        let mut sender = client.try_clone()?;
        let mut receiver = client.try_clone()?;
        let pinger = std::thread::spawn({
            let stop = stop.clone();
            // Answers are read by another, so that a late one does not keep the next ping back.
            let reader = std::thread::spawn(move || while receiver.receive_frame().is_ok() {});
            move || {
                while !stop.load(Ordering::Relaxed) {
                    sender.send(-2, op::PING, &Body::new()).context("its connection was closed")?;
                    ensure!(!reader.is_finished(), "its connection was closed");
                    std::thread::sleep(PING_EVERY);
                }
                Ok(())
            }
        });
        Ok(Self { addr, client, stop, pinger: Some(pinger) })
    }

    /// Stops; fails if its session or its connection was lost.
    pub(super) fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let pinger = self.pinger.take().context("it ended before")?;
        pinger.join().unwrap_or_else(|_| Err(anyhow!("it panicked")))?;
        let mut witness = Client::connect(self.addr, 30_000)?;
        let found = witness.call(1, op::EXISTS, &Body::path_and_watch(VICTIM, false))?;
        ensure!(found.err == 0, "its session expired although it pinged: {}", found.err);
        // Four fields of 8 bytes and three of 4 stand before the owner in a stat.
        let owner = found.body.get(44..52).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
        ensure!(owner == Some(self.client.session), "its node has another owner");
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _already_closed = self.client.stream().shutdown(Shutdown::Both);
    }
}
