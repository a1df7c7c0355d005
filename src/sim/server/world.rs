//! Who acts when, and what fails when: all of it from one number.

use std::path::Path;
use std::sync::Arc;

use super::client::SimClient;
use super::history::History;
use super::invariants;
use super::machine::{DATA, LIMITS, MEMORY_BYTES, Machine, Settings};
use crate::clock::{Clock, ManualClock};
use crate::net::in_memory::{Link, MemoryStream};
use crate::sim::crash::{Choice, Fresh, after};
use crate::sim::disk::{Plan, SimDisk};
use crate::sim::random::Random;
use crate::txnlog::Io;
use jute::Zxid;

const CLIENTS: usize = 5;
/// What a system buffers of what a client does not read.
const SOCKET_BYTES: usize = 16 << 10;
/// What clients may make a server hold where there is little: some of them that do not read take it all.
const TIGHT_BYTES: usize = 8 << 10;
/// How long a connection waits for memory, in milliseconds.
const MEMORY_PATIENCE_MS: i64 = 10_000;
/// What pings, deletions and ends of sessions may take where no memory is left.
const SMALL_BYTES: usize = 1 << 10;
/// What a transaction may take, before a restart and behind it.
const TXN_BYTES_MAX: [usize; 2] = [8 << 10, 4 << 10];
/// When the simulated machine was started, in microseconds.
const START_US: i64 = 1_000_000_000;

/// Everything.
pub(super) struct World {
    random: Random,
    clock: Arc<ManualClock>,
    machine: Machine,
    clients: Vec<SimClient>,
    history: History,
    settings: Settings,
}

/// What the server holds of replies and of requests for a connection.
fn held_for(link: &mut Link) -> usize {
    let unsent = link.unsent();
    let client = link.protocol().client();
    unsent + client.outbox().waiting() + client.in_flight_bytes()
}

/// How much was simulated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) simulated_ms: i64,
    pub(super) replies: usize,
    pub(super) events: usize,
    pub(super) transactions: usize,
    pub(super) crashes: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let io = if seed.is_multiple_of(2) { Io::Mapped } else { Io::Plain };
        let clock = Arc::new(ManualClock::at_us(START_US));
        let disk = SimDisk::with(&[Path::new("/data"), Path::new(DATA)]);
        // In some worlds the clients that do not read take all the memory there is for clients.
        let memory_bytes = if seed % 4 < 2 { TIGHT_BYTES } else { MEMORY_BYTES };
        let settings = Settings { io, memory_bytes, txn_bytes_max: TXN_BYTES_MAX[0] };
        let machine = Machine::start(&disk, &clock, settings);
        let clients = (0..CLIENTS).map(SimClient::new).collect();
        let history = History { txn_bytes_max: vec![(Zxid::ZERO, TXN_BYTES_MAX[0])], ..History::default() };
        Self { random, clock, machine, clients, history, settings }
    }

    /// Plays so many steps, ends everything in order, and judges what was seen.
    pub(super) fn run(mut self, steps: usize) -> Figures {
        let mut figures = Figures::default();
        for _ in 0..steps {
            figures.crashes += usize::from(self.step());
        }
        self.end();
        figures.simulated_ms = self.clock.now_ms() - START_US / 1000;
        let logged = Machine::logged(&self.machine.disk);
        figures.transactions = logged.len();
        let items = self.history.streams.iter().flat_map(|stream| &stream.items);
        figures.replies =
            items.clone().filter(|item| matches!(item, super::history::Item::Reply { .. })).count();
        figures.events = items.count() - figures.replies;
        self.history.sent = self.clients.iter_mut().flat_map(|client| client.sent.drain(..)).collect();
        invariants::check(&self.history, &logged);
        figures
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn pick(&mut self) -> usize {
        self.random.below(CLIENTS as u64) as usize
    }

    /// One step; true when the machine crashed in it.
    fn step(&mut self) -> bool {
        let mut crashed = false;
        let who = self.pick();
        match self.random.below(200) {
            0..=119 => {
                let now = self.now_ms();
                self.clients[who].act(&mut self.random, now);
            }
            120..=123 => self.clients[who].disconnect(),
            124..=127 => self.open(who),
            128..=131 => self.clients[who].act_through_abandoned(&mut self.random, &mut self.history),
            132..=134 => {
                let now = self.now_ms();
                self.clients[who].close(&mut self.random, now, &mut self.history);
            }
            135..=138 => {
                let is_reading = !self.clients[who].is_reading;
                self.clients[who].is_reading = is_reading;
                self.clients[who].well_since_ms = None;
            }
            139 | 140 => self.vanish(who),
            141 => self.pause(),
            142 | 143 => self.fill_disk(),
            144 if self.random.below(4) == 0 => {
                self.crash();
                crashed = true;
            }
            _ => {}
        }
        self.clock.advance_us(self.random.below(150_000) as i64);
        self.turn();
        crashed
    }

    /// Everybody does what is due, in some order.
    fn turn(&mut self) {
        let now = self.now_ms();
        self.machine.shared.state.listening.tick(now);
        for who in 0..CLIENTS {
            let client = &mut self.clients[who];
            if now >= client.absent_until_ms {
                client.tick(now);
                if client.connection.is_none() {
                    self.open(who);
                }
            }
        }
        for _ in 0..2 {
            let first = self.pick();
            for offset in 0..CLIENTS {
                self.serve((first + offset) % CLIENTS);
            }
            if self.random.below(4) > 0 && !self.machine.turn() {
                panic!("the writer stopped by itself");
            }
            let sessions = self.machine.shared.state.sessions();
            for client in &mut self.clients {
                let handle = client.session.and_then(|session| sessions.get(session));
                if client.well_since_ms.is_some() && handle.is_some_and(|handle| handle.is_closing()) {
                    client.note_expiry(now);
                }
            }
        }
        if self.random.below(3) == 0 {
            self.machine.snapshot(1 + self.random.below(4) as usize);
        }
        self.check_memory();
    }

    /// What is held for clients stays within a quarter more than the bound, and one turn of each connection.
    fn check_memory(&self) {
        let of_turns = 2 * CLIENTS * (LIMITS.unsent_bytes_max + LIMITS.request_bytes_max);
        let most = (self.settings.memory_bytes / 4 * 5 + of_turns) as i64;
        let held = self.machine.shared.state.budget.bytes();
        assert!((0..most).contains(&held), "{held} bytes are held for clients, at most {most} may be");
    }

    fn serve(&mut self, who: usize) {
        let now = self.now_ms();
        let client = &mut self.clients[who];
        let mut ended = false;
        if let Some(connection) = &mut client.connection {
            let budget = &self.machine.shared.state.budget;
            let (was_overdrawn, held) = (budget.is_overdrawn(), held_for(&mut connection.link));
            ended = !connection.link.run();
            let more = held_for(&mut connection.link).saturating_sub(held);
            assert!(
                more <= SMALL_BYTES || !was_overdrawn || !budget.is_overdrawn(),
                "client {who} got {more} bytes where no memory was left: {budget:?}"
            );
            // As `net::connection` does it: who waits for memory for so long, and is served nothing, is closed.
            let served = connection.link.protocol().served();
            let waits = connection.link.lacks_memory().then_some((now, served));
            connection.waits =
                waits.map(|new| connection.waits.filter(|then| then.1 == served).unwrap_or(new));
            if connection.waits.is_some_and(|(since_ms, _)| now - since_ms > MEMORY_PATIENCE_MS) {
                connection.link.hang_up();
                client.well_since_ms = None;
                ended = true;
            }
        }
        if let Some(abandoned) = &mut client.abandoned
            && !abandoned.link.run()
        {
            client.abandoned = None;
        }
        if client.is_reading {
            client.receive(now, &mut self.history);
        }
        if ended {
            client.connection = None;
        }
    }

    /// A client connects, also while it has another connection: then its session moves.
    fn open(&mut self, who: usize) {
        let stream = MemoryStream::new(SOCKET_BYTES);
        let link = self.machine.accept(stream.clone());
        let now = self.now_ms();
        let client = &mut self.clients[who];
        if !client.is_connected() {
            client.disconnect();
        }
        client.connect(stream, link, now);
    }

    /// A client is not heard of for a while, with or without its connection.
    fn vanish(&mut self, who: usize) {
        let until = self.now_ms() + 1000 + self.random.below(12_000) as i64;
        let client = &mut self.clients[who];
        client.absent_until_ms = until;
        client.well_since_ms = None;
        if self.random.below(2) == 0 {
            client.disconnect();
        }
    }

    /// The server stands still; its clients do not.
    fn pause(&mut self) {
        for _ in 0..self.random.below(150) {
            self.clock.advance_us(100_000);
            let now = self.now_ms();
            self.clients
                .iter_mut()
                .filter(|client| now >= client.absent_until_ms)
                .for_each(|client| client.tick(now));
        }
        // Whoever runs first when it goes on.
        if self.random.below(2) == 0 {
            self.machine.turn();
        }
    }

    /// The next allocations find no space.
    fn fill_disk(&mut self) {
        let allocations = self.machine.disk.counts().0;
        let count = 1 + self.random.below(30);
        self.machine.disk.set_plan(Plan { full: allocations..allocations + count, ..Plan::default() });
    }

    /// The power goes, and some of what was not durable with it.
    fn crash(&mut self) {
        for client in &mut self.clients {
            client.disconnect();
            client.well_since_ms = None;
        }
        let fresh = if self.random.below(2) == 0 { Fresh::Unwritten } else { Fresh::Recycled };
        let disk = after(&self.machine.disk, fresh, Choice::Random(self.random.below(u64::MAX)));
        // Sessions may come out of it with more ephemerals than their end may list now.
        self.settings.txn_bytes_max = TXN_BYTES_MAX[self.random.below(2) as usize];
        self.machine = Machine::start(&disk, &self.clock, self.settings);
        let last = self.machine.shared.state.last_zxid();
        self.history.txn_bytes_max.push((last, self.settings.txn_bytes_max));
        for client in &self.clients {
            let seen = client.last_zxid;
            assert!(
                seen <= last,
                "client {} has seen {seen}, and after a crash the server is at {last}",
                client.name
            );
        }
    }

    /// All faults are gone; everybody says goodbye, and the server holds nothing for anybody any more.
    fn end(&mut self) {
        self.machine.disk.set_plan(Plan::default());
        for client in &mut self.clients {
            client.is_reading = true;
            client.absent_until_ms = 0;
        }
        self.settle("everybody is connected", |world| world.clients.iter().all(SimClient::is_connected));
        for client in &mut self.clients {
            client.disconnect();
            client.absent_until_ms = i64::MAX;
        }
        self.settle("nothing is held for anybody", |world| {
            let state = &world.machine.shared.state;
            state.client_count() == 0
                && state.budget.bytes() == 0
                && state.budget.waiting() == 0
                && state.watches().is_empty()
                && state.sessions().committed_count() == 0
                && state.tree().ephemerals_count() == 0
        });
    }

    fn settle(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if is_so(self) {
                return;
            }
            self.clock.advance_us(100_000);
            self.turn();
        }
        let state = &self.machine.shared.state;
        panic!(
            "waited in vain until {what}: {} connections, {:?}, {} sessions, {} ephemerals",
            state.client_count(),
            state.budget,
            state.sessions().committed_count(),
            state.tree().ephemerals_count()
        );
    }
}
