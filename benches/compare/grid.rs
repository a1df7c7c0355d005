//! The grid: every workload on every server, in turns.

use std::time::Duration;

use anyhow::{Result, ensure};
use load::workload::Length;
use load::{Op, Report, Workload};

use crate::server::{Kind, Launcher, Server};
use crate::{Options, median, name_of};

/// Load before each measured run, beside the long warm-up at the start.
const SETTLE: Duration = Duration::from_millis(500);

/// One workload of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    op: Op,
    connections: usize,
    in_flight: usize,
    size: usize,
}

impl Cell {
    fn name(&self) -> String {
        let Self { op, connections, in_flight, size } = self;
        match op {
            Op::GetChildren => format!("get-children {connections}×{in_flight}, 1000 names"),
            Op::Connect => format!("connect {connections}×1"),
            Op::Set => format!("set {connections}×{in_flight}, {size} B"),
            _ => format!("get {connections}×{in_flight}, {size} B"),
        }
    }

    /// What the server of this kind is asked; the echo server only takes the place of `get`.
    fn workload(&self, server: &Server, warm_up: Duration, seconds: f64) -> Result<Option<Workload>> {
        let op = match (server.kind, self.op) {
            (Kind::Echo, Op::Get) => Op::Echo,
            (Kind::Echo, _) => return Ok(None),
            (_, op) => op,
        };
        Ok(Some(Workload {
            target: server.address.into(),
            op,
            connections: self.connections,
            in_flight: self.in_flight,
            size: self.size,
            warm_up,
            length: Length::Time(Duration::try_from_secs_f64(seconds)?),
            pid: Some(server.pid()?),
        }))
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for op in [Op::Get, Op::Set] {
        for size in [100, 1000] {
            for (connections, in_flight) in [(50, 100), (50, 1), (1, 100), (1, 1)] {
                cells.push(Cell { op, connections, in_flight, size });
            }
        }
    }
    cells.push(Cell { op: Op::GetChildren, connections: 50, in_flight: 1, size: 0 });
    cells.push(Cell { op: Op::Connect, connections: 8, in_flight: 1, size: 0 });
    cells
}

/// Runs the grid and prints the table.
pub(crate) fn compare(launcher: &Launcher, kinds: &[Kind], options: &Options) -> Result<()> {
    let wanted = options.cells.as_deref().unwrap_or_default();
    let cells: Vec<Cell> = cells().into_iter().filter(|cell| cell.name().contains(wanted)).collect();
    ensure!(!cells.is_empty(), "no cell is called {wanted}");
    let mut servers: Vec<Server> =
        kinds.iter().map(|kind| launcher.start(*kind, 100)).collect::<Result<_>>()?;
    warm_up(&servers, &cells, options.warm_up_seconds)?;
    println!("{}", header());
    let mut size = 100;
    for cell in cells {
        if cell.size != size && matches!(cell.op, Op::Get) {
            size = cell.size;
            restart_echo(launcher, &mut servers, size)?;
        }
        let mut reports = vec![Vec::new(); servers.len()];
        for _ in 0..options.rounds {
            for (server, reports) in servers.iter().zip(&mut reports) {
                let Some(workload) = cell.workload(server, SETTLE, options.seconds)? else { continue };
                let report = load::run(&workload)?;
                if options.json {
                    eprintln!("{} {}", name_of(server.kind), serde_json::to_string(&report)?);
                }
                reports.push(report);
            }
        }
        let of =
            |kind| servers.iter().position(|server| server.kind == kind).map(|at| reports[at].as_slice());
        println!("{}", row(&cell, of(Kind::Apache), of(Kind::Oxkeeper), of(Kind::Echo)));
    }
    for server in &mut servers {
        server.stop()?;
    }
    Ok(())
}

/// Each kind of load that will be measured, long enough for a JVM to compile what it runs.
fn warm_up(servers: &[Server], cells: &[Cell], seconds: f64) -> Result<()> {
    let mut warmed = Vec::new();
    for cell in cells {
        if warmed.contains(&cell.op) {
            continue;
        }
        warmed.push(cell.op);
        for server in servers {
            if let Some(workload) = cell.workload(server, Duration::ZERO, seconds)? {
                load::run(&workload)?;
            }
        }
    }
    Ok(())
}

/// The echo server's replies have the size it was started with.
fn restart_echo(launcher: &Launcher, servers: &mut [Server], size: usize) -> Result<()> {
    for server in servers.iter_mut().filter(|server| server.kind == Kind::Echo) {
        server.stop()?;
        server.start(launcher, crate::server::NO_SNAPSHOTS, size)?;
    }
    Ok(())
}

fn header() -> String {
    "| workload | CPU µs/op: Apache | ours | ratio | echo | op/s: Apache | ours | ratio \
     | p99 ms: Apache | ours | ratio | errors | other cores |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|"
        .to_owned()
}

fn row(cell: &Cell, apache: Option<&[Report]>, ours: Option<&[Report]>, echo: Option<&[Report]>) -> String {
    let middle = |reports: Option<&[Report]>, of: fn(&Report) -> f64| {
        median(&mut reports?.iter().map(of).collect::<Vec<_>>())
    };
    let cpu = |report: &Report| report.server.map_or(f64::NAN, |server| server.cpu_us_per_operation);
    let throughput = |report: &Report| report.throughput;
    let p99 = |report: &Report| report.latency.p99_us / 1000.0;
    let mut columns = vec![cell.name()];
    columns.extend(triple(middle(apache, cpu), middle(ours, cpu), 2));
    columns.push(shown(middle(echo, cpu), 2));
    columns.extend(triple(middle(apache, throughput), middle(ours, throughput), 0));
    columns.extend(triple(middle(apache, p99), middle(ours, p99), 2));
    let all = || [apache, ours, echo].into_iter().flatten().flatten();
    columns.push(all().map(|report| report.errors).sum::<u64>().to_string());
    let others = median(&mut all().map(|report| report.other_cores).collect::<Vec<_>>());
    columns.push(shown(others, 2));
    format!("| {} |", columns.join(" | "))
}

/// The reference's value, ours, and ours divided by the reference's.
fn triple(apache: Option<f64>, ours: Option<f64>, digits: usize) -> [String; 3] {
    let ratio = apache.zip(ours).map(|(apache, ours)| ours / apache);
    [shown(apache, digits), shown(ours, digits), shown(ratio, 2)]
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<_> = cells().iter().map(Cell::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cells().len());
    }

    #[test]
    fn a_server_that_did_not_run_leaves_dashes() {
        assert_eq!(triple(Some(2.0), None, 1), ["2.0", "–", "–"]);
        assert_eq!(triple(Some(2.0), Some(1.0), 1), ["2.0", "1.0", "0.50"]);
        let row = row(&cells()[0], None, None, None);
        assert_eq!(
            row.matches('|').count(),
            header().lines().next().map_or(0, |line| line.matches('|').count())
        );
    }
}
