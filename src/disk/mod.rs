//! The one door to files.
//!
//! [`Disk`] and [`DiskFile`] are small enough to fake in a page: a simulated disk keeps a written and
//! a durable image of each file and directory, and decides at a crash which unsynced parts survive.
//! Log, snapshots and epoch files go through here, so every error names its path. The configuration and
//! `myid` do not: they are read before there is a server. `clippy.toml` lists what goes around this door.
//!
//! What the trait promises: nothing is durable before a `sync` of it returned, and a name (created,
//! renamed or removed) is durable only after [`Disk::sync_dir`] of its directory.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) mod damage;
#[cfg(test)]
pub(crate) mod faulty;
pub mod real;

pub use real::RealDisk;

/// What a disk operation gives.
pub type Result<T> = std::result::Result<T, DiskError>;

/// A failed operation: what was tried, where, and what the system said.
#[derive(Debug)]
pub struct DiskError {
    /// The operation, as a verb.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, when the operation has a place.
    pub offset: Option<u64>,
    /// The system's reason.
    pub source: io::Error,
}

impl DiskError {
    /// An error without a place in the file.
    #[must_use]
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), offset: None, source }
    }

    /// An error at a place in the file.
    #[must_use]
    pub fn at(operation: &'static str, path: &Path, offset: u64, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), offset: Some(offset), source }
    }

    /// The disk (or the quota) has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// There is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot {}", self.path.display(), self.operation)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.source)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Directories and names.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`DiskError::is_not_found`] when it is not there.
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    /// [`DiskError::is_not_found`] when it is not there.
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Creates an empty file for reading and writing.
    ///
    /// # Errors
    /// When the name is taken already.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing what had that name.
    ///
    /// # Errors
    /// As the system reports.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`DiskError::is_not_found`] when it is not there.
    fn remove(&self, path: &Path) -> Result<()>;

    /// The names of the plain files in a directory, in no order. Names that are not UTF-8 are left
    /// out: none of ours is.
    ///
    /// # Errors
    /// As the system reports.
    fn list(&self, directory: &Path) -> Result<Vec<String>>;

    /// Creates a directory and those above it, durably.
    ///
    /// # Errors
    /// As the system reports.
    fn create_dirs(&self, directory: &Path) -> Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// As the system reports. Final, like every failed sync.
    fn sync_dir(&self, directory: &Path) -> Result<()>;

    /// Takes the directory for this process until the lock is dropped.
    ///
    /// # Errors
    /// When another process has it; the error says which.
    fn lock(&self, directory: &Path) -> Result<DirectoryLock>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// The name it was opened by.
    fn path(&self) -> &Path;

    /// Its length in bytes.
    ///
    /// # Errors
    /// As the system reports.
    fn len(&self) -> Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As the system reports.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buffer` until it is full or the file ends; returns how much was read.
    ///
    /// # Errors
    /// As the system reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes all of `bytes`, lengthening the file where needed.
    ///
    /// # Errors
    /// As the system reports; part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Backs `range` with blocks of its own, filled with zeros, and lengthens the file to its end, so
    /// that no later store into the range needs space. `range` starts at or after the file's end.
    ///
    /// # Errors
    /// [`DiskError::is_full`] when there is no room; the file then has its old length.
    fn allocate(&self, range: Range<u64>) -> Result<()>;

    /// Cuts or lengthens the file. Never call it on a file that is mapped.
    ///
    /// # Errors
    /// As the system reports.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes content and length durable. An error is final: what was not written is lost, and a
    /// second sync would wrongly succeed.
    ///
    /// # Errors
    /// As the system reports.
    fn sync(&self) -> Result<()>;

    /// As [`DiskFile::sync`], but may leave out times and such.
    ///
    /// # Errors
    /// As the system reports.
    fn sync_data(&self) -> Result<()>;

    /// The first offset at or after `from` that may hold anything but zeros, `None` when the rest is
    /// known to be zeros. A guess of `from` is always right.
    ///
    /// # Errors
    /// As the system reports.
    fn next_data(&self, from: u64) -> Result<Option<u64>>;

    /// The file as memory that a store cannot fault in: all of it must have been allocated.
    ///
    /// # Errors
    /// As the system reports.
    fn mapping(&self) -> Result<Mapping>;
}

/// How a file may be mapped.
pub enum Mapping {
    /// A second handle of a real file. The map itself is made where unsafe code is allowed.
    Real(std::fs::File),
    /// A simulated disk's own memory.
    Simulated(Box<dyn LogMem>),
    /// Mapping this file is not safe, for this reason: use plain writes.
    Refused(&'static str),
}

/// Memory of a log file: a map, or what stands in for one.
pub trait LogMem: Send {
    /// Puts bytes at an offset, in memory from the first to the last. Not durable, and not ordered before
    /// other stores on the disk.
    ///
    /// # Errors
    /// When the range is outside the memory, or a plain write failed.
    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the stores into `range` durable.
    ///
    /// # Errors
    /// As the system reports. Final.
    fn sync(&mut self, range: Range<u64>) -> Result<()>;
}

/// Keeps other processes out of a directory while it lives.
pub struct DirectoryLock {
    _held: Box<dyn Send + Sync>,
}

impl DirectoryLock {
    /// Wraps what a disk holds; dropping it must release the directory.
    #[must_use]
    pub fn holding(held: Box<dyn Send + Sync>) -> Self {
        Self { _held: held }
    }
}

/// Replaces the content of `directory/name` so that a crash leaves the old or the new content, whole.
/// When it returns, the new content is durable.
///
/// # Errors
/// As the disk reports; the old content stays in place. The temporary `name.tmp` may stay too, and is
/// replaced by the next call.
pub fn atomic_write(disk: &dyn Disk, directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let target = directory.join(name);
    let temporary = directory.join(format!("{name}.tmp"));
    match disk.remove(&temporary) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, &target)?;
    disk.sync_dir(directory)
}

/// Reads a whole small file; `None` when it is not there.
///
/// # Errors
/// As the disk reports, and when the file is longer than `bytes_max`.
pub fn read_small(disk: &dyn Disk, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let file = match disk.open_read(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).ok().filter(|len| *len <= bytes_max).ok_or_else(|| {
        let reason = format!("longer than the {bytes_max} bytes it may have");
        DiskError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, reason))
    })?;
    let mut bytes = vec![0; len];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}
