//! What tests of whole systems share: their processes, and a look at what they keep in the server.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::programs::tail;
use crate::server::Kind;
use crate::wire::{Body, Client, Reply, op};
use crate::{artifacts, compare};

/// Whether whole systems and clients in other languages are to run at all: they take minutes, and what
/// they are made of is fetched. Without `OXKEEPER_SYSTEMS` they are skipped, loudly.
pub fn wanted(name: &str) -> bool {
    let wanted = std::env::var_os("OXKEEPER_SYSTEMS").is_some();
    if !wanted {
        eprintln!("\n*** SKIPPED: {name} runs only with OXKEEPER_SYSTEMS=short, both or long ***\n");
    }
    wanted
}

/// Whether the long form of the systems' tests is wanted.
pub fn long_form() -> bool {
    std::env::var("OXKEEPER_SYSTEMS").is_ok_and(|form| form == "long")
}

/// Whether the reference is to run the system too: in the long form, and with `both`.
pub fn both_servers() -> bool {
    long_form() || std::env::var("OXKEEPER_SYSTEMS").is_ok_and(|form| form == "both")
}

/// Runs a system on the judged server, before that on the reference if asked to, and compares
/// what was printed.
pub fn on_the_servers(name: &str, run: impl Fn(Kind) -> Result<String>) -> Result<()> {
    if !wanted(name) {
        return Ok(());
    }
    let _turn = alone();
    let on = |kind: Kind| run(kind).with_context(|| format!("{name} on {kind}"));
    let expected = if both_servers() { Some(on(Kind::Apache(artifacts::REFERENCE))?) } else { None };
    let actual = on(compare::judged())?;
    expected.map_or(Ok(()), |expected| compare::equal(name, &expected, &actual))
}

/// One system at a time: each takes several virtual machines.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process of a system under test. Dropping it kills the process by its id.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a command whose output goes to `<dir>/<name>.log`, behind what is there.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.current_dir(dir).stdin(Stdio::null());
        command.stdout(file.try_clone().context("share the log file")?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Fails, with the end of its log, unless it still runs.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended ({status}); its log ends:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Waits for a successful end.
    pub fn must_succeed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                ensure!(status.success(), "{}: {status}; its log ends:\n{}", self.name, self.log_tail());
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} has not ended after {limit:?}:\n{}",
                self.name,
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name)).map(drop)
    }

    /// Everything it printed.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The end of what it printed.
    pub fn log_tail(&self) -> String {
        tail(&self.log(), 40)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node as read from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub data: Vec<u8>,
    /// The transaction that made it.
    pub czxid: i64,
    /// The session it belongs to, 0 if none.
    pub owner: i64,
}

/// Looks at the tree in a session of its own, closed at once.
#[derive(Debug)]
pub struct Look {
    client: Client,
    xid: i32,
}

impl Look {
    /// Connects.
    pub fn at(addr: SocketAddr) -> Result<Self> {
        Ok(Self { client: Client::connect(addr, 10_000)?, xid: 0 })
    }

    fn call(&mut self, op: i32, path: &str) -> Result<Option<Reply>> {
        self.xid += 1;
        let reply = self.client.call(self.xid, op, &Body::path_and_watch(path, false))?;
        match reply.err {
            0 => Ok(Some(reply)),
            -101 => Ok(None),
            code => bail!("{path}: code {code}"),
        }
    }

    /// A node, none if there is none.
    pub fn node(&mut self, path: &str) -> Result<Option<Node>> {
        let Some(reply) = self.call(op::GET_DATA, path)? else { return Ok(None) };
        // A null buffer has the length -1.
        let data = reply.first_buffer().unwrap_or_default().to_vec();
        let stat = reply.body.get(4 + data.len()..).context("a reply without a stat")?;
        Ok(Some(Node { czxid: long(stat, 0)?, owner: long(stat, 44)?, data }))
    }

    /// A node's children in order, none if there is no node.
    pub fn children(&mut self, path: &str) -> Result<Option<Vec<String>>> {
        let Some(reply) = self.call(op::GET_CHILDREN, path)? else { return Ok(None) };
        let mut rest = reply.body.get(4..).context("a reply without a count")?;
        let mut names = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length) as usize;
            let name = behind.get(..length).context("a name shorter than it says")?;
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &behind[length..];
        }
        names.sort();
        Ok(Some(names))
    }

    /// The paths of `root` and all below it, in order.
    pub fn paths(&mut self, root: &str) -> Result<Vec<String>> {
        let mut found = vec![root.to_owned()];
        for name in self.children(root)?.unwrap_or_default() {
            found.extend(self.paths(&format!("{root}/{name}"))?);
        }
        Ok(found)
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        // A session that is not closed here expires by itself.
        let _ = self.client.call(self.xid + 1, op::CLOSE_SESSION, &Body::new());
    }
}

fn long(stat: &[u8], at: usize) -> Result<i64> {
    let bytes = stat.get(at..).and_then(|rest| rest.first_chunk::<8>()).context("a stat cut short")?;
    Ok(i64::from_be_bytes(*bytes))
}

/// Waits until `condition` gives a value. Errors are taken for "not yet" and shown at the end.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let now = condition();
        if let Ok(Some(value)) = now {
            return Ok(value);
        }
        if Instant::now() > deadline {
            return match now {
                Err(e) => Err(e).with_context(|| format!("after {limit:?} still not: {what}")),
                Ok(_) => bail!("after {limit:?} still not: {what}"),
            };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
