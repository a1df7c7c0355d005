//! Whether a certificate names a host (reference: `ZKHostnameVerifier`, which follows RFC 2818).

use std::net::IpAddr;

use super::certificate::Certificate;
use super::der::tag;
use super::names;

const DNS_NAME: u8 = tag::primitive(2);
const IP_ADDRESS: u8 = tag::primitive(7);

/// Whether the certificate is one of this host, which is a name or an address. The common name counts only where no
/// other name or address is given.
#[must_use]
pub fn is_named(certificate: &Certificate<'_>, host: &str) -> bool {
    let named =
        certificate.extensions.names.iter().filter(|(kind, _)| matches!(*kind, DNS_NAME | IP_ADDRESS));
    let mut named = named.peekable();
    if named.peek().is_none() {
        let common = names::common_name(certificate.subject).ok().flatten();
        return common.is_some_and(|common| matches(&host.to_lowercase(), &common.to_lowercase()));
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    named.any(|(kind, content)| match (address, *kind) {
        (Some(IpAddr::V4(address)), IP_ADDRESS) => *content == address.octets(),
        (Some(IpAddr::V6(address)), IP_ADDRESS) => *content == address.octets(),
        (None, DNS_NAME) => {
            let name = String::from_utf8_lossy(content).to_lowercase();
            matches(&host.to_lowercase(), &name)
        }
        _ => false,
    })
}

/// One asterisk stands for any part of one label.
fn matches(host: &str, pattern: &str) -> bool {
    let Some((prefix, suffix)) = pattern.split_once('*') else { return host == pattern };
    let rest = host.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    rest.is_some_and(|rest| !rest.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::Extensions;

    fn named(names: &[(u8, &[u8])], common: &str, host: &str) -> bool {
        let length = u8::try_from(common.len()).unwrap();
        let mut subject =
            vec![0x30, length + 11, 0x31, length + 9, 0x30, length + 7, 6, 3, 0x55, 4, 3, 0x0C, length];
        subject.extend(common.as_bytes());
        let certificate = Certificate {
            version: 3,
            serial: &[1],
            issuer: &[],
            subject: &subject,
            validity: (0, 0),
            key_algorithm: &[],
            key: &[],
            signed: &[],
            signature_algorithm: &[],
            signature: &[],
            extensions: Extensions { names: names.to_vec(), ..Extensions::default() },
        };
        is_named(&certificate, host)
    }

    #[test]
    fn an_address_must_be_named_as_an_address() {
        let names: &[(u8, &[u8])] = &[(DNS_NAME, b"127.0.0.2"), (IP_ADDRESS, &[127, 0, 0, 1])];
        assert!(named(names, "127.0.0.3", "127.0.0.1"));
        assert!(!named(names, "127.0.0.3", "127.0.0.2") && !named(names, "127.0.0.3", "127.0.0.3"));
        let six: &[(u8, &[u8])] = &[(IP_ADDRESS, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])];
        assert!(named(six, "", "::1") && named(six, "", "[0:0:0:0:0:0:0:1]") && !named(six, "", "::2"));
    }

    #[test]
    fn a_name_matches_in_any_case_and_by_one_asterisk() {
        let names: &[(u8, &[u8])] = &[(DNS_NAME, b"*.Example.com"), (DNS_NAME, b"one.org")];
        assert!(named(names, "", "A.example.COM") && named(names, "", "one.org"));
        assert!(!named(names, "", "a.b.example.com") && !named(names, "", "example.com"));
        assert!(!named(names, "two.org", "two.org"), "the common name does not count beside others");
    }

    #[test]
    fn the_common_name_counts_without_others() {
        assert!(named(&[], "127.0.0.1", "127.0.0.1") && named(&[(0x86, b"x:y")], "host", "HOST"));
        assert!(!named(&[], "other", "host"));
    }
}
