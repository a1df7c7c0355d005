//! What the codec's fuzz targets do, as plain functions: libFuzzer calls them with what it makes up, and
//! `tests/corpus.rs` with what is committed. What both need, the server's targets use too.

#[path = "../../tests/common/mod.rs"]
mod common;
pub mod corpus;
#[path = "../../tests/meter/mod.rs"]
mod meter;

mod multi_request;
mod record;
mod txn_entry;

pub use multi_request::multi_request;
pub use record::record;
pub use txn_entry::txn_entry;

/// A target.
pub type Target = fn(&[u8]);

/// Targets by name, which is also the name of each one's corpus.
pub type Targets = [(&'static str, Target)];

/// Every target of the codec.
pub const TARGETS: &Targets =
    &[("multi_request", multi_request), ("record", record), ("txn_entry", txn_entry)];

/// The most memory `work` held at any time, its result included.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> usize {
    meter::peak_bytes(work)
}
