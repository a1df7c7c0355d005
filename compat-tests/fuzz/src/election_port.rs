//! What another server says on its connection to the election port: the handshake, then messages. No input panics;
//! what is taken for a message is the same when it is sent on.

use jute_fuzz::peak_bytes;
use oxkeeper::quorum::messages;
use oxkeeper::zab::Notification;

const WORST_FACTOR: usize = 64;
const PEAK_BYTES_MAX: usize = 1 << 20;

/// Hears `input`.
pub fn election_port(input: &[u8]) {
    let mut heard = Vec::new();
    let peak = peak_bytes(|| heard = messages(input));
    assert!(peak <= PEAK_BYTES_MAX + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
    for message in heard {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let again = Notification::decode(&bytes.into()).expect("what was encoded decodes");
        assert_eq!(Notification { version: again.version, ..message }, again);
    }
}
