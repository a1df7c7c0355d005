//! Snapshots: the tree, the sessions and the access control lists in one file, byte for byte as the
//! reference writes them.
//!
//! - [`mod@format`]: the bytes, and encoders for the parts that callers encode under their own locks.
//! - [`Writer`]: a stream to a temporary name, durable under its own name only when it is whole.
//! - [`load`]: reads any snapshot since 3.4 and hands its parts to a [`Visitor`].
//! - [`candidates`]: which files to try, newest first.
//! - [`retention`]: which files may go.
//!
//! A snapshot is fuzzy: transactions go on while it is written, so it is whole only together with the
//! log from its zxid on. This module knows neither tree nor log; it promises that what it hands out was
//! written by a [`Writer`] or the reference, and that hostile files cost bounded memory.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod compression;
mod error;
mod find;
pub mod format;
mod loader;
pub mod retention;
mod stream;
mod writer;

#[cfg(test)]
mod snapshot_test;

pub use compression::Compression;
pub use error::SnapshotError;
pub use find::{CANDIDATES_MAX, Candidate, candidates};
pub use loader::{FIELD_BYTES_MAX, Loaded, Visitor, load, load_body, load_stream};
pub use writer::{Writer, Written, discard_unfinished, name_received};
