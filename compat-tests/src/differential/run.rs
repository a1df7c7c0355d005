//! A run: many seeds on several pairs of servers at once, and what came of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::coverage::Coverage;
use super::exceptions::Exceptions;
use super::pair::{Mismatch, Pair, Setup};
use super::script::{self, Step};
use super::{generate, logs, shrink};
use crate::seat::Seat;

/// How long one pair of servers is used: well below the shortest session timeout, after which sessions
/// would end at a moment that is each server's own.
const PAIR_LIFE: Duration = Duration::from_secs(600);

/// From this many requests on, all that can come up has come up: a kind of request or error that was not
/// seen is one that is not compared. Known differences are part of every seed, so they are missed at once.
const LONG_RUN_OPS: u64 = 100_000;

/// From this many on, what only timing brings about has come up too.
const RUN_WITH_ALL_TIMINGS_OPS: u64 = 1_000_000;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// These seeds.
    pub seeds: RangeInclusive<u64>,
    /// So many requests each.
    pub ops_per_seed: usize,
    /// So many pairs of servers at once.
    pub pairs: usize,
    /// So many seeds on one pair of servers.
    pub seeds_per_pair: usize,
    /// In how many tries a failing script is made short; none for not at all.
    pub shrink: Option<usize>,
    /// No new seed is begun after this long.
    pub limit: Option<Duration>,
    /// Seeds that fail are told and passed over, up to so many.
    pub failures_max: usize,
    /// The servers' place in ensembles, if they are not alone.
    pub seat: Option<Seat>,
}

/// What was run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Requests played on both servers.
    pub ops: u64,
    /// Seeds played without a difference.
    pub seeds: u64,
    /// Log records compared.
    pub logged: usize,
    /// From the first start to the last comparison.
    pub elapsed: Duration,
    /// What was asked and answered.
    pub coverage: Coverage,
    /// What differed, with the seed before it.
    pub failures: Vec<String>,
    /// Exceptions met.
    pub exceptions: Exceptions,
    seat: Option<Seat>,
}

impl Summary {
    /// Fails if anything differed, or if too little was compared.
    pub fn verdict(&self) -> Result<()> {
        if !self.failures.is_empty() {
            bail!("the servers part {} times, first at {}", self.failures.len(), self.failures[0]);
        }
        ensure!(self.ops > 0 && self.logged > 0, "nothing was compared");
        // In ensembles what is known to differ depends on timing.
        let unmet = if self.seat.is_none() {
            self.exceptions.unmet(self.ops >= RUN_WITH_ALL_TIMINGS_OPS)
        } else {
            Vec::new()
        };
        ensure!(unmet.is_empty(), "exceptions that no longer occur, to be taken off the list: {unmet:?}");
        if self.ops >= LONG_RUN_OPS && self.seat.is_none() {
            let missing = self.coverage.missing();
            ensure!(missing.is_empty(), "never asked or answered: {missing:?}");
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.coverage)?;
        for (name, count) in self.exceptions.counts() {
            writeln!(f, "exception {name}: {count} times")?;
        }
        let rate = self.ops as f64 / self.elapsed.as_secs_f64();
        write!(
            f,
            "{} ops, {} seeds without a difference, {} with one, {} log records compared, {:.0} s, {rate:.0} ops/s",
            self.ops,
            self.seeds,
            self.failures.len(),
            self.logged,
            self.elapsed.as_secs_f64()
        )
    }
}

/// What the workers of a run share.
struct Run<'a> {
    plan: &'a Plan,
    begun: Instant,
    next_seed: AtomicU64,
    over: AtomicBool,
    summary: Mutex<Summary>,
}

/// Runs a plan. Differences are printed as they are found.
pub fn run(plan: &Plan) -> Result<Summary> {
    let begun = Instant::now();
    let summary = Summary {
        ops: 0,
        seeds: 0,
        logged: 0,
        elapsed: Duration::ZERO,
        coverage: Coverage::default(),
        failures: Vec::new(),
        exceptions: exceptions_in(plan.seat)?,
        seat: plan.seat,
    };
    let run = Run {
        plan,
        begun,
        next_seed: AtomicU64::new(*plan.seeds.start()),
        over: AtomicBool::new(false),
        summary: Mutex::new(summary),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.pairs).map(|_| scope.spawn(|| run.work())).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    let mut summary = run.summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.elapsed = begun.elapsed();
    Ok(summary)
}

impl Run<'_> {
    fn seed(&self) -> Option<u64> {
        let late = self.plan.limit.is_some_and(|limit| self.begun.elapsed() > limit);
        if late || self.over.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.next_seed.fetch_add(1, Ordering::Relaxed)).filter(|seed| self.plan.seeds.contains(seed))
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays seeds on one pair of servers after the other.
    fn work(&self) -> Result<()> {
        let setup = Setup::in_seat(self.plan.seat)?;
        let mut current = None;
        while let Some(seed) = self.seed() {
            let (mut pair, used, since) = match current.take() {
                Some(current) => current,
                None => (Pair::start(&setup)?, 0, Instant::now()),
            };
            if !self.play(seed, &mut pair, &setup)? {
                continue;
            }
            if used + 1 >= self.plan.seeds_per_pair || since.elapsed() > PAIR_LIFE {
                self.compare_logs(pair)?;
            } else {
                current = Some((pair, used + 1, since));
            }
        }
        current.map_or(Ok(()), |(pair, ..)| self.compare_logs(pair))
    }

    /// Plays one seed; false if the servers part.
    fn play(&self, seed: u64, pair: &mut Pair, setup: &Setup) -> Result<bool> {
        let steps = generate::script_for(seed, self.plan.ops_per_seed, self.plan.seat.is_some());
        let from = pair.played;
        // A server that died answers nothing, which is a difference like any other.
        let outcome = play_and_settle(pair, &steps)
            .unwrap_or_else(|error| Some(Mismatch { step: steps.len(), story: format!("{error:#}\n") }));
        let mut summary = self.summary();
        summary.ops += pair.played - from;
        summary.coverage.add(&std::mem::take(&mut pair.coverage));
        let Some(mismatch) = outcome else {
            summary.seeds += 1;
            return Ok(true);
        };
        drop(summary);
        // Only a hint: where the zxids went apart.
        let hint = compare_files(pair, &mut exceptions_in(self.plan.seat)?).ok().and_then(|(_, story)| story);
        self.fail(format!(
            "seed {seed}, after {} of {} steps:\n{}{}\nRepeat it with: {}\
             cargo run --release -p compat-tests --bin differential -- --seed {seed} --ops {} --shrink",
            mismatch.step,
            steps.len(),
            mismatch.story,
            hint.unwrap_or_default(),
            self.plan.seat.map_or_else(String::new, |seat| format!("OXKEEPER_ENSEMBLE={seat} ")),
            self.plan.ops_per_seed
        ));
        if let Some(tries_max) = self.plan.shrink {
            print_short(setup, seed, &steps, tries_max);
        }
        Ok(false)
    }

    fn fail(&self, story: String) {
        println!("{story}");
        let mut summary = self.summary();
        summary.failures.push(story);
        if summary.failures.len() >= self.plan.failures_max {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    fn compare_logs(&self, mut pair: Pair) -> Result<()> {
        for side in &mut pair.sides {
            side.server.stop()?;
        }
        let mut exceptions = exceptions_in(self.plan.seat)?;
        let (logged, story) = compare_files(&mut pair, &mut exceptions)?;
        let mut summary = self.summary();
        summary.logged += logged;
        summary.exceptions.add(&exceptions);
        drop(summary);
        if let Some(story) = story {
            self.fail(format!("a pair of servers after its last seed: {story}"));
        }
        Ok(())
    }
}

fn exceptions_in(seat: Option<Seat>) -> Result<Exceptions> {
    if seat.is_some() { Exceptions::load_of_ensembles() } else { Exceptions::load() }
}

fn play_and_settle(pair: &mut Pair, steps: &[Step]) -> Result<Option<Mismatch>> {
    match pair.play(steps, false)? {
        None => pair.settle(steps.len()),
        mismatch => Ok(mismatch),
    }
}

fn compare_files(pair: &mut Pair, exceptions: &mut Exceptions) -> Result<(usize, Option<String>)> {
    let [reference, other] = &mut pair.sides;
    let dirs = [reference.server.data_dir(), other.server.data_dir()];
    logs::compare(dirs, [&mut reference.normal, &mut other.normal], exceptions)
}

fn print_short(setup: &Setup, seed: u64, steps: &[Step], tries_max: usize) {
    let tell = |tries: usize, left: usize| eprintln!("  try {tries}: {left} steps left");
    match shrink::shrink(setup, steps, tries_max, tell) {
        Some((short, mismatch)) => println!(
            "# seed {seed}, {} steps; play it again with --replay\n{}# {}",
            short.len(),
            script::print(&short),
            mismatch.story.replace('\n', "\n# ")
        ),
        None => println!("# seed {seed} does not part fresh servers"),
    }
}
