//! Tests that cannot run on this machine. They are not passed: each says so, in a line that the report reads.

use std::io::Write;
use std::path::Path;
use std::thread;

use anyhow::{Result, bail};

/// What such a line begins with, before the test's name, and what ends it.
const MARK: &str = "*** SKIPPED ";
const END: &str = " ***";

/// Says that the running test does not do what it is there for. Meant for what nobody need have: the clients'
/// languages, long forms that were switched off.
pub fn skip(why: &str) {
    let test = thread::current();
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("\n{MARK}{}: {why}{END}\n", test.name().unwrap_or("a test"));
    // Not `eprintln!`: libtest shows nothing of that when the test passes. Nobody to say it to is no error.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The same for what is there under `CI=true`: its absence is an error then.
pub fn skip_unless_ci(why: &str) -> Result<()> {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("{why}, and CI=true forbids skipping");
    }
    skip(why);
    Ok(())
}

/// The same for what needs root and loop devices. Under `CI=true` that is an error only where both are there.
pub fn skip_unless_mountable(why: &str) -> Result<()> {
    // The owner of what describes this process is who it acts as.
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    if is_root && Path::new("/dev/loop-control").exists() {
        return skip_unless_ci(why);
    }
    skip(why);
    Ok(())
}

/// The test and the reason in a line that [`skip`] wrote. What others print may stand around it.
#[must_use]
pub fn in_line(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(MARK)?;
    let (said, _) = rest.split_once(END)?;
    said.split_once(": ")
}

#[cfg(test)]
mod tests {
    use super::in_line;

    #[test]
    fn a_line_tells_which_test_was_skipped_and_why() {
        let line = "test a ... *** SKIPPED b::c: `x` is not installed: nothing was done ***";
        assert_eq!(in_line(line), Some(("b::c", "`x` is not installed: nothing was done")));
        assert_eq!(in_line("test a ... ok"), None);
    }
}
