//! The transaction log: preallocated files that are mapped into memory, byte for byte those of the
//! reference.
//!
//! - [`mod@format`]: the bytes, and when a place is an end, a torn tail or corruption.
//! - [`Log`]: append many, sync once. A record counts only when [`Log::sync`] returned.
//! - [`Spare`]: the next file, allocated ahead of need.
//! - [`Mark`]: how far the log is known to be durable, in a small file beside it.
//! - [`Entries`]: reading in zxid order over files; [`replay`]: reading at start, [`repair`]: cutting the
//!   tail.
//!
//! What must always hold: *synced ≤ stored ≤ allocated*. The first failed store or sync is final. A
//! server always starts a new file, so the file it recovered from is never written again, except to
//! cut a torn tail off.
//!
//! This module never opens a file behind the disk's back, and knows neither sessions nor the tree.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod error;
mod follow;
pub mod format;
mod inspect;
mod log;
mod mark;
mod mmap;
mod reader;
mod recovery;
mod segment;
mod spare;
mod tail;
mod truncate;
mod window;

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod fault_test;
#[cfg(test)]
mod group_commit_test;
#[cfg(test)]
mod log_test;
#[cfg(test)]
mod mark_test;
#[cfg(test)]
mod testing;

use std::path::PathBuf;

pub use error::LogError;
pub use follow::{entries_after, files_after};
pub use inspect::{FileSummary, inspect};
pub use log::{Log, Synced};
pub use mark::{MARK_NAME, Mark, remove as remove_mark};
pub use reader::{Entries, Frame, Gaps};
pub use recovery::{Progress, Recovered, ReplayOptions, Replayed, recover, repair, replay};
pub use spare::{Keeper, SPARE_NAME, Spare};
pub use tail::TornTail;
pub use truncate::holds;

/// How records reach the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// Stores into a map, or, where a batch is larger than [`Options::map_bytes_max`], a `pwrite` of it; then
    /// `msync` of the pages they touched. Both meet in the page cache.
    #[default]
    Mapped,
    /// `pwrite`, then `fdatasync`. Also what [`Io::Mapped`] becomes on file systems where a map is not
    /// safe, or when nothing is allocated ahead.
    Plain,
}

/// What the log needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `version-2` directory under `dataLogDir`. It must exist.
    pub dir: PathBuf,
    /// Bytes allocated at a time (`preAllocSize`); zero or less for none.
    pub prealloc_bytes: i64,
    /// A new file begins after a sync that made the current one longer (`txnLogSizeLimitInKb`).
    pub size_limit_bytes: Option<u64>,
    /// Whether [`Log::sync`] waits for the device (`forceSync`).
    pub force_sync: bool,
    /// Syncs that take longer are marked slow (`fsync.warningthresholdms`).
    pub fsync_warning_ms: u64,
    /// How records reach the file.
    pub io: Io,
    /// The largest batch that is stored into a map. Each new page of a map is a page fault; from a few pages
    /// on the kernel takes them faster with one write.
    pub map_bytes_max: usize,
    /// With plain writes the mark is written after so many syncs; in a map, which costs no system call, after
    /// each.
    pub mark_every: u32,
}

impl Options {
    /// The reference's defaults for a directory.
    #[must_use]
    pub const fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            prealloc_bytes: format::PREALLOC_BYTES,
            size_limit_bytes: None,
            force_sync: true,
            fsync_warning_ms: 1000,
            io: Io::Mapped,
            map_bytes_max: 16 << 10,
            mark_every: 16,
        }
    }
}
