//! How fast a server comes back: from its log, and from a snapshot.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use load::process::cpu_time;
use load::workload::fill;

use crate::memory::NODE_BYTES;
use crate::name_of;
use crate::server::{Kind, Launcher, NO_SNAPSHOTS, Server};

/// A snapshot that is not written after this never will be.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Wall and CPU time of a start, until the first read succeeded.
#[derive(Clone, Copy)]
struct Start {
    wall: Duration,
    cpu: Duration,
}

/// Runs the scenario on each server, one after the other, and prints a table. CPU time is that of all
/// threads, less what a start on an empty directory takes.
pub(crate) fn compare(launcher: &Launcher, kinds: &[Kind], nodes: u32) -> Result<()> {
    println!(
        "| {nodes} nodes | log: s | CPU s | txns per CPU s | snapshot: s | CPU s | nodes per CPU s |\n|---|---|---|---|---|---|---|"
    );
    for kind in kinds {
        let mut server = launcher.start(*kind, NODE_BYTES)?;
        server.stop()?;
        let empty = start(&mut server, launcher)?;
        fill(&server.address.into(), "/filled", nodes, NODE_BYTES)?;
        let snapshots = server.snapshots()?;
        server.stop()?;
        ensure!(server.snapshots()? == snapshots, "{} wrote a snapshot when it ended", name_of(*kind));
        let from_log = start(&mut server, launcher)?;
        settled_snapshot(&server, snapshots)?;
        server.stop()?;
        let from_snapshot = start(&mut server, launcher)?;
        server.stop()?;
        println!(
            "| {} | {} | {} |",
            name_of(*kind),
            columns(from_log, empty, nodes),
            columns(from_snapshot, empty, nodes)
        );
    }
    Ok(())
}

fn start(server: &mut Server, launcher: &Launcher) -> Result<Start> {
    let wall = server.start(launcher, NO_SNAPSHOTS, NODE_BYTES)?;
    Ok(Start { wall, cpu: cpu_time(server.pid()?)? })
}

/// Both take a snapshot once they have loaded from a log. Waits for it, and until the process rests.
fn settled_snapshot(server: &Server, before: usize) -> Result<()> {
    let begun = Instant::now();
    let mut busy = Duration::ZERO;
    loop {
        thread::sleep(POLL_EVERY);
        let now = cpu_time(server.pid()?)?;
        if server.snapshots()? > before && now == busy {
            return Ok(());
        }
        busy = now;
        ensure!(begun.elapsed() < PATIENCE, "no snapshot after {PATIENCE:?}");
    }
}

fn columns(start: Start, empty: Start, count: u32) -> String {
    let cpu = start.cpu.saturating_sub(empty.cpu).as_secs_f64();
    format!("{:.2} | {cpu:.2} | {:.0}", start.wall.as_secs_f64(), f64::from(count) / cpu.max(0.01))
}
