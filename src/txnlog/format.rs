//! The bytes of a log file. Reference: `FileTxnLog`, `FilePadding`, `Util`.
//!
//! ```text
//! file    ┌─────────────┬─────────────┬─────────┬─ ─ ─┬──────────────┐
//!         │ magic  ZKLG │ version   2 │ dbid  0 │ …   │ zero padding │
//!         │ 4           │ 4           │ 8       │     │              │
//!         └─────────────┴─────────────┴─────────┴─ ─ ─┴──────────────┘
//! record  ┌─────────────────────┬──────────┬─────────────────┬──────┐
//!         │ Adler-32 of payload │ length N │ payload         │ 0x42 │
//!         │ 8, upper half zero  │ 4        │ N               │ 1    │
//!         └─────────────────────┴──────────┴─────────────────┴──────┘
//! ```
//!
//! A file is named `log.` and the zxid of its first record in hexadecimal. All integers are
//! big-endian. The payload is a [`jute::txn::TxnEntry`].
//!
//! What stands where a record should begin is one of three things:
//!
//! - *the end*: nothing but zeros up to the end of the file;
//! - *a torn tail*: bytes that are no valid record, that a crash in the middle of a batch can leave, with
//!   no valid record after them that can have been durable;
//! - *corruption*: anything else. The reference stops reading without a word at a wrong length or
//!   trailer; here that would lose acknowledged transactions, so it is an error.
//!
//! What a crash can leave follows from three facts. At most [`UNSYNCED_BYTES_MAX`] are ever unsynced. A
//! file is written once, into space that reads as zeros, so what was not written is zeros. And a batch is
//! stored from its first byte to its last, in whole words, so a page that went to the disk in the middle of
//! the batch, and not again, ends in zeros; so does each line of a page that changed while the device took it
//! line by line. (The kernel's own copy, behind a plain write of ours or of the reference, is as good: it fills
//! lines from their beginning.)
//!
//! Where valid records follow the bad place:
//!
//! | distance of the last of them | a sector of zeros in between, or a page that ends in zeros | verdict |
//! |---|---|---|
//! | at most twice [`UNSYNCED_BYTES_MAX`] | yes | torn tail |
//! | at most twice [`UNSYNCED_BYTES_MAX`] | no | corruption |
//! | more | either | corruption |
//!
//! Where none follows:
//!
//! | end mark | checksum | verdict |
//! |---|---|---|
//! | in place | wrong | torn tail if one of the record's lines ends in a word of zeros, else corruption: the record was written whole |
//! | neither itself nor zero | right | as above |
//! | not found | right for the bytes up to the last one of the file, which is an end mark | corruption: only the length is wrong |
//! | not found | wrong | torn tail |
//!
//! A torn tail that reaches below the [`Mark`](super::Mark) is no torn tail: those records were durable.

use jute::Zxid;

/// "ZKLG".
pub const MAGIC: [u8; 4] = *b"ZKLG";
/// Magic, version 2, database id 0. Readers look at the magic only, as the reference does.
pub const HEADER: [u8; 16] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
/// Bytes before the first record.
pub const HEADER_BYTES: u64 = HEADER.len() as u64;

/// Checksum and length.
pub const PREFIX_BYTES: usize = 12;
/// What ends a record.
pub const TRAILER: u8 = 0x42;
/// A transaction header: no payload is shorter.
pub const PAYLOAD_BYTES_MIN: usize = 32;

/// Allocation step when nothing is configured (`preAllocSize`).
pub const PREALLOC_BYTES: i64 = 64 << 20;
/// The file grows when a record would begin this close to its end.
const PADDING_MARGIN: u64 = 4096;

/// The most that is stored but not yet synced at any time, unless one record alone is larger.
pub const UNSYNCED_BYTES_MAX: usize = 4 << 20;
/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;
/// What a kernel writes back at a time at least.
pub const PAGE_BYTES: u64 = 4096;
/// What a device takes from memory at a time: a cache line.
pub const LINE_BYTES: u64 = 64;
/// What a processor stores at a time.
pub const WORD_BYTES: u64 = 8;

/// The name of the file whose first record has this zxid.
#[must_use]
pub fn file_name(first: Zxid) -> String {
    format!("log.{first:x}")
}

/// The zxid in a file name, `None` for every other kind of file.
#[must_use]
pub fn zxid_of(name: &str) -> Option<Zxid> {
    parse_zxid(name.strip_prefix("log.")?)
}

/// Hexadecimal digits and nothing else, as a signed number that is not negative.
pub(crate) fn parse_zxid(digits: &str) -> Option<Zxid> {
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        i64::from_str_radix(digits, 16).ok().map(Zxid)
    } else {
        None
    }
}

/// The allocated size a file of `size` bytes needs before a record is put at `position..end`.
/// `prealloc` of zero or less means no allocation ahead. Reference: `FilePadding`.
#[must_use]
pub fn padded_size(position: u64, end: u64, size: u64, prealloc: i64) -> u64 {
    let Ok(step @ 1..) = u64::try_from(prealloc) else { return size };
    let mut padded = size;
    if position + PADDING_MARGIN >= size {
        padded = if position > size { next_multiple(position, step) } else { size + step };
    }
    if end > padded { next_multiple(end, step) } else { padded }
}

/// The first multiple of `step` above `position`.
const fn next_multiple(position: u64, step: u64) -> u64 {
    (position / step + 1) * step
}

/// Whether a transaction may directly follow another: the next of its epoch, or the first of a later
/// one.
#[must_use]
pub const fn follows(previous: Zxid, next: Zxid) -> bool {
    previous.is_followed_by(next)
}

/// Appends a record around the payload that `encode` appends.
pub(super) fn put_record(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    encode(out);
    let (_, record) = out.split_at_mut(start);
    let (prefix, payload) = record.split_at_mut(PREFIX_BYTES);
    let length = u32::try_from(payload.len()).ok().filter(|length| *length <= i32::MAX as u32);
    let length = length.expect("a transaction is bounded by the request it came in");
    let (checksum, length_field) = prefix.split_at_mut(8);
    checksum.copy_from_slice(&u64::from(simd_adler32::adler32(&&*payload)).to_be_bytes());
    length_field.copy_from_slice(&length.to_be_bytes());
    out.push(TRAILER);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_hexadecimal_and_nothing_else_is_a_log() {
        assert_eq!(file_name(Zxid(0x1_0000_00AB)), "log.1000000ab");
        assert_eq!(zxid_of("log.1000000ab"), Some(Zxid(0x1_0000_00AB)));
        for other in ["log", "log.", "log.+1", "log.5.bak", "log.xyz", "log.ffffffffffffffff", "snapshot.1"] {
            assert_eq!(zxid_of(other), None, "{other}");
        }
    }

    /// Expected values computed with the reference's `calculateFileSizeWithPadding`.
    #[test]
    fn files_grow_in_the_reference_s_steps() {
        let step = 1 << 16;
        assert_eq!(padded_size(16, 100, 16, step), 65552, "a new file");
        assert_eq!(padded_size(100, 200, 65552, step), 65552, "room enough");
        assert_eq!(padded_size(65552 - 4096, 65552 - 4000, 65552, step), 131_088, "close to the end");
        assert_eq!(padded_size(70_000, 70_100, 65552, step), 131_072, "after an oversized record");
        assert_eq!(padded_size(100, 200_000, 65552, step), 262_144, "an oversized record");
        assert_eq!(padded_size(100, 200, 100, 0), 100, "none");
        assert_eq!(padded_size(100, 200, 100, -1), 100, "none");
    }

    #[test]
    fn a_transaction_follows_its_predecessor_or_begins_a_later_epoch() {
        assert!(follows(Zxid(5), Zxid(6)));
        assert!(follows(Zxid(0x1_0000_0005), Zxid(0x3_0000_0001)));
        assert!(follows(Zxid(0xFFFF_FFFF), Zxid(0x1_0000_0000)), "a lone server just counts on");
        assert!(!follows(Zxid(5), Zxid(7)));
        assert!(!follows(Zxid(0x1_0000_0005), Zxid(0x3_0000_0002)));
        assert!(!follows(Zxid(5), Zxid(5)));
    }
}
