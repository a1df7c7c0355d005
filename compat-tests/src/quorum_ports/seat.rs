//! The server under test: one member of an ensemble whose other members are scripts.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::history::History;
use super::{Side, directory};
use crate::artifacts;
use crate::programs::tail;
use crate::server::free_port;

const STOP_LIMIT: Duration = Duration::from_secs(20);
const LOG_LINES: usize = 40;

/// Addresses of one member.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Where learners come.
    pub quorum: SocketAddr,
    /// Where votes come.
    pub election: SocketAddr,
}

/// An ensemble on paper. Both kinds of servers get the same one, but for its ports.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The number of the server under test.
    pub sid: i64,
    /// Members 1 to 3 vote, 4 and 5 observe.
    pub members: Vec<Ports>,
    client: SocketAddr,
    /// Further lines of its configuration.
    pub lines: Vec<String>,
}

/// Voters in a layout.
pub const VOTERS: i64 = 3;
const MEMBERS: usize = 5;

impl Layout {
    /// With free ports.
    pub fn new(sid: i64, lines: Vec<String>) -> Result<Self> {
        let free = || -> Result<SocketAddr> { Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))) };
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            members.push(Ports { quorum: free()?, election: free()? });
        }
        Ok(Self { sid, members, client: free()?, lines })
    }

    /// Addresses of a member.
    #[must_use]
    pub fn of(&self, sid: i64) -> Ports {
        self.members[(sid - 1) as usize]
    }

    /// The other voters.
    #[must_use]
    pub fn others(&self) -> Vec<i64> {
        (1..=VOTERS).filter(|sid| *sid != self.sid).collect()
    }

    /// A text with names for the ports, which have five digits each.
    #[must_use]
    pub fn without_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (sid, ports) in (1..).zip(&self.members) {
            text = text.replace(&format!(":{}", ports.quorum.port()), &format!(":quorum-{sid}"));
            text = text.replace(&format!(":{}", ports.election.port()), &format!(":election-{sid}"));
        }
        text.replace(&format!(":{}", self.client.port()), ":client")
    }

    fn config(&self, data_dir: &std::path::Path) -> String {
        // Long limits: a script is never late, and pings are rare.
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\ntickTime=2000\ninitLimit=10\nsyncLimit=10\n\
             maxSessionTimeout=120000\n4lw.commands.whitelist=*\nadmin.enableServer=false\n",
            data_dir.display(),
            self.client.port()
        );
        for (sid, ports) in (1..).zip(&self.members) {
            let role = if sid <= VOTERS { "participant" } else { "observer" };
            let (quorum, election) = (ports.quorum.port(), ports.election.port());
            let _ = writeln!(text, "server.{sid}=127.0.0.1:{quorum}:{election}:{role}");
        }
        if self.sid > VOTERS {
            text.push_str("peerType=observer\n");
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// The server, running.
#[derive(Debug)]
pub struct Seat<'a> {
    side: &'a Side,
    home: TempDir,
    child: Option<Child>,
}

impl<'a> Seat<'a> {
    /// Writes the history down and starts the server on it.
    pub fn start(side: &'a Side, layout: &Layout, history: &History) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("oxkeeper-seat-").tempdir().context("make a directory")?;
        let mut seat = Self { side, home, child: None };
        let data_dir = seat.data_dir();
        directory::write(history, &data_dir)?;
        fs::write(data_dir.join("myid"), layout.sid.to_string()).context("write myid")?;
        let config = seat.home.path().join("zoo.cfg");
        fs::write(&config, layout.config(&data_dir)).context("write zoo.cfg")?;
        match side {
            Side::Reference(host) => host.launch(&config)?,
            Side::Oxkeeper => {
                let log = File::create(seat.home.path().join("log")).context("create a log")?;
                let mut command = Command::new(artifacts::oxkeeper()?);
                command.arg(&config).current_dir(seat.home.path()).stdin(Stdio::null());
                command.stdout(log.try_clone().context("share the log")?).stderr(log);
                seat.child = Some(command.spawn().with_context(|| format!("start {command:?}"))?);
            }
        }
        Ok(seat)
    }

    /// Its `dataDir`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Whether it runs: `running`, or how it ended.
    pub fn state(&mut self) -> Result<String> {
        match (self.side, &mut self.child) {
            (Side::Reference(host), _) => host.state(),
            (Side::Oxkeeper, Some(child)) => Ok(match child.try_wait().context("look for its end")? {
                None => String::from("running"),
                Some(status) => {
                    status.code().map_or_else(|| status.to_string(), |code| format!("exit {code}"))
                }
            }),
            (Side::Oxkeeper, None) => bail!("the server was not started"),
        }
    }

    /// Stops it and tells what is on its disk.
    pub fn stop(mut self) -> Result<String> {
        match (self.side, self.child.take()) {
            (Side::Reference(host), _) => host.stop()?,
            (Side::Oxkeeper, Some(mut child)) => {
                let mut kill = Command::new("kill");
                // It may have ended by itself.
                let _ = artifacts::run(kill.arg("-TERM").arg(child.id().to_string()));
                let deadline = Instant::now() + STOP_LIMIT;
                while child.try_wait().context("look for its end")?.is_none() {
                    if Instant::now() > deadline {
                        child.kill().context("kill it")?;
                        child.wait().context("wait for it")?;
                        bail!("it does not stop; its log ends:\n{}", self.log());
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            (Side::Oxkeeper, None) => {}
        }
        if std::env::var_os("OXKEEPER_SHOW_LOG").is_some() {
            eprintln!("{}", self.log());
        }
        directory::lines(&self.data_dir())
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        match self.side {
            Side::Reference(host) => tail(&host.log(), LOG_LINES),
            Side::Oxkeeper => {
                let bytes = fs::read(self.home.path().join("log")).unwrap_or_default();
                tail(&String::from_utf8_lossy(&bytes), LOG_LINES)
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Side::Reference(host) = self.side {
            // Stopped already, unless the conversation failed.
            let _ = host.stop();
        }
    }
}
