//! Whether the tests would notice: faults are put into a copy of the server's code, and tests run on it.
//!
//! - [`faults`]: the faults of `faults.toml`, each with who must notice it; [`trial`] holds it to that.
//! - [`points`]: places where code can be changed a little, found in the sources; [`sample`] draws from
//!   them, and counts how many changes no test notices.
//! - [`copy`]: the copy, in which every fault has a switch: one compilation serves all.
//! - [`judge`]: the in-process tests, and which of them reach a fault.

pub mod copy;
pub mod faults;
pub mod judge;
pub mod points;
pub mod sample;
pub mod trial;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifacts;

/// The text of the server's code below directories or in files of the workspace, tests not included.
pub fn code(places: &[&str]) -> Result<BTreeMap<String, String>> {
    let root = copy::workspace();
    let mut code = BTreeMap::new();
    for place in places {
        let path = root.join(place);
        let files = if path.is_dir() {
            copy::files_below(&path)?.into_iter().map(|file| format!("{place}/{file}")).collect()
        } else {
            vec![format!("{place}.rs")]
        };
        for file in files.into_iter().filter(|file| file.ends_with(".rs") && !is_test(file)) {
            let path = root.join(&file);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            code.insert(file, text);
        }
    }
    Ok(code)
}

/// A number that every commit has another one of.
pub fn commit() -> Result<u64> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(copy::workspace());
    let hash = artifacts::run(&mut git)?;
    let start = hash.get(..15).with_context(|| format!("{git:?} printed {hash:?}"))?;
    u64::from_str_radix(start, 16).with_context(|| format!("{git:?} printed {hash:?}"))
}

/// Whether a file is there for tests only. The storage's simulator is too.
fn is_test(file: &str) -> bool {
    let name = file.trim_end_matches(".rs");
    ["_test", "/tests", "/testing", "/in_memory", "/tidy", "/faulty", "/damage"]
        .iter()
        .any(|end| name.ends_with(end))
        || ["_test/", "/tests/", "/testing/", "/sim/", "/cluster/"].iter().any(|part| file.contains(part))
}
