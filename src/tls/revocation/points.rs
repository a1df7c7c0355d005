//! Whom a certificate says to ask (RFC 5280, 4.2.1.13 and 4.2.2.1).

use crate::tls::certificate::Certificate;
use crate::tls::der::{Malformed, Reader, tag};

/// Places that one certificate may name; behind them nobody looks.
const POINTS_MAX: usize = 8;
/// The longest URL.
const URL_BYTES_MAX: usize = 2048;
/// The method "OCSP" of an authority's access.
const OCSP: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 0x30, 1];
/// A `GeneralName` that is a URI.
const URI: u8 = tag::primitive(6);

/// Why certificates are revoked, as lists may be split by it (RFC 5280, `ReasonFlags`): a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u16);

impl Reasons {
    /// All nine, as the JDK counts them.
    pub const ALL: Self = Self(0x1FF);

    /// From the content of a BIT STRING.
    pub(super) fn of(content: &[u8]) -> Self {
        let bits = content.iter().skip(1).take(2).enumerate().flat_map(|(at, byte)| {
            (0..8_u16).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| {
                let at = u16::try_from(at).unwrap_or(u16::MAX);
                1_u16.checked_shl(u32::from(at.saturating_mul(8).saturating_add(bit))).unwrap_or(0)
            })
        });
        Self(bits.fold(0, |all, bit| all | bit) & Self::ALL.0)
    }

    /// Those that both have.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that the other does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Has these too from now on.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A place where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its names that are URLs, in their order; printable.
    pub urls: Vec<String>,
    /// All its names: tag and content.
    pub(super) names: Vec<(u8, Vec<u8>)>,
    /// What the list there tells of.
    pub(super) reasons: Reasons,
    /// Whether another one than the issuer keeps the list.
    pub(super) has_another_keeper: bool,
}

/// Where the lists are.
pub(super) fn points(certificate: &Certificate<'_>) -> Result<Vec<Point>, Malformed> {
    let mut list = Reader::new(certificate.extensions.lists.unwrap_or_default());
    let mut found = Vec::new();
    while !list.is_empty() && found.len() < POINTS_MAX {
        let mut fields = list.expect(tag::SEQUENCE)?.inside();
        let mut names = Vec::new();
        if let Some(name) = fields.optional(tag::constructed(0))? {
            names = full_names(name.inside())?;
        }
        let reasons =
            fields.optional(tag::primitive(1))?.map_or(Reasons::ALL, |bits| Reasons::of(bits.content));
        let has_another_keeper = fields.optional(tag::constructed(2))?.is_some();
        fields.end()?;
        let urls = names.iter().filter_map(|(tag, content)| url(*tag, content)).collect();
        found.push(Point { urls, names, reasons, has_another_keeper });
    }
    Ok(found)
}

/// The names of a `DistributionPointName`; one that is relative to a name of the directory is passed over, as nobody asks
/// a directory.
pub(super) fn full_names(mut name: Reader<'_>) -> Result<Vec<(u8, Vec<u8>)>, Malformed> {
    let Some(full) = name.optional(tag::constructed(0))? else { return Ok(Vec::new()) };
    let (mut list, mut names) = (full.inside(), Vec::new());
    while !list.is_empty() && names.len() < POINTS_MAX {
        let one = list.any()?;
        names.push((one.tag, one.content.to_vec()));
    }
    Ok(names)
}

/// Where the responder is: the first that is named.
pub(super) fn responder(certificate: &Certificate<'_>) -> Result<Option<String>, Malformed> {
    let mut list = Reader::new(certificate.extensions.access.unwrap_or_default());
    while !list.is_empty() {
        let mut fields = list.expect(tag::SEQUENCE)?.inside();
        let method = fields.expect(tag::OID)?.content;
        let place = fields.any()?;
        if let Some(url) = url(place.tag, place.content).filter(|_| method == OCSP) {
            return Ok(Some(url));
        }
    }
    Ok(None)
}

/// A name that is a URL of printable ASCII: it goes into requests and into log lines.
fn url(tag: u8, content: &[u8]) -> Option<String> {
    let is_printable = content.len() <= URL_BYTES_MAX && content.iter().all(u8::is_ascii_graphic);
    (tag == URI && is_printable).then(|| String::from_utf8_lossy(content).into_owned())
}
