//! How the dialing side of the election port introduces itself (reference: `QuorumCnxManager.startConnection`,
//! `InitialMessage.parse`).

use std::net::IpAddr;

use jute::write;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::dial::Address;
use crate::logging::shown;
use crate::zab::Sid;

/// One address follows.
const ONE_ADDRESS: i64 = -65_536;
/// Several may follow.
const SEVERAL_ADDRESSES: i64 = -65_535;
/// The longest list of addresses.
const ADDRESS_BYTES_MAX: usize = 2048;
/// Of a longer list of addresses only so many are dialed.
const ADDRESSES_MAX: usize = 8;

/// Who dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Its number; [`Sid::MAX`] for an observer that has none.
    pub(super) sid: Sid,
    /// Where its election port is, as far as it says so.
    pub(super) addresses: Vec<Address>,
}

/// What this server says, whole: a reference server takes it only if it comes in one segment.
pub(super) fn encode(me: Sid, addresses: &[Address], several: bool) -> Vec<u8> {
    let sent = if several { addresses } else { addresses.get(..1).unwrap_or_default() };
    let text: Vec<_> = sent.iter().map(Address::to_string).collect();
    let mut out = Vec::new();
    write::long(&mut out, if several { SEVERAL_ADDRESSES } else { ONE_ADDRESS });
    write::long(&mut out, me);
    write::buffer(&mut out, Some(text.join("|").as_bytes()));
    out
}

/// Reads what another server says, and nothing beyond.
///
/// # Errors
/// Why it is none.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Handshake, String> {
    let ended = |error: std::io::Error| format!("the connection ended within the handshake: {error}");
    let version = stream.read_i64().await.map_err(ended)?;
    if version >= 0 {
        // Servers before 3.5 say only who they are.
        return Ok(Handshake { sid: version, addresses: Vec::new() });
    }
    if ![ONE_ADDRESS, SEVERAL_ADDRESSES].contains(&version) {
        return Err(format!("the handshake begins with {version}, which is no known version of it"));
    }
    let sid = stream.read_i64().await.map_err(ended)?;
    let length = stream.read_i32().await.map_err(ended)?;
    let bytes = usize::try_from(length).ok().filter(|bytes| (1..=ADDRESS_BYTES_MAX).contains(bytes));
    let Some(bytes) = bytes else {
        return Err(format!("the handshake of server {sid} has an address of {length} bytes"));
    };
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).await.map_err(ended)?;
    let text = String::from_utf8_lossy(&text);
    let mut addresses = Vec::new();
    for part in text.split('|') {
        let address = parse(part).ok_or_else(|| {
            format!("the handshake of server {sid} has {}, which is no host:port", shown(part))
        })?;
        let is_wildcard = address.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
        if !is_wildcard && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    Ok(Handshake { sid, addresses })
}

fn parse(text: &str) -> Option<Address> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    Some(Address { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    #[test]
    fn a_handshake_is_byte_for_byte_the_reference_s() {
        let addresses = [address("127.0.0.1", 3888), address("::1", 3889)];
        let one = b"\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0\0\0\0\0\0\x03\0\0\0\x0E127.0.0.1:3888";
        assert_eq!(encode(3, &addresses, false), one);
        let several = b"\xFF\xFF\xFF\xFF\xFF\xFF\0\x01\0\0\0\0\0\0\0\x03\0\0\0\x19127.0.0.1:3888|[::1]:3889";
        assert_eq!(encode(3, &addresses, true), several);
    }

    #[tokio::test]
    async fn every_form_is_read_and_wildcards_are_dropped() {
        let addresses = [address("one", 3888), address("0.0.0.0", 3889), address("::", 1), address("::1", 2)];
        let kept = vec![addresses[0].clone(), addresses[3].clone()];
        let found = read(&mut &encode(7, &addresses, true)[..]).await;
        assert_eq!(found, Ok(Handshake { sid: 7, addresses: kept }));
        let found = read(&mut &encode(7, &addresses, false)[..]).await;
        assert_eq!(found, Ok(Handshake { sid: 7, addresses: vec![addresses[0].clone()] }));
        let mut rest = &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0][..];
        assert_eq!(read(&mut rest).await, Ok(Handshake { sid: 9, addresses: vec![] }));
        assert_eq!(rest, [0, 0], "nothing beyond it is read");
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_refused() {
        let good = encode(7, &[address("one", 3888)], false);
        for end in 0..good.len() {
            assert!(read(&mut &good[..end]).await.is_err(), "{end}");
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            bad
        };
        for bad in [with(7, 5), with(16, 0x80), with(16, 0x7F), with(18, 0x09), with(19, 0), with(25, b'x')] {
            assert!(read(&mut &bad[..]).await.is_err(), "{bad:?}");
        }
        for text in ["one", "one:", "one:66000", "[::1:3", ":", "one:1|", "one:1:2"] {
            assert_eq!(parse(text.rsplit('|').next().unwrap()), None, "{text}");
        }
    }
}
