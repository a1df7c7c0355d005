//! The disk of the operating system.

#![expect(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::{DirectoryLock, Disk, DiskError, DiskFile, Mapping, Result};

/// Holds the pid of the process that has the directory.
pub const LOCK_NAME: &str = "oxkeeper.lock";

/// Where allocation must fall back on writing zeros, this much at a time.
const ZERO_FILL_BYTES: usize = 1 << 20;

/// File systems on which a block, once allocated, is overwritten in place: ext2/3/4, xfs, tmpfs
/// (`statfs` magic numbers). On others a store into a map may need space that is not there.
const OVERWRITE_IN_PLACE: [i64; 3] = [0xEF53, 0x5846_5342, 0x0102_1994];

/// The disk of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile {
    file: File,
    path: PathBuf,
}

/// Who wrote its number into a lock file.
fn named_in(mut file: &File) -> String {
    let mut holder = String::new();
    let read = file.read_to_string(&mut holder);
    match holder.trim() {
        pid if read.is_ok() && !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

/// A locked file, which is removed before it is released: a backup of a stopped server's directory holds
/// nothing that the reference's would not.
struct LockFile {
    file: File,
    path: PathBuf,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let is_ours = |named: &fs::Metadata, held: &fs::Metadata| {
            (named.dev(), named.ino()) == (held.dev(), held.ino())
        };
        if let (Ok(named), Ok(held)) = (fs::metadata(&self.path), self.file.metadata())
            && is_ours(&named, &held)
        {
            // One that stays is locked by nobody, and taken over by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl RealDisk {
    /// Who has locked a directory, in words; `None` when nobody has. Changes nothing.
    ///
    /// # Errors
    /// As the system reports.
    pub fn holder(directory: &Path) -> Result<Option<String>> {
        let path = directory.join(LOCK_NAME);
        let failed = |source| DiskError::new("look at the lock", &path, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(named_in(&file))),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn open_with(options: &OpenOptions, operation: &'static str, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = options.open(path).map_err(|source| DiskError::new(operation, path, source))?;
        Ok(Box::new(RealFile { file, path: path.to_owned() }))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Self::open_with(OpenOptions::new().read(true).write(true), "open", path)
    }

    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Self::open_with(OpenOptions::new().read(true), "open for reading", path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        Self::open_with(OpenOptions::new().read(true).write(true).create_new(true), "create", path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|source| DiskError::new("rename", from, source))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|source| DiskError::new("remove", path, source))
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let failed = |source| DiskError::new("list", directory, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_directory = entry.file_type().map_err(failed)?.is_dir();
            if !is_directory && let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dirs(&self, directory: &Path) -> Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dirs(parent)?;
        }
        match fs::create_dir(directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DiskError::new("create directory", directory, source));
            }
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn sync_dir(&self, directory: &Path) -> Result<()> {
        File::open(directory)
            .and_then(|file| file.sync_all())
            .map_err(|source| DiskError::new("sync directory", directory, source))
    }

    fn lock(&self, directory: &Path) -> Result<DirectoryLock> {
        let path = directory.join(LOCK_NAME);
        let failed = |source| DiskError::new("lock", &path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = loop {
            let file = options.open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = named_in(&file);
                    let reason =
                        format!("the directory is in use by {holder}; stop it, or choose another dataDir");
                    return Err(failed(io::Error::new(io::ErrorKind::WouldBlock, reason)));
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Its holder may have removed it since it was opened here; then it keeps nobody out.
            if file.metadata().map_err(failed)?.nlink() > 0 {
                break file;
            }
        };
        file.set_len(0).map_err(failed)?;
        match writeln!(file, "{}", std::process::id()) {
            // The lock holds without the number in it, and a full disk keeps nobody from serving.
            Err(source) if source.kind() != io::ErrorKind::StorageFull => return Err(failed(source)),
            _ => {}
        }
        Ok(DirectoryLock::holding(Box::new(LockFile { file, path })))
    }
}

impl RealFile {
    fn failed(&self, operation: &'static str, source: io::Error) -> DiskError {
        DiskError::new(operation, &self.path, source)
    }

    /// For file systems without `fallocate`. The written pages are dropped from the cache: it keeps
    /// them as large folios, of which a map would dirty and write back 1-2 MiB for each record.
    fn fill_with_zeros(&self, range: Range<u64>) -> io::Result<()> {
        let zeros = vec![0; ZERO_FILL_BYTES];
        let mut offset = range.start;
        while offset < range.end {
            let left = usize::try_from(range.end - offset).unwrap_or(usize::MAX).min(zeros.len());
            let Some(part) = zeros.get(..left) else { break };
            self.file.write_all_at(part, offset)?;
            offset += left as u64;
        }
        self.file.sync_all()?;
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|source| self.failed("measure", source))?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DiskError::at("read", &self.path, offset + done as u64, source)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| DiskError::at("write", &self.path, offset, source))
    }

    fn allocate(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let count = range.end - range.start;
        let allocated = loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), range.start, count) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break self.fill_with_zeros(range.clone()),
                other => break other.map_err(io::Error::from),
            }
        };
        allocated.map_err(|source| {
            // A full disk may leave part of the range behind; nothing of it is mapped yet.
            let _ = self.file.set_len(range.start);
            DiskError::at("allocate space", &self.path, range.start, source)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|source| DiskError::at("set the length", &self.path, len, source))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|source| self.failed("sync", source))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| self.failed("sync", source))
    }

    fn next_data(&self, from: u64) -> Result<Option<u64>> {
        match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
            Ok(offset) => Ok(Some(offset)),
            Err(Errno::NXIO) => Ok(None),
            // A file system that cannot tell: the caller looks for itself.
            Err(_) => Ok(Some(from)),
        }
    }

    fn mapping(&self) -> Result<Mapping> {
        let statfs = rustix::fs::fstatfs(&self.file)
            .map_err(|errno| self.failed("ask the file system of", errno.into()))?;
        if !OVERWRITE_IN_PLACE.contains(&statfs.f_type) {
            return Ok(Mapping::Refused("the file system does not overwrite blocks in place"));
        }
        let file = self.file.try_clone().map_err(|source| self.failed("duplicate", source))?;
        Ok(Mapping::Real(file))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{atomic_write, read_small};
    use super::*;

    #[test]
    fn an_atomic_write_replaces_the_whole_content() {
        let directory = tempfile::tempdir().unwrap();
        for content in [&b"a long first content"[..], b"short"] {
            atomic_write(&RealDisk, directory.path(), "currentEpoch", content).unwrap();
            let read = read_small(&RealDisk, &directory.path().join("currentEpoch"), 100).unwrap();
            assert_eq!(read.as_deref(), Some(content));
        }
        assert_eq!(RealDisk.list(directory.path()).unwrap(), ["currentEpoch"]);
        assert!(read_small(&RealDisk, &directory.path().join("currentEpoch"), 4).is_err());
    }

    #[test]
    fn a_locked_directory_refuses_a_second_holder_and_names_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let held = RealDisk.lock(directory.path()).unwrap();
        let refused = RealDisk.lock(directory.path()).err().unwrap().to_string();
        let this = format!("process {}", std::process::id());
        assert!(refused.contains(&this), "{refused}");
        assert_eq!(RealDisk::holder(directory.path()).unwrap(), Some(this));
        drop(held);
        assert_eq!(RealDisk::holder(directory.path()).unwrap(), None);
        assert!(RealDisk.list(directory.path()).unwrap().is_empty(), "the file goes with the lock");
        assert!(RealDisk.lock(directory.path()).is_ok());
    }

    #[test]
    fn a_lock_removes_its_own_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCK_NAME);
        let held = RealDisk.lock(directory.path()).unwrap();
        fs::remove_file(&path).unwrap();
        let second = RealDisk.lock(directory.path()).unwrap();
        drop(held);
        assert!(path.exists() && RealDisk.lock(directory.path()).is_err());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn allocation_gives_zeros_in_blocks_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = RealDisk.create(&path).unwrap();
        file.write_at(0, b"head").unwrap();
        file.allocate(4..100_004).unwrap();
        assert_eq!(file.len().unwrap(), 100_004);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 100_000);
        let mut bytes = vec![1; 100_004];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), 100_004);
        assert!(bytes.starts_with(b"head") && bytes[4..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_error_names_operation_path_and_reason() {
        let error = RealDisk.open(Path::new("/nowhere/at/all")).err().unwrap();
        assert!(error.is_not_found());
        assert!(error.to_string().starts_with("/nowhere/at/all: cannot open: "), "{error}");
    }
}
