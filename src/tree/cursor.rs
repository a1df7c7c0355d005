//! Walking a tree for a snapshot while it changes.

use std::ops::Range;
use std::sync::Arc;

use jute::Zxid;
use jute::records::data::StatPersisted;

use super::{AclList, NodeId, Tree};

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
    /// Slots of access control lists still to visit.
    acl_slots: Range<usize>,
    /// Nodes still to visit.
    stack: Vec<NodeId>,
    /// Where the children of one node begin in `stack`, and the length of their parent's path in `path`.
    families: Vec<(usize, u32)>,
    path: String,
}

/// What a step of the walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A node was handed over.
    Written,
    /// A node was passed over: it has gone, or another is in its place.
    Gone,
    /// All nodes were visited.
    Done,
}

impl Cursor {
    /// Starts at the root of `tree`, which stands at the snapshot's zxid.
    #[must_use]
    pub fn new(tree: &Tree) -> Self {
        Self {
            began_at: tree.last_zxid(),
            last_acl: tree.acls().last_file_id(),
            acl_slots: 0..tree.acls().slots(),
            stack: vec![NodeId::ROOT],
            families: vec![(0, 0)],
            path: String::new(),
        }
    }

    /// The zxid at which the walk began: the snapshot's name.
    #[must_use]
    pub const fn began_at(&self) -> Zxid {
        self.began_at
    }

    /// Adds ids and lists of up to `slots` slots of access control lists to `lists`. False when none is
    /// left. All of them must be visited before the first node: a list in use when the first node is
    /// visited was so when the walk began, or is not in the snapshot.
    pub fn lists(&mut self, tree: &Tree, slots: usize, lists: &mut Vec<(i64, Arc<AclList>)>) -> bool {
        let end = self.acl_slots.end.min(self.acl_slots.start.saturating_add(slots));
        let slice = tree.acls().slice(self.acl_slots.start..end);
        let old = slice.filter(|(id, _)| *id <= self.last_acl);
        lists.extend(old.map(|(id, list)| (id, Arc::clone(list))));
        self.acl_slots.start = end;
        !self.acl_slots.is_empty()
    }

    /// Hands up to `nodes` nodes to `write`. Returns how many it handed over; zero when done.
    pub fn slice(&mut self, tree: &Tree, nodes: usize, write: &mut NodeWriter<'_>) -> usize {
        let mut written = 0;
        while written < nodes {
            match self.step(tree, write) {
                Step::Written => written += 1,
                Step::Gone => {}
                Step::Done => break,
            }
        }
        written
    }

    /// Visits one node, and hands it to `write` if it is still there: path, data, access control list id
    /// and stat.
    pub fn step(&mut self, tree: &Tree, write: &mut NodeWriter<'_>) -> Step {
        let parent_length = loop {
            match self.families.last() {
                None => return Step::Done,
                Some((start, length)) if *start < self.stack.len() => break *length,
                Some(_) => drop(self.families.pop()),
            }
        };
        let Some(id) = self.stack.pop() else { return Step::Done };
        let Some(node) = tree.node_if_present(id).filter(|node| node.czxid() <= self.began_at) else {
            return Step::Gone;
        };
        self.path.truncate(parent_length as usize);
        if id != NodeId::ROOT {
            self.path.push('/');
            self.path.push_str(node.name());
        }
        if !node.children().is_empty() {
            let length = u32::try_from(self.path.len()).expect("a path is shorter than a frame");
            self.families.push((self.stack.len(), length));
            self.stack.extend_from_slice(node.children());
        }
        // A list that came later is not in the snapshot; the log sets it again.
        let acl = Some(tree.acls().file_id(node.acl())).filter(|id| *id <= self.last_acl).unwrap_or(-1);
        write(&self.path, node.data(), acl, &node.persisted());
        Step::Written
    }
}

/// Takes what a snapshot keeps of a node: path, data, access control list id, stat.
pub type NodeWriter<'a> = dyn FnMut(&str, Option<&[u8]>, i64, &StatPersisted) + 'a;
