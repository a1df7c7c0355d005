//! Who a connection is: what its address and its credentials gave it.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

use super::ip;

/// An identity that a connection has proven, or that its address gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `ip`, `digest`, `super`, …
    pub scheme: String,
    /// The name inside the scheme.
    pub id: String,
}

/// What an entry for this identity takes in files and frames.
#[must_use]
pub const fn encoded_bytes(identity: &Identity) -> usize {
    12 + identity.scheme.len() + identity.id.len()
}

/// Identities of one connection, each once, in the order they came. A clone is cheap and stays as it is
/// when the original gets more: requests on their way keep the identities they came with.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<Parts>);

#[derive(Clone, Debug, Default)]
struct Parts {
    /// Each is longer than the next one, so that there are few; shared with older clones.
    runs: Vec<Arc<Run>>,
    hasher: foldhash::fast::RandomState,
    bytes: usize,
    is_super: bool,
    addresses: Vec<ip::Address>,
}

#[derive(Debug)]
struct Run {
    identities: Vec<Identity>,
    /// Places of the identities by their hash, where there are many.
    index: HashTable<u32>,
}

/// Up to so many identities are compared one by one.
pub(super) const FEW: usize = 16;

impl Identities {
    /// Adds an identity behind all others. False if it is there already.
    pub fn insert(&mut self, identity: Identity) -> bool {
        if self.contains(&identity.scheme, &identity.id) {
            return false;
        }
        let parts = Arc::make_mut(&mut self.0);
        parts.count(&identity);
        // Each identity moves into a run at least twice as long: few times.
        let mut run = vec![identity];
        while let Some(last) = parts.runs.pop_if(|last| last.identities.len() <= run.len()) {
            run.splice(..0, last.identities.iter().cloned());
        }
        parts.runs.push(Arc::new(Run::new(run, &parts.hasher)));
        true
    }

    /// Whether this identity is among them.
    #[must_use]
    pub fn contains(&self, scheme: &str, id: &str) -> bool {
        // The first run is the longest, and only long ones have an index.
        let needs_hash = self.0.runs.first().is_some_and(|run| run.identities.len() > FEW);
        let hash = if needs_hash { self.0.hasher.hash_one((scheme, id)) } else { 0 };
        self.0.runs.iter().any(|run| run.contains(hash, scheme, id))
    }

    /// All of them, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.0.runs.iter().flat_map(|run| &run.identities)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.runs.iter().map(|run| run.identities.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.runs.is_empty()
    }

    /// The sum of [`encoded_bytes`] of all.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether one of them may do everything.
    #[must_use]
    pub fn is_super(&self) -> bool {
        self.0.is_super
    }

    /// The addresses among them.
    pub(super) fn addresses(&self) -> &[ip::Address] {
        &self.0.addresses
    }
}

impl Parts {
    fn count(&mut self, identity: &Identity) {
        self.bytes += encoded_bytes(identity);
        self.is_super |= identity.scheme == "super";
        if identity.scheme == "ip" {
            self.addresses.extend(ip::Address::parse(&identity.id));
        }
    }
}

impl Run {
    /// Those of `identities` that do not repeat one before.
    fn new(identities: impl IntoIterator<Item = Identity>, hasher: &foldhash::fast::RandomState) -> Self {
        let hash_of = |identity: &Identity| hasher.hash_one((identity.scheme.as_str(), identity.id.as_str()));
        let mut run = Self { identities: Vec::new(), index: HashTable::new() };
        for identity in identities {
            if run.contains(hash_of(&identity), &identity.scheme, &identity.id) {
                continue;
            }
            run.identities.push(identity);
            if run.identities.len() > FEW {
                let Self { identities, index } = &mut run;
                // At first none is in the index, then all but the last one.
                for place in index.len()..identities.len() {
                    let hash_at = |place: &u32| identities.get(*place as usize).map_or(0, hash_of);
                    let place = u32::try_from(place).expect("fewer than 2^32 identities");
                    index.insert_unique(hash_at(&place), place, hash_at);
                }
            }
        }
        run
    }

    fn contains(&self, hash: u64, scheme: &str, id: &str) -> bool {
        let is_it = |identity: &Identity| identity.id == id && identity.scheme == scheme;
        if self.identities.len() <= FEW {
            return self.identities.iter().any(is_it);
        }
        self.index.find(hash, |place| self.identities.get(*place as usize).is_some_and(is_it)).is_some()
    }
}

impl FromIterator<Identity> for Identities {
    fn from_iter<I: IntoIterator<Item = Identity>>(identities: I) -> Self {
        let mut parts = Parts::default();
        let run = Run::new(identities, &parts.hasher);
        run.identities.iter().for_each(|identity| parts.count(identity));
        if !run.identities.is_empty() {
            parts.runs.push(Arc::new(run));
        }
        Self(Arc::new(parts))
    }
}

impl From<&[Identity]> for Identities {
    fn from(identities: &[Identity]) -> Self {
        identities.iter().cloned().collect()
    }
}

/// Identities as they are asked for: in a list, or in a set for many.
#[derive(Clone, Copy, Debug)]
pub enum IdentitiesRef<'a> {
    /// In a list.
    List(&'a [Identity]),
    /// In a set.
    Set(&'a Identities),
}

impl<'a> From<&'a [Identity]> for IdentitiesRef<'a> {
    fn from(list: &'a [Identity]) -> Self {
        Self::List(list)
    }
}

impl<'a, const N: usize> From<&'a [Identity; N]> for IdentitiesRef<'a> {
    fn from(list: &'a [Identity; N]) -> Self {
        Self::List(list)
    }
}

impl<'a> From<&'a Vec<Identity>> for IdentitiesRef<'a> {
    fn from(list: &'a Vec<Identity>) -> Self {
        Self::List(list)
    }
}

impl<'a> From<&'a Arc<[Identity]>> for IdentitiesRef<'a> {
    fn from(list: &'a Arc<[Identity]>) -> Self {
        Self::List(list)
    }
}

impl<'a> From<&'a Identities> for IdentitiesRef<'a> {
    fn from(set: &'a Identities) -> Self {
        Self::Set(set)
    }
}

impl IdentitiesRef<'_> {
    /// Whether one of them may do everything.
    pub(super) fn is_super(self) -> bool {
        match self {
            Self::List(list) => list.iter().any(|identity| identity.scheme == "super"),
            Self::Set(set) => set.is_super(),
        }
    }

    /// How many there are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Set(set) => set.len(),
        }
    }

    /// Whether `is_it` holds for one of them.
    pub(super) fn any(self, is_it: impl FnMut(&Identity) -> bool) -> bool {
        match self {
            Self::List(list) => list.iter().any(is_it),
            Self::Set(set) => set.iter().any(is_it),
        }
    }

    /// Whether this identity is among them.
    pub(super) fn contains(self, scheme: &str, id: &str) -> bool {
        match self {
            Self::List(list) => list.iter().any(|identity| identity.id == id && identity.scheme == scheme),
            Self::Set(set) => set.contains(scheme, id),
        }
    }

    /// Whether one of them is of this scheme.
    pub(super) fn has_one_of(self, scheme: &str) -> bool {
        match self {
            Self::List(list) => list.iter().any(|identity| identity.scheme == scheme),
            Self::Set(set) => set.iter().any(|identity| identity.scheme == scheme),
        }
    }

    /// Whether one of them is an address in `range`.
    pub(super) fn has_address_in(self, range: &str) -> bool {
        let Some(range) = ip::Range::parse(range) else { return false };
        match self {
            Self::List(list) => list.iter().filter(|identity| identity.scheme == "ip").any(|identity| {
                ip::Address::parse(&identity.id).is_some_and(|address| range.contains(address))
            }),
            Self::Set(set) => set.addresses().iter().any(|address| range.contains(*address)),
        }
    }

    /// The sum of [`encoded_bytes`] of all.
    pub(super) fn encoded_bytes(self) -> usize {
        match self {
            Self::List(list) => list.iter().map(encoded_bytes).sum(),
            Self::Set(set) => set.encoded_bytes(),
        }
    }

    /// All of them, in the order they came.
    pub(super) fn for_each(self, with: impl FnMut(&Identity)) {
        match self {
            Self::List(list) => list.iter().for_each(with),
            Self::Set(set) => set.iter().for_each(with),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn identities_are_kept_once_and_in_order() {
        let mut set = Identities::default();
        assert!(set.is_empty() && !set.contains("digest", "0"));
        for n in 0..1000 {
            assert!(set.insert(identity("digest", &n.to_string())));
            assert!(!set.insert(identity("digest", &(n / 2).to_string())));
            assert!(!set.contains("ip", &n.to_string()));
        }
        assert_eq!(set.len(), 1000);
        assert!(set.iter().map(|identity| identity.id.clone()).eq((0..1000).map(|n| n.to_string())));
        assert!((0..1000).all(|n| set.contains("digest", &n.to_string())));
        let from_list: Identities = set.iter().chain(set.iter()).cloned().collect();
        assert!(from_list.iter().eq(set.iter()));
        assert_eq!(from_list.encoded_bytes(), set.iter().map(encoded_bytes).sum());
        assert_eq!(from_list.encoded_bytes(), set.encoded_bytes());
        assert!((0..1000).all(|n| from_list.contains("digest", &n.to_string())));
    }

    #[test]
    fn a_clone_stays_as_it_was() {
        let mut set: Identities = [identity("ip", "10.0.0.1")].into_iter().collect();
        let before = set.clone();
        set.insert(identity("super", ""));
        assert!(set.is_super() && !before.is_super());
        assert_eq!((set.len(), before.len()), (2, 1));
    }

    /// All identities were copied for each one more: 16,325 took 30 seconds.
    #[test]
    fn an_identity_more_copies_few_of_the_others() {
        let mut set = Identities::default();
        let mut kept = Vec::new();
        let mut copied = 0;
        for n in 0..10_000 {
            set.insert(identity("digest", &n.to_string()));
            kept.push(set.clone());
            let last = set.0.runs.last().map_or(0, |run| run.identities.len());
            copied += last + set.0.runs.len();
        }
        assert!(copied < 10_000 * 2 * 14, "{copied}");
    }
}
