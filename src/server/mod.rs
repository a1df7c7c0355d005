//! Assembly: builds the modules from a configuration, connects them, starts and stops them. The only
//! place that knows all of them.

mod address;
mod alone;
mod audited;
mod error;
#[cfg(test)]
mod fuzzy_snapshot_test;
mod kerberos;
mod loading;
mod member;
mod members;
mod options;
mod quit;
mod report;
mod sasl;
mod signals;
mod tickets;
mod tls;
mod walks;
mod warnings;

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jute::{SessionId, Zxid};
use tokio_util::sync::CancellationToken;

pub use self::error::ServerError;
pub use self::loading::store_options;

use self::address::resolve;
use self::audited::Audited;
use self::report::{Reporter, Words};
use self::signals::Signals;
use crate::admin::metrics_http;
use crate::auth::{self, Auth};
use crate::clock::{Clock, RealClock};
use crate::config::{Config, MetricsProvider};
use crate::disk::{Disk, RealDisk};
use crate::metrics::Metrics;
use crate::metrics::prometheus::Exporter;
use crate::net::{AcceptLimits, Acceptor, Descriptors, Security, Shared, bind};
use crate::runtime::reply_caches::ReplyCaches;
use crate::runtime::snapshots::{self, Job, Pace, SnapshotTaker};
use crate::runtime::{Inbox, Snapshots, State, listening};
use crate::session::Sessions;
use crate::store::{Directories, remove_initialize};
use crate::tree::{Cursor, Tree};
use crate::txnlog::{LogError, Spare};

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
        if config.is_distributed() && !config.ensemble.refusals.is_empty() {
            return Err(ServerError::Unsupported(config.ensemble.refusals.join(". ")));
        }
        let auth = options::auth_options(&config)?;
        Ok(Self { config, auth })
    }

    /// Recovers, serves until SIGTERM or SIGINT, and leaves everything on disk.
    ///
    /// # Errors
    /// Why it could not start, or had to end. What was acknowledged is on disk either way.
    pub fn run(self) -> Result<(), ServerError> {
        let Self { config, auth } = self;
        // Sockets are looked at after so many tasks. With the default of 61, a few connections that each take their
        // whole millisecond keep everybody else waiting for 60 ms.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("net")
            .event_interval(16)
            .enable_all()
            .build()?;
        let signals = Signals::listen()?;
        let audited = Audited::new(&config)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let metrics = Arc::new(Metrics::new());
        let directories = Arc::new(Directories::open(&disk, &store_options(&config))?);
        let tls = tls::open(&config, &clock)?;
        let peer_tls = tls::open_peers(&config, &clock)?;
        // Ports first: a busy one must not cost a recovery.
        let listeners = runtime.block_on(listen(&config))?;

        let ground = Ground { config: &config, disk, clock, metrics, directories };
        let started = if config.is_distributed() {
            member::start(&ground, peer_tls, runtime.handle())?
        } else {
            alone::start(&ground)?
        };
        let Started { state, inbox, write, spare } = started;
        audited.begin(&state);
        for warning in warnings::at_start(&config, &state) {
            tracing::warn!("{warning}");
        }
        // It ends with the process: to free millions of nodes one by one would only delay that.
        let _never_freed = ManuallyDrop::new(Arc::clone(&state));
        let _spare_keeper = spare.keep(say_spare)?;
        let Ground { disk, clock, metrics, directories, .. } = ground;
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
            secure_client_port: listeners.secure_client_port,
            secure: tls.as_ref().map(|served| served.secure.clone()),
            config: config.clone(),
        }));
        let shared = Arc::new(Shared {
            state,
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            commands: Arc::new(Words::new(&config.four_letter_whitelist, reporter.clone())),
            limits: options::limits(&config),
            auth: Auth::new(auth),
        });
        let (failed, failure) = std::sync::mpsc::sync_channel(1);
        let stop = CancellationToken::new();
        let writer_stop = stop.clone();
        let writing = std::thread::Builder::new().name("writer".into()).spawn(move || {
            if let Err(error) = write() {
                tracing::error!("the transaction log failed, so the server ends: {error}");
                // Nothing may go on without the log: wake whoever waits for a signal.
                let _already_told = failed.try_send(error);
                writer_stop.cancel();
            }
        })?;
        audited.started();
        let asked = signals.started({
            let reporter = Arc::clone(&reporter);
            move || quit::say(&reporter)
        });
        let ends = Ends { asked, stop };
        runtime.block_on(serve(&config, shared, listeners, tls, reporter, clock, ends))?;
        audited.stops();
        inbox.stop();
        if writing.join().is_err() {
            return Err(ServerError::WriterFailed);
        }
        if let Ok(error) = failure.try_recv() {
            return Err(error);
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(())
    }
}

/// What every server stands on.
struct Ground<'a> {
    config: &'a Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    directories: Arc<Directories>,
}

impl Ground<'_> {
    /// The recovered tree and sessions, shared. `server_id` goes into the ids of new sessions.
    fn state(&self, tree: Tree, timeouts: &BTreeMap<SessionId, i32>, server_id: u8) -> Arc<State> {
        let (config, now_ms) = (self.config, self.clock.now_ms());
        let mut sessions = Sessions::new(i64::from(config.tick_time_ms), server_id, now_ms);
        for (id, timeout_ms) in timeouts {
            sessions.restore(*id, *timeout_ms, now_ms);
        }
        let (request, budget) = (options::request_options(config), options::budget(config));
        let sizes = config.reply_caches;
        let caches = ReplyCaches::new(sizes.data, sizes.children);
        Arc::new(State::new(tree, sessions, request, budget, now_ms).with_reply_caches(caches))
    }

    /// Who takes snapshots of the state. A database without any begins with one, before any log: that proves that the
    /// directory was initialised. One is begun where there is a log to replay.
    fn snapshots(
        &self,
        state: &Arc<State>,
        found: (Option<Zxid>, Zxid),
    ) -> Result<SnapshotTaker, ServerError> {
        let (snapshot, last_zxid) = found;
        let job = Job {
            state: Arc::clone(state),
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            options: options::snapshot_options(self.config, &self.directories),
        };
        if snapshot.is_none() {
            job.take(Cursor::new(&state.tree()), Pace::Alone).map_err(ServerError::FirstSnapshot)?;
        }
        remove_initialize(self.disk.as_ref(), &self.directories)?;
        let mut taker = SnapshotTaker::new(job);
        if snapshot.is_some_and(|zxid| zxid < last_zxid) {
            taker.start();
        }
        Ok(taker)
    }
}

/// A server that has recovered.
struct Started {
    state: Arc<State>,
    inbox: Arc<Inbox>,
    /// What its writer's thread does, until the inbox is stopped.
    write: Box<dyn FnOnce() -> Result<(), ServerError> + Send>,
    /// The next log file.
    spare: Spare,
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
    secure_clients: Option<tokio::net::TcpListener>,
    secure_client_port: Option<u16>,
    metrics: Option<tokio::net::TcpListener>,
}

fn listen_to_clients(
    config: &Config,
    key: &str,
    host: Option<&str>,
    port: u16,
) -> Result<tokio::net::TcpListener, ServerError> {
    let backlog = config.client_port_listen_backlog.and_then(|backlog| u32::try_from(backlog).ok());
    let name = format!("{key} {}:{port}", host.unwrap_or("*"));
    let failed = |source| ServerError::Listen { address: name.clone(), source };
    match bind(resolve(host, port).map_err(failed)?, backlog) {
        // No IPv6 on this machine: every IPv4 interface is what is left of every interface.
        Err(error) if host.is_none() && error.kind() != std::io::ErrorKind::AddrInUse => {
            bind(SocketAddr::from(([0, 0, 0, 0], port)), backlog)
        }
        bound => bound,
    }
    .map_err(failed)
}

async fn listen(config: &Config) -> Result<Listeners, ServerError> {
    let mut listeners = Listeners {
        clients: None,
        client_port: None,
        secure_clients: None,
        secure_client_port: None,
        metrics: None,
    };
    let port_of =
        |listener: &tokio::net::TcpListener| listener.local_addr().ok().map(|address| address.port());
    if let Some(port) = config.client_port {
        let listener = listen_to_clients(config, "clientPort", config.client_port_address.as_deref(), port)?;
        listeners.client_port = port_of(&listener);
        listeners.clients = Some(listener);
    }
    if let Some(port) = config.secure_client_port {
        let host = config.secure_client_port_address.as_deref();
        let listener = listen_to_clients(config, "secureClientPort", host, port)?;
        listeners.secure_client_port = port_of(&listener);
        listeners.secure_clients = Some(listener);
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

/// What ends serving.
struct Ends {
    /// Cancelled by a signal.
    asked: CancellationToken,
    /// Cancelled when everybody is to stop.
    stop: CancellationToken,
}

/// Serves until told to stop.
async fn serve(
    config: &Config,
    shared: Arc<Shared>,
    listeners: Listeners,
    tls: Option<tls::Served>,
    reporter: Arc<Reporter>,
    clock: Arc<dyn Clock>,
    Ends { asked, stop }: Ends,
) -> Result<(), ServerError> {
    let accept_limits = AcceptLimits {
        per_address: usize::try_from(config.max_client_cnxns).unwrap_or(0),
        total: usize::try_from(config.max_cnxns).unwrap_or(0),
        keepalive: config.client_tcp_keepalive,
        descriptors: Descriptors::raise(),
    };
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
        let security = tls::Served::client_port(tls.as_ref(), config);
        tokio::spawn(acceptor.clone().serve(listener, security));
    }
    if let (Some(listener), Some(tls)) = (listeners.secure_clients, &tls) {
        tracing::info!(address = %listener.local_addr()?, "serving clients over TLS");
        tokio::spawn(acceptor.clone().serve(listener, Security::Tls(tls.secure.clone())));
    }
    if let Some(tls) = tls {
        tokio::spawn(tls.stores.watch(stop.clone()));
    }
    if let Some(listener) = listeners.metrics {
        tracing::info!(address = %listener.local_addr()?, "serving metrics");
        let gauges = move || reporter.gauges();
        let exporter = Arc::new(Exporter::new(metrics, gauges, config.metrics_export_jvm_info));
        tokio::spawn(metrics_http::serve(listener, exporter, move || clock.now_ms().cast_unsigned()));
    }
    tokio::select! {
        () = asked.cancelled() => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
    acceptor.drain(DRAIN).await;
    Ok(())
}
