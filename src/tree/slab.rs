//! Where nodes live: a slab in chunks, and the path index in shards. Both grow in small steps, so that
//! no single create pays for moving the whole tree.

use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

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

    /// The id of the node that was inserted after `index` others, if none was ever removed.
    pub(super) fn nth(index: usize) -> NodeId {
        NodeId(u32::try_from(index).expect("fewer than 2^32 nodes"))
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
        Self::nth((chunk_index << CHUNK_BITS) + chunk.len() - 1)
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

    /// Adds a node whose path is not there yet.
    pub(super) fn insert(&mut self, id: NodeId, nodes: &Slab) {
        let hash = hash_of(id, nodes);
        if let Some(table) = self.shards.get_mut(shard(hash)) {
            table.insert_unique(spread(hash), id, |id| spread(hash_of(*id, nodes)));
        }
    }

    /// Adds a node; false if one of the same name under the same parent is there.
    pub(super) fn insert_new(&mut self, id: NodeId, nodes: &Slab) -> bool {
        let hash = hash_of(id, nodes);
        let is_same = |other: &NodeId| match (nodes.get(id), nodes.get(*other)) {
            (Some(one), Some(other)) => one.parent == other.parent && one.name_bytes() == other.name_bytes(),
            _ => false,
        };
        let Some(table) = self.shards.get_mut(shard(hash)) else { return false };
        match table.entry(spread(hash), is_same, |id| spread(hash_of(*id, nodes))) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(id);
                true
            }
        }
    }

    /// Makes room for the nodes from `range.start` to `range.end` as they were inserted.
    pub(super) fn reserve(&mut self, range: Range<usize>, nodes: &Slab) {
        let mut more = [0; SHARDS];
        for index in range {
            if let Some(count) = more.get_mut(shard(hash_of(Slab::nth(index), nodes))) {
                *count += 1;
            }
        }
        for (table, more) in self.shards.iter_mut().zip(more) {
            table.reserve(more, |id| spread(hash_of(*id, nodes)));
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

fn hash_of(id: NodeId, nodes: &Slab) -> u32 {
    nodes.get(id).map_or(0, |node| node.path_hash)
}

const fn shard(hash: u32) -> usize {
    (hash >> 24) as usize
}

/// Tables use the top and the bottom bits of 64.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
