//! Ensembles of servers of either kind, each a process of its own with its own directory and ports on loopback.
//!
//! A server's kind can change between two of its lives: the next start then runs the other program on the same
//! directory. One ensemble runs at a time on a machine, because each server of the reference is a virtual machine.
//! Dropping an ensemble kills its processes by their ids; in a test that fails it shows the end of each log.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::artifacts;
use crate::programs::tail;
use crate::server::Kind;
use crate::systems::until;
use crate::wire::{Body, Client, op};

mod agree;
mod load;
mod member;
mod mix;
mod secured;
mod status;
mod sync;

pub use agree::{Picture, assert_no_mismatches, assert_same, mismatches, pictures};
pub use load::{Load, Running as RunningLoad, Summary};
pub use member::Member;
pub use mix::{Mix, mixes};
pub use secured::{SECRET, answer, write_login};
pub use status::{Mode, Status, mntr};
pub use sync::Sync;

/// For whatever servers must come to by themselves: elections, syncs, starts. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);
const LOG_LINES: usize = 40;
/// What a follower of the reference says before it ends: when it lost its leader, it read its log while it still applied
/// what was committed (`ZooKeeperServer.shutdown`, `ZKDatabase.fastForwardDataBase`).
const LOST_RACE: &str = "Committed proposal cached out of order";

/// What a server is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Voter,
    /// It only listens.
    Observer,
}

/// How an ensemble is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, by sid from 1.
    pub seats: Vec<(Kind, Role)>,
    /// Further lines of every `zoo.cfg`.
    pub lines: Vec<String>,
    /// Java system properties by full name, which both kinds get as `-D` flags.
    pub properties: Vec<(String, String)>,
    /// The same for the server with this sid alone.
    pub own_properties: Vec<(u64, String, String)>,
    /// Whether each server has a port on which clients speak TLS, with the stores that `lines` name.
    pub has_secure_client_ports: bool,
}

impl Plan {
    /// Voters of these kinds.
    #[must_use]
    pub fn voters(kinds: &[Kind]) -> Self {
        let seats = kinds.iter().map(|kind| (*kind, Role::Voter)).collect();
        Self {
            seats,
            lines: Vec::new(),
            properties: Vec::new(),
            own_properties: Vec::new(),
            has_secure_client_ports: false,
        }
    }

    /// And an observer more.
    #[must_use]
    pub fn observer(mut self, kind: Kind) -> Self {
        self.seats.push((kind, Role::Observer));
        self
    }

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

    /// Gives each server a port on which clients speak TLS.
    #[must_use]
    pub fn secure_client_ports(mut self) -> Self {
        self.has_secure_client_ports = true;
        self
    }

    /// Adds a Java system property of one server.
    #[must_use]
    pub fn property_of(mut self, sid: u64, key: &str, value: &str) -> Self {
        self.own_properties.push((sid, key.to_owned(), value.to_owned()));
        self
    }
}

/// Servers that know each other. Nothing runs until it is started.
#[derive(Debug)]
pub struct Ensemble {
    members: Vec<Member>,
    _home: TempDir,
    _turn: File,
}

impl Ensemble {
    /// Gives each server its directory and its ports.
    pub fn prepare(plan: &Plan) -> Result<Self> {
        let turn = turn()?;
        let home = tempfile::Builder::new()
            .prefix("oxkeeper-ensemble-")
            .tempdir()
            .context("make a directory for the ensemble")?;
        let mut members = Vec::new();
        for (sid, (kind, role)) in (1..).zip(&plan.seats) {
            members.push(Member::new(sid, *kind, *role, home.path())?);
        }
        let servers: String = members.iter().map(Member::server_line).collect();
        for member in &mut members {
            member.configure(plan, &servers)?;
        }
        Ok(Self { members, _home: home, _turn: turn })
    }

    /// Starts all so that the voter with the highest sid leads: it and the lowest first, then the others, one after
    /// the other.
    pub fn start(plan: &Plan) -> Result<Self> {
        let mut ensemble = Self::prepare(plan)?;
        let voters = ensemble.voters();
        let (Some(first), Some(last)) = (voters.first().copied(), voters.last().copied()) else {
            bail!("an ensemble without voters");
        };
        ensemble.launch(first)?;
        if last != first {
            ensemble.launch(last)?;
        }
        if ensemble.voters().len() <= 3 {
            ensemble.wait_serving(last)?;
        }
        for at in 0..ensemble.members.len() {
            if !ensemble.members[at].is_launched() {
                ensemble.launch(at)?;
            }
        }
        ensemble.wait_all_serving()?;
        Ok(ensemble)
    }

    /// All members, by sid.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Places of the voters.
    #[must_use]
    pub fn voters(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].role() == Role::Voter).collect()
    }

    /// Places of those whose processes run.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].is_launched()).collect()
    }

    /// Client addresses of all members.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Member::addr).collect()
    }

    /// Addresses of all members where clients speak TLS.
    #[must_use]
    pub fn secure_addrs(&self) -> Vec<SocketAddr> {
        self.members.iter().filter_map(Member::secure_addr).collect()
    }

    /// One of them.
    pub fn member(&mut self, at: usize) -> &mut Member {
        &mut self.members[at]
    }

    /// Starts a process and does not wait for it to serve.
    pub fn launch(&mut self, at: usize) -> Result<()> {
        self.members[at].launch()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self, at: usize) -> Result<()> {
        self.members[at].stop()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        self.members[at].kill()
    }

    /// Waits until so many more writes of a load are acknowledged. Members of the reference that end by the fault of
    /// their own that a change of leader can show are started again, as whoever supervises them does.
    pub fn wait_for(&mut self, load: &load::Running, writes: u64) -> Result<()> {
        let goal = load.acknowledged() + writes;
        let what = format!("{writes} more writes are acknowledged");
        until(&what, PATIENCE, || {
            self.revive()?;
            Ok((load.acknowledged() >= goal).then_some(()))
        })
    }

    fn revive(&mut self) -> Result<()> {
        for member in self.members.iter_mut().filter(|member| member.is_launched()) {
            if member.is_reference()
                && member.ended()?.is_some()
                && member.log_of_this_life().contains(LOST_RACE)
            {
                println!("{member} ended by a fault of the reference ({LOST_RACE:?}) and is started again");
                member.forget_process();
                member.launch()?;
            }
        }
        Ok(())
    }

    /// Starts it and waits until it serves.
    pub fn bring_back(&mut self, at: usize) -> Result<()> {
        self.launch(at)?;
        self.wait_serving(at).map(drop)
    }

    /// Adds lines to the configuration of each member in turn, the leader last, and starts it anew; `between` two members
    /// it is seen that the ensemble works.
    pub fn reconfigure_each(&mut self, lines: &str, between: impl Fn() -> Result<()>) -> Result<()> {
        let leader = self.leader()?;
        let followers = self.running().into_iter().filter(|at| *at != leader);
        for at in followers.chain([leader]).collect::<Vec<_>>() {
            self.stop(at)?;
            self.members[at].add_lines(lines)?;
            self.bring_back(at)?;
            between()?;
        }
        Ok(())
    }

    /// Stops a server, and starts the other program on its directory.
    pub fn replace(&mut self, at: usize, kind: Kind) -> Result<()> {
        self.stop(at)?;
        self.members[at].become_kind(kind)?;
        self.bring_back(at)
    }

    /// How a member is, if it serves.
    pub fn status(&self, at: usize) -> Result<Status> {
        Status::of(self.members[at].addr())
    }

    /// Waits until a member serves.
    pub fn wait_serving(&mut self, at: usize) -> Result<Status> {
        let member = &mut self.members[at];
        let found = until(&format!("{member} serves"), PATIENCE, || {
            if let Some(end) = member.ended()? {
                return Ok(Some(Err(end)));
            }
            Status::of(member.addr()).map(|status| Some(Ok(status)))
        });
        match found {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(end)) => {
                bail!("{member} ended ({end}); its log ends:\n{}", tail(&member.log(), LOG_LINES))
            }
            Err(error) => Err(error.context(self.logs())),
        }
    }

    /// Waits until all that run serve, and exactly one leads.
    pub fn wait_all_serving(&mut self) -> Result<()> {
        for at in self.running() {
            self.wait_serving(at)?;
        }
        self.leader().map(drop)
    }

    /// Waits for a leader; its place.
    pub fn leader(&self) -> Result<usize> {
        until("one server leads", PATIENCE, || {
            let leaders: Vec<usize> = self
                .running()
                .into_iter()
                .filter(|at| self.status(*at).is_ok_and(|status| status.mode == Mode::Leader))
                .collect();
            ensure!(leaders.len() <= 1, "{} servers lead", leaders.len());
            Ok(leaders.first().copied())
        })
        .with_context(|| self.logs())
    }

    /// Writes something through the leader and waits until all that run have it, and with it the same last zxid,
    /// which this returns. Nothing else may write meanwhile.
    pub fn settle(&mut self) -> Result<i64> {
        self.wait_all_serving()?;
        let leader = self.leader()?;
        until("a write is taken", PATIENCE, || self.touch(leader).map(Some)).with_context(|| self.logs())?;
        until("all servers have the same last zxid", PATIENCE, || {
            let mut zxids = Vec::new();
            for at in self.running() {
                zxids.push(self.status(at)?.zxid);
            }
            ensure!(zxids.windows(2).all(|pair| pair[0] == pair[1]), "the last zxids are {zxids:x?}");
            Ok(zxids.first().copied())
        })
        .with_context(|| self.logs())
    }

    /// Makes a node and removes it again.
    fn touch(&self, at: usize) -> Result<()> {
        let mut client = Client::connect(self.members[at].addr(), 30_000)?;
        let path = format!("/settled-{:x}", client.session);
        let made = client.call(1, op::CREATE, &Body::create(&path, b"", 0))?;
        let gone = client.call(2, op::DELETE, &Body::new().string(&path).int(-1))?;
        client.call(3, op::CLOSE_SESSION, &Body::new())?;
        ensure!(made.err == 0 && gone.err == 0, "codes {} and {}", made.err, gone.err);
        Ok(())
    }

    /// The ends of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            text += &format!("--- the log of {member} ends:\n{}\n", tail(&member.log(), LOG_LINES));
        }
        text
    }

    /// Keeps all logs, whole, in the cache directory, and tells where.
    pub fn keep_logs(&self, name: &str) -> Result<PathBuf> {
        let dir = artifacts::cache_dir()?.join("ensemble-logs").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        for member in &self.members {
            let path = dir.join(format!("server-{}.log", member.sid()));
            fs::write(&path, member.log()).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(dir)
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// One ensemble at a time: the lock is the kernel's, so that it also holds between test programs that run at once,
/// and ends with the process.
fn turn() -> Result<File> {
    let path = artifacts::cache_dir()?.join("ensemble.lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(lock)
}
