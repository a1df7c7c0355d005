//! Read metrics, cheap enough for every read.

use std::cell::RefCell;
use std::sync::Arc;

use super::Shared;
use crate::metrics::{Metrics, Summary};
use crate::request::unfinished::Seen;
use crate::runtime::State;
use crate::runtime::stage_metrics::STAT_OVERHEAD_BYTES;
use crate::tree::path;

/// Counts reads by their first component. Most requests of a turn have the same one, which then is
/// looked up once.
pub(super) struct ReadMeter<'a> {
    state: &'a State,
    metrics: &'a Metrics,
    last: RefCell<Option<(String, Arc<Summary>)>>,
}

impl<'a> ReadMeter<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { state: &shared.state, metrics: &shared.metrics, last: RefCell::default() }
    }

    /// Counts what a read came by.
    pub(super) fn count(&self, seen: Seen<'_>) {
        let (path, bytes) = match seen {
            Seen::Node { path, bytes } => (path, bytes),
            Seen::Reply { op, path, stat } => {
                return self.state.reply_caches.count(self.metrics, op, path, stat);
            }
        };
        let Some(namespace) = path::top_namespace(path) else { return };
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| known != namespace) {
            let summary = self.metrics.read_per_namespace.of(namespace);
            *last = summary.map(|summary| (namespace.to_owned(), summary));
        }
        if let Some((_, summary)) = &*last {
            summary.observe((path::utf16_length(path) + bytes + STAT_OVERHEAD_BYTES) as i64);
        }
    }
}
