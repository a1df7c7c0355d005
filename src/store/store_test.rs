//! One member's directory as a start and the doctor meet it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jute::records::txn::{CreateSessionTxn, CreateTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::*;
use crate::disk::{Disk, RealDisk};
use crate::snapshot::{Compression, Writer};
use crate::txnlog::{self, Log};

const SESSION: SessionId = SessionId(0x1000);
const GONE: SessionId = SessionId(0x2000);

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn options(home: &Path) -> Options {
    Options::new(home.to_owned(), home.to_owned())
}

fn entry(zxid: i64, session: SessionId, body: TxnBody) -> TxnEntry {
    let header = TxnHeader { client_id: session, cxid: 1, zxid: Zxid(zxid), time: zxid, r#type: body.op().0 };
    TxnEntry { header, body, digest: None }
}

fn ephemeral(zxid: i64, session: SessionId) -> TxnEntry {
    let path = Some(format!("/e{zxid}"));
    let txn = CreateTxn { path, data: None, acl: Some(Vec::new()), ephemeral: true, parent_cversion: 1 };
    entry(zxid, session, TxnBody::Create(txn))
}

/// A directory with an empty snapshot, a session, one ephemeral of it and one of nobody.
fn database(home: &Path) -> Directories {
    let directories = Directories::open(&disk(), &options(home)).unwrap();
    let mut writer = Writer::create(&disk(), &directories.snapshots, Zxid(0), Compression::None).unwrap();
    writer.begin(&[], &[(1, Vec::new())]).unwrap();
    writer.node("", None, 1, &Default::default()).unwrap();
    writer.finish(None, None).unwrap();
    let mut log = Log::open(disk(), txnlog::Options::new(directories.logs.clone()), Zxid(0)).unwrap();
    let session = TxnBody::CreateSession(CreateSessionTxn { time_out: 30_000 });
    for entry in [entry(1, SESSION, session), ephemeral(2, SESSION), ephemeral(3, GONE)] {
        log.append(&entry).unwrap();
    }
    log.roll().unwrap();
    directories
}

/// Names and contents of everything below a directory.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn reading_a_directory_that_needs_repair_changes_nothing() {
    let held = tempfile::tempdir().unwrap();
    let directories = database(held.path());
    let log = directories.logs.join("log.1");
    let len = fs::metadata(&log).unwrap().len();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(len - 1).unwrap();
    fs::remove_file(directories.logs.join(txnlog::MARK_NAME)).unwrap();
    fs::write(directories.snapshots.join("tmp.snapshot.5"), "left").unwrap();
    fs::write(directories.initialize(), "").unwrap();
    let before = contents(held.path());
    let found = read(&disk(), &directories, &options(held.path()), &mut |_| {}).unwrap();
    assert_eq!((found.tree.last_zxid(), found.log.torn.is_some()), (Zxid(2), true));
    assert_eq!(contents(held.path()), before);
    recover(&disk(), &directories, &options(held.path()), &mut |_| {}).unwrap();
    assert!(!directories.snapshots.join("tmp.snapshot.5").exists());
    assert!(read(&disk(), &directories, &options(held.path()), &mut |_| {}).unwrap().log.torn.is_none());
}

#[test]
fn a_missing_database_is_empty_only_where_somebody_says_so() {
    let held = tempfile::tempdir().unwrap();
    let allowing = options(held.path());
    let strict = Options { create_database: false, ..allowing.clone() };
    let directories = Directories::open(&disk(), &allowing).unwrap();
    let health = |options| recover(&disk(), &directories, options, &mut |_| {}).unwrap().found.health;
    assert_eq!(health(&allowing), Health::Whole);
    assert_eq!(health(&strict), Health::Empty);
    fs::write(directories.initialize(), "").unwrap();
    assert_eq!(health(&strict), Health::Whole);
    assert_eq!(health(&strict), Health::Whole, "the file stays until the first snapshot is durable");
    remove_initialize(&RealDisk, &directories).unwrap();
    remove_initialize(&RealDisk, &directories).unwrap();
    assert_eq!(health(&strict), Health::Empty);
}

#[test]
fn ephemerals_of_no_session_stay_until_a_leader_removes_them() {
    let held = tempfile::tempdir().unwrap();
    let directories = database(held.path());
    let mut found = recover(&disk(), &directories, &options(held.path()), &mut |_| {}).unwrap().found;
    assert_eq!(found.tree.ephemerals_count(), 2);
    assert_eq!(remove_orphans(&mut found.tree, &found.sessions), [GONE]);
    assert_eq!(found.tree.ephemerals_of(SESSION).collect::<Vec<_>>(), ["/e2"]);
    assert_eq!(found.tree.ephemerals_count(), 1);
}

#[test]
fn logs_without_a_snapshot_are_taken_only_by_who_trusts_them() {
    let held = tempfile::tempdir().unwrap();
    let directories = database(held.path());
    fs::remove_file(directories.snapshots.join("snapshot.0")).unwrap();
    let refused = read(&disk(), &directories, &options(held.path()), &mut |_| {}).err().unwrap();
    assert!(refused.to_string().contains("snapshot.trust.empty"), "{refused}");
    let trusting = Options { trust_empty_snapshot: true, create_database: false, ..options(held.path()) };
    let found = read(&disk(), &directories, &trusting, &mut |_| {}).unwrap();
    assert_eq!((found.tree.last_zxid(), found.health), (Zxid(3), Health::Whole));
}

/// A start that takes what it cannot read back once wrote a snapshot that the next start refused.
#[test]
fn a_transaction_longer_than_jute_maxbuffer_is_refused_before_a_snapshot_is_written() {
    let held = tempfile::tempdir().unwrap();
    let directories = database(held.path());
    let mut log = Log::open(disk(), txnlog::Options::new(directories.logs.clone()), Zxid(3)).unwrap();
    let (path, data) = (Some("/large".to_owned()), Some(vec![b'x'; 5000]));
    let txn = CreateTxn { path, data, acl: Some(Vec::new()), ephemeral: false, parent_cversion: 1 };
    let large = entry(4, SESSION, TxnBody::Create(txn));
    let mut payload = Vec::new();
    large.encode(&mut payload);
    log.append(&large).unwrap();
    log.roll().unwrap();
    let before = contents(held.path());
    let with = |read_bytes_max| {
        let options = Options { read_bytes_max, ..options(held.path()) };
        recover(&disk(), &directories, &options, &mut |_| {})
    };
    for too_few in [200, payload.len() - 1] {
        let text = with(too_few).err().unwrap().to_string();
        let says = ["log.4", "offset 16", "transaction 0x4", "jute.maxbuffer"];
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
    }
    assert_eq!(contents(held.path()), before);
    assert_eq!(with(payload.len()).unwrap().found.tree.last_zxid(), Zxid(4));
}

/// Operators' sums and backups once saw 64 MiB in a database without a transaction.
#[test]
fn files_that_the_reference_has_not_do_not_count_as_the_database() {
    let held = tempfile::tempdir().unwrap();
    let directories = Directories::open(&disk(), &options(held.path())).unwrap();
    let mut log = Log::open(disk(), txnlog::Options::new(directories.logs.clone()), Zxid(0)).unwrap();
    log.spare().prepare().unwrap();
    let extra = || RealDisk.list(&directories.logs).unwrap().iter().all(|name| is_extra(name));
    assert!(extra() && directories.logs.join(txnlog::SPARE_NAME).exists());
    let session = TxnBody::CreateSession(CreateSessionTxn { time_out: 30_000 });
    log.append(&entry(1, SESSION, session)).unwrap();
    assert!(!extra());
    log.close().unwrap();
    let logs = directories.logs.clone();
    drop(directories);
    let mut left = RealDisk.list(&logs).unwrap();
    left.sort();
    assert_eq!(left, ["log.1", txnlog::MARK_NAME]);
}
