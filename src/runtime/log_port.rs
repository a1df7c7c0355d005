//! How a member of an ensemble makes things durable: in the order asked for, and each reported when it is done.
//!
//! In the server a thread does it, so that a slow disk holds up nobody who waits for a heartbeat; in the
//! simulator it is done at once. A server alone needs neither: there the writer holds the log.

use std::collections::VecDeque;
use std::path::PathBuf;

use jute::Zxid;

use super::log_keeper::{LogKeeper, is_full_disk};
use super::log_thread::LogThread;
use super::peers::Staged;
use crate::store::StoreError;
use crate::zab::{Proposal, Ticket};

/// Bytes of transactions that may wait for the disk before no more are taken.
pub(super) const BEHIND_BYTES: usize = 16 << 20;

/// What became of something asked of the disk.
#[derive(Debug)]
pub enum Report {
    /// It is durable.
    Done(Ticket),
    /// The log does not contain the transaction after which it was to be cut. Nothing was changed.
    CutMissing(Ticket),
    /// The tree, read from disk again after the log was cut to before what the tree holds. Comes before the
    /// ticket that asked for the cut.
    Reloaded(Box<Staged>),
    /// Whether the disk is full: then everything that was asked for waits until there is space.
    Full(bool),
    /// The disk failed, and nothing more is done: [`LogPort::close`] says why.
    Failed,
}

/// Something to do, in its turn.
#[derive(Debug)]
pub(super) enum Job {
    /// Take a transaction into the log.
    Append(Proposal),
    /// Make something durable, and everything before it.
    Persist {
        /// What; `None` once it was handed back.
        ticket: Option<Ticket>,
        /// The tree holds everything up to here.
        applied: Zxid,
        /// The received snapshot that is to be installed.
        file: Option<PathBuf>,
    },
    /// Begin a new log file.
    Roll,
    /// Remove a file that was received and is of no use.
    Discard(PathBuf),
}

impl Job {
    /// How much memory it keeps.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(proposal) => 64 + proposal.payload.len(),
            Self::Persist { .. } | Self::Roll | Self::Discard(_) => 0,
        }
    }
}

/// What a member writes to.
pub enum LogPort {
    /// At once, by whoever asks.
    Inline(Box<Inline>),
    /// By a thread.
    Threaded(LogThread),
}

/// Everything that is done at once, and what became of it.
pub struct Inline {
    keeper: LogKeeper,
    jobs: VecDeque<Job>,
    reports: VecDeque<Report>,
    is_full: bool,
    failed: Option<StoreError>,
}

impl LogPort {
    /// Does everything at once.
    #[must_use]
    pub fn inline(keeper: LogKeeper) -> Self {
        let (jobs, reports) = Default::default();
        Self::Inline(Box::new(Inline { keeper, jobs, reports, is_full: false, failed: None }))
    }

    /// Takes a transaction into the log; durable with the next [`Effect::Log`].
    pub fn append(&mut self, proposal: Proposal) {
        self.ask(Job::Append(proposal));
    }

    /// Makes something durable. The tree holds everything up to `applied`; `file` is the received snapshot, where
    /// that is to be installed.
    pub fn persist(&mut self, ticket: Ticket, applied: Zxid, file: Option<PathBuf>) {
        self.ask(Job::Persist { ticket: Some(ticket), applied, file });
    }

    /// Begins a new log file: a snapshot is about to be taken.
    pub fn roll(&mut self) {
        self.ask(Job::Roll);
    }

    /// Removes a received snapshot that is not to be installed.
    pub fn discard(&mut self, file: PathBuf) {
        self.ask(Job::Discard(file));
    }

    fn ask(&mut self, job: Job) {
        match self {
            Self::Inline(inline) => inline.jobs.push_back(job),
            Self::Threaded(thread) => thread.ask(job),
        }
    }

    /// Has what was asked for since the last call begun.
    pub fn flush(&mut self) {
        match self {
            Self::Inline(inline) => inline.run(),
            Self::Threaded(thread) => thread.flush(),
        }
    }

    /// The next report of what was done at once. A thread reports into the inbox.
    pub fn next_report(&mut self) -> Option<Report> {
        match self {
            Self::Inline(inline) => inline.reports.pop_front(),
            Self::Threaded(_) => None,
        }
    }

    /// Whether so much waits for the disk that nothing more should be asked of it.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        match self {
            Self::Inline(inline) => inline.is_full,
            Self::Threaded(thread) => thread.waiting_bytes() > BEHIND_BYTES,
        }
    }

    /// Bytes in log files since the last one was begun by [`LogPort::roll`].
    #[must_use]
    pub fn bytes_since_roll(&self) -> u64 {
        match self {
            Self::Inline(inline) => inline.keeper.bytes_since_roll(),
            Self::Threaded(thread) => thread.bytes_since_roll(),
        }
    }

    /// Ends the log of a server that stops, with everything durable that was asked for, unless the disk is full.
    ///
    /// # Errors
    /// The disk failed.
    pub fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Inline(inline) => match inline.failed {
                Some(error) => Err(error),
                None => inline.keeper.close(),
            },
            Self::Threaded(thread) => thread.close(),
        }
    }
}

impl Inline {
    #[cfg(test)]
    pub(super) fn into_keeper(self) -> LogKeeper {
        self.keeper
    }

    /// Does what is to be done, unless the disk is full: then the rest waits for the next call.
    fn run(&mut self) {
        let Self { keeper, jobs, reports, is_full, failed } = self;
        if failed.is_some() {
            return;
        }
        let mut hear = |done: &mut dyn Iterator<Item = Report>| reports.extend(done);
        match keeper.work(jobs, &mut hear).and_then(|()| keeper.settle(&mut hear)) {
            Ok(()) if !*is_full => {}
            Ok(()) => {
                *is_full = false;
                reports.push_back(Report::Full(false));
            }
            Err(error) if is_full_disk(&error) => {
                if !std::mem::replace(is_full, true) {
                    reports.push_back(Report::Full(true));
                }
            }
            Err(error) => {
                *failed = Some(error);
                reports.push_back(Report::Failed);
            }
        }
    }
}
