//! The bytes of a snapshot. Reference: `FileSnap`, `SnapStream`, `SerializeUtils`, `DataTree`.
//!
//! ```text
//! magic ZKSN 4 │ version 2  4 │ dbid -1  8
//! session count 4 │ { session id 8, timeout ms 4 }…
//! list count    4 │ { list id 8, vector<ACL> }…
//! { path ustring, data buffer, list id 8, StatPersisted 60 }…   parents before children
//! "/"                                                           ends the nodes: 00 00 00 01 2F
//! seal                                                          Adler-32 so far 8, then "/"
//! zxid 8, digest version 4, digest 8 │ seal                     only if digests are on
//! last zxid 8 │ seal                                            only since 3.9, if switched on
//! ```
//!
//! A seal's checksum covers every byte before it, earlier seals included, and is taken over the bytes
//! before compression. The root's path is empty. List id -1 is the open list and is in no table.
//! Before digest version 2 the digest is a `ustring` of hexadecimal digits.

use jute::records::data::{Acl, StatPersisted};
use jute::{Record, SessionId, Zxid, write};

use super::Compression;
use crate::txnlog::format::parse_zxid;

/// "ZKSN".
pub const MAGIC: [u8; 4] = *b"ZKSN";
/// Magic, version 2, database id -1. Readers look at the magic only, as the reference does.
pub const HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
/// Ends the nodes, and every seal.
pub const END: [u8; 5] = *b"\0\0\0\x01/";
/// Checksum and end mark.
pub const SEAL_BYTES: usize = 8 + END.len();
/// An encoded `StatPersisted`.
pub const STAT_BYTES: usize = 60;
/// A whole plain file has at least this many bytes (as the reference's pre-check).
pub const FILE_BYTES_MIN: u64 = 10;
/// The list id that stands for the open list.
pub const OPEN_ACL: i64 = -1;

/// The name of a snapshot that starts at this zxid.
#[must_use]
pub fn file_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{zxid:x}{}", compression.suffix())
}

/// Zxid and compression by a file's name, `None` for every other kind of file. Stricter than the
/// reference, which also takes `snapshot.5.tmp` for a snapshot.
#[must_use]
pub fn parse_name(name: &str) -> Option<(Zxid, Compression)> {
    let rest = name.strip_prefix("snapshot.")?;
    let (digits, compression) = match rest.split_once('.') {
        None => (rest, Compression::None),
        Some((digits, "gz")) => (digits, Compression::Gzip),
        Some((digits, "snappy")) => (digits, Compression::Snappy),
        Some(_) => return None,
    };
    Some((parse_zxid(digits)?, compression))
}

/// Appends the session table.
pub fn put_sessions(out: &mut Vec<u8>, sessions: &[(SessionId, i32)]) {
    write::int(out, count(sessions.len()));
    for (id, timeout_ms) in sessions {
        write::long(out, id.0);
        write::int(out, *timeout_ms);
    }
}

/// Appends the head of the table of access control lists: how many there will be.
pub fn put_acl_count(out: &mut Vec<u8>, lists: usize) {
    write::int(out, count(lists));
}

/// Appends one access control list.
pub fn put_acl(out: &mut Vec<u8>, id: i64, acl: &[Acl]) {
    write::long(out, id);
    write::int(out, count(acl.len()));
    for entry in acl {
        entry.encode(out);
    }
}

/// Appends one node. The root's path is empty.
pub fn put_node(out: &mut Vec<u8>, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
    write::ustring(out, Some(path));
    write::buffer(out, data);
    write::long(out, acl);
    stat.encode(out);
}

fn count(len: usize) -> i32 {
    i32::try_from(len).expect("fewer than 2^31 sessions or lists fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_zxid_and_compression_and_temporary_files_give_none() {
        assert_eq!(parse_name("snapshot.1f"), Some((Zxid(0x1F), Compression::None)));
        assert_eq!(parse_name("snapshot.1f.gz"), Some((Zxid(0x1F), Compression::Gzip)));
        assert_eq!(parse_name("snapshot.1f.snappy"), Some((Zxid(0x1F), Compression::Snappy)));
        for other in ["snapshot.1f.tmp", "snapshot.1f.gz.tmp", "snapshot.", "snapshot.-1", "log.1f"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
        assert_eq!(file_name(Zxid(0x1F), Compression::Gzip), "snapshot.1f.gz");
    }
}
