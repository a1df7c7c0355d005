//! A random sample of small changes to the code, and how many of them no in-process test notices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::code;
use super::copy::{self, CompileError, Copy, Edit, Placed, Which};
use super::judge::{Judge, in_parallel};
use super::points::{self, Point};
use crate::artifacts;

/// The modules whose tests are judged, those that exist.
pub const MODULES: [&str; 8] =
    ["request", "replica", "session", "watch", "net", "runtime", "zab", "pipeline"];
/// Tests that take longer without a fault do not judge.
const SLOW: Duration = Duration::from_secs(60);
/// Tests that take long and are about files only.
const ABOUT_FILES: [&str; 5] =
    ["sim::crash_test", "sim::corruption_test", "sim::fault_test", "sim::mutant_test", "txnlog::"];
/// How often the compiler may find mutants that are no Rust.
const BUILDS_MAX: usize = 30;

/// What to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Modules of the server.
    pub modules: Vec<String>,
    /// How many changes.
    pub sample: usize,
    /// Chooses them.
    pub seed: u64,
    /// Mutants at a time.
    pub jobs: usize,
    /// Goes on with what an earlier run with the same plan has found out.
    pub resume: bool,
}

/// A change, and the test that noticed it.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The change.
    pub point: Point,
    /// Who noticed it.
    pub killed_by: Option<String>,
    /// Whether any test comes by.
    pub is_reached: bool,
    /// Why it may survive, from `survivors.toml`.
    pub reason: Option<String>,
}

/// What came of a sample.
#[derive(Clone, Debug)]
pub struct Report {
    /// All that were tried, in the order of the code.
    pub mutants: Vec<Mutant>,
    /// How many places there are in all.
    pub points: usize,
    /// Where the results are, for the next run.
    pub results: PathBuf,
}

/// Draws a sample, builds it and lets the tests judge.
pub fn run(plan: &Plan) -> Result<Report> {
    let places: Vec<_> = plan.modules.iter().map(|module| format!("src/{module}")).collect();
    let sources = code(&places.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut all = Vec::new();
    for (file, text) in &sources {
        all.extend(points::find(file, text)?);
    }
    let count = all.len();
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(plan.seed).shuffle(&mut order);
    println!("{count} places in {} files of {}", sources.len(), plan.modules.join(", "));
    let copy = Copy::open(Which::Mutants)?;
    let (program, chosen) = build(&copy, &all, &order, plan.sample)?;
    let judge = Judge::new(program)?;
    let results = Results::open(&copy, plan, &all)?;
    let begun = Instant::now();
    let mut names = judge.names()?;
    names.retain(|name| !ABOUT_FILES.iter().any(|module| name.starts_with(module)));
    let tests = judge.without_faults(&names, SLOW, plan.jobs)?;
    ensure!(tests.iter().any(|test| !test.reaches.is_empty()), "no test comes by any mutant");
    println!("{} tests judge; they took {:.0?} without a fault", tests.len(), begun.elapsed());
    for name in names.iter().filter(|name| tests.iter().all(|test| test.name != **name)) {
        println!("no judge, as it fails or takes longer than {SLOW:?} by itself: {name}");
    }
    let reasons = reasons()?;
    let done = Mutex::new(0);
    let verdicts = in_parallel(&chosen, plan.jobs, |number| {
        let point = &all[*number];
        let by = match results.known.get(number) {
            Some(by) => by.clone(),
            None => {
                let module = point.file.trim_start_matches("src/").split(['/', '.']).next();
                let by = judge.notices(*number, module.unwrap_or_default(), tests.iter())?;
                results.add(*number, by.as_deref())?;
                by
            }
        };
        let mut done = done.lock().expect("no worker panics with the lock");
        *done += 1;
        if by.is_none() {
            println!("{}/{}: {}:{}: survives: {}", *done, chosen.len(), point.file, point.line, point.change);
        }
        Ok(by)
    })?;
    let mutants = chosen.iter().zip(verdicts).map(|(number, killed_by)| Mutant {
        point: all[*number].clone(),
        killed_by,
        is_reached: tests.iter().any(|test| test.reaches.contains(number)),
        reason: reasons.get(&all[*number].key()).cloned(),
    });
    let mut mutants: Vec<_> = mutants.collect();
    mutants.sort_by_key(|mutant| (mutant.point.file.clone(), mutant.point.line));
    Ok(Report { mutants, points: count, results: results.path })
}

/// Builds a copy with the first of `order` that are Rust, `wanted` of them.
fn build(copy: &Copy, all: &[Point], order: &[usize], wanted: usize) -> Result<(PathBuf, Vec<usize>)> {
    let mut rejected = BTreeSet::new();
    for _ in 0..BUILDS_MAX {
        let chosen: Vec<usize> =
            order.iter().copied().filter(|number| !rejected.contains(number)).take(wanted).collect();
        let mut edits: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
        for number in &chosen {
            let Point { file, range, before, after, .. } = &all[*number];
            let before = before.replace(points::SWITCH, &copy::is_on(*number));
            let edit =
                Edit { fault: *number, range: range.clone(), before, keeps: true, after: after.clone() };
            edits.entry(file.clone()).or_default().push(edit);
        }
        let places = copy.write(all.len(), &edits)?;
        let begun = Instant::now();
        match copy.build_tests()? {
            Ok(program) => {
                println!(
                    "{} mutants built in {:.0?}; {} were no Rust",
                    chosen.len(),
                    begun.elapsed(),
                    rejected.len()
                );
                return Ok((program, chosen));
            }
            Err(errors) => {
                let before = rejected.len();
                rejected.extend(errors.iter().filter_map(|error| guilty(error, &places)));
                if rejected.len() == before {
                    let first = &errors[0];
                    bail!(
                        "{}, byte {}: {}: no mutant is to blame, so the code does not compile without them either",
                        first.file,
                        first.range.start,
                        first.message
                    );
                }
            }
        }
    }
    bail!("{BUILDS_MAX} builds left mutants that are no Rust")
}

/// The mutant that an error is about: the smallest that it lies in, or the last one before it.
fn guilty(error: &CompileError, places: &BTreeMap<String, Vec<Placed>>) -> Option<usize> {
    let placed = places.get(&error.file)?;
    let holds =
        |place: &&Placed| place.range.start <= error.range.start && error.range.end <= place.range.end;
    let within = placed.iter().filter(holds).min_by_key(|place| place.range.len());
    let touched = || {
        let touches =
            |place: &&Placed| place.range.start < error.range.end && error.range.start < place.range.end;
        placed.iter().filter(touches).min_by_key(|place| place.range.len())
    };
    let before = || {
        let earlier = placed.iter().filter(|place| place.range.end <= error.range.start);
        earlier.max_by_key(|place| place.range.end)
    };
    within.or_else(touched).or_else(before).map(|place| place.fault)
}

/// What is found out, kept in a file: a line for each mutant, with its number and who noticed it.
struct Results {
    path: PathBuf,
    file: File,
    known: BTreeMap<usize, Option<String>>,
}

impl Results {
    fn open(copy: &Copy, plan: &Plan, all: &[Point]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        for point in all {
            (point.key(), point.line).hash(&mut hasher);
        }
        let title = format!("seed {} of {} places, {:016x}", plan.seed, all.len(), hasher.finish());
        let path = copy.beside(&format!("results-{}.tsv", plan.seed));
        let mut known = BTreeMap::new();
        if plan.resume && path.exists() {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let (first, rest) = text.split_once('\n').unwrap_or_default();
            ensure!(
                first == title,
                "{} is about other code ({first}, and not {title}): run without --resume",
                path.display()
            );
            known = rest.lines().filter_map(read_line).collect();
            println!("{} mutants are known from {}", known.len(), path.display());
        }
        // What was cut off at the end goes.
        let lines: String = known.iter().map(|(number, by)| line(*number, by.as_deref())).collect();
        fs::write(&path, format!("{title}\n{lines}")).with_context(|| format!("write {}", path.display()))?;
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self { file: file.with_context(|| format!("open {}", path.display()))?, path, known })
    }

    fn add(&self, number: usize, by: Option<&str>) -> Result<()> {
        let line = line(number, by);
        (&self.file).write_all(line.as_bytes()).with_context(|| format!("write {}", self.path.display()))
    }
}

fn line(number: usize, by: Option<&str>) -> String {
    format!("{number}\t{}\n", by.unwrap_or_default())
}

fn read_line(line: &str) -> Option<(usize, Option<String>)> {
    let (number, by) = line.split_once('\t')?;
    Some((number.parse().ok()?, (!by.is_empty()).then(|| by.to_owned())))
}

/// Reasons of survivors by their key.
fn reasons() -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        #[serde(default)]
        survivor: Vec<Survivor>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Survivor {
        mutant: String,
        reason: String,
    }
    let path: &Path = &artifacts::package_dir().join("survivors.toml");
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(list.survivor.into_iter().map(|survivor| (survivor.mutant, survivor.reason)).collect())
}

impl Report {
    /// How many were noticed.
    #[must_use]
    pub fn killed(&self) -> usize {
        self.mutants.iter().filter(|mutant| mutant.killed_by.is_some()).count()
    }

    /// Those that nobody noticed.
    pub fn survivors(&self) -> impl Iterator<Item = &Mutant> {
        self.mutants.iter().filter(|mutant| mutant.killed_by.is_none())
    }

    /// The counts of each file, and every survivor with its reason.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("| File | Mutants | Caught |\n|---|---|---|\n");
        let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for Mutant { point, killed_by, .. } in &self.mutants {
            let (tried, killed) = files.entry(&point.file).or_default();
            *tried += 1;
            *killed += usize::from(killed_by.is_some());
        }
        for (file, (tried, killed)) in files {
            let _ = writeln!(text, "| {file} | {tried} | {killed} |");
        }
        let (killed, tried) = (self.killed(), self.mutants.len());
        let percent = 100.0 * killed as f64 / tried.max(1) as f64;
        let _ = writeln!(text, "| all ({} places) | {tried} | {killed} ({percent:.1} %) |\n", self.points);
        for Mutant { point, is_reached, reason, .. } in self.survivors() {
            let unreached = if *is_reached { "" } else { " (no test comes by)" };
            let reason = reason.as_deref().unwrap_or("NO REASON in survivors.toml");
            let _ = writeln!(
                text,
                "- {}:{}: {}: {}{unreached}\n  {reason}",
                point.file, point.line, point.function, point.change
            );
        }
        text
    }

    /// Entries for `survivors.toml` of those that have none yet.
    #[must_use]
    pub fn missing_reasons(&self) -> String {
        let mut text = String::new();
        for mutant in self.survivors().filter(|mutant| mutant.reason.is_none()) {
            let key = mutant.point.key();
            let _ = writeln!(text, "[[survivor]]\nmutant = {}\nreason = \"\"\n", toml::Value::String(key));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_mutant_around_an_error_is_to_blame() {
        let placed = |fault, range| Placed { fault, range };
        let places =
            [("src/x.rs".to_owned(), vec![placed(1, 0..100), placed(2, 10..20), placed(3, 30..40)])].into();
        let error = |range| CompileError { file: "src/x.rs".to_owned(), range, message: String::new() };
        assert_eq!(guilty(&error(12..14), &places), Some(2));
        assert_eq!(guilty(&error(15..25), &places), Some(1));
        assert_eq!(guilty(&error(120..125), &places), Some(1));
        assert_eq!(guilty(&CompileError { file: "src/y.rs".to_owned(), ..error(1..2) }, &places), None);
    }

    #[test]
    fn a_line_of_the_results_is_read_back() {
        for by in [Some("a::b"), None] {
            let line = line(7, by);
            assert_eq!(read_line(line.trim_end_matches('\n')), Some((7, by.map(str::to_owned))));
        }
        assert_eq!(read_line("cut of"), None);
    }

    #[test]
    fn the_reasons_of_survivors_can_be_read() {
        assert!(reasons().unwrap().values().all(|reason| reason.len() > 10));
    }
}
