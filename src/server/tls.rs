//! TLS of client ports and between members: reads the stores at the start, and again whenever one of their files changes (reference:
//! `X509Util`, `FileChangeWatcher`).

#![expect(
    clippy::disallowed_methods,
    reason = "stores are small files of the configuration, beside which they are read; none is written"
)]

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::net::{Secure, Security};
use crate::quorum::PeerTls;
use crate::revocation::Revocation;
use crate::tls::{Context, Current, PeerContext, TlsError, verifier};

/// Time between two looks at the files of the stores.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The server's time, as certificates are judged by it.
struct WallClock(Arc<dyn Clock>);

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(verifier::moment(self.0.wall_ms()))
    }
}

/// TLS of the client ports.
pub(super) struct Served {
    pub(super) secure: Arc<Secure>,
    pub(super) stores: Stores,
}

/// TLS between members.
pub(super) struct Peers {
    pub(super) tls: Arc<PeerTls>,
    /// The stores, if they are to be followed.
    pub(super) stores: Option<Stores>,
}

/// The files of some stores, which are read anew when one of them changes.
pub(super) struct Stores {
    /// Whose they are, for messages.
    whose: &'static str,
    files: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
    /// Reads them, and has them used for handshakes that begin from then on.
    take: Box<dyn Fn() -> Result<(), TlsError> + Send>,
}

/// What tells that a file is another one.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp { inode: found.ino(), bytes: found.len(), modified: found.modified().ok() })
    };
    files.iter().map(stamp).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// Reads the stores of client ports, if one speaks TLS.
///
/// # Errors
/// Why they cannot be used.
pub(super) fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Served>, TlsError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let (options, clock) = (tls.options.clone(), Arc::clone(clock));
    let revocation = Revocation::new(Arc::clone(&clock));
    let files = options.files();
    let seen = stamps(&files);
    let load = move || Context::load(&options, &read, Arc::new(WallClock(Arc::clone(&clock))));
    let contexts = Current::new(load()?);
    let secure = Arc::new(Secure::new(contexts, tls.handshakes_max, tls.drops_early, revocation));
    let used = Arc::clone(&secure);
    let take = Box::new(move || load().map(|context| used.contexts.replace(context)));
    Ok(Some(Served { secure, stores: Stores { whose: "client ports", files, seen, take } }))
}

/// Reads the stores of a member, if members speak TLS.
///
/// # Errors
/// Why they cannot be used.
pub(super) fn open_peers(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Peers>, TlsError> {
    let Some(config) = &config.peer_tls else { return Ok(None) };
    let (options, clock) = (config.options.clone(), Arc::clone(clock));
    let (revocation, time) = (Revocation::new(Arc::clone(&clock)), Arc::clone(&clock));
    let files = options.files();
    let seen = stamps(&files);
    let load = move || PeerContext::load(&options, &read, Arc::new(WallClock(Arc::clone(&clock))));
    let tls = Arc::new(PeerTls {
        contexts: Current::new(load()?),
        dials: config.dials,
        accepts_plain: config.accepts_plain,
        detection: Duration::from_millis(config.detection_ms),
        revocation,
        clock: time,
    });
    let used = Arc::clone(&tls);
    let take = Box::new(move || load().map(|context| used.contexts.replace(context)));
    let stores = config.reloads.then(|| Stores { whose: "members", files, seen, take });
    Ok(Some(Peers { tls, stores }))
}

impl Served {
    /// What the client port speaks.
    pub(super) fn client_port(served: Option<&Self>, config: &Config) -> Security {
        match (served, &config.tls) {
            (Some(served), Some(tls)) if tls.on_client_port => Security::Either(Arc::clone(&served.secure)),
            _ => Security::Plain,
        }
    }
}

impl Stores {
    /// Takes stores that have changed for handshakes that begin from then on, until stopped. What cannot be used is
    /// told once, and what was there before goes on serving.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(stores) => self = stores,
                Err(error) => {
                    tracing::error!("the files of TLS are not looked at any more: {error}");
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        let found = stamps(&self.files);
        if found == self.seen {
            return;
        }
        self.seen = found;
        let whose = self.whose;
        match (self.take)() {
            Ok(()) => tracing::info!(
                "the stores of TLS of {whose} have changed; new connections are served with what they hold now"
            ),
            Err(error) => tracing::error!(
                "a store of TLS of {whose} has changed and cannot be used; what was read before goes on serving: \
                 {error}"
            ),
        }
    }
}
