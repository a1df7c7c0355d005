//! The next log file, made ready before it is needed.
//!
//! Allocating and syncing a file takes milliseconds, and a full disk is better noticed before the
//! space is needed. So somebody other than the log's own thread calls [`Spare::prepare`] now and then;
//! the log takes the file from here, and makes one itself when there is none.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use super::segment::Segment;
use super::{LogError, Options};
use crate::disk::Disk;

/// The name of a file that is ready but not in use. No reader takes it for a log.
pub(super) const SPARE_NAME: &str = "spare.log";

/// A handle to the place where the next log file waits. Clones share it.
#[derive(Clone)]
pub struct Spare {
    disk: Arc<dyn Disk>,
    options: Options,
    ready: Arc<Mutex<Option<Segment>>>,
    short: Arc<AtomicBool>,
}

impl Spare {
    pub(super) fn new(disk: Arc<dyn Disk>, options: Options) -> Self {
        Self { disk, options, ready: Arc::default(), short: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.options.dir.join(SPARE_NAME)
    }

    /// Makes the next file ready if it is not. Returns at once when allocation ahead is off.
    ///
    /// # Errors
    /// [`LogError::Full`] is the early warning that the log will soon have to stop.
    pub fn prepare(&self) -> Result<(), LogError> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_none() && self.options.prealloc_bytes > 0 {
            discard_spare(&*self.disk, &self.options.dir)?;
            let created = Segment::create(&*self.disk, &self.path(), &self.options);
            self.short.store(created.is_err(), Ordering::Release);
            *ready = Some(created?);
        }
        Ok(())
    }

    /// Whether the last attempt failed: the log will stop when its current file is full. For reports
    /// to the operator.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Acquire)
    }

    /// Whether the next file can be taken at once.
    pub(super) fn is_ready(&self) -> bool {
        match self.ready.try_lock() {
            Ok(ready) => ready.is_some(),
            Err(TryLockError::Poisoned(ready)) => ready.into_inner().is_some(),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// The ready file under its final name, which is not durable yet.
    pub(super) fn take(&self, name: &Path) -> Result<Option<Segment>, LogError> {
        let Some(segment) = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(None);
        };
        self.disk.rename(&self.path(), name)?;
        Ok(Some(segment.renamed(name)))
    }
}

/// Removes what an earlier process left.
pub(super) fn discard_spare(disk: &dyn Disk, directory: &Path) -> Result<(), LogError> {
    match disk.remove(&directory.join(SPARE_NAME)) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
