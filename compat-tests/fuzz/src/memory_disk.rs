//! A disk in memory, for targets that read files.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use oxkeeper::disk::{DirectoryLock, Disk, DiskError, DiskFile, Mapping, Result};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files by path; directories are not told apart.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Bytes>>>,
}

impl MemoryDisk {
    /// Puts a file there.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.files().insert(path.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    /// Every file with its content.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.files().iter().map(|(path, bytes)| (path.clone(), held(bytes).clone())).collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Bytes>> {
        self.files.lock().expect("no holder panics")
    }

    fn file(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let found = self.files().get(path).cloned();
        let bytes = found.ok_or_else(|| DiskError::new("open", path, io::ErrorKind::NotFound.into()))?;
        Ok(Box::new(MemoryFile { path: path.to_owned(), bytes }))
    }
}

fn held(bytes: &Bytes) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().expect("no holder panics")
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.file(path)
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.file(path)
    }
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.put(path, Vec::new());
        self.file(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut files = self.files();
        let bytes = files.remove(from);
        let bytes = bytes.ok_or_else(|| DiskError::new("rename", from, io::ErrorKind::NotFound.into()))?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }
    fn remove(&self, path: &Path) -> Result<()> {
        let removed = self.files().remove(path);
        removed.map(drop).ok_or_else(|| DiskError::new("remove", path, io::ErrorKind::NotFound.into()))
    }
    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let files = self.files();
        let names = files.keys().filter(|path| path.parent() == Some(directory));
        Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn create_dirs(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn lock(&self, _: &Path) -> Result<DirectoryLock> {
        Ok(DirectoryLock::holding(Box::new(())))
    }
}

struct MemoryFile {
    path: PathBuf,
    bytes: Bytes,
}

impl DiskFile for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }
    fn len(&self) -> Result<u64> {
        Ok(held(&self.bytes).len() as u64)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let bytes = held(&self.bytes);
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn write_at(&self, offset: u64, new: &[u8]) -> Result<()> {
        let mut bytes = held(&self.bytes);
        let start = usize::try_from(offset).expect("offsets of small files");
        let end = start + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(new);
        Ok(())
    }
    fn allocate(&self, range: Range<u64>) -> Result<()> {
        self.set_len(range.end)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        held(&self.bytes).resize(usize::try_from(len).expect("lengths of small files"), 0);
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
    fn next_data(&self, from: u64) -> Result<Option<u64>> {
        Ok(Some(from).filter(|from| *from < held(&self.bytes).len() as u64))
    }
    fn mapping(&self) -> Result<Mapping> {
        Ok(Mapping::Refused("it is memory already"))
    }
}
