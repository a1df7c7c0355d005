//! The tree's digest, equal to the reference's (`DigestCalculator`, `AdHash`): the sum of a CRC-32 per
//! node, so that it changes in constant time with each change.

use jute::records::data::StatPersisted;

/// The version of this algorithm, written beside every digest.
pub const VERSION: i32 = 2;

/// CRC-32 over path and data: the part of a node's digest that only new data changes.
#[must_use]
pub fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// A node's digest. The order of the fields is not that of the file format.
#[must_use]
pub fn node(content_crc: u32, stat: &StatPersisted) -> u64 {
    let mut fields = [0; 60];
    let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime, stat.mtime];
    let ints = [stat.version, stat.cversion, stat.aversion];
    let (head, tail) = fields.split_at_mut(40);
    for (slot, value) in head.chunks_exact_mut(8).zip(longs) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
    let (middle, owner) = tail.split_at_mut(12);
    for (slot, value) in middle.chunks_exact_mut(4).zip(ints) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
    owner.copy_from_slice(&stat.ephemeral_owner.0.to_be_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(content_crc);
    crc.update(&fields);
    u64::from(crc.finalize())
}

/// Whether the node counts: what lies below `/zookeeper` changes without transactions.
#[must_use]
pub fn counts(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}
