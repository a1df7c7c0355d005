//! A subtree with a quota that is set and dropped while it fills.

use jute::OpCode;
use jute::records::Record;
use jute::records::proto::{CreateRequest, DeleteRequest, SetDataRequest};

use super::requests::{Asked, open_acl};
use crate::request::testing::multi_body;
use crate::sim::random::Random;

/// Its root.
pub(in crate::sim) const ROOT: &str = "/q";
/// Nodes it may have, its root among them.
pub(in crate::sim) const NODES_MAX: i64 = 12;
/// The node with the limits, and the one with the usage.
pub(in crate::sim) const QUOTA: [&str; 2] =
    ["/zookeeper/quota/q/zookeeper_limits", "/zookeeper/quota/q/zookeeper_stats"];

/// Names below the root.
const NAMES: u64 = 400;

/// A change of what is below it, or of the quota.
pub(super) fn any(random: &mut Random) -> Asked {
    let path = Some(format!("{ROOT}/{}", random.below(NAMES)));
    let data = Some(vec![b'.'; random.below(50) as usize]);
    match random.below(40) {
        0..=24 => create(path, data),
        25..=29 => Asked::plain(OpCode::SET_DATA, SetDataRequest { path, data, version: -1 }.to_bytes()),
        30..=33 => Asked::plain(OpCode::DELETE, DeleteRequest { path, version: -1 }.to_bytes()),
        34..=36 => create(Some(ROOT.to_owned()), data),
        37 | 38 => {
            let limits = format!("count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit={NODES_MAX}");
            let nodes =
                [("/zookeeper/quota/q", String::new()), (QUOTA[0], limits), (QUOTA[1], String::new())];
            let parts = nodes.map(|(path, data)| {
                let (path, data) = (Some(path.to_owned()), Some(data.into_bytes()));
                (OpCode::CREATE, CreateRequest { path, data, acl: open_acl(), flags: 0 }.to_bytes())
            });
            Asked::plain(OpCode::MULTI, multi_body(parts))
        }
        _ => {
            let parts = [QUOTA[0], QUOTA[1], "/zookeeper/quota/q"].map(|path| {
                (OpCode::DELETE, DeleteRequest { path: Some(path.into()), version: -1 }.to_bytes())
            });
            Asked::plain(OpCode::MULTI, multi_body(parts))
        }
    }
}

fn create(path: Option<String>, data: Option<Vec<u8>>) -> Asked {
    Asked::plain(OpCode::CREATE, CreateRequest { path, data, acl: open_acl(), flags: 0 }.to_bytes())
}
