//! From the configuration to each module's own options.

use std::time::Duration;

use super::ServerError;
use crate::auth::{self, digest};
use crate::config::{Config, LogIo, SnapshotCompression};
use crate::net::Limits;
use crate::replica::{Options as ReplicaOptions, SweepOptions};
use crate::request::Options as RequestOptions;
use crate::runtime::budget::Budget;
use crate::runtime::snapshots;
use crate::snapshot::Compression;
use crate::store::Directories;
use crate::tree::AclRules;
use crate::txnlog;

pub(super) fn limits(config: &Config) -> Limits {
    let frame_bytes_max = usize::try_from(config.jute_max_buffer_bytes).unwrap_or(usize::MAX);
    Limits {
        frame_bytes_max,
        requests_max: 1024,
        request_bytes_max: 1 << 20,
        unsent_bytes_max: 1 << 20,
        sessionless: Duration::from_millis(
            u64::try_from(config.sessionless_cnxn_timeout_ms).unwrap_or(10_000),
        ),
    }
}

pub(super) fn auth_options(config: &Config) -> Result<auth::Options, ServerError> {
    let name = &config.digest_auth_algorithm;
    let digest_algorithm = digest::Algorithm::from_java_name(name).ok_or_else(|| {
        ServerError::DigestAlgorithm(format!(
            "DigestAuthenticationProvider.digestAlg={name}: must be one of {}",
            digest::Algorithm::java_names()
        ))
    })?;
    Ok(auth::Options {
        digest_enabled: config.digest_auth_enabled,
        digest_algorithm,
        super_digest: config.super_digest.clone(),
        key_enabled: config.key_auth_enabled,
        ensemble_enabled: config.ensemble_auth_enabled,
        ensemble_names: config.ensemble_auth_names.clone(),
        sasl_enabled: config.sasl.is_scheme,
        sasl: super::sasl::options(&config.sasl)?,
        x509_enabled: config.x509_auth_enabled,
        x509_super_user: config.x509_super_user.clone(),
        required_schemes: config.enforce_auth_enabled.then(|| config.enforce_auth_schemes.clone()),
    })
}

pub(super) fn request_options(config: &Config) -> RequestOptions {
    RequestOptions {
        acl: AclRules {
            skip: config.skip_acl,
            digest: config.digest_auth_enabled,
            key: config.key_auth_enabled,
            sasl: super::sasl::rule(&config.sasl),
            x509: config.x509_auth_enabled,
        },
        extended_types: config.extended_types_enabled,
        enforce_quota: config.enforce_quota,
        digest: config.digest_enabled,
        close_session_lists: config.close_session_txn_enabled,
        reconfig: config
            .raw
            .iter()
            .any(|(key, value)| key == "reconfigEnabled" && value.eq_ignore_ascii_case("true")),
        in_ensemble: config.is_distributed(),
        txn_bytes_max: config.read_bytes_max(),
    }
}

/// What clients together may make the server hold.
pub(super) fn budget(config: &Config) -> Budget {
    let limit = config.global_outstanding_limit.and_then(|limit| usize::try_from(limit).ok());
    Budget::new(usize::try_from(config.client_memory_bytes).unwrap_or(usize::MAX), limit)
}

pub(super) fn replica_options(config: &Config) -> ReplicaOptions {
    ReplicaOptions {
        request: request_options(config),
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        sweep: SweepOptions {
            interval_ms: config.container_check_interval_ms.into(),
            per_minute: config.container_max_per_minute.into(),
            never_used_ms: config.container_max_never_used_ms,
        },
    }
}

pub(super) fn log_options(config: &Config, directories: &Directories) -> txnlog::Options {
    txnlog::Options {
        prealloc_bytes: config.prealloc_size_bytes,
        size_limit_bytes: config.txn_log_size_limit_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        force_sync: config.force_sync,
        fsync_warning_ms: u64::try_from(config.fsync_warning_threshold_ms).unwrap_or(u64::MAX),
        io: match config.log_io {
            LogIo::Mmap => txnlog::Io::Mapped,
            LogIo::Plain => txnlog::Io::Plain,
        },
        ..txnlog::Options::new(directories.logs.clone())
    }
}

pub(super) fn snapshot_options(config: &Config, directories: &Directories) -> snapshots::Options {
    snapshots::Options {
        directory: directories.snapshots.clone(),
        compression: compression(config),
        txns: u64::try_from(config.snap_count).unwrap_or(100_000),
        log_bytes: config.snap_size_limit_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        digest: config.digest_enabled,
        last_zxid: config.serialize_last_processed_zxid,
    }
}

pub(super) const fn compression(config: &Config) -> Compression {
    match config.snapshot_compression {
        SnapshotCompression::None => Compression::None,
        SnapshotCompression::Gzip => Compression::Gzip,
        SnapshotCompression::Snappy => Compression::Snappy,
    }
}
