//! Processes whose clock is not this machine's, by Debian's `libfaketime`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::skip::skip_unless_ci;

/// The library, in the directory of this machine's architecture.
fn library() -> Option<PathBuf> {
    let directories = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let paths = directories.map(|directory| directory.join("faketime/libfaketimeMT.so.1"));
    paths.into_iter().find(|path| path.is_file())
}

/// Whether clocks can be set. If not, the test says so, and fails under `CI=true`.
pub fn available() -> Result<bool> {
    if library().is_some() {
        return Ok(true);
    }
    skip_unless_ci("no libfaketime on this machine: install libfaketime")?;
    Ok(false)
}

/// The environment of a process whose clock is so many seconds ahead; nothing for none.
pub fn ahead(seconds: i64) -> Result<Vec<(&'static str, String)>> {
    if seconds == 0 {
        return Ok(Vec::new());
    }
    let library = library().context("no libfaketime on this machine")?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{seconds:+}")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        // Waits by the monotonic clock are left alone too: otherwise they end at once, and who waits goes in circles.
        ("FAKETIME_FORCE_MONOTONIC_FIX", "0".to_owned()),
    ])
}
