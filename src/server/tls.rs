//! TLS of the client ports: reads the stores at the start, and again whenever one of their files changes (reference:
//! `X509Util`, `FileChangeWatcher`).

#![expect(
    clippy::disallowed_methods,
    reason = "stores are small files of the configuration, beside which they are read; none is written"
)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::net::{Secure, Security};
use crate::tls::{Context, Current, Options, TlsError, verifier};

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

/// TLS as the configuration asks for it, and what has to be known to make it anew.
pub(super) struct Served {
    pub(super) secure: Arc<Secure>,
    options: Options,
    clock: Arc<dyn Clock>,
    seen: Vec<Option<Stamp>>,
}

/// What tells that a file is another one.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

fn stamps(options: &Options) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp { inode: found.ino(), bytes: found.len(), modified: found.modified().ok() })
    };
    options.files().iter().map(|path| stamp(path)).collect()
}

fn load(options: &Options, clock: &Arc<dyn Clock>) -> Result<Context, TlsError> {
    Context::load(options, &|path| std::fs::read(path), Arc::new(WallClock(Arc::clone(clock))))
}

/// Reads the stores, if a port speaks TLS.
///
/// # Errors
/// Why they cannot be used.
pub(super) fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Served>, TlsError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let (options, clock) = (tls.options.clone(), Arc::clone(clock));
    let seen = stamps(&options);
    let current = Current::new(load(&options, &clock)?);
    let secure = Arc::new(Secure::new(current, tls.handshakes_max, tls.drops_early));
    Ok(Some(Served { secure, options, clock, seen }))
}

impl Served {
    /// What the client port speaks.
    pub(super) fn client_port(served: Option<&Self>, config: &Config) -> Security {
        match (served, &config.tls) {
            (Some(served), Some(tls)) if tls.on_client_port => Security::Either(Arc::clone(&served.secure)),
            _ => Security::Plain,
        }
    }

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
                Ok(served) => self = served,
                Err(error) => {
                    tracing::error!("the files of TLS are not looked at any more: {error}");
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        let found = stamps(&self.options);
        if found == self.seen {
            return;
        }
        self.seen = found;
        match load(&self.options, &self.clock) {
            Ok(context) => {
                self.secure.contexts.replace(context);
                tracing::info!(
                    "the stores of TLS have changed; new connections are served with what they hold now"
                );
            }
            Err(error) => tracing::error!(
                "a store of TLS has changed and cannot be used; what was read before goes on serving: {error}"
            ),
        }
    }
}
