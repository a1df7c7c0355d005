//! Plays seeds on both sides and compares the stories.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::history::History;
use super::seat::{Layout, VOTERS};
use super::{Side, following, leading, voting};
use crate::acknowledged::Random;
use crate::compare;
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
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    played: [u64; 3],
    differing: Vec<(u64, String)>,
    unstable: Vec<u64>,
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
        let mut random = Random::new(seed, 0x51);
        for _ in 0..8 {
            // Neighbouring seeds begin alike.
            random.below(2);
        }
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
    pub fn play(&self, sides: [&Side; 2]) -> Result<[String; 2]> {
        let layout = Layout::new(self.sid, self.lines.clone())?;
        let mut stories = [String::new(), String::new()];
        for (side, story) in sides.into_iter().zip(&mut stories) {
            let told = match &self.script {
                Script::Leading(script) => leading::play(side, &layout, &self.history, script),
                Script::Following(script) => following::play(side, &layout, &self.history, script),
                Script::Voting(script) => voting::play(side, &layout, &self.history, script),
            };
            *story = told.with_context(|| format!("seed {} with {side:?}", self.seed))?;
        }
        Ok(stories)
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
    let reference = side(Kind::Apache(crate::artifacts::REFERENCE))?;
    let judged = side(compare::judged())?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    for seed in plan.seeds.clone() {
        if plan.limit.is_some_and(|limit| begun.elapsed() > limit) {
            break;
        }
        let case = Case::generate(seed)?;
        let seat = match case.script {
            Script::Leading(_) => 0,
            Script::Following(_) => 1,
            Script::Voting(_) => 2,
        };
        summary.played[seat] += 1;
        match difference(&case, [&reference, &judged]) {
            Ok(None) => {}
            Ok(Some(Difference::Unstable)) => summary.unstable.push(seed),
            Ok(Some(Difference::Is(text))) => summary.differing.push((seed, text)),
            Err(error) => summary.differing.push((seed, format!("{error:?}"))),
        }
        if summary.differing.len() >= plan.failures_max {
            break;
        }
    }
    summary.took = begun.elapsed();
    Ok(summary)
}

enum Difference {
    Is(String),
    Unstable,
}

fn difference(case: &Case, sides: [&Side; 2]) -> Result<Option<Difference>> {
    let mut expected: Option<String> = None;
    let mut differs = String::new();
    for _ in 0..TRIES {
        let [reference, judged] = case.play(sides)?;
        match compare::equal(&format!("quorum-ports-{}", case.seed), &reference, &judged) {
            Ok(()) => return Ok(None),
            Err(error) => differs = format!("{error}"),
        }
        // The ports are others at each try.
        let same_length = |text: &String| text.lines().count();
        if expected.is_some_and(|expected| same_length(&expected) != same_length(&reference)) {
            return Ok(Some(Difference::Unstable));
        }
        expected = Some(reference);
    }
    Ok(Some(Difference::Is(differs)))
}
