//! The report in `docs` lists the known differences that there are.

use std::fs;

use anyhow::{Context, Result, ensure};
use compat_tests::report;

#[test]
fn the_report_lists_the_known_differences() -> Result<()> {
    let path = report::path();
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let section = report::known_differences()?;
    ensure!(
        text.ends_with(&section),
        "docs/compatibility.md does not list compat-tests/exceptions.toml as it is; its last section should be:\n{section}"
    );
    Ok(())
}
