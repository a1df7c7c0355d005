//! What a start makes of the mark: the decision table in [`mark`](super::mark), row by row.

use std::fs;
use std::path::{Path, PathBuf};

use jute::Zxid;

use super::mark::*;
use super::testing::*;
use super::*;
use crate::disk::RealDisk;

/// Transactions 1 to 20, each durable by itself, as a process that was killed leaves them.
fn killed(directory: &Path, io: Io) -> PathBuf {
    let options = Options { mark_every: 1, ..options(directory, io) };
    let mut log = Log::open(disk(), options, Zxid::ZERO).unwrap();
    for zxid in 1..=20 {
        log.append(&entry(zxid)).unwrap();
        log.sync().unwrap();
    }
    directory.join("log.1")
}

fn in_both_modes(check: impl Fn(&Path, &Path)) {
    for io in MODES {
        let directory = tempfile::tempdir().unwrap();
        let log = killed(directory.path(), io);
        check(directory.path(), &log);
    }
}

/// Fills the file with zeros from an offset on.
fn zero_from(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset..].fill(0);
    fs::write(path, bytes).unwrap();
}

/// Where the record of a transaction begins.
fn offset_of(path: &Path, zxid: i64) -> usize {
    let mut offset = 16;
    for before in 1..zxid {
        let mut payload = Vec::new();
        entry(before).encode(&mut payload);
        offset += payload.len() + 13;
    }
    assert!(offset < fs::read(path).unwrap().len());
    offset
}

fn check_refused(directory: &Path, last: i64, missing: u64) {
    match read_all(directory, 0) {
        Err(LogError::Lost { last: found, durable, transactions, .. }) => {
            assert_eq!((found, durable, transactions), (Zxid(last), Zxid(20), missing));
        }
        other => panic!("{other:?}"),
    }
}

fn check_accepted(directory: &Path, last: i64) {
    assert_eq!(read_all(directory, 0).unwrap().1.last_zxid, Zxid(last));
}

#[test]
fn the_mark_of_a_killed_process_is_exact() {
    in_both_modes(|directory, log| {
        let mark = Mark::read(&RealDisk, directory).unwrap().unwrap();
        assert_eq!((mark.file, mark.zxid, mark.records), (Zxid(1), Zxid(20), 20));
        assert_eq!(mark.end, offset_of(log, 21) as u64);
        check_accepted(directory, 20);
    });
}

#[test]
fn durable_transactions_that_are_zeros_now_are_missing() {
    in_both_modes(|directory, log| {
        zero_from(log, offset_of(log, 15));
        check_refused(directory, 14, 6);
        zero_from(log, 16);
        check_refused(directory, 0, 20);
    });
}

#[test]
fn a_newest_log_that_is_gone_is_missed_unless_a_later_leader_may_have_removed_it() {
    in_both_modes(|directory, log| {
        fs::remove_file(log).unwrap();
        check_refused(directory, 0, 20);
        let replay_with = |accepted_epoch| {
            let options = ReplayOptions { accepted_epoch, ..ReplayOptions::new(Gaps::Refuse) };
            replay(&disk(), directory, Zxid::ZERO, options, &mut |_| {}, &mut |_| {})
        };
        assert!(replay_with(0).is_err());
        assert!(replay_with(1).is_ok());
        let text = replay_with(0).unwrap_err().to_string();
        assert!(text.contains("the file is missing") && text.contains("rm "), "{text}");
    });
}

#[test]
fn a_snapshot_that_holds_what_the_log_lost_is_enough() {
    in_both_modes(|directory, log| {
        zero_from(log, offset_of(log, 15));
        assert!(read_all(directory, 19).is_err());
        assert_eq!(read_all(directory, 20).unwrap().1.last_zxid, Zxid(20));
    });
}

/// As a server of the reference truncates, and as an operator does who gives transactions up.
#[test]
fn a_log_that_ends_with_a_whole_record_was_cut_on_purpose() {
    in_both_modes(|directory, log| {
        let bytes = fs::read(log).unwrap();
        fs::write(log, &bytes[..offset_of(log, 15)]).unwrap();
        check_accepted(directory, 14);
    });
}

/// A server of the reference stops reading at the damage, and begins its next file there.
#[test]
fn a_log_that_a_server_without_the_mark_continued_is_its_own() {
    in_both_modes(|directory, log| {
        zero_from(log, offset_of(log, 15));
        let mark = fs::read(directory.join(MARK_NAME)).unwrap();
        let mut next = super::testing::log(directory, Io::Plain, 14);
        next.append(&entry(15)).unwrap();
        next.sync().unwrap();
        drop(next);
        fs::write(directory.join(MARK_NAME), mark).unwrap();
        check_accepted(directory, 15);
    });
}

/// A follower of the reference that truncated, and then logged what its leader of a later epoch sent: in the
/// file that was cut, or with that file removed.
#[test]
fn a_log_that_a_later_leader_cut_and_continued_is_taken_as_it_is() {
    in_both_modes(|directory, log| {
        let (bytes, mark) = (fs::read(log).unwrap(), fs::read(directory.join(MARK_NAME)).unwrap());
        let continued = |last: i64| {
            let mut next = super::testing::log(directory, Io::Plain, last);
            next.append(&entry(0x1_0000_0001)).unwrap();
            next.sync().unwrap();
            drop(next);
            fs::write(directory.join(MARK_NAME), &mark).unwrap();
            check_accepted(directory, 0x1_0000_0001);
            fs::remove_file(directory.join("log.100000001")).unwrap();
        };
        fs::write(log, &bytes[..offset_of(log, 15)]).unwrap();
        continued(14);
        fs::remove_file(log).unwrap();
        continued(0);
    });
}

#[test]
fn a_log_of_another_history_under_the_same_name_is_not_judged() {
    in_both_modes(|directory, log| {
        let other = tempfile::tempdir().unwrap();
        let mut another = super::testing::log(other.path(), Io::Plain, 0);
        another.append(&large_entry(1, 10)).unwrap();
        another.sync().unwrap();
        drop(another);
        fs::copy(other.path().join("log.1"), log).unwrap();
        check_accepted(directory, 1);
    });
}

#[test]
fn a_directory_without_a_mark_or_with_a_damaged_one_claims_nothing() {
    in_both_modes(|directory, log| {
        zero_from(log, offset_of(log, 15));
        let torn = fs::read(log).unwrap();
        for mark in [None, Some(vec![]), Some(vec![0; 4096]), Some(vec![0xFF; 4096]), Some(b"junk".to_vec())]
        {
            fs::write(log, &torn).unwrap();
            match mark {
                None => fs::remove_file(directory.join(MARK_NAME)).unwrap(),
                Some(bytes) => fs::write(directory.join(MARK_NAME), bytes).unwrap(),
            }
            check_accepted(directory, 14);
        }
        // The next log makes a whole one of it.
        let mut next = super::testing::log(directory, Io::Mapped, 14);
        next.append(&entry(15)).unwrap();
        next.sync().unwrap();
        assert_eq!(Mark::read(&RealDisk, directory).unwrap().map(|mark| mark.zxid), Some(Zxid(15)));
    });
}

/// A mark that was being stored when the power failed: the other slot still counts.
#[test]
fn a_torn_slot_leaves_the_mark_before_it() {
    in_both_modes(|directory, _| {
        let path = directory.join(MARK_NAME);
        let whole = fs::read(&path).unwrap();
        let found: Vec<_> = [0, 512]
            .into_iter()
            .map(|slot| {
                let mut bytes = whole.clone();
                bytes[slot + 40] ^= 1;
                fs::write(&path, bytes).unwrap();
                Mark::read(&RealDisk, directory).unwrap().unwrap().zxid.0
            })
            .collect();
        assert!(found == [19, 20] || found == [20, 19], "{found:?}");
    });
}

#[test]
fn a_log_that_is_cut_by_a_leader_has_no_mark_and_gets_one_again() {
    in_both_modes(|directory, _| {
        let mut log = super::testing::log(directory, Io::Mapped, 20);
        log.truncate(Zxid(14)).unwrap();
        assert_eq!(Mark::read(&RealDisk, directory).unwrap(), None);
        check_accepted(directory, 14);
        log.append(&entry(15)).unwrap();
        log.sync().unwrap();
        assert_eq!(Mark::read(&RealDisk, directory).unwrap().map(|mark| mark.zxid), Some(Zxid(15)));
    });
}

/// Nothing is known to be durable that nobody waited for.
#[test]
fn a_log_that_does_not_wait_for_the_device_has_no_mark() {
    in_both_modes(|directory, _| {
        fs::remove_file(directory.join(MARK_NAME)).unwrap();
        let options = Options { force_sync: false, ..options(directory, Io::Mapped) };
        let mut log = Log::open(disk(), options, Zxid(20)).unwrap();
        log.append(&entry(21)).unwrap();
        log.sync().unwrap();
        assert!(!directory.join(MARK_NAME).exists());
    });
}

#[test]
fn plain_writes_mark_now_and_then_and_exactly_when_the_log_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    let marked = || Mark::read(&RealDisk, directory.path()).unwrap().map(|mark| mark.zxid);
    for zxid in 1..=18 {
        log.append(&entry(zxid)).unwrap();
        log.sync().unwrap();
    }
    assert_eq!(marked(), Some(Zxid(16)));
    log.close().unwrap();
    assert_eq!(marked(), Some(Zxid(18)));
}
