//! A snapshot file. No input panics or takes unbounded memory, however it is compressed; what loads is a
//! tree that goes on working and can be written again.
//!
//! The first byte chooses the compression, and whether the rest is the file as it stands or the content
//! between header and end mark, which is then sealed and compressed rightly.

use std::path::Path;
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{SessionId, Zxid};
use oxkeeper::disk::Disk;
use oxkeeper::snapshot::{Compression, Visitor, Writer, candidates, format, load};
use oxkeeper::tree::{OwnerRules, Tree};

use crate::check_can_be_loaded;
use crate::memory_disk::MemoryDisk;
use jute_fuzz::peak_bytes;

const DIRECTORY: &str = "/snapshots";
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Snappy];
const FIELD_BYTES_MAX: usize = 1 << 20;
/// The visitor takes no more than this, so a bomb can at most fill the windows it is read through.
const TAKEN_BYTES_MAX: usize = 4 << 20;
/// Windows, the compressors' own memory, and what the visitor takes.
const PEAK_BYTES_MAX: usize = 64 << 20;
const WORST_FACTOR: usize = 64;

/// Builds the tree, up to a bound.
struct Building {
    tree: Tree,
    taken: usize,
}

impl Building {
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.taken += bytes;
        if self.taken > TAKEN_BYTES_MAX { Err("too much".into()) } else { Ok(()) }
    }
}

impl Visitor for Building {
    fn session(&mut self, _: SessionId, _: i32) -> Result<(), String> {
        self.take(12)
    }
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.take(100 + 100 * acl.len())?;
        self.tree.load_acl(id, acl);
        Ok(())
    }
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        self.take(200 + path.len() + data.map_or(0, <[u8]>::len))?;
        self.tree.load_node(path, data, acl, &stat)
    }
}

/// Loads `input`.
pub fn snapshot_file(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let compression = COMPRESSIONS[usize::from(selector & 3) % COMPRESSIONS.len()];
    let memory = MemoryDisk::default();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let directory = Path::new(DIRECTORY);
    let path = directory.join(format::file_name(Zxid(0x20), compression));
    if selector & 4 == 0 {
        memory.put(&path, bytes.to_vec());
    } else {
        let mut writer = Writer::create(&disk, directory, Zxid(0x20), compression).expect("a disk in memory");
        writer.raw_nodes(bytes).expect("a disk in memory");
        let digest = (selector & 8 != 0).then_some((Zxid(0x21), 2, 77));
        writer.finish(digest, (selector & 16 != 0).then_some(Zxid(0x20))).expect("a disk in memory");
    }
    assert!(candidates(&memory, directory, 10).is_ok());
    let rules = OwnerRules { extended_types: selector & 32 != 0, emulate_353: selector & 64 != 0 };
    let mut building = Building { tree: Tree::for_loading(rules), taken: 0 };
    let mut loaded = None;
    let peak = peak_bytes(|| loaded = Some(load(&*disk, &path, FIELD_BYTES_MAX, &mut building)));
    assert!(peak <= PEAK_BYTES_MAX + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
    let mut tree = building.tree;
    if !matches!(loaded, Some(Ok(_))) || tree.finish_loading(Zxid(0x20)).is_err() {
        return;
    }
    // Snapshots of the reference hold nodes that came while they were written; the log that follows leads
    // past these, and ours is only taken there.
    tree.set_last_zxid(Zxid(i64::MAX));
    check_can_be_loaded(&tree);
    let txn = CreateTxn {
        path: Some("/after".into()),
        acl: Some(vec![Acl::default()]),
        parent_cversion: 1,
        ..CreateTxn::default()
    };
    let header = TxnHeader { zxid: Zxid(0x21), ..TxnHeader::default() };
    tree.apply(&header, TxnBody::Create(txn), &mut |_| {});
    for session in tree.ephemerals().map(|(session, _)| session).collect::<Vec<_>>() {
        tree.kill_session(session);
    }
    check_can_be_loaded(&tree);
}
