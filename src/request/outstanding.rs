//! The tree as it will be: what is applied, plus every change that is prepared and not yet applied.
//! Reference: `ZooKeeperServer.ChangeRecord`, `outstandingChanges`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};

use crate::tree::{Tree, digest};

/// A node as it will be: as much of it as later requests depend on.
#[derive(Clone, Debug)]
pub struct View {
    /// Its stored stat.
    pub stat: StatPersisted,
    /// Number of children.
    pub children: usize,
    /// Its access control list.
    pub acl: Arc<[Acl]>,
    /// Length of its data.
    pub data_length: usize,
    /// CRC-32 of path and data, for the digest.
    pub content_crc: u32,
}

#[derive(Clone, Debug)]
struct Pending {
    zxid: Zxid,
    /// `None`: deleted.
    view: Option<View>,
}

/// Changes not yet applied.
#[derive(Debug, Default)]
pub struct Outstanding {
    by_path: HashMap<Arc<str>, Pending, foldhash::fast::RandomState>,
    /// In the order they were made.
    queue: VecDeque<(Zxid, Arc<str>)>,
    /// The digest the tree will have; meaningful while the queue is not empty.
    digest: u64,
    /// Ephemerals that will be created, deleted again or not: their owners, and what each takes in a list.
    created: VecDeque<(Zxid, SessionId, usize)>,
    /// Their sum by owner.
    created_bytes: HashMap<SessionId, usize, foldhash::fast::RandomState>,
    undo: Option<Undo>,
}

/// What takes back the changes since [`Outstanding::begin`].
#[derive(Debug)]
struct Undo {
    queue_length: usize,
    created_length: usize,
    digest: u64,
    replaced: Vec<(Arc<str>, Option<Pending>)>,
}

impl Outstanding {
    /// The node at `path` as it will be.
    #[must_use]
    pub fn view(&self, tree: &Tree, path: &str) -> Option<View> {
        if let Some(pending) = self.by_path.get(key(path)) {
            return pending.view.clone();
        }
        let node = tree.get(path)?;
        Some(View {
            stat: node.persisted(),
            children: node.children().len(),
            acl: tree.acls().list(node.acl()).clone(),
            data_length: node.data().map_or(0, <[u8]>::len),
            content_crc: node.content_crc(),
        })
    }

    /// Whether there will be a node at `path`.
    #[must_use]
    pub fn exists(&self, tree: &Tree, path: &str) -> bool {
        match self.by_path.get(key(path)) {
            Some(pending) => pending.view.is_some(),
            None => tree.find(path).is_some(),
        }
    }

    /// The digest the tree will have.
    #[must_use]
    pub fn digest(&self, tree: &Tree) -> u64 {
        if self.queue.is_empty() { tree.digest() } else { self.digest }
    }

    /// `path` will be `after`, or gone, from `zxid` on.
    pub fn change(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        before: Option<&View>,
        after: Option<View>,
    ) {
        let path = key(path);
        if self.queue.is_empty() {
            self.digest = tree.digest();
        }
        if digest::counts(path) {
            let of = |view: &View| digest::node(view.content_crc, &view.stat);
            let difference = after.as_ref().map_or(0, of).wrapping_sub(before.map_or(0, of));
            self.digest = self.digest.wrapping_add(difference);
        }
        let path: Arc<str> = path.into();
        self.queue.push_back((zxid, path.clone()));
        let replaced = self.by_path.insert(path.clone(), Pending { zxid, view: after });
        if let Some(undo) = &mut self.undo {
            undo.replaced.push((path, replaced));
        }
    }

    /// Starts a group of changes that may have to be taken back.
    pub fn begin(&mut self) {
        self.undo = Some(Undo {
            queue_length: self.queue.len(),
            created_length: self.created.len(),
            digest: self.digest,
            replaced: Vec::new(),
        });
    }

    /// Keeps the group.
    pub fn keep(&mut self) {
        self.undo = None;
    }

    /// Takes the group back.
    pub fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.queue.truncate(undo.queue_length);
        for (_, session, bytes) in self.created.split_off(undo.created_length) {
            self.uncount(session, bytes);
        }
        self.digest = undo.digest;
        for (path, replaced) in undo.replaced.into_iter().rev() {
            match replaced {
                Some(pending) => drop(self.by_path.insert(path, pending)),
                None => drop(self.by_path.remove(&path)),
            }
        }
    }

    /// How many changes these are; a path changed twice counts twice.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.queue.len()
    }

    /// Forgets what the tree now holds.
    pub fn applied(&mut self, zxid: Zxid) {
        while let Some((at, path)) = self.queue.front() {
            if *at > zxid {
                break;
            }
            if self.by_path.get(path).is_some_and(|pending| pending.zxid == *at) {
                self.by_path.remove(path);
            }
            self.queue.pop_front();
        }
        while let Some((_, session, bytes)) = self.created.pop_front_if(|(at, ..)| *at <= zxid) {
            self.uncount(session, bytes);
        }
    }

    /// An ephemeral will be created that takes so much in the list of its session's.
    pub fn count_ephemeral(&mut self, zxid: Zxid, session: SessionId, listed_bytes: usize) {
        self.created.push_back((zxid, session, listed_bytes));
        *self.created_bytes.entry(session).or_default() += listed_bytes;
    }

    fn uncount(&mut self, session: SessionId, listed_bytes: usize) {
        if let Some(bytes) = self.created_bytes.get_mut(&session) {
            *bytes -= listed_bytes;
            if *bytes == 0 {
                self.created_bytes.remove(&session);
            }
        }
    }

    /// What the ephemerals of a session take in a list, at most: what is applied, and all that will be
    /// created.
    #[must_use]
    pub fn ephemerals_listed_bytes(&self, tree: &Tree, session: SessionId) -> usize {
        tree.ephemerals_listed_bytes(session) + self.created_bytes.get(&session).copied().unwrap_or(0)
    }

    /// The ephemerals a session will have when everything is applied.
    #[must_use]
    pub fn ephemerals_of(&self, tree: &Tree, session: SessionId) -> BTreeSet<String> {
        let mut paths: BTreeSet<String> = tree.ephemerals_of(session).map(str::to_owned).collect();
        for (path, pending) in &self.by_path {
            match &pending.view {
                Some(view) if view.stat.ephemeral_owner == session => drop(paths.insert(path.to_string())),
                // Deleted, and perhaps somebody else's by now.
                _ => drop(paths.remove(path.as_ref())),
            }
        }
        paths
    }
}

/// The root has two names; one of them is used here.
fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}
