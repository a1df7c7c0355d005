//! The tree as it will be: what is applied, plus every change that is prepared and not yet applied.
//! Reference: `ZooKeeperServer.ChangeRecord`, `outstandingChanges`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jute::records::data::StatPersisted;
use jute::{SessionId, Zxid};

use crate::tree::{AclList, Node, Owner, Tree, digest, path};

/// A node as it will be: as much of it as later requests depend on.
#[derive(Clone, Debug)]
pub struct View {
    /// Its stored stat.
    pub stat: StatPersisted,
    /// Number of children.
    pub children: usize,
    /// Its access control list.
    pub acl: Arc<AclList>,
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

impl Pending {
    /// The session that will own the node.
    fn owner(&self) -> Option<SessionId> {
        self.view.as_ref().map(|view| view.stat.ephemeral_owner).filter(|owner| *owner != SessionId::NONE)
    }
}

type SeededMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Changes not yet applied.
#[derive(Debug, Default)]
pub struct Outstanding {
    by_path: SeededMap<Arc<str>, Pending>,
    /// The paths in `by_path` whose nodes will have this owner.
    by_owner: SeededMap<SessionId, HashSet<Arc<str>, foldhash::fast::RandomState>>,
    /// Sessions that will end, and when: all that the tree holds of them, and `by_path` does not know, will be gone.
    ending: SeededMap<SessionId, Zxid>,
    ends: VecDeque<(Zxid, SessionId)>,
    /// In the order they were made.
    queue: VecDeque<(Zxid, Arc<str>)>,
    /// The digest the tree will have; meaningful while the queue is not empty.
    digest: u64,
    /// Ephemerals that will be created, deleted again or not: their owners, and what each takes in a list.
    created: VecDeque<(Zxid, SessionId, usize)>,
    /// Their sum by owner.
    created_bytes: SeededMap<SessionId, usize>,
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
        let node = tree.get(path).filter(|node| !self.goes_with_its_session(tree, node))?;
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
            None => tree.get(path).is_some_and(|node| !self.goes_with_its_session(tree, node)),
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
        let replaced = self.replace(&path, Some(Pending { zxid, view: after }));
        if let Some(undo) = &mut self.undo {
            undo.replaced.push((path, replaced));
        }
    }

    /// Puts `pending` in the place of what is known of `path`, and gives that back.
    fn replace(&mut self, path: &Arc<str>, pending: Option<Pending>) -> Option<Pending> {
        let owner = pending.as_ref().and_then(Pending::owner);
        let replaced = match pending {
            Some(pending) => self.by_path.insert(path.clone(), pending),
            None => self.by_path.remove(path),
        };
        let replaced_owner = replaced.as_ref().and_then(Pending::owner);
        if owner != replaced_owner {
            if let Some(owner) = replaced_owner
                && let Some(paths) = self.by_owner.get_mut(&owner)
            {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
            if let Some(owner) = owner {
                self.by_owner.entry(owner).or_default().insert(path.clone());
            }
        }
        replaced
    }

    /// Starts a group of changes that may have to be taken back.
    pub fn begin(&mut self) {
        debug_assert!(
            self.undo.is_none(),
            "what takes back an earlier group is kept, and grows with each change"
        );
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
            self.replace(&path, replaced);
        }
    }

    /// How many changes these are; a path changed twice counts twice.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.queue.len()
    }

    /// Forgets what the tree now holds.
    pub fn applied(&mut self, zxid: Zxid) {
        while let Some((at, path)) = self.queue.pop_front_if(|(at, _)| *at <= zxid) {
            if self.by_path.get(&path).is_some_and(|pending| pending.zxid == at) {
                self.replace(&path, None);
            }
        }
        while let Some((at, session)) = self.ends.pop_front_if(|(at, _)| *at <= zxid) {
            if self.ending.get(&session) == Some(&at) {
                self.ending.remove(&session);
            }
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

    /// The ephemerals a session will have when everything is applied, sorted. What others change costs nothing
    /// here.
    #[must_use]
    pub fn ephemerals_of(&self, tree: &Tree, session: SessionId) -> Vec<String> {
        let pending = self.by_owner.get(&session).into_iter().flatten().map(ToString::to_string);
        let mut paths: Vec<String> = pending.collect();
        if !self.ending.contains_key(&session) {
            let untouched = tree.ephemerals_of(session).filter(|path| !self.by_path.contains_key(*path));
            paths.extend(untouched.map(str::to_owned));
        }
        paths.sort_unstable();
        paths
    }

    /// The session will end at `zxid`, and all of its [`Self::ephemerals_of`], which are returned, with it. It may own
    /// a hundred thousand of them: what the tree holds takes no record each, but is known to be gone by its owner,
    /// and a parent of many is changed once.
    pub fn end_session(&mut self, tree: &Tree, zxid: Zxid, session: SessionId) -> Vec<String> {
        let paths = self.ephemerals_of(tree, session);
        let are_siblings = |one: &String, next: &String| path::parent(one) == path::parent(next);
        for siblings in paths.chunk_by(are_siblings) {
            let parent_path = siblings.first().and_then(|path| path::parent(path)).unwrap_or_default();
            if let Some(parent) = self.view(tree, parent_path) {
                let children = parent.children.saturating_sub(siblings.len());
                let mut after = View { children, ..parent.clone() };
                after.stat.pzxid = zxid;
                self.change(tree, zxid, parent_path, Some(&parent), Some(after));
            }
            for path in siblings {
                if self.by_path.contains_key(path.as_str()) {
                    let node = self.view(tree, path);
                    self.change(tree, zxid, path, node.as_ref(), None);
                } else if let Some(node) = tree.get(path).filter(|_| digest::counts(path)) {
                    let gone = digest::node(node.content_crc(), &node.persisted());
                    self.digest = self.digest.wrapping_sub(gone);
                }
            }
        }
        self.ending.insert(session, zxid);
        self.ends.push_back((zxid, session));
        paths
    }

    /// Whether the node, of which no change is known by its path, will go with its session.
    fn goes_with_its_session(&self, tree: &Tree, node: &Node) -> bool {
        !self.ending.is_empty()
            && matches!(Owner::from_field(node.owner(), tree.rules()),
                Owner::Session(owner) if self.ending.contains_key(&owner))
    }
}

/// The root has two names; one of them is used here.
fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::tree::OwnerRules;

    const SESSIONS: [SessionId; 3] = [SessionId(0x11), SessionId(0x22), SessionId(0x33)];

    fn ephemeral_of(session: SessionId) -> View {
        let stat = StatPersisted { ephemeral_owner: session, ..StatPersisted::default() };
        View { stat, children: 0, acl: Arc::new(Vec::new().into()), data_length: 0, content_crc: 0 }
    }

    /// The answer as it was found at first, by a look at every change. Nothing that the tree holds stays of a session
    /// that ends.
    fn found_by_looking_at_all(
        outstanding: &Outstanding,
        tree: &Tree,
        session: SessionId,
        ends: bool,
    ) -> Vec<String> {
        let stays = tree.ephemerals_of(session).filter(|_| !ends);
        let mut paths: BTreeSet<String> = stays.map(str::to_owned).collect();
        for (path, pending) in &outstanding.by_path {
            if pending.owner() == Some(session) {
                paths.insert(path.to_string());
            } else {
                paths.remove(path.as_ref());
            }
        }
        paths.into_iter().collect()
    }

    fn creation(path: &str) -> jute::txn::TxnBody {
        jute::txn::TxnBody::Create(jute::records::txn::CreateTxn {
            path: Some(path.into()),
            ephemeral: true,
            parent_cversion: -1,
            ..Default::default()
        })
    }

    fn deletion(path: &str) -> jute::txn::TxnBody {
        jute::txn::TxnBody::Delete(jute::records::txn::DeleteTxn { path: Some(path.into()) })
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Of one of few paths, by a session: it comes into being, is deleted, or is created again.
        Toggle(usize, SessionId),
        Begin,
        Keep,
        TakeBack,
        End(SessionId),
        /// So many transactions.
        Apply(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let session = || proptest::sample::select(SESSIONS.to_vec());
        prop_oneof![
            12 => (0..6usize, session()).prop_map(|(path, session)| Step::Toggle(path, session)),
            2 => Just(Step::Begin),
            1 => Just(Step::Keep),
            2 => Just(Step::TakeBack),
            2 => session().prop_map(Step::End),
            4 => (0..5usize).prop_map(Step::Apply),
        ]
    }

    /// Transactions as they are logged: none of a group before it is kept.
    fn check(steps: &[Step]) {
        let mut tree = Tree::new(OwnerRules::default());
        let mut outstanding = Outstanding::default();
        let mut logged = VecDeque::new();
        let mut ending = HashMap::new();
        let mut group = None;
        let mut zxid = Zxid::ZERO;
        for step in steps {
            match *step {
                Step::Toggle(path, session) => {
                    let path = format!("/{path}");
                    let before = outstanding.view(&tree, &path);
                    let after = before.is_none().then(|| ephemeral_of(session));
                    zxid = zxid.successor();
                    outstanding.change(&tree, zxid, &path, before.as_ref(), after);
                    let body = if before.is_none() { creation(&path) } else { deletion(&path) };
                    group.as_mut().unwrap_or(&mut logged).push_back((zxid, session, body));
                }
                Step::Begin if group.is_none() => {
                    outstanding.begin();
                    group = Some(VecDeque::new());
                }
                Step::Keep => {
                    outstanding.keep();
                    logged.extend(group.take().into_iter().flatten());
                }
                Step::TakeBack => {
                    outstanding.take_back();
                    group = None;
                }
                Step::End(session) if group.is_none() => {
                    zxid = zxid.successor();
                    ending.insert(session, zxid);
                    for path in outstanding.end_session(&tree, zxid, session) {
                        assert!(!outstanding.exists(&tree, &path));
                        logged.push_back((zxid, session, deletion(&path)));
                    }
                }
                Step::Apply(count) if group.is_none() => {
                    for _ in 0..count {
                        let Some((zxid, session, _)) = logged.front().cloned() else { break };
                        while let Some((_, _, body)) = logged.pop_front_if(|(at, ..)| *at == zxid) {
                            let header = jute::records::txn::TxnHeader {
                                client_id: session,
                                zxid,
                                ..Default::default()
                            };
                            tree.apply(&header, body, &mut |_| {});
                        }
                        outstanding.applied(zxid);
                    }
                }
                Step::Begin | Step::End(_) | Step::Apply(_) => {}
            }
            for session in SESSIONS {
                let ends = ending.get(&session).is_some_and(|end| *end > tree.last_zxid());
                let expected = found_by_looking_at_all(&outstanding, &tree, session, ends);
                assert_eq!(outstanding.ephemerals_of(&tree, session), expected, "after {step:?}");
            }
        }
        outstanding.keep();
        outstanding.applied(zxid);
        assert!(outstanding.by_owner.is_empty() && outstanding.ending.is_empty(), "nothing is kept for ever");
    }

    proptest! {
        #[test]
        fn the_ephemerals_of_a_session_are_those_a_look_at_every_change_finds(
            steps in vec(step(), 1..60),
        ) {
            check(&steps);
        }
    }

    #[test]
    fn what_will_be_created_counts_towards_the_end_of_its_session_until_it_is_applied() {
        let tree = Tree::new(OwnerRules::default());
        let mut outstanding = Outstanding::default();
        let [one, other, _] = SESSIONS;
        let bytes = |outstanding: &Outstanding| {
            [one, other].map(|session| outstanding.ephemerals_listed_bytes(&tree, session))
        };
        assert_eq!(bytes(&outstanding), [0, 0]);
        for (zxid, session, listed_bytes) in [(1, one, 10), (2, other, 7), (3, one, 20)] {
            outstanding.count_ephemeral(Zxid(zxid), session, listed_bytes);
        }
        assert_eq!(bytes(&outstanding), [30, 7]);
        outstanding.applied(Zxid(1));
        assert_eq!(bytes(&outstanding), [20, 7]);
        outstanding.applied(Zxid(3));
        assert_eq!((bytes(&outstanding), outstanding.created_bytes.len()), ([0, 0], 0));
    }

    /// An end of 50,000 ephemerals made 100,000 records, while everybody waited.
    #[test]
    fn the_end_of_a_session_takes_no_record_for_each_node() {
        let [session, other, _] = SESSIONS;
        let mut tree = Tree::new(OwnerRules::default());
        for (number, owner) in (1..=1000).zip([session, other].into_iter().cycle()) {
            let header =
                jute::records::txn::TxnHeader { client_id: owner, zxid: Zxid(number), ..Default::default() };
            tree.apply(&header, creation(&format!("/{number}")), &mut |_| {});
        }
        let mut outstanding = Outstanding::default();
        let paths = outstanding.end_session(&tree, Zxid(1001), session);
        assert_eq!((paths.len(), outstanding.changes(), outstanding.by_path.len()), (500, 1, 1));
        let is_there = |outstanding: &Outstanding, path: &str| {
            assert_eq!(outstanding.exists(&tree, path), outstanding.view(&tree, path).is_some());
            outstanding.exists(&tree, path)
        };
        assert!(paths.iter().all(|path| !is_there(&outstanding, path)));
        assert!((2..=1000).step_by(2).all(|kept| is_there(&outstanding, &format!("/{kept}"))));
        let root = outstanding.view(&tree, "/").expect("the root");
        assert_eq!((root.children, root.stat.pzxid), (501, Zxid(1001)), "with /zookeeper");
    }

    /// Each end looked at every change that was not applied: 4,000 sessions with 50 ephemerals ended in 37
    /// seconds. With that, this test takes minutes.
    #[test]
    fn sessions_that_end_together_do_not_look_at_each_others_ephemerals() {
        const EPHEMERALS: i64 = 20;
        let tree = Tree::new(OwnerRules::default());
        let mut outstanding = Outstanding::default();
        let sessions = || (1..8000).map(SessionId);
        for session in sessions() {
            for n in 0..EPHEMERALS {
                let path = format!("/{session}-{n}");
                outstanding.change(&tree, Zxid(1), &path, None, Some(ephemeral_of(session)));
            }
        }
        for session in sessions() {
            let paths = outstanding.end_session(&tree, Zxid(2), session);
            assert_eq!(paths.len() as i64, EPHEMERALS);
        }
        outstanding.applied(Zxid(2));
        assert_eq!(outstanding.changes(), 0);
    }
}
