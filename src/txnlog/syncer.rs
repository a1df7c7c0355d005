//! The thread that owns the log: take all that waits, append, one sync, report, repeat. That is group
//! commit: while one sync runs, the next batch gathers in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jute::Zxid;
use jute::txn::TxnEntry;

use super::{Log, LogError, Synced};

/// Entries in one batch at most, as the reference's `maxBatchSize`.
const BATCH_ENTRIES_MAX: usize = 1000;
/// How long a full disk is left alone between two attempts.
const RETRY: Duration = Duration::from_millis(200);

/// What the thread tells its owner. Called on the log's thread: hand it over and return.
#[derive(Debug)]
pub enum Durability {
    /// Every transaction up to this one is durable.
    Reached(Zxid, Synced),
    /// The disk is full. Appending goes on by itself when there is space; until then nothing more
    /// becomes durable.
    Blocked(LogError),
    /// The log has failed for good, and the thread has ended. The process should end too.
    Failed(LogError),
}

enum Command {
    Append(Arc<TxnEntry>),
    Roll,
}

/// A running log thread. Dropping it lets the thread finish what is queued.
pub struct Syncer {
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<Log>>,
    /// Ends the wait for space on a full disk.
    stopping: Arc<AtomicBool>,
}

impl Syncer {
    /// Starts the thread. At most `queue_max` entries wait; then [`Syncer::append`] blocks.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        log: Log,
        queue_max: usize,
        report: impl FnMut(Durability) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(queue_max);
        let stopping = Arc::new(AtomicBool::new(false));
        let owner = Owner { log, report, stopping: Arc::clone(&stopping) };
        let thread = thread::Builder::new().name("txnlog".to_owned()).spawn(move || owner.run(&receiver))?;
        Ok(Self { commands: Some(sender), thread: Some(thread), stopping })
    }

    /// Queues a transaction. `false`: the log has failed, as was reported.
    #[must_use]
    pub fn append(&self, entry: Arc<TxnEntry>) -> bool {
        self.send(Command::Append(entry))
    }

    /// Queues the end of the current file. `false`: the log has failed, as was reported.
    #[must_use]
    pub fn roll(&self) -> bool {
        self.send(Command::Roll)
    }

    fn send(&self, command: Command) -> bool {
        self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }

    /// Waits until the queue is done and gives the log back, to truncate it for example. `None` if the
    /// thread panicked.
    #[must_use]
    pub fn stop(mut self) -> Option<Log> {
        self.join()
    }

    fn join(&mut self) -> Option<Log> {
        self.stopping.store(true, Ordering::Release);
        self.commands = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // A panic was printed by the thread itself.
        let _ = self.join();
    }
}

/// The thread's side.
struct Owner<R> {
    log: Log,
    report: R,
    stopping: Arc<AtomicBool>,
}

impl<R: FnMut(Durability)> Owner<R> {
    fn run(mut self, commands: &Receiver<Command>) -> Log {
        // Its failures need no report: the log meets them again, with the transaction they concern.
        // Without the thread the log makes each file itself.
        let keeper = self.log.spare().keep(|_| {});
        while let Ok(first) = commands.recv() {
            if let Err(error) = self.batch(first, commands) {
                (self.report)(Durability::Failed(error));
                break;
            }
        }
        drop(keeper);
        self.log
    }

    fn batch(&mut self, first: Command, commands: &Receiver<Command>) -> Result<(), LogError> {
        let mut next = Ok(first);
        let mut count = 0;
        let mut synced = Synced::default();
        while let Ok(command) = next {
            match command {
                Command::Append(entry) => self.append(&entry)?,
                Command::Roll => synced += self.with_space(Log::roll)?,
            }
            count += 1;
            next = if count < BATCH_ENTRIES_MAX { commands.try_recv() } else { Err(TryRecvError::Empty) };
        }
        synced += self.with_space(Log::sync)?;
        (self.report)(Durability::Reached(self.log.durable_zxid(), synced));
        Ok(())
    }

    /// Appends, waiting for space as long as it takes. What was appended before is synced first, so
    /// that only this transaction and those behind it wait.
    fn append(&mut self, entry: &TxnEntry) -> Result<(), LogError> {
        match self.log.append(entry) {
            Err(error) if error.is_retryable() => {
                let synced = self.with_space(Log::sync)?;
                (self.report)(Durability::Reached(self.log.durable_zxid(), synced));
                self.with_space(|log| log.append(entry))
            }
            other => other,
        }
    }

    /// Repeats what finds the disk full until there is space, or the thread is to stop.
    fn with_space<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Log) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut reported = false;
        loop {
            match attempt(&mut self.log) {
                Err(error) if error.is_retryable() && !self.stopping.load(Ordering::Acquire) => {
                    if !reported {
                        (self.report)(Durability::Blocked(error));
                        reported = true;
                    }
                    thread::sleep(RETRY);
                }
                other => return other,
            }
        }
    }
}
