//! A payload of the log. No input panics; what decodes is, after one round, a fixed point of encoding.

use jute::txn::TxnEntry;

fn encoded(entry: &TxnEntry) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    bytes
}

/// Decodes `input`.
pub fn txn_entry(input: &[u8]) {
    let Ok(first) = TxnEntry::decode(input) else { return };
    assert_eq!(first.header.r#type, first.body.op().0);
    let second = TxnEntry::decode(&encoded(&first)).expect("what was encoded decodes");
    let third = TxnEntry::decode(&encoded(&second)).expect("what was encoded decodes");
    assert_eq!(second, third);
}
