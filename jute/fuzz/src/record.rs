//! Every record: the first byte chooses which, the rest is its bytes. No input panics; what decodes is,
//! after one round, a fixed point of encoding (the first round may replace malformed parts of strings
//! and non-canonical booleans).

use crate::common::KINDS;

/// Decodes `input`.
pub fn record(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let kind = KINDS[usize::from(*selector) % KINDS.len()];
    let Ok(first) = (kind.decode)(bytes) else { return };
    assert!(first.consumed <= bytes.len());
    let second = (kind.decode)(&first.encoded).expect("what was encoded decodes");
    assert_eq!(second.consumed, first.encoded.len(), "{}", kind.name);
    let third = (kind.decode)(&second.encoded).expect("what was encoded decodes");
    assert_eq!(second, third, "{}", kind.name);
}
