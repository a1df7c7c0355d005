//! From a seed to a script.
//!
//! A seed first decides what it likes (how many clients, bursts or quotas, how much nonsense), then
//! what comes. Quotas and bursts exclude each other: the reference checks a quota against what is
//! applied, so the answer to a write in a burst depends on how far the earlier ones have come.

use super::parts::spoil;
use super::random::Random;
use super::requests::{self, Asked, Taste};
use super::script::{Field, Hello, Password, Step, Whose, op};

/// Client connections a script may use.
pub const SLOTS: usize = 4;

/// Words whose answers are compared in the middle of a run.
const WORDS: [&str; 9] = ["ruok", "srvr", "isro", "wchs", "wchp", "wchc", "mntr", "dump", "gtmk"];

struct Generator {
    random: Random,
    steps: Vec<Step>,
    slots: usize,
    taste: Taste,
    quotas: bool,
    bursts: usize,
    connections: usize,
    expiries: usize,
    xid: i32,
    in_ensemble: bool,
}

/// The script of one seed, of about `ops` requests.
#[must_use]
pub fn script(seed: u64, ops: usize) -> Vec<Step> {
    script_for(seed, ops, false)
}

/// The same for servers that may sit in ensembles, where some requests would stop the reference.
#[must_use]
pub fn script_for(seed: u64, ops: usize, in_ensemble: bool) -> Vec<Step> {
    let mut random = Random::new(seed);
    let quotas = random.chance(30);
    let mut generator = Generator {
        slots: 2 + random.below(SLOTS - 1),
        taste: Taste { odd_acls: random.pick(&[0, 5, 5, 25]), spoiled: random.pick(&[0, 1, 1, 5]) },
        bursts: if quotas { 0 } else { random.pick(&[0, 30, 120]) },
        connections: random.pick(&[0, 1, 1, 4]),
        expiries: random.pick(&[0, 1]),
        quotas,
        random,
        steps: Vec::with_capacity(ops + 64),
        xid: 0,
        in_ensemble,
    };
    let restart =
        if generator.random.chance(30) { ops / 4 + generator.random.below(ops / 2 + 1) } else { usize::MAX };
    let [failing_multi, container, undecodable] = requests::known_differences();
    generator.send(0, false, failing_multi);
    generator.send(0, false, container);
    if !in_ensemble {
        generator.send(0, false, undecodable);
    }
    while generator.steps.len() < ops {
        let before = generator.steps.len();
        generator.more();
        if before < restart && generator.steps.len() >= restart {
            generator.restart();
        }
    }
    generator.steps
}

fn no_nulls(body: &mut [Field]) {
    for field in body.iter_mut().filter(|field| **field == Field::Null) {
        *field = Field::Text(String::new());
    }
}

impl Generator {
    fn more(&mut self) {
        let at = self.random.below(self.slots);
        let quota = if self.quotas { 3 } else { 0 };
        match self.random.weighted(&[
            900,
            2,
            self.bursts,
            10 * self.connections,
            2,
            quota * 10,
            2 * self.connections,
            self.expiries,
            6,
        ]) {
            0 => self.reads_and_a_write(at),
            1 => {
                let word = self.random.pick(&WORDS).to_owned();
                self.steps.push(Step::Word { word });
            }
            2 => self.burst(at),
            3 => self.connection(at),
            4 => self.nonsense(at),
            5 => {
                for asked in requests::quota(&mut self.random) {
                    self.send(at, false, asked);
                }
            }
            6 => self.send(at, false, (op("closeSession"), vec![])),
            7 => self.expiry(),
            _ => {
                for asked in requests::permissions(&mut self.random) {
                    self.send(at, false, asked);
                }
            }
        }
    }

    /// What follows a read need not wait for its answer: it would be the same.
    fn reads_and_a_write(&mut self, at: usize) {
        let mut asked = self.anything();
        while requests::is_read(asked.0) && self.random.chance(75) {
            let next = self.anything();
            // The reference answers some of the others ahead of what waits.
            self.send(at, requests::is_ordinary(next.0), asked);
            asked = next;
        }
        self.send(at, false, asked);
    }

    /// One session or several end for their silence.
    fn expiry(&mut self) {
        let first = self.random.below(self.slots);
        let count = 1 + self.random.below(self.slots);
        let slots = (0..count).map(|next| (first + next) % self.slots).collect();
        self.steps.push(Step::Expire { slots, hang_up: self.random.chance(50) });
    }

    fn send(&mut self, at: usize, more: bool, (kind, mut body): Asked) {
        if self.in_ensemble && kind == op("multi") {
            // A null list: see `undecodable-write-of-a-member` in `exceptions.toml`.
            no_nulls(&mut body);
        }
        self.xid += 1;
        let xid = if self.random.below(200) == 0 {
            self.random.pick(&[0, -2, -4, -8, i32::MAX, i32::MIN, -3])
        } else {
            self.xid
        };
        self.steps.push(Step::Send { at, more, xid, op: kind, body });
    }

    /// What neither closes the connection nor must come alone.
    fn ordinary(&mut self) -> Asked {
        let (random, taste) = (&mut self.random, self.taste);
        match random.weighted(&[28, 12, 12, 4, 10, 30, 10, 4]) {
            0 => requests::create(random, taste, false),
            1 => requests::delete(random),
            2 => requests::set_data(random),
            3 => requests::set_acl(random),
            4 => requests::multi(random, taste),
            5 => requests::read(random),
            6 => requests::watch(random),
            _ => requests::multi_read(random, taste),
        }
    }

    fn anything(&mut self) -> Asked {
        let mut asked = match self.random.weighted(&[960, 8, 6]) {
            0 => self.ordinary(),
            1 => requests::auth(&mut self.random),
            _ => requests::rare(&mut self.random),
        };
        self.spoil_perhaps(&mut asked);
        asked
    }

    /// In an ensemble no write: see `undecodable-write-of-a-member` in `exceptions.toml`.
    fn spoil_perhaps(&mut self, asked: &mut Asked) {
        let may = !self.in_ensemble
            || requests::is_read(asked.0)
            || asked.0 == op("auth")
            || asked.0 == op("createSession");
        if self.random.chance(self.taste.spoiled) && may {
            spoil(&mut self.random, &mut asked.1);
        }
    }

    /// Several requests sent at once: the later ones are checked against changes not yet applied.
    fn burst(&mut self, at: usize) {
        let longest = if self.random.chance(10) { 60 } else { 8 };
        let count = 2 + self.random.below(longest);
        for _ in 1..count {
            let mut asked = self.ordinary();
            if asked.0 == op("setACL") {
                // See `set-acl-in-a-burst` in `exceptions.toml`.
                continue;
            }
            requests::avoid_ephemeral_container(asked.0, &mut asked.1);
            if asked.0 == op("multi") {
                // See `null-in-a-multi-of-a-burst` in `exceptions.toml`.
                no_nulls(&mut asked.1);
            } else {
                self.spoil_perhaps(&mut asked);
            }
            self.send(at, true, asked);
        }
        let last = if self.random.chance(5) { (op("closeSession"), vec![]) } else { self.ordinary() };
        self.send(at, false, last);
    }

    fn connection(&mut self, at: usize) {
        let random = &mut self.random;
        let mut hello = Hello::default();
        match random.weighted(&[35, 20, 20, 15, 10]) {
            0 => hello.whose = Whose::Of(at),
            1 => hello.whose = Whose::Of(random.below(self.slots)),
            2 => {
                hello.whose = Whose::Of(random.below(self.slots));
                hello.password =
                    random.pick(&[Password::Wrong, Password::Empty, Password::Null, Password::Right]);
            }
            3 => {
                self.steps.push(Step::Drop { at });
                if random.chance(50) {
                    return;
                }
                hello.whose = if random.chance(50) { Whose::Of(at) } else { Whose::New };
            }
            _ => {
                hello.whose = random.pick(&[
                    Whose::New,
                    Whose::Stranger(5),
                    Whose::Stranger(-1),
                    Whose::Stranger(i64::MIN),
                ])
            }
        }
        if random.chance(10) {
            hello.seen = Some(random.pick(&[-5, 0, 1000, 1_000_000, i64::MAX / 2]));
        }
        if random.chance(10) {
            hello.timeout_ms = random.pick(&[900_001, 1_000_000, 30_000_000, i32::MAX]);
        }
        hello.read_only = random.pick(&[Some(false), Some(false), Some(false), Some(true), None]);
        if random.chance(3) {
            hello.cut = 1 + random.below(45);
        }
        let takes_over = hello.whose != Whose::New;
        self.steps.push(Step::Connect { at, hello });
        if takes_over && self.random.chance(50) {
            let asked = requests::set_watches(&mut self.random);
            self.send(at, false, asked);
        }
    }

    /// Both servers start again, and most clients come back, some with their watches.
    fn restart(&mut self) {
        self.steps.push(Step::Restart);
        for at in 0..self.slots {
            if self.random.chance(80) {
                self.steps
                    .push(Step::Connect { at, hello: Hello { whose: Whose::Of(at), ..Hello::default() } });
                let asked = requests::set_watches(&mut self.random);
                self.send(at, false, asked);
            }
        }
    }

    /// Frames and lengths that are no requests.
    fn nonsense(&mut self, at: usize) {
        let random = &mut self.random;
        let step = match random.below(4) {
            0 => Step::Frame { at, bytes: vec![0xFF; random.below(8)] },
            1 => Step::Bytes { at, bytes: random.pick(&[-1, i32::MIN, -100]).to_be_bytes().to_vec() },
            2 => Step::Bytes {
                at,
                bytes: random.pick(&[1_048_576, i32::MAX, 2_000_000]).to_be_bytes().to_vec(),
            },
            _ => Step::Bytes { at, bytes: b"ruok".to_vec() },
        };
        self.steps.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{parse, print};
    use super::*;

    #[test]
    fn a_seed_gives_the_same_script_every_time() {
        assert_eq!(script(7, 300), script(7, 300));
        assert_ne!(script(7, 300), script(8, 300));
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        for seed in 0..30 {
            let steps = script(seed, 400);
            let text = print(&steps);
            assert_eq!(parse(&text).expect("a printed script"), steps);
        }
    }
}
