//! Loading the database, told to the operator and to the metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::store::{self, Directories, Found, Health, Step, StoreError};

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
    let began = clock.now_ms();
    let (mut replay_began, mut last_line) = (began, began);
    let recovered = store::recover(disk, directories, options, &mut |step| match step {
        Step::Loading(path) => tracing::info!(path = %path.display(), "loading snapshot"),
        Step::PassedOver(error) => tracing::warn!("{error}; trying an older snapshot"),
        Step::Loaded(..) => {
            replay_began = clock.now_ms();
            metrics.startup_snap_load_time.observe(replay_began - began);
        }
        Step::Replaying(progress) => {
            let now = clock.now_ms();
            if now - last_line >= PROGRESS_INTERVAL.as_millis() as i64 {
                last_line = now;
                tracing::info!(txns = progress.entries, bytes = progress.bytes, "replaying the log");
            }
        }
        Step::DigestDiffers(zxid) => {
            metrics.digest_mismatches_count.increment();
            if metrics.digest_mismatches_count.value() == 1 {
                tracing::warn!(%zxid, "the tree differs from the digest in the log; see digest_mismatches_count");
            }
        }
    })?;
    if let Some(path) = &recovered.removed {
        tracing::info!(path = %path.display(), "removed a log file without any transaction");
    }
    let mut found = recovered.found;
    if found.health == Health::Empty {
        let (snapshots, initialize) = (directories.snapshots.clone(), directories.initialize());
        return Err(StoreError::NoDatabase { snapshots, initialize });
    }
    if let Some(torn) = &found.log.torn {
        let mark = found.log.mark.map(|mark| mark.zxid);
        tracing::warn!("cut off the end of the log: {}", torn.describe(found.log.last_zxid, mark));
    }
    let now = clock.now_ms();
    let replayed = found.log.progress.entries;
    if found.snapshot.is_some() || replayed > 0 {
        metrics.startup_txns_loaded.observe(replayed.cast_signed());
        metrics.startup_txns_load_time.observe(now - replay_began);
    }
    metrics.dbinittime.observe(now - began);
    for session in store::remove_orphans(&mut found.tree, &found.sessions) {
        tracing::info!(%session, "removed the ephemerals of a session that no longer exists");
    }
    tracing::info!(
        nodes = found.tree.node_count(), sessions = found.sessions.len(), zxid = %found.tree.last_zxid(),
        snapshot = %found.snapshot.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string()),
        replayed, took_ms = now - began, "database loaded"
    );
    Ok(found)
}
