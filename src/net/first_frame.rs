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
