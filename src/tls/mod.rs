//! TLS of client ports and between members: from key stores and settings to what serves a handshake.
//!
//! Pure: bytes of files and the time come from outside, sockets are `net`'s. [`Options`] are what the operator asked
//! for; [`Context`] is made from them and from the stores, and is made anew when a store changes; [`PeerContext`] is
//! the same between members.
//!
//! - [`stores`]: JKS, PKCS#12 and PEM; [`der`]: the encoding they share.
//! - [`certificate`], [`names`], [`host`]: what a certificate says, its subject as Java prints it, its hosts.
//! - [`reason`]: why a handshake failed.
//! - [`verifier`]: whom to believe; `path`: the old certificates that the usual verifier does not read.
//! - [`revocation`]: whom to ask whether a certificate was revoked, and what answers mean.
//!
//! Reference: `X509Util`, `ClientX509Util`, `SSLContextAndOptions`, `ZKTrustManager`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod certificate;
mod context;
pub mod der;
mod failure;
pub mod host;
pub mod names;
mod path;
mod peers;
pub mod revocation;
pub mod stores;
mod suites;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::context::{Context, TlsError};
pub use self::failure::reason;
pub use self::peers::{PeerContext, PeerOptions, not_named};
pub use self::suites::{Protocol, SuiteSet};
pub use rustls::ServerConnection;

use crate::secret::Secret;

/// Whether clients have certificates (reference: `X509Util.ClientAuth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// Those that have one prove who they are; others are let in.
    Want,
    /// Each must have one.
    Need,
}

/// A key or trust store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// The setting that names it, for messages: file, line and key.
    pub origin: String,
    /// The file.
    pub path: PathBuf,
    /// How it is written.
    pub format: stores::Format,
    /// Where its password is.
    pub password: Password,
}

/// Where the password of a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Among the settings; empty when it is not set.
    Given(Secret),
    /// In a file, without the end of its last line (reference: `SecretUtils.readSecret`).
    InFile(PathBuf),
}

/// What the operator asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The server's keys.
    pub key_store: StoreFile,
    /// Whom it trusts. Without it no client can prove anything.
    pub trust_store: Option<StoreFile>,
    /// Whether clients have certificates.
    pub client_auth: ClientAuth,
    /// Versions of the protocol; not empty.
    pub protocols: Vec<Protocol>,
    /// Ciphers, best first.
    pub suites: SuiteSet,
    /// Whether a client's certificate must name the address it comes from.
    pub checks_client_host: bool,
    /// Whom to ask whether a certificate was revoked.
    pub asks: revocation::Asks,
}

impl Options {
    /// The files that it is made from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.key_store).chain(&self.trust_store).flat_map(StoreFile::files).collect()
    }
}

impl StoreFile {
    /// The store, and the file of its password.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let password = match &self.password {
            Password::InFile(path) => Some(path.clone()),
            Password::Given(_) => None,
        };
        std::iter::once(self.path.clone()).chain(password)
    }
}

/// The context of new handshakes; replaced when a store has changed. Connections keep the one they began with.
#[derive(Debug)]
pub struct Current<C>(std::sync::RwLock<Arc<C>>);

impl<C> Current<C> {
    /// The first one.
    #[must_use]
    pub fn new(context: C) -> Self {
        Self(std::sync::RwLock::new(Arc::new(context)))
    }

    /// That of a handshake that begins now.
    pub fn get(&self) -> Arc<C> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// From now on this one.
    pub fn replace(&self, context: C) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(context);
    }
}
