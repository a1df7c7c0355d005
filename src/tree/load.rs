//! Building a tree from a snapshot, and walking one for a snapshot while it changes.

use jute::Zxid;
use jute::records::data::{Acl, StatPersisted};

use super::acl::perms;
use super::node::{Node, NodeId, OwnerRules};
use super::{Tree, digest, path, quota};

impl Tree {
    /// An empty tree to load a snapshot into: [`Tree::load_acl`], [`Tree::load_node`],
    /// [`Tree::finish_loading`].
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
    /// A node without a parent, a second root, or a node given twice.
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
            return Ok(());
        };
        if parent == "/" {
            return Err(format!("node {path:?} is not a path"));
        }
        let parent = if self.nodes.len() > 0 { self.find(parent) } else { None };
        let Some(parent) = parent else { return Err(format!("node {path:?} comes before its parent")) };
        if self.find(path).is_some() {
            return Err(format!("node {path:?} is there twice"));
        }
        self.plant_under(parent, path, node);
        self.remember_loaded_owner(path, stat.ephemeral_owner);
        Ok(())
    }

    /// Completes a loaded tree: quotas are recounted, lists that no node uses are dropped.
    ///
    /// # Errors
    /// When there was no root, or a list with an id that leaves none for new lists.
    pub fn finish_loading(&mut self, zxid: Zxid) -> Result<(), String> {
        if self.nodes.len() == 0 {
            return Err("the snapshot has no root node".into());
        }
        if self.acls.last_file_id() == i64::MAX {
            return Err("the ids of access control lists are used up".into());
        }
        self.last_zxid = zxid;
        // The reference adds up its table of paths here, in which the root stands twice.
        self.data_bytes += self.node(NodeId::ROOT).data().map_or(0, <[u8]>::len) as i64;
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
        self.acls.purge_unused();
        Ok(())
    }

    /// Adds `/zookeeper/config`, readable by everyone. Directories that 3.4 wrote lack it, and a server
    /// that is alone does not add it to them.
    pub(super) fn plant_config_node(&mut self) {
        const PATH: &str = "/zookeeper/config";
        let mut readable = self.acls.list(super::AclSlot::OPEN).to_vec();
        readable.iter_mut().for_each(|acl| acl.perms = perms::READ);
        let slot = self.acls.intern(Some(readable));
        let aversion = -1; // the reference sets the list with "version -1"
        self.plant(PATH, super::built_in(PATH, slot, aversion));
    }

    pub(super) fn plant(&mut self, path: &str, node: Node) {
        let parent = path::split(path).and_then(|(parent, _)| self.find(parent));
        self.plant_under(parent.expect("a built-in node's parent is there"), path, node);
    }

    pub(super) fn plant_root(&mut self, node: Node) {
        self.digest = self.digest.wrapping_add(Self::node_digest(&node));
        self.data_bytes += node.data().map_or(0, <[u8]>::len) as i64;
        let id = self.nodes.insert(node);
        assert_eq!(id, NodeId::ROOT, "the root is planted first");
    }

    /// Links a node under its parent and into the index, and counts it.
    pub(super) fn plant_under(&mut self, parent: NodeId, path: &str, mut node: Node) {
        let hash = self.index.hash(path);
        node.parent = parent;
        node.path_hash = hash;
        node.position = self.node(parent).children().len() as u32;
        self.data_bytes += (path::utf16_length(path) + node.data().map_or(0, <[u8]>::len)) as i64;
        if digest::counts(path) {
            self.digest = self.digest.wrapping_add(Self::node_digest(&node));
        }
        let id = self.nodes.insert(node);
        self.index.insert(hash, id, &self.nodes);
        let parent = self.nodes.get_mut(parent).expect("the parent is there");
        parent.rare_mut().children.push(id);
    }

    /// Unlinks a node. Its children, if a damaged log makes it have some, go with it.
    pub(super) fn uproot(&mut self, id: NodeId, path: &str) -> Node {
        let orphans: Vec<String> = self
            .node(id)
            .children()
            .iter()
            .map(|child| format!("{path}/{}", self.node(*child).name()))
            .collect();
        for orphan in orphans {
            if let Some(id) = self.find(&orphan) {
                let node = self.uproot(id, &orphan);
                self.acls.release(node.acl);
            }
        }
        let node = self.nodes.get(id).expect("the node is there");
        let (hash, parent, position) = (node.path_hash, node.parent, node.position as usize);
        self.index.remove(hash, id);
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
        self.forget(path, node.owner());
        self.data_bytes -= (path::utf16_length(path) + node.data().map_or(0, <[u8]>::len)) as i64;
        if digest::counts(path) {
            self.digest = self.digest.wrapping_sub(Self::node_digest(&node));
        }
        node
    }
}

/// A walk over the tree for a fuzzy snapshot: it visits every node that was there when it began and
/// still is, parents first, in slices between which the tree may change.
///
/// A node that came later is left out even where its slot was an older node's: the log, read from the
/// snapshot's zxid on, creates it again.
#[derive(Debug)]
pub struct Cursor {
    began_at: Zxid,
    /// The largest access control list id when the walk began: later ones are not in the snapshot.
    last_acl: i64,
    /// Nodes still to visit, with their parents' paths as a length of `path`.
    stack: Vec<(NodeId, u32)>,
    path: String,
}

impl Cursor {
    /// Starts at the root of `tree`, which stands at the snapshot's zxid.
    #[must_use]
    pub fn new(tree: &Tree) -> Self {
        Self {
            began_at: tree.last_zxid(),
            last_acl: tree.acls().last_file_id(),
            stack: vec![(NodeId::ROOT, 0)],
            path: String::new(),
        }
    }

    /// The zxid at which the walk began: the snapshot's name.
    #[must_use]
    pub const fn began_at(&self) -> Zxid {
        self.began_at
    }

    /// Hands up to `nodes` nodes to `write`: path, data, access control list id and stat. Returns how many
    /// it handed over; zero when done.
    pub fn slice(&mut self, tree: &Tree, nodes: usize, write: &mut NodeWriter<'_>) -> usize {
        let mut written = 0;
        while written < nodes
            && let Some((id, parent_length)) = self.stack.pop()
        {
            let Some(node) = tree.node_if_present(id).filter(|node| node.czxid() <= self.began_at) else {
                continue;
            };
            self.path.truncate(parent_length as usize);
            if id != NodeId::ROOT {
                self.path.push('/');
                self.path.push_str(node.name());
            }
            let length = u32::try_from(self.path.len()).expect("a path is shorter than a frame");
            self.stack.extend(node.children().iter().map(|child| (*child, length)));
            // A list that came later is not in the snapshot; the log sets it again.
            let acl = Some(tree.acls().file_id(node.acl())).filter(|id| *id <= self.last_acl).unwrap_or(-1);
            write(&self.path, node.data(), acl, &node.persisted());
            written += 1;
        }
        written
    }
}

/// Takes what a snapshot keeps of a node: path, data, access control list id, stat.
pub type NodeWriter<'a> = dyn FnMut(&str, Option<&[u8]>, i64, &StatPersisted) + 'a;
