//! For tests: the real disk, full or failing on demand.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{DirectoryLock, Disk, DiskError, DiskFile, LogMem, Mapping, RealDisk, Result};

/// The real disk with faults. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    full: AtomicBool,
    syncs_fail: AtomicBool,
    syncs: AtomicUsize,
    /// Runs whenever a file takes space or is synced.
    witness: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl FaultyDisk {
    /// No more space, or space again.
    pub(crate) fn set_full(&self, full: bool) {
        self.faults.full.store(full, Ordering::SeqCst);
    }

    /// Syncs of files fail from now on, or no longer.
    pub(crate) fn set_syncs_fail(&self, fail: bool) {
        self.faults.syncs_fail.store(fail, Ordering::SeqCst);
    }

    /// `witness` runs whenever a file takes space or is synced.
    pub(crate) fn set_witness(&self, witness: impl Fn() + Send + 'static) {
        *self.faults.witness.lock().expect("no witness panics") = Some(Box::new(witness));
    }

    /// How many syncs of files were tried.
    pub(crate) fn syncs(&self) -> usize {
        self.faults.syncs.load(Ordering::SeqCst)
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file: Arc::from(file), faults: Arc::clone(&self.faults) })
    }
}

impl Faults {
    fn witness(&self) {
        if let Some(witness) = &*self.witness.lock().expect("no witness panics") {
            witness();
        }
    }

    fn check_space(&self, path: &Path) -> Result<()> {
        self.witness();
        let full = self.full.load(Ordering::SeqCst);
        if full { Err(DiskError::new("use space", path, io::ErrorKind::StorageFull.into())) } else { Ok(()) }
    }

    fn check_sync(&self, path: &Path) -> Result<()> {
        self.witness();
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let fail = self.syncs_fail.load(Ordering::SeqCst);
        if fail { Err(DiskError::new("sync", path, io::Error::from_raw_os_error(5))) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        RealDisk.open(path).map(|file| self.wrap(file))
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        RealDisk.open_read(path).map(|file| self.wrap(file))
    }
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.faults.check_space(path)?;
        RealDisk.create(path).map(|file| self.wrap(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<()> {
        RealDisk.remove(path)
    }
    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        RealDisk.list(directory)
    }
    fn create_dirs(&self, directory: &Path) -> Result<()> {
        RealDisk.create_dirs(directory)
    }
    fn sync_dir(&self, directory: &Path) -> Result<()> {
        RealDisk.sync_dir(directory)
    }
    fn lock(&self, directory: &Path) -> Result<DirectoryLock> {
        RealDisk.lock(directory)
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset + bytes.len() as u64 > self.file.len()? {
            self.faults.check_space(self.path())?;
        }
        self.file.write_at(offset, bytes)
    }
    fn allocate(&self, range: Range<u64>) -> Result<()> {
        self.faults.check_space(self.path())?;
        self.file.allocate(range)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> Result<()> {
        self.faults.check_sync(self.path())?;
        self.file.sync()
    }
    fn sync_data(&self) -> Result<()> {
        self.faults.check_sync(self.path())?;
        self.file.sync_data()
    }
    fn next_data(&self, from: u64) -> Result<Option<u64>> {
        self.file.next_data(from)
    }
    fn mapping(&self) -> Result<Mapping> {
        let memory = FaultyMemory { file: Arc::clone(&self.file), faults: Arc::clone(&self.faults) };
        Ok(Mapping::Simulated(Box::new(memory)))
    }
}

struct FaultyMemory {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl LogMem for FaultyMemory {
    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset + bytes.len() as u64;
        assert!(end <= self.file.len()?, "a store at {offset} into a hole: SIGBUS on a real map");
        self.file.write_at(offset, bytes)
    }
    fn sync(&mut self, _range: Range<u64>) -> Result<()> {
        self.faults.check_sync(self.file.path())?;
        self.file.sync_data()
    }
}
