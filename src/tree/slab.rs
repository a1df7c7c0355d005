//! Where nodes live: a slab in chunks, and the path index in shards. Both grow in small steps, so that
//! no single create pays for moving the whole tree.

use hashbrown::HashTable;

use super::node::{Node, NodeId};

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Nodes by id. A freed id is given out again.
#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Option<Node>>>,
    free: Vec<u32>,
    len: usize,
}

impl Slab {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        let (chunk, slot) = place(id);
        self.chunks.get(chunk)?.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let (chunk, slot) = place(id);
        self.chunks.get_mut(chunk)?.get_mut(slot)?.as_mut()
    }

    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let (chunk, slot) = place(NodeId(index));
            if let Some(place) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(slot)) {
                *place = Some(node);
            }
            return NodeId(index);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk_index = self.chunks.len() - 1;
        let chunk = self.chunks.last_mut().expect("a chunk was just made sure of");
        chunk.push(Some(node));
        let index = (chunk_index << CHUNK_BITS) + chunk.len() - 1;
        NodeId(u32::try_from(index).expect("fewer than 2^32 nodes"))
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Node> {
        let (chunk, slot) = place(id);
        let node = self.chunks.get_mut(chunk)?.get_mut(slot)?.take()?;
        self.len -= 1;
        self.free.push(id.0);
        Some(node)
    }
}

const fn place(id: NodeId) -> (usize, usize) {
    ((id.0 >> CHUNK_BITS) as usize, (id.0 as usize) & (CHUNK - 1))
}

const SHARDS: usize = 256;

/// Node ids by hash of the full path. The table does not hold paths: a candidate is compared with the
/// names on its way up.
#[derive(Debug)]
pub(super) struct PathIndex {
    shards: Vec<HashTable<NodeId>>,
    state: foldhash::fast::RandomState,
}

impl Default for PathIndex {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), state: Default::default() }
    }
}

impl PathIndex {
    /// The hash that is kept in the node.
    pub(super) fn hash(&self, path: &str) -> u32 {
        use std::hash::BuildHasher;
        self.state.hash_one(path.as_bytes()) as u32
    }

    pub(super) fn find(&self, hash: u32, is_match: impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        let mut is_match = is_match;
        self.shards.get(shard(hash))?.find(spread(hash), |id| is_match(*id)).copied()
    }

    pub(super) fn insert(&mut self, hash: u32, id: NodeId, nodes: &Slab) {
        let rehash = |id: &NodeId| spread(nodes.get(*id).map_or(0, |node| node.path_hash));
        if let Some(table) = self.shards.get_mut(shard(hash)) {
            table.insert_unique(spread(hash), id, rehash);
        }
    }

    pub(super) fn remove(&mut self, hash: u32, id: NodeId) {
        if let Some(table) = self.shards.get_mut(shard(hash))
            && let Ok(entry) = table.find_entry(spread(hash), |candidate| *candidate == id)
        {
            entry.remove();
        }
    }
}

const fn shard(hash: u32) -> usize {
    (hash >> 24) as usize
}

/// Tables use the top and the bottom bits of 64.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
