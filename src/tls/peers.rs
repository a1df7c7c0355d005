//! TLS between members: the same stores serve those who connect and prove this server where it connects (reference:
//! `QuorumX509Util`, `UnifiedServerSocket`).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};

use super::certificate::Certificate;
use super::context::{self, TlsError};
use super::revocation::{Asks, Link};
use super::verifier::{self, Side, Verifier};
use super::{ClientAuth, Options, StoreFile, host};

/// What the operator asked for between members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerOptions {
    /// As for clients, who are members here.
    pub options: Options,
    /// Whom this server trusts where it connects.
    pub trust_store: StoreFile,
    /// Whether the certificate of a member that is connected to must name its host.
    pub checks_server_host: bool,
    /// Whether the certificate of a member that connects may name the host of a configured member in place of the
    /// address (`allowReverseDnsLookup`).
    pub may_name_members: bool,
}

impl PeerOptions {
    /// The files that it is made from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let stores = [&self.options.key_store, &self.trust_store];
        stores.into_iter().flat_map(StoreFile::files).collect()
    }
}

/// What serves handshakes of members, on both sides.
pub struct PeerContext {
    /// Of those who connect.
    pub server: Arc<ServerConfig>,
    /// Of those who are connected to.
    pub client: Arc<ClientConfig>,
    checks_server_host: bool,
    checks_client_host: bool,
    may_name_members: bool,
    verifier: Arc<Verifier>,
    asks: Asks,
}

impl fmt::Debug for PeerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerContext").finish_non_exhaustive()
    }
}

impl PeerContext {
    /// Reads the stores with `read`. No session is resumed: members connect rarely, and each certificate is judged anew.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn load(
        asked: &PeerOptions,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let PeerOptions { options, trust_store, checks_server_host, may_name_members } = asked;
        let usual = aws_lc_rs::default_provider();
        let algorithms = usual.signature_verification_algorithms;
        let provider = Arc::new(CryptoProvider { cipher_suites: options.suites.suites(), ..usual });
        let keys = Arc::new(context::keys(&options.key_store, read, &provider)?);
        let verifier = context::verifier(trust_store, options.client_auth, read, algorithms)?;
        let versions: Vec<_> = options.protocols.iter().map(|protocol| protocol.version()).collect();

        let server = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&time))
            .with_protocol_versions(&versions)?;
        let server = match options.client_auth {
            ClientAuth::None => server.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
            _ => server.with_client_cert_verifier(Arc::clone(&verifier) as _),
        };
        let mut server = server.with_cert_resolver(Arc::clone(&keys) as _);
        server.ignore_client_order = true;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(keys);
        client.resumption = Resumption::disabled();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
            checks_server_host: *checks_server_host,
            checks_client_host: options.checks_client_host,
            may_name_members: *may_name_members,
            verifier,
            asks: options.asks,
        })
    }

    /// Whom to ask whether the certificates of a member were revoked, and about which.
    ///
    /// # Errors
    /// Why the member is not believed.
    pub fn asks(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        side: Side,
        unix_ms: i64,
    ) -> Result<(Asks, Vec<Link>), String> {
        let chain = chain.unwrap_or_default();
        if self.asks == Asks::Nobody || chain.is_empty() {
            return Ok((Asks::Nobody, Vec::new()));
        }
        let links = self.verifier.links(chain, side, verifier::moment(unix_ms));
        links.map(|links| (self.asks, links)).map_err(|error| error.to_string())
    }

    /// Whether the certificate of a member that was connected to names it: by the address, or by the host as it is
    /// configured.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn names_server(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        host: &str,
        address: IpAddr,
    ) -> Result<(), String> {
        if !self.checks_server_host {
            return Ok(());
        }
        let own = chain.and_then(<[_]>::first).ok_or("it has no certificate")?;
        let read = read(own)?;
        let address = address.to_canonical().to_string();
        if host::is_named(&read, &address) || host::is_named(&read, host) {
            return Ok(());
        }
        Err(format!(
            "its certificate names neither {host} nor {address}; add one as a subject alternative name, or set \
             ssl.quorum.hostnameVerification=false"
        ))
    }

    /// Whether the certificate of a member that has connected names it: by the address it comes from, or by one of the
    /// hosts of `members` that is returned, which then must have this address. Nothing more is to be looked up where
    /// none is returned.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn names_client<'a>(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        address: IpAddr,
        members: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<&'a str>, String> {
        // Who shows no certificate was not asked for one, or needs none.
        let Some(own) = chain.and_then(<[_]>::first) else { return Ok(Vec::new()) };
        let read = read(own)?;
        if !self.checks_client_host || host::is_named(&read, &address.to_canonical().to_string()) {
            return Ok(Vec::new());
        }
        let hosts: Vec<_> =
            members.filter(|host| self.may_name_members && host::is_named(&read, host)).collect();
        if hosts.is_empty() { Err(not_named(address)) } else { Ok(hosts) }
    }
}

/// Why a member that has connected is not believed.
#[must_use]
pub fn not_named(address: IpAddr) -> String {
    format!(
        "its certificate names neither its address {} nor the host of a member that has this address; add one as a \
         subject alternative name, or set ssl.quorum.clientHostnameVerification=false",
        address.to_canonical()
    )
}

fn read<'a>(own: &'a CertificateDer<'_>) -> Result<Certificate<'a>, String> {
    Certificate::read(own).map_err(|why| format!("its certificate cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{peers, peers_with, testdata};
    use crate::tls::{stores, stores::Format};

    fn certificate(name: &str) -> Vec<CertificateDer<'static>> {
        stores::keys(Format::Pem, &testdata(name), &"secret-of-test".into()).unwrap().remove(0).chain
    }

    #[test]
    fn a_member_that_was_connected_to_is_named_by_its_address_or_its_configured_host() {
        let (context, chain) = (peers("server.pem"), certificate("server.pem"));
        let names = |host, address: [u8; 4]| context.names_server(Some(&chain), host, address.into());
        assert_eq!(names("one.example.org", [127, 0, 0, 1]), Ok(()));
        assert_eq!(names("localhost", [10, 0, 0, 1]), Ok(()));
        let why = names("one.example.org", [10, 0, 0, 1]).unwrap_err();
        assert!(why.contains("neither one.example.org nor 10.0.0.1"), "{why}");
        assert!(context.names_server(None, "localhost", [127, 0, 0, 1].into()).is_err());
        let unchecked = peers_with("server.pem", |options| options.checks_server_host = false);
        assert_eq!(unchecked.names_server(Some(&chain), "one.example.org", [10, 0, 0, 1].into()), Ok(()));
    }

    /// A reverse look-up would let the owner of an address say whose it is (CVE-2026-24281).
    #[test]
    fn a_member_that_connects_is_named_by_its_address_or_by_the_host_of_a_member() {
        let (context, chain) = (peers("server.pem"), certificate("server.pem"));
        let names = |address: [u8; 4], members: &[&'static str]| {
            context.names_client(Some(&chain), address.into(), members.iter().copied())
        };
        assert_eq!(names([127, 0, 0, 1], &[]), Ok(vec![]));
        assert_eq!(names([10, 0, 0, 1], &["one", "localhost"]), Ok(vec!["localhost"]));
        assert!(names([10, 0, 0, 1], &["one", "two"]).unwrap_err().contains("10.0.0.1"));
        assert_eq!(context.names_client(None, [10, 0, 0, 1].into(), std::iter::empty()), Ok(vec![]));
        let by_address = peers_with("server.pem", |options| options.may_name_members = false);
        let named = by_address.names_client(Some(&chain), [10, 0, 0, 1].into(), ["localhost"].into_iter());
        assert!(named.is_err());
    }
}
