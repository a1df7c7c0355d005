//! Naming the children of one node in slices between which they may change. A node may have millions of them;
//! who names them all at once keeps everybody else from the tree meanwhile.
//!
//! What is named is one state: the children that the node had when the walk began. The order is arbitrary, and so
//! a child that is deleted before the walk has come to it is named at once; the same goes for one that takes a
//! deleted child's place where the walk has been. Children that came later are passed over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jute::Zxid;

use super::{Node, NodeId, Tree};

/// Children that are visited in one slice: half a millisecond's work.
pub const SLICE_CHILDREN: usize = 2048;
/// Bytes of names after which a slice ends.
pub const SLICE_BYTES: usize = 256 << 10;

/// What a slice came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All are named.
    Done,
    /// Some are left.
    More,
    /// The tree is another one: what is left cannot be known any more.
    Lost,
}

/// A walk over the children of one node. Until it is done, a tree that changes must know of it
/// ([`Tree::follow`]).
#[derive(Debug)]
pub struct Walk {
    parent: NodeId,
    /// Where the tree stood: what was created later is passed over.
    began_at: Zxid,
    /// Position of the next child to visit.
    next: usize,
    /// Children that are not named yet, those of `early` among them.
    left: usize,
    /// Names of children that were deleted, or moved, before the walk came to them.
    early: Vec<Box<[u8]>>,
    is_lost: bool,
}

impl Walk {
    /// Begins with the children of this node of `tree`.
    #[must_use]
    pub fn new(tree: &Tree, parent: NodeId) -> Self {
        let left = tree.node(parent).children().len();
        Self { parent, began_at: tree.last_zxid(), next: 0, left, early: Vec::new(), is_lost: false }
    }

    /// How many children are not named yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Hands the names of some children to `write`, as UTF-8.
    pub fn slice(&mut self, tree: &Tree, mut write: impl FnMut(&[u8])) -> Progress {
        if self.is_lost {
            return Progress::Lost;
        }
        let (mut visited, mut bytes) = (0, 0);
        let has_room = |visited, bytes| visited < SLICE_CHILDREN && bytes < SLICE_BYTES;
        while self.left > 0
            && has_room(visited, bytes)
            && let Some(early) = self.early.pop()
        {
            visited += 1;
            bytes += early.len();
            self.left -= 1;
            write(&early);
        }
        for id in tree.node(self.parent).children().iter().skip(self.next) {
            if self.left == 0 || !has_room(visited, bytes) {
                break;
            }
            visited += 1;
            self.next += 1;
            let child = tree.node(*id);
            if child.czxid() <= self.began_at {
                let name = child.name_bytes();
                bytes += name.len();
                self.left -= 1;
                write(name);
            }
        }
        match self.left {
            0 => Progress::Done,
            _ if has_room(visited, bytes) => Progress::Lost,
            _ => Progress::More,
        }
    }

    /// A child leaves its place, and the last one takes it.
    fn leaves(&mut self, position: usize, child: &Node, last_position: usize, last: &Node) {
        if position >= self.next {
            self.name_early(child);
        } else if last_position >= self.next {
            self.name_early(last);
        }
    }

    fn name_early(&mut self, child: &Node) {
        if child.czxid() <= self.began_at {
            self.early.push(child.name_bytes().into());
        }
    }
}

/// A walk that a tree knows of.
#[derive(Debug)]
pub struct Listing {
    walk: Arc<Mutex<Walk>>,
}

impl Listing {
    /// [`Walk::slice`].
    pub fn slice(&self, tree: &Tree, write: impl FnMut(&[u8])) -> Progress {
        lock(&self.walk).slice(tree, write)
    }

    /// How many children are not named yet.
    #[must_use]
    pub fn left(&self) -> usize {
        lock(&self.walk).left()
    }
}

/// The walks that a tree knows of, with the node whose children each names. Walks are looked into only while the
/// tree is held, and changed by whoever changes the tree only while it is held alone: nobody waits here.
#[derive(Debug, Default)]
pub(super) struct Listings {
    walks: Mutex<Vec<(NodeId, Weak<Mutex<Walk>>)>>,
}

impl Listings {
    fn add(&self, walk: Walk) -> Listing {
        let parent = walk.parent;
        let walk = Arc::new(Mutex::new(walk));
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        walks.retain(|(_, walk)| walk.strong_count() > 0);
        walks.push((parent, Arc::downgrade(&walk)));
        Listing { walk }
    }

    /// Runs `act` with the walks over the children of `parent`.
    fn each_of(&mut self, parent: NodeId, mut act: impl FnMut(&mut Walk)) {
        let walks = self.walks.get_mut().unwrap_or_else(PoisonError::into_inner);
        walks.retain(|(of, walk)| {
            if *of != parent {
                return true;
            }
            walk.upgrade().is_some_and(|walk| {
                let mut walk = lock(&walk);
                act(&mut walk);
                walk.left > 0
            })
        });
    }

    fn is_empty(&mut self) -> bool {
        self.walks.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

fn lock(walk: &Mutex<Walk>) -> MutexGuard<'_, Walk> {
    walk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tree {
    /// Lets a walk go on although the tree changes.
    #[must_use]
    pub fn follow(&self, walk: Walk) -> Listing {
        self.listings.add(walk)
    }

    /// Another tree takes the place of this one: no walk goes on.
    pub fn end_listings(&mut self) {
        let walks = std::mem::take(self.listings.walks.get_mut().unwrap_or_else(PoisonError::into_inner));
        walks.iter().filter_map(|(_, walk)| walk.upgrade()).for_each(|walk| lock(&walk).is_lost = true);
    }

    /// A child of `parent` is about to leave its place to the last of its siblings.
    pub(super) fn tell_listings(&mut self, parent: NodeId, position: usize) {
        if self.listings.is_empty() {
            return;
        }
        let Some(siblings) = self.nodes.get(parent).map(Node::children) else { return };
        let Some(last_position) = siblings.len().checked_sub(1) else { return };
        let node = |position: usize| siblings.get(position).and_then(|id| self.nodes.get(*id));
        let (Some(child), Some(last)) = (node(position), node(last_position)) else { return };
        self.listings.each_of(parent, |walk| walk.leaves(position, child, last_position, last));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jute::records::txn::{CreateTxn, DeleteTxn, TxnHeader};
    use jute::txn::TxnBody;
    use proptest::prelude::*;

    use super::super::OwnerRules;
    use super::*;

    /// A tree in which changes are told by one letter and the number of a child of `/p`.
    struct Changed(Tree);

    impl Changed {
        fn new() -> Self {
            let mut changed = Self(Tree::new(OwnerRules::default()));
            changed.create("/p");
            changed
        }

        fn header(&self) -> TxnHeader {
            TxnHeader { zxid: Zxid(self.0.last_zxid().0 + 1), ..TxnHeader::default() }
        }

        fn create(&mut self, path: &str) {
            let txn = CreateTxn { path: Some(path.into()), parent_cversion: -1, ..CreateTxn::default() };
            let header = self.header();
            self.0.apply(&header, TxnBody::Create(txn), &mut |_| {});
        }

        fn delete(&mut self, path: &str) {
            let header = self.header();
            self.0.apply(&header, TxnBody::Delete(DeleteTxn { path: Some(path.into()) }), &mut |_| {});
        }

        fn names(&self) -> BTreeSet<Vec<u8>> {
            let Some(node) = self.0.get("/p") else { return BTreeSet::new() };
            node.children().iter().map(|id| self.0.node(*id).name_bytes().to_vec()).collect()
        }

        fn walk(&self) -> Walk {
            Walk::new(&self.0, self.0.find("/p").expect("it is there"))
        }
    }

    /// Takes a slice of so many names and not of [`SLICE_CHILDREN`].
    fn slice(listing: &Listing, tree: &Tree, names: usize, into: &mut Vec<Vec<u8>>) -> Progress {
        let mut walk = lock(&listing.walk);
        let whole = walk.left;
        let hidden = whole.saturating_sub(names);
        walk.left -= hidden;
        let progress = walk.slice(tree, |name: &[u8]| into.push(name.to_vec()));
        walk.left += hidden;
        if progress == Progress::Done && hidden > 0 { Progress::More } else { progress }
    }

    proptest! {
        #[test]
        fn what_is_named_is_what_was_there_whatever_changes_meanwhile(
            first in 0..40usize,
            steps in proptest::collection::vec((0..4usize, 0..60usize), 0..200),
        ) {
            let mut changed = Changed::new();
            (0..first).for_each(|child| changed.create(&format!("/p/{child}")));
            let wanted: Vec<_> = (0..2).map(|_| changed.names()).collect();
            let listings: Vec<_> = (0..2).map(|_| changed.0.follow(changed.walk())).collect();
            let mut named = [Vec::new(), Vec::new()];
            for (kind, child) in steps {
                match kind {
                    0 => changed.create(&format!("/p/{child}")),
                    1 => changed.delete(&format!("/p/{child}")),
                    kind => {
                        slice(&listings[kind - 2], &changed.0, child % 5, &mut named[kind - 2]);
                    }
                }
            }
            for ((listing, mut named), wanted) in listings.iter().zip(named).zip(wanted) {
                while slice(listing, &changed.0, 1000, &mut named) == Progress::More {}
                prop_assert_eq!(named.len(), wanted.len());
                prop_assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), wanted);
            }
        }
    }

    #[test]
    fn a_slice_ends_after_so_many_children_or_so_many_bytes() {
        let mut changed = Changed::new();
        (0..2 * SLICE_CHILDREN + 1).for_each(|child| changed.create(&format!("/p/{child}")));
        let mut walk = changed.walk();
        let slices: Vec<_> = (0..3)
            .map(|_| {
                let mut names = 0;
                let progress = walk.slice(&changed.0, |_: &[u8]| names += 1);
                (names, progress)
            })
            .collect();
        let whole = (SLICE_CHILDREN, Progress::More);
        assert_eq!(slices, [whole, whole, (1, Progress::Done)]);
        let mut long = Changed::new();
        (0..9).for_each(|child| long.create(&format!("/p/{child}{}", "n".repeat(SLICE_BYTES / 4))));
        let (mut walk, mut names) = (long.walk(), 0);
        assert_eq!(walk.slice(&long.0, |_: &[u8]| names += 1), Progress::More);
        assert_eq!((names, walk.left()), (4, 5));
        // Also what is passed over takes time.
        let mut newer = Changed::new();
        newer.create("/p/old");
        let listing = newer.0.follow(newer.walk());
        (0..SLICE_CHILDREN).for_each(|child| newer.create(&format!("/p/{child}")));
        lock(&listing.walk).next = 1;
        assert_eq!(listing.slice(&newer.0, |_: &[u8]| panic!("it came later")), Progress::More);
    }

    #[test]
    fn a_node_that_goes_with_all_its_children_is_still_listed() {
        let mut changed = Changed::new();
        (0..10).for_each(|child| changed.create(&format!("/p/{child}")));
        let wanted = changed.names();
        let listing = changed.0.follow(changed.walk());
        // As over a fuzzy snapshot: what is below goes along.
        changed.delete("/p");
        changed.create("/other");
        let mut named = BTreeSet::new();
        assert_eq!(
            listing.slice(&changed.0, |name: &[u8]| assert!(named.insert(name.to_vec()))),
            Progress::Done
        );
        assert_eq!(named, wanted);
    }

    #[test]
    fn no_walk_goes_on_in_another_tree() {
        let mut changed = Changed::new();
        changed.create("/p/a");
        let listing = changed.0.follow(changed.walk());
        changed.0.end_listings();
        let other = Changed::new();
        assert_eq!(listing.slice(&other.0, |_: &[u8]| panic!("not of this tree")), Progress::Lost);
    }

    #[test]
    fn a_walk_that_has_ended_is_forgotten() {
        let mut changed = Changed::new();
        ["/p/a", "/p/b"].iter().for_each(|path| changed.create(path));
        let (first, second) = (changed.0.follow(changed.walk()), changed.0.follow(changed.walk()));
        drop(first);
        assert_eq!(second.slice(&changed.0, |_: &[u8]| {}), Progress::Done);
        changed.delete("/p/a");
        assert!(changed.0.listings.is_empty());
    }
}
