//! What recovery makes of damaged files: a torn tail is cut, corruption is an error, and nothing
//! acknowledged is ever left out in silence.

use std::fs;
use std::path::{Path, PathBuf};

use jute::Zxid;

use super::testing::*;
use super::*;
use crate::disk::damage::Damager;

/// Writes transactions 1 to `count`, one sync each, ends the file, and returns it with the offsets at
/// which records begin (and the last one ends).
fn small_log(directory: &Path, count: i64) -> (PathBuf, Vec<usize>) {
    let mut log = log(directory, Io::Plain, 0);
    let mut offsets = vec![16];
    for zxid in 1..=count {
        log.append(&entry(zxid)).unwrap();
        log.sync().unwrap();
        offsets.push(usize::try_from(log.bytes_since_roll()).unwrap());
    }
    log.roll().unwrap();
    forget_mark(directory);
    (directory.join("log.1"), offsets)
}

/// Zero padding as a running server leaves it.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + 8192, 0);
    bytes
}

fn check_prefix(directory: &Path, expected: i64) {
    for attempt in ["recovery", "a second recovery"] {
        let (read, recovered) = read_all(directory, 0).unwrap();
        assert_eq!(read, (1..=expected).map(entry).collect::<Vec<_>>(), "{attempt}");
        assert_eq!(recovered.last_zxid, Zxid(expected));
        assert!(attempt == "recovery" || recovered.torn.is_none(), "the tail is cut the first time");
    }
}

#[test]
fn a_log_cut_at_any_byte_reads_as_a_prefix_and_can_be_continued() {
    let directory = tempfile::tempdir().unwrap();
    let (path, offsets) = small_log(directory.path(), 8);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        for bytes in [whole[..cut].to_vec(), padded(whole[..cut].to_vec())] {
            fs::write(&path, bytes).unwrap();
            let complete = offsets.iter().skip(1).filter(|end| **end <= cut).count() as i64;
            check_prefix(directory.path(), complete);
            let options = Options { force_sync: false, ..options(directory.path(), Io::Mapped) };
            let mut log = Log::open(disk(), options, Zxid(complete)).unwrap();
            log.append(&entry(complete + 1)).unwrap();
            log.roll().unwrap();
            check_holds(directory.path(), 1..=complete + 1);
            if complete > 0 {
                fs::remove_file(directory.path().join(format::file_name(Zxid(complete + 1)))).unwrap();
            }
        }
    }
}

#[test]
fn a_flip_of_any_byte_is_found_unless_it_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, offsets) = small_log(directory.path(), 6);
    let whole = padded(fs::read(&path).unwrap());
    let records_end = *offsets.last().unwrap();
    let last_begins = offsets[offsets.len() - 2];
    for at in 0..records_end + 100 {
        for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let outcome = read_all(directory.path(), 0);
            let problem = format!("flip {flip:#x} at {at}: {outcome:?}");
            match at {
                0..4 => assert!(matches!(outcome, Err(LogError::NotALog { .. })), "{problem}"),
                4..16 => assert_eq!(outcome.unwrap().0.len(), 6, "only the magic is looked at"),
                _ if at < records_end => {
                    let Err(LogError::Corrupt { offset, intact, .. }) = outcome else { panic!("{problem}") };
                    let record = offsets.iter().rposition(|begin| *begin <= at).unwrap();
                    let next = (at < last_begins).then_some(Zxid(record as i64 + 2));
                    assert_eq!((offset, intact), (offsets[record] as u64, next), "{problem}");
                }
                _ => check_prefix(directory.path(), 6),
            }
        }
    }
}

/// Bits, sectors that are lost or were swapped, anywhere in files of many records.
#[test]
fn random_damage_of_large_logs_is_found_unless_it_harms_nothing() {
    const COUNT: i64 = 3000;
    /// As many records as one sector can damage.
    const SECTOR_RECORDS: usize = 8;
    let zeros =
        |bytes: &[u8]| bytes.chunks(512).filter(|sector| sector.iter().all(|byte| *byte == 0)).count();
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    for zxid in 1..=COUNT {
        log.append(&entry(zxid)).unwrap();
        if zxid % 1000 == 0 && zxid < COUNT {
            log.roll().unwrap();
        }
    }
    log.sync().unwrap();
    drop(log);
    forget_mark(directory.path());
    let newest = directory.path().join(format::file_name(Zxid(COUNT / 3 * 2 + 1)));
    let expected: Vec<_> = (1..=COUNT).map(entry).collect();
    assert_eq!(read_all(directory.path(), 0).unwrap().0, expected);
    let (rounds, mut found) = (Damager::rounds(150), 0);
    let mut damager = Damager::new();
    for round in 0..rounds {
        let first = 1 + COUNT / 3 * damager.below(3) as i64;
        let path = directory.path().join(format::file_name(Zxid(first)));
        let whole = fs::read(&path).unwrap();
        let bytes = damager.damaged(&whole);
        fs::write(&path, &bytes).unwrap();
        match read_all(directory.path(), 0) {
            Err(error) => {
                assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
                found += 1;
            }
            Ok((read, recovered)) => {
                let missing = expected.len() - read.len();
                assert_eq!(read, expected[..read.len()], "round {round}");
                assert!(missing == 0 || recovered.torn.is_some(), "round {round}: what is left out is told");
                // Near the end of the newest file a sector of zeros looks like one that was never written, and a
                // sector of elsewhere may be the end of a page that was not.
                let may_lack = if zeros(&bytes) > zeros(&whole) { expected.len() } else { SECTOR_RECORDS };
                assert!(
                    missing == 0 || path == newest && missing <= may_lack,
                    "round {round}: {missing} are missing"
                );
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    println!("{rounds} rounds, found in {found}");
    assert!(found > rounds / 3);
}

#[test]
fn damage_in_an_older_file_is_an_error_even_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (path, offsets) = small_log(directory.path(), 5);
    let mut log = log(directory.path(), Io::Plain, 5);
    log.append(&entry(6)).unwrap();
    log.sync().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[offsets[4] + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = read_all(directory.path(), 0).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { intact: None, .. }), "{error}");
    // Without the record, its transaction is still missing.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(offsets[4] as u64).unwrap();
    let error = read_all(directory.path(), 0).unwrap_err();
    assert!(matches!(error, LogError::Gap { before: Zxid(4), after: Zxid(6), .. }), "{error}");
}

/// A server of the reference leaves torn tails in place when it begins its next file.
#[test]
fn a_torn_tail_of_an_older_file_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (path, offsets) = small_log(directory.path(), 5);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, padded(bytes[..offsets[4] + 20].to_vec())).unwrap();
    let mut log = log(directory.path(), Io::Plain, 4);
    log.append(&entry(5)).unwrap();
    log.sync().unwrap();
    check_holds(directory.path(), 1..=5);
}

/// Power loss in the middle of a sync: any sectors of the last batch are on disk, the others are zeros.
#[test]
fn any_sectors_of_the_last_batch_may_be_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    (1..=10).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    let durable = usize::try_from(log.bytes_since_roll()).unwrap();
    (11..=80).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    let end = usize::try_from(log.bytes_since_roll()).unwrap();
    drop(log);
    forget_mark(directory.path());
    let path = directory.path().join("log.1");
    let whole = fs::read(&path).unwrap();
    let sectors: Vec<_> = (durable / 512..=end / 512).collect();
    assert!(sectors.len() > 10);
    let mut random = 0x9E37_79B9_u64;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for sector in &sectors {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if random >> 62 == 0 {
                let from = (sector * 512).max(durable);
                bytes[from..(sector + 1) * 512].fill(0);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let (read, recovered) = read_all(directory.path(), 0).unwrap();
        let count = i64::try_from(read.len()).unwrap();
        assert!((10..=80).contains(&count), "acknowledged transactions are all there");
        assert_eq!(read, (1..=count).map(entry).collect::<Vec<_>>());
        assert_eq!(bytes == whole, recovered.torn.is_none());
        check_prefix(directory.path(), count);
    }
}

/// A page that went to the disk while a batch was copied into it, and not again: zeros from any word on.
/// The batch's other pages are there or not.
#[test]
fn a_page_written_back_in_the_middle_of_a_store_is_a_torn_tail() {
    const PAGE: usize = 4096;
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Mapped, 0);
    (1..=10).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    let durable = usize::try_from(log.bytes_since_roll()).unwrap();
    (11..=120).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    let end = usize::try_from(log.bytes_since_roll()).unwrap();
    drop(log);
    forget_mark(directory.path());
    assert!(end > 2 * PAGE);
    let path = directory.path().join("log.1");
    let whole = fs::read(&path).unwrap();
    // Every word near the ends of pages, some of the others.
    let words = (durable..end).filter(|at| at % 8 == 0 && (at % PAGE > PAGE - 128 || at % 13 == 0));
    for from in words {
        let page_end = from.next_multiple_of(PAGE);
        for others_are_there in [true, false] {
            let mut bytes = whole.clone();
            bytes[from..page_end].fill(0);
            if !others_are_there {
                bytes[page_end..].fill(0);
            }
            fs::write(&path, &bytes).unwrap();
            let outcome = read_all(directory.path(), 0);
            let read = outcome.unwrap_or_else(|error| panic!("{from}, {others_are_there}: {error}")).0;
            let count = i64::try_from(read.len()).unwrap();
            assert!((10..=120).contains(&count), "{from}: acknowledged transactions are all there");
            assert_eq!(read, (1..=count).map(entry).collect::<Vec<_>>(), "{from}");
        }
    }
}

/// A page that a device took line by line while the last record was copied into it: each line is the old
/// one, or the new one up to a word.
#[test]
fn lines_taken_in_the_middle_of_a_store_are_a_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Mapped, 0);
    log.append(&entry(1)).unwrap();
    log.sync().unwrap();
    let durable = usize::try_from(log.bytes_since_roll()).unwrap();
    log.append(&large_entry(2, 700)).unwrap();
    log.sync().unwrap();
    let end = usize::try_from(log.bytes_since_roll()).unwrap();
    drop(log);
    forget_mark(directory.path());
    let path = directory.path().join("log.1");
    let whole = fs::read(&path).unwrap();
    let mut damager = Damager::new();
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for line in (durable / 64 * 64..end).step_by(64) {
            let from = line + damager.below(16) * 8;
            if from < line + 64 {
                bytes[from.max(durable)..line + 64].fill(0);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let read = read_all(directory.path(), 0).unwrap().0;
        assert_eq!(read.len(), if bytes == whole { 2 } else { 1 });
    }
}

#[test]
fn a_lost_sector_far_before_the_end_is_corruption() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    (1..=20).for_each(|zxid| log.append(&large_entry(zxid, 1 << 20)).unwrap());
    log.sync().unwrap();
    drop(log);
    forget_mark(directory.path());
    let path = directory.path().join("log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..4608].fill(0);
    fs::write(&path, bytes).unwrap();
    let error = read_all(directory.path(), 0).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { offset: 16, intact: Some(Zxid(2)), .. }), "{error}");
}

/// The line once said that what was acknowledged was whole, and could not know.
#[test]
fn what_is_cut_off_is_counted_and_nothing_is_claimed_without_a_mark() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    (1..=90).for_each(|zxid| log.append(&entry(zxid)).unwrap());
    log.sync().unwrap();
    drop(log);
    forget_mark(directory.path());
    let path = directory.path().join("log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2048..2560].fill(0);
    bytes[4096..4608].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (read, recovered) = read_all(directory.path(), 0).unwrap();
    let last = read.last().unwrap().header.zxid;
    let torn = recovered.torn.unwrap();
    assert_eq!(torn.newest_intact, Some(Zxid(90)));
    let text = torn.describe(last, None);
    assert!(text.contains(&format!("transactions up to 0x5a, {} after {last}", 90 - last.0)), "{text}");
    assert!(text.contains("whether any was acknowledged is not known"), "{text}");
    let text = torn.describe(last, Some(Zxid(7)));
    assert!(text.contains("everything up to 0x7 is known to have been durable, and is there"), "{text}");
}

#[test]
fn a_newest_file_without_a_record_is_removed() {
    let contents =
        [vec![], b"ZK".to_vec(), vec![0; 5000], format::HEADER.to_vec(), padded(format::HEADER.to_vec())];
    for content in contents {
        let directory = tempfile::tempdir().unwrap();
        small_log(directory.path(), 3);
        let path = directory.path().join("log.4");
        fs::write(&path, content).unwrap();
        let (read, recovered) = read_all(directory.path(), 0).unwrap();
        assert_eq!((read.len(), recovered.removed.as_ref()), (3, Some(&path)));
        assert!(!path.exists());
        check_prefix(directory.path(), 3);
    }
}

#[test]
fn an_empty_file_before_others_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = small_log(directory.path(), 3);
    fs::copy(&path, directory.path().join("log.4")).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(matches!(read_all(directory.path(), 0), Err(LogError::NotALog { .. })));
}

#[test]
fn an_intact_record_of_unknown_type_is_not_taken_for_a_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(directory.path(), Io::Plain, 0);
    let mut payload = Vec::new();
    entry(1).encode(&mut payload);
    payload[28..32].copy_from_slice(&99_i32.to_be_bytes());
    log.append_encoded(Zxid(1), &payload).unwrap();
    log.sync().unwrap();
    let error = read_all(directory.path(), 0).unwrap_err();
    assert!(matches!(error, LogError::Unreadable { offset: 16, zxid: Zxid(1), .. }), "{error}");
}

#[test]
fn an_error_names_file_offset_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let (path, offsets) = small_log(directory.path(), 3);
    let mut bytes = fs::read(&path).unwrap();
    bytes[offsets[1] + 12] ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = read_all(directory.path(), 0).unwrap_err().to_string();
    let begin = format!("{}: damaged record at offset {} (checksum mismatch)", path.display(), offsets[1]);
    assert!(text.starts_with(&begin) && text.contains("Restore the file"), "{text}");
}
