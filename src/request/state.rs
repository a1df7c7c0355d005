//! What all connections look at together.
//!
//! Locks are taken in this order: tree, then watches and outboxes. Whoever applies holds the tree alone,
//! so a read never sees a change whose events are not yet in the outboxes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jute::Zxid;
use jute::records::txn::TxnHeader;
use jute::txn::TxnBody;

use super::client::Client;
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
    /// The largest transaction that recovery is sure to load, in bytes.
    pub txn_bytes_max: usize,
}

/// The tree, who watches it, and who is connected.
#[derive(Debug)]
pub struct State {
    /// Switches.
    pub options: Options,
    tree: RwLock<Tree>,
    watches: Mutex<Watches>,
    clients: RwLock<HashMap<WatcherId, Arc<Client>>>,
}

impl State {
    /// Shares a recovered tree.
    #[must_use]
    pub fn new(tree: Tree, options: Options) -> Self {
        Self {
            options,
            tree: RwLock::new(tree),
            watches: Mutex::default(),
            clients: RwLock::default(),
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

    /// A connection came.
    pub fn register(&self, client: Arc<Client>) {
        self.clients.write().unwrap_or_else(PoisonError::into_inner).insert(client.id, client);
    }

    /// A connection went, and its watches with it.
    pub fn unregister(&self, client: &Client) {
        client.set_closed();
        self.clients.write().unwrap_or_else(PoisonError::into_inner).remove(&client.id);
        // After set_closed: whoever adds a watch looks at the flag under this lock.
        self.watches().remove_watcher(client.id);
    }

    /// Applies a transaction and queues the events it causes. The caller holds the tree; events are in
    /// the outboxes before it lets go.
    pub fn apply(
        &self,
        tree: &mut Tree,
        header: &TxnHeader,
        body: TxnBody,
        woken: &mut Vec<Arc<Client>>,
    ) -> Applied {
        let mut watches = self.watches();
        if watches.is_empty() {
            drop(watches);
            return tree.apply(header, body, &mut |_| {});
        }
        let clients = self.registry();
        let rules = self.options.acl;
        let mut tell = |watcher, event, path: &str, list: &[jute::records::data::Acl]| {
            let Some(client) = clients.get(&watcher) else { return };
            if acl::permits(list, perms::READ, &client.identities(), rules) {
                notify(client, event, path, header.zxid);
                woken.push(client.clone());
            }
        };
        tree.apply(header, body, &mut |change| match change {
            Change::Created { path, acl, parent_acl } => {
                let parent = path::parent_for_events(path);
                watches.created(path, parent, |watcher, event, at| {
                    tell(watcher, event, at, if event == EventType::NodeCreated { acl } else { parent_acl });
                });
            }
            Change::Deleted { path, acl, parent_acl } => {
                let parent = path::parent_for_events(path);
                watches.deleted(path, parent, |watcher, event, at| {
                    tell(watcher, event, at, if event == EventType::NodeDeleted { acl } else { parent_acl });
                });
            }
            Change::DataChanged { path, acl } => {
                watches.data_changed(path, |watcher, event, at| tell(watcher, event, at, acl));
            }
        })
    }
}

fn notify(client: &Client, event: EventType, path: &str, zxid: Zxid) {
    client.outbox().notify(event, path, zxid);
}
