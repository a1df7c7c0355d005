//! The next log file, made ready before it is needed.
//!
//! Allocating and syncing a file takes milliseconds, and a full disk is better noticed before the
//! space is needed. So a thread other than the log's own, a [`Keeper`], calls [`Spare::prepare`]
//! whenever the file was taken; the log takes it from here, and makes one itself when there is none.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::segment::{BLOCK_BYTES, Extent, Segment};
use super::{LogError, Options};
use crate::disk::Disk;

/// The name of a file that is ready but not in use. No reader takes it for a log.
pub const SPARE_NAME: &str = "spare.log";
/// How long a [`Keeper`] leaves a full disk alone between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// A handle to the place where the next log file waits. Clones share it.
#[derive(Clone)]
pub struct Spare {
    disk: Arc<dyn Disk>,
    options: Options,
    place: Arc<Place>,
}

#[derive(Default)]
struct Place {
    /// Held while the file is made.
    held: Mutex<Held>,
    /// The file was taken, or the keeper is to stop.
    changed: Condvar,
    short: AtomicBool,
}

#[derive(Default)]
struct Held {
    ready: Option<Segment>,
    stopping: bool,
}

impl Spare {
    pub(super) fn new(disk: Arc<dyn Disk>, options: Options) -> Self {
        Self { disk, options, place: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.options.dir.join(SPARE_NAME)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.place.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next file ready if it is not. Returns at once when allocation ahead is off.
    ///
    /// # Errors
    /// [`LogError::Full`] is the early warning that the log will soon have to stop.
    pub fn prepare(&self) -> Result<(), LogError> {
        let mut held = self.held();
        if held.ready.is_none() && !held.stopping && self.options.prealloc_bytes > 0 {
            discard_spare(&*self.disk, &self.options.dir)?;
            let created = Segment::create(&*self.disk, &self.path(), &self.options, Extent::Whole);
            self.place.short.store(created.is_err(), Ordering::Release);
            held.ready = Some(created?);
        }
        Ok(())
    }

    /// Starts a thread that makes the next file ready, at once and whenever it was taken. It calls
    /// `report` with the first of several failures in a row, and with `None` when they are over.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn keep(&self, report: impl FnMut(Option<LogError>) + Send + 'static) -> std::io::Result<Keeper> {
        let mut thread = None;
        if self.options.prealloc_bytes > 0 {
            let spare = self.clone();
            let run = move || spare.keep_ready(report);
            thread = Some(thread::Builder::new().name("log-spare".to_owned()).spawn(run)?);
        }
        Ok(Keeper { spare: self.clone(), thread })
    }

    fn keep_ready(&self, mut report: impl FnMut(Option<LogError>)) {
        let mut failing = false;
        loop {
            let failed = self.prepare().err();
            let is_news = failing != failed.is_some();
            failing = failed.is_some();
            if is_news {
                report(failed);
            }
            let held = self.held();
            let changed = &self.place.changed;
            let held = if failing {
                let waited = changed.wait_timeout_while(held, RETRY, |held| !held.stopping);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let taken = changed.wait_while(held, |held| held.ready.is_some() && !held.stopping);
                taken.unwrap_or_else(PoisonError::into_inner)
            };
            if held.stopping {
                return;
            }
        }
    }

    /// Removes the file that is ready, durably, and makes no other: the server stops, and backups of its
    /// directory need not hold an empty file of this size.
    pub(super) fn close(&self) -> Result<(), LogError> {
        let mut held = self.held();
        held.stopping = true;
        self.place.changed.notify_all();
        if held.ready.take().is_some() {
            discard_spare(&*self.disk, &self.options.dir)?;
        }
        Ok(())
    }

    /// Whether the last attempt failed: the log will stop when its current file is full. For reports
    /// to the operator.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.place.short.load(Ordering::Acquire)
    }

    /// Whether the next file can be taken at once.
    pub(super) fn is_ready(&self) -> bool {
        match self.place.held.try_lock() {
            Ok(held) => held.ready.is_some(),
            Err(TryLockError::Poisoned(held)) => held.into_inner().ready.is_some(),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// The ready file under its final name, which is not durable yet.
    pub(super) fn take(&self, name: &Path) -> Result<Option<Segment>, LogError> {
        let mut held = self.held();
        if held.ready.is_some() {
            // A longer name may need a block of the directory that is not there.
            let renamed = self.disk.rename(&self.path(), name);
            renamed.map_err(|error| LogError::of_allocation(error, BLOCK_BYTES))?;
        }
        let taken = held.ready.take();
        self.place.changed.notify_all();
        Ok(taken.map(|segment| segment.renamed(name)))
    }
}

/// Keeps the next file ready while it lives. Dropping it waits for a file that is being made: whoever
/// opens the directory next must not meet it.
pub struct Keeper {
    spare: Spare,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.spare.held().stopping = true;
        self.spare.place.changed.notify_all();
        // A panic was printed by the thread itself.
        let _ = thread.join();
    }
}

/// Removes the file, durably: an earlier process may have left it.
pub(super) fn discard_spare(disk: &dyn Disk, directory: &Path) -> Result<(), LogError> {
    match disk.remove(&directory.join(SPARE_NAME)) {
        Ok(()) => Ok(disk.sync_dir(directory)?),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
