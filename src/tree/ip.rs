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

/// Whether `range` can stand in an access control list: an address, perhaps with a prefix length.
#[must_use]
pub fn is_range(range: &str) -> bool {
    parse_range(range).is_some()
}

/// Whether `address` lies in `range`; both of one family.
#[must_use]
pub fn matches(address: &str, range: &str) -> bool {
    let (Some(address), Some((network, bits))) = (parse_address(address), parse_range(range)) else {
        return false;
    };
    address.len() == network.len() && leading_bits_equal(&address, &network, bits)
}

fn leading_bits_equal(a: &[u8], b: &[u8], bits: usize) -> bool {
    a.iter().zip(b).enumerate().all(|(index, (a, b))| {
        let here = bits.saturating_sub(index * 8).min(8);
        let mask = !(0xFF_u16 >> here) as u8;
        (a ^ b) & mask == 0
    })
}

fn parse_range(range: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match range.split_once('/') {
        None => (range, None),
        Some((address, bits)) => (address, Some(bits)),
    };
    let address = parse_address(address)?;
    let widest = address.len() * 8;
    let bits = match bits {
        None => widest,
        Some(bits) => usize::try_from(bits.parse::<i32>().ok()?).ok().filter(|bits| *bits <= widest)?,
    };
    Some((address, bits))
}

fn parse_address(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') { parse_v6(text) } else { parse_v4(text) }
}

fn parse_v4(text: &str) -> Option<Vec<u8>> {
    let octets =
        text.split('.').map(|octet| octet.parse::<i32>().ok().and_then(|value| u8::try_from(value).ok()));
    octets.collect::<Option<Vec<u8>>>().filter(|octets| octets.len() == 4)
}

fn parse_v6(text: &str) -> Option<Vec<u8>> {
    let halves: Vec<&str> = text.split("::").collect();
    let (head, tail) = match halves.as_slice() {
        [whole] => (parse_segments(whole)?, Vec::new()),
        [head, tail] => (parse_segments(head)?, parse_segments(tail)?),
        _ => return None,
    };
    let given = head.len() + tail.len();
    let is_complete = if halves.len() == 1 { given == 16 } else { given < 16 };
    is_complete.then(|| [head, vec![0; 16 - given], tail].concat())
}

/// Segments of one half; a missing half has none.
fn parse_segments(half: &str) -> Option<Vec<u8>> {
    if half.is_empty() {
        return Some(Vec::new());
    }
    let mut bytes = Vec::new();
    for segment in half.split(':') {
        if segment.is_empty() || segment.len() > 4 {
            return None;
        }
        bytes.extend_from_slice(&(i32::from_str_radix(segment, 16).ok()? as u16).to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_match_by_prefix_and_family() {
        assert!(matches("10.1.2.3", "10.0.0.0/8"));
        assert!(!matches("11.1.2.3", "10.0.0.0/8"));
        assert!(matches("10.1.2.3", "10.1.2.3"));
        assert!(matches("10.1.2.3", "10.1.2.0/31") == matches("10.1.2.1", "10.1.2.2/31"));
        assert!(matches("0:0:0:0:0:0:0:1", "::/0"));
        assert!(matches("0:0:0:0:0:0:0:1", "::1"));
        assert!(!matches("0:0:0:0:0:0:0:1", "0.0.0.0/0"));
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
        ] {
            assert!(!is_range(bad), "{bad}");
        }
    }

    #[test]
    fn clients_are_named_as_java_names_them() {
        assert_eq!(identity("::1".parse().expect("an address")), "0:0:0:0:0:0:0:1");
        assert_eq!(identity("::ffff:127.0.0.1".parse().expect("an address")), "127.0.0.1");
    }
}
