//! Packets of the quorum port. No input panics or takes unbounded memory, and it does not matter in which pieces it
//! comes.
//!
//! The first byte chooses who speaks, the second where the bytes are cut.

use bytes::{Bytes, BytesMut};
use jute_fuzz::peak_bytes;
use oxkeeper::zab::Packet;

const DATA_BYTES_MAX: usize = 1 << 20;
const WORST_FACTOR: usize = 64;
const PEAK_BYTES_MAX: usize = 1 << 20;

/// Hears `input`.
pub fn quorum_packets(input: &[u8]) {
    let [selector, cut, bytes @ ..] = input else { return };
    let mut whole = None;
    let peak = peak_bytes(|| whole = Some(hear(&[bytes], *selector)));
    assert!(peak <= PEAK_BYTES_MAX + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(whole, Some(hear(&[head, tail], *selector)));
}

/// What is understood, and why no more is, if something is wrong.
fn hear(pieces: &[&[u8]], selector: u8) -> (Vec<String>, Option<String>) {
    let mut understood = Vec::new();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match Packet::length(&buffer, DATA_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some(length)) => match understand(&buffer.split_to(length).freeze(), selector) {
                    Ok(said) => understood.push(said),
                    Err(why) => return (understood, Some(why)),
                },
                Err(why) => return (understood, Some(why.to_string())),
            }
        }
    }
    (understood, None)
}

fn understand(bytes: &Bytes, selector: u8) -> Result<String, String> {
    let packet = Packet::decode(bytes).map_err(|bad| bad.to_string())?;
    if let Some(zxid) = packet.snapshot() {
        return Ok(format!("a snapshot of {zxid}"));
    }
    let understood = match selector % 3 {
        0 => packet.into_hello().map(|hello| format!("{hello:?}")),
        1 => packet.into_from_learner().map(|said| format!("{said:?}")),
        _ => packet.into_from_master().map(|said| format!("{said:?}")),
    };
    understood.map_err(|bad| bad.to_string())
}
