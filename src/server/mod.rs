//! Assembly: builds the modules from a configuration, connects them, starts and stops them. The only
//! place that knows all of them.

mod address;
mod error;
#[cfg(test)]
mod fuzzy_snapshot_test;
mod loading;
mod report;
mod walks;

use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::error::ServerError;
pub use self::loading::store_options;

use self::address::resolve;
use self::report::{Reporter, Words};
use crate::admin::metrics_http;
use crate::auth::{self, Auth, digest};
use crate::clock::{Clock, RealClock};
use crate::config::{Config, LogIo, MetricsProvider, SnapshotCompression};
use crate::disk::{Disk, RealDisk};
use crate::metrics::Metrics;
use crate::metrics::prometheus::Exporter;
use crate::net::{AcceptLimits, Acceptor, Descriptors, Limits, Shared, bind};
use crate::replica::{Options as ReplicaOptions, SweepOptions};
use crate::request::Options as RequestOptions;
use crate::runtime::budget::Budget;
use crate::runtime::snapshots::{self, Job, Pace, SnapshotTaker};
use crate::runtime::{Inbox, Parts, Snapshots, State, Writer, listening};
use crate::session::Sessions;
use crate::snapshot::Compression;
use crate::store::{Directories, remove_initialize};
use crate::tree::{AclRules, Cursor};
use crate::txnlog::{self, Log, LogError};

/// The server id in the session ids of a server that is alone (reference: `ZooKeeperServer`).
const STANDALONE_SERVER_ID: u8 = 1;
/// How long connections may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// A server that is not running yet.
pub struct Server {
    config: Config,
    auth: auth::Options,
}

impl Server {
    /// A server for this configuration.
    ///
    /// # Errors
    /// When it asks for what this version cannot do.
    pub fn new(config: Config) -> Result<Self, ServerError> {
        if config.is_distributed() {
            return Err(ServerError::Unsupported(
                "this version runs one server alone; the configuration names an ensemble (server.N). Remove \
                 those lines, or wait for the version that joins ensembles"
                    .into(),
            ));
        }
        if config.secure_client_port.is_some() && config.client_port.is_none() {
            return Err(ServerError::Unsupported(
                "this version has no TLS yet, and only secureClientPort is set; set clientPort".into(),
            ));
        }
        let auth = auth_options(&config)?;
        Ok(Self { config, auth })
    }

    /// Recovers, serves until SIGTERM or SIGINT, and leaves everything on disk.
    ///
    /// # Errors
    /// Why it could not start, or had to end. What was acknowledged is on disk either way.
    pub fn run(self) -> Result<(), ServerError> {
        let Self { config, auth } = self;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let metrics = Arc::new(Metrics::new());
        let store_options = store_options(&config);
        let directories = Directories::open(&disk, &store_options)?;
        // Ports first: a busy one must not cost a recovery.
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("net").enable_all().build()?;
        let listeners = runtime.block_on(listen(&config))?;

        let recovered = loading::load(&disk, &directories, &store_options, clock.as_ref(), &metrics)?;
        let last_zxid = recovered.tree.last_zxid();
        let mut sessions =
            Sessions::new(i64::from(config.tick_time_ms), STANDALONE_SERVER_ID, clock.now_ms());
        for (id, timeout_ms) in &recovered.sessions {
            sessions.restore(*id, *timeout_ms, clock.now_ms());
        }
        let state = Arc::new(State::new(
            recovered.tree,
            sessions,
            request_options(&config),
            budget(&config),
            clock.now_ms(),
        ));
        // It ends with the process: to free millions of nodes one by one would only delay that.
        let _never_freed = ManuallyDrop::new(Arc::clone(&state));
        let log = Log::open(disk.clone(), log_options(&config, &directories), last_zxid)?;
        let _spare_keeper = log.spare().keep(say_spare)?;

        let job = Job {
            state: state.clone(),
            disk: disk.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            options: snapshot_options(&config, &directories),
        };
        if recovered.snapshot.is_none() {
            // The first snapshot proves that the directory was initialised: it comes before any log.
            job.take(Cursor::new(&state.tree()), Pace::Alone).map_err(ServerError::FirstSnapshot)?;
        }
        remove_initialize(disk.as_ref(), &directories)?;
        let mut taker = SnapshotTaker::new(job);
        if recovered.snapshot.is_some_and(|zxid| zxid < last_zxid) {
            taker.start();
        }
        let inbox = Arc::new(Inbox::default());
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            log,
            snapshots: Box::new(taker),
            options: replica_options(&config),
        });
        if let Some(hours) = config.autopurge_purge_interval_hours {
            snapshots::purge_regularly(
                disk.clone(),
                directories.snapshots.clone(),
                directories.logs.clone(),
                usize::try_from(config.autopurge_snap_retain_count).unwrap_or(3),
                Duration::from_secs(u64::try_from(hours).unwrap_or(1) * 3600),
            )?;
        }

        let reporter = Arc::new(Reporter::new(report::Facts {
            state: state.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            disk,
            snapshots: directories.snapshots.clone(),
            logs: directories.logs.clone(),
            client_port: listeners.client_port,
            config: config.clone(),
        }));
        let shared = Arc::new(Shared {
            state,
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            commands: Arc::new(Words::new(&config.four_letter_whitelist, reporter.clone())),
            limits: limits(&config),
            auth: Auth::new(auth),
        });
        let (failed, failure) = std::sync::mpsc::sync_channel(1);
        let stop = CancellationToken::new();
        let writer_stop = stop.clone();
        let writing = std::thread::Builder::new().name("writer".into()).spawn(move || {
            let outcome = run_writer(writer);
            if let Err(error) = outcome {
                // Nothing may go on without the log: wake whoever waits for a signal.
                let _already_told = failed.try_send(error);
                writer_stop.cancel();
            }
        })?;
        runtime.block_on(serve(&config, shared, listeners, reporter, clock, stop.clone()))?;
        inbox.stop();
        if writing.join().is_err() {
            return Err(ServerError::WriterFailed);
        }
        if let Ok(error) = failure.try_recv() {
            return Err(error.into());
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(())
    }
}

/// Runs the writer; a panic there is reported as such by `join`.
fn run_writer(writer: Writer) -> Result<(), LogError> {
    let outcome = writer.run();
    if let Err(error) = &outcome {
        tracing::error!("the transaction log failed, so the server ends: {error}");
    }
    outcome
}

/// A log that cannot have its next file yet is an early warning that the disk fills.
fn say_spare(failed: Option<LogError>) {
    match failed {
        Some(error) => {
            tracing::warn!("cannot prepare the next log file yet; the current one is used up: {error}")
        }
        None => tracing::info!("the next log file is prepared again"),
    }
}

struct Listeners {
    clients: Option<tokio::net::TcpListener>,
    client_port: Option<u16>,
    metrics: Option<tokio::net::TcpListener>,
}

async fn listen(config: &Config) -> Result<Listeners, ServerError> {
    let mut listeners = Listeners { clients: None, client_port: None, metrics: None };
    if let Some(port) = config.client_port {
        let host = config.client_port_address.as_deref();
        let backlog = config.client_port_listen_backlog.and_then(|backlog| u32::try_from(backlog).ok());
        let name = format!("clientPort {}:{port}", host.unwrap_or("*"));
        let failed = |source| ServerError::Listen { address: name.clone(), source };
        let address = resolve(host, port).map_err(failed)?;
        let listener = match bind(address, backlog) {
            // No IPv6 on this machine: every IPv4 interface is what is left of every interface.
            Err(error) if host.is_none() && error.kind() != std::io::ErrorKind::AddrInUse => {
                bind(SocketAddr::from(([0, 0, 0, 0], port)), backlog)
            }
            bound => bound,
        };
        let listener = listener.map_err(failed)?;
        listeners.client_port = listener.local_addr().ok().map(|address| address.port());
        listeners.clients = Some(listener);
    }
    if config.metrics == MetricsProvider::Prometheus {
        let (host, port) = (&config.metrics_http_host, config.metrics_http_port);
        let bound = metrics_http::bind(host, port).await.map_err(|source| ServerError::Listen {
            address: format!("metricsProvider.httpPort {host}:{port}"),
            source,
        })?;
        listeners.metrics = Some(bound);
    }
    Ok(listeners)
}

/// Serves until told to stop.
async fn serve(
    config: &Config,
    shared: Arc<Shared>,
    listeners: Listeners,
    reporter: Arc<Reporter>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let accept_limits = AcceptLimits {
        per_address: usize::try_from(config.max_client_cnxns).unwrap_or(0),
        total: usize::try_from(config.max_cnxns).unwrap_or(0),
        keepalive: config.client_tcp_keepalive,
        descriptors: Descriptors::raise(),
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let metrics = shared.metrics.clone();
    let state = shared.state.clone();
    let ticking = clock.clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(listening::TICK_MS.unsigned_abs()));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            state.listening.tick(ticking.now_ms());
        }
    });
    let acceptor = Arc::new(Acceptor::new(shared, accept_limits, stop.clone()));
    if let Some(listener) = listeners.clients {
        tracing::info!(address = %listener.local_addr()?, "serving clients");
        tokio::spawn(acceptor.clone().serve(listener));
    }
    if let Some(listener) = listeners.metrics {
        tracing::info!(address = %listener.local_addr()?, "serving metrics");
        let gauges = move || reporter.gauges();
        let exporter = Arc::new(Exporter::new(metrics, gauges, config.metrics_export_jvm_info));
        tokio::spawn(metrics_http::serve(listener, exporter, move || clock.now_ms().cast_unsigned()));
    }
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    acceptor.drain(DRAIN).await;
    Ok(())
}

fn limits(config: &Config) -> Limits {
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

fn auth_options(config: &Config) -> Result<auth::Options, ServerError> {
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
        required_schemes: config.enforce_auth_enabled.then(|| config.enforce_auth_schemes.clone()),
    })
}

fn request_options(config: &Config) -> RequestOptions {
    RequestOptions {
        acl: AclRules {
            skip: config.skip_acl,
            digest: config.digest_auth_enabled,
            key: config.key_auth_enabled,
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
fn budget(config: &Config) -> Budget {
    let limit = config.global_outstanding_limit.and_then(|limit| usize::try_from(limit).ok());
    Budget::new(usize::try_from(config.client_memory_bytes).unwrap_or(usize::MAX), limit)
}

fn replica_options(config: &Config) -> ReplicaOptions {
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

fn log_options(config: &Config, directories: &Directories) -> txnlog::Options {
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

fn snapshot_options(config: &Config, directories: &Directories) -> snapshots::Options {
    snapshots::Options {
        directory: directories.snapshots.clone(),
        compression: match config.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        txns: u64::try_from(config.snap_count).unwrap_or(100_000),
        log_bytes: config.snap_size_limit_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        digest: config.digest_enabled,
        last_zxid: config.serialize_last_processed_zxid,
    }
}
