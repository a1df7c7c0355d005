//! Taking snapshots while writes go on, and removing old ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jute::Zxid;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::pipeline::Snapshots;
use crate::request::State;
use crate::snapshot::{Compression, SnapshotError, Writer, format};
use crate::tree::{Cursor, digest};

/// Nodes handed over under one hold of the tree.
const SLICE_NODES: usize = 256;
/// Rest after a piece of work, in lengths of that work, while clients are served: neither the cores nor the
/// disk are ever a snapshot's alone.
const REST: u32 = 2;
/// How long a full disk is left alone before the next attempt.
const RETRY_MS: i64 = 60_000;
/// No attempt is to be repeated.
const NEVER: i64 = i64::MAX;

/// When, where and how.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) directory: PathBuf,
    pub(super) compression: Compression,
    /// Transactions between snapshots, roughly: half of it plus a random part of the other half, so that
    /// the servers of an ensemble do not all write at once.
    pub(super) txns: u64,
    /// The same in bytes of log; `None` for no limit.
    pub(super) log_bytes: Option<u64>,
    pub(super) digest: bool,
    pub(super) last_zxid: bool,
}

/// Starts a thread for each snapshot, one at a time.
pub(super) struct SnapshotTaker {
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
    /// The server stops: what is under way need not leave room for others.
    stopping: Arc<AtomicBool>,
}

/// What one snapshot needs.
pub(super) struct Job {
    pub(super) state: Arc<State>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
}

impl SnapshotTaker {
    pub(super) fn new(job: Job) -> Self {
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
            match job.take(cursor, &stopping) {
                Ok(()) => {}
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
}

impl Drop for SnapshotTaker {
    /// A stopping server waits for the snapshot that is under way.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _reported_by_itself = thread.join();
        }
    }
}

/// Reference: `ExitCode.TXNLOG_ERROR_TAKING_SNAPSHOT`.
const SNAPSHOT_FAILED_EXIT_CODE: i32 = 10;

impl Job {
    /// Writes a snapshot of what `cursor` walks over, as fast as it can once `hurry` is set.
    pub(super) fn take(&self, mut cursor: Cursor, hurry: &AtomicBool) -> Result<(), SnapshotError> {
        let began = self.clock.now_ms();
        let zxid = cursor.began_at();
        let sessions = self.state.sessions().committed();
        let acls: Vec<_> =
            self.state.tree().acls().to_file().into_iter().map(|(id, l)| (id, l.to_vec())).collect();
        let mut writer = Writer::create(&self.disk, &self.options.directory, zxid, self.options.compression)?;
        writer.begin(&sessions, &acls)?;
        let mut buffer = Vec::new();
        let mut nodes = 0;
        loop {
            #[expect(clippy::disallowed_methods, reason = "how long to rest, and nothing that is kept")]
            let slice_began = Instant::now();
            buffer.clear();
            let written = cursor.slice(&self.state.tree(), SLICE_NODES, &mut |path, data, acl, stat| {
                format::put_node(&mut buffer, path, data, acl, stat);
            });
            if written == 0 {
                break;
            }
            nodes += written;
            writer.raw_nodes(&buffer)?;
            if !hurry.load(Ordering::Relaxed) {
                std::thread::sleep(slice_began.elapsed() * REST);
            }
        }
        let (at, tree_digest) = {
            let tree = self.state.tree();
            (tree.last_zxid(), tree.digest())
        };
        let digest = self.options.digest.then_some((at, digest::VERSION, tree_digest.cast_signed()));
        let last_zxid: Option<Zxid> = self.options.last_zxid.then_some(zxid);
        let written = writer.finish(digest, last_zxid)?;
        let took_ms = self.clock.now_ms() - began;
        self.metrics.snapshottime.observe(took_ms);
        tracing::info!(
            path = %written.path.display(), nodes, bytes = written.file_bytes, took_ms, "snapshot written"
        );
        Ok(())
    }
}

/// Removes what is not needed any more, at once and then every `interval`, on a thread of its own that
/// ends with the process.
pub(super) fn purge_regularly(
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
        std::thread::sleep(interval);
    };
    std::thread::Builder::new().name("purge".into()).spawn(purge).map(|_| ())
}
