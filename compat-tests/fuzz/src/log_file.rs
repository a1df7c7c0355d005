//! A directory of logs. No input panics, reading takes memory in proportion, what recovery accepts it
//! accepts again with the same result, and the tree that comes out can be written and loaded.
//!
//! The first byte chooses how much of the format is made right, so that mutations also reach what lies
//! behind the checksums: nothing, the header, records around pieces of the input, or records whose zxids
//! count up too.

use std::path::Path;
use std::sync::Arc;

use jute::Zxid;
use jute::txn::TxnEntry;
use oxkeeper::disk::Disk;
use oxkeeper::tree::{OwnerRules, Tree};
use oxkeeper::txnlog::{Gaps, LogError, Recovered, format, recover};

use crate::check_can_be_loaded;
use crate::memory_disk::MemoryDisk;
use jute_fuzz::peak_bytes;

const DIRECTORY: &str = "/log";
/// The window that files are read through, with room to grow.
const SLACK_BYTES: usize = 8 << 20;
/// The dearest is a multi of many small parts; see the codec's own bound.
const WORST_FACTOR: usize = 256;

/// Recovers from `input`.
pub fn log_file(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let gaps = if selector & 4 == 0 { Gaps::Refuse } else { Gaps::Allow };
    let bodies = if selector & 8 == 0 { vec![bytes] } else { halves(bytes) };
    let memory = MemoryDisk::default();
    let mut next = 1;
    for body in bodies {
        let name = format::file_name(Zxid(next));
        memory.put(&Path::new(DIRECTORY).join(name), file(selector & 3, body, &mut next));
    }
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let (mut first, mut entries) = (None, Vec::new());
    let peak = peak_bytes(|| first = Some(recovered(&disk, gaps, &mut entries)));
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
    if !matches!(first, Some(Ok(_))) {
        return;
    }
    let mut again = Vec::new();
    let second = recovered(&disk, gaps, &mut again).expect("what was recovered once is recovered again");
    assert_eq!(again, entries);
    assert_eq!(second.torn, None, "the first recovery repaired the tail");
    let repaired = memory.contents();
    let _ = recovered(&disk, gaps, &mut Vec::new());
    assert_eq!(memory.contents(), repaired);

    let mut tree =
        Tree::new(OwnerRules { extended_types: selector & 16 != 0, emulate_353: selector & 32 != 0 });
    for entry in entries {
        tree.replay(entry);
    }
    check_can_be_loaded(&tree);
}

fn halves(bytes: &[u8]) -> Vec<&[u8]> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    vec![first, second]
}

fn recovered(disk: &Arc<dyn Disk>, gaps: Gaps, into: &mut Vec<TxnEntry>) -> Result<Recovered, LogError> {
    recover(disk, Path::new(DIRECTORY), Zxid::ZERO, gaps, &mut |entry| into.push(entry), &mut |_| {})
}

fn file(mode: u8, bytes: &[u8], next: &mut i64) -> Vec<u8> {
    if mode == 0 {
        return bytes.to_vec();
    }
    let mut file = format::HEADER.to_vec();
    if mode == 1 {
        file.extend_from_slice(bytes);
        return file;
    }
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (payload, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)).min(tail.len()));
        rest = tail;
        let mut payload = payload.to_vec();
        if mode == 3 {
            payload.resize(payload.len().max(format::PAYLOAD_BYTES_MIN), 0);
            payload[12..20].copy_from_slice(&next.to_be_bytes());
            *next += 1;
        }
        file.extend_from_slice(&u64::from(adler32(&payload)).to_be_bytes());
        file.extend_from_slice(&u32::try_from(payload.len()).expect("it is short").to_be_bytes());
        file.extend_from_slice(&payload);
        file.push(format::TRAILER);
    }
    file
}

/// As the format's definition has it.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1, 0);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}
