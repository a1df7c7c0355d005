//! SIGTERM, SIGINT and SIGQUIT, from the first moment on.
//!
//! Without a handler of our own the first two would end the process by themselves while it starts, but not in a container,
//! where it is the first process and the system ignores signals that nobody waits for; and SIGQUIT would end it. They are heard
//! on a thread of their own, which has nothing else to do: a signal counts also while everybody else is stuck.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging;

/// Says how the server stands.
type Report = Arc<dyn Fn() + Send + Sync>;

/// Waits for signals.
pub(super) struct Signals {
    /// Once the server serves.
    report: Arc<OnceLock<Report>>,
    asked: CancellationToken,
}

/// What is waited for.
struct Heard {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// From here on a signal that ends the process does so at once, whatever it waits for: a start changes nothing on disk
    /// that the next one could not find after a crash.
    ///
    /// # Errors
    /// The system takes no handler, or gives no thread.
    pub(super) fn listen() -> std::io::Result<Self> {
        Self::ended_by([SignalKind::terminate(), SignalKind::interrupt()])
    }

    fn ended_by([terminate, interrupt]: [SignalKind; 2]) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let heard = {
            let _context = runtime.enter();
            Heard {
                terminate: signal(terminate)?,
                interrupt: signal(interrupt)?,
                quit: signal(SignalKind::quit())?,
            }
        };
        let (report, asked) = (Arc::new(OnceLock::new()), CancellationToken::new());
        let signals = Self { report: Arc::clone(&report), asked: asked.clone() };
        let hear = move || runtime.block_on(heard.answer(&report, &asked));
        std::thread::Builder::new().name("signals".into()).spawn(hear)?;
        Ok(signals)
    }

    /// The server has started: from here on a signal that ends it is heard of through this, and SIGQUIT has it report.
    pub(super) fn started(&self, report: impl Fn() + Send + Sync + 'static) -> CancellationToken {
        let _set_once = self.report.set(Arc::new(report));
        self.asked.clone()
    }
}

impl Heard {
    /// Answers each signal, for as long as the process lives.
    async fn answer(mut self, report: &OnceLock<Report>, asked: &CancellationToken) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => {
                    match report.get().cloned() {
                        // On another thread: should it meet what is stuck, the next signal is heard all the same.
                        Some(report) => drop(tokio::task::spawn_blocking(move || report())),
                        None => logging::say("SIGQUIT: this server goes on; it has not read its database yet"),
                    }
                    continue;
                }
            };
            if report.get().is_none() {
                tracing::info!("{name}: stopping before the database is loaded");
                logging::settle();
                std::process::exit(0);
            }
            tracing::info!("{name}: stopping");
            asked.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// The process of the tests is one that SIGQUIT would end. SIGTERM and SIGINT go on to end it.
    #[test]
    fn a_server_that_is_asked_how_it_stands_goes_on() {
        let signals = Signals::ended_by([SignalKind::user_defined1(), SignalKind::user_defined2()]).unwrap();
        let ask = || kill_process(getpid(), Signal::QUIT).unwrap();
        ask();
        let (said, heard) = mpsc::channel();
        let asked = signals.started(move || {
            let _heard_or_over = said.send(());
        });
        for _ in 0..2 {
            ask();
            heard.recv().unwrap();
        }
        assert!(!asked.is_cancelled(), "it is not asked to end");
    }
}
