//! The thread that writes a member's log: everything that waits goes with one sync, and each report is in the
//! inbox as soon as it is true.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inbox::Inbox;
use super::log_keeper::{LogKeeper, is_full_disk};
use super::log_port::{Job, Report};
use crate::store::StoreError;

/// How long a full disk is left alone between two attempts.
const RETRY: Duration = Duration::from_millis(200);
/// Attempts between two lines in the server's log while the disk stays full.
const REMIND_EVERY: u32 = 300;

/// A member's log on a thread of its own.
pub struct LogThread {
    shared: Arc<Shared>,
    /// Asked for and not yet passed on.
    asked: VecDeque<Job>,
    asked_bytes: usize,
    thread: JoinHandle<Result<(), StoreError>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// Of transactions that were passed on and are not in the log yet.
    waiting_bytes: AtomicUsize,
    bytes_since_roll: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl LogThread {
    /// Starts the thread. It reports into the inbox.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(keeper: LogKeeper, inbox: Arc<Inbox>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker { keeper, inbox, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || worker.run())?;
        Ok(Self { shared, asked: VecDeque::new(), asked_bytes: 0, thread })
    }

    pub(super) fn ask(&mut self, job: Job) {
        self.asked_bytes += job.bytes();
        self.asked.push_back(job);
    }

    /// Passes on what was asked for since the last call.
    pub(super) fn flush(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        self.shared.waiting_bytes.fetch_add(std::mem::take(&mut self.asked_bytes), Ordering::Relaxed);
        let mut queue = self.shared.queue();
        let was_empty = queue.jobs.is_empty();
        queue.jobs.append(&mut self.asked);
        drop(queue);
        if was_empty {
            self.shared.arrived.notify_one();
        }
    }

    /// Bytes of transactions that are not in the log yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.asked_bytes + self.shared.waiting_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_since_roll(&self) -> u64 {
        self.shared.bytes_since_roll.load(Ordering::Relaxed)
    }

    /// Does what was asked for, unless the disk is full, and ends the log.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        self.flush();
        self.shared.queue().is_closed = true;
        self.shared.arrived.notify_one();
        match self.thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for jobs; false when none will come any more.
    fn take(&self, jobs: &mut VecDeque<Job>) -> bool {
        let mut queue = self.queue();
        while queue.jobs.is_empty() && !queue.is_closed {
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        jobs.append(&mut queue.jobs);
        !jobs.is_empty()
    }

    /// Waits until a full disk is to be looked at again; false when the server stops.
    fn wait_for_space(&self) -> bool {
        let queue = self.queue();
        let stops = |queue: &mut Queue| !queue.is_closed;
        let waited = self.arrived.wait_timeout_while(queue, RETRY, stops);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }
}

/// What runs on the thread.
struct Worker {
    keeper: LogKeeper,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self) -> Result<(), StoreError> {
        let mut jobs = VecDeque::new();
        while self.shared.take(&mut jobs) {
            match self.work(&mut jobs) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.inbox.push_disk(Report::Failed);
                    return Err(error);
                }
            }
        }
        self.keeper.close()
    }

    /// Does the jobs, however long the disk is full. False when the server stops meanwhile.
    fn work(&mut self, jobs: &mut VecDeque<Job>) -> Result<bool, StoreError> {
        let mut attempts = 0;
        let mut bytes: usize = jobs.iter().map(Job::bytes).sum();
        loop {
            let Self { keeper, inbox, shared } = &mut *self;
            let mut hear = |done: &mut dyn Iterator<Item = Report>| inbox.push_reports(done);
            let done = keeper.work(jobs, &mut hear).and_then(|()| {
                // Before the last reports: the writer that they wake may be waiting for this.
                shared.waiting_bytes.fetch_sub(std::mem::take(&mut bytes), Ordering::Relaxed);
                keeper.settle(&mut hear)
            });
            self.shared.bytes_since_roll.store(self.keeper.bytes_since_roll(), Ordering::Relaxed);
            match done {
                Ok(()) => {
                    if attempts > 0 {
                        tracing::info!("there is space on the disk again; writes go on");
                        self.inbox.push_disk(Report::Full(false));
                    }
                    return Ok(true);
                }
                Err(error) if is_full_disk(&error) => {
                    if attempts == 0 {
                        self.inbox.push_disk(Report::Full(true));
                    }
                    if attempts % REMIND_EVERY == 0 {
                        let waiting = jobs.len();
                        tracing::error!(
                            waiting,
                            "the disk is full, so nothing is acknowledged to the others, and reads go on: {error}"
                        );
                    }
                    attempts += 1;
                    if !self.shared.wait_for_space() {
                        tracing::warn!("stopping with a full disk; what waits for space is not carried out");
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jute::Zxid;

    use super::super::log_port_test::keeper;
    use super::*;
    use crate::logging::testing::logged_by;
    use crate::runtime::inbox::Taken;
    use crate::zab::Proposal;

    /// The server's log is not to fill up, too.
    #[test]
    fn a_full_disk_is_told_of_at_once_and_only_once_by_a_server_that_stops() {
        let (faults, keeper, _held) = keeper();
        faults.set_full(true);
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::new(Shared::default());
        shared.queue().is_closed = true;
        let mut worker = Worker { keeper, inbox: Arc::clone(&inbox), shared };
        let large = Proposal { zxid: Zxid(1), payload: vec![0; 1 << 20].into() };
        let mut jobs = VecDeque::from([Job::Append(large)]);
        let (lines, goes_on) = logged_by(|| worker.work(&mut jobs).unwrap());
        assert!(!goes_on);
        assert_eq!(lines.matches("the disk is full").count(), 1, "{lines}");
        assert_eq!(lines.matches("stopping with a full disk").count(), 1, "{lines}");
        let mut taken = Taken::default();
        inbox.take(&mut taken, Duration::ZERO);
        assert!(matches!(taken.disk[..], [Report::Full(true)]), "{:?}", taken.disk);
    }
}
