//! Snapshots written and read: round trips, damage, hostile input, and what is left on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::records::data::{Acl, Id, StatPersisted};
use jute::{SessionId, Zxid, write};
use proptest::prelude::*;

use super::retention::{discard_newer, purge};
use super::*;
use crate::disk::damage::Damager;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, RealDisk};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Snappy];
const DIGEST: (Zxid, i32, i64) = (Zxid(0x21), 2, -77);

#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, Vec<Acl>)>,
    nodes: Vec<(String, Option<Vec<u8>>, i64, StatPersisted)>,
}

impl Visitor for Content {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.sessions.push((id, timeout_ms));
        Ok(())
    }
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.acls.push((id, acl));
        Ok(())
    }
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        if path == "/unwanted" {
            return Err("not wanted".to_owned());
        }
        self.nodes.push((path.to_owned(), data.map(<[u8]>::to_vec), acl, stat));
        Ok(())
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn sample() -> Content {
    let acl = Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
    let stat = StatPersisted { czxid: Zxid(3), version: 4, pzxid: Zxid(9), ..StatPersisted::default() };
    Content {
        sessions: vec![(SessionId(0x10), 30_000), (SessionId(-5), 4000)],
        acls: vec![(1, vec![acl.clone()]), (2, vec![acl.clone(), acl]), (3, vec![])],
        nodes: vec![
            (String::new(), Some(vec![]), -1, stat.clone()),
            ("/a".into(), None, 1, stat.clone()),
            ("/a/grüße".into(), Some(vec![7; 300]), 2, stat),
        ],
    }
}

fn save(directory: &Path, content: &Content, compression: Compression) -> Written {
    let mut writer = Writer::create(&disk(), directory, Zxid(0x20), compression).unwrap();
    writer.begin(&content.sessions, &content.acls).unwrap();
    for (path, data, acl, stat) in &content.nodes {
        writer.node(path, data.as_deref(), *acl, stat).unwrap();
    }
    writer.finish(Some(DIGEST), Some(Zxid(0x20))).unwrap()
}

fn read(path: &Path) -> Result<(Content, Loaded), SnapshotError> {
    let mut content = Content::default();
    let loaded = load(&RealDisk, path, FIELD_BYTES_MAX, &mut content)?;
    Ok((content, loaded))
}

/// A file name and what a plain file of the sample holds.
fn plain_sample(directory: &Path) -> (PathBuf, Vec<u8>) {
    let path = save(directory, &sample(), Compression::None).path;
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn what_was_written_is_loaded_from_every_kind_of_file() {
    for compression in COMPRESSIONS {
        let directory = tempfile::tempdir().unwrap();
        let written = save(directory.path(), &sample(), compression);
        let (content, loaded) = read(&written.path).unwrap();
        assert_eq!(content, sample());
        let last_zxid = Some(Zxid(0x20));
        assert_eq!(loaded, Loaded { zxid_from_name: Zxid(0x20), digest: Some(DIGEST), last_zxid });
        assert_eq!(written.file_bytes, fs::metadata(&written.path).unwrap().len());
        assert_eq!(RealDisk.list(directory.path()).unwrap().len(), 1, "nothing temporary is left");
    }
}

#[test]
fn nodes_encoded_by_the_caller_are_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let expected = plain_sample(directory.path()).1;
    let content = sample();
    let mut writer = Writer::create(&disk(), directory.path(), Zxid(0x20), Compression::None).unwrap();
    writer.begin(&content.sessions, &content.acls).unwrap();
    let mut batch = Vec::new();
    for (path, data, acl, stat) in &content.nodes {
        format::put_node(&mut batch, path, data.as_deref(), *acl, stat);
    }
    writer.raw_nodes(&batch).unwrap();
    let path = writer.finish(Some(DIGEST), Some(Zxid(0x20))).unwrap().path;
    assert_eq!(fs::read(path).unwrap(), expected);
}

#[test]
fn older_files_lack_the_later_sections() {
    let directory = tempfile::tempdir().unwrap();
    for (digest, last_zxid) in [(None, None), (Some(DIGEST), None), (None, Some(Zxid(5)))] {
        let mut writer = Writer::create(&disk(), directory.path(), Zxid(0x20), Compression::None).unwrap();
        writer.begin(&[], &[]).unwrap();
        let path = writer.finish(digest, last_zxid).unwrap().path;
        assert_eq!(read(&path).unwrap().1, Loaded { zxid_from_name: Zxid(0x20), digest, last_zxid });
    }
}

#[test]
fn a_digest_written_as_text_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut bytes) = plain_sample(directory.path());
    bytes.truncate(bytes.len() - 33 - 21);
    write::long(&mut bytes, 0x21);
    write::int(&mut bytes, 1);
    write::ustring(&mut bytes, Some("1f4"));
    let checksum = simd_adler32::adler32(&bytes.as_slice());
    write::long(&mut bytes, i64::from(checksum));
    bytes.extend_from_slice(&format::END);
    fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path).unwrap().1.digest, Some((Zxid(0x21), 1, 0x1F4)));
}

#[test]
fn a_cut_snapshot_is_damaged_unless_it_ends_after_a_seal() {
    let directory = tempfile::tempdir().unwrap();
    let (path, whole) = plain_sample(directory.path());
    let seals = [whole.len() - 21 - 33, whole.len() - 21, whole.len()];
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let outcome = read(&path);
        if seals.contains(&cut) {
            assert_eq!(outcome.unwrap().0, sample());
        } else {
            assert!(matches!(outcome, Err(SnapshotError::Damaged { .. })), "cut at {cut}");
        }
    }
}

#[test]
fn a_flip_of_any_byte_is_found_in_every_kind_of_file() {
    for compression in COMPRESSIONS {
        let directory = tempfile::tempdir().unwrap();
        let path = save(directory.path(), &sample(), compression).path;
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                fs::write(&path, &bytes).unwrap();
                // The headers of compressed streams have fields that mean nothing to us.
                if let Ok((content, loaded)) = read(&path) {
                    assert!(compression != Compression::None, "flip {flip:#x} at {at} was not found");
                    assert_eq!((content, loaded.digest), (sample(), Some(DIGEST)), "flip {flip:#x} at {at}");
                }
            }
        }
    }
}

/// Bits, lost sectors and sectors of elsewhere.
#[test]
fn random_damage_of_large_snapshots_is_found_in_every_kind_of_file() {
    let mut content = sample();
    let stat = StatPersisted { czxid: Zxid(3), ..StatPersisted::default() };
    content.nodes.extend((0..4000).map(|i| (format!("/n{i}"), Some(vec![i as u8; 70]), 1, stat.clone())));
    let rounds = Damager::rounds(90);
    for compression in COMPRESSIONS {
        let directory = tempfile::tempdir().unwrap();
        let path = save(directory.path(), &content, compression).path;
        let whole = fs::read(&path).unwrap();
        let (mut damager, mut found) = (Damager::new(), 0);
        for round in 0..rounds {
            fs::write(&path, damager.damaged(&whole)).unwrap();
            match read(&path) {
                Ok((read, loaded)) => {
                    assert!((&read, loaded.digest) == (&content, Some(DIGEST)), "round {round}");
                }
                Err(_) => found += 1,
            }
        }
        println!("{compression:?}: {rounds} rounds, found in {found}");
        assert!(found > rounds / 2);
    }
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_allocated_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.1");
    let mut tables = format::HEADER.to_vec();
    format::put_sessions(&mut tables, &[]);
    format::put_acl_count(&mut tables, 0);
    let hostile = |at: usize, value: i32| {
        let mut bytes = tables.clone();
        format::put_node(&mut bytes, "/p", Some(b"d"), -1, &StatPersisted::default());
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    let (path_at, data_at) = (tables.len(), tables.len() + 6);
    for (at, value) in [
        (16, i32::MAX),
        (20, i32::MAX),
        (path_at, i32::MAX),
        (path_at, -1),
        (data_at, -2),
        (data_at, i32::MAX),
    ] {
        fs::write(&path, hostile(at, value)).unwrap();
        assert!(matches!(read(&path), Err(SnapshotError::Damaged { .. })), "{value} at {at}");
    }
    // A list that claims 2^31 entries.
    let mut bytes = format::HEADER.to_vec();
    format::put_sessions(&mut bytes, &[]);
    write::int(&mut bytes, 1);
    write::long(&mut bytes, 1);
    write::int(&mut bytes, i32::MAX);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn a_field_above_the_limit_is_refused_even_when_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut content = sample();
    content.nodes[1].1 = Some(vec![0; 100_000]);
    for compression in COMPRESSIONS {
        let path = save(directory.path(), &content, compression).path;
        assert!(load(&RealDisk, &path, 99_999, &mut Content::default()).is_err());
        assert!(load(&RealDisk, &path, 100_000, &mut Content::default()).is_ok());
    }
}

#[test]
fn a_visitor_s_refusal_ends_the_reading_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut content = sample();
    content.nodes[2].0 = "/unwanted".to_owned();
    let error = read(&save(directory.path(), &content, Compression::None).path).unwrap_err();
    assert!(matches!(&error, SnapshotError::Refused { reason, .. } if reason == "not wanted"), "{error}");
}

#[test]
fn a_stream_is_read_like_a_file_and_a_body_leaves_what_follows_it() {
    let directory = tempfile::tempdir().unwrap();
    let (_, bytes) = plain_sample(directory.path());
    let mut content = Content::default();
    let loaded = load_stream(&mut &bytes[..], "restore", FIELD_BYTES_MAX, &mut content).unwrap();
    assert_eq!((content, loaded.last_zxid), (sample(), Some(Zxid(0x20))));
    let mut content = Content::default();
    let rest = load_body(&mut &bytes[16..], "leader", FIELD_BYTES_MAX, &mut content).unwrap();
    assert_eq!(content, sample());
    assert_eq!(rest, bytes[bytes.len() - 13 - 33 - 21..]);
}

#[test]
fn an_unfinished_snapshot_leaves_nothing_and_one_from_a_crash_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&disk(), directory.path(), Zxid(1), Compression::Gzip).unwrap();
    writer.begin(&[], &[]).unwrap();
    assert!(candidates(&RealDisk, directory.path(), CANDIDATES_MAX).unwrap().is_empty());
    drop(writer);
    assert!(RealDisk.list(directory.path()).unwrap().is_empty());
    fs::write(directory.path().join("tmp.snapshot.5.gz"), b"left").unwrap();
    fs::write(directory.path().join("tmp.other"), b"not ours").unwrap();
    assert_eq!(discard_unfinished(&RealDisk, directory.path()).unwrap(), ["tmp.snapshot.5.gz"]);
    assert_eq!(RealDisk.list(directory.path()).unwrap(), ["tmp.other"]);
}

#[test]
fn a_full_disk_leaves_no_part_of_a_snapshot() {
    for compression in COMPRESSIONS {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut writer = Writer::create(&shared, directory.path(), Zxid(1), compression).unwrap();
        writer.begin(&[], &[]).unwrap();
        disk.set_full(true);
        let Err(SnapshotError::Disk(error)) = writer.finish(None, None) else { panic!("it should fail") };
        assert!(error.is_full(), "{error}");
        assert!(RealDisk.list(directory.path()).unwrap().is_empty());
    }
}

#[test]
fn candidates_are_the_newest_files_that_look_whole() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    put("snapshot.5", b"ZKSN.....\0\0\0\x01/");
    put("snapshot.10", b"ZKSN.....\0\0\0\x01/");
    put("snapshot.20", b"ZKSN....cut short");
    put("snapshot.21", b"\0\0\0\x01/");
    put("snapshot.9.gz", b"\x1F\x8B..");
    put("snapshot.a.gz", b"PK..");
    put("snapshot.b.snappy", b"\x82SNAPPY\0..");
    put("snapshot.30.tmp", b"ZKSN.....\0\0\0\x01/");
    let zxids = |count| -> Vec<i64> {
        candidates(&RealDisk, directory.path(), count).unwrap().iter().map(|found| found.zxid.0).collect()
    };
    assert_eq!(zxids(100), [0x10, 0xB, 9, 5]);
    assert_eq!(zxids(2), [0x10, 0xB]);
}

#[test]
fn a_purge_keeps_what_a_start_from_the_oldest_kept_snapshot_needs() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: String| fs::write(directory.path().join(name), b"ZKSN.....\0\0\0\x01/").unwrap();
    (1..=6).for_each(|i| put(format!("snapshot.{i}0")));
    (1..=6).for_each(|i| put(format!("log.{i}8")));
    fs::write(directory.path().join("snapshot.55"), b"damaged").unwrap();
    assert!(matches!(
        purge(&RealDisk, directory.path(), directory.path(), 2),
        Err(SnapshotError::KeepsTooFew { keep: 2 })
    ));
    let removed = purge(&RealDisk, directory.path(), directory.path(), 3).unwrap();
    let names: Vec<_> = removed.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["snapshot.10", "snapshot.20", "snapshot.30", "log.18", "log.28"]);
}

#[test]
fn a_snapshot_that_went_on_past_the_cut_is_discarded_although_it_began_before() {
    let directory = tempfile::tempdir().unwrap();
    let put = |began: i64, ended: Option<i64>| {
        let mut writer = Writer::create(&disk(), directory.path(), Zxid(began), Compression::None).unwrap();
        writer.begin(&[], &[]).unwrap();
        writer.finish(ended.map(|zxid| (Zxid(zxid), 2, 0)), None).unwrap();
    };
    let left = || RealDisk.list(directory.path()).unwrap();
    put(0x10, Some(0x12));
    put(0x20, Some(0x28));
    put(0x30, None);
    assert_eq!(discard_newer(&RealDisk, directory.path(), Zxid(0x50)).unwrap().len(), 1, "it does not say");
    assert_eq!(left(), ["snapshot.10", "snapshot.20"]);
    assert!(discard_newer(&RealDisk, directory.path(), Zxid(0x28)).unwrap().is_empty());
    assert_eq!(discard_newer(&RealDisk, directory.path(), Zxid(0x27)).unwrap().len(), 1);
    assert_eq!(left(), ["snapshot.10"]);
    let error = discard_newer(&RealDisk, directory.path(), Zxid(0x11)).unwrap_err();
    assert!(matches!(error, SnapshotError::NoneLeft { zxid: Zxid(0x11), .. }), "{error}");
    assert_eq!(left(), ["snapshot.10"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_content_survives(
        nodes in prop::collection::vec(
            ("/[a-zé/]{1,40}", prop::option::of(prop::collection::vec(any::<u8>(), 0..5000)), any::<i64>()),
            0..40,
        ),
        kind in 0_usize..3,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let stat = StatPersisted::default();
        let mut content = sample();
        content.nodes =
            nodes.into_iter().map(|(path, data, acl)| (path, data, acl, stat.clone())).collect();
        let written = save(directory.path(), &content, COMPRESSIONS[kind]);
        prop_assert_eq!(read(&written.path).unwrap().0, content);
    }
}
