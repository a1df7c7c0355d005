//! The in-process tests of a copy, as judges of the faults in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::copy::{REACHED, SWITCH, workspace};

/// Address space a test may take, in KiB: some faults are loops that allocate.
const MEMORY_KIB: u64 = 8 << 20;

/// Tests get five times what they take without a fault, and this: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// The seeds that simulations play when they judge: many are judged, and most of what is wrong shows soon.
const SIMULATED: &str = "1..13";
/// Tests that take no longer are run in one process.
const QUICK: Duration = Duration::from_millis(200);

/// What came of some tests.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// All passed.
    Passed,
    /// This one failed, or the process ended in it.
    Failed(String),
    /// They did not end in time.
    Late,
}

/// A test that passes as long as no fault is on.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// How long it takes.
    pub takes: Duration,
    /// Faults that it comes by.
    pub reaches: BTreeSet<usize>,
}

/// The test program of a copy.
#[derive(Debug)]
pub struct Judge {
    program: PathBuf,
    /// Where tests make their files, and what is left of those that were stopped goes.
    scratch: TempDir,
}

impl Judge {
    /// With the program that [`Copy::build_tests`](super::copy::Copy::build_tests) built.
    pub fn new(program: PathBuf) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("oxkeeper-faults-").tempdir();
        Ok(Self { program, scratch: scratch.context("make a directory for the tests")? })
    }

    /// Names of all tests. Those of the style are left out: a copy has none.
    pub fn names(&self) -> Result<Vec<String>> {
        let output = Command::new(&self.program).args(["--list", "--format=terse"]).output();
        let output = output.with_context(|| format!("start {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        let names: Vec<_> = names.filter(|name| !name.starts_with("tidy::")).map(str::to_owned).collect();
        ensure!(!names.is_empty(), "{} has no tests", self.program.display());
        Ok(names)
    }

    /// Runs these tests with the fault, one after the other, until one fails or the time is over.
    fn run(&self, fault: Option<usize>, names: &[&str], limit: Duration) -> Result<Outcome> {
        self.run_noting(fault, names, limit).map(|(outcome, _)| outcome)
    }

    /// Also returns the faults they came by.
    fn run_noting(
        &self,
        fault: Option<usize>,
        names: &[&str],
        limit: Duration,
    ) -> Result<(Outcome, BTreeSet<usize>)> {
        let home = tempfile::tempdir_in(self.scratch.path()).context("make a directory for a test")?;
        // As where cargo runs it: the certificates of tests name lists by their place below.
        symlink(workspace().join("src"), home.path().join("src")).context("link the tests' data")?;
        let reached = home.path().join("reached");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"")]).arg(&self.program);
        command.args(["--test-threads=1", "--exact"]).args(names);
        command
            .env("TMPDIR", home.path())
            .env(SWITCH, fault.map_or(String::new(), |fault| fault.to_string()));
        // Property tests: the same cases each time, a failed one not made small, and none kept, as it is none of
        // the real code.
        command.env("PROPTEST_RNG_SEED", "1").env("PROPTEST_MAX_SHRINK_ITERS", "0");
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1").current_dir(home.path());
        command.env_remove(REACHED);
        if fault.is_none() {
            command.env(REACHED, &reached);
        }
        if names.iter().all(|name| name.starts_with("sim::")) {
            command.env("OXKEEPER_SEEDS", SIMULATED);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        let output = BufReader::new(child.stdout.take().context("the output of a test")?);
        let (send, lines) = mpsc::channel();
        // Ends with the process, which closes the pipe.
        std::thread::spawn(move || {
            output.split(b'\n').map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let deadline = Instant::now() + limit;
        let outcome = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(name) = failed(&String::from_utf8_lossy(&line)) {
                        break Outcome::Failed(name.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => break Outcome::Late,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait().context("wait for a test")?;
                    break if status.success() {
                        Outcome::Passed
                    } else {
                        Outcome::Failed(format!("the process ({status})"))
                    };
                }
            }
        };
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().context("wait for a test")?;
        let reached = fs::read_to_string(&reached).unwrap_or_default();
        Ok((outcome, reached.lines().filter_map(|line| line.parse().ok()).collect()))
    }

    /// Which of these tests pass without a fault within the limit, how long they take, and what they come
    /// by; `jobs` at a time.
    pub fn without_faults(&self, names: &[String], limit: Duration, jobs: usize) -> Result<Vec<Test>> {
        let tests = in_parallel(names, jobs, |name| {
            let begun = Instant::now();
            let (outcome, reaches) = self.run_noting(None, &[name], limit)?;
            let takes = begun.elapsed();
            Ok((outcome == Outcome::Passed).then(|| Test { name: name.clone(), takes, reaches }))
        })?;
        Ok(tests.into_iter().flatten().collect())
    }

    /// The first of these tests that notices the fault; only those that come by it are run. Those of the module
    /// `near` come first, and quick ones before slow ones.
    pub fn notices<'a>(
        &self,
        fault: usize,
        near: &str,
        tests: impl Iterator<Item = &'a Test>,
    ) -> Result<Option<String>> {
        let mut judges: Vec<_> = tests.filter(|test| test.reaches.contains(&fault)).collect();
        judges.sort_by_key(|test| (test.takes > QUICK, !test.name.starts_with(near), test.takes));
        let slow = judges.split_off(judges.partition_point(|test| test.takes <= QUICK));
        let far = judges.split_off(judges.partition_point(|test| test.name.starts_with(near)));
        for mut group in [judges, far].into_iter().chain(slow.into_iter().map(|test| vec![test])) {
            while !group.is_empty() {
                let takes: Duration = group.iter().map(|test| test.takes).sum();
                let names: Vec<_> = group.iter().map(|test| test.name.as_str()).collect();
                let limit = takes * 5 + PATIENCE;
                match self.run(Some(fault), &names, limit)? {
                    Outcome::Passed => break,
                    Outcome::Late => return Ok(Some("the tests did not end".to_owned())),
                    Outcome::Failed(name) if !names.contains(&name.as_str()) => return Ok(Some(name)),
                    Outcome::Failed(name) => {
                        // A test that fails now and then would notice everything: it has to fail twice.
                        if self.run(Some(fault), &[&name], limit)? != Outcome::Passed {
                            return Ok(Some(name));
                        }
                        group.retain(|test| test.name != name);
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Does something with each, `jobs` at a time; the results in the order of the list, or the first error.
pub fn in_parallel<T: Sync, R: Send>(
    list: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = list.get(place) else { return };
                    let result = work(item);
                    if result.is_err() {
                        next.store(list.len(), Ordering::Relaxed);
                    }
                    results.lock().expect("no worker panics with the lock").push((place, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panics with the lock");
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The name in a line that says that a test failed.
fn failed(line: &str) -> Option<&str> {
    let name = line.strip_suffix(" ... FAILED")?;
    name.rsplit_once("test ").map(|(_, name)| name.trim_end_matches(" - should panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_failed_test_is_known() {
        assert_eq!(failed("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed("what it printedtest a::b - should panic ... FAILED"), Some("a::b"));
        assert_eq!(failed("test a::b ... ok"), None);
    }

    #[test]
    fn results_come_in_the_order_of_the_list() {
        let doubled = in_parallel(&[1, 2, 3, 4, 5], 2, |number| Ok(number * 2)).unwrap();
        assert_eq!(doubled, [2, 4, 6, 8, 10]);
        assert!(in_parallel(&[1, 2], 2, |_| -> Result<()> { anyhow::bail!("no") }).is_err());
    }
}
