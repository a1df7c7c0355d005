//! The golden files of the codec are what the reference's own classes write today.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::programs::{self, JVM};

const FILES: [&str; 5] = ["schema", "records", "txns", "multi", "strings"];

#[test]
fn golden_files_are_what_the_reference_writes() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let golden = artifacts::package_dir().join("../jute/tests/golden");
    let classes = artifacts::classes(REFERENCE, &[golden.join("Generate.java")])?;
    let class_path = format!("{}:{}", classes.display(), artifacts::class_path(REFERENCE)?);
    for file in FILES {
        let path = golden.join(file).with_extension("txt");
        let committed = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut generate = Command::new("java");
        let written = programs::output(generate.args(JVM).args(["-cp", &class_path, "Generate", file]))?;
        let differs = written.lines().zip(committed.lines()).find(|(now, then)| now != then);
        ensure!(written == committed, "{}: the reference writes something else: {differs:?}", path.display());
    }
    Ok(())
}
