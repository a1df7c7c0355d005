//! Who wants to know of changes (reference: `WatchManager`, `WatcherMode`).
//!
//! Pure: a watcher is an id, and triggering calls back with who is to hear what. Watches belong to a
//! connection and go with it.

mod listing;
#[cfg(test)]
mod model_test;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

pub use self::listing::Listing;
pub use self::table::{Mode, Table, WatcherId};

/// What happened to a path (reference: `Watcher.Event.EventType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EventType {
    /// The node was created.
    NodeCreated = 1,
    /// The node was deleted.
    NodeDeleted = 2,
    /// The node's data changed.
    NodeDataChanged = 3,
    /// A child was created or deleted.
    NodeChildrenChanged = 4,
}

/// What a client may ask about or remove (reference: `Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// Child watches.
    Children,
    /// Data and exists watches.
    Data,
    /// Whatever there is.
    Any,
    /// Persistent watches.
    Persistent,
    /// Persistent recursive watches.
    PersistentRecursive,
}

impl WatcherType {
    /// The type a number on the wire names.
    #[must_use]
    pub const fn from_wire(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            _ => return None,
        })
    }
}

/// Watches of a connection that has gone, which are still to be removed.
#[derive(Debug)]
pub struct Leaving {
    data: table::Leaving,
    child: table::Leaving,
}

/// Every watch of the server, in the two tables that the reference keeps.
#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
}

impl Watches {
    /// A one-time watch on a node's data or existence.
    pub fn add_data(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, Mode::Standard);
    }

    /// A one-time watch on a node's children.
    pub fn add_child(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(path, watcher, Mode::Standard);
    }

    /// A watch that stays, on the node and its children.
    pub fn add_persistent(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(path, watcher, Mode::Persistent);
        self.data.add(path, watcher, Mode::Persistent);
    }

    /// A watch that stays, on the node and everything below it.
    pub fn add_persistent_recursive(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, Mode::PersistentRecursive);
    }

    /// Whether the watcher has such a watch.
    #[must_use]
    pub fn contains(&self, path: &str, kind: WatcherType, watcher: WatcherId) -> bool {
        match kind {
            WatcherType::Children => self.child.contains(path, watcher, Some(Mode::Standard)),
            WatcherType::Data => self.data.contains(path, watcher, Some(Mode::Standard)),
            WatcherType::Persistent => self.data.contains(path, watcher, Some(Mode::Persistent)),
            WatcherType::PersistentRecursive => {
                self.data.contains(path, watcher, Some(Mode::PersistentRecursive))
            }
            WatcherType::Any => {
                self.child.contains(path, watcher, None) || self.data.contains(path, watcher, None)
            }
        }
    }

    /// Removes such watches; whether there were any.
    pub fn remove(&mut self, path: &str, kind: WatcherType, watcher: WatcherId) -> bool {
        match kind {
            WatcherType::Children => self.child.remove(path, watcher, Some(Mode::Standard)),
            WatcherType::Data => self.data.remove(path, watcher, Some(Mode::Standard)),
            WatcherType::Persistent => {
                // It is in both tables.
                self.child.remove(path, watcher, Some(Mode::Persistent));
                self.data.remove(path, watcher, Some(Mode::Persistent))
            }
            WatcherType::PersistentRecursive => {
                self.data.remove(path, watcher, Some(Mode::PersistentRecursive))
            }
            WatcherType::Any => {
                let child = self.child.remove(path, watcher, None);
                self.data.remove(path, watcher, None) || child
            }
        }
    }

    /// Begins to remove all watches of a connection that has gone and adds none any more.
    pub fn take_watcher(&mut self, watcher: WatcherId) -> Leaving {
        Leaving { data: self.data.take_watcher(watcher), child: self.child.take_watcher(watcher) }
    }

    /// Removes up to `most` watches of each kind; whether there may be more.
    pub fn remove_some(&mut self, leaving: &mut Leaving, most: usize) -> bool {
        let has_data = self.data.remove_some(&mut leaving.data, most);
        let has_child = self.child.remove_some(&mut leaving.child, most);
        has_data || has_child
    }

    /// A node was created; `parent` as clients write it.
    pub fn created(&mut self, path: &str, parent: &str, mut tell: impl FnMut(WatcherId, EventType, &str)) {
        self.data.trigger(path, |watcher| tell(watcher, EventType::NodeCreated, path));
        self.child.trigger(parent, |watcher| tell(watcher, EventType::NodeChildrenChanged, parent));
    }

    /// A node was deleted. Whoever watched both its data and its children hears of it once.
    pub fn deleted(&mut self, path: &str, parent: &str, mut tell: impl FnMut(WatcherId, EventType, &str)) {
        let mut told = HashSet::<_, RandomState>::default();
        self.data.trigger(path, |watcher| {
            told.insert(watcher);
            tell(watcher, EventType::NodeDeleted, path);
        });
        self.child.trigger(path, |watcher| {
            if !told.contains(&watcher) {
                tell(watcher, EventType::NodeDeleted, path);
            }
        });
        self.child.trigger(parent, |watcher| tell(watcher, EventType::NodeChildrenChanged, parent));
    }

    /// A node's data changed.
    pub fn data_changed(&mut self, path: &str, mut tell: impl FnMut(WatcherId, EventType, &str)) {
        self.data.trigger(path, |watcher| tell(watcher, EventType::NodeDataChanged, path));
    }

    /// What the watches of one connection take in memory, roughly.
    #[must_use]
    pub fn bytes_of(&self, watcher: WatcherId) -> usize {
        self.data.bytes_of(watcher) + self.child.bytes_of(watcher)
    }

    /// Whether nobody watches anything, so that triggering can be skipped.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty() && self.child.is_empty()
    }

    /// Paths watched, as `mntr` counts them: data and child tables added.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.data.watch_count() + self.child.watch_count()
    }

    /// Connections, paths and watches of the data table, which is all that `wchs` shows.
    #[must_use]
    pub fn summary(&self) -> (usize, usize, usize) {
        self.data.summary()
    }

    /// Up to so many more of the paths that a connection watches, of the data table; `None` if it watches, and
    /// watched, none.
    #[must_use]
    pub fn paths_of(&self, watcher: WatcherId, listing: &mut Listing, most: usize) -> Option<Vec<Arc<str>>> {
        self.data.paths_of(watcher, listing, most)
    }

    /// Some more of the paths that are watched, with their watchers, of the data table: at least one path
    /// until the listing is over, and no further one when paths and watchers are so many.
    #[must_use]
    pub fn paths(&self, listing: &mut Listing, most: usize) -> Vec<(Arc<str>, Vec<WatcherId>)> {
        self.data.paths(listing, most)
    }
}
