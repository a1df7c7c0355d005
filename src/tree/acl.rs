//! Access control lists: interned, since millions of nodes share a few, and the permission check
//! (reference: `ReferenceCountedACLCache`, `ZooKeeperServer.checkACL`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jute::Code;
use jute::records::data::{Acl, Id};

use super::ip;

/// Permission bits.
pub mod perms {
    /// Read data and children.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create a child.
    pub const CREATE: i32 = 4;
    /// Delete a child.
    pub const DELETE: i32 = 8;
    /// Set the access control list.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// An identity that a connection has proven, or that its address gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `ip`, `digest`, `super`, …
    pub scheme: String,
    /// The name inside the scheme.
    pub id: String,
}

/// Which schemes take part in checks.
#[derive(Clone, Copy, Debug)]
pub struct AclRules {
    /// `skipACL=yes`: everything is allowed.
    pub skip: bool,
    /// Whether `digest` is switched on.
    pub digest: bool,
    /// Whether `key` is switched on.
    pub key: bool,
}

impl Default for AclRules {
    fn default() -> Self {
        Self { skip: false, digest: true, key: false }
    }
}

/// Whether `list` lets a connection with `identities` do any of `wanted`.
#[must_use]
pub fn permits(list: &[Acl], wanted: i32, identities: &[Identity], rules: AclRules) -> bool {
    if rules.skip || list.is_empty() || identities.iter().any(|identity| identity.scheme == "super") {
        return true;
    }
    list.iter().filter(|acl| acl.perms & wanted != 0).any(|acl| {
        let (scheme, id) = (acl.id.scheme.as_deref().unwrap_or(""), acl.id.id.as_deref().unwrap_or(""));
        (scheme == "world" && id == "anyone")
            || identities.iter().filter(|identity| identity.scheme == scheme).any(|identity| match scheme {
                "digest" => rules.digest && identity.id == id,
                "ip" => ip::matches(&identity.id, id),
                "key" => rules.key && acl.id.id.as_deref() == Some(&*identity.id),
                _ => false,
            })
    })
}

/// What `auth` entries may expand to: entries times identities, of which a client may have any number.
/// Snapshots are read with a bound that such lists must not pass.
pub const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Turns the list of a request into the one that is stored (reference: `PrepRequestProcessor.fixupACL`).
///
/// # Errors
/// `INVALID_ACL` for what the reference does not accept. `MARSHALLING_ERROR` for nulls in places where
/// it does not look out for them.
pub fn fix_up(acl: Option<Vec<Acl>>, identities: &[Identity], rules: AclRules) -> Result<Vec<Acl>, Code> {
    let asked = without_duplicates(acl.unwrap_or_default())?;
    if asked.is_empty() {
        return Err(Code::INVALID_ACL);
    }
    let mut stored = Vec::with_capacity(asked.len());
    let mut expanded_bytes = 0;
    for acl in asked {
        let Some(scheme) = acl.id.scheme.as_deref() else { return Err(Code::INVALID_ACL) };
        match (scheme, acl.id.id.as_deref()) {
            ("world" | "ip", None) => return Err(Code::MARSHALLING_ERROR),
            ("digest", None) if rules.digest => return Err(Code::MARSHALLING_ERROR),
            // The reference writes this null to its log, and does not survive it.
            ("key", None) if rules.key => return Err(Code::MARSHALLING_ERROR),
            ("world", Some("anyone")) => stored.push(acl),
            ("auth", _) => {
                let before = stored.len();
                expanded_bytes += identities.iter().map(encoded_bytes).sum::<usize>();
                if expanded_bytes > EXPANDED_BYTES_MAX {
                    return Err(Code::INVALID_ACL);
                }
                stored.extend(identities.iter().filter(|identity| is_authenticated(identity, rules)).map(
                    |identity| Acl {
                        perms: acl.perms,
                        id: Id { scheme: Some(identity.scheme.clone()), id: Some(identity.id.clone()) },
                    },
                ));
                if stored.len() == before {
                    return Err(Code::INVALID_ACL);
                }
            }
            ("digest", Some(id)) if rules.digest && is_digest_id(id) => stored.push(acl),
            ("ip", Some(id)) if ip::is_range(id) => stored.push(acl),
            ("key", Some(_)) if rules.key => stored.push(acl),
            _ => return Err(Code::INVALID_ACL),
        }
    }
    Ok(stored)
}

/// Each entry once, in order. The reference compares an entry with those before it field by field and
/// stumbles over a null of its own where all fields before that one are equal.
fn without_duplicates(asked: Vec<Acl>) -> Result<Vec<Acl>, Code> {
    let mut kept: Vec<Acl> = Vec::with_capacity(asked.len());
    let mut seen = HashSet::with_capacity(asked.len());
    'entries: for acl in asked {
        if acl.id.scheme.is_some() && acl.id.id.is_some() {
            // Without a null of its own there is nothing to stumble over.
            if seen.insert(acl.clone()) {
                kept.push(acl);
            }
            continue;
        }
        for earlier in kept.iter().filter(|earlier| earlier.perms == acl.perms) {
            let scheme = acl.id.scheme.as_ref().ok_or(Code::MARSHALLING_ERROR)?;
            if earlier.id.scheme.as_ref() != Some(scheme) {
                continue;
            }
            let id = acl.id.id.as_ref().ok_or(Code::MARSHALLING_ERROR)?;
            if earlier.id.id.as_ref() == Some(id) {
                continue 'entries;
            }
        }
        kept.push(acl);
    }
    Ok(kept)
}

/// What an entry for this identity takes in files and frames.
#[must_use]
pub const fn encoded_bytes(identity: &Identity) -> usize {
    12 + identity.scheme.len() + identity.id.len()
}

/// What a list takes in a record.
#[must_use]
pub fn list_bytes(list: &[Acl]) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    4 + list.iter().map(|acl| 12 + text(&acl.id.scheme) + text(&acl.id.id)).sum::<usize>()
}

/// Two parts between colons, counted as Java's `split` does: empty parts at the end do not count.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

fn is_authenticated(identity: &Identity, rules: AclRules) -> bool {
    match identity.scheme.as_str() {
        "digest" => rules.digest,
        "key" => rules.key,
        _ => false,
    }
}

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
    pub fn permits(&self, slot: AclSlot, wanted: i32, identities: &[Identity], rules: AclRules) -> bool {
        let entry = self.entry(slot);
        entry.world & wanted != 0 || permits(&entry.list, wanted, identities, rules)
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

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
    }

    #[test]
    fn auth_expands_to_the_authenticated_identities_only() {
        let rules = AclRules::default();
        let me = [identity("ip", "127.0.0.1"), identity("digest", "u:h")];
        let fixed = fix_up(Some(vec![acl(1, "auth", "")]), &me, rules);
        assert_eq!(fixed, Ok(vec![acl(1, "digest", "u:h")]));
        assert_eq!(fix_up(Some(vec![acl(1, "auth", "")]), &me[..1], rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![]), &me, rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![acl(1, "digest", "u:")]), &me, rules), Err(Code::INVALID_ACL));
        assert_eq!(fix_up(Some(vec![acl(1, "nope", "x")]), &me, rules), Err(Code::INVALID_ACL));
    }

    /// The differential run sent `ip` with a null id; the reference had followed the null and answered
    /// MARSHALLINGERROR where INVALIDACL was expected.
    #[test]
    fn a_null_is_a_marshalling_error_only_where_the_reference_follows_it() {
        let fix = |list: &[(Option<&str>, Option<&str>)]| {
            let entry = |(scheme, id): &(Option<&str>, Option<&str>)| Acl {
                perms: 1,
                id: Id { scheme: scheme.map(str::to_owned), id: id.map(str::to_owned) },
            };
            fix_up(Some(list.iter().map(entry).collect()), &[], AclRules::default())
        };
        for scheme in ["world", "ip", "digest"] {
            assert_eq!(fix(&[(Some(scheme), None)]), Err(Code::MARSHALLING_ERROR), "{scheme}");
        }
        assert_eq!(fix(&[(Some("nope"), None)]), Err(Code::INVALID_ACL));
        assert_eq!(fix(&[(None, None)]), Err(Code::INVALID_ACL));
        // Compared with an earlier entry of equal permissions, a null is followed before it is judged.
        assert_eq!(fix(&[(None, None), (None, None)]), Err(Code::MARSHALLING_ERROR));
        assert_eq!(fix(&[(Some("nope"), Some("x")), (None, None)]), Err(Code::MARSHALLING_ERROR));
        assert_eq!(fix(&[(None, None), (Some("world"), Some("anyone"))]), Err(Code::INVALID_ACL));
    }

    /// The reference's `key` scheme takes every id but a null, which ends the reference.
    #[test]
    fn the_key_scheme_takes_part_where_it_has_a_provider() {
        let rules = AclRules { key: true, ..AclRules::default() };
        let me = [identity("ip", "127.0.0.1"), identity("key", "")];
        let null = Acl { perms: 1, id: Id { scheme: Some("key".into()), id: None } };
        assert_eq!(fix_up(Some(vec![null.clone()]), &[], rules), Err(Code::MARSHALLING_ERROR));
        for list in [vec![acl(1, "key", "")], vec![acl(1, "key", "anything")]] {
            assert_eq!(fix_up(Some(list.clone()), &[], rules), Ok(list.clone()));
            assert_eq!(fix_up(Some(list), &[], AclRules::default()), Err(Code::INVALID_ACL));
        }
        assert_eq!(fix_up(Some(vec![acl(1, "auth", "")]), &me, rules), Ok(vec![acl(1, "key", "")]));
        assert!(permits(&[acl(1, "key", "")], 1, &me, rules));
        assert!(!permits(&[acl(1, "key", "")], 1, &me, AclRules::default()));
        assert!(!permits(&[acl(1, "key", "x"), null], 1, &me, rules));
    }

    /// Entries and identities multiply: a frame of a megabyte came to gigabytes, and already a list of some
    /// megabytes made a snapshot that could not be loaded.
    #[test]
    fn auth_entries_expand_to_a_bounded_list() {
        let rules = AclRules::default();
        let me: Vec<_> = (0..2000).map(|n| identity("digest", &format!("user-{n}:hash"))).collect();
        let of = |count| (0..count).map(|perms| acl(perms, "auth", "")).collect::<Vec<_>>();
        assert_eq!(fix_up(Some(of(10)), &me, rules).map(|list| list.len()), Ok(20_000));
        assert_eq!(fix_up(Some(of(50_000)), &me, rules), Err(Code::INVALID_ACL));
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
