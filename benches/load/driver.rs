//! Runs a workload and measures it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use jute::Code;
use mio::{Events, Poll, Token};

use crate::client::Client;
use crate::connection::{Answered, Connection};
use crate::process;
use crate::report::{Counts, Report, Usage};
use crate::workload::{Length, Op, Requests, Workload};

/// A server that answers nothing for so long is reported as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sets the nodes up, runs, cleans up.
///
/// # Errors
/// When the server cannot be reached, closes a connection, answers out of turn or not at all.
pub fn run(workload: &Workload) -> Result<Report> {
    ensure!(workload.connections > 0 && workload.in_flight > 0, "nothing to run");
    workload.set_up().context("setting up")?;
    let report = if workload.op == Op::Connect { run_connects(workload) } else { run_requests(workload) };
    let report = report?;
    workload.clean_up().context("cleaning up")?;
    Ok(report)
}

fn usage(workload: &Workload) -> Result<Usage> {
    let client = process::cpu_time(std::process::id())?;
    let machine = process::machine_cpu_time()?;
    let Some(pid) = workload.pid else { return Ok(Usage { machine, client, ..Usage::default() }) };
    Ok(Usage { machine, client, server: process::cpu_time(pid)?, resident_kib: process::resident_kib(pid)? })
}

/// Where a run stands.
struct Measurement<'a> {
    workload: &'a Workload,
    counts: Counts,
    started: Instant,
    /// Set when warming up is over.
    measuring: Option<(Instant, Usage)>,
    report: Option<Report>,
}

impl<'a> Measurement<'a> {
    fn new(workload: &'a Workload) -> Self {
        Self { workload, counts: Counts::default(), started: Instant::now(), measuring: None, report: None }
    }

    fn count(&mut self, answered: Answered, now: Instant) {
        if self.measuring.is_none() || self.report.is_some() {
            return;
        }
        let nanoseconds = now.duration_since(answered.sent).as_nanos() as u64;
        let histogram = if answered.is_write { &mut self.counts.writes } else { &mut self.counts.reads };
        histogram.saturating_record(nanoseconds);
        if answered.code != Code::OK {
            self.counts.errors += 1;
            self.counts.error.get_or_insert_with(|| answered.code.to_string());
        }
    }

    /// Goes on to measuring, and to the end, when it is time.
    fn advance(&mut self, now: Instant) -> Result<()> {
        let Some((since, before)) = self.measuring else {
            if now.duration_since(self.started) >= self.workload.warm_up {
                self.measuring = Some((Instant::now(), usage(self.workload)?));
            }
            return Ok(());
        };
        let elapsed = now.duration_since(since);
        let over = match self.workload.length {
            Length::Time(time) => elapsed >= time,
            Length::Operations(count) => self.counts.operations() >= count,
        };
        if over && self.report.is_none() {
            let after = usage(self.workload)?;
            self.report = Some(Report::new(self.workload, &self.counts, elapsed, before, after));
        }
        Ok(())
    }
}

fn run_requests(workload: &Workload) -> Result<Report> {
    let mut connections = open(workload)?;
    let mut poll = Poll::new()?;
    for (token, connection) in connections.iter().enumerate() {
        connection.register(poll.registry(), Token(token))?;
    }
    let mut events = Events::with_capacity(connections.len());
    let mut measurement = Measurement::new(workload);
    let mut last_answer = Instant::now();
    for connection in &mut connections {
        for _ in 0..workload.in_flight {
            connection.push(last_answer);
        }
        connection.flush()?;
    }
    while measurement.report.is_none() || connections.iter().any(|connection| connection.in_flight() > 0) {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(100)))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_readable() {
                // One look at the clock for all replies of one read.
                let mut now = None;
                connection.read(|answered| {
                    measurement.count(answered, *now.get_or_insert_with(Instant::now));
                })?;
                if let Some(now) = now
                    && measurement.report.is_none()
                {
                    last_answer = now;
                    while connection.in_flight() < workload.in_flight {
                        connection.push(now);
                    }
                }
            }
            connection.flush()?;
        }
        let now = Instant::now();
        measurement.advance(now)?;
        ensure!(now.duration_since(last_answer) < PATIENCE, "no reply for {PATIENCE:?}");
    }
    close(workload, connections);
    measurement.report.context("the run ended without a report")
}

/// Sessions for all connections; the echo server has none.
fn open(workload: &Workload) -> Result<Vec<Connection>> {
    let open_one = |number| {
        let stream = if workload.op == Op::Echo {
            workload.target.connect()?
        } else {
            Client::connect(&workload.target)?.into_stream()
        };
        Connection::new(stream, Requests::new(workload, number))
    };
    (0..workload.connections).map(open_one).collect()
}

/// Ends the sessions, so that the next run does not pay for their expiry. Failing to is no harm.
fn close(workload: &Workload, connections: Vec<Connection>) {
    if workload.op == Op::Echo {
        return;
    }
    use std::io::{Read, Write};
    let mut streams: Vec<_> = connections.into_iter().map(Connection::into_stream).collect();
    for stream in &mut streams {
        let asked = stream.stream().set_nonblocking(false).and_then(|()| {
            stream.stream().set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(&crate::client::close_frame(i32::MAX))
        });
        if asked.is_err() {
            return;
        }
    }
    for mut stream in streams {
        while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    }
}

/// A blocking thread for each connection: what is measured costs far more than the thread.
fn run_connects(workload: &Workload) -> Result<Report> {
    let stop = AtomicBool::new(false);
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut measurement = Measurement::new(workload);
    thread::scope(|scope| {
        for _ in 0..workload.connections {
            let (sender, stop) = (sender.clone(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let result = Client::connect(&workload.target).and_then(Client::close);
                    let failed = result.is_err();
                    if sender.send(result.map(|()| (sent, Instant::now()))).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let result = (|| {
            while measurement.report.is_none() {
                let (sent, now) = receiver.recv_timeout(PATIENCE).map_err(|_| anyhow!("no connection"))??;
                measurement.count(Answered { sent, is_write: true, code: Code::OK }, now);
                measurement.advance(Instant::now())?;
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        result
    })
    .and_then(|()| measurement.report.context("the run ended without a report"))
}
