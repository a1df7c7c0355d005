//! Memory with many nodes, and the time a restart with them takes.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use load::process::{peak_resident_kib, resident_kib};
use load::workload::fill;

use crate::name_of;
use crate::server::{Kind, Launcher, NO_SNAPSHOTS, Server};

/// Bytes of data in each node.
pub(crate) const NODE_BYTES: usize = 100;

/// Time for an allocator to return what it will return.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the scenario on each server, one after the other, and prints a table.
pub(crate) fn compare(launcher: &Launcher, kinds: &[Kind], nodes: u32) -> Result<()> {
    println!(
        "| {nodes} nodes | load s | RSS MiB empty | full | bytes/node | JVM heap used | peak | stop s | restart s | RSS MiB then |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for kind in kinds {
        let mut server = launcher.start(*kind, NODE_BYTES)?;
        let empty = settled_kib(&server)?;
        let begun = Instant::now();
        fill(&server.address.into(), "/filled", nodes, NODE_BYTES)?;
        let loading = begun.elapsed();
        let full = settled_kib(&server)?;
        let heap = if *kind == Kind::Apache { heap_used_mib(server.pid()?)? } else { "–".to_owned() };
        let peak = peak_resident_kib(server.pid()?)?;
        let begun = Instant::now();
        server.stop()?;
        let stopping = begun.elapsed();
        let restart = server.start(launcher, NO_SNAPSHOTS, NODE_BYTES)?;
        let then = settled_kib(&server)?;
        server.stop()?;
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!(
            "| {} | {:.1} | {:.0} | {:.0} | {:.0} | {heap} | {:.0} | {:.2} | {:.2} | {:.0} |",
            name_of(*kind),
            loading.as_secs_f64(),
            mib(empty),
            mib(full),
            full.saturating_sub(empty) as f64 * 1024.0 / f64::from(nodes.max(1)),
            mib(peak),
            stopping.as_secs_f64(),
            restart.as_secs_f64(),
            mib(then)
        );
    }
    Ok(())
}

/// Resident memory after a JVM has collected its garbage.
fn settled_kib(server: &Server) -> Result<u64> {
    let pid = server.pid()?;
    if server.kind == Kind::Apache {
        let status = Command::new("jcmd")
            .args([&pid.to_string(), "GC.run"])
            .stdout(Stdio::null())
            .status()
            .context("jcmd cannot be run: it comes with the JDK")?;
        ensure!(status.success(), "jcmd failed");
    }
    thread::sleep(SETTLE);
    resident_kib(pid)
}

/// What is alive in a JVM's heap: resident memory may lie far above it.
fn heap_used_mib(pid: u32) -> Result<String> {
    let output = Command::new("jcmd").args([&pid.to_string(), "GC.heap_info"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let used = text.split("used ").nth(1).and_then(|rest| rest.split('K').next());
    let kib: u64 = used.context("jcmd told no used heap")?.trim().parse()?;
    Ok((kib / 1024).to_string())
}
