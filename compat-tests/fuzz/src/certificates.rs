//! What a client shows as its certificate. No input panics or takes unbounded memory.

use jute_fuzz::peak_bytes;
use oxkeeper::tls::certificate::Certificate;
use oxkeeper::tls::{host, names};

const WORST_FACTOR: usize = 256;
const SLACK_BYTES: usize = 1 << 20;

/// Reads `input` as a certificate, and as a name.
pub fn certificates(input: &[u8]) {
    let peak = peak_bytes(|| {
        let _any = names::rfc2253(input);
        let Ok(read) = Certificate::read(input) else { return };
        let _any = (names::rfc2253(read.subject), names::common_name(read.issuer));
        let _any = (host::is_named(&read, "127.0.0.1"), host::is_named(&read, "localhost"));
        let _any = read.counts_at(1 << 40);
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
}
