//! What a member's disk is asked to do, in its order: the log, the epochs, cuts and snapshots of a leader.

use std::collections::VecDeque;
use std::iter::once;
use std::path::Path;
use std::sync::Arc;

use jute::Zxid;

use super::log_port::{Job, Report};
use super::peers::Staged;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::store::{self, Directories, Options, StoreError, epochs};
use crate::txnlog::Log;
use crate::zab::{Effect, Ticket};

/// Hears what is done, together where it is done together.
pub(super) type Hearer<'a> = &'a mut dyn FnMut(&mut dyn Iterator<Item = Report>);

/// Whether the same may be tried again once there is space.
pub(super) fn is_full_disk(error: &StoreError) -> bool {
    match error {
        StoreError::Log(error) => error.is_retryable(),
        StoreError::Disk(error) => error.is_full(),
        StoreError::Snapshot(error) => error.is_full(),
        _ => false,
    }
}

/// The log of a member and what belongs to it.
pub struct LogKeeper {
    log: Log,
    disk: Arc<dyn Disk>,
    directories: Arc<Directories>,
    options: Options,
    metrics: Arc<Metrics>,
    /// Waiting for the next sync.
    tickets: Vec<Ticket>,
    /// Transactions appended since the last sync.
    unsynced: u64,
    /// Whether transactions go into the log.
    logs: bool,
}

impl LogKeeper {
    /// Keeps a log that is open after the last recovered transaction. `options` are those that the directories
    /// were read with.
    #[must_use]
    pub const fn new(
        log: Log,
        disk: Arc<dyn Disk>,
        directories: Arc<Directories>,
        options: Options,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { log, disk, directories, options, metrics, tickets: Vec::new(), unsynced: 0, logs: true }
    }

    /// For an observer that keeps no log (`syncEnabled=false`): nobody counts on what it has, and after a restart the
    /// leader sends it what came after its last snapshot. A cut goes on from a new one.
    #[must_use]
    pub fn without_log(self) -> Self {
        Self { logs: false, ..self }
    }

    pub(super) fn bytes_since_roll(&self) -> u64 {
        self.log.bytes_since_roll()
    }

    /// Ends the log. A sync that was broken off may have left an epoch behind: a directory that was closed is one that
    /// the reference opens.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let last = self.log.last_zxid();
        self.log.close()?;
        epochs::Epochs::recover(&*self.disk, &self.directories.snapshots, last)?;
        Ok(())
    }

    /// Does the jobs in their order, up to the last sync, which [`LogKeeper::settle`] does; those that are left when
    /// the disk is full are to be tried again.
    ///
    /// # Errors
    /// The disk is full, or failed.
    pub(super) fn work(&mut self, jobs: &mut VecDeque<Job>, report: Hearer<'_>) -> Result<(), StoreError> {
        while let Some(job) = jobs.front_mut() {
            self.act(job, report)?;
            jobs.pop_front();
        }
        Ok(())
    }

    /// Does a job. Syncs of the log are put off to [`LogKeeper::settle`], so that one serves many.
    fn act(&mut self, job: &mut Job, report: Hearer<'_>) -> Result<(), StoreError> {
        match job {
            Job::Append(_) if !self.logs => {}
            Job::Append(proposal) => {
                self.log.append_encoded(proposal.zxid, &proposal.payload)?;
                self.unsynced += 1;
            }
            Job::Persist { ticket, applied, file } => {
                let Some(effect) = ticket.as_ref().map(Ticket::effect) else { return Ok(()) };
                let is_done = match effect {
                    Effect::Log { .. } => {
                        self.tickets.extend(ticket.take());
                        return Ok(());
                    }
                    effect => {
                        self.settle(report)?;
                        self.carry_out(effect, *applied, file.as_deref(), report)?
                    }
                };
                if let Some(ticket) = ticket.take() {
                    let done = if is_done { Report::Done(ticket) } else { Report::CutMissing(ticket) };
                    report(&mut once(done));
                }
            }
            Job::Roll => {
                self.settle(report)?;
                self.log.roll()?;
            }
            // If this fails, the next start does it.
            Job::Discard(file) => drop(self.disk.remove(file)),
        }
        Ok(())
    }

    /// Makes durable what was appended, and hands the tickets for it back.
    ///
    /// # Errors
    /// The disk is full, or failed.
    pub(super) fn settle(&mut self, report: Hearer<'_>) -> Result<(), StoreError> {
        if self.tickets.is_empty() {
            return Ok(());
        }
        if !self.logs {
            report(&mut self.tickets.drain(..).map(Report::Done));
            return Ok(());
        }
        let synced = self.log.sync()?;
        let took_ms = i64::try_from(synced.duration.as_millis()).unwrap_or(i64::MAX);
        self.metrics.fsynctime.observe(took_ms);
        if synced.slow {
            tracing::warn!(
                took_ms,
                bytes = synced.bytes,
                "syncing the transaction log took longer than fsync.warningthresholdms; the leader waits for a \
                 quorum of such syncs, so look at the disk"
            );
        }
        let txns = std::mem::take(&mut self.unsynced);
        if txns > 0 {
            self.metrics.sync_processor_request_queued.add(txns);
            self.metrics.sync_processor_batch_size.observe(txns.cast_signed());
        }
        report(&mut self.tickets.drain(..).map(Report::Done));
        Ok(())
    }

    /// False when the log lacks the transaction after which it is to be cut.
    fn carry_out(
        &mut self,
        effect: Effect,
        applied: Zxid,
        file: Option<&Path>,
        report: Hearer<'_>,
    ) -> Result<bool, StoreError> {
        let Self { log, disk, directories, options, logs, .. } = self;
        match effect {
            Effect::Log { .. } => {}
            Effect::Truncate { .. } if !*logs => return Ok(false),
            Effect::Truncate { to } => {
                if !store::truncate(disk, directories, log, to)? {
                    return Ok(false);
                }
                tracing::info!(%to, "the log was cut, as the leader wants it");
                if applied > to {
                    let found = store::read(disk, directories, options, &mut |_| {})?;
                    let staged = Box::new(Staged { tree: found.tree, sessions: found.sessions });
                    report(&mut once(Report::Reloaded(staged)));
                }
            }
            Effect::Install { zxid } => {
                let file = file.expect("a snapshot is installed after it was received");
                store::install(disk, directories, log, zxid, file)?;
                tracing::info!(%zxid, "the leader's snapshot takes the place of what was here");
            }
            Effect::Accepted { epoch } => epochs::write_accepted(&**disk, &directories.snapshots, epoch)?,
            Effect::Current { epoch } => epochs::write_current(&**disk, &directories.snapshots, epoch)?,
        }
        Ok(true)
    }
}
