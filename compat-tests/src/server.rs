//! Starts, signals and stops one server of either kind.
//!
//! A [`Server`] owns its process: dropping it kills the process by its id. A server counts as
//! started only when its own `conf` answer names the data directory this test gave it, so that
//! a test cannot talk to a stranger on the same port.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::programs::{JVM, tail};
use crate::{artifacts, four_letter};

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Which server to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache ZooKeeper of the given release.
    Apache(&'static str),
    /// The server under judgement.
    Oxkeeper,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apache(version) => write!(f, "Apache ZooKeeper {version}"),
            Self::Oxkeeper => write!(f, "Oxkeeper"),
        }
    }
}

/// What differs from the plain standalone configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Further lines of `zoo.cfg`.
    pub lines: Vec<String>,
    /// Java system properties by full name. The reference gets them as `-D`, Oxkeeper in
    /// `zoo.cfg` without the `zookeeper.` prefix.
    pub properties: Vec<(String, String)>,
    /// An existing data directory; a fresh one that vanishes with the server if none.
    pub data_dir: Option<PathBuf>,
    /// Length of a tick. Session timeouts lie between 2 and 20 ticks.
    pub tick_time_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { lines: Vec::new(), properties: Vec::new(), data_dir: None, tick_time_ms: 2000 }
    }
}

impl Options {
    /// Adds a line of `zoo.cfg`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Adds a Java system property.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Uses an existing data directory.
    #[must_use]
    pub fn data_dir(mut self, dir: &Path) -> Self {
        self.data_dir = Some(dir.to_owned());
        self
    }

    /// Sets the length of a tick.
    #[must_use]
    pub fn tick_time_ms(mut self, ms: u32) -> Self {
        self.tick_time_ms = ms;
        self
    }
}

/// What came of a start.
#[derive(Debug)]
pub enum Started {
    /// It serves.
    Serves(Server),
    /// It ended: the exit code, if no signal ended it, and everything it printed.
    Ended(Option<i32>, String),
}

/// One running (or stopped, restartable) server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    home: TempDir,
    data_dir: PathBuf,
    properties: Vec<(String, String)>,
    addr: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Starts a server and returns when it answers with its own data directory.
    pub fn start(kind: Kind, options: &Options) -> Result<Self> {
        let mut server = Self::prepare(kind, options)?;
        server.launch()?;
        Ok(server)
    }

    /// Starts a server and returns when it serves, or has ended: then with its exit code and what it said.
    pub fn try_start(kind: Kind, options: &Options) -> Result<Started> {
        let mut server = Self::prepare(kind, options)?;
        server.spawn()?;
        match server.wait_until_serving() {
            Ok(()) => Ok(Started::Serves(server)),
            Err(error) => match server.child.as_mut().map(Child::try_wait) {
                Some(Ok(Some(status))) => Ok(Started::Ended(status.code(), server.log())),
                _ => Err(error),
            },
        }
    }

    /// A server that is not running yet.
    fn prepare(kind: Kind, options: &Options) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("oxkeeper-compat-")
            .tempdir()
            .context("make a directory for the server")?;
        let data_dir = options.data_dir.clone().unwrap_or_else(|| home.path().join("data"));
        fs::create_dir_all(&data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut config = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\ntickTime={}\n4lw.commands.whitelist=*\nadmin.enableServer=false\n",
            data_dir.display(),
            addr.port(),
            options.tick_time_ms
        );
        for line in &options.lines {
            config.push_str(line);
            config.push('\n');
        }
        if kind == Kind::Oxkeeper {
            for (key, value) in &options.properties {
                let bare = key.strip_prefix("zookeeper.").unwrap_or(key);
                config.push_str(&format!("{bare}={value}\n"));
            }
        }
        let path = home.path().join("zoo.cfg");
        fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
        Ok(Self { kind, home, data_dir, properties: options.properties.clone(), addr, child: None })
    }

    /// Waits for the process to end by itself; its exit code, if no signal ended it.
    pub fn wait_for_end(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + STOP_LIMIT;
        while self.alive() {
            if Instant::now() > deadline {
                bail!("{} still runs; its log ends:\n{}", self.kind, tail(&self.log(), 40));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut child = self.child.take().context("the server is not running")?;
        Ok(child.wait().context("wait for the server")?.code())
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a client's connect string.
    pub fn connect_string(&self) -> String {
        self.addr.to_string()
    }

    /// Which server this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Everything the process has printed since the first start.
    pub fn log(&self) -> String {
        fs::read(self.home.path().join("log"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks a four-letter word.
    pub fn ask(&self, word: &str) -> Result<String> {
        four_letter::ask(self.addr, word)
    }

    /// Whether the process is running.
    pub fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts the process again on the same port and directory.
    pub fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_serving()
    }

    fn spawn(&mut self) -> Result<()> {
        if self.alive() {
            bail!("{} is already running", self.kind);
        }
        let log_path = self.home.path().join("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("open {}", log_path.display()))?;
        let config = self.home.path().join("zoo.cfg");
        let mut command = match self.kind {
            Kind::Oxkeeper => Command::new(artifacts::oxkeeper()?),
            Kind::Apache(version) => {
                let mut java = Command::new("java");
                java.args(JVM).args(["-Xmx512m", "-Dcompat.log=INFO", "-Dzookeeper.jmx.log4j.disable=true"]);
                java.args(self.properties.iter().map(|(key, value)| format!("-D{key}={value}")));
                java.args([
                    "-cp",
                    &artifacts::class_path(version)?,
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                ]);
                java
            }
        };
        command.arg(&config).current_dir(self.home.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().context("share the log file")?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("start {command:?}"))?);
        Ok(())
    }

    fn wait_until_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let ours = format!("dataDir={}", self.data_dir.display());
        while Instant::now() < deadline {
            if !self.alive() {
                bail!("{} exited while starting; its log ends:\n{}", self.kind, tail(&self.log(), 40));
            }
            let serving = self.ask("conf").is_ok_and(|conf| conf.contains(&ours));
            if serving && self.ask("srvr").is_ok_and(|srvr| srvr.contains("Mode: ")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        bail!("{} does not serve after {START_LIMIT:?}; its log ends:\n{}", self.kind, tail(&self.log(), 40));
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while self.alive() {
            if Instant::now() > deadline {
                bail!(
                    "{} still runs {STOP_LIMIT:?} after SIGTERM; its log ends:\n{}",
                    self.kind,
                    tail(&self.log(), 40)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = None;
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server is not running")?;
        child.kill().context("send SIGKILL")?;
        child.wait().context("wait for the killed server").map(drop)
    }

    /// Freezes the process (SIGSTOP).
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Stops and starts again on the same port and directory.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let child = self.child.as_ref().context("the server is not running")?;
        let mut command = Command::new("kill");
        artifacts::run(command.arg(format!("-{name}")).arg(child.id().to_string())).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends:\n{}", self.kind, tail(&self.log(), 40));
        }
    }
}

/// A port nobody listens on, outside the range the kernel hands to outgoing connections.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 97) as u16 * 113;
    for _ in 0..1000 {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 32000");
}
