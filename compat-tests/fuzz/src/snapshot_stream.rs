//! A tree as a leader sends it. No input panics or takes unbounded memory; what is received goes on working, and
//! its file loads as the same tree. What is not leaves no file.
//!
//! The first byte chooses how the file is stored and how owners are read.

use std::path::Path;
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};
use jute_fuzz::peak_bytes;
use oxkeeper::disk::Disk;
use oxkeeper::snapshot::{Compression, Visitor, load, name_received};
use oxkeeper::store::{Receiving, receive};
use oxkeeper::tree::{OwnerRules, Tree};

use crate::check_can_be_loaded;
use crate::memory_disk::MemoryDisk;

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Snappy];
const FIELD_BYTES_MAX: usize = 1 << 20;
const PEAK_BYTES_MAX: usize = 64 << 20;
const WORST_FACTOR: usize = 256;

struct Loading(Tree, Vec<(SessionId, i32)>);

impl Visitor for Loading {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.1.push((id, timeout_ms));
        Ok(())
    }
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.0.load_acl(id, acl);
        Ok(())
    }
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        self.0.load_node(path, data, acl, &stat)
    }
}

/// Receives `input`.
pub fn snapshot_stream(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let memory = MemoryDisk::default();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let rules = OwnerRules { extended_types: selector & 4 != 0, emulate_353: selector & 8 != 0 };
    let what = Receiving {
        zxid: Zxid(0x20),
        from: "server 1",
        directory: Path::new("/snapshots"),
        compression: COMPRESSIONS[usize::from(selector & 3) % COMPRESSIONS.len()],
        field_bytes_max: FIELD_BYTES_MAX,
        rules,
    };
    let mut received = None;
    let peak = peak_bytes(|| received = Some(receive(&disk, what, &mut &bytes[..])));
    assert!(peak <= PEAK_BYTES_MAX + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
    let Some(Ok(received)) = received else {
        assert!(memory.contents().is_empty(), "nothing is left of it");
        return;
    };
    assert!(bytes.ends_with(&received.rest));
    let named = name_received(&memory, &received.file).expect("a disk in memory");
    let mut loading = Loading(Tree::for_loading(rules), Vec::new());
    let loaded = load(&*disk, &named, FIELD_BYTES_MAX, &mut loading).expect("the file is whole");
    let Loading(mut tree, sessions) = loading;
    tree.finish_loading(loaded.zxid_from_name).expect("so is the tree");
    assert_eq!(tree.digest(), received.tree.digest());
    assert_eq!(tree.node_count(), received.tree.node_count());
    assert_eq!(sessions, received.sessions.into_iter().collect::<Vec<_>>());
    let mut tree = received.tree;
    // It may hold what came while it was sent; what follows leads past that.
    tree.set_last_zxid(Zxid(i64::MAX));
    check_can_be_loaded(&tree);
}
