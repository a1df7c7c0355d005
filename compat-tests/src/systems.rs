//! What tests of whole systems share: their processes, and a look at what they keep in the server.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::programs::tail;
use crate::results::Case;
use crate::seat;
use crate::security::Security;
use crate::server::{Kind, Server};
use crate::skip::skip;
use crate::wire::{Body, Client, Reply, op};
use crate::{artifacts, compare};

const LOG_LINES: usize = 40;

const AUTH_XID: i32 = -4;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;

/// What [`lists`] says behind the list of a node that everybody may write.
const OPEN: &str = ", everybody may write";

/// How much of the systems is to run, from `OXKEEPER_SYSTEMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Nothing.
    Off,
    /// The same as in the short form, and less: what every run of all tests can afford.
    Brief,
    /// Few records, on the judged server.
    Short,
    /// Few records, on both servers.
    Both,
    /// Many records, more nodes and rounds, on both servers.
    Long,
}

/// The form that is wanted; the brief one if nothing is said.
pub fn form() -> Result<Form> {
    match std::env::var("OXKEEPER_SYSTEMS").as_deref() {
        Err(_) => Ok(Form::Brief),
        Ok("short") => Ok(Form::Short),
        Ok("both") => Ok(Form::Both),
        Ok("long") => Ok(Form::Long),
        Ok("off") => Ok(Form::Off),
        Ok(other) => bail!("OXKEEPER_SYSTEMS is short, both, long or off, not {other:?}"),
    }
}

/// Runs a system on the judged server, before that on the reference if asked to, and compares
/// what was printed. In forms below the least one it is skipped.
pub fn on_the_servers(case: &Case, least: Form, run: impl Fn(Kind, Form) -> Result<String>) -> Result<()> {
    let form = form()?;
    if form == Form::Off {
        skip(&format!("{} is switched off by OXKEEPER_SYSTEMS", case.who));
        return Ok(());
    }
    if form < least {
        skip(&format!("{} runs with OXKEEPER_SYSTEMS=short, both or long", case.who));
        return Ok(());
    }
    let _turn = alone()?;
    let on = |kind: Kind| run(kind, form).with_context(|| format!("{} on {kind}", case.who));
    let expected = (form >= Form::Both).then(|| on(Kind::Apache(artifacts::REFERENCE)));
    compare::verdict(&seat::case_in(case, seat::wanted()?), expected, on(compare::judged()))
}

/// The server that a system is given: alone, or in the seat of an ensemble that `OXKEEPER_ENSEMBLE` names.
pub fn server_of(kind: Kind, security: &Security) -> Result<Server> {
    Server::start(kind, &security.options().seat(seat::wanted()?))
}

/// One system at a time: each takes several virtual machines. The lock is the kernel's, so that it
/// also holds between test programs that run at once, and ends with the process.
fn alone() -> Result<File> {
    let path = artifacts::cache_dir()?.join("systems.lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(lock)
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    /// SIGTERM; the end is not waited for.
    pub fn terminate(&self) -> Result<()> {
        let mut kill = Command::new("kill");
        artifacts::run(kill.arg("-TERM").arg(self.child.id().to_string())).map(drop)
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
        tail(&self.log(), LOG_LINES)
    }
}

/// The ends of the logs of a server and of the system on it: what a failure is shown with.
pub fn logs<'a>(server: &Server, processes: impl IntoIterator<Item = &'a Process>) -> String {
    let mut text = format!("the log of {} ends:\n{}", server.kind(), tail(&server.log(), LOG_LINES));
    for process in processes {
        text.push_str(&format!("\n--- the log of {} ends:\n{}", process.name, process.log_tail()));
    }
    text
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

    /// Proves to be somebody.
    pub fn authenticated(mut self, scheme: &str, credentials: &str) -> Result<Self> {
        let reply = self.client.call(AUTH_XID, op::AUTH, &Body::auth(scheme, credentials.as_bytes()))?;
        ensure!(reply.err == 0, "{scheme} was answered with {}", reply.err);
        Ok(self)
    }

    fn call(&mut self, op: i32, path: &str) -> Result<Option<Reply>> {
        self.ask(op, path, &Body::path_and_watch(path, false))
    }

    fn ask(&mut self, op: i32, path: &str, body: &Body) -> Result<Option<Reply>> {
        self.xid += 1;
        let reply = self.client.call(self.xid, op, body)?;
        match reply.err {
            0 => Ok(Some(reply)),
            NO_NODE => Ok(None),
            code => bail!("{path}: code {code}"),
        }
    }

    /// Who may do what with a node, as `getAcl` of `zkCli.sh` has it, but in one line; none if there is no node.
    pub fn list(&mut self, path: &str) -> Result<Option<String>> {
        let Some(reply) = self.ask(op::GET_ACL, path, &Body::new().string(path))? else { return Ok(None) };
        let mut rest = reply.body.as_slice();
        let entries = (0..int(&mut rest)?).map(|_| {
            let permissions = int(&mut rest)?;
            let letters = "rwcda".chars().enumerate().filter(|(bit, _)| permissions & (1 << bit) != 0);
            let letters: String = letters.map(|(_, letter)| letter).collect();
            Ok(format!("{letters} {}:{}", text(&mut rest)?, text(&mut rest)?))
        });
        entries.collect::<Result<Vec<_>>>().map(|entries| Some(entries.join(", ")))
    }

    /// Whether this session may write a node, which stays as it is; none if there is no node.
    pub fn may_write(&mut self, path: &str) -> Result<Option<bool>> {
        self.xid += 1;
        // No node has this version, which is looked at when the list allows it.
        let reply = self.client.call(self.xid, op::SET_DATA, &Body::set_data(path, b"", i32::MAX))?;
        match reply.err {
            NO_NODE => Ok(None),
            NO_AUTH => Ok(Some(false)),
            BAD_VERSION => Ok(Some(true)),
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
        let mut rest = reply.body.as_slice();
        let mut names = (0..int(&mut rest)?).map(|_| text(&mut rest)).collect::<Result<Vec<String>>>()?;
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

/// The integer at the front, which is taken away.
fn int(rest: &mut &[u8]) -> Result<i32> {
    let (front, behind) = rest.split_first_chunk::<4>().context("a reply cut short")?;
    *rest = behind;
    Ok(i32::from_be_bytes(*front))
}

/// The text at the front, which is taken away.
fn text(rest: &mut &[u8]) -> Result<String> {
    let length = usize::try_from(int(rest)?).context("a negative length")?;
    let (front, behind) = rest.split_at_checked(length).context("a text shorter than it says")?;
    *rest = behind;
    Ok(String::from_utf8_lossy(front).into_owned())
}

fn long(stat: &[u8], at: usize) -> Result<i64> {
    let bytes = stat.get(at..).and_then(|rest| rest.first_chunk::<8>()).context("a stat cut short")?;
    Ok(i64::from_be_bytes(*bytes))
}

/// Every node from `root` on with its list, and whether everybody may write it, a line each, in order. Names are told as
/// [`lasting`] has them; nodes whose path has one of the `passing` parts are left out.
pub fn lists(security: &Security, server: SocketAddr, root: &str, passing: &[&str]) -> Result<String> {
    let (mut look, mut stranger) = (security.look(server)?, Look::at(server)?);
    let mut lines = BTreeSet::new();
    for path in look.paths(root)? {
        if passing.iter().any(|part| path.contains(part)) {
            continue;
        }
        // Some go meanwhile.
        let (Some(list), Some(may_write)) = (look.list(&path)?, stranger.may_write(&path)?) else { continue };
        let open = if may_write { OPEN } else { "" };
        lines.insert(format!("{}: {list}{open}", lasting(&path)));
    }
    Ok(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

/// Fails unless `node` belongs to the system and only nodes that `open` names may be written by everybody.
pub fn must_guard(security: &Security, lists: &str, node: &str, open: &[&str]) -> Result<()> {
    let own = format!("{node}: rwcda {}:", security.scheme());
    ensure!(lists.lines().any(|line| line.starts_with(&own)), "no line begins with {own:?}:\n{lists}");
    for line in lists.lines().filter(|line| line.ends_with(OPEN)) {
        let is_meant = open.iter().any(|path| line.starts_with(&format!("{path}: ")));
        ensure!(is_meant, "everybody may write what should be guarded: {line}");
    }
    Ok(())
}

/// Ports, times, sessions, sequence numbers, and the number at the end of a word, become `#`: they differ from run to run.
fn lasting(path: &str) -> String {
    let is_separator = |c: char| !c.is_ascii_alphanumeric();
    let shown = path.split_inclusive(is_separator).map(|word| {
        let bare = word.trim_end_matches(is_separator);
        let behind = &word[bare.len()..];
        let is_number = bare.len() >= 5
            && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
            && bare.bytes().any(|byte| byte.is_ascii_digit());
        let letters = bare.trim_end_matches(|c: char| c.is_ascii_digit());
        match letters.len() {
            _ if is_number => format!("#{behind}"),
            length if length == 0 || length == bare.len() => word.to_owned(),
            _ => format!("{letters}#{behind}"),
        }
    });
    shown.collect()
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
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::lasting;

    #[test]
    fn names_that_differ_from_run_to_run_are_told_alike() {
        assert_eq!(lasting("/hbase/rs/localhost,20113,1732600000000"), "/hbase/rs/localhost,#,#");
        assert_eq!(lasting("/election/7205cafe1-core_node3-n_0000000001"), "/election/#-core_node#-n_#");
        assert_eq!(lasting("/kafka/brokers/ids/1"), "/kafka/brokers/ids/1");
    }
}
