//! Loading the database, told to the operator and to the metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::store::{self, Directories, Found, Health, Member, Step, StoreError};

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What of the configuration decides how a directory is read.
#[must_use]
pub fn store_options(config: &Config) -> store::Options {
    store::Options {
        data_dir: config.data_dir.clone(),
        log_dir: config.data_log_dir.clone(),
        create_directories: config.datadir_autocreate,
        create_database: config.db_autocreate,
        trust_empty_snapshot: config.snapshot_trust_empty,
        read_bytes_max: config.read_bytes_max(),
        rules: crate::tree::OwnerRules {
            extended_types: config.extended_types_enabled,
            emulate_353: config.emulate_353_ttl_nodes,
        },
        check_digest: config.digest_enabled,
        tail_txns: config.ensemble.tuning.commit_log_count,
    }
}

/// Recovers a directory for a server that is alone.
pub(super) fn load(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &store::Options,
    clock: &dyn Clock,
    metrics: &Metrics,
) -> Result<Found, StoreError> {
    let mut told = Told::new(clock, metrics);
    let recovered = store::recover(disk, directories, options, &mut |step| told.hear(&step))?;
    if let Some(path) = &recovered.removed {
        tracing::info!(path = %path.display(), "removed a log file without any transaction");
    }
    let mut found = recovered.found;
    if found.health == Health::Empty {
        let (snapshots, initialize) = (directories.snapshots.clone(), directories.initialize());
        return Err(StoreError::NoDatabase { snapshots, initialize });
    }
    for session in store::remove_orphans(&mut found.tree, &found.sessions) {
        tracing::info!(%session, "removed the ephemerals of a session that no longer exists");
    }
    told.end(&found);
    Ok(found)
}

/// Recovers a directory for a member of an ensemble.
pub(super) fn load_member(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &store::Options,
    clock: &dyn Clock,
    metrics: &Metrics,
) -> Result<Member, StoreError> {
    let mut told = Told::new(clock, metrics);
    let member = store::recover_member(disk, directories, options, &mut |step| told.hear(&step))?;
    if let Some(damage) = &member.damage {
        tracing::error!(
            "{damage}. Everything was set aside under names that begin with damaged., for you to look at; this \
             server helps nobody to lead until the leader has sent it a snapshot"
        );
    } else if !member.is_trusted {
        tracing::warn!(
            directory = %directories.snapshots.display(),
            "there is no database here, and nothing says that an empty one is right: this server helps nobody to \
             lead until the leader has sent it a snapshot. If this is a new ensemble, create {} on every member",
            directories.initialize().display()
        );
    }
    if let Some(before) = member.epochs.raised_from {
        tracing::warn!(
            from = before,
            to = member.epochs.current,
            "currentEpoch was behind the newest transaction, as a crash during a sync leaves it, and was raised"
        );
    }
    told.end(&member.found);
    Ok(member)
}

/// What is told while a directory is recovered.
struct Told<'a> {
    clock: &'a dyn Clock,
    metrics: &'a Metrics,
    began_ms: i64,
    replay_began_ms: i64,
    last_line_ms: i64,
}

impl<'a> Told<'a> {
    fn new(clock: &'a dyn Clock, metrics: &'a Metrics) -> Self {
        let began_ms = clock.now_ms();
        Self { clock, metrics, began_ms, replay_began_ms: began_ms, last_line_ms: began_ms }
    }

    fn hear(&mut self, step: &Step<'_>) {
        let metrics = self.metrics;
        match step {
            Step::Loading(path) => tracing::info!(path = %path.display(), "loading snapshot"),
            Step::PassedOver(error) => tracing::warn!("{error}; trying an older snapshot"),
            Step::Loaded(..) => {
                self.replay_began_ms = self.clock.now_ms();
                metrics.startup_snap_load_time.observe(self.replay_began_ms - self.began_ms);
            }
            Step::Replaying(progress) => {
                let now = self.clock.now_ms();
                if now - self.last_line_ms >= PROGRESS_INTERVAL.as_millis() as i64 {
                    self.last_line_ms = now;
                    tracing::info!(txns = progress.entries, bytes = progress.bytes, "replaying the log");
                }
            }
            Step::DigestDiffers(zxid) => {
                metrics.digest_mismatches_count.increment();
                if metrics.digest_mismatches_count.value() == 1 {
                    tracing::warn!(
                        %zxid, "the tree differs from the digest in the log; see digest_mismatches_count"
                    );
                }
            }
        }
    }

    fn end(&self, found: &Found) {
        if let Some(torn) = &found.log.torn {
            let mark = found.log.mark.map(|mark| mark.zxid);
            tracing::warn!("cut off the end of the log: {}", torn.describe(found.log.last_zxid, mark));
        }
        let now = self.clock.now_ms();
        let replayed = found.log.progress.entries;
        if found.snapshot.is_some() || replayed > 0 {
            self.metrics.startup_txns_loaded.observe(replayed.cast_signed());
            self.metrics.startup_txns_load_time.observe(now - self.replay_began_ms);
        }
        self.metrics.dbinittime.observe(now - self.began_ms);
        tracing::info!(
            nodes = found.tree.node_count(), sessions = found.sessions.len(), zxid = %found.tree.last_zxid(),
            snapshot = %found.snapshot.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string()),
            replayed, took_ms = now - self.began_ms, "database loaded"
        );
    }
}
