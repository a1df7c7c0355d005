//! Read metrics by namespace, cheap enough for every read.

use std::cell::RefCell;
use std::sync::Arc;

use crate::metrics::{Metrics, Summary};
use crate::runtime::stage_metrics::STAT_OVERHEAD_BYTES;
use crate::tree::path;

/// Counts reads by their first component. Most requests of a turn have the same one, which then is
/// looked up once.
#[derive(Default)]
pub(super) struct ReadMeter {
    last: RefCell<Option<(String, Arc<Summary>)>>,
}

impl ReadMeter {
    /// Counts one node read.
    pub(super) fn count(&self, metrics: &Metrics, path: &str, bytes: usize) {
        let Some(namespace) = path::top_namespace(path) else { return };
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| known != namespace) {
            *last = metrics.read_per_namespace.of(namespace).map(|summary| (namespace.to_owned(), summary));
        }
        if let Some((_, summary)) = &*last {
            summary.observe((path::utf16_length(path) + bytes + STAT_OVERHEAD_BYTES) as i64);
        }
    }
}
