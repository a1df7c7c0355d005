//! Java programs with libraries of their own: a folder of `clients/java` with a `pom.xml`.
//!
//! A bundle's jars are fetched once per pom, its programs are compiled once per source text.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{artifacts, programs};

fn folder(name: &str) -> PathBuf {
    artifacts::package_dir().join("clients/java").join(name)
}

/// The directory with the jars that `clients/java/<name>/pom.xml` names.
pub fn jars(name: &str) -> Result<PathBuf> {
    let pom = folder(name).join("pom.xml");
    let text = fs::read(&pom).with_context(|| format!("read {}", pom.display()))?;
    let sum = artifacts::checksum(&text);
    artifacts::once(&format!("bundle-{name}-{sum:016x}"), |dir| {
        artifacts::fetch(Command::new("mvn").arg("-f").arg(&pom), dir)
    })
}

/// The class path of a bundle without its own programs: the logging configuration and the jars.
pub fn libraries(name: &str) -> Result<String> {
    Ok(format!("{}:{}/*", folder("logging").display(), jars(name)?.display()))
}

/// The whole class path of a bundle, its programs compiled.
pub fn class_path(name: &str) -> Result<String> {
    let libraries = libraries(name)?;
    let classes = artifacts::compiled(name, &libraries, &programs::sources(name)?)?;
    Ok(format!("{}:{libraries}", classes.display()))
}

/// A command that runs `main` of a bundle with `properties`; arguments may be added.
pub fn command(name: &str, main: &str, properties: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(programs::JVM).args(properties).args(["-cp", &class_path(name)?, main]);
    Ok(command)
}

/// Runs `main` of a bundle to its end and returns what it printed.
pub fn run(name: &str, main: &str, properties: &[&str], args: &[&str]) -> Result<String> {
    programs::output(command(name, main, properties)?.args(args))
}
