//! The part of reading that is about the audit log.

use std::path::PathBuf;

use super::{Reading, Result};

/// What the reference logs with, and what is always done here.
const LOGGER: &str = "org.apache.zookeeper.audit.Slf4jAuditLogger";

impl Reading<'_> {
    /// Whether there is an audit log, and in which file if not among the lines of the server.
    pub(super) fn audit(&mut self) -> Result<Option<Option<PathBuf>>> {
        if !self.source.flag("audit.enable", false) {
            return Ok(None);
        }
        if let Some(class) = self.source.property("audit.impl.class")
            && class != LOGGER
        {
            let problem = format!(
                "audit logs are written as by {LOGGER}, and a class cannot be loaded here; remove the key, and set \
                 oxkeeper.audit.file to have a file of them"
            );
            return Err(self.source.wrong("audit.impl.class", problem));
        }
        Ok(Some(self.source.property("oxkeeper.audit.file").map(PathBuf::from)))
    }
}
