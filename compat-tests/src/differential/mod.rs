//! The differential run: one stream of requests, two servers, every byte of every answer.
//!
//! A [`generate::script`] is played on the reference and on the judged server in lock step
//! ([`pair::Pair`]). What comes back is made comparable ([`normal`]) and compared: replies, events and
//! their place between the replies, closes. At the end of a seed the words and the whole tree are
//! compared ([`settle`]), at the end of a pair of servers their logs ([`logs`]). A stream that makes
//! them part is made short ([`shrink`]) and printed as a [`script`] that can be played again.
//!
//! What is known to differ stands in `exceptions.toml` ([`exceptions`]) and nowhere else.

pub mod connection;
pub mod exceptions;
pub mod generate;
pub mod logs;
pub mod normal;
pub mod pair;
mod parts;
pub mod random;
mod requests;
pub mod script;
pub mod settle;
pub mod shrink;
pub mod side;
mod words;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::exceptions::Exceptions;
use self::pair::{Mismatch, Pair};
use self::script::Step;

/// How long one pair of servers is used: well below the shortest session timeout, after which sessions
/// would end at a moment that is each server's own.
const PAIR_LIFE: Duration = Duration::from_secs(600);

/// From this many requests on, an exception that did not occur is one that no longer does.
pub const LONG_RUN_OPS: u64 = 100_000;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// These seeds.
    pub seeds: RangeInclusive<u64>,
    /// So many requests each.
    pub ops_per_seed: usize,
    /// So many seeds on one pair of servers.
    pub seeds_per_pair: usize,
    /// Whether a failing script is made short.
    pub shrink: bool,
    /// No new seed is begun after this long.
    pub limit: Option<Duration>,
    /// Seeds that fail are told and passed over, up to so many.
    pub failures_max: usize,
}

/// What was run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Requests played on both servers.
    pub ops: u64,
    /// Seeds played without a difference.
    pub seeds: u64,
    /// Log records compared.
    pub logged: usize,
    /// Time spent playing, without the starts.
    pub playing: Duration,
    /// Seeds that failed.
    pub failures: Vec<u64>,
    /// Exceptions met.
    pub exceptions: Exceptions,
}

/// Runs a plan. Differences are printed as they are found; at least one makes the run fail.
pub fn run(plan: &Plan) -> Result<Summary> {
    let mut summary = Summary { exceptions: Exceptions::load()?, ..Summary::default() };
    let begun = Instant::now();
    let mut current: Option<(Pair, usize, Instant)> = None;
    let mut closing = None;
    for seed in plan.seeds.clone() {
        if plan.limit.is_some_and(|limit| begun.elapsed() > limit) {
            break;
        }
        let (mut pair, used, since) = match current.take() {
            Some(current) => current,
            None => (Pair::start()?, 0, Instant::now()),
        };
        let steps = generate::script(seed, plan.ops_per_seed);
        let (from, started) = (pair.played, Instant::now());
        // A server that died answers nothing, which is a difference like any other.
        let outcome = play_and_settle(&mut pair, &steps)
            .unwrap_or_else(|error| Some(Mismatch { step: steps.len(), story: format!("{error:#}\n") }));
        summary.playing += started.elapsed();
        summary.ops += pair.played - from;
        if let Some(mismatch) = outcome {
            println!(
                "seed {seed} parts the servers after {} of {} steps:\n{}",
                mismatch.step,
                steps.len(),
                mismatch.story
            );
            summary.failures.push(seed);
            // Only a hint: where the zxids went apart.
            if let Ok((_, Some(story))) = compare_files(&mut pair, &mut Exceptions::load()?) {
                println!("{story}");
            }
            drop(pair);
            if plan.shrink {
                print_short(seed, &steps)?;
            }
            if summary.failures.len() >= plan.failures_max {
                break;
            }
            continue;
        }
        summary.seeds += 1;
        if used + 1 >= plan.seeds_per_pair || since.elapsed() > PAIR_LIFE {
            closing = compare_logs(pair, &mut summary)?.or(closing);
        } else {
            current = Some((pair, used + 1, since));
        }
        if closing.is_some() {
            break;
        }
    }
    if let Some((pair, ..)) = current {
        closing = compare_logs(pair, &mut summary)?.or(closing);
    }
    if let Some(story) = closing {
        bail!("{story}\n(all seeds up to here agreed: {summary:?})");
    }
    if !summary.failures.is_empty() {
        bail!("the servers part ways on seeds {:?} ({} ops played)", summary.failures, summary.ops);
    }
    Ok(summary)
}

fn play_and_settle(pair: &mut Pair, steps: &[Step]) -> Result<Option<Mismatch>> {
    match pair.play(steps, false)? {
        None => pair.settle(steps.len()),
        mismatch => Ok(mismatch),
    }
}

fn compare_logs(mut pair: Pair, summary: &mut Summary) -> Result<Option<String>> {
    for side in &mut pair.sides {
        side.server.stop()?;
    }
    let (logged, story) = compare_files(&mut pair, &mut summary.exceptions)?;
    summary.logged += logged;
    Ok(story)
}

fn compare_files(pair: &mut Pair, exceptions: &mut Exceptions) -> Result<(usize, Option<String>)> {
    let [reference, other] = &mut pair.sides;
    let dirs = [reference.server.data_dir(), other.server.data_dir()];
    logs::compare(dirs, [&mut reference.normal, &mut other.normal], exceptions)
}

fn print_short(seed: u64, steps: &[Step]) -> Result<()> {
    let tell = |tries: usize, left: usize| eprintln!("  try {tries}: {left} steps left");
    match shrink::shrink(steps, tell)? {
        Some((short, mismatch)) => println!(
            "# seed {seed}, {} steps; play it again with --replay\n{}# {}",
            short.len(),
            script::print(&short),
            mismatch.story.replace('\n', "\n# ")
        ),
        None => println!("# seed {seed} does not part fresh servers"),
    }
    Ok(())
}

/// Plays a script from a file on a fresh pair, looking closely.
pub fn replay(text: &str) -> Result<Option<Mismatch>> {
    let steps = script::parse(text)?;
    let mut pair = Pair::start()?;
    match pair.play(&steps, true)? {
        None => pair.settle(steps.len()),
        mismatch => Ok(mismatch),
    }
}
