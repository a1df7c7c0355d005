//! What operators do with the files of a server that is not running. Nothing here changes a file it
//! was given; what is written has another name, and only `purge` removes.
//!
//! - [`txnlog`]: one log file as text; its state; a copy with repaired checksums, or cut short.
//! - [`snapshot`]: one snapshot as text or JSON, sums over it, and two compared.
//! - [`doctor`]: is a data directory healthy, and what would a start do with it.
//! - [`text`]: dates and records as the reference prints them.
//!
//! Reference: `TxnLogToolkit`, `LogChopper`, `SnapshotFormatter`, `SnapshotComparer`,
//! `SnapshotRecursiveSummary`, `PurgeTxnLog`, `DigestAuthenticationProvider`.

pub mod doctor;
pub mod snapshot;
pub mod text;
#[cfg(test)]
mod tools_test;
pub mod txnlog;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::auth::digest;
use crate::clock::{Clock, RealClock};
use crate::disk::{DiskError, RealDisk};
use crate::snapshot::{SnapshotError, retention};
use crate::store::StoreError;
use crate::txnlog::LogError;

/// Why a tool could not do what it was asked to: words, and the exit code of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolError {
    /// For the operator.
    pub message: String,
    /// 1 something is wrong with the files, 2 with the call.
    pub exit_code: u8,
}

impl ToolError {
    fn files(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit_code: 1 }
    }

    fn call(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit_code: 2 }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ToolError {}

impl From<io::Error> for ToolError {
    fn from(error: io::Error) -> Self {
        Self::files(error)
    }
}

impl From<DiskError> for ToolError {
    fn from(error: DiskError) -> Self {
        Self::files(error)
    }
}

impl From<LogError> for ToolError {
    fn from(error: LogError) -> Self {
        Self::files(error)
    }
}

impl From<StoreError> for ToolError {
    fn from(error: StoreError) -> Self {
        Self::files(error)
    }
}

impl From<SnapshotError> for ToolError {
    fn from(error: SnapshotError) -> Self {
        Self::files(error)
    }
}

/// What a tool gives.
pub type Result = std::result::Result<(), ToolError>;

/// One tool and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the command line says what each is")]
pub enum Tool {
    LogDump { file: PathBuf },
    LogVerify { file: PathBuf },
    LogRepair { file: PathBuf, all: bool, verbose: bool },
    LogChop { file: PathBuf, zxid: i64 },
    SnapshotDump { file: PathBuf, with_data: bool },
    SnapshotJson { file: PathBuf },
    SnapshotCompare { left: PathBuf, right: PathBuf, bytes: i64, nodes: i64, debug: bool },
    SnapshotSummary { file: PathBuf, start: String, max_depth: usize },
    Purge { log_dir: PathBuf, data_dir: PathBuf, keep: usize },
    Hash { pairs: Vec<String> },
}

impl Tool {
    /// Does it, with answers to questions from standard input.
    ///
    /// # Errors
    /// Why not, in words, with the exit code.
    pub fn run(&self, out: &mut dyn Write) -> Result {
        match self {
            Self::LogDump { file } => txnlog::dump(file, out),
            Self::LogVerify { file } => txnlog::verify(file, out),
            Self::LogRepair { file, all, verbose } => {
                txnlog::repair(file, *all, *verbose, &mut io::stdin().lock(), out)
            }
            Self::LogChop { file, zxid } => txnlog::chop(file, *zxid, out),
            Self::SnapshotDump { file, with_data } => snapshot::dump(file, *with_data, out),
            Self::SnapshotJson { file } => snapshot::json(file, RealClock.wall_ms(), out),
            Self::SnapshotCompare { left, right, bytes, nodes, debug } => {
                let thresholds = snapshot::Thresholds { bytes: *bytes, nodes: *nodes, debug: *debug };
                snapshot::compare(left, right, thresholds, out)
            }
            Self::SnapshotSummary { file, start, max_depth } => {
                snapshot::summary(file, start, *max_depth, out)
            }
            Self::Purge { log_dir, data_dir, keep } => purge(log_dir, data_dir, *keep, out),
            Self::Hash { pairs } => hash(pairs, out),
        }
    }
}

/// Prints `user:password->user:digest` for each pair, as an access control list of the scheme `digest`
/// needs it.
///
/// # Errors
/// A pair without a colon.
pub fn hash(pairs: &[String], out: &mut dyn Write) -> Result {
    for pair in pairs {
        if !pair.contains(':') {
            return Err(ToolError::call(format!("{pair}: give user:password")));
        }
        writeln!(out, "{pair}->{}", digest::identity(pair, digest::Algorithm::default()))?;
    }
    Ok(())
}

/// Removes all but the newest `keep` snapshots and the logs they need. The directories are those of
/// the configuration, `dataLogDir` and `dataDir`.
///
/// # Errors
/// As [`retention::purge`].
pub fn purge(log_directory: &Path, snapshot_directory: &Path, keep: usize, out: &mut dyn Write) -> Result {
    let version_2 = |directory: &Path| directory.join("version-2");
    let removed =
        retention::purge(&RealDisk, &version_2(snapshot_directory), &version_2(log_directory), keep)?;
    for path in &removed {
        writeln!(out, "Removed {}", path.display())?;
    }
    Ok(())
}
