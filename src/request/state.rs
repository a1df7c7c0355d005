//! What all connections look at together.
//!
//! Locks are taken in this order: tree, then watches and outboxes; only the pipeline holds the sessions
//! together with the tree. Whoever applies holds the tree alone,
//! so a read never sees a change whose events are not yet in the outboxes.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jute::Zxid;
use jute::records::txn::TxnHeader;
use jute::txn::TxnBody;

use super::client::Client;
use super::stats::ServerStats;
use crate::session::Sessions;
use crate::tree::acl::{self, perms};
use crate::tree::{AclRules, Applied, Change, Tree, path};
use crate::watch::{EventType, WatcherId, Watches};

/// Switches of the request pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which access checks are made.
    pub acl: AclRules,
    /// `extendedTypesEnabled`: TTL nodes may be created.
    pub extended_types: bool,
    /// `enforceQuota`: hard quotas refuse.
    pub enforce_quota: bool,
    /// `digest.enabled`: transactions carry the tree's digest.
    pub digest: bool,
    /// `zookeeper.closeSessionTxn.enabled`: ends of sessions list their ephemerals.
    pub close_session_lists: bool,
    /// `reconfigEnabled`.
    pub reconfig: bool,
    /// The largest transaction that a start will read again: `jute.maxbuffer` with its extra size.
    pub txn_bytes_max: usize,
}

/// The tree, who watches it, and who is connected.
#[derive(Debug)]
pub struct State {
    /// Switches.
    pub options: Options,
    tree: RwLock<Tree>,
    watches: Mutex<Watches>,
    sessions: Mutex<Sessions>,
    /// Packets and latencies.
    pub stats: ServerStats,
    clients: RwLock<HashMap<WatcherId, Arc<Client>>>,
    digests: Mutex<VecDeque<(Zxid, u64)>>,
}

/// A digest is kept of every zxid divisible by this (reference: `DataTree.DIGEST_LOG_INTERVAL`).
const DIGEST_INTERVAL: i64 = 128;
/// Watches removed under one hold of their lock.
const WATCHES_AT_ONCE: usize = 1000;
/// How many digests are kept.
const DIGESTS_MAX: usize = 1024;

impl State {
    /// Shares a recovered tree and its sessions.
    #[must_use]
    pub fn new(tree: Tree, sessions: Sessions, options: Options) -> Self {
        Self {
            options,
            tree: RwLock::new(tree),
            watches: Mutex::default(),
            sessions: Mutex::new(sessions),
            stats: ServerStats::default(),
            clients: RwLock::default(),
            digests: Mutex::default(),
        }
    }

    /// The tree, to look at.
    pub fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, to change. Only the pipeline does.
    pub fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watches.
    pub fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everyone connected.
    pub fn clients(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.registry().values().cloned().collect();
        all.sort_by_key(|client| client.id);
        all
    }

    /// How many are connected.
    pub fn client_count(&self) -> usize {
        self.registry().len()
    }

    fn registry(&self) -> RwLockReadGuard<'_, HashMap<WatcherId, Arc<Client>>> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the tree's digest at some zxids, for comparison with other servers.
    pub fn note_digest(&self, zxid: Zxid, digest: u64) {
        if self.options.digest && zxid.0 % DIGEST_INTERVAL == 0 {
            let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            digests.push_back((zxid, digest));
            if digests.len() > DIGESTS_MAX {
                digests.pop_front();
            }
        }
    }

    /// The digests kept, oldest first.
    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// A connection came.
    pub fn register(&self, client: Arc<Client>) {
        self.clients.write().unwrap_or_else(PoisonError::into_inner).insert(client.id, client);
    }

    /// A connection went, and its watches with it.
    pub fn unregister(&self, client: &Client) {
        client.set_closed();
        self.clients.write().unwrap_or_else(PoisonError::into_inner).remove(&client.id);
        // After set_closed: whoever adds a watch looks at the flag under this lock.
        // In steps: it may have hundreds of thousands, and nobody writes while the lock is held.
        while self.watches().remove_some(client.id, WATCHES_AT_ONCE) {}
    }

    /// Applies a transaction and queues the events it causes. The caller holds the tree; events are in
    /// the outboxes before it lets go. `fired` hears of the watches each change fired.
    pub fn apply(
        &self,
        tree: &mut Tree,
        header: &TxnHeader,
        body: TxnBody,
        woken: &mut Vec<Arc<Client>>,
        fired: &mut dyn FnMut(Fired),
    ) -> Applied {
        let mut watches = self.watches();
        if watches.is_empty() {
            drop(watches);
            return tree.apply(header, body, &mut |_| {});
        }
        let clients = self.registry();
        let rules = self.options.acl;
        let counts = Cell::new(Fired::default());
        let mut tell = |watcher, event, path: &str, list: &[jute::records::data::Acl]| {
            counts.set(counts.get().and(event));
            let Some(client) = clients.get(&watcher) else { return };
            if acl::permits(list, perms::READ, &client.identities(), rules) {
                let mut outbox = client.outbox();
                if !outbox.has_news() {
                    woken.push(client.clone());
                }
                outbox.notify(event, path, header.zxid);
            }
        };
        tree.apply(header, body, &mut |change| {
            match change {
                Change::Created { path, acl, parent_acl } | Change::Deleted { path, acl, parent_acl } => {
                    let parent = path::parent_for_events(path);
                    let tell = |watcher, event, at: &str| {
                        let of_parent = event == EventType::NodeChildrenChanged;
                        tell(watcher, event, at, if of_parent { parent_acl } else { acl });
                    };
                    match change {
                        Change::Created { .. } => watches.created(path, parent, tell),
                        _ => watches.deleted(path, parent, tell),
                    }
                }
                Change::DataChanged { path, acl } => {
                    watches.data_changed(path, |watcher, event, at| tell(watcher, event, at, acl));
                }
            }
            fired(counts.take());
        })
    }
}

/// Watches fired by one change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fired {
    /// On the creation of the node.
    pub created: usize,
    /// On its deletion.
    pub deleted: usize,
    /// On new data.
    pub changed: usize,
    /// On another child of its parent, or one less.
    pub children: usize,
}

impl Fired {
    const fn and(mut self, event: EventType) -> Self {
        match event {
            EventType::NodeCreated => self.created += 1,
            EventType::NodeDeleted => self.deleted += 1,
            EventType::NodeDataChanged => self.changed += 1,
            EventType::NodeChildrenChanged => self.children += 1,
        }
        self
    }
}
