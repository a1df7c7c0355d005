//! One access control list, and checks against it that are quick however long it is. A list may have fifty thousand
//! entries, and one change of a node is checked for everybody who watches it.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::OnceLock;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use jute::records::data::Acl;

use super::acl::{self, AclRules, SaslRule};
use super::identities::{FEW, IdentitiesRef, Identity};
use super::ip;

/// A list as it is stored.
pub struct AclList {
    entries: Box<[Acl]>,
    /// Permissions that `world:anyone` has: answers most checks at once.
    world: i32,
    /// Made when a long list is checked for the first time.
    index: OnceLock<Index>,
}

impl From<Vec<Acl>> for AclList {
    fn from(entries: Vec<Acl>) -> Self {
        let is_anyone = |acl: &&Acl| name_of(acl) == ("world", Some("anyone"));
        let world = entries.iter().filter(is_anyone).fold(0, |bits, acl| bits | acl.perms);
        Self { entries: entries.into(), world, index: OnceLock::new() }
    }
}

impl fmt::Debug for AclList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

impl Deref for AclList {
    type Target = [Acl];

    fn deref(&self) -> &[Acl] {
        &self.entries
    }
}

impl PartialEq for AclList {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl AclList {
    /// Whether the list lets a connection with `identities` do any of `wanted`.
    #[must_use]
    pub fn permits<'a>(
        &self,
        wanted: i32,
        identities: impl Into<IdentitiesRef<'a>>,
        rules: AclRules,
    ) -> bool {
        if self.world & wanted != 0 {
            return true;
        }
        let identities = identities.into();
        if self.entries.len() <= FEW || identities.len() >= self.entries.len() {
            return acl::permits(&self.entries, wanted, identities, rules);
        }
        rules.skip
            || identities.is_super()
            || self.index.get_or_init(|| Index::new(&self.entries)).permits(
                &self.entries,
                wanted,
                identities,
                rules,
            )
    }
}

/// What the entries of a list give, by whom they give it to.
#[derive(Debug)]
struct Index {
    hasher: RandomState,
    /// By the hash of scheme and id: an entry with them, and the permissions of all entries with them.
    named: HashTable<(u64, usize, i32)>,
    /// Permissions of all addresses of a range.
    ranges: HashMap<ip::Range, i32>,
    /// Lengths of prefixes in `ranges`.
    lengths: BTreeSet<u32>,
    /// Permissions of all entries of the `sasl` scheme.
    sasl: i32,
}

impl Index {
    fn new(entries: &[Acl]) -> Self {
        let addresses = entries.iter().filter(|acl| name_of(acl).0 == "ip").count();
        let mut index = Self {
            hasher: RandomState::default(),
            named: HashTable::with_capacity(entries.len() - addresses),
            ranges: HashMap::with_capacity_and_hasher(addresses, RandomState::default()),
            lengths: BTreeSet::new(),
            sasl: 0,
        };
        for (at, acl) in entries.iter().enumerate() {
            match name_of(acl) {
                ("ip", id) => {
                    if let Some(range) = ip::Range::parse(id.unwrap_or_default()) {
                        *index.ranges.entry(range.canonical()).or_default() |= acl.perms;
                        index.lengths.insert(range.length());
                    }
                }
                (scheme, id) => {
                    index.sasl |= if scheme == "sasl" { acl.perms } else { 0 };
                    let hash = index.hash(scheme, id.unwrap_or_default());
                    let is_it = |(other, at, _): &(u64, usize, i32)| {
                        *other == hash && entries.get(*at).is_some_and(|other| other.id == acl.id)
                    };
                    match index.named.find_mut(hash, is_it) {
                        Some((.., perms)) => *perms |= acl.perms,
                        None => {
                            index.named.insert_unique(hash, (hash, at, acl.perms), |(hash, ..)| *hash);
                        }
                    }
                }
            }
        }
        index
    }

    fn hash(&self, scheme: &str, id: &str) -> u64 {
        self.hasher.hash_one((scheme, id))
    }

    /// Entries and identities do not multiply: each identity is looked up.
    fn permits(&self, entries: &[Acl], wanted: i32, identities: IdentitiesRef<'_>, rules: AclRules) -> bool {
        let gives = |scheme: &str, id: &str| self.perms(entries, scheme, id) & wanted != 0;
        identities.any(|Identity { scheme, id }| match scheme.as_str() {
            "ip" => ip::Address::parse(id).is_some_and(|address| self.perms_at(address) & wanted != 0),
            "digest" => rules.digest && gives("digest", id),
            "key" => rules.key && gives("key", id),
            "x509" => rules.x509 && gives("x509", id),
            "sasl" => match rules.sasl {
                SaslRule::Off => false,
                SaslRule::On { anybody } => {
                    gives("sasl", id)
                        || id == "super" && self.sasl & wanted != 0
                        || anybody.is_some_and(|anybody| gives("sasl", anybody))
                }
            },
            _ => false,
        })
    }

    /// What the entries with this scheme and id give.
    fn perms(&self, entries: &[Acl], scheme: &str, id: &str) -> i32 {
        let hash = self.hash(scheme, id);
        let is_it = |(other, at, _): &&(u64, usize, i32)| {
            *other == hash && entries.get(*at).is_some_and(|acl| is_named(acl, scheme, id))
        };
        self.named.iter_hash(hash).filter(is_it).fold(0, |bits, (.., perms)| bits | perms)
    }

    /// What the ranges give that the address is in.
    fn perms_at(&self, address: ip::Address) -> i32 {
        let ranges = self.lengths.iter().filter_map(|length| address.range(*length));
        ranges.filter_map(|range| self.ranges.get(&range)).fold(0, |bits, perms| bits | perms)
    }
}

/// Scheme and id of an entry.
fn name_of(acl: &Acl) -> (&str, Option<&str>) {
    (acl.id.scheme.as_deref().unwrap_or_default(), acl.id.id.as_deref())
}

/// Whether an entry is for this scheme and id. A null id is an empty one, but for schemes whose providers look out
/// for it.
fn is_named(acl: &Acl, scheme: &str, id: &str) -> bool {
    let (other_scheme, other_id) = name_of(acl);
    let is_null = other_id.is_none() && matches!(scheme, "key" | "x509");
    other_scheme == scheme && other_id.unwrap_or_default() == id && !is_null
}

#[cfg(test)]
mod tests {
    use jute::records::data::Id;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::Identities;
    use super::*;

    fn entry(perms: i32, scheme: Option<&str>, id: Option<&str>) -> Acl {
        Acl { perms, id: Id { scheme: scheme.map(Into::into), id: id.map(Into::into) } }
    }

    const SCHEMES: [&str; 8] = ["world", "ip", "digest", "key", "sasl", "x509", "auth", ""];
    const IDS: [&str; 12] = [
        "anyone",
        "10.0.0.1",
        "10.0.0.0/8",
        "10.9.9.9/8",
        "0.0.0.0/0",
        "11.0.0.1",
        "0:0:0:0:0:0:0:1",
        "0::/16",
        "u:h",
        "super",
        "all",
        "",
    ];

    fn list() -> impl Strategy<Value = Vec<Acl>> {
        let scheme = prop_oneof![9 => select(SCHEMES.to_vec()).prop_map(Some), 1 => Just(None)];
        let id = prop_oneof![9 => select(IDS.to_vec()).prop_map(Some), 1 => Just(None)];
        let acl = (0..4, scheme, id).prop_map(|(perms, scheme, id)| entry(perms, scheme, id));
        proptest::collection::vec(acl, 0..8)
    }

    fn identities() -> impl Strategy<Value = Vec<Identity>> {
        let identity = (select(SCHEMES.to_vec()), select(IDS.to_vec()))
            .prop_map(|(scheme, id)| Identity { scheme: scheme.into(), id: id.into() });
        proptest::collection::vec(identity, 0..4)
    }

    fn rules() -> impl Strategy<Value = AclRules> {
        let sasl = select(vec![
            SaslRule::Off,
            SaslRule::On { anybody: None },
            SaslRule::On { anybody: Some("all") },
        ]);
        (any::<[bool; 3]>(), sasl).prop_map(|([digest, key, x509], sasl)| AclRules {
            skip: false,
            digest,
            key,
            sasl,
            x509,
        })
    }

    proptest! {
        #[test]
        fn a_long_list_gives_what_its_entries_give_one_by_one(
            list in list(),
            identities in identities(),
            rules in rules(),
            wanted in 1..4,
        ) {
            // Made long with entries that give nothing that is wanted.
            let mut long = list.clone();
            long.extend((0..=FEW).map(|n| entry(16, Some("digest"), Some(&format!("{n}:x")))));
            let expected = acl::permits(&long, wanted, &identities, rules);
            let as_set: Identities = identities.iter().cloned().collect();
            prop_assert_eq!(AclList::from(long.clone()).permits(wanted, &identities, rules), expected);
            prop_assert_eq!(AclList::from(long).permits(wanted, &as_set, rules), expected);
        }
    }

    #[test]
    fn skipping_checks_and_being_super_need_no_entry() {
        let long: Vec<_> = (0..100).map(|n| entry(31, Some("digest"), Some(&format!("{n}:x")))).collect();
        let list = AclList::from(long);
        let nobody: [Identity; 0] = [];
        let root = [Identity { scheme: "super".into(), id: String::new() }];
        assert!(!list.permits(1, &nobody, AclRules::default()));
        assert!(list.permits(1, &root, AclRules::default()));
        assert!(list.permits(1, &nobody, AclRules { skip: true, ..AclRules::default() }));
    }

    /// Each of those who watched a node was checked against each entry of its list: with a list of 50,000 addresses, a
    /// change for 60 connections took a tenth of a second. With that, this test takes minutes.
    #[test]
    fn a_check_does_not_look_at_each_entry() {
        let address = |n: usize| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
        let list =
            AclList::from((0..50_000).map(|n| entry(1, Some("ip"), Some(&address(n)))).collect::<Vec<_>>());
        let permitted = (0..100_000).filter(|n| {
            let identity = [Identity { scheme: "ip".into(), id: address(*n) }];
            list.permits(1, &identity, AclRules::default())
        });
        assert_eq!(permitted.count(), 50_000);
    }
}
