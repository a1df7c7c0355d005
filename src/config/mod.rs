//! What the operator asked for.
//!
//! `zoo.cfg`, `-D` flags and the environment become one immutable [`Config`]; a bad value becomes one
//! [`ConfigError`] that names file, line and key. Nothing here acts on a setting: `server.rs` copies
//! the fields into each module's own options.
//!
//! - [`properties`]: the syntax, with line numbers.
//! - [`keys`]: every key, one row each.
//! - [`dynamic`]: the members of an ensemble; [`ensemble`]: how a server is one of them.
//! - [`jaas`]: login configurations; [`sasl`]: what is taken from them.
//! - `source`: which of several settings of a key counts.
//! - `read`: settings to fields, and the rules between them.
//!
//! Reference: `QuorumPeerConfig`, `ServerConfig`, and the system properties of the server's classes.

pub mod dynamic;
pub mod ensemble;
mod error;
pub mod jaas;
pub mod keys;
pub mod krb5;
pub mod properties;
mod read;
pub mod sasl;
#[cfg(test)]
mod security_keys_test;
mod source;
#[cfg(test)]
mod tests;
pub mod tuning;

use std::path::PathBuf;

pub use error::ConfigError;
pub use source::Environment;

use dynamic::{Membership, Role};
use ensemble::Ensemble;
pub use read::ReplyCacheSizes;

use crate::secret::Secret;

/// Everything the server was asked for. Immutable; times in milliseconds and sizes in bytes unless
/// the name says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Directory of snapshots; files live in `version-2` below it.
    pub data_dir: PathBuf,
    /// Directory of the transaction log; `data_dir` unless set.
    pub data_log_dir: PathBuf,
    /// Plain client port; 0 lets the system choose. None when only a secure port is wanted.
    pub client_port: Option<u16>,
    /// Host or address to bind `client_port` to; None means every interface.
    pub client_port_address: Option<String>,
    /// TLS client port.
    pub secure_client_port: Option<u16>,
    /// Host or address to bind `secure_client_port` to.
    pub secure_client_port_address: Option<String>,
    /// What the counters of the caches of replies go by.
    pub reply_caches: ReplyCacheSizes,
    /// The unit of time; above 0.
    pub tick_time_ms: i32,
    /// Smallest session timeout granted; *min ≤ max*.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout granted.
    pub max_session_timeout_ms: i32,
    /// Connections per client address; 0 means no limit.
    pub max_client_cnxns: i32,
    /// Connections in all; 0 means no limit.
    pub max_cnxns: i32,
    /// Backlog of the listening sockets; None leaves it to the system.
    pub client_port_listen_backlog: Option<i32>,
    /// Keepalive on client sockets.
    pub client_tcp_keepalive: bool,
    /// Close a connection that has not opened a session after this time.
    pub sessionless_cnxn_timeout_ms: i32,
    /// Requests in flight above which busy connections are not read.
    pub global_outstanding_limit: Option<i32>,
    /// Bytes that all clients together may make the server hold: requests that wait, unread replies.
    pub client_memory_bytes: i64,

    /// How the log reaches its file; our own key `oxkeeper.log.io`.
    pub log_io: LogIo,
    /// Log space allocated at a time; 0 or less turns preallocation off.
    pub prealloc_size_bytes: i64,
    /// Transactions between snapshots, at least 2.
    pub snap_count: i32,
    /// Log bytes between snapshots; None turns this trigger off.
    pub snap_size_limit_bytes: Option<i64>,
    /// Log file size after which a new one begins; None means only snapshots begin one.
    pub txn_log_size_limit_bytes: Option<i64>,
    /// Acknowledge only after a sync. Turning it off risks acknowledged data.
    pub force_sync: bool,
    /// Warn about a sync that takes longer.
    pub fsync_warning_threshold_ms: i64,
    /// Wait this long for more transactions before a sync.
    pub flush_delay_ms: i64,
    /// Wait this long on an empty queue before the sync of what is there.
    pub max_write_queue_poll_time_ms: i64,
    /// Sync when this many requests wait; 0 or less turns the trigger off.
    pub max_batch_size: i32,
    /// Snapshots that purging keeps, at least 3.
    pub autopurge_snap_retain_count: i32,
    /// Hours between purges; None turns purging off.
    pub autopurge_purge_interval_hours: Option<i32>,
    /// Compression of snapshot files.
    pub snapshot_compression: SnapshotCompression,
    /// Start from a log without any snapshot.
    pub snapshot_trust_empty: bool,
    /// Create the data directories when they are missing.
    pub datadir_autocreate: bool,
    /// Start with an empty database when there is none.
    pub db_autocreate: bool,
    /// Append the last zxid to snapshots.
    pub serialize_last_processed_zxid: bool,

    /// Keep and verify the digest of the tree.
    pub digest_enabled: bool,
    /// Record the ephemeral nodes in a closeSession transaction.
    pub close_session_txn_enabled: bool,
    /// Allow TTL nodes.
    pub extended_types_enabled: bool,
    /// Also read the 3.5.3 encoding of TTL owners.
    pub emulate_353_ttl_nodes: bool,
    /// Refuse writes over a hard quota.
    pub enforce_quota: bool,
    /// Time between sweeps for empty containers and expired TTL nodes.
    pub container_check_interval_ms: i32,
    /// Deletions per minute of those sweeps.
    pub container_max_per_minute: i32,
    /// Delete containers that never had a child after this time; 0 never.
    pub container_max_never_used_ms: i64,

    /// Check no ACL at all.
    pub skip_acl: bool,
    /// Serve the digest scheme.
    pub digest_auth_enabled: bool,
    /// Java name of its hash: `SHA1`, `SHA-256`, …
    pub digest_auth_algorithm: String,
    /// `user:hash` that gains the super identity.
    pub super_digest: Option<Secret>,
    /// Serve the key scheme.
    pub key_auth_enabled: bool,
    /// Serve the ensemble scheme.
    pub ensemble_auth_enabled: bool,
    /// Names that the ensemble scheme lets pass; None lets every name pass.
    pub ensemble_auth_names: Option<Vec<String>>,
    /// Serve the x509 scheme.
    pub x509_auth_enabled: bool,
    /// Subject of the certificate that gains the super identity.
    pub x509_super_user: Option<String>,
    /// TLS on client ports; None when no port speaks it.
    pub tls: Option<Tls>,
    /// TLS between members; None when they do not speak it.
    pub peer_tls: Option<PeerTls>,
    /// Refuse requests of connections that have not authenticated with one of the schemes.
    pub enforce_auth_enabled: bool,
    /// Those schemes; not empty when `enforce_auth_enabled`.
    pub enforce_auth_schemes: Vec<String>,
    /// How clients prove who they are by SASL.
    pub sasl: sasl::Sasl,
    /// The login configuration, which holds passwords.
    pub login_file: Option<PathBuf>,

    /// Whether there is an audit log, and in which file if not among the lines of the server.
    pub audit: Option<Option<PathBuf>>,

    /// Largest frame and field accepted.
    pub jute_max_buffer_bytes: i32,
    /// Allowance above it when records are read back, at least 1024.
    pub jute_max_buffer_extra_bytes: i32,
    /// Bytes of large requests in flight above which more are refused.
    pub large_request_max_bytes: i32,
    /// Size above which a request is large; None turns the check off.
    pub large_request_threshold_bytes: Option<i32>,
    /// Limits on how fast requests are let in.
    pub request_throttle: RequestThrottle,
    /// Limits on how fast connections are let in.
    pub connection_throttle: ConnectionThrottle,

    /// Four-letter words that answer, as the whitelist names them; `srvr` is always among them,
    /// `*` means all.
    pub four_letter_whitelist: Vec<String>,
    /// Serve read-only clients without a quorum.
    pub readonly_mode_enabled: bool,
    /// Where metrics go.
    pub metrics: MetricsProvider,
    /// Host or address of the Prometheus endpoint.
    pub metrics_http_host: String,
    /// Port of the Prometheus endpoint.
    pub metrics_http_port: u16,
    /// Add figures of the process, under the names dashboards expect of a JVM.
    pub metrics_export_jvm_info: bool,

    /// The ensemble; empty for a server that is alone.
    pub membership: Membership,
    /// Content of `dataDir/myid`, if the file exists.
    pub server_id: Option<i64>,
    /// The role this server was given.
    pub peer_type: Role,
    /// Run as a plain server when there is only one voter.
    pub standalone_enabled: bool,
    /// Ticks a learner has to connect and synchronise; 0 when not set.
    pub init_limit_ticks: i32,
    /// Ticks a learner may lag; 0 when not set.
    pub sync_limit_ticks: i32,
    /// How a member takes part.
    pub ensemble: Ensemble,

    /// Every key and value of the file that counts, in the order of the file.
    pub raw: Vec<(String, String)>,
    /// Keys of the file that no row of the table knows. The reference makes system properties of
    /// them, so they are no error; they may be typing errors.
    pub unknown_keys: Vec<String>,
    /// Keys that were set and do nothing in this version, to be logged once each.
    pub without_effect: Vec<WithoutEffect>,
    /// Remarks to be logged: the server starts all the same.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether the server must run as part of an ensemble. Reference: `QuorumPeerConfig.isDistributed`.
    pub fn is_distributed(&self) -> bool {
        !self.standalone_enabled || self.membership.voters().count() > 1
    }

    /// The longest record or field that is read back from disk. Reference: `BinaryInputArchive`.
    #[must_use]
    pub fn read_bytes_max(&self) -> usize {
        let most = self.jute_max_buffer_bytes.saturating_add(self.jute_max_buffer_extra_bytes);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// Everything worth saying about a configuration that works, a sentence each: `warnings`, unknown
    /// keys, and keys without effect. The caller logs each once.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.warnings.clone();
        for key in &self.unknown_keys {
            remarks.push(format!("{key} is not a known key; it is kept as the property zookeeper.{key}"));
        }
        for WithoutEffect { key, effect } in &self.without_effect {
            remarks.push(match effect {
                keys::Effect::Java => format!("{key} tunes the Java server and has nothing to act on here"),
                _ => format!("{key} is read but has no effect in this version"),
            });
        }
        remarks
    }
}

/// A key that was set and does nothing in this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    /// The key as written, with `-D` before it where it is a flag.
    pub key: String,
    /// Why: [`keys::Effect::Later`] or [`keys::Effect::Java`].
    pub effect: keys::Effect,
}

/// TLS on client ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Keys, ciphers and whom to believe.
    pub options: crate::tls::Options,
    /// `client_port` speaks TLS too.
    pub on_client_port: bool,
    /// Handshakes that may be unfinished at a time.
    pub handshakes_max: usize,
    /// Close connections before their handshake while the server serves nobody.
    pub drops_early: bool,
}

/// TLS on quorum and election ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTls {
    /// Keys, ciphers and whom to believe.
    pub options: crate::tls::PeerOptions,
    /// This server speaks TLS where it connects.
    pub dials: bool,
    /// Its ports accept plain connections too.
    pub accepts_plain: bool,
    /// How long the first byte of a connection is waited for, in milliseconds.
    pub detection_ms: u64,
    /// Stores that change are followed.
    pub reloads: bool,
}

/// How the transaction log reaches its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogIo {
    /// Through a memory map of allocated blocks.
    #[default]
    Mmap,
    /// By write calls.
    Plain,
}

/// How snapshots are compressed. The name is also the file's suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip, suffix `.gz`.
    Gzip,
    /// Snappy in Java's stream form, suffix `.snappy`.
    Snappy,
}

/// Where metrics go. `mntr` shows them in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsProvider {
    /// Only `mntr` and the admin server.
    #[default]
    Default,
    /// Nowhere.
    Null,
    /// Also a Prometheus endpoint.
    Prometheus,
}

/// Limits on how fast requests are let in. Reference: `RequestThrottler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestThrottle {
    /// Requests in process at most; 0 turns the throttle off.
    pub max_requests: i32,
    /// One wait of a request that is held back.
    pub stall_time_ms: i32,
    /// Drop requests that became stale while they waited.
    pub drop_stale: bool,
    /// Older than its session's timeout is stale.
    pub stale_latency_check: bool,
    /// Connection closed is stale.
    pub stale_connection_check: bool,
    /// A request that waited longer is answered with an error; 0 never.
    pub throttled_op_wait_time_ms: i32,
}

/// Limits on how fast connections are let in. Reference: `BlueThrottle`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConnectionThrottle {
    /// Size of the bucket; 0 turns the throttle off.
    pub tokens: i32,
    /// Time of one refill.
    pub fill_time_ms: i32,
    /// Tokens of one refill.
    pub fill_count: i32,
    /// Time between changes of the drop probability; below 0 keeps it at zero.
    pub freeze_time_ms: i32,
    /// Step up of the drop probability.
    pub drop_increase: f64,
    /// Step down of the drop probability.
    pub drop_decrease: f64,
    /// Share of missing tokens below which the probability falls.
    pub decrease_ratio: f64,
}

/// The configuration used when there is no file.
pub const EMBEDDED: &str = include_str!("../../conf/zoo.cfg");
