//! Access control lists in use: interned, since millions of nodes share a few (reference:
//! `ReferenceCountedACLCache`).

use std::collections::HashMap;
use std::sync::Arc;

use jute::records::data::{Acl, Id};

use super::acl::{self, AclRules, perms};
use super::identities::IdentitiesRef;

/// Where an access control list is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AclSlot(u32);

impl AclSlot {
    /// The open list of the nodes that every tree begins with; -1 in files.
    pub const OPEN: Self = Self(0);
}

#[derive(Debug)]
struct Entry {
    /// The id in files; ids only grow.
    file_id: i64,
    list: Arc<[Acl]>,
    users: u64,
    /// Permissions that `world:anyone` has: answers most checks at once.
    world: i32,
}

/// All lists in use.
#[derive(Debug)]
pub struct AclTable {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_list: HashMap<Arc<[Acl]>, AclSlot>,
    by_file_id: HashMap<i64, AclSlot, foldhash::fast::RandomState>,
    last_file_id: i64,
}

impl Default for AclTable {
    fn default() -> Self {
        let open: Arc<[Acl]> = Arc::new([Acl {
            perms: perms::ALL,
            id: Id { scheme: Some("world".into()), id: Some("anyone".into()) },
        }]);
        let open = Entry { file_id: -1, world: perms::ALL, users: 1, list: open };
        Self {
            entries: vec![Some(open)],
            free: Vec::new(),
            by_list: HashMap::new(),
            by_file_id: HashMap::from_iter([(-1, AclSlot::OPEN)]),
            last_file_id: 0,
        }
    }
}

impl AclTable {
    /// The list in `slot`.
    #[must_use]
    pub fn list(&self, slot: AclSlot) -> &Arc<[Acl]> {
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
        let entry = self.entry(slot);
        entry.world & wanted != 0 || acl::permits(&entry.list, wanted, identities, rules)
    }

    /// Interns `list` for one more user. A null list is the open one.
    pub fn intern(&mut self, list: Option<Vec<Acl>>) -> AclSlot {
        let Some(list) = list else { return AclSlot::OPEN };
        if let Some(slot) = self.by_list.get(list.as_slice()).copied() {
            self.entry_mut(slot).users += 1;
            return slot;
        }
        self.last_file_id += 1;
        self.insert(self.last_file_id, list.into(), 1)
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
        if !self.by_file_id.contains_key(&file_id) {
            self.insert(file_id, list.into(), 0);
        }
    }

    /// The list that a node in a snapshot refers to, for one more user; `None` when the snapshot does
    /// not define it.
    pub fn use_file_id(&mut self, file_id: i64) -> Option<AclSlot> {
        let slot = *self.by_file_id.get(&file_id)?;
        if slot != AclSlot::OPEN {
            self.entry_mut(slot).users += 1;
        }
        Some(slot)
    }

    /// Drops what a snapshot defined and no node uses.
    pub fn purge_unused(&mut self) {
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
    pub fn to_file(&self) -> Vec<(i64, Arc<[Acl]>)> {
        let mut all: Vec<_> =
            self.entries.iter().flatten().skip(1).map(|entry| (entry.file_id, entry.list.clone())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    fn insert(&mut self, file_id: i64, list: Arc<[Acl]>, users: u64) -> AclSlot {
        let world = list
            .iter()
            .filter(|acl| acl.id.scheme.as_deref() == Some("world") && acl.id.id.as_deref() == Some("anyone"))
            .fold(0, |bits, acl| bits | acl.perms);
        let entry = Entry { file_id, list: list.clone(), users, world };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 access control lists")
        });
        let slot = AclSlot(index);
        if let Some(place) = self.entries.get_mut(index as usize) {
            *place = Some(entry);
        }
        // Two ids for one list can only come from a file; the later one serves new nodes.
        self.by_list.insert(list, slot);
        self.by_file_id.insert(file_id, slot);
        slot
    }

    fn remove(&mut self, slot: AclSlot) {
        if let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::take) {
            self.by_file_id.remove(&entry.file_id);
            if self.by_list.get(&entry.list) == Some(&slot) {
                self.by_list.remove(&entry.list);
            }
            self.free.push(slot.0);
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
}
