//! Runs the small client programs and gives back what they printed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::artifacts::{self, REFERENCE};
use crate::class_data;

/// Flags that make a short-lived JVM start quickly and stay small.
pub const JVM: [&str; 4] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

const LIMIT: Duration = Duration::from_secs(300);

/// Every Java source in `clients/java/<folder>`, sorted.
pub fn sources(folder: &str) -> Result<Vec<PathBuf>> {
    let dir = artifacts::package_dir().join("clients/java").join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("read a directory entry")?.path();
        if path.extension().is_some_and(|ext| ext == "java") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles `clients/java/<folder>` against one release's client and runs `main` with `args`.
pub fn java(version: &str, folder: &str, main: &str, properties: &[&str], args: &[&str]) -> Result<String> {
    output(&mut java_command(version, folder, main, properties, args)?)
}

/// Compiles the same; the command that runs it.
pub fn java_command(
    version: &str,
    folder: &str,
    main: &str,
    properties: &[&str],
    args: &[&str],
) -> Result<Command> {
    let mut sources = sources(folder)?;
    if version.starts_with("3.4.") {
        sources.extend(self::sources("shim")?);
    }
    let classes = artifacts::classes(version, &sources)?;
    let release = artifacts::class_path(version)?;
    // What is archived must come first in the class path, and a shim before what it replaces.
    let class_path = match version {
        REFERENCE => format!("{release}:{}", classes.display()),
        _ => format!("{}:{release}", classes.display()),
    };
    let mut command = Command::new("java");
    // The 3.4 client would look for a Kerberos host name first, and fails at it on newer Javas.
    command
        .args(JVM)
        .args(class_data::flags(version))
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dzookeeper.sasl.client=false");
    command.args(properties).args(["-cp", &class_path, main]).args(args);
    Ok(command)
}

/// Runs a script of `clients/python`.
pub fn python(script: &str, args: &[&str]) -> Result<String> {
    output(&mut python_command(script, args)?)
}

/// The command that runs such a script.
pub fn python_command(script: &str, args: &[&str]) -> Result<Command> {
    let path: PathBuf = artifacts::package_dir().join("clients/python").join(script);
    let mut command = Command::new(artifacts::python()?);
    command.arg("-u").arg(Path::new(&path)).args(args);
    Ok(command)
}

/// Runs a command to its end, within some minutes, and returns its standard output. A failure
/// shows the end of both streams.
pub fn output(command: &mut Command) -> Result<String> {
    output_within(command, LIMIT)
}

/// Like [`output`], with a limit of the caller's.
pub fn output_within(command: &mut Command, limit: Duration) -> Result<String> {
    Running::start(command)?.finish(limit)
}

/// A program that runs, its output being read. Dropping it kills it by its id.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    readers: Option<[JoinHandle<String>; 2]>,
}

impl Running {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = command.spawn().with_context(|| format!("start {shown}"))?;
        let stdout = child.stdout.take().context("the program's output")?;
        let stderr = child.stderr.take().context("the program's errors")?;
        let readers = Some([reader(Box::new(stdout)), reader(Box::new(stderr))]);
        Ok(Self { shown, child, readers })
    }

    /// Whether it runs.
    pub fn alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("wait for the program")?.is_none())
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        artifacts::run(kill.arg(format!("-{name}")).arg(self.child.id().to_string())).map(drop)
    }

    /// Waits for its end, within a limit, and returns its standard output. A failure shows the end
    /// of both streams.
    pub fn finish(mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().context("wait for the program")? {
                break Some(status);
            }
            if Instant::now() > deadline {
                self.child.kill().context("kill the program")?;
                self.child.wait().context("reap the program")?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let readers = self.readers.take().context("the program's readers")?;
        let [out, err] = readers.map(|handle| handle.join().unwrap_or_default());
        let ends = format!("{}\n{}", tail(&out, 30), tail(&err, 60));
        match status {
            Some(status) if status.success() => Ok(out),
            Some(status) => bail!("{}: {status}\n{ends}", self.shown),
            None => bail!("{}: not finished after {limit:?}\n{ends}", self.shown),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(mut stream: Box<dyn Read + Send>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks means the program died, which its exit status reports.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The last `count` lines of a text.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
