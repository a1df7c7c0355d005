//! Addresses of the `ip` scheme (reference: `IPAuthenticationProvider`). The reference reads them with
//! its own rules, not the platform's: `01.2.3.4` is an address, `::ffff:1.2.3.4` is none.

use std::net::IpAddr;

/// How the `ip` scheme names a client: as Java prints addresses, so without `::`. IPv4 in IPv6 is IPv4.
#[must_use]
pub fn identity(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:x}")).join(":"),
    }
}

/// An address, as the reference reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    bits: u128,
    /// 32 or 128.
    width: u32,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    network: Address,
    length: u32,
}

impl Address {
    /// Reads an address; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(bits) = plain_v4(text.as_bytes()) {
            return Some(Self { bits: bits.into(), width: 32 });
        }
        if text.contains(':') { Self::parse_v6(text) } else { Self::parse_v4(text) }
    }

    /// The range of all addresses that begin with its first `length` bits, if it has so many.
    pub(super) fn range(self, length: u32) -> Option<Range> {
        (length <= self.width).then(|| Range { network: self, length }.canonical())
    }

    fn parse_v4(text: &str) -> Option<Self> {
        let (mut bits, mut octets) = (0, 0);
        for octet in text.split('.') {
            let value = octet.parse::<i32>().ok().and_then(|value| u8::try_from(value).ok())?;
            bits = bits << 8 | u128::from(value);
            octets += 1;
        }
        (octets == 4).then_some(Self { bits, width: 32 })
    }

    fn parse_v6(text: &str) -> Option<Self> {
        let mut halves = text.split("::");
        let (head, given) = parse_segments(halves.next()?)?;
        let Some(tail) = halves.next() else {
            return (given == 8).then_some(Self { bits: head, width: 128 });
        };
        let (tail, more) = parse_segments(tail)?;
        if halves.next().is_some() || given + more >= 8 {
            return None;
        }
        // The head is not shifted by its whole width: at least one segment is left out.
        let head = if given == 0 { 0 } else { head << (16 * (8 - given)) };
        Some(Self { bits: head | tail, width: 128 })
    }
}

/// Four octets of one to three digits each, as nearly every address is written. A list may have 50,000 of them, and
/// each is read at every check.
fn plain_v4(text: &[u8]) -> Option<u32> {
    let (mut bits, mut octet, mut digits, mut octets) = (0_u32, 0_u32, 0_u8, 0_u8);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && octet <= 255 && octets < 3 => {
                bits = bits << 8 | octet;
                (octet, digits, octets) = (0, 0, octets + 1);
            }
            _ => return None,
        }
    }
    (digits > 0 && octet <= 255 && octets == 3).then_some(bits << 8 | octet)
}

impl Range {
    /// Reads what can stand in an access control list: an address, perhaps with a prefix length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let network = Address::parse(address)?;
        let length = match length {
            None => network.width,
            Some(length) => {
                u32::try_from(length.parse::<i32>().ok()?).ok().filter(|length| *length <= network.width)?
            }
        };
        Some(Self { network, length })
    }

    /// How many bits its addresses begin with.
    pub(super) const fn length(self) -> u32 {
        self.length
    }

    /// The same range, with all other bits zero: ranges of the same addresses are equal then.
    pub(super) fn canonical(self) -> Self {
        let behind = self.network.width - self.length;
        let bits = self.network.bits.checked_shr(behind).unwrap_or(0).checked_shl(behind).unwrap_or(0);
        Self { network: Address { bits, ..self.network }, ..self }
    }

    /// Whether `address` begins with the same bits; both of one family.
    #[must_use]
    pub fn contains(self, address: Address) -> bool {
        let different = self.network.bits ^ address.bits;
        let behind = self.network.width - self.length;
        address.width == self.network.width && different.checked_shr(behind).unwrap_or(0) == 0
    }
}

/// The segments of one half as a number, and how many there are; a missing half has none.
fn parse_segments(half: &str) -> Option<(u128, usize)> {
    let (mut bits, mut count) = (0, 0);
    if half.is_empty() {
        return Some((bits, count));
    }
    for segment in half.split(':') {
        if segment.is_empty() || segment.len() > 4 {
            return None;
        }
        bits = bits << 16 | u128::from(i32::from_str_radix(segment, 16).ok()? as u16);
        count += 1;
    }
    Some((bits, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(address: &str, range: &str) -> bool {
        Range::parse(range).unwrap().contains(Address::parse(address).unwrap())
    }

    fn is_range(text: &str) -> bool {
        Range::parse(text).is_some()
    }

    #[test]
    fn ranges_match_by_prefix_and_family() {
        assert!(matches("10.1.2.3", "10.0.0.0/8"));
        assert!(!matches("11.1.2.3", "10.0.0.0/8"));
        assert!(matches("10.1.2.3", "10.1.2.3"));
        assert!(matches("10.1.2.3", "10.1.2.0/31") == matches("10.1.2.1", "10.1.2.2/31"));
        assert!(matches("0:0:0:0:0:0:0:1", "::/0"));
        assert!(matches("0:0:0:0:0:0:0:1", "::1"));
        assert!(!matches("0:0:0:0:0:0:0:1", "0.0.0.0/0"));
        assert!(matches("fe80:0:0:0:0:0:0:7", "fe80::/64") && !matches("fe81:0:0:0:0:0:0:7", "fe80::/64"));
        assert!(matches("1:2:3:0:0:0:0:8", "1:2:3::8") && matches("1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7::"));
    }

    #[test]
    fn addresses_are_read_by_the_references_rules() {
        for good in ["01.2.3.4", "1.2.3.4/0", "::", "1::", "fe80::1/64", "1:2:3:4:5:6:7:8", "+1.2.3.4"] {
            assert!(is_range(good), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.256",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "::ffff:1.2.3.4",
            ":::",
            "1::2::3",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
        ] {
            assert!(!is_range(bad), "{bad}");
        }
    }

    #[test]
    fn clients_are_named_as_java_names_them() {
        assert_eq!(identity("::1".parse().expect("an address")), "0:0:0:0:0:0:0:1");
        assert_eq!(identity("::ffff:127.0.0.1".parse().expect("an address")), "127.0.0.1");
    }

    proptest::proptest! {
        #[test]
        fn plain_addresses_are_read_as_by_the_careful_way(
            octets in proptest::collection::vec("[0-9]{0,4}|-1|\\+1|25[0-9]|a", 1..6),
        ) {
            let text = octets.join(".");
            if let Some(bits) = plain_v4(text.as_bytes()) {
                proptest::prop_assert_eq!(Address::parse_v4(&text), Some(Address { bits: bits.into(), width: 32 }));
            }
        }

        #[test]
        fn an_address_of_four_numbers_is_read_the_quick_way(octets: [u8; 4]) {
            let text = octets.map(|octet| octet.to_string()).join(".");
            proptest::prop_assert_eq!(plain_v4(text.as_bytes()), Some(u32::from_be_bytes(octets)));
        }
    }
}
