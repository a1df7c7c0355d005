//! The data tree (reference: `DataTree`).
//!
//! Pure and synchronous. [`Tree::apply`] is total and deterministic: it has no error case, reads no
//! clock and no random source, and applying a transaction again over a fuzzy snapshot repairs the
//! snapshot. It knows neither watches nor connections: it reports what changed to whoever asks.

pub mod acl;
mod acl_list;
mod acl_table;
mod apply;
mod content;
mod cursor;
pub mod digest;
mod ephemerals;
pub mod identities;
pub mod ip;
pub mod listing;
mod load;
#[cfg(test)]
pub(crate) mod model_test;
pub mod node;
pub mod path;
pub mod quota;
mod slab;
mod x500;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use jute::records::data::{Stat, StatPersisted};
use jute::{Code, OpCode, SessionId, Zxid};

pub use self::acl::{AclRules, SaslRule};
pub use self::acl_list::AclList;
pub use self::acl_table::{AclSlot, AclTable};
pub use self::cursor::{Cursor, NodeWriter, Step};
pub use self::ephemerals::listed_bytes;
pub use self::identities::{Identities, Identity};
pub use self::node::{Node, NodeId, Owner, OwnerRules};

use self::ephemerals::Ephemerals;
use self::listing::Listings;
use self::load::Trail;
use self::quota::QuotaPaths;
use self::slab::{PathIndex, Slab};

/// A change that watchers may want to hear of. The lists are those that decide who may.
#[derive(Debug)]
pub enum Change<'a> {
    /// A node came into being.
    Created {
        /// Its path.
        path: &'a str,
        /// Its list.
        acl: &'a Arc<AclList>,
        /// Its parent's list.
        parent_acl: &'a Arc<AclList>,
    },
    /// A node went away.
    Deleted {
        /// Its path.
        path: &'a str,
        /// The list it had.
        acl: &'a Arc<AclList>,
        /// Its parent's list.
        parent_acl: &'a Arc<AclList>,
    },
    /// A node has new data.
    DataChanged {
        /// Its path.
        path: &'a str,
        /// Its list.
        acl: &'a Arc<AclList>,
    },
}

/// What applying a transaction came to, for the reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its type; failed parts of a multi are errors.
    pub op: OpCode,
    /// `OK`, or what the transaction was logged as having failed with.
    pub code: Code,
    /// The node's path.
    pub path: String,
    /// The node's stat, where the reply carries one.
    pub stat: Option<Stat>,
    /// One for each part of a multi.
    pub parts: Vec<Self>,
}

/// Every node, and what can be looked up about them.
#[derive(Debug)]
pub struct Tree {
    rules: OwnerRules,
    nodes: Slab,
    index: PathIndex,
    acls: AclTable,
    /// Sorted, so that a session's end lists them in one order everywhere.
    ephemerals: Ephemerals,
    /// Containers and nodes with a time to live.
    sweepable: BTreeSet<NodeId>,
    quotas: QuotaPaths,
    /// Only while a snapshot is loaded.
    trail: Trail,
    /// Lists of children that are being made.
    listings: Listings,
    digest: u64,
    last_zxid: Zxid,
    /// When a node was last deleted, and when one last got another access control list: neither shows in the nodes.
    last_deletion: Zxid,
    last_acl: Zxid,
    /// Path lengths plus data lengths.
    data_bytes: i64,
}

impl Tree {
    /// A tree with the nodes that every server begins with.
    #[must_use]
    pub fn new(rules: OwnerRules) -> Self {
        let mut tree = Self::empty(rules);
        tree.plant_root(built_in("", AclSlot::OPEN, 0));
        for path in ["/zookeeper", quota::ROOT] {
            tree.plant(path, built_in(path, AclSlot::OPEN, 0));
        }
        tree.plant_config_node();
        tree
    }

    /// No nodes at all: what a snapshot is loaded into.
    fn empty(rules: OwnerRules) -> Self {
        Self {
            rules,
            nodes: Slab::default(),
            index: PathIndex::default(),
            acls: AclTable::default(),
            ephemerals: Ephemerals::default(),
            sweepable: BTreeSet::new(),
            quotas: QuotaPaths::default(),
            trail: Trail::default(),
            listings: Listings::default(),
            digest: 0,
            last_zxid: Zxid::ZERO,
            last_deletion: Zxid::ZERO,
            last_acl: Zxid::ZERO,
            data_bytes: 1, // the reference counts the root's alias "/" as a path of its own
        }
    }

    /// The zxid of the last transaction applied.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Sets where the tree stands, after loading a snapshot.
    pub const fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// How owner fields are read.
    #[must_use]
    pub const fn rules(&self) -> OwnerRules {
        self.rules
    }

    /// The digest of the whole tree.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// The access control lists.
    #[must_use]
    pub const fn acls(&self) -> &AclTable {
        &self.acls
    }

    /// Nodes as the reference counts them: the root twice.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// Path lengths plus data lengths of all nodes.
    #[must_use]
    pub const fn approximate_data_size(&self) -> i64 {
        self.data_bytes
    }

    /// Finds a node. The root is both `/` and the empty path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        if matches!(path, "" | "/") {
            return Some(NodeId::ROOT);
        }
        self.index.find(self.index.hash(path), |id| self.has_path(id, path))
    }

    /// The node itself. Ids come from this tree and are used before it changes.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id).expect("a node id is used only while its node exists")
    }

    /// The node with this id, if there still is one; for walks that outlive changes.
    #[must_use]
    pub fn node_if_present(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Finds a node by path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.find(path).map(|id| self.node(id))
    }

    /// Whether it is certain that what is at this path, if anything, is what was there at `zxid`.
    #[must_use]
    pub fn is_unchanged_since(&self, path: &str, zxid: Zxid) -> bool {
        if self.last_zxid == zxid {
            return true;
        }
        // Usage nodes of quotas change without a transaction of their own.
        if !digest::counts(path) || self.last_acl > zxid {
            return false;
        }
        match self.get(path) {
            None => self.last_deletion <= zxid,
            Some(node) => [node.czxid(), node.mzxid(), node.pzxid()].iter().all(|at| *at <= zxid),
        }
    }

    /// A node's stat as clients see it.
    #[must_use]
    pub fn stat(&self, node: &Node) -> Stat {
        node.stat(self.rules)
    }

    /// A session's ephemerals, sorted.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals.of(session, "", "")
    }

    /// A session's ephemerals that begin with `prefix` and come after `last`, unless that is empty; sorted.
    pub fn ephemerals_below<'a>(
        &'a self,
        session: SessionId,
        prefix: &'a str,
        last: &str,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        self.ephemerals.of(session, prefix, last)
    }

    /// A number that is another one whenever the session's ephemerals are.
    #[must_use]
    pub fn last_change_of_ephemerals(&self, session: SessionId) -> u64 {
        self.ephemerals.last_change_of(session)
    }

    /// What the list of a session's ephemerals takes in the transaction that ends it, in bytes.
    #[must_use]
    pub fn ephemerals_listed_bytes(&self, session: SessionId) -> usize {
        self.ephemerals.listed_bytes_of(session)
    }

    /// A session's ephemerals that come after this path, sorted.
    pub fn ephemerals_after<'a>(
        &'a self,
        session: SessionId,
        path: &str,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        self.ephemerals.of(session, "", path)
    }

    /// Every session that owns ephemerals, with them.
    pub fn ephemerals(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<Box<str>>)> {
        self.ephemerals.iter()
    }

    /// Every session that owns ephemerals, or did.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.owners()
    }

    /// How many ephemerals there are.
    #[must_use]
    pub const fn ephemerals_count(&self) -> usize {
        self.ephemerals.count()
    }

    /// The paths of all containers, sorted.
    pub fn containers(&self) -> impl Iterator<Item = String> {
        self.paths_of_owner(|owner| owner == Owner::Container)
    }

    /// The paths of all nodes with a time to live, sorted.
    pub fn ttls(&self) -> impl Iterator<Item = String> {
        self.paths_of_owner(|owner| matches!(owner, Owner::Ttl(_)))
    }

    fn paths_of_owner(&self, is_wanted: impl Fn(Owner) -> bool) -> impl Iterator<Item = String> {
        let owner = |id: &NodeId| Owner::from_field(self.node(*id).owner(), self.rules);
        let ids = self.sweepable.iter().filter(|id| is_wanted(owner(id)));
        ids.map(|id| self.path_of(*id)).collect::<BTreeSet<_>>().into_iter()
    }

    /// Containers and nodes with a time to live, by id, from the first one behind `after` on. A walk over
    /// them may rest and go on after changes.
    pub fn sweepable(&self, after: Option<NodeId>) -> impl Iterator<Item = NodeId> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sweepable.range((start, Bound::Unbounded)).copied()
    }

    /// A node's path; empty for the root.
    #[must_use]
    pub fn path_of(&self, id: NodeId) -> String {
        let ids = std::iter::successors(Some(id), |id| Some(self.node(*id).parent));
        let names: Vec<_> = ids.take_while(|id| *id != NodeId::ROOT).map(|id| self.node(id).name()).collect();
        let mut path = String::with_capacity(names.iter().map(|name| 1 + name.len()).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// The deepest quota that `path` counts towards.
    #[must_use]
    pub fn governing_quota<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.quotas.governing(path)
    }

    /// The paths with a quota.
    pub fn quota_paths(&self) -> impl Iterator<Item = &str> {
        self.quotas.iter()
    }

    /// The number of a node's descendants (reference: `DataTree.getAllChildrenNumber`).
    #[must_use]
    pub fn descendants(&self, id: NodeId) -> usize {
        self.node(id).nodes_below()
    }

    /// Counts nodes and bytes of data that came or went at `id` for all nodes above it.
    fn count_above(&mut self, id: NodeId, nodes: i32, bytes: i64) {
        if id == NodeId::ROOT {
            return;
        }
        let mut at = self.node(id).parent;
        loop {
            let node = self.nodes.get_mut(at).expect("a node's parent is there");
            let rare = node.rare_mut();
            rare.nodes_below = rare.nodes_below.wrapping_add_signed(nodes);
            rare.bytes_below = rare.bytes_below.wrapping_add_signed(bytes);
            if at == NodeId::ROOT {
                return;
            }
            at = node.parent;
        }
    }

    /// Whether the node's path is `path`: its names are compared on the way up.
    fn has_path(&self, id: NodeId, path: &str) -> bool {
        let mut id = id;
        let mut rest = path.as_bytes();
        while id != NodeId::ROOT {
            let Some(node) = self.nodes.get(id) else { return false };
            let Some(above) = rest.strip_suffix(node.name_bytes()).and_then(|rest| rest.strip_suffix(b"/"))
            else {
                return false;
            };
            rest = above;
            id = node.parent;
        }
        rest.is_empty()
    }

    /// The node's digest as it counts into the tree's.
    fn node_digest(node: &Node) -> u64 {
        digest::node(node.content_crc, &node.persisted())
    }
}

/// A node that every tree begins with. Its data is empty.
fn built_in(path: &str, acl: AclSlot, aversion: i32) -> Node {
    Node::new(path, Some(&[]), acl, &StatPersisted { aversion, ..StatPersisted::default() })
}
