//! Plays seeds on both sides and compares the stories.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::history::History;
use super::seat::{Layout, VOTERS};
use super::{Side, excuses, following, leading, voting};
use crate::acknowledged::Random;
use crate::compare;
use crate::differential::exceptions::Exceptions;
use crate::host::Host;
use crate::server::Kind;

/// Times that a difference must show itself: what depends on the machine's load does not.
const TRIES: usize = 3;

/// The seat that the server takes.
#[derive(Clone, Debug)]
pub enum Script {
    /// It leads.
    Leading(leading::Script),
    /// It follows or observes.
    Following(following::Script),
    /// It votes.
    Voting(voting::Script),
}

/// Everything that a seed makes.
#[derive(Clone, Debug)]
pub struct Case {
    seed: u64,
    sid: i64,
    lines: Vec<String>,
    history: History,
    /// What is said.
    pub script: Script,
}

/// What to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seeds.
    pub seeds: RangeInclusive<u64>,
    /// Stop after so many that differ.
    pub failures_max: usize,
    /// Begin no new one after this time.
    pub limit: Option<Duration>,
    /// Pairs of servers at once.
    pub lanes: usize,
    /// Who sits in the seat under judgement.
    pub judged: Kind,
    /// What is spoilt there.
    pub fault: Option<Fault>,
}

impl Plan {
    /// Seeds up to this one, with the server under judgement.
    #[must_use]
    pub fn up_to(last: u64) -> Self {
        let judged = compare::judged();
        Self { seeds: 1..=last, failures_max: 1, limit: None, lanes: 2, judged, fault: None }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    played: [u64; 3],
    differing: Vec<(u64, String)>,
    unstable: Vec<u64>,
    exceptions: Exceptions,
    took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [leading, following, voting] = self.played;
        for (seed, difference) in &self.differing {
            writeln!(f, "seed {seed}: {difference}\n")?;
        }
        if !self.unstable.is_empty() {
            writeln!(f, "told differently each time, and left out: seeds {:?}", self.unstable)?;
        }
        for (name, count) in self.exceptions.counts() {
            writeln!(f, "{count:5} {name}")?;
        }
        write!(
            f,
            "{} conversations in {:.0?}: {leading} with a leader, {following} with a learner, {voting} with a voter; \
             {} differ",
            self.played.iter().sum::<u64>(),
            self.took,
            self.differing.len()
        )
    }
}

impl Summary {
    /// How many conversations differed.
    #[must_use]
    pub fn differing(&self) -> usize {
        self.differing.len()
    }

    /// Fails if a conversation differed, or too many could not be compared.
    pub fn verdict(&self) -> Result<()> {
        let seeds: Vec<u64> = self.differing.iter().map(|(seed, _)| *seed).collect();
        ensure!(
            seeds.is_empty(),
            "the servers differ: repeat it with: cargo run -p compat-tests --bin quorum-ports -- --seed {}",
            seeds[0]
        );
        let played: u64 = self.played.iter().sum();
        ensure!(played > 0, "nothing was compared");
        ensure!(self.unstable.len() as u64 * 20 <= played, "too many conversations could not be compared");
        Ok(())
    }
}

impl Case {
    /// From a seed.
    pub fn generate(seed: u64) -> Result<Self> {
        // Neighbouring seeds would begin alike.
        let mut random = Random::new(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) << 1, 0x51);
        let seat = random.below(5);
        let mut sid = 1 + random.below(VOTERS as u64) as i64;
        let factor = ["0.33", "0", "-1"][random.below(3) as usize];
        let lines = vec![format!("snapshotSizeFactor={factor}")];
        let history = History::generate(&mut random);
        if seat == 3 && random.below(3) == 0 {
            sid = VOTERS + 1;
        }
        let layout = Layout::new(sid, lines.clone())?;
        let script = match seat {
            0..=1 => Script::Leading(leading::Script::generate(&mut random, &layout, &history)),
            2..=3 => Script::Following(following::Script::generate(&mut random, &layout, &history)),
            _ => Script::Voting(voting::Script::generate(&mut random, &layout, &history)),
        };
        Ok(Self { seed, sid, lines, history, script })
    }

    /// Plays it on both sides, each in its turn.
    pub fn play(&self, sides: [&Side; 2], fault: Option<Fault>) -> Result<[String; 2]> {
        let layout = Layout::new(self.sid, self.lines.clone())?;
        let expected = self.play_on(sides[0], &layout, &self.history)?;
        // Other ports: of a reference that was stopped in its process some thread may still dial.
        let layout = Layout::new(self.sid, self.lines.clone())?;
        let mut history = self.history.clone();
        if let Some(fault) = fault {
            fault.put_into(&mut history);
        }
        Ok([expected, self.play_on(sides[1], &layout, &history)?])
    }

    fn play_on(&self, side: &Side, layout: &Layout, history: &History) -> Result<String> {
        let told = match &self.script {
            Script::Leading(script) => leading::play(side, layout, history, script),
            Script::Following(script) => following::play(side, layout, history, script),
            Script::Voting(script) => voting::play(side, layout, history, script),
        };
        let told = told.with_context(|| format!("seed {} with {side}", self.seed))?;
        Ok(layout.without_ports(&told))
    }
}

/// What is spoilt for one side, to see that the comparison notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The last transaction is gone.
    LastTransactionLost,
    /// It has not accepted the last epoch.
    EpochForgotten,
}

impl Fault {
    fn put_into(self, history: &mut History) {
        match self {
            Self::LastTransactionLost => history.lose_last(),
            Self::EpochForgotten => {
                history.accepted = (history.accepted - 1).max(history.last() >> 32);
                history.current = history.current.min(history.accepted);
            }
        }
    }
}

/// The side of a kind of server.
pub fn side(kind: Kind) -> Result<Side> {
    Ok(match kind {
        Kind::Apache(_) => Side::Reference(Host::of_members(&[])?),
        Kind::Oxkeeper => Side::Oxkeeper,
    })
}

/// Plays all of a plan.
pub fn run(plan: &Plan) -> Result<Summary> {
    let begun = Instant::now();
    let next = AtomicU64::new(*plan.seeds.start());
    let shared = Mutex::new(Summary::default());
    std::thread::scope(|scope| -> Result<()> {
        let lanes: Vec<_> =
            (0..plan.lanes).map(|_| scope.spawn(|| lane(plan, begun, &next, &shared))).collect();
        for lane in lanes {
            lane.join().unwrap_or_else(|_| Err(anyhow!("a lane panicked")))?;
        }
        Ok(())
    })?;
    let mut summary = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.differing.sort();
    summary.took = begun.elapsed();
    Ok(summary)
}

/// One pair of sides, which takes one seed after the other.
fn lane(plan: &Plan, begun: Instant, next: &AtomicU64, shared: &Mutex<Summary>) -> Result<()> {
    let reference = side(Kind::Apache(crate::artifacts::REFERENCE))?;
    let judged = side(plan.judged)?;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let is_late = plan.limit.is_some_and(|limit| begun.elapsed() > limit);
        if seed > *plan.seeds.end() || is_late {
            return Ok(());
        }
        let case = Case::generate(seed)?;
        let mut exceptions = Exceptions::load_of_quorum_ports()?;
        let found = difference(&case, [&reference, &judged], plan.fault, &mut exceptions);
        let mut summary = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if summary.differing.len() >= plan.failures_max {
            return Ok(());
        }
        summary.exceptions.add(&exceptions);
        summary.played[match case.script {
            Script::Leading(_) => 0,
            Script::Following(_) => 1,
            Script::Voting(_) => 2,
        }] += 1;
        match found {
            Ok(None) => {}
            Ok(Some(Difference::Unstable)) => summary.unstable.push(seed),
            Ok(Some(Difference::Is(text))) => summary.differing.push((seed, text)),
            Err(error) => summary.differing.push((seed, format!("{error:?}"))),
        }
    }
}

enum Difference {
    Is(String),
    Unstable,
}

fn difference(
    case: &Case,
    sides: [&Side; 2],
    fault: Option<Fault>,
    exceptions: &mut Exceptions,
) -> Result<Option<Difference>> {
    let mut expected: Option<String> = None;
    let mut differs = String::new();
    for _ in 0..TRIES {
        let [reference, judged] = case.play(sides, fault)?;
        if reference != judged && excuses::are_excused([&reference, &judged], exceptions) {
            return Ok(None);
        }
        match compare::equal(&format!("quorum-ports-{}", case.seed), &reference, &judged) {
            Ok(()) => return Ok(None),
            Err(error) => differs = format!("{error}"),
        }
        if expected.is_some_and(|expected| expected != reference) {
            return Ok(Some(Difference::Unstable));
        }
        expected = Some(reference);
    }
    Ok(Some(Difference::Is(differs)))
}
