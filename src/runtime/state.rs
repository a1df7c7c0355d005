//! What all connections look at together, and the locks around it.
//!
//! Order of locks: sessions, tree, watches, registry of clients, outboxes. A read registers its watch while it
//! holds its own outbox and the tree for reading; that cannot meet the writer, which holds the tree alone when
//! it takes the watches. Only the writer holds the sessions together with the tree. Whoever applies holds the
//! tree alone, so a read never sees a change whose events are not yet in the outboxes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jute::{SessionId, Zxid};

use super::budget::Budget;
use super::client::Client;
use super::listening::Listening;
use super::reply_caches::ReplyCaches;
use super::standing::Published;
use super::stats::ServerStats;
use super::trail::Trail;
use crate::request::{ConnectionId, Options};
use crate::session::Sessions;
use crate::tree::Tree;
use crate::watch::Watches;

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
    clients: RwLock<Registry>,
    /// The tree's last zxid, for whoever must not wait for the tree.
    last_zxid: AtomicI64,
    /// What clients make the server hold.
    pub budget: Budget,
    /// Whether the server has been listening.
    pub listening: Listening,
    /// What the reference's caches of replies would hold.
    pub reply_caches: ReplyCaches,
    /// How clients are served.
    pub standing: Published,
    disk_full: AtomicBool,
    trail: OnceLock<Trail>,
    digests: Mutex<VecDeque<(Zxid, u64)>>,
}

/// Clients by their number.
pub type Registry = HashMap<ConnectionId, Arc<Client>, foldhash::fast::RandomState>;

/// A digest is kept of every zxid divisible by this (reference: `DataTree.DIGEST_LOG_INTERVAL`).
const DIGEST_INTERVAL: i64 = 128;
/// Watches of a connection that has gone that are removed under one hold.
const LEAVING_SLICE: usize = 1024;
/// How many digests are kept.
const DIGESTS_MAX: usize = 1024;

impl State {
    /// Shares a recovered tree and its sessions.
    #[must_use]
    pub fn new(tree: Tree, sessions: Sessions, options: Options, budget: Budget, now_ms: i64) -> Self {
        Self {
            options,
            last_zxid: AtomicI64::new(tree.last_zxid().0),
            budget,
            listening: Listening::new(now_ms),
            reply_caches: ReplyCaches::default(),
            standing: Published::default(),
            disk_full: AtomicBool::new(false),
            trail: OnceLock::new(),
            tree: RwLock::new(tree),
            watches: Mutex::default(),
            sessions: Mutex::new(sessions),
            stats: ServerStats::default(),
            clients: RwLock::default(),
            digests: Mutex::default(),
        }
    }

    /// From here on there is an audit trail. Called once, before anybody is served.
    pub fn set_trail(&self, trail: Trail) {
        self.trail.set(trail).expect("there is one audit trail");
    }

    /// The audit trail, where there is one.
    pub fn trail(&self) -> Option<&Trail> {
        self.trail.get()
    }

    /// With caches of replies of another size.
    #[must_use]
    pub fn with_reply_caches(self, reply_caches: ReplyCaches) -> Self {
        Self { reply_caches, ..self }
    }

    /// The tree, to look at.
    pub fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, to change. Only the writer does.
    pub fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree's last zxid, without the tree.
    pub fn last_zxid(&self) -> Zxid {
        Zxid(self.last_zxid.load(Ordering::Acquire))
    }

    /// The tree is at this zxid now. Said before the tree is let go.
    pub(super) fn set_last_zxid(&self, zxid: Zxid) {
        self.last_zxid.store(zxid.0, Ordering::Release);
    }

    /// A client is about to hear of this transaction: no ping of another shows an earlier one from here on. For the
    /// writer, as there is one.
    pub(super) fn reach_zxid(&self, zxid: Zxid) {
        if zxid > self.last_zxid() {
            self.set_last_zxid(zxid);
        }
    }

    /// Whether writes wait for space on a full disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Acquire)
    }

    pub(super) fn set_disk_full(&self, is_full: bool) {
        self.disk_full.store(is_full, Ordering::Release);
    }

    /// Puts another tree and its sessions, with their timeouts in milliseconds, in the place of those that are
    /// here. Returns the tree that was here, which may take long to free.
    pub(crate) fn replace_tree(&self, tree: Tree, timeouts: &BTreeMap<SessionId, i32>, now_ms: i64) -> Tree {
        let mut sessions = self.sessions();
        let mut current = self.tree_mut();
        sessions.replace(timeouts, now_ms);
        self.set_last_zxid(tree.last_zxid());
        current.end_listings();
        std::mem::replace(&mut current, tree)
    }

    /// The watches.
    pub fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody holds the sessions, the tree or the watches.
    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.sessions.try_lock().is_ok() && self.tree.try_write().is_ok() && self.watches.try_lock().is_ok()
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

    /// The clients by their number.
    pub(super) fn registry(&self) -> RwLockReadGuard<'_, Registry> {
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
        let mut leaving = self.watches().take_watcher(client.id);
        while self.watches().remove_some(&mut leaving, LEAVING_SLICE) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::testing::OPTIONS;
    use crate::tree::OwnerRules;

    fn state(options: Options) -> State {
        let (tree, sessions) = (Tree::new(OwnerRules::default()), Sessions::new(2000, 1, 0));
        State::new(tree, sessions, options, Budget::unlimited(), 0)
    }

    #[test]
    fn the_digest_of_every_128th_transaction_is_kept_and_of_the_last_1024_of_these() {
        let kept = state(OPTIONS);
        (1..=300).for_each(|zxid| kept.note_digest(Zxid(zxid), zxid as u64));
        assert_eq!(kept.digests(), [(Zxid(128), 128), (Zxid(256), 256)]);
        (3..=1025).for_each(|n| kept.note_digest(Zxid(128 * n), n as u64));
        let digests = kept.digests();
        assert_eq!((digests.len(), digests[0].0, digests[1023].0), (1024, Zxid(256), Zxid(128 * 1025)));
        let off = state(Options { digest: false, ..OPTIONS });
        off.note_digest(Zxid(128), 1);
        assert_eq!(off.digests(), []);
        assert!(!off.is_disk_full());
    }

    #[test]
    fn a_connection_that_goes_takes_its_watches_along() {
        let state = state(OPTIONS);
        let clients: Vec<_> = [3, 1, 2]
            .map(|id| Arc::new(Client::new(id, ([127, 0, 0, 1], 1).into(), 0)))
            .into_iter()
            .collect();
        clients.iter().for_each(|client| state.register(client.clone()));
        let ids = || state.clients().iter().map(|client| client.id).collect::<Vec<_>>();
        assert_eq!((ids(), state.client_count()), (vec![1, 2, 3], 3));
        for number in 0..3000 {
            state.watches().add_data(&format!("/{number}"), 1);
        }
        state.watches().add_child("/a", 1);
        state.watches().add_data("/a", 2);
        state.unregister(&clients[1]);
        assert_eq!((ids(), state.client_count(), state.watches().count()), (vec![2, 3], 2, 1));
        assert!(clients[1].is_closed() && !clients[0].is_closed());
    }
}
