//! What an X.509 certificate says (RFC 5280), of version 1 to 3, as far as this server asks.

use super::der::{Element, Malformed, Reader, tag};

/// Object identifiers of extensions.
mod extension {
    pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1D, 15];
    pub(super) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 17];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 19];
    pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 30];
    pub(super) const REVOCATION_LISTS: &[u8] = &[0x55, 0x1D, 31];
    pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 37];
    pub(super) const AUTHORITY_ACCESS: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 1, 1];
}

const SERVER_AUTH: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 2];
const OCSP_SIGNING: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 9];
const ANY_USAGE: &[u8] = &[0x55, 0x1D, 37, 0];

/// Extensions that are read; one more makes a certificate suspicious.
const EXTENSIONS_MAX: usize = 64;

/// A certificate, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// Its number at its issuer, the content of a DER INTEGER.
    pub serial: &'a [u8],
    /// The name of who issued it, DER.
    pub issuer: &'a [u8],
    /// The name of whom it is about, DER.
    pub subject: &'a [u8],
    /// Seconds since 1970 from which and until which it counts.
    pub validity: (i64, i64),
    /// The algorithm of its key, without the sequence around it.
    pub key_algorithm: &'a [u8],
    /// Its key.
    pub key: &'a [u8],
    /// What the issuer signed.
    pub signed: &'a [u8],
    /// The algorithm of the signature, without the sequence around it.
    pub signature_algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// What the extensions say.
    pub extensions: Extensions<'a>,
}

/// What the extensions say.
#[derive(Clone, Debug, Default)]
pub struct Extensions<'a> {
    /// Whether it may issue others.
    pub is_authority: bool,
    /// How many authorities may follow below it.
    pub path_length: Option<u32>,
    /// The first bits of the key usage, if that is given.
    pub key_usage: Option<u8>,
    /// Whether the extended key usage, if given, has that of TLS clients.
    pub allows_client: bool,
    /// The same for TLS servers.
    pub allows_server: bool,
    /// Whether the extended key usage, which must be given then, has that of OCSP responders.
    pub allows_ocsp: bool,
    /// Whether it limits names below it.
    pub limits_names: bool,
    /// Whether it demands something that is not known here.
    pub demands_unknown: bool,
    /// Other names: tag and content (RFC 5280, `GeneralName`).
    pub names: Vec<(u8, &'a [u8])>,
    /// Where lists of revoked certificates are (RFC 5280, `CRLDistributionPoints`), DER.
    pub lists: Option<&'a [u8]>,
    /// Where its issuer can be asked (RFC 5280, `AuthorityInfoAccessSyntax`), DER.
    pub access: Option<&'a [u8]>,
}

impl Extensions<'_> {
    /// Whether its key may sign what is not a certificate: a handshake.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & 0x80 != 0)
    }

    /// Whether its key may sign certificates.
    #[must_use]
    pub fn may_issue(&self) -> bool {
        self.is_authority && self.key_usage.is_none_or(|bits| bits & 0x04 != 0)
    }

    /// Whether its key may sign lists of revoked certificates.
    #[must_use]
    pub fn may_revoke(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & 0x02 != 0)
    }
}

impl<'a> Certificate<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut all = Reader::new(der);
        let mut outer = all.expect(tag::SEQUENCE)?.inside();
        all.end()?;
        let signed = outer.expect(tag::SEQUENCE)?;
        let signature_algorithm = outer.expect(tag::SEQUENCE)?.content;
        let signature = bits(outer.expect(tag::BIT_STRING)?)?;
        outer.end()?;

        let mut inner = signed.inside();
        let version = match inner.optional(tag::constructed(0))? {
            Some(version) => version.inside().number()?,
            None => 0,
        };
        let version = match version {
            0 => 1,
            1 => 2,
            2 => 3,
            _ => return Err(Malformed("the certificate has an unknown version")),
        };
        let serial = inner.expect(tag::INTEGER)?.content;
        if inner.expect(tag::SEQUENCE)?.content != signature_algorithm {
            return Err(Malformed("the certificate names two algorithms of its signature"));
        }
        let issuer = inner.expect(tag::SEQUENCE)?.whole;
        let mut validity = inner.expect(tag::SEQUENCE)?.inside();
        let validity = (time(validity.any()?)?, time(validity.any()?)?);
        let subject = inner.expect(tag::SEQUENCE)?.whole;
        let mut key_info = inner.expect(tag::SEQUENCE)?.inside();
        let key_algorithm = key_info.expect(tag::SEQUENCE)?.content;
        let key = bits(key_info.expect(tag::BIT_STRING)?)?;
        key_info.end()?;
        inner.optional(tag::primitive(1))?;
        inner.optional(tag::primitive(2))?;
        let extensions = match inner.optional(tag::constructed(3))? {
            Some(list) if version == 3 => extensions(list.inside().expect(tag::SEQUENCE)?.inside())?,
            Some(_) => return Err(Malformed("a certificate of an old version has extensions")),
            None => Extensions { allows_client: true, allows_server: true, ..Extensions::default() },
        };
        inner.end()?;
        Ok(Self {
            version,
            serial,
            issuer,
            subject,
            validity,
            key_algorithm,
            key,
            signed: signed.whole,
            signature_algorithm,
            signature,
            extensions,
        })
    }

    /// Whether it counts at this time, in seconds since 1970.
    #[must_use]
    pub const fn counts_at(&self, now: i64) -> bool {
        self.validity.0 <= now && now <= self.validity.1
    }
}

/// The bytes of a bit string that has whole bytes.
pub(super) fn bits<'a>(element: Element<'a>) -> Result<&'a [u8], Malformed> {
    match element.content {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Malformed("a bit string has a part of a byte")),
    }
}

fn extensions(mut list: Reader<'_>) -> Result<Extensions<'_>, Malformed> {
    let mut found = Extensions { allows_client: true, allows_server: true, ..Extensions::default() };
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if count > EXTENSIONS_MAX {
            return Err(Malformed("the certificate has too many extensions"));
        }
        let mut one = list.expect(tag::SEQUENCE)?.inside();
        let oid = one.expect(tag::OID)?.content;
        let is_critical = one.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
        let mut value = one.expect(tag::OCTET_STRING)?.inside();
        one.end()?;
        match oid {
            extension::KEY_USAGE => {
                let usage = value.expect(tag::BIT_STRING)?.content;
                found.key_usage = Some(usage.get(1).copied().unwrap_or(0));
            }
            extension::BASIC_CONSTRAINTS => {
                let mut constraints = value.expect(tag::SEQUENCE)?.inside();
                found.is_authority =
                    constraints.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
                found.path_length = if constraints.is_empty() { None } else { Some(constraints.number()?) };
            }
            extension::EXTENDED_KEY_USAGE => {
                let mut usages = value.expect(tag::SEQUENCE)?.inside();
                (found.allows_client, found.allows_server) = (false, false);
                while !usages.is_empty() {
                    let usage = usages.expect(tag::OID)?.content;
                    found.allows_client |= usage == CLIENT_AUTH || usage == ANY_USAGE;
                    found.allows_server |= usage == SERVER_AUTH || usage == ANY_USAGE;
                    found.allows_ocsp |= usage == OCSP_SIGNING;
                }
            }
            extension::ALTERNATIVE_NAMES => {
                let mut names = value.expect(tag::SEQUENCE)?.inside();
                while !names.is_empty() {
                    let name = names.any()?;
                    found.names.push((name.tag, name.content));
                }
            }
            extension::NAME_CONSTRAINTS => found.limits_names = true,
            // These are not allowed to be critical, or to say how; whoever demands that is not understood.
            extension::REVOCATION_LISTS => {
                found.lists = Some(value.expect(tag::SEQUENCE)?.content);
                found.demands_unknown |= is_critical;
            }
            extension::AUTHORITY_ACCESS => {
                found.access = Some(value.expect(tag::SEQUENCE)?.content);
                found.demands_unknown |= is_critical;
            }
            _ => found.demands_unknown |= is_critical,
        }
    }
    Ok(found)
}

/// Seconds since 1970.
pub(super) fn time(element: Element<'_>) -> Result<i64, Malformed> {
    const WRONG: Malformed = Malformed("a time cannot be read");
    let text = std::str::from_utf8(element.content).map_err(|_| WRONG)?;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.ok_or(WRONG)?;
    let (year, rest) = match (element.tag, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year: i64 = year.parse().map_err(|_| WRONG)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (tag::GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (year.parse().map_err(|_| WRONG)?, rest)
        }
        _ => return Err(WRONG),
    };
    let part = |index: usize, min: i64, max: i64| {
        let number: i64 = rest.get(index..index + 2).and_then(|text| text.parse().ok()).ok_or(WRONG)?;
        if (min..=max).contains(&number) { Ok(number) } else { Err(WRONG) }
    };
    let (month, day) = (part(0, 1, 12)?, part(2, 1, 31)?);
    let (hour, minute, second) = (part(4, 0, 23)?, part(6, 0, 59)?, part(8, 0, 59)?);
    // Days from 1970 by the rule of Gregorian years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Ok(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        let of = |tag, text: &str| time(Element { tag, content: text.as_bytes(), whole: &[] });
        assert_eq!(of(tag::UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(of(tag::UTC_TIME, "000229120000Z"), Ok(951_825_600));
        assert_eq!(of(tag::UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(of(tag::UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(of(tag::GENERALIZED_TIME, "20501231000000Z"), Ok(2_556_057_600));
        for text in ["7001010000Z", "701301000000Z", "70010100000aZ", "700101000000+0100", ""] {
            assert!(of(tag::UTC_TIME, text).is_err(), "{text}");
        }
    }
}
