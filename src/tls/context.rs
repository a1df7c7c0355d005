//! What serves handshakes, made from the stores and the settings.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, SignatureScheme};

use super::certificate::Certificate;
use super::revocation::{Asks, Link};
use super::stores::{self, StoreError};
use super::verifier::{Side, Verifier};
use super::{ClientAuth, Options, Password, StoreFile, host, names};
use crate::secret::Secret;

/// A store, or a password file, that is larger is not read.
const FILE_BYTES_MAX: usize = 16 << 20;
/// Sessions of TLS 1.2 and of clients without tickets that are remembered for resumption.
const REMEMBERED_SESSIONS: usize = 1024;

/// Why there is no TLS. The text begins with the setting and the file that are to blame.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{origin}: {path} cannot be read: {source}")]
    File {
        /// The setting.
        origin: String,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A store cannot be used.
    #[error("{origin}: {path}: {source}")]
    Store {
        /// The setting.
        origin: String,
        /// The file.
        path: String,
        /// Why.
        source: StoreError,
    },
    /// What a store holds cannot be used.
    #[error("{origin}: {path}: {problem}")]
    Content {
        /// The setting.
        origin: String,
        /// The file.
        path: String,
        /// Why.
        problem: String,
    },
    /// The settings do not go together.
    #[error("TLS cannot be served with these settings: {0}")]
    Settings(#[from] rustls::Error),
}

/// What a handshake has shown of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Proven {
    /// The subject of its certificate, as Java prints it.
    pub subject: String,
}

/// What serves handshakes.
pub struct Context {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<Verifier>>,
    checks_client_host: bool,
    asks: Asks,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl Context {
    /// Reads the stores with `read`.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn load(
        options: &Options,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let usual = aws_lc_rs::default_provider();
        let algorithms = usual.signature_verification_algorithms;
        let provider = CryptoProvider { cipher_suites: options.suites.suites(), ..usual };
        let keys = keys(&options.key_store, read, &provider)?;
        let verifier = match &options.trust_store {
            Some(store) if options.client_auth != ClientAuth::None => {
                Some(verifier(store, options.client_auth, read, algorithms)?)
            }
            _ => None,
        };
        let versions: Vec<_> = options.protocols.iter().map(|protocol| protocol.version()).collect();
        let builder =
            ServerConfig::builder_with_details(Arc::new(provider), time).with_protocol_versions(&versions)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
            None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(keys));
        config.ignore_client_order = true;
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            verifier,
            checks_client_host: options.checks_client_host,
            asks: options.asks,
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// The settings do not go together.
    pub fn connection(&self) -> Result<ServerConnection, TlsError> {
        Ok(ServerConnection::new(Arc::clone(&self.config))?)
    }

    /// What a finished handshake has shown: None when the client has no certificate, which then was not needed.
    ///
    /// A session that was resumed brings the certificate it began with; that is judged again, as it may count no more.
    ///
    /// # Errors
    /// Why the client is not believed.
    pub fn proven(
        &self,
        connection: &ServerConnection,
        peer: IpAddr,
        unix_ms: i64,
    ) -> Result<Option<Proven>, String> {
        let Some(verifier) = &self.verifier else { return Ok(None) };
        let chain = connection.peer_certificates().unwrap_or_default();
        let Some(own) = chain.first() else { return Ok(None) };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            verifier
                .verify_again(chain, super::verifier::moment(unix_ms))
                .map_err(|error| error.to_string())?;
        }
        let unreadable = |why| format!("its certificate cannot be read: {why}");
        let read = Certificate::read(own).map_err(unreadable)?;
        if self.checks_client_host && !host::is_named(&read, &peer.to_canonical().to_string()) {
            return Err(format!(
                "its certificate does not name its address {}; add it as a subject alternative name, or set \
                 ssl.clientHostnameVerification=false",
                peer.to_canonical()
            ));
        }
        Ok(Some(Proven { subject: names::rfc2253(read.subject).map_err(unreadable)? }))
    }
}

impl Context {
    /// Whom to ask whether the certificates of a client were revoked, and about which. A session that was resumed
    /// brings those it began with.
    ///
    /// # Errors
    /// Why the client is not believed.
    pub fn asks(&self, connection: &ServerConnection, unix_ms: i64) -> Result<(Asks, Vec<Link>), String> {
        let chain = connection.peer_certificates().unwrap_or_default();
        match &self.verifier {
            Some(verifier) if self.asks != Asks::Nobody && !chain.is_empty() => {
                let links = verifier.links(chain, Side::Client, super::verifier::moment(unix_ms));
                links.map(|links| (self.asks, links)).map_err(|error| error.to_string())
            }
            _ => Ok((Asks::Nobody, Vec::new())),
        }
    }
}

/// Whom a trust store trusts.
pub(super) fn verifier(
    store: &StoreFile,
    client_auth: ClientAuth,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<Arc<Verifier>, TlsError> {
    let trusted = in_store(store, stores::trusted, read)?;
    let verifier = Verifier::new(trusted, client_auth == ClientAuth::Need, algorithms);
    let verifier = verifier.map_err(|(number, why)| {
        content(store, format!("its certificate number {number} cannot be used: {why}"))
    })?;
    Ok(Arc::new(verifier))
}

fn content(store: &StoreFile, problem: String) -> TlsError {
    TlsError::Content { origin: store.origin.clone(), path: store.path.display().to_string(), problem }
}

fn read_file(
    store: &StoreFile,
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, TlsError> {
    let failed =
        |source| TlsError::File { origin: store.origin.clone(), path: path.display().to_string(), source };
    let bytes = read(path).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB")));
    }
    Ok(bytes)
}

/// What a store holds, as `open` says.
fn in_store<T>(
    store: &StoreFile,
    open: impl Fn(stores::Format, &[u8], &Secret) -> Result<T, StoreError>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<T, TlsError> {
    let bytes = read_file(store, &store.path, read)?;
    let password = match &store.password {
        Password::Given(password) => password.clone(),
        Password::InFile(path) => {
            let mut text = read_file(store, path, read)?;
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            Secret::new(text)
        }
    };
    open(store.format, &bytes, &password).map_err(|source| TlsError::Store {
        origin: store.origin.clone(),
        path: store.path.display().to_string(),
        source,
    })
}

/// The server's keys; which one is shown depends on the signatures that the other side knows.
#[derive(Debug)]
pub(super) struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.liked(hello.signature_schemes())
    }
}

impl ResolvesClientCert for Keys {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.liked(schemes)
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Keys {
    fn liked(&self, known: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // The other side says first what it likes best.
        let liked = known.iter().find_map(|scheme| {
            self.0.iter().find(|one| one.key.choose_scheme(std::slice::from_ref(scheme)).is_some())
        });
        liked.cloned()
    }
}

pub(super) fn keys(
    store: &StoreFile,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    provider: &CryptoProvider,
) -> Result<Keys, TlsError> {
    let mut keys = Vec::new();
    let mut unusable = None;
    for stores::KeyEntry { chain, key } in in_store(store, stores::keys, read)? {
        let subject = subject(&chain);
        let signing = provider.key_provider.load_private_key(key);
        let whole = signing.and_then(|signing| {
            let whole = CertifiedKey::new(chain, signing);
            match whole.keys_match() {
                Err(error @ rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                    Err(error)
                }
                // A certificate of version 1 cannot be compared, and serves all the same.
                _ => Ok(whole),
            }
        });
        match whole {
            Ok(whole) => keys.push(Arc::new(whole)),
            Err(error) => {
                unusable = Some(format!(
                    "the key of {subject} cannot be used ({error}); RSA keys of 2048 to 8192 bits and EC keys on \
                     P-256, P-384 and P-521 can"
                ));
            }
        }
    }
    match unusable {
        Some(problem) if keys.is_empty() => Err(content(store, problem)),
        _ => Ok(Keys(keys)),
    }
}

/// For messages.
fn subject(chain: &[CertificateDer<'_>]) -> String {
    let read = chain.first().and_then(|own| Certificate::read(own).ok());
    read.and_then(|own| names::rfc2253(own.subject).ok())
        .unwrap_or_else(|| "an unreadable certificate".into())
}
