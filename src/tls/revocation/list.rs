//! Lists of revoked certificates (RFC 5280, section 5), as far as the issuer of a certificate keeps them itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::points::{Point, Reasons, full_names};
use super::{Status, is_current};
use crate::tls::certificate::{Certificate, bits, time};
use crate::tls::der::{Malformed, Reader, tag};
use crate::tls::path::Signature;

/// The extension that says which part of the issuer's certificates a list is about.
const ISSUING_POINT: &[u8] = &[0x55, 0x1D, 28];
/// Extensions of an entry that are known: why it was revoked, and by whom it was issued.
const REASON: &[u8] = &[0x55, 0x1D, 21];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1D, 29];

/// A list, borrowed from its bytes.
pub(super) struct List<'a> {
    /// What the issuer signed.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: Signature<'a>,
    issuer: &'a [u8],
    this_update: i64,
    next_update: Option<i64>,
    entries: Reader<'a>,
    scope: Scope,
    demands_unknown: bool,
}

/// What a list is about (RFC 5280, `IssuingDistributionPoint`).
struct Scope {
    /// Its names, where it has any.
    names: Option<Vec<(u8, Vec<u8>)>>,
    only_users: bool,
    only_authorities: bool,
    only_attributes: bool,
    reasons: Reasons,
    /// It holds certificates of others too.
    is_indirect: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            names: None,
            only_users: false,
            only_authorities: false,
            only_attributes: false,
            reasons: Reasons::ALL,
            is_indirect: false,
        }
    }
}

/// The content of a list that is written as PEM, as the JDK takes it too.
pub(super) fn from_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("-----BEGIN X509 CRL-----")?;
    let (base64, _) = rest.split_once("-----END X509 CRL-----")?;
    let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).ok()
}

impl<'a> List<'a> {
    /// Reads all but the entries.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut all = Reader::new(der);
        let mut outer = all.expect(tag::SEQUENCE)?.inside();
        all.end()?;
        let signed = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?.content;
        let signature = Signature { algorithm, bytes: bits(outer.expect(tag::BIT_STRING)?)? };
        outer.end()?;

        let mut inner = signed.inside();
        if inner.peek() == Some(tag::INTEGER) && inner.number()? != 1 {
            return Err(Malformed("the list has an unknown version"));
        }
        if inner.expect(tag::SEQUENCE)?.content != algorithm {
            return Err(Malformed("the list names two algorithms of its signature"));
        }
        let issuer = inner.expect(tag::SEQUENCE)?.whole;
        let this_update = time(inner.any()?)?;
        let next_update = match inner.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Some(time(inner.any()?)?),
            _ => None,
        };
        let entries = inner.optional(tag::SEQUENCE)?.map_or(Reader::new(&[]), |entries| entries.inside());
        let (mut scope, mut demands_unknown) = (Scope::default(), false);
        if let Some(extensions) = inner.optional(tag::constructed(0))? {
            let mut extensions = extensions.inside().expect(tag::SEQUENCE)?.inside();
            while !extensions.is_empty() {
                let (oid, is_critical, value) = extension(&mut extensions)?;
                match oid {
                    ISSUING_POINT => scope = Scope::read(value)?,
                    _ => demands_unknown |= is_critical,
                }
            }
        }
        inner.end()?;
        Ok(Self {
            signed: signed.whole,
            signature,
            issuer,
            this_update,
            next_update,
            entries,
            scope,
            demands_unknown,
        })
    }

    /// Which reasons it tells of for a certificate that names this point.
    ///
    /// # Errors
    /// Why it is not about the certificate, or does not count now.
    pub(super) fn tells_of(
        &self,
        certificate: &Certificate<'_>,
        point: &Point,
        now: i64,
    ) -> Result<Reasons, &'static str> {
        let Some(next_update) = self.next_update else { return Err("it does not say until when it counts") };
        if !is_current(self.this_update, next_update, now) {
            return Err("its time has not come, or is over");
        }
        if self.issuer != certificate.issuer || self.scope.is_indirect || point.has_another_keeper {
            return Err("it is not kept by the issuer of the certificate, and no other list is read");
        }
        let is_authority = certificate.extensions.is_authority;
        let scope = &self.scope;
        if scope.only_attributes
            || scope.only_users && is_authority
            || scope.only_authorities && !is_authority
            || scope.names.as_ref().is_some_and(|names| !names.iter().any(|name| point.names.contains(name)))
        {
            return Err("it is about other certificates of the issuer");
        }
        if self.demands_unknown {
            return Err("it demands something that is not known here");
        }
        Ok(scope.reasons.and(point.reasons))
    }

    /// Whether the certificate stands in it.
    ///
    /// # Errors
    /// An entry cannot be read, or demands something unknown.
    pub(super) fn status_of(&self, certificate: &Certificate<'_>, now: i64) -> Result<Status, String> {
        let mut entries = self.entries;
        while !entries.is_empty() {
            let entry = entries.expect(tag::SEQUENCE).map_err(|why| why.to_string())?;
            let mut fields = entry.inside();
            let serial = fields.expect(tag::INTEGER).map_err(|why| why.to_string())?;
            if serial.content == certificate.serial {
                return revoked(fields, now).map_err(|why| why.to_string());
            }
        }
        Ok(Status::Good)
    }
}

/// What an entry says behind its number. A time that has not come does not count, as in the JDK.
fn revoked(mut fields: Reader<'_>, now: i64) -> Result<Status, Malformed> {
    let at = time(fields.any()?)?;
    if let Some(extensions) = fields.optional(tag::SEQUENCE)? {
        let mut extensions = extensions.inside();
        while !extensions.is_empty() {
            let (oid, is_critical, _) = extension(&mut extensions)?;
            if is_critical && oid != REASON && oid != CERTIFICATE_ISSUER {
                return Err(Malformed(
                    "the entry of the certificate demands something that is not known here",
                ));
            }
        }
    }
    fields.end()?;
    Ok(if at < now { Status::Revoked } else { Status::Good })
}

/// The next extension: what it is, whether it is critical, and its value.
pub(super) fn extension<'a>(list: &mut Reader<'a>) -> Result<(&'a [u8], bool, Reader<'a>), Malformed> {
    let mut one = list.expect(tag::SEQUENCE)?.inside();
    let oid = one.expect(tag::OID)?.content;
    let is_critical = one.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
    let value = one.expect(tag::OCTET_STRING)?.inside();
    one.end()?;
    Ok((oid, is_critical, value))
}

impl Scope {
    fn read(mut value: Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = value.expect(tag::SEQUENCE)?.inside();
        value.end()?;
        let mut scope = Self::default();
        if let Some(name) = fields.optional(tag::constructed(0))? {
            scope.names = Some(full_names(name.inside())?);
        }
        let mut flag = |number| -> Result<bool, Malformed> {
            Ok(fields.optional(tag::primitive(number))?.is_some_and(|flag| flag.content != [0]))
        };
        (scope.only_users, scope.only_authorities) = (flag(1)?, flag(2)?);
        if let Some(bits) = fields.optional(tag::primitive(3))? {
            scope.reasons = Reasons::of(bits.content);
        }
        let mut flag = |number| -> Result<bool, Malformed> {
            Ok(fields.optional(tag::primitive(number))?.is_some_and(|flag| flag.content != [0]))
        };
        (scope.is_indirect, scope.only_attributes) = (flag(4)?, flag(5)?);
        fields.end()?;
        Ok(scope)
    }
}
