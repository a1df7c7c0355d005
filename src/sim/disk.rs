//! Files in memory, each with what was written and what is durable.
//!
//! Content is kept in sectors of 512 bytes. A sector that was stored and not synced remembers every
//! version it had; so does a file's length. Creations, renames and removals wait in their directory for
//! its sync. What of all this a power cut leaves is decided in [`crash`](super::crash).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::file::SimFile;
use crate::disk::{DirectoryLock, Disk, DiskError, DiskFile, Result};

pub(super) const SECTOR: u64 = 512;

pub(super) type Sector = Arc<[u8; SECTOR as usize]>;

/// The simulated disk. Clones share it.
#[derive(Clone, Default)]
pub(super) struct SimDisk {
    pub(super) inner: Arc<Mutex<Inner>>,
}

#[derive(Clone, Default)]
pub(super) struct Inner {
    pub(super) directories: BTreeMap<PathBuf, Directory>,
    pub(super) inodes: Vec<Inode>,
    /// Changes so far: stores, syncs, names.
    pub(super) effects: u64,
    pub(super) allocations: u64,
    pub(super) syncs: u64,
    pub(super) reads: u64,
    pub(super) stopped: bool,
    pub(super) dying: bool,
    pub(super) plan: Plan,
}

/// What goes wrong, and when. Counts begin at 0.
#[derive(Clone, Default)]
pub(super) struct Plan {
    /// The power fails instead of this effect.
    pub(super) stop_at: Option<u64>,
    /// Allocations in this range find the disk full.
    pub(super) full: Range<u64>,
    /// This sync fails, and its sectors are never written.
    pub(super) sync_fails: Option<u64>,
    /// This read fails.
    pub(super) read_fails: Option<u64>,
    /// From this effect on nothing can be changed.
    pub(super) read_only_from: Option<u64>,
    /// Calls that do nothing and say they did: the fault of a program that forgot them.
    pub(super) forgotten: Vec<Forgotten>,
}

/// A call that is left out, by its kind and the beginning of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgotten {
    Sync(&'static str),
    SyncDirectory(&'static str),
    SetLength(&'static str),
    Remove(&'static str),
    /// Only the first half of it is written.
    Write(&'static str),
}

#[derive(Clone, Default)]
pub(super) struct Directory {
    pub(super) durable: BTreeMap<String, usize>,
    pub(super) written: BTreeMap<String, usize>,
    pub(super) pending: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) durable: BTreeMap<u64, Sector>,
    /// Versions since the last sync, oldest first.
    pub(super) dirty: BTreeMap<u64, Vec<Sector>>,
    /// Allocated and never synced: zeros after a crash on file systems with unwritten extents.
    pub(super) fresh: BTreeSet<u64>,
    /// A sync of these failed; a later one passes over them.
    pub(super) stuck: BTreeSet<u64>,
    pub(super) durable_len: u64,
    pub(super) lens: Vec<u64>,
    pub(super) maps: usize,
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Unlink(name) => drop(names.remove(name)),
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.lens.last().copied().unwrap_or(self.durable_len)
    }

    pub(super) fn sector(&self, index: u64) -> Sector {
        let written = self.dirty.get(&index).and_then(|versions| versions.last());
        written.or_else(|| self.durable.get(&index)).cloned().unwrap_or_else(|| Arc::new([0; 512]))
    }

    pub(super) fn store(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (index, skip) = (at / SECTOR, (at % SECTOR) as usize);
            let count = (bytes.len() - done).min(SECTOR as usize - skip);
            let mut sector = *self.sector(index);
            sector[skip..skip + count].copy_from_slice(&bytes[done..done + count]);
            self.dirty.entry(index).or_default().push(Arc::new(sector));
            self.stuck.remove(&index);
            done += count;
        }
        let end = offset + bytes.len() as u64;
        if end > self.len() {
            self.lens.push(end);
        }
    }

    pub(super) fn cut(&mut self, len: u64) {
        let known: BTreeSet<u64> = self.dirty.keys().chain(self.durable.keys()).copied().collect();
        for index in known.into_iter().filter(|index| (index + 1) * SECTOR > len) {
            let mut sector = *self.sector(index);
            sector[(len.saturating_sub(index * SECTOR) as usize).min(SECTOR as usize)..].fill(0);
            self.dirty.entry(index).or_default().push(Arc::new(sector));
        }
        self.lens.push(len);
    }

    fn harden(&mut self, sectors: Range<u64>) {
        let indices: Vec<u64> = self.dirty.range(sectors.clone()).map(|(index, _)| *index).collect();
        for index in indices.into_iter().filter(|index| !self.stuck.contains(index)) {
            if let Some(newest) = self.dirty.remove(&index).and_then(|mut versions| versions.pop()) {
                self.durable.insert(index, newest);
            }
        }
        self.fresh.retain(|index| !sectors.contains(index));
    }
}

impl Inner {
    /// Counts a change that is about to happen.
    pub(super) fn effect(&mut self, operation: &'static str, path: &Path) -> Result<()> {
        let now = self.effects;
        self.stopped |= self.plan.stop_at.is_some_and(|at| now >= at);
        self.check_power(operation, path)?;
        self.effects += 1;
        if self.plan.read_only_from.is_some_and(|from| now >= from) {
            return Err(DiskError::new(operation, path, ErrorKind::ReadOnlyFilesystem.into()));
        }
        Ok(())
    }

    pub(super) fn check_power(&self, operation: &'static str, path: &Path) -> Result<()> {
        if self.stopped {
            Err(DiskError::new(operation, path, Error::other("the power is off")))
        } else {
            Ok(())
        }
    }

    pub(super) fn take_space(&mut self, path: &Path) -> Result<()> {
        let now = self.allocations;
        self.allocations += 1;
        let full = self.plan.full.contains(&now);
        if full { Err(DiskError::new("allocate", path, ErrorKind::StorageFull.into())) } else { Ok(()) }
    }

    pub(super) fn forgets(&self, call: impl Fn(&'static str) -> Forgotten, path: &Path) -> bool {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.plan.forgotten.iter().any(|forgotten| {
            let prefix = match forgotten {
                Forgotten::Sync(prefix)
                | Forgotten::SyncDirectory(prefix)
                | Forgotten::SetLength(prefix)
                | Forgotten::Remove(prefix)
                | Forgotten::Write(prefix) => *prefix,
            };
            call(prefix) == *forgotten && (name.starts_with(prefix) || path.starts_with(prefix))
        })
    }

    pub(super) fn harden(
        &mut self,
        inode: usize,
        path: &Path,
        sectors: Range<u64>,
        length: bool,
    ) -> Result<()> {
        self.effect("sync", path)?;
        if self.dying {
            return Err(DiskError::new("sync", path, Error::other("the process is dying")));
        }
        if self.forgets(Forgotten::Sync, path) {
            return Ok(());
        }
        let now = self.syncs;
        self.syncs += 1;
        let file = &mut self.inodes[inode];
        if self.plan.sync_fails == Some(now) {
            file.stuck.extend(file.dirty.range(sectors).map(|(index, _)| *index));
            return Err(DiskError::new("sync", path, Error::from_raw_os_error(5)));
        }
        file.harden(sectors);
        if length {
            file.durable_len = file.len();
            file.lens.clear();
        }
        Ok(())
    }

    fn directory(&mut self, operation: &'static str, path: &Path) -> Result<(&mut Directory, String)> {
        let missing = || DiskError::new(operation, path, ErrorKind::NotFound.into());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
        let directory = path.parent().and_then(|parent| self.directories.get_mut(parent));
        Ok((directory.ok_or_else(missing)?, name.to_owned()))
    }

    fn find(&mut self, operation: &'static str, path: &Path) -> Result<usize> {
        self.check_power(operation, path)?;
        let (directory, name) = self.directory(operation, path)?;
        let found = directory.written.get(&name).copied();
        found.ok_or_else(|| DiskError::new(operation, path, ErrorKind::NotFound.into()))
    }

    fn change_name(&mut self, operation: &'static str, path: &Path, change: NameChange) -> Result<()> {
        let (directory, _) = self.directory(operation, path)?;
        change.apply(&mut directory.written);
        directory.pending.push(change);
        Ok(())
    }
}

impl SimDisk {
    /// An empty disk with these directories.
    pub(super) fn with(directories: &[&Path]) -> Self {
        let disk = Self::default();
        for directory in directories {
            disk.create_dirs(directory).unwrap();
        }
        disk
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        self.inner().plan = plan;
    }

    /// No allocation succeeds from here on.
    pub(super) fn fill(&self) {
        self.inner().plan.full = 0..u64::MAX;
    }

    /// The next sync fails.
    pub(super) fn fail(&self) {
        let mut inner = self.inner();
        inner.plan.sync_fails = Some(inner.syncs);
    }

    /// Whether a sync fails, or has failed.
    pub(super) fn is_to_fail(&self) -> bool {
        self.inner().plan.sync_fails.is_some()
    }

    pub(super) fn effects(&self) -> u64 {
        self.inner().effects
    }

    /// Allocations, syncs and reads so far.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let inner = self.inner();
        (inner.allocations, inner.syncs, inner.reads)
    }

    /// Stores go on, syncs do nothing and fail: the process does not live to see them done.
    pub(super) fn forget_syncs(&self, forget: bool) {
        self.inner().dying = forget;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.inner().stopped
    }

    /// What a new process finds when only the old one died: everything written, nothing more durable.
    pub(super) fn after_kill(&self) -> Self {
        let mut inner = self.inner().clone();
        inner.restart();
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn file(&self, inode: usize, path: &Path) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, path: path.to_owned() })
    }
}

impl Inner {
    /// A new process: the counters begin again, no map is left, nothing goes wrong.
    pub(super) fn restart(&mut self) {
        (self.effects, self.allocations, self.syncs, self.reads) = (0, 0, 0, 0);
        (self.stopped, self.dying) = (false, false);
        self.plan = Plan { forgotten: std::mem::take(&mut self.plan.forgotten), ..Plan::default() };
        self.inodes.iter_mut().for_each(|inode| inode.maps = 0);
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let inode = self.inner().find("open", path)?;
        Ok(self.file(inode, path))
    }

    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.effect("create", path)?;
        if inner.find("create", path).is_ok() {
            return Err(DiskError::new("create", path, ErrorKind::AlreadyExists.into()));
        }
        inner.take_space(path)?;
        let inode = inner.inodes.len();
        let (_, name) = inner.directory("create", path)?;
        inner.change_name("create", path, NameChange::Link(name, inode))?;
        inner.inodes.push(Inode::default());
        Ok(self.file(inode, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        assert_eq!(from.parent(), to.parent(), "renames stay in their directory");
        let mut inner = self.inner();
        inner.effect("rename", from)?;
        let inode = inner.find("rename", from)?;
        inner.take_space(from)?;
        let (_, old) = inner.directory("rename", from)?;
        let (_, new) = inner.directory("rename", to)?;
        inner.change_name("rename", from, NameChange::Rename(old, new, inode))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut inner = self.inner();
        inner.find("remove", path)?;
        inner.effect("remove", path)?;
        if inner.forgets(Forgotten::Remove, path) {
            return Ok(());
        }
        let (_, name) = inner.directory("remove", path)?;
        inner.change_name("remove", path, NameChange::Unlink(name))
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let inner = self.inner();
        inner.check_power("list", directory)?;
        let found = inner.directories.get(directory);
        let found = found.ok_or_else(|| DiskError::new("list", directory, ErrorKind::NotFound.into()))?;
        Ok(found.written.keys().cloned().collect())
    }

    fn create_dirs(&self, directory: &Path) -> Result<()> {
        let mut inner = self.inner();
        inner.directories.entry(directory.to_owned()).or_default();
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> Result<()> {
        let mut inner = self.inner();
        inner.effect("sync directory", directory)?;
        if inner.forgets(Forgotten::SyncDirectory, directory) {
            return Ok(());
        }
        if let Some(found) = inner.directories.get_mut(directory) {
            found.durable = found.written.clone();
            found.pending.clear();
        }
        Ok(())
    }

    fn lock(&self, _directory: &Path) -> Result<DirectoryLock> {
        Ok(DirectoryLock::holding(Box::new(())))
    }
}
