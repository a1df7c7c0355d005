//! Taking snapshots while writes go on, and removing old ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jute::{SessionId, Zxid};

use super::walk::{self, SLICE_NODES};
use super::{Snapshots, State};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::snapshot::{Compression, SnapshotError, Writer};
use crate::tree::{AclList, Cursor, digest};

/// Rest after a piece of work, in lengths of that work, while clients are served: neither the cores nor the
/// disk are ever a snapshot's alone.
const REST: i64 = 2;
/// How long a full disk is left alone before the next attempt.
pub(super) const RETRY_MS: i64 = 60_000;
/// No attempt is to be repeated.
const NEVER: i64 = i64::MAX;

/// When, where and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where snapshots are.
    pub directory: PathBuf,
    /// How they are compressed.
    pub compression: Compression,
    /// Transactions between snapshots, roughly: half of it plus a random part of the other half, so that
    /// the servers of an ensemble do not all write at once.
    pub txns: u64,
    /// The same in bytes of log; `None` for no limit.
    pub log_bytes: Option<u64>,
    /// Whether they end with the tree's digest.
    pub digest: bool,
    /// Whether they end with the zxid they began at.
    pub last_zxid: bool,
}

/// Starts a thread for each snapshot, one at a time.
pub struct SnapshotTaker {
    job: Arc<Job>,
    options: Options,
    txns: u64,
    due_txns: u64,
    due_bytes: Option<u64>,
    random: u64,
    running: Arc<AtomicBool>,
    /// When one that failed for want of space is tried again, on the monotonic clock.
    retry_ms: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
    /// The server stops: what is under way is given up.
    stopping: Arc<AtomicBool>,
}

/// How a snapshot is taken.
#[derive(Clone, Copy)]
pub enum Pace<'a> {
    /// At once and whole, while there are no clients.
    Alone,
    /// With rests for others, until it is to be given up.
    BesideClients(&'a AtomicBool),
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Written,
    /// It was given up, and nothing of it is left.
    GivenUp,
}

/// What one snapshot needs.
pub struct Job {
    /// What is written.
    pub state: Arc<State>,
    /// Where to.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Settings.
    pub options: Options,
}

impl SnapshotTaker {
    /// Takes snapshots by `job`.
    #[must_use]
    pub fn new(job: Job) -> Self {
        let options = job.options.clone();
        let random = job.clock.wall_ms().cast_unsigned() | 1;
        let mut taker = Self {
            job: Arc::new(job),
            options,
            txns: 0,
            due_txns: 0,
            due_bytes: None,
            random,
            running: Arc::default(),
            retry_ms: Arc::new(AtomicI64::new(NEVER)),
            thread: None,
            stopping: Arc::default(),
        };
        taker.draw();
        taker
    }

    /// Decides when the next one is due.
    fn draw(&mut self) {
        let half_txns = (self.options.txns / 2).max(1);
        self.due_txns = half_txns + self.next_random() % half_txns;
        self.due_bytes = self.options.log_bytes.map(|bytes| {
            let half = (bytes / 2).max(1);
            half + self.next_random() % half
        });
    }

    /// Whether no snapshot is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        !self.running.load(Ordering::Acquire)
    }

    /// Any spread will do: xorshift.
    const fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Snapshots for SnapshotTaker {
    fn is_due(&mut self, txns: u64, log_bytes: u64) -> bool {
        self.txns += txns;
        let is_retried = self.job.clock.now_ms() >= self.retry_ms.load(Ordering::Acquire);
        let due =
            is_retried || self.txns > self.due_txns || self.due_bytes.is_some_and(|due| log_bytes > due);
        if due {
            self.txns = 0;
            self.draw();
        }
        due
    }

    fn start(&mut self) {
        if self.running.swap(true, Ordering::AcqRel) {
            tracing::warn!("too busy to snapshot: the one before is still being written");
            return;
        }
        if let Some(finished) = self.thread.take() {
            let _reported_by_itself = finished.join();
        }
        // The cursor starts here, on the writer thread, so that it stands at the zxid of the file's name.
        let cursor = Cursor::new(&self.job.state.tree());
        let (job, running, retry_ms) = (self.job.clone(), self.running.clone(), self.retry_ms.clone());
        retry_ms.store(NEVER, Ordering::Release);
        let stopping = self.stopping.clone();
        let spawned = std::thread::Builder::new().name("snapshot".into()).spawn(move || {
            match job.take(cursor, Pace::BesideClients(&stopping)) {
                Ok(Outcome::Written) => {}
                Ok(Outcome::GivenUp) => tracing::info!("the snapshot under way is given up"),
                Err(error) if error.is_full() => {
                    tracing::error!(
                        "cannot write a snapshot: {error}. Nothing is lost, the log has everything; free some \
                         space, it is tried again in a minute"
                    );
                    retry_ms.store(job.clock.now_ms() + RETRY_MS, Ordering::Release);
                }
                Err(error) => {
                    // The log is whole, so nothing is lost; but without snapshots it grows for ever, and
                    // the reference ends here too.
                    tracing::error!("cannot write a snapshot: {error}");
                    crate::logging::settle();
                    std::process::exit(SNAPSHOT_FAILED_EXIT_CODE);
                }
            }
            running.store(false, Ordering::Release);
        });
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                tracing::error!(%error, "cannot start a thread for a snapshot; trying again at the next");
                self.running.store(false, Ordering::Release);
            }
        }
    }

    fn give_up(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _reported_by_itself = thread.join();
        }
        self.stopping.store(false, Ordering::Relaxed);
    }
}

impl Drop for SnapshotTaker {
    /// A stopping server does not wait for the snapshot that is under way: the log has everything.
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Reference: `ExitCode.TXNLOG_ERROR_TAKING_SNAPSHOT`.
const SNAPSHOT_FAILED_EXIT_CODE: i32 = 10;

impl Pace<'_> {
    fn is_over(self) -> bool {
        matches!(self, Self::BesideClients(stop) if stop.load(Ordering::Relaxed))
    }

    /// Leaves the machine to others after a piece of work.
    fn rest(self, worked_ms: i64) {
        if let Self::BesideClients(_) = self
            && worked_ms > 0
        {
            // Whoever ends the rest early wants the snapshot given up.
            std::thread::park_timeout(Duration::from_millis((worked_ms * REST).cast_unsigned()));
        }
    }
}

/// A snapshot that is being written.
pub struct Taking {
    cursor: Cursor,
    writer: Writer,
    buffer: Vec<u8>,
    nodes: usize,
    began_ms: i64,
}

impl Job {
    /// Writes a snapshot of what `cursor` walks over. The tree is held in slices only.
    pub fn take(&self, cursor: Cursor, pace: Pace<'_>) -> Result<Outcome, SnapshotError> {
        let Some(mut taking) = self.begin(cursor, pace)? else { return Ok(Outcome::GivenUp) };
        let mut is_done = false;
        while !is_done {
            if pace.is_over() {
                return Ok(Outcome::GivenUp);
            }
            let slice_began = self.clock.now_ms();
            is_done = self.go_on(&mut taking, SLICE_NODES)?;
            pace.rest(self.clock.now_ms() - slice_began);
        }
        self.finish(taking)?;
        Ok(Outcome::Written)
    }

    /// Begins with what comes before the nodes. `None` when it was given up meanwhile.
    pub fn begin(&self, mut cursor: Cursor, pace: Pace<'_>) -> Result<Option<Taking>, SnapshotError> {
        let began_ms = self.clock.now_ms();
        let lists = self.lists(&mut cursor);
        let mut writer =
            Writer::create(&self.disk, &self.options.directory, cursor.began_at(), self.options.compression)?;
        writer.begin_lists(&self.sessions(), lists.len())?;
        for (id, list) in lists {
            if pace.is_over() {
                return Ok(None);
            }
            writer.list(id, &list)?;
        }
        Ok(Some(Taking { cursor, writer, buffer: Vec::new(), nodes: 0, began_ms }))
    }

    /// Goes on for a slice of at most so many nodes; true when there are no more.
    pub fn go_on(&self, taking: &mut Taking, nodes_max: usize) -> Result<bool, SnapshotError> {
        let Taking { cursor, writer, buffer, nodes, .. } = taking;
        buffer.clear();
        let is_done =
            walk::slice(&self.state, &*self.clock, cursor, nodes_max, self.clock.now_ms(), buffer, nodes);
        writer.raw_nodes(buffer)?;
        Ok(is_done)
    }

    /// Ends it when all nodes are there.
    pub fn finish(&self, taking: Taking) -> Result<(), SnapshotError> {
        let Taking { cursor, writer, nodes, began_ms, .. } = taking;
        let (at, tree_digest) = {
            let tree = self.state.tree();
            (tree.last_zxid(), tree.digest())
        };
        let digest = self.options.digest.then_some((at, digest::VERSION, tree_digest.cast_signed()));
        let last_zxid: Option<Zxid> = self.options.last_zxid.then_some(cursor.began_at());
        let written = writer.finish(digest, last_zxid)?;
        let took_ms = self.clock.now_ms() - began_ms;
        self.metrics.snapshottime.observe(took_ms);
        tracing::info!(
            path = %written.path.display(), nodes, bytes = written.file_bytes, took_ms, "snapshot written"
        );
        Ok(())
    }

    pub(super) fn lists(&self, cursor: &mut Cursor) -> Vec<(i64, Arc<AclList>)> {
        walk::lists(&self.state, cursor)
    }

    pub(super) fn sessions(&self) -> Vec<(SessionId, i32)> {
        walk::sessions(&self.state)
    }
}

/// Removes what is not needed any more, at once and then every `interval`, on a thread of its own that
/// ends with the process.
pub fn purge_regularly(
    disk: Arc<dyn Disk>,
    snapshots: PathBuf,
    logs: PathBuf,
    keep: usize,
    interval: Duration,
) -> std::io::Result<()> {
    let purge = move || loop {
        match crate::snapshot::retention::purge(disk.as_ref(), &snapshots, &logs, keep) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(files = removed.len(), "purged old snapshots and logs"),
            Err(error) => tracing::warn!("cannot purge old snapshots and logs: {error}"),
        }
        if let Err(error) = crate::store::forget_replaced(disk.as_ref(), &snapshots, &logs) {
            tracing::warn!("cannot remove what a leader's snapshot has replaced: {error}");
        }
        std::thread::sleep(interval);
    };
    std::thread::Builder::new().name("purge".into()).spawn(purge).map(|_| ())
}
