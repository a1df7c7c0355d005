//! Client programs in Go, JavaScript and C, built where their runtimes are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::server::Server;
use crate::{artifacts, programs};

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
            let from = sources(folder).join(file);
            fs::copy(&from, dir.join(file)).with_context(|| format!("copy {}", from.display()))?;
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

/// Whether the C client's header is where a compiler finds it. Its absence is reported loudly.
pub fn c_client_present() -> bool {
    let found = ["/usr/include", "/usr/local/include"]
        .iter()
        .any(|dir| Path::new(dir).join("zookeeper/zookeeper.h").is_file());
    if !found {
        eprintln!("\n*** SKIPPED: the C client (libzookeeper-mt-dev) is not installed ***\n");
    }
    found
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

/// Runs a program that asks for a restart of the server half way: it makes the file named by its
/// second argument, and goes on when the one named by its third appears.
pub fn run_through_a_restart(server: &mut Server, mut program: Command) -> Result<String> {
    let dir = tempfile::tempdir().context("make a directory")?;
    let (ready, restarted) = (dir.path().join("ready"), dir.path().join("restarted"));
    program.arg(server.connect_string()).args([&ready, &restarted]);
    std::thread::scope(|scope| {
        let program = scope.spawn(move || programs::output(&mut program));
        let deadline = Instant::now() + Duration::from_secs(120);
        while !ready.exists() && !program.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let asked = ready.exists();
        if asked {
            server.restart()?;
            fs::write(&restarted, "").context("say that the server is back")?;
        }
        let printed = program.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the reader panicked")))?;
        ensure!(asked, "the program ended without asking for a restart:\n{printed}");
        Ok(printed)
    })
}
