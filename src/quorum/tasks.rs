//! What runs for the driver: tasks of the runtime, and threads for what reads files or walks the tree. All of it
//! ends with the driver.

use std::future::Future;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long the end of the driver waits for its tasks: they end at their next step.
const PATIENCE: Duration = Duration::from_secs(5);

/// All of them.
pub(super) struct Tasks {
    runtime: Handle,
    /// Cancelled when everything is to end.
    pub(super) stop: CancellationToken,
    running: Mutex<Running>,
}

/// `None` once everything is to end.
type Running = Option<Alive>;

struct Alive {
    /// Each task has a clone: when all are gone, so are the tasks.
    tasks: Sender<()>,
    ended: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Tasks {
    pub(super) fn new(runtime: Handle) -> Self {
        let (tasks, ended) = mpsc::channel();
        let alive = Alive { tasks, ended, threads: Vec::new() };
        Self { runtime, stop: CancellationToken::new(), running: Mutex::new(Some(alive)) }
    }

    /// Runs a task until it ends or everything does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(alive) = running.as_ref().map(|alive| alive.tasks.clone()) else { return };
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
            drop(alive);
        });
    }

    /// Runs something that may wait. It must end once the task that it works for has ended.
    ///
    /// # Errors
    /// As the system reports.
    pub(super) fn thread(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Alive { threads, .. }) = &mut *running {
            threads.retain(|thread| !thread.is_finished());
            threads.push(std::thread::Builder::new().name(name.into()).spawn(work)?);
        }
        Ok(())
    }

    /// Ends everything, and waits for it.
    pub(super) fn end(&self) {
        self.stop.cancel();
        let alive = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Alive { tasks, ended, threads }) = alive else { return };
        drop(tasks);
        // No message ever comes: it fails at once when the last task is gone.
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("connections to other servers did not end within {PATIENCE:?}");
        }
        for thread in threads {
            let _reported_by_itself = thread.join();
        }
    }
}
