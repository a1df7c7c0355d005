//! Runs one script against both servers and compares what came out, line by line.

use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::artifacts::{self, REFERENCE};
use crate::programs::tail;
use crate::results::{self, Case, Row};
use crate::seat;
use crate::server::{Kind, Options, Server};

const SHOWN: usize = 40;
const LOG_LINES: usize = 40;

/// Who takes the seat of the server under judgement.
pub fn judged() -> Kind {
    match std::env::var_os("OXKEEPER_COMPAT_SELF") {
        Some(_) => Kind::Apache(REFERENCE),
        None => Kind::Oxkeeper,
    }
}

/// Starts a fresh server of each kind with the same options, runs `script` against both at the
/// same time, and fails unless the two transcripts are equal. A script that leaves no transaction
/// on its server talked to another one, or to none, and fails too. The servers sit in ensembles if the options
/// or `OXKEEPER_ENSEMBLE` say so.
pub fn side_by_side(
    case: &Case,
    options: &Options,
    script: impl Fn(&mut Server) -> Result<String> + Sync,
) -> Result<()> {
    let seat = options.seat.map_or_else(seat::wanted, |seat| Ok(Some(seat)))?;
    let options = options.clone().seat(seat);
    on_both(&seat::case_in(case, seat), |kind| {
        let mut server = Server::start(kind, &options)?;
        let before = server.zxid()?;
        let result = script(&mut server).and_then(|transcript| {
            ensure!(server.zxid()? > before, "nothing was written to the server that was meant");
            let mut transcript = transcript.into_bytes();
            server.without_ports(&mut transcript);
            Ok(String::from_utf8_lossy(&transcript).into_owned())
        });
        result.with_context(|| {
            format!("{} against {kind}, whose log ends:\n{}", case.name, tail(&server.log(), LOG_LINES))
        })
    })
}

/// Runs a script that starts its servers itself on each kind, at the same time, and fails unless the two
/// transcripts are equal.
pub fn on_both(case: &Case, run: impl Fn(Kind) -> Result<String> + Sync) -> Result<()> {
    let (expected, actual) = std::thread::scope(|scope| {
        let apache = scope.spawn(|| run(Kind::Apache(REFERENCE)));
        let other = scope.spawn(|| run(judged()));
        let join = |handle: std::thread::ScopedJoinHandle<'_, Result<String>>| {
            handle.join().unwrap_or_else(|_| Err(anyhow!("the script panicked")))
        };
        (join(apache), join(other))
    });
    verdict(case, Some(expected), actual)
}

/// Records what came of a case, and fails unless the script ended well on each server it ran on and
/// printed the same.
pub fn verdict(case: &Case, expected: Option<Result<String>>, actual: Result<String>) -> Result<()> {
    let compared = match (&expected, &actual) {
        (Some(Ok(expected)), Ok(actual)) => equal(&case.name, expected, actual),
        _ => Ok(()),
    };
    results::record(judged(), &Row::of(case, expected.as_ref(), &actual, &compared))?;
    match (expected, actual) {
        (Some(Err(reference)), Err(judged)) => bail!("both failed.\n{reference:?}\n\n{judged:?}"),
        (Some(Err(reference)), Ok(_)) => Err(reference.context("only the reference failed")),
        (_, Err(judged)) => Err(judged.context("only the judged server failed, if the reference ran")),
        _ => compared,
    }
}

/// Fails with the differing lines if two transcripts differ. Both are kept in the cache
/// directory, whole, for a closer look.
pub fn equal(name: &str, expected: &str, actual: &str) -> Result<()> {
    let dir = artifacts::cache_dir()?.join("transcripts");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for (side, text) in [("expected", expected), ("actual", actual)] {
        let path = dir.join(format!("{name}.{side}"));
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    if expected == actual {
        return Ok(());
    }
    let differences = differences(expected, actual);
    let shown: String = differences.iter().take(SHOWN).map(|line| format!("{line}\n")).collect();
    bail!(
        "{name}: {} differing lines (- reference, + judged), first {SHOWN}:\n{shown}whole transcripts: {}/{name}.*",
        differences.len(),
        dir.display()
    );
}

/// The lines only one side has, in order: a plain longest-common-subsequence difference,
/// each with its line number.
fn differences(expected: &str, actual: &str) -> Vec<String> {
    let a: Vec<&str> = expected.lines().collect();
    let b: Vec<&str> = actual.lines().collect();
    let width = b.len() + 1;
    let mut common = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(format!("{:5} - {}", i + 1, a[i]));
            i += 1;
        } else {
            lines.push(format!("{:5} + {}", j + 1, b[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_reported() {
        assert_eq!(differences("a\nb\nc", "a\nx\nc\nd"), ["    2 - b", "    2 + x", "    4 + d"]);
    }
}
