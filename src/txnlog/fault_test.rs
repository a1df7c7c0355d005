//! What the log does on a full and on a failing disk, in both modes.

use std::path::Path;
use std::sync::Arc;

use jute::Zxid;

use super::testing::*;
use super::*;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, RealDisk};

fn in_both_modes(check: impl Fn(&Path, FaultyDisk, Log)) {
    for io in MODES {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let log = Log::open(Arc::new(disk.clone()), options(directory.path(), io), Zxid::ZERO).unwrap();
        check(directory.path(), disk, log);
    }
}

#[test]
fn an_append_on_a_full_disk_leaves_no_trace_and_can_be_repeated() {
    in_both_modes(|directory, disk, mut log| {
        disk.set_full(true);
        let error = log.append(&entry(1)).unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(RealDisk.list(directory).unwrap().is_empty(), "no part of a file");
        disk.set_full(false);
        log.append(&entry(1)).unwrap();
        log.append(&entry(2)).unwrap();
        log.sync().unwrap();
        disk.set_full(true);
        let large = large_entry(3, 2 * PREALLOC_BYTES as usize);
        assert!(log.append(&large).unwrap_err().is_retryable());
        log.append(&entry(3)).expect("what fits is still taken");
        log.sync().unwrap();
        check_holds(directory, 1..=3);
        disk.set_full(false);
        log.append(&large_entry(4, 2 * PREALLOC_BYTES as usize)).unwrap();
        log.sync().unwrap();
        assert_eq!(read_all(directory, 0).unwrap().0.len(), 4);
    });
}

#[test]
fn a_spare_file_carries_the_log_over_a_full_disk() {
    in_both_modes(|directory, disk, mut log| {
        log.spare().prepare().unwrap();
        disk.set_full(true);
        log.append(&entry(1)).unwrap();
        log.sync().unwrap();
        assert!(log.spare().prepare().unwrap_err().is_retryable(), "an early warning");
        assert!(log.spare().is_short());
        assert_eq!(RealDisk.list(directory).unwrap(), ["log.1"]);
        disk.set_full(false);
        log.spare().prepare().unwrap();
        assert!(!log.spare().is_short());
        disk.set_full(true);
        (2..=190).for_each(|zxid| log.append(&entry(zxid)).unwrap());
        log.sync().unwrap();
        assert!(log.bytes_since_roll() > 16 << 10, "bytes of both files");
        assert_eq!(RealDisk.list(directory).unwrap().len(), 2, "the spare took over from the full file");
        check_holds(directory, 1..=190);
    });
}

#[test]
fn the_first_failed_sync_is_final_and_never_tried_again() {
    in_both_modes(|_, disk, mut log| {
        log.append(&entry(1)).unwrap();
        log.sync().unwrap();
        log.append(&entry(2)).unwrap();
        disk.set_syncs_fail(true);
        assert!(matches!(log.sync(), Err(LogError::Disk(_))));
        disk.set_syncs_fail(false);
        let syncs = disk.syncs();
        for outcome in
            [log.sync().err(), log.append(&entry(3)).err(), log.roll().err(), log.truncate(Zxid(1)).err()]
        {
            assert!(matches!(outcome, Some(LogError::Poisoned { .. })), "{outcome:?}");
        }
        assert_eq!(disk.syncs(), syncs);
        assert_eq!(log.durable_zxid(), Zxid(1));
    });
}

/// Only what is cut under a map can end a process by SIGBUS, so the test is that it comes back at all.
#[test]
fn a_file_that_somebody_cuts_under_the_map_is_an_error_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Mapped, 0);
    log.append(&entry(1)).unwrap();
    log.sync().unwrap();
    let path = log.current_file().unwrap().to_owned();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    log.append(&entry(2)).unwrap();
    let error = log.sync().unwrap_err();
    assert!(matches!(error, LogError::Disk(_)) && error.path() == Some(&path));
    assert!(error.to_string().contains("another program has cut the file"), "{error}");
    assert!(matches!(log.append(&entry(2)), Err(LogError::Poisoned { .. })));
}
