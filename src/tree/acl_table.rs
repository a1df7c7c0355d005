//! Access control lists in use: interned, since millions of nodes share a few (reference:
//! `ReferenceCountedACLCache`).

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use jute::records::data::{Acl, Id};

use super::acl::{AclRules, perms};
use super::acl_list::AclList;
use super::identities::IdentitiesRef;

/// Where an access control list is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AclSlot(u32);

impl AclSlot {
    /// The open list of the nodes that every tree begins with; -1 in files.
    pub const OPEN: Self = Self(0);
}

/// The id of the open list in files, where no table has it.
const OPEN_FILE_ID: i64 = -1;

#[derive(Debug)]
struct Entry {
    /// The id in files; ids only grow.
    file_id: i64,
    list: Arc<AclList>,
    users: u64,
}

/// All lists in use.
#[derive(Debug)]
pub struct AclTable {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_list: Index,
    /// Slots by the ids of the snapshot, while it is loaded.
    by_file_id: HashMap<i64, AclSlot, RandomState>,
    last_file_id: i64,
}

const SHARDS: usize = 64;

/// Slots by the hash of their lists. Shards grow one at a time, and without a look at the lists, so that no
/// single create pays for all.
#[derive(Debug)]
struct Index {
    shards: [HashTable<(u64, AclSlot)>; SHARDS],
    hasher: RandomState,
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| HashTable::new()), hasher: RandomState::default() }
    }
}

impl Index {
    fn shard(&self, hash: u64) -> &HashTable<(u64, AclSlot)> {
        &self.shards[hash as usize % SHARDS]
    }

    fn shard_mut(&mut self, hash: u64) -> &mut HashTable<(u64, AclSlot)> {
        &mut self.shards[hash as usize % SHARDS]
    }
}

impl Default for AclTable {
    fn default() -> Self {
        let open = vec![Acl {
            perms: perms::ALL,
            id: Id { scheme: Some("world".into()), id: Some("anyone".into()) },
        }];
        let open = Entry { file_id: OPEN_FILE_ID, users: 1, list: Arc::new(open.into()) };
        Self {
            entries: vec![Some(open)],
            free: Vec::new(),
            by_list: Index::default(),
            by_file_id: HashMap::default(),
            last_file_id: 0,
        }
    }
}

impl AclTable {
    /// The list in `slot`.
    #[must_use]
    pub fn list(&self, slot: AclSlot) -> &Arc<AclList> {
        &self.entry(slot).list
    }

    /// Whether the list in `slot` lets a connection with `identities` do any of `wanted`.
    #[must_use]
    pub fn permits<'a>(
        &self,
        slot: AclSlot,
        wanted: i32,
        identities: impl Into<IdentitiesRef<'a>>,
        rules: AclRules,
    ) -> bool {
        self.entry(slot).list.permits(wanted, identities, rules)
    }

    /// Interns `list` for one more user. A null list is the open one.
    pub fn intern(&mut self, list: Option<Vec<Acl>>) -> AclSlot {
        let Some(list) = list else { return AclSlot::OPEN };
        if let Some(slot) = self.slot_of(self.by_list.hasher.hash_one(list.as_slice()), &list) {
            self.entry_mut(slot).users += 1;
            return slot;
        }
        self.last_file_id += 1;
        self.insert(self.last_file_id, Arc::new(list.into()), 1)
    }

    fn slot_of(&self, hash: u64, list: &[Acl]) -> Option<AclSlot> {
        let is_it = |(other, slot): &(u64, AclSlot)| *other == hash && **self.entry(*slot).list == *list;
        self.by_list.shard(hash).find(hash, is_it).map(|(_, slot)| *slot)
    }

    /// Gives back one use of `slot`.
    pub fn release(&mut self, slot: AclSlot) {
        if slot == AclSlot::OPEN {
            return;
        }
        let entry = self.entry_mut(slot);
        entry.users -= 1;
        if entry.users == 0 {
            self.remove(slot);
        }
    }

    /// Adds a list read from a snapshot, not yet used by any node.
    pub fn load(&mut self, file_id: i64, list: Vec<Acl>) {
        self.last_file_id = self.last_file_id.max(file_id);
        if file_id != OPEN_FILE_ID && !self.by_file_id.contains_key(&file_id) {
            let slot = self.insert(file_id, Arc::new(list.into()), 0);
            self.by_file_id.insert(file_id, slot);
        }
    }

    /// The list that a node in a snapshot refers to, for one more user; `None` when the snapshot does
    /// not define it.
    pub fn use_file_id(&mut self, file_id: i64) -> Option<AclSlot> {
        if file_id == OPEN_FILE_ID {
            return Some(AclSlot::OPEN);
        }
        let slot = *self.by_file_id.get(&file_id)?;
        self.entry_mut(slot).users += 1;
        Some(slot)
    }

    /// The snapshot is loaded: drops what it defined and no node uses.
    pub fn finish_loading(&mut self) {
        self.by_file_id = HashMap::default();
        let unused: Vec<_> = (0..self.entries.len())
            .filter_map(|index| Some(AclSlot(u32::try_from(index).ok()?)))
            .filter(|slot| {
                self.entries.get(slot.0 as usize).is_some_and(|e| e.as_ref().is_some_and(|e| e.users == 0))
            })
            .collect();
        for slot in unused {
            self.remove(slot);
        }
    }

    /// The id under which files know `slot`.
    #[must_use]
    pub fn file_id(&self, slot: AclSlot) -> i64 {
        self.entry(slot).file_id
    }

    /// The largest id given out so far.
    #[must_use]
    pub const fn last_file_id(&self) -> i64 {
        self.last_file_id
    }

    /// What a snapshot writes: id and list of all but the open one.
    #[must_use]
    pub fn to_file(&self) -> Vec<(i64, Arc<AclList>)> {
        let mut all: Vec<_> = self.slice(0..self.slots()).map(|(id, list)| (id, list.clone())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// How many slots there are, in use or not.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.entries.len()
    }

    /// Id and list of those slots that are in use. The open list is not among them.
    pub fn slice(&self, slots: Range<usize>) -> impl Iterator<Item = (i64, &Arc<AclList>)> {
        let entries = self.entries.get(slots).unwrap_or_default().iter().flatten();
        entries.filter(|entry| entry.file_id != OPEN_FILE_ID).map(|entry| (entry.file_id, &entry.list))
    }

    fn insert(&mut self, file_id: i64, list: Arc<AclList>, users: u64) -> AclSlot {
        let entry = Entry { file_id, list: list.clone(), users };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 access control lists")
        });
        let slot = AclSlot(index);
        if let Some(place) = self.entries.get_mut(index as usize) {
            *place = Some(entry);
        }
        let hash = self.by_list.hasher.hash_one(&**list);
        // Two ids for one list can only come from a file; the later one serves new nodes.
        if let Some(earlier) = self.slot_of(hash, &list) {
            self.remove_from_index(hash, earlier);
        }
        self.by_list.shard_mut(hash).insert_unique(hash, (hash, slot), |(hash, _)| *hash);
        slot
    }

    fn remove(&mut self, slot: AclSlot) {
        if let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::take) {
            self.remove_from_index(self.by_list.hasher.hash_one(&**entry.list), slot);
            self.free.push(slot.0);
        }
    }

    fn remove_from_index(&mut self, hash: u64, slot: AclSlot) {
        if let Ok(entry) = self.by_list.shard_mut(hash).find_entry(hash, |(_, other)| *other == slot) {
            entry.remove();
        }
    }

    fn entry(&self, slot: AclSlot) -> &Entry {
        self.entries.get(slot.0 as usize).and_then(Option::as_ref).expect("a slot in use has an entry")
    }

    fn entry_mut(&mut self, slot: AclSlot) -> &mut Entry {
        self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut).expect("a slot in use has an entry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
    }

    #[test]
    fn a_list_lives_as_long_as_its_users() {
        let mut table = AclTable::default();
        let first = table.intern(Some(vec![acl(1, "ip", "::1")]));
        assert_eq!(table.intern(Some(vec![acl(1, "ip", "::1")])), first);
        table.release(first);
        assert_eq!(table.to_file().len(), 1);
        table.release(first);
        assert!(table.to_file().is_empty());
        table.intern(Some(vec![acl(2, "ip", "::1")]));
        assert_eq!(table.to_file()[0].0, 2, "ids only grow");
    }
    #[test]
    fn a_list_that_a_snapshot_knows_by_two_ids_is_used_by_the_later_one() {
        let mut table = AclTable::default();
        for id in [5, 7] {
            table.load(id, vec![acl(1, "ip", "::1")]);
        }
        let (first, second) = (table.use_file_id(5).unwrap(), table.use_file_id(7).unwrap());
        assert_ne!(first, second);
        table.finish_loading();
        let new = || Some(vec![acl(1, "ip", "::1")]);
        assert_eq!(table.intern(new()), second);
        assert_eq!(table.to_file().len(), 2);
        [second, second].into_iter().for_each(|slot| table.release(slot));
        assert_eq!(table.to_file().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [5]);
        let third = table.intern(new());
        assert_eq!(table.file_id(third), 8);
        assert_eq!(table.list(first), table.list(third));
    }

    #[test]
    fn many_lists_are_found_again() {
        let mut table = AclTable::default();
        let list = |n: usize| Some(vec![acl(1, "digest", &n.to_string())]);
        let slots: Vec<_> = (0..5000).map(|n| table.intern(list(n))).collect();
        assert!(slots.iter().enumerate().all(|(n, slot)| table.intern(list(n)) == *slot));
        let in_slices = (0..table.slots()).step_by(100).flat_map(|at| {
            table.slice(at..(at + 100).min(table.slots())).map(|(id, _)| id).collect::<Vec<_>>()
        });
        assert!(in_slices.eq(1..=5000));
        for slot in slots.iter().chain(&slots) {
            table.release(*slot);
        }
        assert!(table.to_file().is_empty());
        assert!(table.by_list.shards.iter().all(HashTable::is_empty));
    }
}
