//! Questions to OCSP responders, and their answers (RFC 6960; reference: the JDK's `OCSP`, `OCSPResponse`, `CertId`).

use rustls::crypto::WebPkiSupportedAlgorithms;
use sha1::{Digest, Sha1};

use super::list::extension;
use super::{Status, is_current};
use crate::tls::certificate::{Certificate, bits, time};
use crate::tls::der::{Element, Malformed, Reader, tag, written};
use crate::tls::path::Signature;

/// SHA-1, which is what names the issuer in the JDK's questions; it protects nothing here.
const SHA1: &[u8] = &[0x2B, 0x0E, 3, 2, 0x1A];
const BASIC_RESPONSE: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// Certificates of responders that are looked at.
const SIGNERS_MAX: usize = 4;

/// Asks about one certificate. There is no nonce, as the JDK sends none.
pub(super) fn request(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Vec<u8> {
    let sequence = |parts: &[&[u8]]| written(tag::SEQUENCE, parts);
    let algorithm = sequence(&[&written(tag::OID, &[SHA1]), &[0x05, 0x00]]);
    let id = sequence(&[
        &algorithm,
        &written(tag::OCTET_STRING, &[&Sha1::digest(issuer.subject)]),
        &written(tag::OCTET_STRING, &[&Sha1::digest(issuer.key)]),
        &written(tag::INTEGER, &[certificate.serial]),
    ]);
    sequence(&[&sequence(&[&sequence(&[&sequence(&[&id])])])])
}

/// What an answer says about a certificate of this issuer.
///
/// # Errors
/// Why it does not decide.
pub(super) fn answered(
    answer: &[u8],
    (certificate, issuer): (&Certificate<'_>, &Certificate<'_>),
    now: i64,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<Status, String> {
    let unreadable = |why: Malformed| format!("its answer cannot be read: {why}");
    let basic = successful(answer).map_err(unreadable)??;
    let answer = Answer::read(basic).map_err(unreadable)?;
    let single = answer.about(certificate, issuer).map_err(unreadable)?;
    let single = single.ok_or("its answer is not about the certificate that it was asked about")?;
    if !answer.is_signed_by(issuer, now, algorithms) {
        return Err(
            "its answer is signed neither by the issuer of the certificate nor by a responder of it".into()
        );
    }
    if !is_current(single.this_update, single.next_update.unwrap_or(single.this_update), now) {
        return Err("the time of its answer has not come, or is over".into());
    }
    match single.status {
        Said::Good => Ok(Status::Good),
        // A time that has not come does not count, as in the JDK.
        Said::Revoked(at) if at < now => Ok(Status::Revoked),
        Said::Revoked(_) => Ok(Status::Good),
        Said::Unknown => Err("it does not know the certificate".into()),
    }
}

/// The `BasicOCSPResponse` of an answer that has one.
fn successful(answer: &[u8]) -> Result<Result<&[u8], String>, Malformed> {
    let mut all = Reader::new(answer);
    let mut fields = all.expect(tag::SEQUENCE)?.inside();
    all.end()?;
    let status = fields.expect(tag::ENUMERATED)?.content;
    if status != [0] {
        let what = match status {
            [1] => "the question is malformed",
            [2] => "an error inside of it",
            [3] => "to try again later",
            [5] => "the question should be signed",
            [6] => "the question is not allowed",
            _ => "something unknown",
        };
        return Ok(Err(format!("it answers: {what}")));
    }
    let mut response = fields.expect(tag::constructed(0))?.inside().expect(tag::SEQUENCE)?.inside();
    if response.expect(tag::OID)?.content != BASIC_RESPONSE {
        return Err(Malformed("it is of an unknown type"));
    }
    Ok(Ok(response.expect(tag::OCTET_STRING)?.content))
}

/// Who has signed an answer.
enum Responder<'a> {
    Name(&'a [u8]),
    KeyHash(&'a [u8]),
}

/// An answer, borrowed from its bytes.
struct Answer<'a> {
    signed: &'a [u8],
    signature: Signature<'a>,
    responder: Responder<'a>,
    singles: Vec<Single<'a>>,
    signers: Vec<&'a [u8]>,
}

/// What is said about one certificate.
struct Single<'a> {
    id: Element<'a>,
    status: Said,
    this_update: i64,
    next_update: Option<i64>,
}

#[derive(Clone, Copy)]
enum Said {
    Good,
    Revoked(i64),
    Unknown,
}

impl<'a> Answer<'a> {
    fn read(basic: &'a [u8]) -> Result<Self, Malformed> {
        let mut all = Reader::new(basic);
        let mut outer = all.expect(tag::SEQUENCE)?.inside();
        all.end()?;
        let signed = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?.content;
        let signature = Signature { algorithm, bytes: bits(outer.expect(tag::BIT_STRING)?)? };
        let mut signers = Vec::new();
        if let Some(certificates) = outer.optional(tag::constructed(0))? {
            let mut list = certificates.inside().expect(tag::SEQUENCE)?.inside();
            while !list.is_empty() && signers.len() < SIGNERS_MAX {
                signers.push(list.any()?.whole);
            }
        }
        outer.end()?;

        let mut inner = signed.inside();
        inner.optional(tag::constructed(0))?;
        let responder = if let Some(name) = inner.optional(tag::constructed(1))? {
            Responder::Name(name.inside().expect(tag::SEQUENCE)?.whole)
        } else {
            Responder::KeyHash(inner.expect(tag::constructed(2))?.inside().expect(tag::OCTET_STRING)?.content)
        };
        inner.expect(tag::GENERALIZED_TIME)?;
        let mut list = inner.expect(tag::SEQUENCE)?.inside();
        let mut singles = Vec::new();
        while !list.is_empty() {
            singles.push(Single::read(list.expect(tag::SEQUENCE)?.inside())?);
        }
        if let Some(extensions) = inner.optional(tag::constructed(1))? {
            none_critical(extensions.inside())?;
        }
        inner.end()?;
        Ok(Self { signed: signed.whole, signature, responder, singles, signers })
    }

    /// What it says about this certificate.
    fn about(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
    ) -> Result<Option<&Single<'a>>, Malformed> {
        let (name, key) = (Sha1::digest(issuer.subject), Sha1::digest(issuer.key));
        for single in &self.singles {
            let mut id = single.id.inside();
            let algorithm = id.expect(tag::SEQUENCE)?.inside().expect(tag::OID)?.content;
            let name_hash = id.expect(tag::OCTET_STRING)?.content;
            let key_hash = id.expect(tag::OCTET_STRING)?.content;
            let serial = id.expect(tag::INTEGER)?.content;
            if algorithm == SHA1
                && name_hash == name.as_slice()
                && key_hash == key.as_slice()
                && serial == certificate.serial
            {
                return Ok(Some(single));
            }
        }
        Ok(None)
    }

    /// Whether the issuer has signed it, or somebody whom the issuer has given a certificate for that.
    fn is_signed_by(
        &self,
        issuer: &Certificate<'_>,
        now: i64,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> bool {
        let is_of = |signer: &Certificate<'_>| {
            self.is_named(signer) && self.signature.is_of(signer, self.signed, algorithms)
        };
        let may_answer = |one: &Certificate<'_>| {
            let signature = Signature { algorithm: one.signature_algorithm, bytes: one.signature };
            one.issuer == issuer.subject
                && one.extensions.allows_ocsp
                && one.counts_at(now)
                && signature.is_of(issuer, one.signed, algorithms)
        };
        is_of(issuer)
            || self
                .signers
                .iter()
                .filter_map(|der| Certificate::read(der).ok())
                .any(|one| is_of(&one) && may_answer(&one))
    }

    fn is_named(&self, signer: &Certificate<'_>) -> bool {
        match self.responder {
            Responder::Name(name) => name == signer.subject,
            Responder::KeyHash(hash) => hash == Sha1::digest(signer.key).as_slice(),
        }
    }
}

impl<'a> Single<'a> {
    fn read(mut fields: Reader<'a>) -> Result<Self, Malformed> {
        let id = fields.expect(tag::SEQUENCE)?;
        let said = fields.any()?;
        let status = match said.tag {
            0x80 => Said::Good,
            0xA1 => Said::Revoked(time(said.inside().expect(tag::GENERALIZED_TIME)?)?),
            0x82 => Said::Unknown,
            _ => return Err(Malformed("it says something unknown about a certificate")),
        };
        let this_update = time(fields.expect(tag::GENERALIZED_TIME)?)?;
        let next_update = match fields.optional(tag::constructed(0))? {
            Some(next) => Some(time(next.inside().expect(tag::GENERALIZED_TIME)?)?),
            None => None,
        };
        if let Some(extensions) = fields.optional(tag::constructed(1))? {
            none_critical(extensions.inside())?;
        }
        fields.end()?;
        Ok(Self { id, status, this_update, next_update })
    }
}

/// No extension of an answer is known here.
fn none_critical(mut extensions: Reader<'_>) -> Result<(), Malformed> {
    let mut list = extensions.expect(tag::SEQUENCE)?.inside();
    while !list.is_empty() {
        if extension(&mut list)?.1 {
            return Err(Malformed("it demands something that is not known here"));
        }
    }
    Ok(())
}
