//! `compare`: Oxkeeper beside Apache ZooKeeper on this machine, same disk, same load, in turns.

mod grid;
mod memory;
mod recovery;
mod server;
mod snapshot;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use server::{Kind, Launcher};

/// Oxkeeper beside Apache ZooKeeper 3.9.5: the same load on each in turns, medians, ratios.
#[derive(Debug, Parser)]
struct Options {
    /// What to run; the order is the order of turns.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "apache,oxkeeper,echo")]
    servers: Vec<Kind>,
    /// Oxkeeper's binary.
    #[arg(long, default_value = "target/release/oxkeeper")]
    oxkeeper: PathBuf,
    /// Jars of the reference; without it Maven is asked for `apache/pom.xml`.
    #[arg(long)]
    apache_classpath: Option<String>,
    /// Options of the JVM; the default is what the reference's own script gives.
    #[arg(long, default_value = "-Xmx1000m", allow_hyphen_values = true)]
    java_options: String,
    /// Where data directories go, on a real disk; the default is beside the directory of this binary.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Seconds of each measured run.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Runs of each cell on each server; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each kind of load before anything is measured.
    #[arg(long, default_value_t = 10.0)]
    warm_up_seconds: f64,
    /// Only cells whose name contains this, as `get 50×100`.
    #[arg(long)]
    cells: Option<String>,
    /// Instead of the grid: memory and restart time with --nodes nodes.
    #[arg(long, conflicts_with = "snapshot_latency")]
    memory: bool,
    /// Instead of the grid: latency with and without snapshots being taken of --nodes nodes.
    #[arg(long)]
    snapshot_latency: bool,
    /// Instead of the grid: CPU time of starts from a log and from a snapshot of --nodes nodes.
    #[arg(long, conflicts_with_all = ["memory", "snapshot_latency"])]
    recovery: bool,
    /// Nodes of the scenarios above, of 100 bytes each.
    #[arg(long, default_value_t = 1_000_000)]
    nodes: u32,
    /// Every run's report as a line of JSON on standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let launcher = Launcher::new(&options)?;
    let servers: Vec<Kind> = options
        .servers
        .iter()
        .copied()
        .filter(|kind| {
            *kind != Kind::Echo || !(options.memory || options.snapshot_latency || options.recovery)
        })
        .collect();
    ensure!(!servers.is_empty(), "no server to run");
    if options.memory {
        memory::compare(&launcher, &servers, options.nodes)
    } else if options.recovery {
        recovery::compare(&launcher, &servers, options.nodes)
    } else if options.snapshot_latency {
        snapshot::compare(&launcher, &servers, &options)
    } else {
        grid::compare(&launcher, &servers, &options)
    }
}

/// The middle of some values.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    let upper = values.len() / 2;
    Some(f64::midpoint(values[middle], values[upper]))
}

/// The directory beside that of this binary.
fn default_scratch() -> Result<PathBuf> {
    let binary = std::env::current_exe()?;
    let target = binary.ancestors().nth(2).context("this binary has no directory above its own")?;
    Ok(target.join("compare-data"))
}

/// A server's name as options and tables have it.
fn name_of(kind: Kind) -> String {
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(&mut [5.0, 1.0, 2.0]), Some(2.0));
    }
}
