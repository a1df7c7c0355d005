//! What the server's fuzz targets do, as plain functions: libFuzzer calls them with what it makes up, and
//! `tests/corpus.rs` with what is committed.

mod certificates;
mod config;
mod connection;
mod election_port;
mod four_letter;
mod frames;
mod kerberos;
mod key_stores;
mod log_file;
mod login_file;
mod memory_disk;
mod peer_tls_records;
mod quorum_packets;
mod revocation;
mod sasl;
mod script;
mod server;
mod snapshot_file;
mod snapshot_stream;
mod tls;
mod tls_records;

pub use certificates::certificates;
pub use config::config;
pub use election_port::election_port;
pub use four_letter::four_letter;
pub use frames::frames;
pub use kerberos::kerberos;
pub use key_stores::key_stores;
pub use log_file::log_file;
pub use login_file::login_file;
pub use peer_tls_records::peer_tls_records;
pub use quorum_packets::quorum_packets;
pub use revocation::revocation;
pub use sasl::sasl;
pub use snapshot_file::snapshot_file;
pub use snapshot_stream::snapshot_stream;
pub use tls_records::tls_records;

use jute_fuzz::Targets;
use oxkeeper::tree::{Cursor, Tree};

/// Every target of the server.
pub const TARGETS: &Targets = &[
    ("certificates", certificates),
    ("config", config),
    ("election_port", election_port),
    ("four_letter", four_letter),
    ("frames", frames),
    ("kerberos", kerberos),
    ("key_stores", key_stores),
    ("log_file", log_file),
    ("login_file", login_file),
    ("peer_tls_records", peer_tls_records),
    ("quorum_packets", quorum_packets),
    ("revocation", revocation),
    ("sasl", sasl),
    ("snapshot_file", snapshot_file),
    ("snapshot_stream", snapshot_stream),
    ("tls_records", tls_records),
];

/// Asserts that a snapshot of `tree` loads, and that what is loaded is the same tree: whatever was
/// admitted, the next start must be able to read.
fn check_can_be_loaded(tree: &Tree) {
    let mut loaded = Tree::for_loading(tree.rules());
    for (id, list) in tree.acls().to_file() {
        loaded.load_acl(id, list.to_vec());
    }
    let mut cursor = Cursor::new(tree);
    let mut problem = None;
    while cursor.slice(tree, 7, &mut |path, data, acl, stat| {
        if let Err(why) = loaded.load_node(path, data, acl, stat) {
            problem.get_or_insert(why);
        }
    }) > 0
    {}
    assert_eq!(problem, None);
    loaded.finish_loading(tree.last_zxid()).expect("a snapshot of any tree loads");
    assert_eq!(loaded.digest(), tree.digest());
    assert_eq!(loaded.node_count(), tree.node_count());
    assert_eq!(loaded.ephemerals_count(), tree.ephemerals_count());
    assert!(loaded.containers().eq(tree.containers()));
    assert!(loaded.ttls().eq(tree.ttls()));
}
