//! What a power cut may leave of a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use super::disk::{Directory, Inner, Inode, SECTOR, Sector, SimDisk};
use super::random::Random;

/// What a kernel writes back at a time.
const PAGE: u64 = 4096;
/// What a processor stores at a time.
const WORD: u64 = 8;

/// Versions of one thing that are tried in turn; what is never synced, as the log's mark, has many.
const EARLIER_MAX: usize = 3;

/// Which of the things that were not durable survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Nothing,
    Everything,
    /// All but this one.
    Dropped(usize),
    /// This one alone.
    Kept(usize),
    /// All, but this one in an earlier version.
    Earlier(usize, usize),
    /// Each with any of its versions.
    Random(u64),
    /// The same, and pages that went to the disk in the middle of a store: new up to a word, the rest old.
    MidStore(u64),
    /// As random, and sectors may be torn: the beginning new, the rest old.
    Torn(u64),
}

/// How fresh space reads where nothing was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fresh {
    /// As zeros, whatever reached the disk: unwritten extents.
    Unwritten,
    /// Whatever reached the disk: space that was filled with zeros, or is used again.
    Recycled,
}

/// Something that is not durable: how many versions it has besides the durable one.
fn units(inner: &Inner, fresh: Fresh) -> Vec<(Unit, usize)> {
    let mut units = Vec::new();
    let mut reachable = BTreeSet::new();
    for (number, directory) in inner.directories.values().enumerate() {
        units.extend((0..directory.pending.len()).map(|index| (Unit::Name(number, index), 1)));
        reachable.extend(directory.durable.values().chain(directory.written.values()).copied());
    }
    for number in reachable {
        let inode = &inner.inodes[number];
        for (index, versions) in &inode.dirty {
            if fresh == Fresh::Recycled || !inode.fresh.contains(index) {
                units.push((Unit::Sector(number, *index), versions.len()));
            }
        }
        if !inode.lens.is_empty() {
            units.push((Unit::Length(number), inode.lens.len()));
        }
    }
    units
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// Directory, pending change.
    Name(usize, usize),
    /// Inode, sector.
    Sector(usize, u64),
    Length(usize),
}

/// Every choice worth trying on this disk, with so many random ones.
pub(super) fn choices(disk: &SimDisk, fresh: Fresh, random: u64) -> Vec<Choice> {
    let units = units(&disk.inner(), fresh);
    let mut choices = vec![Choice::Nothing];
    if units.is_empty() {
        return choices;
    }
    choices.push(Choice::Everything);
    for (index, (_, versions)) in units.iter().enumerate() {
        if units.len() > 1 {
            choices.extend([Choice::Dropped(index), Choice::Kept(index)]);
        }
        let earlier = (1..*versions).rev().take(EARLIER_MAX);
        choices.extend(earlier.map(|version| Choice::Earlier(index, version)));
    }
    if units.len() > 2 {
        choices.extend((0..random).flat_map(|seed| [Choice::Random(seed), Choice::MidStore(seed)]));
    }
    choices
}

/// The disk after the power came back.
pub(super) fn after(disk: &SimDisk, fresh: Fresh, choice: Choice) -> SimDisk {
    let inner = disk.inner();
    let mut random = Random::new(match choice {
        Choice::Random(seed) | Choice::MidStore(seed) | Choice::Torn(seed) => seed,
        _ => 0,
    });
    let mut picks = BTreeMap::new();
    let mut torn = BTreeMap::new();
    let mut stored = BTreeMap::new();
    for (index, (unit, versions)) in units(&inner, fresh).into_iter().enumerate() {
        let pick = match choice {
            Choice::Nothing => 0,
            Choice::Everything => versions,
            Choice::Dropped(dropped) => {
                if dropped == index {
                    0
                } else {
                    versions
                }
            }
            Choice::Kept(kept) => {
                if kept == index {
                    versions
                } else {
                    0
                }
            }
            Choice::Earlier(earlier, version) => {
                if earlier == index {
                    version
                } else {
                    versions
                }
            }
            Choice::MidStore(_) if let Unit::Sector(inode, sector) = unit => {
                let page = (inode, sector * SECTOR / PAGE);
                let new = *stored.entry(page).or_insert_with(|| match random.below(2) {
                    0 => random.below(PAGE / WORD) * WORD,
                    _ => PAGE,
                });
                let new = new.saturating_sub(sector * SECTOR % PAGE);
                if new > 0 && new < SECTOR {
                    torn.insert(unit, new as usize);
                }
                if new > 0 { versions } else { 0 }
            }
            Choice::Random(_) | Choice::MidStore(_) | Choice::Torn(_) => {
                random.below(versions as u64 + 1) as usize
            }
        };
        picks.insert(unit, pick);
        if matches!(choice, Choice::Torn(_)) && random.below(3) == 0 {
            torn.insert(unit, random.below(SECTOR) as usize);
        }
    }
    let mut left = Inner { plan: inner.plan.clone(), ..Inner::default() };
    for (number, (path, directory)) in inner.directories.iter().enumerate() {
        let mut names = directory.durable.clone();
        for (index, change) in directory.pending.iter().enumerate() {
            if picks.get(&Unit::Name(number, index)) == Some(&1) {
                change.apply(&mut names);
            }
        }
        let directory = Directory { durable: names.clone(), written: names, pending: Vec::new() };
        left.directories.insert(path.clone(), directory);
    }
    let pick = |unit| picks.get(&unit).copied().unwrap_or(0);
    for (number, inode) in inner.inodes.iter().enumerate() {
        let len = match pick(Unit::Length(number)) {
            0 => inode.durable_len,
            version => inode.lens[version - 1],
        };
        let mut durable = inode.durable.clone();
        for (index, versions) in &inode.dirty {
            let unit = Unit::Sector(number, *index);
            if let Some(version) = pick(unit).checked_sub(1) {
                let mut sector = *versions[version];
                if let Some(from) = torn.get(&unit) {
                    let old = durable.get(index).map_or([0; SECTOR as usize], |sector| **sector);
                    sector[*from..].copy_from_slice(&old[*from..]);
                }
                durable.insert(*index, Arc::new(sector));
            }
        }
        cut(&mut durable, len);
        left.inodes.push(Inode { durable, durable_len: len, ..Inode::default() });
    }
    left.restart();
    SimDisk { inner: Arc::new(Mutex::new(left)) }
}

/// Nothing lies beyond the end of a file.
fn cut(sectors: &mut BTreeMap<u64, Sector>, len: u64) {
    sectors.retain(|index, _| index * SECTOR < len);
    if let Some(last) = sectors.get_mut(&(len / SECTOR)) {
        let mut sector = **last;
        sector[(len % SECTOR) as usize..].fill(0);
        *last = Arc::new(sector);
    }
}

/// What distinguishes one durable state from another.
pub(super) fn fingerprint(disk: &SimDisk) -> u64 {
    let inner = disk.inner();
    let mut hasher = DefaultHasher::new();
    for (path, directory) in &inner.directories {
        path.hash(&mut hasher);
        for (name, inode) in &directory.durable {
            let inode = &inner.inodes[*inode];
            (name, inode.durable_len).hash(&mut hasher);
            for (index, sector) in inode.durable.iter().filter(|(_, sector)| ***sector != [0; 512]) {
                (index, sector).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}
