//! Which certificates of clients, and of members that are connected to, are believed: those that the JDK believes
//! (reference: `X509Util.createTrustManager`, the JDK's `PKIXValidator` and `EndEntityChecker`).

use std::fmt;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::certificate::Certificate;
use super::der::Malformed;
use super::path::{Issuers, Path, has_signed_handshake};
use super::revocation::Link;

/// Certificates a client may send (reference: `jdk.tls.maxCertificateChainLength`).
const CHAIN_MAX: usize = 10;
/// Names of authorities that a client is told, in bytes; above it, it is told none and chooses by itself.
const HINTS_BYTES_MAX: usize = 32 << 10;

/// What the owner of a certificate is in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It has connected.
    Client,
    /// It was connected to.
    Server,
}

/// Judges the certificates of others.
pub struct Verifier {
    /// Trusted certificates, as they are.
    trusted: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    is_needed: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} trusted)", self.trusted.len())
    }
}

impl Verifier {
    /// Trusts these; whether a client has to have a certificate is said by `is_needed`.
    ///
    /// # Errors
    /// One of them cannot be read: its number, from 1, and why.
    pub fn new(
        trusted: Vec<CertificateDer<'static>>,
        is_needed: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, (usize, Malformed)> {
        let mut hints: Vec<DistinguishedName> = Vec::new();
        let mut anchors = Vec::new();
        for (index, der) in trusted.iter().enumerate() {
            let read = Certificate::read(der).map_err(|error| (index + 1, error))?;
            hints.push(read.subject.to_vec().into());
            let anchor = anchor_from_trusted_cert(der)
                .map_err(|_| (index + 1, Malformed("the certificate cannot be used as an authority")))?;
            anchors.push(anchor.to_owned());
        }
        if hints.iter().map(|hint| hint.as_ref().len() + 2).sum::<usize>() > HINTS_BYTES_MAX {
            hints.clear();
        }
        Ok(Self { trusted, anchors, hints, is_needed, algorithms })
    }

    /// Judges a chain, the other's own certificate first.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, chain: &[CertificateDer<'_>], side: Side, now: UnixTime) -> Result<(), Error> {
        self.issuers(chain, side, now).map(drop)
    }

    /// The links of a chain that is believed, from the other's own certificate to the one whose issuer is trusted: whoever
    /// asks about revocation asks about each. Of a certificate that is itself trusted there are none.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn links(&self, chain: &[CertificateDer<'_>], side: Side, now: UnixTime) -> Result<Vec<Link>, Error> {
        let Some(Issuers { anchor, between }) = self.issuers(chain, side, now)? else {
            return Ok(Vec::new());
        };
        let path = std::iter::once(chain.first())
            .chain(between.iter().map(|index| chain.get(index.saturating_add(1))))
            .chain(std::iter::once(self.trusted.get(anchor)));
        let path: Vec<_> = path.collect::<Option<_>>().ok_or(CertificateError::UnknownIssuer)?;
        let links = path.iter().zip(path.iter().skip(1)).map(|(certificate, issuer)| Link {
            certificate: (*certificate).clone().into_owned(),
            issuer: (*issuer).clone().into_owned(),
            is_below_anchor: false,
        });
        let mut links: Vec<_> = links.collect();
        links.last_mut().into_iter().for_each(|last| last.is_below_anchor = true);
        Ok(links)
    }

    /// Who stands behind a chain that is believed; None for one that is itself trusted.
    fn issuers(
        &self,
        chain: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<Option<Issuers>, Error> {
        let Some((own, others)) = chain.split_first() else { return Err(Error::NoCertificatesPresented) };
        if chain.len() > CHAIN_MAX {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let read = Certificate::read(own).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let says = &read.extensions;
        let is_allowed = match side {
            Side::Client => says.allows_client,
            Side::Server => says.allows_server,
        };
        if !says.may_sign() || !is_allowed {
            return Err(CertificateError::InvalidPurpose.into());
        }
        // The JDK asks nothing more of a certificate that is itself trusted.
        if self.trusted.contains(own) {
            return Ok(None);
        }
        if read.version == 3 && !says.is_authority {
            return self.verify_usual(own, others, side, now).map(Some);
        }
        self.verify_unusual(&read, others, now).map(Some)
    }

    /// Judges a chain of a client that this verifier has believed before. Since then only its dates can have passed: while none has,
    /// no signature is checked again.
    ///
    /// # Errors
    /// Why it is not believed any more.
    pub fn verify_again(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let counts =
            |der: &CertificateDer<'_>| Certificate::read(der).is_ok_and(|one| one.counts_at(seconds));
        if chain.iter().all(counts) { Ok(()) } else { self.verify(chain, Side::Client, now) }
    }

    fn verify_usual(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<Issuers, Error> {
        let usage = match side {
            Side::Client => KeyUsage::client_auth(),
            Side::Server => KeyUsage::server_auth(),
        };
        let own = EndEntityCert::try_from(own).map_err(|error| refused(&error))?;
        let path = own
            .verify_for_usage(self.algorithms.all, &self.anchors, others, now, usage, None, None)
            .map_err(|error| refused(&error))?;
        let anchor = self.anchors.iter().position(|anchor| anchor == path.anchor());
        let places =
            path.intermediate_certificates().map(|one| others.iter().position(|other| *other == one.der()));
        let between = places.collect::<Option<_>>();
        let found = anchor.zip(between).map(|(anchor, between)| Issuers { anchor, between });
        found.ok_or_else(|| CertificateError::UnknownIssuer.into())
    }

    fn verify_unusual(
        &self,
        client: &Certificate<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Issuers, Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if !client.counts_at(now) {
            let error = if now < client.validity.0 {
                CertificateError::NotValidYet
            } else {
                CertificateError::Expired
            };
            return Err(error.into());
        }
        if client.extensions.demands_unknown {
            return Err(CertificateError::UnhandledCriticalExtension.into());
        }
        // What cannot be read is no issuer; places in the lists stay those of the certificates.
        let read = |der: &CertificateDer<'_>| Certificate::read(der).is_ok();
        let readable: Vec<usize> = (0..others.len()).filter(|at| others.get(*at).is_some_and(read)).collect();
        let anchors: Vec<_> = self.trusted.iter().filter_map(|der| Certificate::read(der).ok()).collect();
        let intermediates: Vec<_> = others.iter().filter_map(|der| Certificate::read(der).ok()).collect();
        let path =
            Path { anchors: &anchors, intermediates: &intermediates, now, algorithms: self.algorithms };
        let found = path.issuers(client).and_then(|Issuers { anchor, between }| {
            let places = between.into_iter().map(|at| readable.get(at).copied());
            Some(Issuers { anchor, between: places.collect::<Option<_>>()? })
        });
        found.ok_or_else(|| CertificateError::UnknownIssuer.into())
    }

    /// Whether the usual functions can read the certificate whose signature is to be checked.
    fn is_usual(certificate: &CertificateDer<'_>) -> bool {
        EndEntityCert::try_from(certificate).is_ok()
    }

    fn verify_old_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let read = Certificate::read(certificate).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        if has_signed_handshake(&read, message, (signed.scheme, signed.signature()), self.algorithms) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn signature_of_12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if Self::is_usual(certificate) {
            return verify_tls12_signature(message, certificate, signed, &self.algorithms);
        }
        self.verify_old_signature(message, certificate, signed)
    }

    fn signature_of_13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if Self::is_usual(certificate) {
            return verify_tls13_signature(message, certificate, signed, &self.algorithms);
        }
        if matches!(
            signed.scheme,
            SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512
        ) {
            // TLS 1.3 has no such signatures.
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        self.verify_old_signature(message, certificate, signed)
    }
}

/// Keeps the reason.
fn refused(error: &webpki::Error) -> Error {
    let reason = match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(rustls::OtherError(std::sync::Arc::new(other.clone()))),
    };
    reason.into()
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.verify(&chain, Side::Client, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_of_12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_of_13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    /// Whether it names the host is looked at behind the handshake, where names can be looked up.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.verify(&chain, Side::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_of_12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_of_13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A moment, in milliseconds since 1970, as the verifier takes it.
#[must_use]
pub fn moment(unix_ms: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0)))
}
