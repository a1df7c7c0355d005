//! Key and trust stores: JKS, PKCS#12 and PEM. No input panics or takes unbounded memory; what is wrong can be told. The
//! first byte says how the store is said to be written.

use jute_fuzz::peak_bytes;
use oxkeeper::secret::Secret;
use oxkeeper::tls::stores::{Format, keys, trusted};

const WORST_FACTOR: usize = 256;
const SLACK_BYTES: usize = 1 << 20;

/// Opens `input`.
pub fn key_stores(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let format = [Format::Jks, Format::Pem, Format::Pkcs12, Format::Bcfks][usize::from(selector & 3)];
    let password = Secret::from("secret-of-test");
    let peak = peak_bytes(|| {
        if let Err(error) = keys(format, bytes, &password) {
            assert!(!error.to_string().contains("secret-of-test"));
        }
        let _any = trusted(format, bytes, &password);
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
}
