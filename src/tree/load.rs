//! Building a tree from a snapshot.

use jute::Zxid;
use jute::records::data::{Acl, StatPersisted};
use jute::records::txn::TxnHeader;

use super::acl::perms;
use super::node::{Node, NodeId, OwnerRules};
use super::slab::Slab;
use super::{Tree, digest, path, quota};

/// The node that shows the members of an ensemble.
const CONFIG: &str = "/zookeeper/config";

/// The way to the node that was loaded last. Snapshots are written depth first, so that the next one's
/// parent stands on it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The last node's path.
    path: String,
    /// The nodes on it and the lengths of their paths, the root first.
    ancestors: Vec<(usize, NodeId)>,
    /// Nodes that are in the index already.
    indexed: usize,
}

impl Trail {
    /// The node at `path` if it is on the way; forgets what is below it.
    fn back_to(&mut self, path: &str) -> Option<NodeId> {
        while let Some((length, id)) = self.ancestors.last() {
            if self.path.get(..*length) == Some(path) {
                return Some(*id);
            }
            self.ancestors.pop();
        }
        None
    }

    fn go_to(&mut self, path: &str, id: NodeId) {
        self.path.clear();
        self.path.push_str(path);
        self.ancestors.push((path.len(), id));
    }
}

impl Tree {
    /// An empty tree to load a snapshot into: [`Tree::load_acl`], [`Tree::load_node`],
    /// [`Tree::finish_loading`]. Before the last one nothing can be found in it.
    #[must_use]
    pub fn for_loading(rules: OwnerRules) -> Self {
        Self::empty(rules)
    }

    /// Defines an access control list of the snapshot.
    pub fn load_acl(&mut self, file_id: i64, list: Vec<Acl>) {
        self.acls.load(file_id, list);
    }

    /// Adds a node. Parents come before their children.
    ///
    /// # Errors
    /// A node without a parent or a second root. That a node was given twice may come to light later.
    pub fn load_node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        // Fuzzy snapshots of the reference may name a list they do not define; replay repairs the node.
        let acl = self.acls.use_file_id(acl).unwrap_or(super::AclSlot::OPEN);
        let node = Node::new(path, data, acl, stat);
        let Some((parent, _)) = path::split(path) else {
            if !path.is_empty() || self.nodes.len() > 0 {
                return Err(format!("node {path:?} is not a path"));
            }
            self.plant_root(node);
            self.trail.go_to(path, NodeId::ROOT);
            self.trail.indexed = 1;
            return Ok(());
        };
        if parent == "/" {
            return Err(format!("node {path:?} is not a path"));
        }
        let parent = match self.trail.back_to(parent) {
            Some(parent) => parent,
            None => {
                self.find_loaded(parent)?.ok_or_else(|| format!("node {path:?} comes before its parent"))?
            }
        };
        let id = self.link(parent, path, node);
        self.trail.go_to(path, id);
        self.remember_owner(id, path, stat.ephemeral_owner);
        Ok(())
    }

    /// Finds a node that is not on the trail: in a snapshot that nobody is known to write.
    fn find_loaded(&mut self, path: &str) -> Result<Option<NodeId>, String> {
        if self.nodes.len() == 0 {
            return Ok(None);
        }
        self.index_loaded()?;
        let found = self.find(path);
        if let Some(id) = found {
            self.trail.go_to(path, id);
        }
        Ok(found)
    }

    /// Brings the index up to date with what was loaded.
    fn index_loaded(&mut self) -> Result<(), String> {
        for index in self.trail.indexed..self.nodes.len() {
            let id = Slab::nth(index);
            if !self.index.insert_new(id, &self.nodes) {
                return Err(format!("node {:?} is there twice", self.path_of(id)));
            }
        }
        self.trail.indexed = self.nodes.len();
        Ok(())
    }

    /// Completes a loaded tree: nodes can be found, quotas are recounted, lists that no node uses are dropped.
    ///
    /// # Errors
    /// When there was no root, a node twice, or a list with an id that leaves none for new lists.
    pub fn finish_loading(&mut self, zxid: Zxid) -> Result<(), String> {
        if self.nodes.len() == 0 {
            return Err("the snapshot has no root node".into());
        }
        if self.acls.last_file_id() == i64::MAX {
            return Err("the ids of access control lists are used up".into());
        }
        self.index.reserve(self.trail.indexed..self.nodes.len(), &self.nodes);
        self.index_loaded()?;
        self.trail = Trail::default();
        self.count_loaded();
        (self.last_zxid, self.last_deletion, self.last_acl) = (zxid, zxid, zxid);
        // The reference adds up its table of paths here, in which the root stands twice.
        self.data_bytes += self.node(NodeId::ROOT).data_length() as i64;
        let mut governed = Vec::new();
        let mut stack: Vec<_> = self.find(quota::ROOT).map(|id| (id, String::new())).into_iter().collect();
        while let Some((id, below)) = stack.pop() {
            for child in self.node(id).children() {
                let name = self.node(*child).name();
                if name == quota::LIMITS && self.node(*child).children().is_empty() {
                    governed.push(below.clone());
                } else {
                    stack.push((*child, format!("{below}/{name}")));
                }
            }
        }
        for path in governed {
            self.recount_quota(&path);
            self.quotas.add(&path);
        }
        self.acls.finish_loading();
        Ok(())
    }

    /// Counts for each node what is below it. Nothing was removed yet, so that children have larger ids than
    /// their parents.
    fn count_loaded(&mut self) {
        for id in (1..self.nodes.len()).rev().map(Slab::nth) {
            let node = self.node(id);
            let (nodes, bytes) = (1 + node.nodes_below(), node.data_length() as u64 + node.bytes_below());
            let parent = self.nodes.get_mut(node.parent).expect("a node's parent was loaded before it");
            let rare = parent.rare_mut();
            rare.nodes_below += nodes as u32;
            rare.bytes_below += bytes;
        }
    }

    /// Adds `/zookeeper/config`, readable by everyone. Directories that 3.4 wrote lack it, and a server
    /// that is alone does not add it to them.
    pub(super) fn plant_config_node(&mut self) {
        let mut readable = self.acls.list(super::AclSlot::OPEN).to_vec();
        readable.iter_mut().for_each(|acl| acl.perms = perms::READ);
        let slot = self.acls.intern(Some(readable));
        let aversion = -1; // the reference sets the list with "version -1"
        self.plant(CONFIG, super::built_in(CONFIG, slot, aversion));
    }

    /// Makes `/zookeeper/config` show the members of an ensemble, with their version as its zxid. Each member does
    /// so by itself: it is in no log, and lies outside the digest (reference: `ZKDatabase.initConfigInZKDatabase`).
    pub fn show_members(&mut self, text: &[u8], version: Zxid, wall_ms: i64) {
        if self.find(CONFIG).is_none() {
            self.plant_config_node();
        }
        let header = TxnHeader { zxid: version, time: wall_ms, ..TxnHeader::default() };
        self.set_data(CONFIG, Some(text.to_vec()), -1, &header, &mut |_| {});
    }

    pub(super) fn plant(&mut self, path: &str, node: Node) {
        let parent = path::split(path).and_then(|(parent, _)| self.find(parent));
        self.plant_under(parent.expect("a built-in node's parent is there"), path, node);
    }

    pub(super) fn plant_root(&mut self, node: Node) {
        self.digest = self.digest.wrapping_add(Self::node_digest(&node));
        self.data_bytes += node.data_length() as i64;
        let id = self.nodes.insert(node);
        assert_eq!(id, NodeId::ROOT, "the root is planted first");
    }

    /// Links a node under its parent and into the index, and counts it.
    pub(super) fn plant_under(&mut self, parent: NodeId, path: &str, node: Node) -> NodeId {
        let data_length = node.data_length() as i64;
        let id = self.link(parent, path, node);
        self.index.insert(id, &self.nodes);
        self.count_above(id, 1, data_length);
        id
    }

    /// Links a node under its parent. It cannot be found by its path yet, and is not counted above.
    fn link(&mut self, parent: NodeId, path: &str, mut node: Node) -> NodeId {
        node.parent = parent;
        node.path_hash = self.index.hash(path);
        node.position = self.node(parent).children().len() as u32;
        self.data_bytes += (path::utf16_length(path) + node.data_length()) as i64;
        if digest::counts(path) {
            self.digest = self.digest.wrapping_add(Self::node_digest(&node));
        }
        let id = self.nodes.insert(node);
        let parent = self.nodes.get_mut(parent).expect("the parent is there");
        parent.rare_mut().children.push(id);
        id
    }

    /// Unlinks a node. What is below it goes with it, deepest first: over a fuzzy snapshot of the reference,
    /// or by a damaged log, a node may be deleted that has children.
    pub(super) fn uproot(&mut self, id: NodeId, path: &str) -> Node {
        if !self.node(id).children().is_empty() {
            let mut below = self.node(id).children().to_vec();
            let mut visited = 0;
            while let Some(id) = below.get(visited) {
                below.extend_from_slice(self.node(*id).children());
                visited += 1;
            }
            for orphan in below.into_iter().rev() {
                let node = self.uproot_leaf(orphan, &self.path_of(orphan));
                self.acls.release(node.acl);
            }
        }
        self.uproot_leaf(id, path)
    }

    fn uproot_leaf(&mut self, id: NodeId, path: &str) -> Node {
        let node = self.node(id);
        let data_length = node.data_length() as i64;
        self.count_above(id, -1, -data_length);
        let node = self.node(id);
        let (hash, parent, position) = (node.path_hash, node.parent, node.position as usize);
        self.index.remove(hash, id);
        self.tell_listings(parent, position);
        let mut moved = None;
        if let Some(parent) = self.nodes.get_mut(parent) {
            let siblings = &mut parent.rare_mut().children;
            siblings.swap_remove(position);
            moved = siblings.get(position).copied();
            if siblings.is_empty() {
                *siblings = Vec::new();
            }
        }
        if let Some(sibling) = moved.and_then(|id| self.nodes.get_mut(id)) {
            sibling.position = position as u32;
        }
        let node = self.nodes.remove(id).expect("the node is there");
        self.forget(id, path, node.owner());
        self.data_bytes -= (path::utf16_length(path) + node.data_length()) as i64;
        if digest::counts(path) {
            self.digest = self.digest.wrapping_sub(Self::node_digest(&node));
        }
        node
    }
}
