//! Chains that the usual verifier does not take and Java does: a client certificate of version 1, or one that is
//! marked as an authority. Its issuers are held to the usual rules, and to none that is not known here.

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm};

use super::certificate::Certificate;

/// Authorities between a client and one that is trusted.
const DEPTH_MAX: usize = 8;
/// Signatures that are looked at for one client.
const SIGNATURES_MAX: u32 = 32;

/// What a chain is built from.
pub(super) struct Path<'a> {
    /// Whom the operator trusts.
    pub(super) anchors: &'a [Certificate<'a>],
    /// What the client sent besides its own certificate.
    pub(super) intermediates: &'a [Certificate<'a>],
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Signatures that can be checked.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// A chain that was found, by its places in a [`Path`].
pub(super) struct Issuers {
    /// Who is trusted.
    pub(super) anchor: usize,
    /// The authorities between, from the client's issuer up.
    pub(super) between: Vec<usize>,
}

impl Path<'_> {
    /// Who stands behind the client, from its issuer to someone trusted.
    pub(super) fn issuers(&self, client: &Certificate<'_>) -> Option<Issuers> {
        let mut signatures = SIGNATURES_MAX;
        let mut found = self.issuers_of(client, 0, &mut signatures)?;
        found.between.reverse();
        Some(found)
    }

    /// The same for a certificate with so many authorities below it; from the one trusted down.
    fn issuers_of(
        &self,
        below: &Certificate<'_>,
        authorities: usize,
        signatures: &mut u32,
    ) -> Option<Issuers> {
        let mut has_signed = |issuer: &Certificate<'_>| {
            *signatures = signatures.saturating_sub(1);
            *signatures > 0 && is_signed(below, issuer, self.algorithms)
        };
        let anchors = self.anchors.iter().enumerate().filter(|(_, anchor)| anchor.subject == below.issuer);
        for (index, anchor) in anchors {
            if !anchor.extensions.limits_names && has_signed(anchor) {
                return Some(Issuers { anchor: index, between: Vec::new() });
            }
        }
        if authorities >= DEPTH_MAX {
            return None;
        }
        let candidates: Vec<_> = self
            .intermediates
            .iter()
            .enumerate()
            .filter(|(_, one)| {
                one.subject == below.issuer && self.may_issue(one, authorities) && has_signed(one)
            })
            .collect();
        candidates.into_iter().find_map(|(index, one)| {
            let mut above = self.issuers_of(one, authorities + 1, signatures)?;
            above.between.push(index);
            Some(above)
        })
    }

    fn may_issue(&self, one: &Certificate<'_>, authorities: usize) -> bool {
        let says = &one.extensions;
        one.version == 3
            && one.counts_at(self.now)
            && says.may_issue()
            && !says.limits_names
            && !says.demands_unknown
            && says.path_length.is_none_or(|most| usize::try_from(most).is_ok_and(|most| authorities <= most))
    }
}

/// Whether `issuer` has signed it.
fn is_signed(one: &Certificate<'_>, issuer: &Certificate<'_>, algorithms: WebPkiSupportedAlgorithms) -> bool {
    let signature = Signature { algorithm: one.signature_algorithm, bytes: one.signature };
    signature.is_of(issuer, one.signed, algorithms)
}

/// A signature as certificates, lists and answers have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature<'a> {
    /// Its algorithm, without the sequence around it.
    pub(super) algorithm: &'a [u8],
    /// The signature.
    pub(super) bytes: &'a [u8],
}

impl Signature<'_> {
    /// Whether the signer's key made it of this.
    pub(super) fn is_of(
        &self,
        signer: &Certificate<'_>,
        signed: &[u8],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> bool {
        let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            is(algorithm.signature_alg_id(), self.algorithm)
                && is(algorithm.public_key_alg_id(), signer.key_algorithm)
        };
        let mut fitting = algorithms.all.iter().filter(fits);
        fitting.any(|algorithm| algorithm.verify_signature(signer.key, signed, self.bytes).is_ok())
    }
}

/// Whether the client's key made this signature of a handshake.
pub(super) fn has_signed_handshake(
    client: &Certificate<'_>,
    message: &[u8],
    (scheme, signature): (SignatureScheme, &[u8]),
    algorithms: WebPkiSupportedAlgorithms,
) -> bool {
    let mapped = algorithms.mapping.iter().find(|(known, _)| *known == scheme);
    let mut fitting = mapped
        .iter()
        .flat_map(|(_, algorithms)| algorithms.iter())
        .filter(|algorithm| is(algorithm.public_key_alg_id(), client.key_algorithm));
    fitting.any(|algorithm| algorithm.verify_signature(client.key, message, signature).is_ok())
}

fn is(known: AlgorithmIdentifier, bytes: &[u8]) -> bool {
    known.as_ref() == bytes
}
