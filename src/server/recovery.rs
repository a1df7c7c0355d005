//! From what is on disk to a tree and its sessions (reference: `FileTxnSnapLog.restore`,
//! `ZooKeeperServer.loadData`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jute::records::data::{Acl, StatPersisted};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::directories::Directories;
use super::error::ServerError;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::snapshot::{self, CANDIDATES_MAX, SnapshotError, Visitor};
use crate::tree::{OwnerRules, Tree, digest};
use crate::txnlog::{self, Gaps};

/// What recovery found.
pub(super) struct Recovered {
    pub(super) tree: Tree,
    /// Sessions with their timeouts in milliseconds.
    pub(super) sessions: BTreeMap<SessionId, i32>,
    /// The snapshot it began with, if there was one.
    pub(super) snapshot: Option<Zxid>,
}

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Loads the newest snapshot that can be loaded and replays the log after it.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    config: &Config,
    clock: &dyn Clock,
    metrics: &Metrics,
) -> Result<Recovered, ServerError> {
    let rules = OwnerRules {
        extended_types: config.extended_types_enabled,
        emulate_353: config.emulate_353_ttl_nodes,
    };
    let began = clock.now_ms();
    snapshot::discard_unfinished(disk.as_ref(), &directories.snapshots)?;
    let initialize = config.data_dir.join("initialize");
    let was_marked_empty = match disk.remove(&initialize) {
        Ok(()) => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(error.into()),
    };
    let loaded = load_newest_snapshot(disk, directories, config, rules)?;
    metrics.startup_snap_load_time.observe(clock.now_ms() - began);
    let (mut recovering, snapshot) = match loaded {
        Some((recovering, zxid)) => (recovering, Some(zxid)),
        None => {
            refuse_log_without_snapshot(disk.as_ref(), &directories.logs, config)?;
            if !was_marked_empty && !config.db_autocreate {
                return Err(ServerError::Recovery(format!(
                    "{}: there is no database, and zookeeper.db.autocreate is false; create the file {} to \
                     start with an empty one",
                    directories.snapshots.display(),
                    initialize.display()
                )));
            }
            (Recovering::new(Tree::new(rules)), None)
        }
    };
    let replay_began = clock.now_ms();
    let after = recovering.tree.last_zxid();
    let mut last_line = replay_began;
    let recovered = {
        let recovering = &mut recovering;
        txnlog::recover(
            disk,
            &directories.logs,
            after,
            Gaps::Refuse,
            &mut |entry| recovering.replay(entry, config.digest_enabled, metrics),
            &mut |progress| {
                let now = clock.now_ms();
                if now - last_line >= PROGRESS_INTERVAL.as_millis() as i64 {
                    last_line = now;
                    tracing::info!(txns = progress.entries, bytes = progress.bytes, "replaying the log");
                }
            },
        )?
    };
    if let Some(torn) = &recovered.torn {
        tracing::info!(
            path = %torn.path.display(), offset = torn.offset, problem = torn.problem,
            "the last write to the log was cut short; what was acknowledged is whole"
        );
    }
    if let Some(path) = &recovered.removed {
        tracing::info!(path = %path.display(), "removed a log file without any transaction");
    }
    let now = clock.now_ms();
    if snapshot.is_some() || recovered.progress.entries > 0 {
        metrics.startup_txns_loaded.observe(recovered.progress.entries.cast_signed());
        metrics.startup_txns_load_time.observe(now - replay_began);
    }
    metrics.dbinittime.observe(now - began);
    let Recovering { mut tree, sessions, .. } = recovering;
    let orphans: Vec<_> = tree
        .ephemerals()
        .map(|(session, _)| session)
        .filter(|session| !sessions.contains_key(session))
        .collect();
    for session in orphans {
        tracing::info!(%session, "removing the ephemerals of a session that no longer exists");
        tree.kill_session(session);
    }
    tracing::info!(
        nodes = tree.node_count(), sessions = sessions.len(), zxid = %tree.last_zxid(),
        snapshot = %snapshot.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string()),
        replayed = recovered.progress.entries, took_ms = now - began, "database loaded"
    );
    Ok(Recovered { tree, sessions, snapshot })
}

/// Tries snapshots, newest first. `None` when there is none at all.
fn load_newest_snapshot(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    config: &Config,
    rules: OwnerRules,
) -> Result<Option<(Recovering, Zxid)>, ServerError> {
    let field_bytes_max = config.read_bytes_max();
    let candidates = snapshot::candidates(disk.as_ref(), &directories.snapshots, CANDIDATES_MAX)?;
    let mut last_error = None;
    for candidate in &candidates {
        tracing::info!(path = %candidate.path.display(), "loading snapshot");
        let mut recovering = Recovering::new(Tree::for_loading(rules));
        let outcome = snapshot::load(disk.as_ref(), &candidate.path, field_bytes_max, &mut recovering)
            .and_then(|loaded| {
                recovering.tree.finish_loading(candidate.zxid).map_err(|problem| SnapshotError::Damaged {
                    path: candidate.path.clone(),
                    offset: 0,
                    problem,
                })?;
                Ok(loaded)
            });
        match outcome {
            Ok(loaded) => {
                // What the log goes on from must not vanish: an earlier process may have died before it
                // synced the name, and the reference syncs neither name nor content.
                disk.open_read(&candidate.path)?.sync()?;
                disk.sync_dir(&directories.snapshots)?;
                recovering.expected_digest = loaded
                    .digest
                    .filter(|(zxid, version, _)| {
                        *version == digest::VERSION && *zxid >= candidate.zxid && zxid.0 > 0
                    })
                    .map(|(zxid, _, digest)| (zxid, digest.cast_unsigned()));
                return Ok(Some((recovering, candidate.zxid)));
            }
            Err(error) => {
                tracing::warn!("{error}; trying an older snapshot");
                last_error = Some(error);
            }
        }
    }
    last_error.map_or(Ok(None), |error| Err(error.into()))
}

fn refuse_log_without_snapshot(disk: &dyn Disk, logs: &Path, config: &Config) -> Result<(), ServerError> {
    let has_log = disk.list(logs)?.iter().any(|name| txnlog::format::zxid_of(name).is_some());
    if has_log && !config.snapshot_trust_empty {
        return Err(ServerError::Recovery(format!(
            "{}: there are transaction logs but no valid snapshot, so something is broken. If this directory \
             was written by 3.4 and never had a snapshot, start once with snapshot.trust.empty=true; \
             otherwise restore the snapshots that belong to these logs",
            logs.display()
        )));
    }
    Ok(())
}

/// A database on its way up.
struct Recovering {
    tree: Tree,
    sessions: BTreeMap<SessionId, i32>,
    /// The digest that the snapshot promises for a later zxid.
    expected_digest: Option<(Zxid, u64)>,
}

impl Recovering {
    const fn new(tree: Tree) -> Self {
        Self { tree, sessions: BTreeMap::new(), expected_digest: None }
    }

    fn replay(&mut self, entry: TxnEntry, check_digest: bool, metrics: &Metrics) {
        match &entry.body {
            TxnBody::CreateSession(txn) => {
                self.sessions.insert(entry.header.client_id, txn.time_out);
            }
            TxnBody::CloseSession(_) => {
                self.sessions.remove(&entry.header.client_id);
            }
            _ => {}
        }
        let zxid = entry.header.zxid;
        let logged = entry.digest.clone();
        self.tree.replay(entry);
        if !check_digest {
            return;
        }
        // Until the replay has passed what the fuzzy snapshot already held, digests cannot agree.
        let expected = match self.expected_digest {
            Some((at, digest)) if at == zxid => {
                self.expected_digest = None;
                Some(digest)
            }
            Some((at, _)) if at > zxid => None,
            _ => logged
                .filter(|digest| digest.version == digest::VERSION)
                .map(|d| d.tree_digest.cast_unsigned()),
        };
        if expected.is_some_and(|expected| expected != self.tree.digest()) {
            metrics.digest_mismatches_count.increment();
            if metrics.digest_mismatches_count.value() == 1 {
                tracing::warn!(%zxid, "the tree differs from the digest in the log; see digest_mismatches_count");
            }
        }
    }
}

impl Visitor for Recovering {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.sessions.insert(id, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.tree.load_acl(id, acl);
        Ok(())
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        self.tree.load_node(path, data, acl, &stat)
    }
}
