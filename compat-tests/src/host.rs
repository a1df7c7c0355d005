//! One Java process in which servers of the reference run one after the other.
//!
//! A start of Java takes a second and begins cold; a start inside takes a tenth of it. For tests that
//! start the reference hundreds of times. Such a server cannot be killed, paused or signalled.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::artifacts::{self, REFERENCE};
use crate::class_data;
use crate::programs::{JVM, sources};

/// A running host; the process ends with its last owner.
#[derive(Clone, Debug)]
pub struct Host(Arc<Mutex<Process>>);

#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    home: TempDir,
}

impl Host {
    /// Starts the process. Properties of the reference are properties of a process, so they are the
    /// same for all its servers.
    pub fn start(properties: &[(String, String)]) -> Result<Self> {
        Self::start_program("host", "Host", properties)
    }

    /// The same for members of an ensemble, which end their process in some cases: its state then tells how.
    pub fn of_members(properties: &[(String, String)]) -> Result<Self> {
        Self::start_program("memberhost", "MemberHost", properties)
    }

    fn start_program(folder: &str, class: &str, properties: &[(String, String)]) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("oxkeeper-host-").tempdir().context("make a directory")?;
        let classes = artifacts::classes(REFERENCE, &sources(folder)?)?;
        let log = File::create(home.path().join("log")).context("create the host's log")?;
        let mut java = Command::new("java");
        java.args(JVM).args(class_data::flags(REFERENCE));
        java.args(["-Xmx1g", "-Dzookeeper.jmx.log4j.disable=true"]);
        java.args(properties.iter().map(|(key, value)| format!("-D{key}={value}")));
        java.arg("-cp").arg(format!("{}:{}", artifacts::class_path(REFERENCE)?, classes.display()));
        java.arg(class).current_dir(home.path());
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = java.spawn().with_context(|| format!("start {java:?}"))?;
        let requests = child.stdin.take().context("the host's input")?;
        let answers = BufReader::new(child.stdout.take().context("the host's output")?);
        Ok(Self(Arc::new(Mutex::new(Process { child, requests, answers, home }))))
    }

    /// Begins to start a server with this configuration file.
    pub fn launch(&self, config: &Path) -> Result<()> {
        self.ask(&format!("start {}", config.display())).map(drop)
    }

    /// How the server is: `running`, `ended`, or `failed` with the reason.
    pub fn state(&self) -> Result<String> {
        self.ask("state")
    }

    /// Stops the server and waits for its end.
    pub fn stop(&self) -> Result<()> {
        let answer = self.ask("stop")?;
        ensure!(answer == "stopped", "the server in the host {answer}");
        Ok(())
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).child.id()
    }

    /// What the process has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::read(process.home.path().join("log"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn ask(&self, line: &str) -> Result<String> {
        let mut process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(process.requests, "{line}").context("ask the host")?;
        let mut answer = String::new();
        process.answers.read_line(&mut answer).context("hear the host")?;
        ensure!(answer.ends_with('\n'), "the host has ended");
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
