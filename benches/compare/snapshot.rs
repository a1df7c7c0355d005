//! Latency with and without snapshots being taken.

use std::time::Duration;

use anyhow::{Context, Result};
use load::report::Latency;
use load::workload::{Length, fill};
use load::{Op, Workload};

use crate::memory::NODE_BYTES;
use crate::server::{Kind, Launcher, NO_SNAPSHOTS, Server};
use crate::{Options, name_of};

/// So few writes between snapshots that with a large tree one follows the other.
const SNAP_COUNT: u32 = 10_000;

/// Runs the scenario on each server, one after the other, and prints a table.
pub(crate) fn compare(launcher: &Launcher, kinds: &[Kind], options: &Options) -> Result<()> {
    println!(
        "| {} nodes, mixed 50×1 | snapshots | op/s | reads p50 ms | p99.9 | max | writes p50 ms | p99.9 | max |\n\
         |---|---|---|---|---|---|---|---|---|",
        options.nodes
    );
    for kind in kinds {
        let mut server = launcher.start(*kind, NODE_BYTES)?;
        fill(&server.address.into(), "/filled", options.nodes, NODE_BYTES)?;
        for (snapshots, snap_count) in [("without", NO_SNAPSHOTS), ("with", SNAP_COUNT)] {
            server.stop()?;
            server.start(launcher, snap_count, NODE_BYTES)?;
            run(&server, options.warm_up_seconds)?;
            let before = server.snapshots()?;
            let report = run(&server, options.seconds.max(20.0))?;
            let taken = server.snapshots()? - before;
            let (reads, writes) = report.reads.zip(report.writes).context("a mixed run has both")?;
            println!(
                "| {} {snapshots} | {taken} | {:.0} | {} | {} |",
                name_of(*kind),
                report.throughput,
                columns(reads),
                columns(writes)
            );
        }
        server.stop()?;
    }
    Ok(())
}

fn run(server: &Server, seconds: f64) -> Result<load::Report> {
    load::run(&Workload {
        target: server.address.into(),
        op: Op::Mixed,
        connections: 50,
        in_flight: 1,
        size: NODE_BYTES,
        warm_up: Duration::ZERO,
        length: Length::Time(Duration::try_from_secs_f64(seconds)?),
        pid: Some(server.pid()?),
    })
}

fn columns(latency: Latency) -> String {
    let ms = |us: f64| us / 1000.0;
    format!("{:.2} | {:.2} | {:.2}", ms(latency.p50_us), ms(latency.p999_us), ms(latency.max_us))
}
