//! What can go wrong with a log, in words for the operator.

use std::fmt;
use std::path::{Path, PathBuf};

use jute::{DecodeError, Zxid};

use super::mark::MARK_NAME;
use crate::disk::DiskError;

/// A log that cannot be written or read.
#[derive(Debug)]
pub enum LogError {
    /// The disk failed. On the write path the log is poisoned afterwards.
    Disk(DiskError),
    /// No space for the next record. Nothing of it was written; the same call may be made again.
    Full {
        /// How many bytes were to be allocated.
        wanted: u64,
        /// Where, and what the system said.
        source: DiskError,
    },
    /// An earlier write or sync failed, so what is on disk is unknown until a restart reads it.
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// Damage in a transaction that may have been acknowledged, or in front of such.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
        /// The first intact record after it; `None` if it is the last one, and was written whole.
        intact: Option<Zxid>,
    },
    /// A file that does not begin as a log does.
    NotALog {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        problem: &'static str,
    },
    /// An intact record that this version does not understand.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its zxid, zero if not even that can be read.
        zxid: Zxid,
        /// Why.
        source: DecodeError,
    },
    /// An intact record that is longer than this server reads.
    TooLong {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its transaction.
        zxid: Zxid,
        /// The length of the transaction.
        bytes: usize,
        /// What is read at most.
        bytes_max: usize,
    },
    /// Transactions are missing between two others.
    Gap {
        /// The file with the later one.
        path: PathBuf,
        /// Where the later one begins.
        offset: u64,
        /// The last one before the gap.
        before: Zxid,
        /// The first one after it.
        after: Zxid,
    },
    /// The log ends before a transaction that was durable, and so may have been acknowledged.
    Lost {
        /// The file.
        path: PathBuf,
        /// Where its valid part ends; `None` if the whole file is missing.
        offset: Option<u64>,
        /// The newest transaction that is still there.
        last: Zxid,
        /// The newest one that was durable, by the mark.
        durable: Zxid,
        /// How many durable transactions of the file are missing.
        transactions: u64,
    },
    /// Asked to cut after a transaction that is in no file; nothing was cut.
    NoSuchTransaction {
        /// The log directory.
        directory: PathBuf,
        /// The one asked for.
        zxid: Zxid,
    },
}

impl LogError {
    /// A failed allocation or write of `wanted` bytes that nothing depends on yet: a full disk may have
    /// space again later, anything else is final.
    pub(super) fn of_allocation(source: DiskError, wanted: u64) -> Self {
        if source.is_full() { Self::Full { wanted, source } } else { Self::Disk(source) }
    }

    /// The call may be made again once there is space: nothing was written.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// For callers that must say which file an operator should look at.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Disk(source) | Self::Full { source, .. } => Some(&source.path),
            Self::Poisoned { .. } => None,
            Self::Corrupt { path, .. }
            | Self::NotALog { path, .. }
            | Self::Unreadable { path, .. }
            | Self::TooLong { path, .. }
            | Self::Gap { path, .. }
            | Self::Lost { path, .. } => Some(path),
            Self::NoSuchTransaction { directory, .. } => Some(directory),
        }
    }
}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Full { wanted, source } => write!(
                f,
                "{source}; {wanted} bytes are wanted. Free some space on this file system: writes go on by \
                 themselves, nothing needs a restart"
            ),
            Self::Poisoned { reason } => write!(f, "the log is closed after a failed write: {reason}"),
            Self::Corrupt { path, offset, problem, intact: None } => write!(
                f,
                "{0}: damaged record at offset {offset} ({problem}). It is the file's last one, but no crash leaves \
                 it so: it was written whole, and a client may have been told that it is stored. Restore the file from a \
                 copy; or, on a member of an ensemble, move the data and log directories away and let the server \
                 fetch its state from the leader. To give this transaction up: truncate -s {offset} {0}",
                path.display()
            ),
            Self::Corrupt { path, offset, problem, intact: Some(intact) } => write!(
                f,
                "{}: damaged record at offset {offset} ({problem}), but transaction {intact} after it is intact. \
                 Restore the file from a copy; or, on a member of an ensemble, move the data and log directories \
                 away and let the server fetch its state from the leader",
                path.display()
            ),
            Self::NotALog { path, problem } => {
                write!(
                    f,
                    "{}: not a transaction log ({problem}); move the file away or restore it",
                    path.display()
                )
            }
            Self::Unreadable { path, offset, zxid, source } => write!(
                f,
                "{}: the record at offset {offset} (transaction {zxid}) is intact but not understood: {source}. \
                 A newer version may have written it",
                path.display()
            ),
            Self::TooLong { path, offset, zxid, bytes, bytes_max } => write!(
                f,
                "{}: the record at offset {offset} (transaction {zxid}) has {bytes} bytes, and this server reads at \
                 most {bytes_max} (jute.maxbuffer plus zookeeper.jute.maxbuffer.extrasize). Start it with a larger \
                 jute.maxbuffer: at least the one with which the transaction was written",
                path.display()
            ),
            Self::Gap { path, offset, before, after } => write!(
                f,
                "{}: transaction {after} at offset {offset} does not follow {before}: the transactions between \
                 are missing. Restore the missing log file, or the newest snapshot",
                path.display()
            ),
            Self::Lost { path, offset, last, durable, transactions } => {
                let found = match offset {
                    Some(offset) => format!("the log ends at offset {offset}"),
                    None => "the file is missing, so the log ends".to_owned(),
                };
                let give_up = match offset {
                    Some(offset) => format!("truncate -s {offset} {}", path.display()),
                    None => format!("rm {}", path.with_file_name(MARK_NAME).display()),
                };
                write!(
                    f,
                    "{0}: {found} with transaction {last}, but everything up to transaction {durable} was durable \
                     ({MARK_NAME} beside it says so) and may have been acknowledged. Missing transactions: \
                     {transactions}. The disk has lost what was written to it. Restore the file from a copy; or, on \
                     a member of an ensemble, move the data and log directories away and let the server fetch its \
                     state from the leader. To give the missing transactions up: {give_up}",
                    path.display()
                )
            }
            Self::NoSuchTransaction { directory, zxid } => {
                write!(f, "{}: no file contains transaction {zxid}; nothing was cut", directory.display())
            }
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(source) | Self::Full { source, .. } => Some(source),
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}
