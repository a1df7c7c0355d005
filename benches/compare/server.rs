//! Starting and stopping the servers that are compared.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use load::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Options, default_scratch, name_of};

/// A server that is not ready, or not gone, after this never will be.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a starting server is asked whether it is ready.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// How long one such question may take: the reference leaves it unanswered when it comes too early.
const PROBE: Duration = Duration::from_millis(250);

/// Snapshots never, except when they are the subject.
pub(crate) const NO_SNAPSHOTS: u32 = 100_000_000;

/// The file system that would make every sync free.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The reference.
    Apache,
    /// Ours.
    Oxkeeper,
    /// The floor: answers every frame and does nothing.
    Echo,
}

/// Knows how to start each kind.
pub(crate) struct Launcher {
    scratch: PathBuf,
    oxkeeper: PathBuf,
    classpath: String,
    java_options: Vec<String>,
}

impl Launcher {
    /// Prepares a fresh scratch directory, and finds the reference's jars if they will be needed.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let scratch = match &options.scratch {
            Some(path) => path.clone(),
            None => default_scratch()?,
        };
        let scratch = scratch.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&scratch).with_context(|| format!("{} cannot be created", scratch.display()))?;
        let scratch = scratch.canonicalize()?;
        let file_system = rustix::fs::statfs(&scratch)?.f_type;
        ensure!(
            u64::try_from(file_system) != Ok(TMPFS_MAGIC),
            "{} is on tmpfs, where syncs cost nothing: choose another --scratch",
            scratch.display()
        );
        let classpath = match &options.apache_classpath {
            Some(classpath) => classpath.clone(),
            None if options.servers.contains(&Kind::Apache) => ask_maven(&scratch)?,
            None => String::new(),
        };
        let java_options = options.java_options.split_whitespace().map(str::to_owned).collect();
        Ok(Self { scratch, oxkeeper: options.oxkeeper.clone(), classpath, java_options })
    }

    /// Starts a server on an empty data directory, and waits until it serves.
    pub(crate) fn start(&self, kind: Kind, size: usize) -> Result<Server> {
        let directory = self.scratch.join(name_of(kind));
        fs::create_dir_all(directory.join("data"))?;
        let mut server = Server { kind, directory, address: free_address()?, child: None };
        server.start(self, NO_SNAPSHOTS, size)?;
        Ok(server)
    }

    fn command(&self, server: &Server, size: usize) -> Result<Command> {
        let config = server.directory.join("zoo.cfg");
        let mut command = match server.kind {
            Kind::Apache => {
                let mut command = Command::new("java");
                command.args(&self.java_options).args(["-cp", &self.classpath]);
                command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(config);
                command
            }
            Kind::Oxkeeper => {
                let mut command = Command::new(self.oxkeeper.canonicalize().with_context(|| {
                    format!("{} is not there: build it, or name it with --oxkeeper", self.oxkeeper.display())
                })?);
                command.arg(config);
                command
            }
            Kind::Echo => {
                let mut command = Command::new(std::env::current_exe()?.with_file_name("echo"));
                command.args(["--address", &server.address.to_string(), "--size", &size.to_string()]);
                command
            }
        };
        let log = File::create(server.directory.join("output.txt"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(&server.directory);
        Ok(command)
    }
}

impl Drop for Launcher {
    /// Outputs are only of interest as long as something goes wrong.
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.scratch);
        }
    }
}

/// The class path of `apache/pom.xml`.
fn ask_maven(scratch: &Path) -> Result<String> {
    let output = scratch.join("classpath.txt");
    let pom = concat!(env!("CARGO_MANIFEST_DIR"), "/apache/pom.xml");
    let status = Command::new("mvn")
        .args(["-q", "-f", pom, "dependency:build-classpath"])
        .arg(format!("-Dmdep.outputFile={}", output.display()))
        .stdout(Stdio::null())
        .status()
        .context("Maven cannot be run: install it, or give --apache-classpath")?;
    ensure!(status.success(), "Maven found no class path for {pom}");
    Ok(fs::read_to_string(output)?.trim().to_owned())
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// One server with its data directory. It is killed when dropped.
pub(crate) struct Server {
    /// Which.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    directory: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// The process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).context("the server does not run")
    }

    /// Starts the process; says how long it took until the first read succeeded.
    pub(crate) fn start(&mut self, launcher: &Launcher, snap_count: u32, size: usize) -> Result<Duration> {
        fs::write(self.directory.join("zoo.cfg"), self.config(snap_count))?;
        let mut command = launcher.command(self, size)?;
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be started", name_of(self.kind)))?;
        let child = self.child.insert(child);
        while begun.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait()? {
                let output = fs::read_to_string(self.directory.join("output.txt")).unwrap_or_default();
                bail!("{} ended with {status} instead of serving:\n{output}", name_of(self.kind));
            }
            let ready = match self.kind {
                Kind::Echo => std::net::TcpStream::connect(self.address).is_ok(),
                _ => Client::connect_within(&self.address.into(), PROBE).is_ok_and(reads_and_closes),
            };
            if ready {
                return Ok(begun.elapsed());
            }
            thread::sleep(POLL_EVERY);
        }
        bail!("{} does not serve after {PATIENCE:?}", name_of(self.kind))
    }

    fn config(&self, snap_count: u32) -> String {
        let (port, data) = (self.address.port(), self.directory.join("data"));
        format!(
            "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\nsnapCount={snap_count}\n",
            data.display()
        )
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL_EVERY);
        }
        child.kill()?;
        child.wait()?;
        bail!("{} had to be killed", name_of(self.kind))
    }

    /// Snapshots in the data directory.
    pub(crate) fn snapshots(&self) -> Result<usize> {
        let names = fs::read_dir(self.directory.join("data").join("version-2"))?;
        Ok(names
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot."))
            .count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn reads_and_closes(mut client: Client) -> bool {
    client.exists("/").unwrap_or(false) && client.close().is_ok()
}
