//! Starts, signals and stops one server of either kind.
//!
//! A [`Server`] owns its process: dropping it kills the process by its id. A server counts as
//! started only when its process holds the port and its own `conf` answer names the data directory
//! this test gave it, so that a test cannot talk to a stranger on the same port.

use std::fmt;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::artifacts::REFERENCE;
use crate::host::Host;
use crate::programs::{JVM, tail};
use crate::seat;
use crate::systems::until;
use crate::{artifacts, class_data, four_letter, owner};

pub use crate::options::Options;

const START_LIMIT: Duration = Duration::from_secs(90);
/// For an answer of a server that serves.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// For an answer of a server that starts: about every other start of the reference loses a connection that is
/// made a moment too early, and never answers it.
const STARTING_ANSWER_LIMIT: Duration = Duration::from_secs(1);
const START_POLL: Duration = Duration::from_millis(5);
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

/// What came of a start.
#[derive(Debug)]
pub enum Started {
    /// It serves.
    Serves(Box<Server>),
    /// It ended: the exit code, if no signal ended it, and everything it printed.
    Ended(Option<i32>, String),
}

/// One running (or stopped, restartable) server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    home: TempDir,
    data_dir: PathBuf,
    options: Options,
    addr: SocketAddr,
    secure_addr: Option<SocketAddr>,
    process: Process,
    wrapper: Vec<String>,
    /// The other servers of its ensemble.
    companions: Vec<Self>,
    /// All ports of the ensemble.
    ports: Vec<u16>,
}

/// Where it runs.
#[derive(Debug)]
enum Process {
    Stopped,
    Own(Child),
    Hosted(Host),
}

impl Server {
    /// Starts a server and returns when it answers with its own data directory.
    pub fn start(kind: Kind, options: &Options) -> Result<Self> {
        if let Some(seat) = options.seat {
            return seat::start(kind, options, seat);
        }
        let mut server = Self::prepare(kind, options)?;
        server.launch()?;
        Ok(server)
    }

    /// Starts a server and returns when it serves, or has ended: then with its exit code and what it said.
    pub fn try_start(kind: Kind, options: &Options) -> Result<Started> {
        let mut server = Self::prepare(kind, options)?;
        match server.launch() {
            Ok(()) => Ok(Started::Serves(Box::new(server))),
            Err(error) => match server.ended()? {
                Some(status) => Ok(Started::Ended(status.code(), server.log())),
                None => Err(error),
            },
        }
    }

    /// A server that is not running yet.
    pub(crate) fn prepare(kind: Kind, options: &Options) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("oxkeeper-compat-")
            .tempdir()
            .context("make a directory for the server")?;
        let data_dir = options.data_dir.clone().unwrap_or_else(|| home.path().join("data"));
        fs::create_dir_all(&data_dir).with_context(|| format!("create {}", data_dir.display()))?;
        let address = &options.client_port_address;
        let host: IpAddr = address.split('%').next().unwrap_or_default().parse().context(address.clone())?;
        let addr = SocketAddr::from((host, free_port()?));
        let mut config = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress={address}\ntickTime={}\n4lw.commands.whitelist=*\nadmin.enableServer=false\n",
            data_dir.display(),
            addr.port(),
            options.tick_time_ms
        );
        let mut secure_addr = None;
        if options.has_secure_port {
            let secure = SocketAddr::from((host, free_port()?));
            config.push_str(&format!(
                "secureClientPort={}\nsecureClientPortAddress={address}\n",
                secure.port()
            ));
            secure_addr = Some(secure);
        }
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
        Ok(Self {
            kind,
            home,
            data_dir,
            options: options.clone(),
            addr,
            secure_addr,
            process: Process::Stopped,
            wrapper: Vec::new(),
            companions: Vec::new(),
            ports: Vec::new(),
        })
    }

    /// Keeps the other servers of its ensemble for as long as it lives.
    pub(crate) fn sit_among(&mut self, companions: Vec<Self>, ports: Vec<u16>) {
        self.companions = companions;
        self.ports = ports;
    }

    /// What two ensembles cannot share becomes the same.
    pub fn without_ports(&self, bytes: &mut [u8]) {
        seat::without_ports(&self.ports, bytes);
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients connect that speak TLS, if the options ask for such a port.
    pub fn secure_addr(&self) -> Result<SocketAddr> {
        self.secure_addr.context("the server has no port for TLS")
    }

    /// The address as a client's connect string.
    pub fn connect_string(&self) -> String {
        self.addr.to_string()
    }

    /// Which server this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process's id while it runs.
    pub fn process_id(&self) -> Result<u32> {
        match &self.process {
            Process::Stopped => bail!("the server is not running"),
            Process::Own(child) => Ok(child.id()),
            Process::Hosted(host) => Ok(host.pid()),
        }
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Everything the process has printed since the first start.
    pub fn log(&self) -> String {
        if let (Kind::Apache(_), Some(host)) = (self.kind, &self.options.host) {
            return host.log();
        }
        fs::read(self.home.path().join("log"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks a four-letter word.
    pub fn ask(&self, word: &str) -> Result<String> {
        four_letter::ask(self.addr, word)
    }

    /// The last transaction, as the server tells it. Fails if another process answers in its place.
    pub fn zxid(&self) -> Result<i64> {
        let srvr = self.answer_of_its_own("srvr", "Zxid: 0x", ANSWER_LIMIT)?;
        let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).context("no zxid")?;
        i64::from_str_radix(zxid, 16).with_context(|| format!("the zxid {zxid:?}"))
    }

    /// What it says that it is: `standalone`, `leader`, `follower` or `observer`.
    pub fn mode(&self) -> Result<String> {
        let srvr = self.answer_of_its_own("srvr", "Mode: ", ANSWER_LIMIT)?;
        srvr.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned).context("no mode")
    }

    /// Asks `word` of the process this test started: it holds the port, and tells of the data
    /// directory that nobody else uses.
    fn answer_of_its_own(&self, word: &str, expected: &str, limit: Duration) -> Result<String> {
        let pid = self.process_id()?;
        ensure!(
            owner::listens(pid, self.addr.port())?,
            "{} is not held by process {pid}, {}",
            self.addr,
            self.kind
        );
        let conf = four_letter::ask_within(self.addr, "conf", limit)?;
        ensure!(
            conf.contains(&format!("dataDir={}", self.data_dir.display())),
            "another server answers on {}:\n{conf}",
            self.addr
        );
        let answer = four_letter::ask_within(self.addr, word, limit)?;
        ensure!(answer.contains(expected), "{word} does not tell {expected:?}:\n{answer}");
        Ok(answer)
    }

    /// Whether the process is running.
    pub fn alive(&mut self) -> bool {
        match &mut self.process {
            Process::Stopped => false,
            Process::Own(child) => matches!(child.try_wait(), Ok(None)),
            Process::Hosted(host) => host.state().is_ok_and(|state| state == "running"),
        }
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.process {
            Process::Own(child) => child.try_wait().context("look for the server's end"),
            Process::Stopped | Process::Hosted(_) => bail!("the server is not a running process of its own"),
        }
    }

    /// The next starts are those of another program, whose last arguments are the server's program and its
    /// own. It must become the server: its process is the one that is signalled. Oxkeeper only.
    pub fn run_under(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    fn wrapped(&self, program: &Path) -> Command {
        match self.wrapper.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }

    /// Starts the process again on the same port and directory. Its companions have a leader by then, so that what it
    /// comes back as does not depend on how soon it comes.
    pub fn launch(&mut self) -> Result<()> {
        if !self.companions.is_empty() {
            until("a companion leads", START_LIMIT, || {
                let leads = |companion: &Self| companion.mode().is_ok_and(|mode| mode == "leader");
                Ok(self.companions.iter().any(leads).then_some(()))
            })?;
        }
        self.begin()?;
        self.wait_until_serving()
    }

    /// The same, without waiting for it to serve.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.alive() {
            bail!("{} is already running", self.kind);
        }
        let config = self.home.path().join("zoo.cfg");
        self.process = match (self.kind, self.options.host.clone()) {
            (Kind::Apache(REFERENCE), Some(host)) => {
                host.launch(&config)?;
                Process::Hosted(host)
            }
            _ => Process::Own(self.spawn(&config)?),
        };
        Ok(())
    }

    fn spawn(&self, config: &Path) -> Result<Child> {
        let log_path = self.home.path().join("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("open {}", log_path.display()))?;
        let mut command = match self.kind {
            Kind::Oxkeeper => {
                let program = self.options.program.clone().map_or_else(artifacts::oxkeeper, Ok)?;
                let mut command = self.wrapped(&program);
                let flags: Vec<_> =
                    self.options.flags.iter().map(|(key, value)| format!("-D{key}={value}")).collect();
                if !flags.is_empty() {
                    command.env("JVMFLAGS", flags.join(" "));
                }
                command.envs(self.options.environment.iter().cloned());
                command
            }
            Kind::Apache(version) => {
                let mut java = Command::new("java");
                java.args(JVM).args(class_data::flags(version));
                java.args(["-Xmx512m", "-Dcompat.log=INFO", "-Dzookeeper.jmx.log4j.disable=true"]);
                let properties = self.options.properties.iter().chain(&self.options.flags);
                java.args(properties.map(|(key, value)| format!("-D{key}={value}")));
                java.args([
                    "-cp",
                    &artifacts::class_path(version)?,
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                ]);
                java
            }
        };
        command.arg(config).current_dir(self.home.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().context("share the log file")?).stderr(log);
        command.spawn().with_context(|| format!("start {command:?}"))
    }

    pub(crate) fn wait_until_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if !self.alive() {
                let state = match &self.process {
                    Process::Hosted(host) => host.state()?,
                    _ => String::new(),
                };
                bail!(
                    "{} exited while starting; {state}; its log ends:\n{}",
                    self.kind,
                    tail(&self.log(), 40)
                );
            }
            if self.answer_of_its_own("srvr", "Mode: ", STARTING_ANSWER_LIMIT).is_ok() {
                return Ok(());
            }
            std::thread::sleep(START_POLL);
        }
        bail!("{} does not serve after {START_LIMIT:?}; its log ends:\n{}", self.kind, tail(&self.log(), 40));
    }

    /// Waits for the process to end by itself; its exit code, if no signal ended it.
    pub fn wait_for_end(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.ended()? {
                self.process = Process::Stopped;
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                bail!("{} still runs; its log ends:\n{}", self.kind, tail(&self.log(), 40));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        if let Process::Hosted(host) = &self.process {
            host.stop()?;
            self.process = Process::Stopped;
            return Ok(());
        }
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
        self.process = Process::Stopped;
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        let Process::Own(child) = &mut self.process else {
            bail!("the server is not running in a process of its own");
        };
        child.kill().context("send SIGKILL")?;
        child.wait().context("wait for the killed server")?;
        self.process = Process::Stopped;
        Ok(())
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

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let Process::Own(child) = &self.process else {
            bail!("the server is not running in a process of its own");
        };
        let mut command = Command::new("kill");
        artifacts::run(command.arg(format!("-{name}")).arg(child.id().to_string())).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        match std::mem::replace(&mut self.process, Process::Stopped) {
            Process::Stopped => {}
            Process::Own(mut child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Process::Hosted(host) => drop(host.stop()),
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
        // Not by binding it: a program started meanwhile by another thread would hold the port for a moment.
        if !owner::is_taken(port)? {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 32000");
}
