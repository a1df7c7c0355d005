//! What a hostile client must not be able to do: a server, a client that does its worst, and two others that
//! must not notice.
//!
//! A [`Trial`] runs beside an attack. Its *polite* client reads and writes every 10 ms; its *victim* has the
//! shortest session there is, and pings. At the end nobody who pings has expired, the polite client was never
//! without an answer for long, the memory is what it was, and the server serves. How long the polite client waited
//! is printed, as machines differ too much for a narrow bound.

mod others;
pub mod process;

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::others::{Polite, Victim};
pub use self::process::{Sampler, anonymous_bytes, cpu_time, descriptors};
use crate::acknowledged::number;
use crate::artifacts;
use crate::compare::judged;
use crate::server::{Kind, Options, Server};
use crate::wire::{Body, Client, op, request};

/// Memory an attack may cost while it lasts, in bytes.
pub const MEMORY_MAX: u64 = 64 << 20;
/// Memory that any number of hostile clients may cost together, in bytes: half of a small machine.
pub const MEMORY_OF_ALL_MAX: u64 = 256 << 20;
/// Memory above idle that may be left of it. Allocators keep some.
const LEFT_MAX: u64 = 32 << 20;
/// Time in which the memory comes back.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// The longest the polite client may be without an answer, in milliseconds: a bound of reason, for machines that
/// others share. `OXKEEPER_HOSTILE_GAP_MS` sets another, for one that nobody shares.
const GAP_MAX_MS: u64 = 2_000;

/// A size in the long form, where hostile clients are as they were first measured, and in the short one.
pub fn scale<T>(short: T, long: T) -> T {
    match std::env::var("OXKEEPER_HOSTILE").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// A server for one test at a time, as others would be noticed.
pub struct Arena {
    /// The server.
    pub server: Server,
    _turn: MutexGuard<'static, ()>,
}

impl Arena {
    /// Starts the server under judgement.
    pub fn open(options: &Options) -> Result<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let options = options.clone().line("maxClientCnxns=0");
        Ok(Self { server: Server::start(judged(), &options)?, _turn: turn })
    }

    /// The same as the child of a shell command that must end in `exec "$@"`.
    pub fn open_under(options: &Options, command: &str) -> Result<Self> {
        let mut arena = Self::open(options)?;
        arena.relaunch_under(command)?;
        Ok(arena)
    }

    /// Stops the server and starts it as `open_under` does.
    pub fn relaunch_under(&mut self, command: &str) -> Result<()> {
        self.server.stop()?;
        self.server.run_under(["bash", "-c", command, "bash"].map(str::to_owned).to_vec());
        self.server.launch()
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// A new session of 30 s.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.addr(), 30_000)
    }

    /// Lets the two others begin, and measures the memory before it all.
    pub fn begin(self, name: &str) -> Result<Trial> {
        let polite = Polite::start(self.addr())?;
        let victim = Victim::start(self.addr())?;
        std::thread::sleep(Duration::from_millis(500));
        let pid = self.server.process_id()?;
        let idle = anonymous_bytes(pid)?;
        polite.forget();
        Ok(Trial {
            name: name.to_owned(),
            sampler: Sampler::start(pid),
            begun: Instant::now(),
            cpu: cpu_time(pid)?,
            idle,
            polite,
            victim,
            arena: self,
        })
    }
}

/// An attack under way.
pub struct Trial {
    name: String,
    /// The server.
    pub arena: Arena,
    polite: Polite,
    victim: Victim,
    sampler: Sampler,
    idle: u64,
    begun: Instant,
    cpu: Duration,
}

impl Trial {
    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.arena.addr()
    }

    /// A new session of 30 s.
    pub fn client(&self) -> Result<Client> {
        self.arena.client()
    }

    /// What the polite client waited so far does not count.
    pub fn forget_waits(&self) {
        self.polite.forget();
    }

    /// The attack is over: the others have noticed nothing, and the memory comes back.
    pub fn end(self) -> Result<Arena> {
        self.end_with(None)
    }

    /// The same, and the memory never passed the bound.
    pub fn end_within(self, bytes: u64) -> Result<Arena> {
        self.end_with(Some(bytes))
    }

    fn end_with(mut self, bytes: Option<u64>) -> Result<Arena> {
        // What is still on its way shows in the others.
        std::thread::sleep(Duration::from_millis(500));
        if !self.arena.server.alive() {
            let most = self.sampler.stop().saturating_sub(self.idle) >> 20;
            bail!("the server is gone; the most memory it had was {most} MiB above idle");
        }
        let pid = self.arena.server.process_id()?;
        let lasted = self.begun.elapsed();
        let cpu = cpu_time(pid)?.saturating_sub(self.cpu);
        let figures = self.polite.figures();
        let peak = self.sampler.stop().saturating_sub(self.idle);
        let left = self.left()?;
        say(&format!(
            "hostile {}: {:.1} s, CPU {:.1} s; polite: {figures}; memory +{} MiB, then +{} MiB",
            self.name,
            lasted.as_secs_f64(),
            cpu.as_secs_f64(),
            peak >> 20,
            left >> 20,
        ));
        if judged() != Kind::Oxkeeper {
            return Ok(self.arena); // the reference's figures, for comparison
        }
        self.victim.end().context("the victim")?;
        self.polite.end().context("the polite client")?;
        let gap_max = Duration::from_millis(number("OXKEEPER_HOSTILE_GAP_MS", || GAP_MAX_MS)?);
        ensure!(
            figures.longest_gap <= gap_max,
            "the polite client had no answer for {:?}",
            figures.longest_gap
        );
        if let Some(bytes) = bytes {
            ensure!(peak <= bytes, "{} MiB above idle", peak >> 20);
        }
        ensure!(left <= LEFT_MAX, "{} MiB above idle are left after {BACK_WITHIN:?}", left >> 20);
        Ok(self.arena)
    }

    /// The memory above idle once it is small, or after the time it has for that.
    fn left(&self) -> Result<u64> {
        let deadline = Instant::now() + BACK_WITHIN;
        loop {
            let left = anonymous_bytes(self.arena.server.process_id()?)?.saturating_sub(self.idle);
            if left <= LEFT_MAX / 2 || Instant::now() > deadline {
                return Ok(left);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Prints a line whether the test passes or not.
pub fn say(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}

/// Asks again until `holds`, for as long as memory has to come back.
pub fn eventually(what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
    eventually_within(what, BACK_WITHIN, holds)
}

/// Asks again until `holds`, and fails after `limit`.
pub fn eventually_within(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds()? {
        ensure!(Instant::now() < deadline, "{what}: not so after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A gauge or counter of `mntr`.
pub fn mntr(server: &Server, name: &str) -> Result<i64> {
    let text = server.ask("mntr")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    let value = line.with_context(|| format!("no {name} in mntr"))?;
    value.trim().parse().with_context(|| format!("{name} {value}"))
}

/// Creates nodes, many at a time; each must succeed.
pub fn create_all(client: &mut Client, code: i32, bodies: impl Iterator<Item = Body>) -> Result<()> {
    let mut bodies = bodies.peekable();
    while bodies.peek().is_some() {
        let mut multis = Vec::new();
        let mut sent = 0;
        for xid in 0..16 {
            let mut multi = Body::new();
            let mut parts = 0;
            while parts < 500 && multi.0.len() < 200_000 {
                let Some(body) = bodies.next() else { break };
                multi = multi.int(code).bool(false).int(-1);
                multi.0.extend(&body.0);
                parts += 1;
            }
            if parts > 0 {
                multis.extend(request(xid, op::MULTI, &multi.int(-1).bool(true).int(-1)));
                sent += 1;
            }
        }
        client.send_bytes(&multis)?;
        for _ in 0..sent {
            let reply = client.receive()?;
            ensure!(reply.err == 0, "preparing: {}", reply.err);
        }
    }
    Ok(())
}

/// A tree of so many nodes below `/tree`, a thousand to each parent.
pub fn plant(client: &mut Client, nodes: usize) -> Result<()> {
    let parents = nodes.div_ceil(1000);
    let paths = std::iter::once("/tree".to_owned()).chain((0..parents).map(|n| format!("/tree/{n}")));
    create_all(client, op::CREATE, paths.map(|path| Body::create(&path, b"", 0)))?;
    let paths = (0..nodes).map(|n| format!("/tree/{}/{n}", n / 1000));
    create_all(client, op::CREATE, paths.map(|path| Body::create(&path, b"", 0)))
}

/// Lets this process have as many descriptors as it may.
pub fn raise_descriptors() -> Result<()> {
    let this = format!("--pid={}", std::process::id());
    let prlimit = |arguments: &[&str]| artifacts::run(Command::new("prlimit").arg(&this).args(arguments));
    let hard = prlimit(&["--nofile", "--raw", "--noheadings", "--output", "HARD"])?;
    let hard = hard.trim();
    prlimit(&[&format!("--nofile={hard}:{hard}")]).map(drop)
}
