//! What a run found.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::workload::{Op, Workload};

/// Slower replies than two minutes count as this slow.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// 999 of 1000 were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Latency {
    /// From a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        Self {
            p50_us: us(histogram.value_at_quantile(0.5)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            p999_us: us(histogram.value_at_quantile(0.999)),
            max_us: us(histogram.max()),
        }
    }
}

/// What the server's process spent.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerCost {
    /// CPU time, user and system, for one operation, in microseconds.
    pub cpu_us_per_operation: f64,
    /// How many cores that is at the measured rate.
    pub cores: f64,
    /// Resident memory when measuring began, in KiB.
    pub resident_kib_before: u64,
    /// And when it ended.
    pub resident_kib_after: u64,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked.
    pub op: Op,
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub in_flight: usize,
    /// Bytes of data.
    pub size: usize,
    /// Operations answered while measuring, failed ones included.
    pub operations: u64,
    /// How long was measured.
    pub seconds: f64,
    /// Operations per second.
    pub throughput: f64,
    /// Replies with an error.
    pub errors: u64,
    /// One of those errors.
    pub error: Option<String>,
    /// All operations.
    pub latency: Latency,
    /// Reads only, when there were both.
    pub reads: Option<Latency>,
    /// Writes only, when there were both.
    pub writes: Option<Latency>,
    /// The generator's own CPU time for one operation, in microseconds.
    pub client_cpu_us_per_operation: f64,
    /// Cores that neither the generator nor the server kept busy: what disturbed the run. Without the
    /// server's process it is counted here too.
    pub other_cores: f64,
    /// The server's, when its process is known.
    pub server: Option<ServerCost>,
}

/// What the driver counted, before it is put in proportion.
#[derive(Debug)]
pub struct Counts {
    /// Nanoseconds of reads.
    pub reads: Histogram<u64>,
    /// Nanoseconds of writes.
    pub writes: Histogram<u64>,
    /// Replies with an error.
    pub errors: u64,
    /// The first of them.
    pub error: Option<String>,
}

impl Default for Counts {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds and the precision make sense")
        };
        Self { reads: histogram(), writes: histogram(), errors: 0, error: None }
    }
}

impl Counts {
    /// Operations counted.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }
}

/// CPU time and memory at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// The busy time of all cores.
    pub machine: Duration,
    /// The generator's CPU time.
    pub client: Duration,
    /// The server's CPU time.
    pub server: Duration,
    /// The server's resident memory.
    pub resident_kib: u64,
}

impl Report {
    /// From what was counted between two moments.
    #[must_use]
    pub fn new(workload: &Workload, counts: &Counts, elapsed: Duration, before: Usage, after: Usage) -> Self {
        let operations = counts.operations();
        let seconds = elapsed.as_secs_f64();
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / operations.max(1) as f64;
        let mut all = counts.reads.clone();
        all.add(&counts.writes).expect("a histogram that grows takes any other");
        let both = !counts.reads.is_empty() && !counts.writes.is_empty();
        let spent = after.server.saturating_sub(before.server);
        let own = after.client.saturating_sub(before.client);
        let others = after.machine.saturating_sub(before.machine).saturating_sub(own + spent);
        Self {
            op: workload.op,
            connections: workload.connections,
            in_flight: workload.in_flight,
            size: workload.size,
            operations,
            seconds,
            throughput: operations as f64 / seconds,
            errors: counts.errors,
            error: counts.error.clone(),
            latency: Latency::of(&all),
            reads: both.then(|| Latency::of(&counts.reads)),
            writes: both.then(|| Latency::of(&counts.writes)),
            client_cpu_us_per_operation: each(own),
            other_cores: others.as_secs_f64() / seconds,
            server: workload.pid.map(|_| ServerCost {
                cpu_us_per_operation: each(spent),
                cores: spent.as_secs_f64() / seconds,
                resident_kib_before: before.resident_kib,
                resident_kib_after: after.resident_kib,
            }),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, p999_us, max_us } = self;
        write!(f, "p50 {p50_us:.0} µs  p99 {p99_us:.0} µs  p99.9 {p999_us:.0} µs  max {max_us:.0} µs")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:?}, {} connections × {} in flight, {} bytes, {:.1} s",
            self.op, self.connections, self.in_flight, self.size, self.seconds
        )?;
        writeln!(f, "  throughput  {:.0} operations/s ({})", self.throughput, self.operations)?;
        writeln!(f, "  latency     {}", self.latency)?;
        for (name, latency) in [("reads ", self.reads), ("writes", self.writes)] {
            if let Some(latency) = latency {
                writeln!(f, "    {name}    {latency}")?;
            }
        }
        match &self.error {
            Some(error) => writeln!(f, "  errors      {}, among them {error}", self.errors)?,
            None => writeln!(f, "  errors      {}", self.errors)?,
        }
        writeln!(f, "  client CPU  {:.2} µs/operation", self.client_cpu_us_per_operation)?;
        write!(f, "  other CPU   {:.2} cores", self.other_cores)?;
        if let Some(server) = self.server {
            let mib = |kib: u64| kib as f64 / 1024.0;
            write!(
                f,
                "\n  server CPU  {:.2} µs/operation, {:.2} cores\n  server RSS  {:.1} MiB → {:.1} MiB",
                server.cpu_us_per_operation,
                server.cores,
                mib(server.resident_kib_before),
                mib(server.resident_kib_after)
            )?;
        }
        Ok(())
    }
}
