//! What the log promises while nothing is damaged, in both modes.

use std::fs;

use jute::Zxid;
use proptest::prelude::*;

use super::testing::*;
use super::*;

fn in_both_modes(check: impl Fn(&std::path::Path, Io)) {
    for io in MODES {
        check(tempfile::tempdir().unwrap().path(), io);
    }
}

#[test]
fn what_was_synced_is_read_back_in_order() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        for zxid in 1..=100 {
            log.append(&entry(zxid)).unwrap();
            if zxid % 7 == 0 {
                let synced = log.sync().unwrap();
                assert!(synced.bytes > 0);
                assert_eq!(log.durable_zxid(), Zxid(zxid));
            }
        }
        log.sync().unwrap();
        assert_eq!(log.sync().unwrap().bytes, 0, "nothing left to sync");
        assert_eq!(log.io(), io);
        check_holds(directory, 1..=100);
        assert_eq!(read_all(directory, 60).unwrap().0.len(), 40);
    });
}

/// Small ones go through the map, large ones are written beside it, into the same pages at the seams.
#[test]
fn batches_of_any_size_meet_in_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { map_bytes_max: 300, ..options(directory.path(), Io::Mapped) };
    let mut log = Log::open(disk(), options, Zxid(0)).unwrap();
    let mut zxid = 0;
    for count in (1..=7).cycle().take(60) {
        (0..count).for_each(|_| {
            zxid += 1;
            log.append(&entry(zxid)).unwrap();
        });
        log.sync().unwrap();
    }
    assert_eq!(log.io(), Io::Mapped);
    check_holds(directory.path(), 1..=zxid);
}

#[test]
fn the_bytes_are_the_reference_s() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 2);
        log.append(&entry(3)).unwrap();
        log.sync().unwrap();
        let bytes = fs::read(directory.join("log.3")).unwrap();
        assert_eq!(bytes[..16], *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0");
        assert_eq!(bytes[24..28], 48_u32.to_be_bytes());
        let payload = &bytes[28..28 + 48];
        assert_eq!(bytes[16..24], u64::from(simd_adler32::adler32(&payload)).to_be_bytes());
        assert_eq!(bytes[28 + 48], 0x42);
        assert_eq!(bytes.len(), 16 + PREALLOC_BYTES as usize, "padded as the reference pads");
        assert!(bytes[28 + 49..].iter().all(|byte| *byte == 0));
    });
}

/// The first two records of a standalone server 3.9.5, fed by its own command line client.
#[test]
fn records_of_the_reference_are_read_and_written_again_alike() {
    let records = [
        "00000000dfa70bb1000000300100002f62a50000000000000000000000000001000001a1fbb5e857fffffff60000753000\
         0000020000000051c6d66042",
        "0000000066cf0ed70000005b0100002f62a50000000000010000000000000002000001a1fbb5e89000000001000000022f\
         610000000568656c6c6f000000010000001f00000005776f726c6400000006616e796f6e65000000000100000002000000\
         0147ec4fc342",
    ];
    let digits = |text: &str| u8::from_str_radix(text, 16).unwrap();
    let records = records.concat();
    let mut file = format::HEADER.to_vec();
    file.extend((0..records.len()).step_by(2).map(|at| digits(&records[at..at + 2])));
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("log.1"), &file).unwrap();
    let (entries, _) = read_all(directory.path(), 0).unwrap();
    assert_eq!(entries[1].header.zxid, Zxid(2));
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        entries.iter().for_each(|entry| log.append(entry).unwrap());
        log.roll().unwrap();
        assert_eq!(fs::read(directory.join("log.1")).unwrap(), file);
    });
}

#[test]
fn a_file_is_named_by_its_first_transaction_and_appears_with_it() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0x1_0000_0009);
        assert!(names(directory).is_empty());
        log.append(&entry(0x1_0000_000A)).unwrap();
        log.roll().unwrap();
        assert_eq!(log.bytes_since_roll(), 0);
        log.append(&entry(0x1_0000_000B)).unwrap();
        log.sync().unwrap();
        assert!(log.bytes_since_roll() > 0);
        assert_eq!(names(directory), ["log.10000000a", "log.10000000b"]);
        check_holds(directory, 0x1_0000_000A..=0x1_0000_000B);
    });
}

#[test]
fn a_spare_file_becomes_the_next_log() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        log.spare().prepare().unwrap();
        assert_eq!(names(directory), ["spare.log"]);
        log.append(&entry(1)).unwrap();
        log.roll().unwrap();
        log.spare().prepare().unwrap();
        log.append(&entry(2)).unwrap();
        log.sync().unwrap();
        log.spare().prepare().unwrap();
        assert_eq!(names(directory), ["log.1", "log.2", "spare.log"]);
        check_holds(directory, 1..=2);
        drop(log);
        let _reopened = super::testing::log(directory, io, 2);
        assert_eq!(names(directory), ["log.1", "log.2"], "an earlier process's spare is removed");
    });
}

/// A stopped server once left 64 MiB of zeros to every backup of its directory.
#[test]
fn a_log_that_is_closed_leaves_no_prepared_file() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        let keeper = log.spare().keep(|_| {}).unwrap();
        log.spare().prepare().unwrap();
        assert_eq!(names(directory), ["spare.log"]);
        log.append(&entry(1)).unwrap();
        log.sync().unwrap();
        log.spare().prepare().unwrap();
        let spare = log.spare();
        log.close().unwrap();
        spare.prepare().unwrap();
        drop(keeper);
        assert_eq!(names(directory), ["log.1"]);
        check_holds(directory, 1..=1);
    });
}

#[test]
fn a_file_grows_under_records_of_any_size() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        let sizes = [10, 5000, 4000, 16_000, 100_000, 1, 5 << 20, 3 << 20, 3 << 20, 20];
        for (zxid, size) in (1..).zip(sizes) {
            log.append(&large_entry(zxid, size)).unwrap();
        }
        let synced = log.sync().unwrap();
        assert!(synced.bytes > 11 << 20, "what had to be synced early counts too");
        let (read, _) = read_all(directory, 0).unwrap();
        assert_eq!(read, (1..).zip(sizes).map(|(zxid, size)| large_entry(zxid, size)).collect::<Vec<_>>());
    });
}

#[test]
fn without_allocation_ahead_a_file_is_as_long_as_its_records() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { prealloc_bytes: 0, ..options(directory.path(), Io::Mapped) };
    let mut log = Log::open(disk(), options, Zxid::ZERO).unwrap();
    log.append(&entry(1)).unwrap();
    log.append(&entry(2)).unwrap();
    log.sync().unwrap();
    assert_eq!(fs::metadata(directory.path().join("log.1")).unwrap().len(), log.bytes_since_roll());
    check_holds(directory.path(), 1..=2);
}

#[test]
fn a_size_limit_begins_a_new_file_after_a_sync() {
    in_both_modes(|directory, io| {
        let options = Options { size_limit_bytes: Some(300), ..options(directory, io) };
        let mut log = Log::open(disk(), options, Zxid::ZERO).unwrap();
        for zxid in 1..=20 {
            log.append(&entry(zxid)).unwrap();
            log.sync().unwrap();
        }
        assert!(names(directory).len() > 3);
        check_holds(directory, 1..=20);
    });
}

#[test]
fn truncation_forgets_what_is_later_and_appending_goes_on() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 0);
        for zxid in 1..=30 {
            log.append(&entry(zxid)).unwrap();
            if zxid % 10 == 0 {
                log.roll().unwrap();
            }
        }
        log.truncate(Zxid(14)).unwrap();
        assert_eq!(names(directory), ["log.1", "log.b"]);
        assert_eq!(log.last_zxid(), Zxid(14));
        check_holds(directory, 1..=14);
        log.append(&entry(15)).unwrap();
        log.sync().unwrap();
        check_holds(directory, 1..=15);
    });
}

#[test]
fn truncation_to_an_unknown_transaction_cuts_nothing() {
    in_both_modes(|directory, io| {
        let mut log = log(directory, io, 4);
        log.append(&entry(5)).unwrap();
        log.append(&entry(0x1_0000_0001)).unwrap();
        for unknown in [3, 6, 0x1_0000_0002] {
            assert!(matches!(log.truncate(Zxid(unknown)), Err(LogError::NoSuchTransaction { .. })));
        }
        assert_eq!(read_all(directory, 4).unwrap().0.len(), 2);
    });
}

#[test]
#[should_panic(expected = "transaction 0x5 appended after 0x5")]
fn a_zxid_that_does_not_rise_stops_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 4);
    log.append(&entry(5)).unwrap();
    let _ = log.append(&entry(5));
}

#[test]
#[should_panic(expected = "transaction 0x7 appended after 0x5")]
fn a_gap_stops_the_server_before_it_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 4);
    log.append(&entry(5)).unwrap();
    let _ = log.append(&entry(7));
}

#[test]
pub(super) fn a_gap_is_an_error_unless_it_is_allowed() {
    in_both_modes(|directory, io| {
        for zxid in [1, 3] {
            let mut log = log(directory, io, zxid - 1);
            log.append(&entry(zxid)).unwrap();
            log.sync().unwrap();
        }
        let error = read_all(directory, 0).unwrap_err();
        assert!(matches!(error, LogError::Gap { before: Zxid(1), after: Zxid(3), .. }), "{error}");
        let mut entries = Entries::open(disk(), directory, Zxid::ZERO, Gaps::Allow).unwrap();
        let mut zxids = Vec::new();
        while let Some(frame) = entries.next_frame().unwrap() {
            zxids.push(frame.zxid.0);
        }
        assert_eq!(zxids, [1, 3]);
        assert!(read_all(directory, 2).is_ok(), "a snapshot covers the gap");
    });
}

#[test]
fn a_transaction_logged_twice_is_read_once() {
    let directory = tempfile::tempdir().unwrap();
    for (first, last) in [(1, 5), (4, 8)] {
        let mut log = log(directory.path(), Io::Plain, first - 1);
        (first..=last).for_each(|zxid| log.append(&entry(zxid)).unwrap());
        log.sync().unwrap();
    }
    check_holds(directory.path(), 1..=8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_mixture_of_appends_syncs_and_rolls_reads_back(
        steps in prop::collection::vec((0_usize..3000, 0_u8..10), 1..60),
        mapped: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), if mapped { Io::Mapped } else { Io::Plain }, 0);
        let mut expected = Vec::new();
        for (zxid, (size, action)) in (1..).zip(steps) {
            let entry = large_entry(zxid, size);
            log.append(&entry).unwrap();
            expected.push(entry);
            match action {
                0 => drop(log.roll().unwrap()),
                1..4 => drop(log.sync().unwrap()),
                4 => log.spare().prepare().unwrap(),
                _ => {}
            }
        }
        log.sync().unwrap();
        prop_assert_eq!(read_all(directory.path(), 0).unwrap().0, expected);
    }
}
