//! One server of an ensemble: its directory, ports, configuration and process.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::sync::{self, Sync};
use super::{Plan, Role};
use crate::programs::{JVM, tail};
use crate::server::{Kind, free_port};
use crate::{artifacts, class_data};

const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Sessions time out between 1 and 60 seconds; a dead peer is noticed within 5, a sync may take 30.
const TIMES: &str = "tickTime=500\ninitLimit=60\nsyncLimit=10\nmaxSessionTimeout=60000\n";

/// A server of an ensemble.
#[derive(Debug)]
pub struct Member {
    sid: u64,
    kind: Kind,
    role: Role,
    home: PathBuf,
    client_port: u16,
    secure_client_port: Option<u16>,
    quorum_port: u16,
    election_port: u16,
    properties: Vec<(String, String)>,
    /// Where in the log the present life begins.
    log_start: usize,
    child: Option<Child>,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {} ({})", self.sid, self.kind)
    }
}

impl Member {
    pub(super) fn new(sid: u64, kind: Kind, role: Role, parent: &Path) -> Result<Self> {
        let home = parent.join(format!("server-{sid}"));
        let data = home.join("data");
        fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
        let myid = data.join("myid");
        fs::write(&myid, sid.to_string()).with_context(|| format!("write {}", myid.display()))?;
        Ok(Self {
            sid,
            kind,
            role,
            home,
            client_port: free_port()?,
            secure_client_port: None,
            quorum_port: free_port()?,
            election_port: free_port()?,
            properties: Vec::new(),
            log_start: 0,
            child: None,
        })
    }

    /// Its line in everybody's configuration.
    pub(super) fn server_line(&self) -> String {
        let role = match self.role {
            Role::Voter => "participant",
            Role::Observer => "observer",
        };
        format!("server.{}=127.0.0.1:{}:{}:{role}\n", self.sid, self.quorum_port, self.election_port)
    }

    /// Writes its `zoo.cfg`, which is the same for both kinds.
    pub(super) fn configure(&mut self, plan: &Plan, servers: &str) -> Result<()> {
        let mut config = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n{TIMES}maxClientCnxns=0\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n{servers}",
            self.data_dir().display(),
            self.client_port,
        );
        if self.role == Role::Observer {
            config.push_str("peerType=observer\n");
        }
        if plan.has_secure_client_ports {
            let port = free_port()?;
            config.push_str(&format!("secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n"));
            self.secure_client_port = Some(port);
        }
        for line in &plan.lines {
            config.push_str(line);
            config.push('\n');
        }
        self.properties.clone_from(&plan.properties);
        for (_, key, value) in plan.own_properties.iter().filter(|(sid, ..)| *sid == self.sid) {
            self.properties.push((key.clone(), value.clone()));
        }
        fs::write(self.config(), &config).context("write a zoo.cfg")
    }

    /// Adds lines to its configuration, which replace earlier ones of the same keys at its next start.
    pub fn add_lines(&self, lines: &str) -> Result<()> {
        let path = self.config();
        let config = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        fs::write(&path, config + lines).with_context(|| format!("write {}", path.display()))
    }

    /// Its `zoo.cfg`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("zoo.cfg")
    }

    /// The flags of its Java system properties, as an operator sets them for either kind.
    #[must_use]
    pub fn server_jvmflags(&self) -> String {
        self.flags().collect::<Vec<_>>().join(" ")
    }

    fn flags(&self) -> impl Iterator<Item = String> {
        self.properties.iter().map(|(key, value)| format!("-D{key}={value}"))
    }

    /// Its number in the ensemble.
    #[must_use]
    pub fn sid(&self) -> u64 {
        self.sid
    }

    /// Which program it runs, or will at its next start.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it runs the reference.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        matches!(self.kind, Kind::Apache(_))
    }

    /// Whether it votes.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.client_port))
    }

    /// Where clients connect over TLS, if the plan has it so.
    #[must_use]
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.secure_client_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Where learners connect while it leads.
    #[must_use]
    pub fn quorum_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.quorum_port))
    }

    /// Where voters connect.
    #[must_use]
    pub fn election_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.election_port))
    }

    /// Its `dataDir`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The directory of its logs and snapshots.
    #[must_use]
    pub fn version_dir(&self) -> PathBuf {
        self.data_dir().join("version-2")
    }

    /// Everything its processes have printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.home.join("log"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the process has printed since its start, or the last one since its own.
    #[must_use]
    pub fn log_of_this_life(&self) -> String {
        let log = self.log();
        log.get(self.log_start..).unwrap_or_default().to_owned()
    }

    /// The synchronizations that the process took from its leaders, in order.
    #[must_use]
    pub fn syncs(&self) -> Vec<Sync> {
        sync::taken(self.kind, &self.log_of_this_life())
    }

    /// Removes its logs, snapshots and epochs. It must not run.
    pub fn wipe(&self) -> Result<()> {
        ensure!(self.child.is_none(), "{self} runs");
        let dir = self.version_dir();
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))
    }

    /// The process's id.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).with_context(|| format!("{self} does not run"))
    }

    /// Whether a process was started and not ended by us.
    #[must_use]
    pub fn is_launched(&self) -> bool {
        self.child.is_some()
    }

    /// How the process ended, if it did so by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.try_wait().context("look for a server's end"),
            None => bail!("server {} was not started", self.sid),
        }
    }

    /// Runs another program from the next start on. It must not run now.
    pub fn become_kind(&mut self, kind: Kind) -> Result<()> {
        ensure!(self.child.is_none(), "{self} runs");
        self.kind = kind;
        Ok(())
    }

    pub(super) fn launch(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{self} runs already");
        self.log_start = self.log().len();
        let path = self.home.join("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut command = match self.kind {
            Kind::Oxkeeper => {
                let mut oxkeeper = Command::new(artifacts::oxkeeper()?);
                oxkeeper.env("SERVER_JVMFLAGS", self.server_jvmflags());
                oxkeeper
            }
            Kind::Apache(version) => {
                let mut java = Command::new("java");
                java.args(JVM).args(class_data::flags(version));
                java.args(["-Xmx128m", "-Dcompat.log=INFO", "-Dzookeeper.jmx.log4j.disable=true"]);
                java.args(self.flags());
                java.args([
                    "-cp",
                    &artifacts::class_path(version)?,
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                ]);
                java
            }
        };
        command.arg(self.config()).current_dir(&self.home).stdin(Stdio::null());
        command.stdout(log.try_clone().context("share the log file")?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("start {command:?}"))?);
        Ok(())
    }

    /// Of one whose process has ended by itself.
    pub(super) fn forget_process(&mut self) {
        self.child = None;
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "{self} still runs {STOP_LIMIT:?} after SIGTERM; its log ends:\n{}",
                    tail(&self.log(), 40)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = None;
        Ok(())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("server {} does not run", self.sid))?;
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

    fn signal(&self, name: &str) -> Result<()> {
        let mut command = Command::new("kill");
        artifacts::run(command.arg(format!("-{name}")).arg(self.pid()?.to_string())).map(drop)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
