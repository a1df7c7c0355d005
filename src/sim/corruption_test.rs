//! Every byte of a small data directory is damaged, one at a time: a start finds it, or it does no harm.
//! What a start never does is serve something else than what was written.

use std::path::Path;

use jute::txn::TxnEntry;

use super::check::disk_of;
use super::crash::{Choice, Fresh, after};
use super::disk::{SECTOR, SimDisk};
use super::model::{self, Model};
use super::random::Random;
use super::storage_script::Step::{self, *};
use super::storage_script::{DATA, Setup, Storage};
use crate::disk::Disk;
use crate::snapshot::Compression;
use crate::store::testing::start;
use crate::txnlog::{Io, MARK_NAME};

/// Two snapshots, the second fuzzy, and log files before, between and after them.
const DIRECTORY: &[Step] = &[
    Append(7),
    SnapshotBegin,
    SnapshotEnd,
    Append(5),
    SnapshotBegin,
    SnapshotSlice(3),
    Append(4),
    Sync,
    SnapshotEnd,
    Append(2),
    Roll,
    Append(2),
    Roll,
    Append(3),
    Sync,
];

/// Bytes of padding that are damaged too, after a file's last byte that is not zero.
const PADDING: u64 = 48;

/// What is done to a byte.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(u8),
    Zero,
}

impl Damage {
    const fn of(self, byte: u8) -> u8 {
        match self {
            Self::Flip(bits) => byte ^ bits,
            Self::Zero => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    starts: u64,
    found: u64,
    /// The last record of the newest file, in which a byte turned zero, as if it had not been written; only
    /// without the mark.
    torn: u64,
    harmless: u64,
}

/// The directory, all of it durable, and what was written.
fn directory(io: Io, compression: Compression, marked: bool) -> (SimDisk, Vec<TxnEntry>) {
    let setup = Setup { compression, ..Setup::new(io) };
    let disk = SimDisk::with(&[Path::new(DATA)]);
    let mut storage = Storage::new(&disk, setup);
    storage.run(DIRECTORY).unwrap();
    let history = std::mem::take(&mut storage.promise.history);
    drop(storage);
    if !marked {
        disk.remove(&Path::new(DATA).join(MARK_NAME)).unwrap();
    }
    (after(&disk, Fresh::Recycled, Choice::Everything), history)
}

/// Names and inodes.
fn files(disk: &SimDisk) -> Vec<(String, usize)> {
    let names = disk.inner().directories[Path::new(DATA)].durable.clone();
    let is_ours = |name: &str| name.starts_with("log.") || name.starts_with("snapshot.") || name == MARK_NAME;
    names.into_iter().filter(|(name, _)| is_ours(name)).collect()
}

fn byte(disk: &SimDisk, inode: usize, at: u64) -> u8 {
    disk.inner().inodes[inode].sector(at / SECTOR)[(at % SECTOR) as usize]
}

fn damaged(disk: &SimDisk, inode: usize, at: u64, byte: u8) -> SimDisk {
    let copy = disk.after_kill();
    let mut inner = copy.inner();
    let file = &mut inner.inodes[inode];
    let mut sector = *file.sector(at / SECTOR);
    sector[(at % SECTOR) as usize] = byte;
    file.durable.insert(at / SECTOR, sector.into());
    drop(inner);
    copy
}

/// The trees a start may give: the true one, and that without the last transaction.
struct Truth {
    whole: Model,
    without_last: Model,
    newest_log: String,
}

impl Truth {
    fn new(disk: &SimDisk, history: &[TxnEntry]) -> Self {
        let logs = files(disk).into_iter().map(|(name, _)| name).filter(|name| name.starts_with("log."));
        // The names are of hexadecimal numbers.
        let newest_log = logs.max_by_key(|name| (name.len(), name.clone())).unwrap();
        let without_last = model::replay(&history[..history.len() - 1]);
        Self { whole: model::replay(history), without_last, newest_log }
    }

    /// Judges a start from a directory of which one file is damaged.
    fn judge(&self, disk: &SimDisk, file: &str, counts: &mut Counts) -> Result<(), String> {
        counts.starts += 1;
        match start(&disk_of(disk)) {
            Err(error) => {
                counts.found += 1;
                let text = error.to_string();
                if text.contains(DATA) { Ok(()) } else { Err(format!("names no file: {text}")) }
            }
            Ok((tree, sessions, _)) => {
                let found = Model::of(&tree, &sessions);
                if found == self.whole {
                    counts.harmless += 1;
                } else if file == self.newest_log && found == self.without_last {
                    counts.torn += 1;
                } else {
                    return Err(format!("serves another tree, at {}", tree.last_zxid()));
                }
                Ok(())
            }
        }
    }
}

fn check(io: Io, compression: Compression, marked: bool, full: bool) -> Result<Counts, String> {
    let (disk, history) = directory(io, compression, marked);
    let truth = Truth::new(&disk, &history);
    let mut counts = Counts::default();
    truth.judge(&disk, "", &mut counts)?;
    let mut random = Random::new(1);
    // A log is the same beside every kind of snapshot.
    let snapshots_only = !full && compression != Compression::None;
    for (name, inode) in files(&disk).into_iter().filter(|(name, _)| !snapshots_only || name.starts_with("s"))
    {
        let len = disk.inner().inodes[inode].len();
        let used = (0..len).rev().find(|at| byte(&disk, inode, *at) != 0).map_or(0, |at| at + 1);
        for at in 0..len.min(used + PADDING) {
            let one = [Damage::Flip(1 << random.below(8))];
            let all = (0..8).map(|bit| Damage::Flip(1 << bit)).chain([Damage::Flip(0xFF), Damage::Zero]);
            let tried: Vec<Damage> = if full { all.collect() } else { one.to_vec() };
            for damage in tried {
                let (old, new) = (byte(&disk, inode, at), damage.of(byte(&disk, inode, at)));
                if old != new {
                    let torn = counts.torn;
                    let judged = truth.judge(&damaged(&disk, inode, at, new), &name, &mut counts);
                    judged.map_err(|error| format!("{name} at {at}, {damage:?}: {error}"))?;
                    // What was not written is zero, and nothing else; and what the mark knows was written.
                    if (new != 0 || marked) && counts.torn > torn {
                        return Err(format!("{name} at {at}, {damage:?}: taken for an unfinished write"));
                    }
                }
            }
        }
        // But for the mark nothing tells of a newest log that is not there.
        if marked || name != truth.newest_log {
            let copy = disk.after_kill();
            copy.remove(&Path::new(DATA).join(&name)).unwrap();
            truth.judge(&copy, &name, &mut counts).map_err(|error| format!("without {name}: {error}"))?;
        }
    }
    Ok(counts)
}

#[test]
fn a_damaged_byte_anywhere_in_a_directory_is_found_or_harmless() {
    let full = std::env::var_os("OXKEEPER_CORRUPTION_FULL").is_some();
    for io in [Io::Mapped, Io::Plain] {
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
            for marked in [true, false] {
                if (io == Io::Plain || !marked && compression != Compression::None) && !full {
                    continue;
                }
                let counts = check(io, compression, marked, full);
                let case = format!("{io:?}, {compression:?}, marked: {marked}");
                let counts = counts.unwrap_or_else(|error| panic!("{case}: {error}"));
                println!("{case}: {counts:?}");
                assert_eq!(counts.starts, counts.found + counts.torn + counts.harmless);
            }
        }
    }
}

/// A sector of zeros once counted as a batch that was never durable: 153 of 200 acknowledged transactions
/// were left out, and the server said that all was whole.
#[test]
fn a_lost_sector_among_acknowledged_transactions_is_not_taken_for_an_unfinished_write() {
    for io in [Io::Mapped, Io::Plain] {
        let disk = SimDisk::with(&[Path::new(DATA)]);
        let mut storage = Storage::new(&disk, Setup { prealloc_bytes: 256 << 10, ..Setup::new(io) });
        storage.run(&[Append(1), Sync].repeat(200)).unwrap();
        let last = storage.promise.history.last().unwrap().header.zxid;
        drop(storage);
        let disk = after(&disk, Fresh::Recycled, Choice::Everything);
        let (name, inode) = files(&disk).into_iter().find(|(name, _)| name.starts_with("log.")).unwrap();
        let used =
            disk.inner().inodes[inode].durable.iter().filter(|(_, bytes)| ***bytes != [0; 512]).count();
        for sector in [2, used as u64 / 2, used as u64 - 2] {
            let damaged = disk.after_kill();
            damaged.inner().inodes[inode].durable.insert(sector, [0; SECTOR as usize].into());
            let Err(error) = start(&disk_of(&damaged)) else { panic!("the start refuses") };
            let error = error.to_string();
            let names_it = [name.as_str(), "offset", "Missing transactions: ", "truncate -s"];
            assert!(names_it.iter().all(|part| error.contains(part)), "{error}");
            assert!(error.contains(&format!("everything up to transaction {last} was durable")), "{error}");
            // The operator gives the transactions up.
            let offset = error.split_once("truncate -s ").unwrap().1.split(' ').next().unwrap();
            let file = damaged.open(&Path::new(DATA).join(&name)).unwrap();
            file.set_len(offset.parse().unwrap()).unwrap();
            assert!(start(&disk_of(&damaged)).is_ok());
        }
    }
}
