//! Client programs in Rust, Go, JavaScript and C, built where their runtimes are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::programs::Running;
use crate::results::{self, Row};
use crate::server::Server;
use crate::skip::skip;
use crate::{artifacts, compare, programs};

/// Each of these programs takes seconds, and looks at the clock itself; this is for one that hangs.
const LIMIT: Duration = Duration::from_secs(100);

fn sources(folder: &str) -> PathBuf {
    artifacts::package_dir().join("clients").join(folder)
}

/// Makes a directory from the named files of `clients/<folder>`, copied there first, once per
/// content.
fn built(folder: &str, files: &[&str], build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut text = Vec::new();
    for file in files {
        let path = sources(folder).join(file);
        text.extend(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    artifacts::once(&format!("{folder}-{:016x}", artifacts::checksum(&text)), |dir| {
        for file in files {
            let (from, to) = (sources(folder).join(file), dir.join(file));
            let parent = to.parent().context("a file without a directory")?;
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            fs::copy(&from, to).with_context(|| format!("copy {}", from.display()))?;
        }
        build(dir)
    })
}

/// The Go program.
pub fn go() -> Result<Command> {
    let dir = built("go", &["go.mod", "go.sum", "main.go"], |dir| {
        artifacts::run(Command::new("go").args(["build", "-o", "client", "."]).current_dir(dir)).map(drop)
    })?;
    Ok(Command::new(dir.join("client")))
}

/// The Rust program, a package of its own: what it depends on is no burden to the workspace.
pub fn rust() -> Result<Command> {
    // Beside the program's own directory, so that an edit does not build the dependencies again.
    let target = artifacts::cache_dir()?.join("rust-target");
    let dir = built("rust", &["Cargo.toml", "Cargo.lock", "src/main.rs"], |dir| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--target-dir"]).arg(&target);
        artifacts::run(build.current_dir(dir))?;
        let (made, kept) = (target.join("debug/compat-client"), dir.join("client"));
        fs::copy(&made, kept).with_context(|| format!("copy {}", made.display())).map(drop)
    })?;
    Ok(Command::new(dir.join("client")))
}

/// The JavaScript program.
pub fn node() -> Result<Command> {
    let dir = built("node", &["package.json", "main.js"], |dir| {
        artifacts::run(
            Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(dir),
        )
        .map(drop)
    })?;
    let mut node = Command::new("node");
    node.arg(dir.join("main.js"));
    Ok(node)
}

/// Whether all of `programs` and `headers` are installed. These runtimes are used where they happen
/// to be: a missing one skips the test, and is in the results, but is never an error.
pub fn present(who: &str, programs: &[&str], headers: &[&str]) -> Result<bool> {
    let header_found = |name: &&&str| {
        ["/usr/include", "/usr/local/include"].iter().any(|dir| Path::new(dir).join(name).is_file())
    };
    let program = programs.iter().find(|name| !artifacts::installed(name));
    let header = headers.iter().find(|name| !header_found(name));
    let Some(missing) = program.or(header) else { return Ok(true) };
    skip(&format!("{who}: `{missing}` is not installed"));
    results::record(compare::judged(), &Row::skipped(who, missing))?;
    Ok(false)
}

/// The C program.
pub fn c() -> Result<Command> {
    let dir = built("c", &["main.c"], |dir| {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-DTHREADED", "-o", "client", "main.c", "-lzookeeper_mt", "-lpthread"]);
        artifacts::run(gcc.current_dir(dir)).map(drop)
    })?;
    Ok(Command::new(dir.join("client")))
}

/// The program that logs in by Cyrus SASL.
pub fn cyrus_sasl() -> Result<Command> {
    let dir = built("c", &["sasl.c"], |dir| {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-o", "client", "sasl.c", "-lsasl2"]);
        artifacts::run(gcc.current_dir(dir)).map(drop)
    })?;
    Ok(Command::new(dir.join("client")))
}

/// Runs a program that wants nothing but the server's address.
pub fn run(server: &Server, mut program: Command) -> Result<String> {
    programs::output_within(program.arg(server.connect_string()), LIMIT)
}

/// Whether a program in Go or C gets in, in its own words.
pub fn probe(mut program: Command, address: &str, how: &[&str]) -> Result<String> {
    programs::output_within(program.args([address, "probe", "-"]).args(how), LIMIT)
}

/// Runs a program that asks for a restart of the server half way: it makes the file named by its
/// second argument, and goes on when the one named by its third appears. It stands still while the
/// server is away: the reference may lose a connection that is made while it starts, and some
/// clients wait longer for an answer to their greeting than their session lives.
pub fn run_through_a_restart(server: &mut Server, program: Command) -> Result<String> {
    let address = server.connect_string();
    run_through_a_restart_at(server, program, &address, &[])
}

/// The same at another address of the server, with further arguments.
pub fn run_through_a_restart_at(
    server: &mut Server,
    mut program: Command,
    address: &str,
    how: &[&str],
) -> Result<String> {
    let dir = tempfile::tempdir().context("make a directory")?;
    let (ready, restarted) = (dir.path().join("ready"), dir.path().join("restarted"));
    let mut program = Running::start(program.arg(address).args([&ready, &restarted]).args(how))?;
    let deadline = Instant::now() + LIMIT;
    while !ready.exists() && program.alive()? && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = ready.exists();
    if asked {
        program.signal("STOP")?;
        let restart = server.restart();
        program.signal("CONT")?;
        restart?;
        fs::write(&restarted, "").context("say that the server is back")?;
    }
    let printed = program.finish(if asked { LIMIT } else { Duration::ZERO })?;
    ensure!(asked, "the program ended without asking for a restart:\n{printed}");
    Ok(printed)
}
