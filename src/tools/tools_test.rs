//! What the tools print, over files of our own making.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::txn::{CreateSessionTxn, CreateTxn, DeleteTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::snapshot::Thresholds;
use super::{Result, doctor, hash, purge, snapshot, txnlog};
use crate::disk::{Disk, RealDisk};
use crate::snapshot::{Compression, Writer};
use crate::store;
use crate::txnlog::{Log, Options};

fn output(run: impl FnOnce(&mut Vec<u8>) -> Result) -> (String, Option<u8>) {
    let mut out = Vec::new();
    let done = run(&mut out);
    let mut text = String::from_utf8(out).unwrap();
    let exit_code = done.err().map(|error| {
        text += &format!("error: {error}");
        error.exit_code
    });
    (text, exit_code)
}

fn entry(zxid: i64) -> TxnEntry {
    let path = Some("/a,b".to_owned());
    let id = Id { scheme: Some("world".into()), id: Some("anyone".into()) };
    let body = match zxid {
        1 => TxnBody::CreateSession(CreateSessionTxn { time_out: 30_000 }),
        2 => TxnBody::Create(CreateTxn {
            path,
            data: Some(b"hello".to_vec()),
            acl: Some(vec![Acl { perms: 31, id }]),
            ephemeral: false,
            parent_cversion: 1,
        }),
        _ => TxnBody::Delete(DeleteTxn { path }),
    };
    let header = TxnHeader {
        client_id: SessionId(0x10ab),
        cxid: 7,
        zxid: Zxid(zxid),
        time: 1_700_000_000_000,
        r#type: body.op().0,
    };
    TxnEntry { header, body, digest: None }
}

/// A data directory with an empty first snapshot and three transactions.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let version_2 = directory.path().join("version-2");
    std::fs::create_dir(&version_2).unwrap();
    write_snapshot(&version_2, 0, 5);
    let options = Options { prealloc_bytes: 16 << 10, ..Options::new(version_2.clone()) };
    let mut log = Log::open(Arc::new(RealDisk), options, Zxid(0)).unwrap();
    (1..=3).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    (directory, version_2)
}

/// As a server with default settings reads a directory.
fn read_as(home: &Path) -> store::Options {
    store::Options::new(home.to_owned(), home.to_owned())
}

fn write_snapshot(directory: &Path, zxid: i64, data_bytes: usize) -> PathBuf {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut writer = Writer::create(&disk, directory, Zxid(zxid), Compression::None).unwrap();
    writer.begin(&[(SessionId(0x10ab), 30_000)], &[]).unwrap();
    let stat = StatPersisted { ctime: 1_700_000_000_000, pzxid: Zxid(zxid), ..StatPersisted::default() };
    for (path, bytes) in [("", 0), ("/x", 3), ("/x/y\"", data_bytes)] {
        writer.node(path, Some(&vec![b'd'; bytes]), -1, &stat).unwrap();
    }
    writer.finish(Some((Zxid(zxid), 2, 99)), None).unwrap().path
}

#[test]
fn a_log_is_printed_as_the_reference_prints_it() {
    let (_held, directory) = directory();
    let (text, exit_code) = output(|out| txnlog::dump(&directory.join("log.1"), out));
    assert_eq!(exit_code, None);
    let head = "11/14/23, 10:13:20 PM UTC session 0x10ab cxid 0x7 zxid";
    assert_eq!(
        text,
        format!(
            "ZooKeeper Transactional Log File with dbid 0 txnlog format version 2\n\
             {head} 0x1 createSession 30000\n\
             {head} 0x2 create /a,b,hello,[31,s{{'world,'anyone}}\n],false,1\n\
             {head} 0x3 delete '/a%2Cb\n\
             EOF reached after 3 txns.\n"
        )
    );
}

#[test]
fn a_wrong_checksum_is_marked_and_repaired_in_a_copy() {
    let (_held, directory) = directory();
    let path = directory.join("log.1");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (text, _) = output(|out| txnlog::dump(&path, out));
    assert_eq!(text.matches("CRC ERROR - ").count(), 1, "{text}");
    let (text, exit_code) = output(|out| txnlog::verify(&path, out));
    assert!(exit_code == Some(1) && text.contains("checksum mismatch"), "{text}");
    let repair = |answer: &str| {
        let answer = answer.to_owned();
        output(|out| txnlog::repair(&path, false, false, &mut answer.as_bytes(), out))
    };
    assert_eq!(repair("abort\n").1, Some(0));
    let (text, exit_code) = repair("what\nyes\n");
    assert!(exit_code.is_none() && text.ends_with("with 1 fixed CRC error(s)\n"), "{text}");
    assert_eq!(repair("yes\n").1, Some(1), "the copy is there already");
    let (text, exit_code) = output(|out| txnlog::verify(&directory.join("log.1.fixed"), out));
    assert!(exit_code.is_none() && text.starts_with("3 transactions, 0x1 to 0x3\nHealthy"), "{text}");
}

#[test]
fn a_log_is_chopped_after_a_transaction_it_has() {
    let (_held, directory) = directory();
    let path = directory.join("log.1");
    let (text, exit_code) = output(|out| txnlog::chop(&path, 2, out));
    assert!(exit_code.is_none() && text.ends_with("Chopping at 2 new log has 2 records\n"), "{text}");
    let (text, _) = output(|out| txnlog::verify(&directory.join("log.1.chopped2"), out));
    assert!(text.starts_with("2 transactions, 0x1 to 0x2\n"), "{text}");
    assert_eq!(output(|out| txnlog::chop(&path, 9, out)).1, Some(2));
}

#[test]
fn a_snapshot_is_printed_as_the_reference_prints_it() {
    let (_held, directory) = directory();
    let path = directory.join("snapshot.0");
    let (text, _) = output(|out| snapshot::dump(&path, false, out));
    assert!(text.starts_with("ZNode Details (count=4):\n----\n/\n  cZxid = 0x00000000000000\n"), "{text}");
    assert!(text.contains("  ctime = Tue Nov 14 22:13:20 UTC 2023\n"), "{text}");
    assert!(text.contains("----\n/x/y\"\n") && text.contains("  dataLength = 5\n"), "{text}");
    assert!(
        text.contains("0x000000000010ab, 30000, 0\nTarget zxid digest is: 0, 99\n----\nLast zxid: 0x0\n")
    );
    let (text, _) = output(|out| snapshot::dump(&path, true, out));
    assert!(text.contains("  data = ZGRkZGQ=\n"), "{text}");
    let (text, _) = output(|out| snapshot::json(&path, 42, out));
    assert_eq!(
        text,
        "[1,0,{\"progname\":\"SnapshotFormatter.java\",\"progver\":\"0.01\",\"timestamp\":42},\
         [{\"name\":\"/\",\"asize\":0,\"dsize\":0,\"dev\":0,\"ino\":1001},\
         [{\"name\":\"x\",\"asize\":3,\"dsize\":3,\"dev\":0,\"ino\":1002},\
         {\"name\":\"y\\\"\",\"asize\":5,\"dsize\":5,\"dev\":0,\"ino\":1003}]]]"
    );
    let (text, _) = output(|out| snapshot::summary(&path, "/", 0, out));
    assert_eq!(text, " /\n   children: 2\n   data: 8\n-- /x\n--   children: 1\n--   data: 8\n\n");
    assert_eq!(output(|out| snapshot::summary(&path, "/none", 0, out)).1, Some(2));
}

#[test]
fn two_snapshots_are_compared_level_by_level() {
    let (_held, directory) = directory();
    let (left, right) = (directory.join("snapshot.0"), write_snapshot(&directory, 9, 105));
    let thresholds = Thresholds { bytes: 50, nodes: 5, debug: false };
    let (text, _) = output(|out| snapshot::compare(&left, &right, thresholds, out));
    assert!(text.contains("Node count: 3\nTotal size: 8\nMax depth: 3\n"), "{text}");
    assert!(text.contains("Node /x/y\" found in both trees. Delta: 100 bytes, 0 descendants\n"), "{text}");
    assert!(text.ends_with("All layers compared.\n"), "{text}");
}

/// It once read with limits of its own, and said "healthy" where a start refused.
#[test]
fn the_doctor_refuses_what_a_start_with_the_same_settings_refuses() {
    let (held, directory) = directory();
    write_snapshot(&directory, 9, 3 << 20);
    std::fs::remove_file(directory.join("snapshot.0")).unwrap();
    for (read_bytes_max, starts) in [(2 << 20, false), (4 << 20, true)] {
        let options = store::Options { read_bytes_max, ..read_as(held.path()) };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let directories = store::Directories::named(&options);
        let started = store::read(&disk, &directories, &options, &mut |_| {});
        let (text, exit_code) = output(|out| doctor::examine(&options, out));
        assert_eq!((started.is_ok(), exit_code.is_none()), (starts, starts), "{text}");
        if let Err(refusal) = started {
            assert!(text.contains(&format!("refuse: {refusal}")), "{text}");
        }
    }
}

/// It once called them an unfinished write, and the directory healthy.
#[test]
fn the_doctor_misses_durable_transactions_that_are_zeros_now() {
    let (held, directory) = directory();
    let path = directory.join("log.1");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 20..].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let (text, exit_code) = output(|out| doctor::examine(&read_as(held.path()), out));
    assert_eq!(exit_code, Some(1), "{text}");
    let says = ["refuse: ", "everything up to transaction 0x3 was durable", "Missing transactions: 1."];
    assert!(says.iter().all(|part| text.contains(part)), "{text}");
    std::fs::remove_file(directory.join(crate::txnlog::MARK_NAME)).unwrap();
    let (text, exit_code) = output(|out| doctor::examine(&read_as(held.path()), out));
    assert!(exit_code.is_none() && text.contains("whether any was acknowledged is not known"), "{text}");
}

#[test]
fn the_doctor_tells_health_from_damage_and_changes_nothing() {
    let (held, directory) = directory();
    let examine = || output(|out| doctor::examine(&read_as(held.path()), out));
    let (text, exit_code) = examine();
    assert!(exit_code.is_none() && text.contains("replay 3 transactions, and stand at 0x3"), "{text}");
    assert!(text.ends_with("Healthy: a server can start with this directory.\n"), "{text}");

    let path = directory.join("log.1");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code == Some(1) && text.contains("refuse: ") && text.contains("Restore the file"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), bad);

    let mark = good.iter().rposition(|byte| *byte != 0).unwrap();
    let mut bad = good.clone();
    bad[mark - 2] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code == Some(1) && text.contains("refuse: ") && text.contains("To give this"), "{text}");
    assert!(output(|out| txnlog::verify(&path, out)).0.contains("truncate -s "));
    std::fs::write(&path, &good).unwrap();

    std::fs::write(directory.join("currentEpoch"), "3").unwrap();
    std::fs::write(directory.join("acceptedEpoch"), "2").unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code == Some(1) && text.contains("Write 3 into acceptedEpoch"), "{text}");
    for name in ["currentEpoch", "acceptedEpoch"] {
        for (content, says) in [("", "remove it"), ("three", "must be a number")] {
            std::fs::write(directory.join("acceptedEpoch"), "3").unwrap();
            std::fs::write(directory.join("currentEpoch"), "3").unwrap();
            std::fs::write(directory.join(name), content).unwrap();
            let (text, exit_code) = examine();
            assert!(exit_code == Some(1) && text.contains("refuse as a member of an ensemble"), "{text}");
            assert!(text.contains(&format!("{name}: reads")) && text.contains(says), "{text}");
        }
    }
    std::fs::remove_file(directory.join("acceptedEpoch")).unwrap();
    std::fs::write(directory.join("currentEpoch"), "0").unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code.is_none() && text.contains("acceptedEpoch is missing; a member takes 0"), "{text}");

    std::fs::write(held.path().join("initialize"), "").unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code.is_none() && text.contains("there is one that is not"), "{text}");
    let lock = RealDisk.lock(&directory).unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code == Some(1) && text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(lock);
    assert!(examine().1.is_none(), "and nothing was changed");

    std::fs::remove_file(directory.join("snapshot.0")).unwrap();
    let (text, exit_code) = examine();
    assert!(exit_code == Some(1) && text.contains("snapshot.trust.empty"), "{text}");
}

#[test]
fn purge_keeps_what_it_was_told_to() {
    let (held, directory) = directory();
    (1..=3).for_each(|zxid| drop(write_snapshot(&directory, zxid, 5)));
    let (text, _) = output(|out| purge(held.path(), held.path(), 3, out));
    assert_eq!(text, format!("Removed {}\n", directory.join("snapshot.0").display()));
    assert_eq!(output(|out| purge(held.path(), held.path(), 2, out)).1, Some(1));
}

#[test]
fn a_password_is_hashed_as_the_reference_does() {
    let (text, _) = output(|out| hash(&["super:test".to_owned()], out));
    assert_eq!(text, "super:test->super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n");
    assert_eq!(output(|out| hash(&["nobody".to_owned()], out)).1, Some(2));
}
