//! SIGTERM and SIGINT, from the first moment on.
//!
//! Without a handler of our own they would end the process by themselves while it starts, but not in a container, where
//! it is the first process and the system ignores signals that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging;

/// Waits for the signals that end a server.
pub(super) struct Signals {
    serves: Arc<AtomicBool>,
    asked: CancellationToken,
}

impl Signals {
    /// From here on a signal ends the process at once, whatever it waits for: a start changes nothing on disk that the
    /// next one could not find after a crash.
    ///
    /// # Errors
    /// The system takes no handler.
    pub(super) fn listen(runtime: &tokio::runtime::Handle) -> std::io::Result<Self> {
        let _context = runtime.enter();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (serves, asked) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let signals = Self { serves: Arc::clone(&serves), asked: asked.clone() };
        runtime.spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if serves.load(Ordering::Acquire) {
                tracing::info!("{name}: stopping");
                asked.cancel();
                return;
            }
            tracing::info!("{name}: stopping before the database is loaded");
            logging::settle();
            std::process::exit(0);
        });
        Ok(signals)
    }

    /// The server has started: from here on a signal is heard of through this.
    pub(super) fn started(&self) -> CancellationToken {
        self.serves.store(true, Ordering::Release);
        self.asked.clone()
    }
}
