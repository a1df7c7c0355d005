//! One file of the simulated disk, and its memory.

use std::io::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::{Forgotten, SECTOR, SimDisk};
use crate::disk::{DiskError, DiskFile, LogMem, Mapping, Result};

/// What `msync` makes durable at least.
const PAGE: u64 = 4096;

pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: usize,
    pub(super) path: PathBuf,
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        let inner = self.disk.inner();
        inner.check_power("measure", &self.path)?;
        Ok(inner.inodes[self.inode].len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut inner = self.disk.inner();
        inner.check_power("read", &self.path)?;
        let now = inner.reads;
        inner.reads += 1;
        if inner.plan.read_fails == Some(now) {
            return Err(DiskError::at("read", &self.path, offset, Error::from_raw_os_error(5)));
        }
        let file = &inner.inodes[self.inode];
        let count = (file.len().saturating_sub(offset) as usize).min(buffer.len());
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let skip = (at % SECTOR) as usize;
            let part = (count - done).min(SECTOR as usize - skip);
            let sector = file.sector(at / SECTOR);
            buffer[done..done + part].copy_from_slice(&sector[skip..skip + part]);
            done += part;
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut inner = self.disk.inner();
        inner.effect("write", &self.path)?;
        let half = &bytes[..bytes.len() / 2];
        if offset + bytes.len() as u64 > inner.inodes[self.inode].len()
            && let Err(full) = inner.take_space(&self.path)
        {
            inner.inodes[self.inode].store(offset, half);
            return Err(full);
        }
        let short = inner.forgets(Forgotten::Write, &self.path);
        inner.inodes[self.inode].store(offset, if short { half } else { bytes });
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut inner = self.disk.inner();
        inner.effect("allocate", &self.path)?;
        inner.take_space(&self.path)?;
        let file = &mut inner.inodes[self.inode];
        assert!(range.start >= file.len(), "allocation starts at or after the end");
        file.fresh.extend(range.start.div_ceil(SECTOR)..range.end.div_ceil(SECTOR));
        file.lens.push(range.end);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut inner = self.disk.inner();
        inner.effect("set length", &self.path)?;
        if inner.forgets(Forgotten::SetLength, &self.path) {
            return Ok(());
        }
        let file = &mut inner.inodes[self.inode];
        assert_eq!(file.maps, 0, "the length of a mapped file is changed: SIGBUS on a real map");
        if len < file.len() {
            file.cut(len);
        } else {
            file.lens.push(len);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.disk.inner().harden(self.inode, &self.path, 0..u64::MAX, true)
    }

    fn sync_data(&self) -> Result<()> {
        self.sync()
    }

    fn next_data(&self, from: u64) -> Result<Option<u64>> {
        let inner = self.disk.inner();
        let file = &inner.inodes[self.inode];
        let at = from / SECTOR;
        let known = [
            file.dirty.range(at..).next().map(|(i, _)| *i),
            file.durable.range(at..).next().map(|(i, _)| *i),
        ];
        Ok(known.into_iter().flatten().min().map(|index| from.max(index * SECTOR)))
    }

    fn mapping(&self) -> Result<Mapping> {
        self.disk.inner().inodes[self.inode].maps += 1;
        let memory = SimMemory { disk: self.disk.clone(), inode: self.inode, path: self.path.clone() };
        Ok(Mapping::Simulated(Box::new(memory)))
    }
}

struct SimMemory {
    disk: SimDisk,
    inode: usize,
    path: PathBuf,
}

impl LogMem for SimMemory {
    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut inner = self.disk.inner();
        inner.effect("store", &self.path)?;
        let end = offset + bytes.len() as u64;
        assert!(end <= inner.inodes[self.inode].len(), "a store outside the file: SIGBUS on a real map");
        let short = inner.forgets(Forgotten::Write, &self.path);
        let count = if short { bytes.len() / 2 } else { bytes.len() };
        inner.inodes[self.inode].store(offset, &bytes[..count]);
        Ok(())
    }

    /// Stricter than `msync`: a new length stays where it is.
    fn sync(&mut self, range: Range<u64>) -> Result<()> {
        let sectors = range.start / PAGE * (PAGE / SECTOR)..range.end.div_ceil(PAGE) * (PAGE / SECTOR);
        self.disk.inner().harden(self.inode, &self.path, sectors, false)
    }
}

impl Drop for SimMemory {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        let maps = &mut inner.inodes[self.inode].maps;
        *maps = maps.saturating_sub(1);
    }
}
