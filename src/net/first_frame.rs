//! What a fresh connection sends first.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use jute::Reader;
use jute::records::Record;
use jute::records::proto::ConnectRequest;

/// A connect request, with or without its last byte.
pub(super) fn decode_connect(frame: &[u8]) -> Option<(ConnectRequest, bool)> {
    if let Ok(connect) = ConnectRequest::decode(&mut Reader::new(frame)) {
        return Some((connect, true));
    }
    let mut completed = frame.to_vec();
    completed.push(0);
    ConnectRequest::decode(&mut Reader::new(&completed)).ok().map(|connect| (connect, false))
}

/// Names what came instead of a frame, where it can be recognised.
pub(super) fn describe_first_bytes(word: [u8; 4], length: i32) -> String {
    match &word {
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" | b"HTTP" => {
            "HTTP came on the client port; this port speaks ZooKeeper's protocol".into()
        }
        [0x16, 3, ..] => "TLS came on the plaintext client port".into(),
        _ => format!("a frame of {length} bytes was announced before a session was asked for"),
    }
}

#[cfg(test)]
mod tests {
    use jute::{SessionId, Zxid};

    use super::*;

    #[test]
    fn a_client_from_before_the_read_only_byte_asks_for_no_read_only_session() {
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(5),
            time_out: 4000,
            session_id: SessionId(7),
            passwd: Some(vec![1; 16]),
            read_only: true,
        };
        let frame = connect.to_bytes();
        assert_eq!(decode_connect(&frame), Some((connect.clone(), true)));
        let older = ConnectRequest { read_only: false, ..connect };
        assert_eq!(decode_connect(&frame[..frame.len() - 1]), Some((older, false)));
        assert_eq!(decode_connect(&frame[..frame.len() - 2]), None);
    }

    #[test]
    fn who_speaks_another_protocol_is_told_apart_in_the_log() {
        for word in [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"HTTP"] {
            assert!(describe_first_bytes(*word, 1).starts_with("HTTP came"));
        }
        assert!(describe_first_bytes([0x16, 3, 1, 2], 1).starts_with("TLS came"));
        let other = describe_first_bytes([0x7F, 0, 0, 1], 77);
        assert!(other.contains("77 bytes"), "{other}");
        assert!(describe_first_bytes([0x16, 4, 0, 0], 77).contains("77 bytes"));
    }
}
