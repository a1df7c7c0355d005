//! What a leader has a member do to its directory, cut at every change: the next start needs no human, and finds
//! what was there before, or what was to be there, and never something of both.

use std::path::{Path, PathBuf};

use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::check::disk_of;
use super::crash::{Fresh, after, choices, fingerprint};
use super::disk::{Plan, SimDisk};
use super::storage_script::{DATA, LOG};
use crate::disk::Disk;
use crate::snapshot::{self, Compression, Writer};
use crate::store::epochs::{write_accepted, write_current};
use crate::store::{self, Directories, Member, Options, StoreError, recover_member};
use crate::tree::{Cursor, OwnerRules, Tree, digest};
use crate::txnlog::{self, Log};

const E: i64 = 1 << 32;

fn options() -> Options {
    Options::new(PathBuf::from("/data"), PathBuf::from("/log"))
}

fn directories() -> Directories {
    Directories::named(&options())
}

/// Creates a node of its own in each history and at each zxid.
fn entry(zxid: i64, history: &str) -> TxnEntry {
    let path = Some(format!("/{history}-{zxid:x}"));
    let txn = CreateTxn { path, data: None, acl: Some(Vec::new()), ephemeral: false, parent_cversion: -1 };
    let body = TxnBody::Create(txn);
    let header =
        TxnHeader { client_id: SessionId(1), cxid: 1, zxid: Zxid(zxid), time: zxid, r#type: body.op().0 };
    TxnEntry { header, body, digest: None }
}

fn tree(history: &[TxnEntry]) -> Tree {
    let mut tree = Tree::new(OwnerRules::default());
    history.iter().for_each(|entry| tree.replay(entry.clone()));
    tree
}

/// Ten transactions of the first epoch.
fn old() -> Vec<TxnEntry> {
    (1..=10).map(|counter| entry(E + counter, "old")).collect()
}

/// What the leader has: six of them, then four of its own.
fn new() -> Vec<TxnEntry> {
    let own = (1..=4).map(|counter| entry(2 * E + counter, "new"));
    old().into_iter().take(6).chain(own).collect()
}

fn up_to(history: &[TxnEntry], zxid: i64) -> Vec<TxnEntry> {
    history.iter().filter(|entry| entry.header.zxid <= Zxid(zxid)).cloned().collect()
}

fn write_snapshot(disk: &SimDisk, tree: &Tree) -> PathBuf {
    let lists: Vec<_> = tree.acls().to_file().into_iter().map(|(id, list)| (id, list.to_vec())).collect();
    let cursor = &mut Cursor::new(tree);
    let mut writer =
        Writer::create(&disk_of(disk), Path::new(DATA), cursor.began_at(), Compression::None).unwrap();
    writer.begin(&[], &lists).unwrap();
    let mut bytes = Vec::new();
    cursor.slice(tree, usize::MAX, &mut |path, data, acl, stat| {
        snapshot::format::put_node(&mut bytes, path, data, acl, stat);
    });
    writer.raw_nodes(&bytes).unwrap();
    let digest = (tree.last_zxid(), digest::VERSION, tree.digest().cast_signed());
    writer.finish(Some(digest), None).unwrap().path
}

/// A whole snapshot that was received, in its temporary file.
fn receive(disk: &SimDisk, zxid: i64) -> PathBuf {
    let path = write_snapshot(disk, &tree(&up_to(&new(), zxid)));
    let temporary =
        path.with_file_name(format!("tmp.received.{}", path.file_name().unwrap().to_str().unwrap()));
    disk.rename(&path, &temporary).unwrap();
    disk.sync_dir(Path::new(DATA)).unwrap();
    temporary
}

fn open(disk: &SimDisk, last: i64) -> Log {
    let options =
        txnlog::Options { prealloc_bytes: 4096, mark_every: 1, ..txnlog::Options::new(PathBuf::from(LOG)) };
    Log::open(disk_of(disk), options, Zxid(last)).unwrap()
}

fn append(log: &mut Log, entries: &[TxnEntry]) {
    entries.iter().for_each(|entry| log.append(entry).unwrap());
    log.sync().unwrap();
}

/// A member with the old history, in three log files, and snapshots at these counters.
fn member(snapshots: &[i64]) -> (SimDisk, Log) {
    let disk = SimDisk::with(&[Path::new(DATA), Path::new(LOG)]);
    let old = old();
    for counter in snapshots {
        write_snapshot(&disk, &tree(&up_to(&old, E + counter)));
    }
    let mut log = open(&disk, 0);
    append(&mut log, &old[..4]);
    log.roll().unwrap();
    append(&mut log, &old[4..8]);
    log.roll().unwrap();
    append(&mut log, &old[8..]);
    write_accepted(&disk, Path::new(DATA), 2).unwrap();
    write_current(&disk, Path::new(DATA), 1).unwrap();
    (disk, log)
}

fn start(disk: &SimDisk) -> Result<Member, StoreError> {
    recover_member(&disk_of(disk), &directories(), &options(), &mut |_| {})
}

/// Which history a start finds, and that it is whole: `None` where it may count on nothing.
fn found(disk: &SimDisk) -> Option<(&'static str, i64)> {
    let member = start(disk).unwrap();
    if !member.is_trusted {
        assert_eq!(member.found.tree.last_zxid(), Zxid::ZERO);
        return None;
    }
    let last = member.found.tree.last_zxid();
    let name = [("old", old()), ("new", new())].into_iter().find_map(|(name, history)| {
        let plain = tree(&up_to(&history, last.0));
        (plain.last_zxid() == last && plain.digest() == member.found.tree.digest()).then_some(name)
    });
    let name = name.unwrap_or_else(|| panic!("what is found at {last} is of no history"));
    let history = if name == "old" { old() } else { new() };
    for (zxid, payload) in &member.tail {
        let mut expected = Vec::new();
        history.iter().find(|entry| entry.header.zxid == *zxid).unwrap().encode(&mut expected);
        assert_eq!(payload, &expected, "{zxid} in the tail");
    }
    assert!(member.tail.last().is_none_or(|(zxid, _)| *zxid == last));
    // The power may fail in the start as well, and each start finds the same.
    assert_eq!(start(&disk.after_kill()).unwrap().found.tree.digest(), member.found.tree.digest());
    Some((name, last.0))
}

/// Does something to a member at every change of which the power fails, and looks at every disk that may be left.
fn at_every_cut(
    made: impl Fn() -> (SimDisk, Log),
    act: impl Fn(&SimDisk, &mut Log) -> Result<(), StoreError>,
    may_be: impl Fn(Option<(&str, i64)>) -> bool,
    is_done: (&str, i64),
) {
    let (disk, mut log) = made();
    let before = disk.effects();
    act(&disk, &mut log).unwrap();
    drop(log);
    let effects = disk.effects();
    assert!(effects > before, "it does something");
    assert_eq!(found(&disk.after_kill()), Some(is_done));
    for choice in choices(&disk, Fresh::Recycled, 4) {
        assert_eq!(found(&after(&disk, Fresh::Recycled, choice)), Some(is_done), "{choice:?}");
    }
    for stop_at in before..=effects {
        let (disk, mut log) = made();
        disk.set_plan(Plan { stop_at: Some(stop_at), ..Plan::default() });
        let _stopped = act(&disk, &mut log);
        drop(log);
        let mut seen = Vec::new();
        for choice in choices(&disk, Fresh::Recycled, 4) {
            let image = after(&disk, Fresh::Recycled, choice);
            let print = fingerprint(&image);
            if seen.contains(&print) {
                continue;
            }
            seen.push(print);
            let found = found(&image);
            assert!(may_be(found), "{found:?} after a cut at {stop_at}, {choice:?}");
        }
    }
}

fn install(disk: &SimDisk, log: &mut Log, zxid: i64) -> Result<(), StoreError> {
    let file = PathBuf::from(format!("{DATA}/tmp.received.snapshot.{zxid:x}"));
    store::install(&disk_of(disk), &directories(), log, Zxid(zxid), &file)
}

fn receiving(snapshots: &[i64], zxid: i64) -> (SimDisk, Log) {
    let (disk, log) = member(snapshots);
    receive(&disk, zxid);
    (disk, log)
}

/// Trap 15 of the quorum protocols.
#[test]
fn a_leaders_snapshot_takes_the_place_of_an_older_history_whole_or_not_at_all() {
    let zxid = 2 * E + 3;
    at_every_cut(
        || receiving(&[0, 4, 8], zxid),
        |disk, log| install(disk, log, zxid),
        |found| matches!(found, Some(("old", last)) if last == E + 10) || found == Some(("new", 2 * E + 3)),
        ("new", zxid),
    );
}

#[test]
fn a_leaders_snapshot_that_is_older_than_what_is_here_takes_its_place_too() {
    let zxid = E + 6;
    at_every_cut(
        || receiving(&[0, 4, 8], zxid),
        |disk, log| install(disk, log, zxid),
        |found| matches!(found, Some(("old", last)) if (E + 6..=E + 10).contains(&last)),
        ("old", zxid),
    );
}

#[test]
fn a_member_that_has_only_newer_snapshots_counts_on_nothing_in_between() {
    let zxid = E + 6;
    at_every_cut(
        || receiving(&[8], zxid),
        |disk, log| install(disk, log, zxid),
        |found| found.is_none_or(|(_, last)| (E + 6..=E + 10).contains(&last)),
        ("old", zxid),
    );
}

#[test]
fn a_log_is_cut_where_the_leader_says_or_left() {
    for to in [E + 6, E + 8, E + 9] {
        at_every_cut(
            || member(&[0, 4, 8]),
            |disk, log| {
                assert!(store::truncate(&disk_of(disk), &directories(), log, Zxid(to))?);
                Ok(())
            },
            |found| matches!(found, Some(("old", last)) if last >= to),
            ("old", to),
        );
    }
}

#[test]
fn what_follows_an_installed_snapshot_can_be_cut_back_to_it() {
    let zxid = 2 * E + 2;
    at_every_cut(
        || {
            let (disk, mut log) = receiving(&[0, 4], zxid);
            install(&disk, &mut log, zxid).unwrap();
            append(&mut log, &new()[8..]);
            (disk, log)
        },
        |disk, log| {
            assert!(store::truncate(&disk_of(disk), &directories(), log, Zxid(zxid))?);
            Ok(())
        },
        |found| matches!(found, Some(("new", last)) if last >= zxid),
        ("new", zxid),
    );
}

#[test]
fn a_cut_that_the_log_does_not_contain_changes_nothing() {
    for (snapshots, to) in [(vec![0, 4, 8], 2 * E), (vec![0, 4, 8], E + 77), (vec![8], E + 6)] {
        let (disk, mut log) = member(&snapshots);
        log.roll().unwrap();
        let before = disk.list(Path::new(DATA)).unwrap();
        assert!(!store::truncate(&disk_of(&disk), &directories(), &mut log, Zxid(to)).unwrap());
        assert_eq!(disk.list(Path::new(DATA)).unwrap(), before);
        append(&mut log, &[entry(E + 11, "old")]);
        drop(log);
        assert_eq!(start(&disk.after_kill()).unwrap().found.tree.last_zxid(), Zxid(E + 11));
    }
}

#[test]
fn a_member_goes_on_after_an_installed_snapshot_and_has_no_older_history() {
    let (disk, mut log) = receiving(&[0, 4, 8], 2 * E + 3);
    install(&disk, &mut log, 2 * E + 3).unwrap();
    append(&mut log, &new()[9..]);
    drop(log);
    let member = start(&disk.after_kill()).unwrap();
    assert_eq!(member.found.tree.digest(), tree(&new()).digest());
    assert_eq!(member.tail.iter().map(|(zxid, _)| zxid.0).collect::<Vec<_>>(), [2 * E + 4]);
    // A damaged snapshot must not bring back what it replaced.
    disk.remove(&Path::new(DATA).join(format!("snapshot.{:x}", 2 * E + 3))).unwrap();
    let member = start(&disk.after_kill()).unwrap();
    assert!(!member.is_trusted, "{:?}", member.found.tree.last_zxid());
}

#[test]
fn what_is_damaged_is_set_aside_and_nothing_is_counted_on_until_a_snapshot_came() {
    let (disk, log) = member(&[0]);
    drop(log);
    let path = Path::new(LOG).join(format!("log.{:x}", E + 5));
    let file = disk.open(&path).unwrap();
    file.write_at(60, &[0xff; 8]).unwrap();
    file.sync().unwrap();
    let first = disk.after_kill();
    for _ in 0..3 {
        let member = start(&first).unwrap();
        assert!(!member.is_trusted);
        assert_eq!(member.found.tree.last_zxid(), Zxid::ZERO);
        assert_eq!((member.epochs.accepted, member.epochs.current), (2, 1), "promises are kept");
    }
    let names = first.list(Path::new(LOG)).unwrap();
    assert!(names.iter().filter(|name| name.starts_with("damaged.log.")).count() == 3, "{names:?}");
    let file = receive(&first, 2 * E + 3);
    let mut log = open(&first, 0);
    store::install(&disk_of(&first), &directories(), &mut log, Zxid(2 * E + 3), &file).unwrap();
    drop(log);
    assert_eq!(found(&first.after_kill()), Some(("new", 2 * E + 3)));
}

#[test]
fn a_start_that_is_cut_while_it_sets_damage_aside_counts_on_nothing_either() {
    let made = || {
        let (disk, log) = member(&[0, 4]);
        drop(log);
        for path in [format!("{DATA}/snapshot.0"), format!("{DATA}/snapshot.{:x}", E + 4)] {
            let file = disk.open(Path::new(&path)).unwrap();
            file.write_at(40, &[0xff; 16]).unwrap();
            file.sync().unwrap();
        }
        disk.after_kill()
    };
    let whole = made();
    assert!(!start(&whole).unwrap().is_trusted);
    for stop_at in 0..=whole.effects() {
        let disk = made();
        disk.set_plan(Plan { stop_at: Some(stop_at), ..Plan::default() });
        let _stopped = start(&disk);
        for choice in choices(&disk, Fresh::Recycled, 4) {
            let image = after(&disk, Fresh::Recycled, choice);
            assert!(!start(&image).unwrap().is_trusted, "{choice:?} at {stop_at}");
        }
    }
}

#[test]
fn epochs_are_the_old_or_the_new_one_after_a_power_cut() {
    let write = |stop_at: Option<u64>| {
        let disk = SimDisk::with(&[Path::new(DATA), Path::new(LOG)]);
        write_accepted(&disk, Path::new(DATA), 3).unwrap();
        write_current(&disk, Path::new(DATA), 3).unwrap();
        let before = disk.effects();
        disk.set_plan(Plan { stop_at: stop_at.map(|at| before + at), ..Plan::default() });
        let done =
            write_accepted(&disk, Path::new(DATA), 4).and_then(|()| write_current(&disk, Path::new(DATA), 4));
        (disk, before, done.is_ok())
    };
    let (disk, before, _) = write(None);
    for stop_at in 0..=disk.effects() - before {
        let (disk, _, is_done) = write(Some(stop_at));
        for choice in choices(&disk, Fresh::Recycled, 4) {
            let image = disk_of(&after(&disk, Fresh::Recycled, choice));
            let known = store::Epochs::recover(image.as_ref(), Path::new(DATA), Zxid(3 * E)).unwrap();
            let expected: &[_] = if is_done { &[(4, 4)] } else { &[(3, 3), (4, 3), (4, 4)] };
            assert!(expected.contains(&(known.accepted, known.current)), "{known:?} at {stop_at}");
        }
    }
}
