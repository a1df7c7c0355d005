//! The n-th system call of a kind fails, or is the last thing the server does.
//!
//! The server runs under strace from its start, which injects the fault: EIO, ENOSPC, or SIGKILL in the
//! middle of the call. Several sessions write meanwhile. The server must go on serving, or end with a
//! message that tells the error; and a plain start afterwards must need no help and hold every
//! acknowledged write.

use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use compat_tests::acknowledged::{self, History};
use compat_tests::artifacts;
use compat_tests::programs::tail;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

/// How long the server may write under the fault. It has no end of its own.
const LIFE: Duration = Duration::from_millis(60);
const POLL: Duration = Duration::from_millis(2);
/// For what must come, and soon.
const SOON: Duration = Duration::from_secs(10);
const THREADS: usize = 3;
/// The n of the bounded form.
const FEW: [u64; 6] = [1, 2, 3, 5, 8, 13];
/// So many runs in a row that did not reach the n-th call end the long form.
const UNREACHED: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Eio,
    Enospc,
    Kill,
}

impl Fault {
    /// As strace names it.
    fn injection(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
            Self::Kill => "signal=KILL",
        }
    }
}

/// A kind of call with the faults it may meet, and the log's way to its file.
type Case = (&'static str, Fault, &'static str);

/// Errors go where a file system may report them. `write` also wakes threads, and `madvise` gives advice
/// about memory: only a death in them means something.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for call in ["fsync", "msync", "fallocate", "pwrite64", "rename", "openat", "ftruncate"] {
        cases.extend([Fault::Eio, Fault::Enospc, Fault::Kill].map(|fault| (call, fault, "mmap")));
    }
    cases.extend(["unlink", "write", "madvise"].map(|call| (call, Fault::Kill, "mmap")));
    cases.extend(["pread64", "unlink", "getdents64"].map(|call| (call, Fault::Eio, "mmap")));
    for call in ["fdatasync", "pwrite64"] {
        cases.extend([Fault::Eio, Fault::Enospc, Fault::Kill].map(|fault| (call, fault, "plain")));
    }
    cases
}

/// What came of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    runs: u64,
    /// The fault happened.
    reached: u64,
    /// And the server ended by itself.
    ended: u64,
    paths: usize,
}

#[test]
fn acknowledged_writes_survive_faults_of_any_system_call() -> Result<()> {
    if !artifacts::available(&["strace"])? {
        return Ok(());
    }
    let long = std::env::var_os("OXKEEPER_SYSTEM_CALLS_FULL").is_some();
    let began = Instant::now();
    let work = Mutex::new(cases());
    let total = Mutex::new(Counts::default());
    std::thread::scope(|scope| -> Result<()> {
        let worker = || -> Result<()> {
            loop {
                let Some(case) = work.lock().map_err(|_| anyhow!("another thread failed"))?.pop() else {
                    return Ok(());
                };
                let counts = one_case(case, long).with_context(|| format!("{case:?}"))?;
                println!("{case:?}: {counts:?}");
                let mut total = total.lock().map_err(|_| anyhow!("another thread failed"))?;
                total.runs += counts.runs;
                total.reached += counts.reached;
                total.ended += counts.ended;
                total.paths += counts.paths;
            }
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))?;
        }
        Ok(())
    })?;
    let total = total.into_inner().map_err(|_| anyhow!("a thread failed"))?;
    println!(
        "{} runs in {:.0?}: {} faults, {} ended the server; {} acknowledged paths, every one read back",
        total.runs,
        began.elapsed(),
        total.reached,
        total.ended,
        total.paths
    );
    ensure!(total.reached > 0 && total.paths > 0, "nothing was tested");
    Ok(())
}

/// All n of one case, on one data directory.
fn one_case(case: Case, long: bool) -> Result<Counts> {
    let (call, _, io) = case;
    let home = tempfile::tempdir().context("make a directory")?;
    let options = Options::default()
        .data_dir(&home.path().join("data"))
        .line(&format!("oxkeeper.log.io={io}"))
        .line("preAllocSize=64")
        .line("snapCount=60")
        .line("autopurge.snapRetainCount=3")
        .line("autopurge.purgeInterval=1");
    let mut server = Server::start(Kind::Oxkeeper, &options)?;
    let mut history = History::default();
    let mut counts = Counts::default();
    let mut unreached = 0;
    let mut numbers: Box<dyn Iterator<Item = u64>> =
        if long { Box::new(1..) } else { Box::new(FEW.into_iter()) };
    while let Some(n) = numbers.next().filter(|_| unreached < UNREACHED) {
        let reached =
            one_fault(&mut server, &mut history, case, n, home.path(), &mut counts).with_context(|| {
                format!("{call} number {n}; the server's log ends:\n{}", tail(&server.log(), 12))
            })?;
        unreached = if reached { 0 } else { unreached + 1 };
    }
    server.kill()?;
    Ok(counts)
}

/// A life with the fault, and a plain start after it. Whether the fault happened.
fn one_fault(
    server: &mut Server,
    history: &mut History,
    case: Case,
    n: u64,
    home: &Path,
    counts: &mut Counts,
) -> Result<bool> {
    let (call, fault, _) = case;
    server.kill()?;
    let said_before = server.log().len();
    let trace = home.join(format!("trace.{n}"));
    let inject = format!("inject={call}:{}:when={n}", fault.injection());
    let trace_to = trace.to_str().context("a path in UTF-8")?;
    let strace =
        ["strace", "-D", "-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o", trace_to, "--"];
    server.run_under(strace.map(str::to_owned).to_vec());
    counts.runs += 1;
    let mut ended = None;
    match server.launch() {
        Ok(()) => {
            let addr = server.addr();
            let knowns = acknowledged::load(addr, &format!("/n{n}"), || {
                let until = Instant::now() + LIFE;
                while server.ended()?.is_none() && Instant::now() < until {
                    std::thread::sleep(POLL);
                }
                ended = takes_writes_or_ends(server, n)?;
                Ok(())
            });
            counts.paths += history.extend(knowns?);
        }
        Err(error) => {
            ended = server.ended()?;
            ensure!(ended.is_some(), "neither serves nor ends: {error:#}");
        }
    }
    let said = server.log().split_off(said_before);
    server.kill()?;
    let reached = happened(&trace, fault, ended.is_some())?;
    counts.reached += u64::from(reached);
    counts.ended += u64::from(reached && ended.is_some());
    if let Some(status) = ended {
        ensure!(reached, "ended without a fault ({status}), and said:\n{said}");
        ensure!(!status.success(), "ended as if all were well, and said:\n{said}");
        ensure!(!said.contains("panicked"), "panicked:\n{said}");
        let clear = fault == Fault::Kill || TELLING.iter().any(|text| said.contains(text));
        ensure!(clear, "does not say why it ended ({status}):\n{said}");
    }
    server.run_under(Vec::new());
    server.launch().context("start again, without help")?;
    history.verify_all(server.addr())?;
    Ok(reached)
}

/// What the operating system calls the injected errors; the last is the dynamic loader's.
const TELLING: [&str; 3] = ["Input/output error", "No space left", "error while loading shared libraries"];

/// A server that is still there after a fault takes writes; one that is not tells how it ended.
fn takes_writes_or_ends(server: &mut Server, n: u64) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + SOON;
    loop {
        let written = Client::connect(server.addr(), 30_000)
            .and_then(|mut client| client.call(1, op::CREATE, &Body::create(&format!("/serves{n}"), b"", 0)));
        if let Some(status) = server.ended()? {
            return Ok(Some(status));
        }
        match written {
            Ok(reply) if reply.err == 0 => return Ok(None),
            Ok(reply) if Instant::now() > until => bail!("answers a write with {}", reply.err),
            Err(error) if Instant::now() > until => return Err(error.context("takes no writes")),
            _ => std::thread::sleep(POLL),
        }
    }
}

/// Whether strace got to inject. It writes its last lines after the server's end.
fn happened(trace: &Path, fault: Fault, ended: bool) -> Result<bool> {
    if fault == Fault::Kill {
        return Ok(ended);
    }
    let until = Instant::now() + SOON;
    loop {
        let text = fs::read_to_string(trace).unwrap_or_default();
        let over = text.contains("+++ killed by") || text.contains("+++ exited with");
        if text.contains("(INJECTED)") {
            return Ok(true);
        }
        if over {
            return Ok(false);
        }
        if Instant::now() > until {
            bail!("strace does not finish; it wrote:\n{text}");
        }
        std::thread::sleep(POLL);
    }
}
