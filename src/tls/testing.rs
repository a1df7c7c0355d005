//! Servers and clients with the certificates of `testdata`, for tests of this room and of `net`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

use super::revocation::Asks;
use super::stores::{self, Format};
use super::{
    ClientAuth, Context, Options, Password, PeerContext, PeerOptions, Protocol, StoreFile, SuiteSet,
    TlsError, verifier,
};
use crate::secret::Secret;

/// January 2027.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// A file of `testdata`.
pub(super) fn testdata(name: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata").join(name)).unwrap()
}

pub(super) fn secret() -> Secret {
    Secret::from("secret-of-test")
}

pub(super) fn format(name: &str) -> Format {
    Format::from_path(Path::new(name)).unwrap()
}

#[derive(Debug)]
pub(super) struct Now;

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(verifier::moment(NOW_MS))
    }
}

pub(super) fn store(name: &str) -> StoreFile {
    StoreFile {
        origin: "zoo.cfg line 7: ssl.keyStore.location".into(),
        path: name.into(),
        format: format(name),
        password: Password::Given(secret()),
    }
}

pub(super) fn options(client_auth: ClientAuth, trust: &str) -> Options {
    Options {
        key_store: store("keytool.p12"),
        trust_store: (client_auth != ClientAuth::None).then(|| store(trust)),
        client_auth,
        protocols: vec![Protocol::V13, Protocol::V12],
        suites: SuiteSet::default(),
        checks_client_host: false,
        asks: Asks::Nobody,
    }
}

pub(super) fn load(options: &Options) -> Result<Context, TlsError> {
    Context::load(options, &|path| Ok(testdata(path)), Arc::new(Now))
}

/// Believes every server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct Shows(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

/// A server's context that trusts `ca.pem`.
pub(crate) fn context(client_auth: ClientAuth) -> Context {
    load(&options(client_auth, "trust.jks")).unwrap()
}

/// The same, which asks whether certificates were revoked.
pub(crate) fn context_that_asks(client_auth: ClientAuth, asks: Asks) -> Context {
    load(&Options { asks, ..options(client_auth, "trust.jks") }).unwrap()
}

/// A client that shows this certificate and speaks any version.
pub(crate) fn client(name: Option<&str>) -> Arc<ClientConfig> {
    client_with(name, rustls::ALL_VERSIONS)
}

/// A client that shows this certificate, whatever it is asked for.
pub(super) fn client_of(name: Option<&str>, protocol: Protocol) -> Arc<ClientConfig> {
    client_with(name, &[protocol.version()])
}

fn client_with(name: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let entry = stores::keys(Format::Pem, &testdata(name), &secret()).unwrap().remove(0);
            let key = default_provider().key_provider.load_private_key(entry.key).unwrap();
            builder.with_client_cert_resolver(Arc::new(Shows(Arc::new(rustls::sign::CertifiedKey::new(
                entry.chain,
                key,
            )))))
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// What serves handshakes of members, with this key store.
pub(crate) fn peers(keys: &str) -> PeerContext {
    peers_with(keys, |_| ())
}

/// The same with other settings.
pub(crate) fn peers_with(keys: &str, change: impl FnOnce(&mut PeerOptions)) -> PeerContext {
    let options = Options {
        key_store: store(keys),
        checks_client_host: true,
        ..options(ClientAuth::Need, "trust.jks")
    };
    let mut options = PeerOptions {
        options,
        trust_store: store("trust.jks"),
        checks_server_host: true,
        may_name_members: true,
    };
    change(&mut options);
    PeerContext::load(&options, &|path| Ok(testdata(path)), Arc::new(Now)).unwrap()
}
