//! A server's storage without the server: log, tree, snapshots and epoch file, driven by a script.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::disk::SimDisk;
use super::model::{self, Model};
use crate::disk::{Disk, atomic_write};
use crate::snapshot::{self, Compression, SnapshotError, Writer, retention};
use crate::store::testing::{self, start};
use crate::store::{Directories, remove_initialize};
use crate::tree::{Cursor, Tree, digest};
use crate::txnlog::{Io, Log, LogError, Options};

pub(super) const DATA: &str = "/data/version-2";
pub(super) const LOG: &str = "/log/version-2";
pub(super) const EPOCH: &str = "currentEpoch";

/// One thing a script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many transactions, in one batch with those that follow.
    Append(usize),
    Sync,
    Roll,
    Spare,
    SnapshotBegin,
    /// So many nodes.
    SnapshotSlice(usize),
    SnapshotEnd,
    Purge,
    /// Back by so many transactions; what comes after is of another epoch.
    Truncate(usize),
    Epoch(u8),
    Restart,
    /// The process dies with what it appended; the machine goes on.
    Kill,
}

/// How the storage is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) io: Io,
    /// Small, so that batches of both kinds come.
    pub(super) map_bytes_max: usize,
    pub(super) prealloc_bytes: i64,
    pub(super) size_limit_bytes: Option<u64>,
    pub(super) compression: Compression,
    /// The log has a directory of its own.
    pub(super) split: bool,
    /// Faults of a program that are in the script and not in the disk.
    pub(super) acknowledges_early: bool,
    pub(super) keeps_newer_snapshots: bool,
}

impl Setup {
    pub(super) const fn new(io: Io) -> Self {
        Self {
            io,
            map_bytes_max: 500,
            prealloc_bytes: 8 << 10,
            size_limit_bytes: None,
            compression: Compression::None,
            split: false,
            acknowledges_early: false,
            keeps_newer_snapshots: false,
        }
    }
}

impl Setup {
    pub(super) const fn log_directory(&self) -> &'static str {
        if self.split { LOG } else { DATA }
    }
}

/// What the clients and the leader were promised.
#[derive(Clone, Debug, Default)]
pub(super) struct Promise {
    /// Every transaction that was appended and not truncated.
    pub(super) history: Vec<TxnEntry>,
    /// How many of them must be there.
    pub(super) floor: usize,
    /// The epochs that may be read: the last one promised, and one that is being written.
    pub(super) epochs: (u8, u8),
}

pub(super) struct Storage {
    disk: SimDisk,
    setup: Setup,
    pub(super) promise: Promise,
    /// How often it waited for space.
    pub(super) waits: u64,
    live: Option<Live>,
}

/// What dies with the process.
struct Live {
    log: Log,
    tree: Tree,
    sessions: BTreeMap<SessionId, i32>,
    /// What the next transaction is made from: all that was appended.
    ahead: Model,
    snapshot: Option<(Writer, Cursor)>,
    applied: usize,
}

type Done = Result<(), String>;

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Storage {
    pub(super) fn new(disk: &SimDisk, setup: Setup) -> Self {
        Self { disk: disk.clone(), setup, promise: Promise::default(), waits: 0, live: None }
    }

    /// Runs until the script ends or the power fails.
    pub(super) fn run(&mut self, script: &[Step]) -> Done {
        self.start()?;
        for step in script {
            self.step(*step)?;
        }
        Ok(())
    }

    /// One more step.
    pub(super) fn run_on(&mut self, step: Step) -> Done {
        self.step(step)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn options(&self) -> Options {
        Options {
            prealloc_bytes: self.setup.prealloc_bytes,
            size_limit_bytes: self.setup.size_limit_bytes,
            io: self.setup.io,
            map_bytes_max: self.setup.map_bytes_max,
            mark_every: 1,
            ..Options::new(PathBuf::from(self.setup.log_directory()))
        }
    }

    fn start(&mut self) -> Done {
        let (tree, sessions, snapshot) = start(&self.disk()).map_err(said)?;
        let known = self.promise.history.iter().position(|entry| entry.header.zxid == tree.last_zxid());
        let applied = known.map_or(0, |index| index + 1);
        assert!(applied >= self.promise.floor, "a restart keeps what was promised");
        // Whoever reads from the new process has seen all of it.
        self.promise.history.truncate(applied);
        self.promise.floor = applied;
        let log = Log::open(self.disk(), self.options(), tree.last_zxid()).map_err(said)?;
        let ahead = model::replay(&self.promise.history);
        self.live = Some(Live { log, tree, sessions, ahead, snapshot: None, applied });
        if snapshot.is_none() {
            self.begin_snapshot()?;
            self.end_snapshot()?;
        }
        let directories = Directories::named(&testing::options(&self.disk()));
        remove_initialize(&self.disk, &directories).map_err(said)
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("a process runs")
    }

    fn step(&mut self, step: Step) -> Done {
        match step {
            Step::Append(count) => (0..count).try_for_each(|_| self.append()),
            Step::Sync => self.sync(),
            Step::Roll => {
                self.sync()?;
                self.with_space(Log::roll).map(drop)
            }
            // A full disk is met again when the file is needed.
            Step::Spare => {
                let prepared = self.live().log.spare().prepare();
                if self.disk.is_stopped() { prepared.map_err(said) } else { Ok(()) }
            }
            Step::SnapshotBegin => self.begin_snapshot(),
            Step::SnapshotSlice(nodes) => self.slice(nodes).map(drop),
            Step::SnapshotEnd => self.end_snapshot(),
            Step::Purge => {
                retention::purge(&self.disk, Path::new(DATA), Path::new(self.setup.log_directory()), 3)
                    .map(drop)
                    .map_err(said)
            }
            Step::Truncate(back) => self.truncate(back),
            Step::Epoch(epoch) => {
                self.promise.epochs.1 = epoch;
                atomic_write(&self.disk, Path::new(DATA), EPOCH, &[epoch]).map_err(said)?;
                self.promise.epochs.0 = epoch;
                Ok(())
            }
            Step::Restart => {
                self.sync()?;
                let live = self.live.take().expect("a process runs");
                live.log.close().map_err(said)?;
                self.start()
            }
            Step::Kill => {
                let mut live = self.live.take().expect("a process runs");
                // As if it died between the stores and their sync.
                self.disk.forget_syncs(true);
                let _unsynced = live.log.sync();
                self.disk.forget_syncs(false);
                drop(live);
                self.start()
            }
        }
    }

    fn append(&mut self) -> Done {
        let last = self.live().log.last_zxid();
        let entry = self.live().ahead.next(last.successor());
        self.promise.history.push(entry.clone());
        match self.live().log.append(&entry) {
            // A full disk: others go first.
            Err(error) if error.is_retryable() => {
                self.promise.history.pop();
                self.sync()?;
                self.promise.history.push(entry.clone());
                self.with_space(|log| log.append(&entry))?;
            }
            appended => appended.map_err(said)?,
        }
        self.live().ahead.apply(&entry.header, &entry.body);
        if self.setup.acknowledges_early {
            self.promise.floor = self.promise.history.len();
        }
        Ok(())
    }

    /// As the writer does it: tries until there is space.
    fn with_space<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Log) -> Result<T, LogError>,
    ) -> Result<T, String> {
        loop {
            match attempt(&mut self.live().log) {
                Err(error) if error.is_retryable() => self.waits += 1,
                done => return done.map_err(said),
            }
        }
    }

    fn sync(&mut self) -> Done {
        self.with_space(Log::sync)?;
        self.promise.floor = self.promise.history.len();
        let live = self.live.as_mut().expect("a process runs");
        for entry in self.promise.history.iter().skip(live.applied) {
            match &entry.body {
                TxnBody::CreateSession(txn) => {
                    live.sessions.insert(entry.header.client_id, txn.time_out);
                }
                TxnBody::CloseSession(_) => {
                    live.sessions.remove(&entry.header.client_id);
                }
                _ => {}
            }
            live.tree.replay(entry.clone());
        }
        live.applied = self.promise.history.len();
        Ok(())
    }

    /// As the writer and `runtime::snapshots` do it: end the file, walk from here; what fails for want
    /// of space is begun again.
    fn begin_snapshot(&mut self) -> Done {
        loop {
            self.sync()?;
            self.with_space(Log::roll)?;
            match self.try_to_begin() {
                Err(error) if error.is_full() => self.waits += 1,
                begun => return begun.map_err(said),
            }
        }
    }

    fn try_to_begin(&mut self) -> Result<(), SnapshotError> {
        let (disk, compression) = (self.disk(), self.setup.compression);
        let live = self.live();
        let cursor = Cursor::new(&live.tree);
        let sessions: Vec<_> = live.sessions.iter().map(|(id, timeout)| (*id, *timeout)).collect();
        let acls: Vec<_> =
            live.tree.acls().to_file().into_iter().map(|(id, list)| (id, list.to_vec())).collect();
        let mut writer = Writer::create(&disk, Path::new(DATA), cursor.began_at(), compression)?;
        writer.begin(&sessions, &acls)?;
        live.snapshot = Some((writer, cursor));
        Ok(())
    }

    fn begin_again(&mut self, error: SnapshotError) -> Done {
        if !error.is_full() {
            return Err(said(error));
        }
        self.waits += 1;
        self.live().snapshot = None;
        self.begin_snapshot()
    }

    /// Whether there is more.
    fn slice(&mut self, nodes: usize) -> Result<bool, String> {
        let live = self.live();
        let (writer, cursor) = live.snapshot.as_mut().expect("a snapshot was begun");
        let mut bytes = Vec::new();
        let written = cursor.slice(&live.tree, nodes, &mut |path, data, acl, stat| {
            snapshot::format::put_node(&mut bytes, path, data, acl, stat);
        });
        match writer.raw_nodes(&bytes) {
            Ok(()) => Ok(written > 0),
            Err(error) => self.begin_again(error).map(|()| true),
        }
    }

    fn end_snapshot(&mut self) -> Done {
        loop {
            while self.slice(100)? {}
            let live = self.live();
            let (writer, _) = live.snapshot.take().expect("a snapshot was begun");
            let digest = (live.tree.last_zxid(), digest::VERSION, live.tree.digest().cast_signed());
            match writer.finish(Some(digest), None) {
                Ok(_) => return Ok(()),
                Err(error) => self.begin_again(error)?,
            }
        }
    }

    fn truncate(&mut self, back: usize) -> Done {
        self.sync()?;
        let keep = self.promise.history.len() - back;
        let zxid = self.promise.history.get(keep - 1).map_or(Zxid::ZERO, |entry| entry.header.zxid);
        let floor = std::mem::replace(&mut self.promise.floor, keep);
        if !self.setup.keeps_newer_snapshots {
            match retention::discard_newer(&self.disk, Path::new(DATA), zxid) {
                Ok(_) => {}
                // The leader sends a snapshot instead; here nothing is cut.
                Err(SnapshotError::NoneLeft { .. }) if !self.disk.is_stopped() => {
                    self.promise.floor = floor;
                    return Ok(());
                }
                Err(error) => return Err(said(error)),
            }
        }
        self.live().log.truncate(zxid).map_err(said)?;
        self.promise.history.truncate(keep);
        self.live = None;
        self.start()?;
        assert_eq!(self.promise.floor, keep, "the log ends where it was cut");
        // The next leader's first transaction.
        let epoch = Zxid(i64::from(zxid.epoch() + 1) << 32);
        let options = self.options();
        let log = Log::open(self.disk(), options, epoch).map_err(said)?;
        self.live().log = log;
        Ok(())
    }
}
