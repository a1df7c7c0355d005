//! Read metrics, cheap enough for every read: a turn's reads are added up, and counted when it ends.

use std::cell::RefCell;
use std::sync::Arc;

use super::Shared;
use crate::metrics::{Metrics, Summary};
use crate::request::unfinished::Seen;
use crate::runtime::State;
use crate::runtime::reply_caches::Found;
use crate::runtime::stage_metrics::STAT_OVERHEAD_BYTES;
use crate::tree::path;

/// Counts the reads of a turn, when it goes.
pub(super) struct ReadMeter<'a> {
    state: &'a State,
    metrics: &'a Metrics,
    sums: RefCell<Sums>,
}

#[derive(Default)]
struct Sums {
    last: Option<Namespace>,
    found: Found,
}

/// Reads of one first component. Most of a turn have the same one, which then is looked up once, and many the same size.
struct Namespace {
    name: String,
    summary: Arc<Summary>,
    /// So many reads of so many bytes are not in the summary yet.
    bytes: i64,
    reads: u32,
}

impl Namespace {
    fn holds(&self, path: &str) -> bool {
        let behind = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(self.name.as_str()));
        behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn count(&mut self, bytes: i64) {
        if bytes != self.bytes {
            self.settle();
            self.bytes = bytes;
        }
        self.reads += 1;
    }

    fn settle(&mut self) {
        self.summary.observe_many(self.bytes, std::mem::take(&mut self.reads));
    }
}

impl<'a> ReadMeter<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { state: &shared.state, metrics: &shared.metrics, sums: RefCell::default() }
    }

    /// Counts what a read came by.
    pub(super) fn count(&self, seen: Seen<'_>) {
        let mut sums = self.sums.borrow_mut();
        match seen {
            Seen::Reply { op, path, stat } => self.state.reply_caches.look(&mut sums.found, op, path, stat),
            Seen::Node { path, bytes } => {
                if !sums.last.as_ref().is_some_and(|last| last.holds(path)) {
                    self.turn_to(&mut sums, path);
                }
                if let Some(last) = &mut sums.last {
                    last.count((path::utf16_length(path) + bytes + STAT_OVERHEAD_BYTES) as i64);
                }
            }
        }
    }

    fn turn_to(&self, sums: &mut Sums, path: &str) {
        let next = path::top_namespace(path).and_then(|name| {
            let summary = self.metrics.read_per_namespace.of(name)?;
            Some(Namespace { name: name.to_owned(), summary, bytes: 0, reads: 0 })
        });
        if let Some(mut last) = std::mem::replace(&mut sums.last, next) {
            last.settle();
        }
    }
}

impl Drop for ReadMeter<'_> {
    fn drop(&mut self) {
        let Sums { last, found } = self.sums.get_mut();
        if let Some(last) = last {
            last.settle();
        }
        found.count(self.metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::Server;

    #[test]
    fn reads_are_counted_by_their_first_component_when_the_turn_ends() {
        let server = Server::new();
        let metrics = &server.shared.metrics;
        let meter = ReadMeter::new(&server.shared);
        for (path, bytes) in [("/a", 1), ("/a/b", 5), ("/a/b", 5), ("/ab", 2), ("/", 1), ("/a/c", 5)] {
            meter.count(Seen::Node { path, bytes });
        }
        drop(meter);
        let of = |name| {
            let summary = metrics.read_per_namespace.of(name).expect("it was read");
            (summary.count(), summary.sum(), summary.min(), summary.max())
        };
        let size = |path: &str, bytes| (path.len() + bytes + STAT_OVERHEAD_BYTES) as i64;
        let (short, long) = (size("/a", 1), size("/a/b", 5));
        assert_eq!(of("a"), (4, short + 3 * long, short, long));
        assert_eq!(of("ab"), (1, size("/ab", 2), size("/ab", 2), size("/ab", 2)));
    }
}
