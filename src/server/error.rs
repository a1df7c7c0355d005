//! Why a server cannot start, or has to end, and with which exit code (reference: `ExitCode`).

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::snapshot::SnapshotError;
use crate::store::StoreError;
use crate::txnlog::LogError;

/// The end of a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The configuration asks for what this version cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// TLS cannot be served with what the configuration names.
    #[error("{0}")]
    Tls(#[from] crate::tls::TlsError),
    /// The configuration names a hash that is none; no configuration error in the reference, by its exit code.
    #[error("{0}")]
    DigestAlgorithm(String),
    /// The login configuration cannot be used; no configuration error in the reference, by its exit code.
    #[error("{0}")]
    Login(String),
    /// The data directories cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The snapshot that a new database begins with cannot be written.
    #[error("a new database begins with a snapshot, and it cannot be written: {0}")]
    FirstSnapshot(SnapshotError),
    /// The log is failing.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The audit log cannot be written.
    #[error(
        "oxkeeper.audit.file={}: cannot be opened: {source}; without the audit log that was asked for the server does \
         not start",
        path.display()
    )]
    AuditFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `myid` names no member.
    #[error(
        "{}: says {says}, and no server.{says} is configured; correct the file, or add the line on every member",
        path.display()
    )]
    NotListed {
        /// The file.
        path: PathBuf,
        /// What it says.
        says: i64,
    },
    /// The election port cannot be opened.
    #[error("{0}")]
    ElectionPort(#[from] crate::quorum::StartError),
    /// The system does not give what a server needs.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// The writer thread ended for no reason it could tell.
    #[error("the writer thread failed; its message is above")]
    WriterFailed,
}

impl ServerError {
    /// The reference's exit code for it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Unsupported(_) | Self::Tls(_) => 2,
            Self::Store(StoreError::Directory(_) | StoreError::Disk(_)) => 3,
            Self::ElectionPort(_) => 14,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is no configuration error there, but an exception that nobody catches.
    #[test]
    fn an_unknown_digest_ends_with_the_references_code() {
        assert_eq!(ServerError::DigestAlgorithm(String::new()).exit_code(), 1);
        assert_eq!(ServerError::Unsupported(String::new()).exit_code(), 2);
    }
}
