//! A real disk that fills up at each block over two log files, under the real binary and load.
//!
//! At no step may the server end (a store into space that is not there would be SIGBUS); it answers no
//! write that is not on disk, goes on reading, and goes on writing by itself once there is space. After
//! kill -9, on the full disk too, every acknowledged write is there.
//!
//! Needs root, for a file system of its own. `OXKEEPER_DISK_FULL=all` takes every step.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use compat_tests::artifacts;
use compat_tests::compare::judged;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::volume::Volume;
use compat_tests::wire::{Body, Client, op};

/// A log file holds 32 KiB and its header, so nine blocks.
const PREALLOC_KB: u64 = 32;
/// Blocks of two log files, and some to spare.
const STEPS: u64 = 2 * 9 + 4;
const WRITERS: usize = 3;
const WINDOW: usize = 16;
/// G-12 of the project asks for one second; a loaded machine may take longer to get round to it.
const RESUME: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// Creates nodes until told to stop or the connection breaks, and notes what was acknowledged.
struct Load {
    acknowledged: Mutex<Vec<String>>,
    count: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn write(&self, addr: SocketAddr, prefix: &str) -> Result<()> {
        let mut sender = Client::connect(addr, 40_000)?;
        let mut receiver = sender.try_clone()?;
        let data = [b'x'; 300];
        let path = |number: usize| format!("/{prefix}-{number}");
        let (mut sent, mut received, mut last_zxid) = (0, 0, 0);
        loop {
            while sent - received < WINDOW && !self.over.load(Ordering::Relaxed) {
                if sender.send(sent as i32 + 1, op::CREATE, &Body::create(&path(sent), &data, 0)).is_err() {
                    return Ok(());
                }
                sent += 1;
            }
            if sent == received {
                return Ok(());
            }
            let Ok(reply) = receiver.receive() else { return Ok(()) };
            ensure!(reply.xid == received as i32 + 1, "reply {} where {} was due", reply.xid, received + 1);
            ensure!(reply.err == 0, "{}: code {}", path(received), reply.err);
            ensure!(reply.zxid > last_zxid, "zxid {:#x} after {last_zxid:#x}", reply.zxid);
            last_zxid = reply.zxid;
            self.acknowledged.lock().map_err(|_| anyhow!("a writer panicked"))?.push(path(received));
            self.count.fetch_add(1, Ordering::Relaxed);
            received += 1;
        }
    }
}

fn until(what: &str, patience: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(begun.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(begun.elapsed())
}

fn is_full(server: &Server) -> Result<bool> {
    Ok(server.ask("mntr")?.contains("zk_disk_full_writes_waiting\t1"))
}

fn verify(addr: SocketAddr, paths: &[String]) -> Result<()> {
    let mut client = Client::connect(addr, 40_000)?;
    verify_with(&mut client, paths)
}

fn verify_with(client: &mut Client, paths: &[String]) -> Result<()> {
    for (number, path) in paths.iter().enumerate() {
        let reply = client.call(number as i32 + 1, op::GET_DATA, &Body::path_and_watch(path, false))?;
        ensure!(reply.err == 0, "{path} was acknowledged and is gone: code {}", reply.err);
    }
    Ok(())
}

/// One step: so many blocks are left, the load takes them, and then there is space again.
fn step(server: &mut Server, volume: &Volume, blocks: u64, known: &mut Vec<String>) -> Result<Duration> {
    let spare = server.data_dir().join("version-2/spare.log");
    until("a spare log file", PATIENCE, || Ok(spare.exists()))?;
    let mut reader = Client::connect(server.addr(), 40_000)?;
    volume.fill_to(blocks)?;
    let load =
        Load { acknowledged: Mutex::default(), count: AtomicUsize::new(0), over: AtomicBool::new(false) };
    let dies_full = blocks % 2 == 1;
    let resumed = std::thread::scope(|scope| -> Result<Duration> {
        let (load, addr) = (&load, server.addr());
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| scope.spawn(move || load.write(addr, &format!("b{blocks}-{number}"))))
            .collect();
        let mut run = || -> Result<Duration> {
            until("the full disk", PATIENCE, || is_full(server))?;
            ensure!(server.alive(), "the server ended on a full disk");
            let before: Vec<String> =
                load.acknowledged.lock().map_err(|_| anyhow!("a writer panicked"))?.clone();
            ensure!(!before.is_empty(), "something was written before");
            verify_with(&mut reader, &before[before.len().saturating_sub(20)..])
                .context("reading meanwhile")?;
            if dies_full {
                server.kill()?;
                return Ok(Duration::ZERO);
            }
            volume.free()?;
            let resumed = until("writes that go on", RESUME, || Ok(!is_full(server)?))?;
            let count = load.count.load(Ordering::Relaxed);
            until("more writes", PATIENCE, || Ok(load.count.load(Ordering::Relaxed) > count + 300))?;
            server.kill()?;
            Ok(resumed)
        };
        let ran = run();
        load.over.store(true, Ordering::Relaxed);
        if ran.is_err() {
            // Whoever waits for a reply would wait for long.
            let _ = server.kill();
        }
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(anyhow!("a writer panicked")))?;
        }
        ran
    })?;
    let mut acknowledged = load.acknowledged.into_inner().map_err(|_| anyhow!("a writer panicked"))?;
    server.launch().context("start again")?;
    // A new session would have to wait for space.
    let (session, password) = (reader.session, reader.password);
    let mut returning = Client::reconnect(server.addr(), 40_000, session, &password, 0)?;
    ensure!(returning.session == session, "the session survives");
    verify_with(&mut returning, &acknowledged).context("after kill -9")?;
    if dies_full {
        volume.free()?;
        let mut client = Client::connect(server.addr(), 40_000)?;
        let path = format!("/b{blocks}-again");
        let reply = client.call(1, op::CREATE, &Body::create(&path, b"", 0))?;
        ensure!(reply.err == 0, "{path}: code {}", reply.err);
        acknowledged.push(path);
    }
    known.append(&mut acknowledged);
    Ok(resumed)
}

#[test]
fn a_disk_that_fills_at_any_block_stops_nothing_for_good() -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["mkfs.ext4", "mount", "fallocate", "stat"])? {
        return Ok(());
    }
    let every = std::env::var("OXKEEPER_DISK_FULL").is_ok_and(|form| form == "all");
    for io in ["mmap", "plain"] {
        // Room for a snapshot of everything at each start.
        let Some(volume) = Volume::try_new("disk-full", 160)? else { return Ok(()) };
        let options = Options::default()
            .data_dir(&volume.path().join(io))
            .line(&format!("preAllocSize={PREALLOC_KB}"))
            .line("snapCount=500")
            .line(&format!("oxkeeper.log.io={io}"));
        let mut server = Server::start(judged(), &options)?;
        let mut known = Vec::new();
        let mut slowest = Duration::ZERO;
        for blocks in (0..=STEPS).step_by(if every { 1 } else { 7 }) {
            let resumed = step(&mut server, &volume, blocks, &mut known).with_context(|| {
                format!("{io}, {blocks} blocks left; the server's log:\n{}", tail(&server))
            })?;
            slowest = slowest.max(resumed);
        }
        // All of it again, after all that came later.
        server.restart()?;
        verify(server.addr(), &known)?;
        let log = server.log();
        ensure!(log.contains("the disk is full, so writes wait"), "it was said");
        println!("{io}: {} writes acknowledged and kept, slowest to go on {slowest:?}", known.len());
        server.stop()?;
    }
    Ok(())
}

fn tail(server: &Server) -> String {
    compat_tests::programs::tail(&server.log(), 30)
}
