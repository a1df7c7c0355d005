//! Versions of clients and systems, read from the files that they are fetched by.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifacts;

fn source(path: &str) -> Result<String> {
    let path = artifacts::package_dir().join("clients").join(path);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// What follows `mark` up to `end`.
fn behind(text: &str, mark: &str, end: char) -> Result<String> {
    let rest = text.split_once(mark).with_context(|| format!("no {mark:?}"))?.1;
    Ok(rest.split(end).next().unwrap_or_default().trim().to_owned())
}

/// The version of a Maven artifact that `clients/java/<folder>/pom.xml` names.
pub fn maven(folder: &str, artifact: &str) -> Result<String> {
    let pom = source(&format!("java/{folder}/pom.xml"))?;
    behind(&pom, &format!("<artifactId>{artifact}</artifactId><version>"), '<')
}

/// The version of the Go module.
pub fn go() -> Result<String> {
    behind(&source("go/go.mod")?, "github.com/go-zookeeper/zk v", '\n')
}

/// The version of the npm package.
pub fn node() -> Result<String> {
    behind(&source("node/package.json")?, "\"node-zookeeper-client\": \"", '"')
}

/// The version of the Rust crate.
pub fn rust() -> Result<String> {
    let lock = source("rust/Cargo.lock")?;
    behind(&lock, "name = \"zookeeper-client\"\nversion = \"", '"')
}

/// The version of the C library that is installed, from its header.
pub fn c() -> Result<String> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-E", "-dM", "-include", "zookeeper/zookeeper_version.h", "-x", "c", "/dev/null"]);
    let macros = artifacts::run(&mut gcc)?;
    Ok(behind(&macros, "#define ZOO_VERSION ", '\n')?.trim_matches('"').to_owned())
}

/// The version of kazoo that pip installed.
pub fn kazoo() -> Result<String> {
    let mut python = Command::new(artifacts::python()?);
    python.args(["-c", "import kazoo.version; print(kazoo.version.__version__)"]);
    Ok(artifacts::run(&mut python)?.trim().to_owned())
}
