//! Runs every compatibility suite and writes `docs/compatibility.md`.
//!
//! `report [short|both|long]` says how much of Kafka, HBase and Solr is run; without it `long`. Fails,
//! after writing, if a test failed. With `--printed FILE` it runs nothing and writes what such a run has printed into
//! FILE, to which what single programs printed that were run again may have been added.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::report::{self, Suites};
use compat_tests::{artifacts, results};

/// Programs that tell their version, with the argument that makes them do it.
const RUNTIMES: [(&str, &str); 5] = [
    ("java", "--version"),
    ("python3", "--version"),
    ("go", "version"),
    ("node", "--version"),
    ("gcc", "--version"),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (form, printed) = match arguments[..] {
        [] => ("long", None),
        [form @ ("short" | "both" | "long")] => (form, None),
        [form @ ("short" | "both" | "long"), "--printed", file] => (form, Some(file)),
        _ => bail!("usage: report [short|both|long [--printed FILE]]"),
    };
    let path = artifacts::cache_dir()?.join("results.tsv");
    let (output, good) = match printed {
        Some(file) => (fs::read_to_string(file).with_context(|| format!("read {file}"))?, true),
        None => run(form, &path)?,
    };

    let suites = Suites::of(&output);
    let rows = results::read(&path)?;
    let made_by = format!("cargo run -p compat-tests --bin report -- {form}");
    let runtimes = RUNTIMES.iter().filter_map(|(name, argument)| version(name, argument)).collect::<Vec<_>>();
    let text = report::render(&made_by, &runtimes, &rows, &suites)?;
    let file = report::path();
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    println!("{} rows in {}", rows.len(), file.display());
    ensure!(good && suites.good(), "a test failed");
    Ok(())
}

/// Runs everything, with its results in that file. What was printed, and whether it ended well.
fn run(form: &str, results: &Path) -> Result<(String, bool)> {
    if results.exists() {
        fs::remove_file(results).with_context(|| format!("remove {}", results.display()))?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    // Each test is several processes: two at a time are enough for a small machine.
    tests.args(["test", "-p", "compat-tests", "--test", "*", "--no-fail-fast", "--", "--test-threads=2"]);
    // This one is about the report that is about to be written.
    tests.args(["--skip", "the_report_lists_the_known_differences"]);
    tests.current_dir(artifacts::package_dir()).env("CI", "true").env("OXKEEPER_SYSTEMS", form);
    tests.env("OXKEEPER_RESULTS", results);
    shown_and_kept(&mut tests)
}

/// Runs a command, shows what it prints as it comes, and keeps it. Both streams share a pipe, which
/// keeps their lines in order.
fn shown_and_kept(command: &mut Command) -> Result<(String, bool)> {
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    command.stdout(writer.try_clone().context("share the pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    // The command keeps our ends of the pipe open otherwise.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut output = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout(), "{line}").context("show what the tests print")?;
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait().context("wait for the tests")?;
    Ok((output, status.success()))
}

/// The first line in which a program tells its version, if it is installed.
fn version(name: &str, argument: &str) -> Option<String> {
    let output = Command::new(name).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A build date behind the version says nothing.
    let line: Vec<&str> = text.lines().next()?.split_whitespace().filter(|word| !is_date(word)).collect();
    let line = line.join(" ");
    Some(if line.starts_with('v') { format!("{name} {line}") } else { line })
}

fn is_date(word: &str) -> bool {
    word.len() == 10 && word.split('-').count() == 3
}
