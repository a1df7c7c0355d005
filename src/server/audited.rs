//! The audit log of a server, from its start to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ServerError;
use crate::audit::{Line, ServerEvent, of_server};
use crate::config::Config;
use crate::logging;
use crate::runtime::State;
use crate::runtime::trail::Trail;

/// The audit log, if there is to be one. Dropped, it says that a server that never served did not start.
pub(super) struct Audited {
    log: Option<Arc<logging::Trail>>,
    user: String,
    has_started: AtomicBool,
}

impl Audited {
    /// # Errors
    /// Its file cannot be opened.
    pub(super) fn new(config: &Config) -> Result<Self, ServerError> {
        let log = match &config.audit {
            None => None,
            Some(None) => Some(logging::Trail::among_lines()),
            Some(Some(file)) => {
                let failed = |source| ServerError::AuditFile { path: file.clone(), source };
                Some(logging::Trail::to_file(file).map_err(failed)?)
            }
        };
        Ok(Self { log: log.map(Arc::new), user: system_user(), has_started: AtomicBool::new(false) })
    }

    /// From here on what clients do is written.
    pub(super) fn begin(&self, state: &State) {
        if let Some(log) = self.log.clone() {
            let write = move |line: &Line| log.write(&line.text, line.is_failure);
            state.set_trail(Trail::new(self.user.clone(), Box::new(write)));
        }
    }

    pub(super) fn started(&self) {
        self.has_started.store(true, Ordering::Relaxed);
        self.say(ServerEvent::Started);
    }

    pub(super) fn stops(&self) {
        self.say(ServerEvent::Stops);
    }

    fn say(&self, event: ServerEvent) {
        if let Some(log) = &self.log {
            let line = of_server(&self.user, event);
            log.write(&line.text, line.is_failure);
        }
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        if !self.has_started.load(Ordering::Relaxed) {
            self.say(ServerEvent::NotStarted);
        }
        if let Some(log) = &self.log {
            log.finish();
        }
    }
}

/// As whom this process runs (reference: the property `user.name`).
fn system_user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    #[expect(
        clippy::disallowed_methods,
        reason = "whose process this is does not belong to what is simulated"
    )]
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let account = fields.find(|fields| fields.get(2).is_some_and(|of| *of == id));
    account.and_then(|fields| fields.first().map(|name| (*name).to_owned())).unwrap_or_else(|| "?".to_owned())
}
