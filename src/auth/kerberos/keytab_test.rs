//! Keytabs, whole and damaged.

use proptest::prelude::*;

use super::crypto::EncryptionType;
use super::hex::unhex;
use super::keytab::{Keytab, KeytabError};
use super::testing::{SERVICE, key, keytab, principal, service_keytab};

/// Written by MIT's `ktutil` 1.20: two principals, one of them with a key of a weak type.
fn by_mit() -> Vec<u8> {
    unhex(include_str!("testdata/mit.keytab.hex"))
}

#[test]
fn a_keytab_of_the_mit_library_is_read() {
    let keytab = Keytab::parse(&by_mit()).expect("a keytab");
    let keys = keytab.keys_of(&principal("zookeeper/host.example.com@TEST.REALM")).expect("it has keys");
    assert_eq!(
        keys.described(),
        "300:aes256-cts-hmac-sha1-96 (18), 2:aes256-cts-hmac-sha384-192 (20), \
         2:aes128-cts-hmac-sha1-96 (17), 2:aes256-cts-hmac-sha1-96 (18)"
    );
    let weak = keytab.keys_of(&principal("old@TEST.REALM")).expect_err("its only key is weak");
    assert!(weak.to_string().contains("are of rc4-hmac (23), which are not safe any more"), "{weak}");
    let other = keytab.keys_of(&principal("new@TEST.REALM")).expect_err("it is not there");
    assert_eq!(
        other.to_string(),
        "it has no key of the principal new@TEST.REALM, only of old@TEST.REALM, \
         zookeeper/host.example.com@TEST.REALM: add it with ktadd, or name another principal"
    );
}

#[test]
fn the_key_of_a_version_is_found_or_else_the_newest() {
    let file = keytab(&[
        (SERVICE, 1, 18, vec![1; 32]),
        (SERVICE, 300, 18, vec![3; 32]),
        (SERVICE, 2, 18, vec![2; 32]),
        (SERVICE, 300, 17, vec![9; 16]),
    ]);
    let keys =
        Keytab::parse(&file).and_then(|keytab| keytab.keys_of(&principal(SERVICE))).expect("it has keys");
    let find = |version| keys.find(EncryptionType::Aes256Sha1, version);
    assert_eq!(find(Some(1)), Some(&key(18, 1)));
    assert_eq!(find(Some(2)), Some(&key(18, 2)));
    for version in [None, Some(0), Some(300), Some(301)] {
        assert_eq!(find(version), Some(&key(18, 3)), "{version:?}");
    }
    assert_eq!(keys.find(EncryptionType::Aes256Sha384, None), None);
}

#[test]
fn versions_without_the_longer_field_and_holes_are_read() {
    let long = keytab(&[(SERVICE, 7, 18, vec![1; 32])]);
    let mut short = long.clone();
    short.truncate(long.len() - 4);
    let length = u32::try_from(short.len() - 6).expect("it is short");
    short[2..6].copy_from_slice(&length.to_be_bytes());
    let hole = [&[5, 2][..], &(-3i32).to_be_bytes(), &[0; 3], &short[2..], &[0; 8]].concat();
    for file in [&long, &short, &hole] {
        let keys = Keytab::parse(file).and_then(|keytab| keytab.keys_of(&principal(SERVICE)));
        assert_eq!(keys.expect("it has a key").described(), "7:aes256-cts-hmac-sha1-96 (18)");
    }
}

/// The first version of the format, in the order of bytes of the machine that wrote it.
#[test]
fn the_first_version_of_the_format_is_read() {
    let short = |value: u16| value.to_ne_bytes().to_vec();
    let counted = |bytes: &[u8]| [short(u16::try_from(bytes.len()).expect("short")), bytes.to_vec()].concat();
    let entry =
        [short(2), counted(b"R"), counted(b"alice"), vec![0; 4], vec![6], short(17), counted(&[4; 16])]
            .concat();
    let length = u32::try_from(entry.len()).expect("short").to_ne_bytes();
    let file = [&[5, 1][..], &length, &entry].concat();
    let keys = Keytab::parse(&file).and_then(|keytab| keytab.keys_of(&principal("alice@R")));
    assert_eq!(keys.expect("it has a key").described(), "6:aes128-cts-hmac-sha1-96 (17)");
}

#[test]
fn what_is_no_keytab_says_so() {
    for bytes in [&b""[..], b"\x05", b"\x05\x03", b"-----BEGIN"] {
        assert_eq!(Keytab::parse(bytes), Err(KeytabError::NotAKeytab));
    }
    let good = service_keytab();
    for length in 3..good.len() {
        let cut = Keytab::parse(&good[..length]);
        let is_whole = cut.as_ref().is_ok_and(|keytab| keytab.keys_of(&principal(SERVICE)).is_ok());
        assert!(is_whole || matches!(cut, Err(KeytabError::Damaged(_))), "cut at {length}: {cut:?}");
    }
    let wrong_length = keytab(&[(SERVICE, 1, 18, vec![1; 31])]);
    assert_eq!(Keytab::parse(&wrong_length), Err(KeytabError::Damaged(2)));
    let huge = [&[5, 2][..], &i32::MIN.to_be_bytes()].concat();
    assert_eq!(Keytab::parse(&huge), Err(KeytabError::Damaged(2)));
}

#[test]
fn a_keytab_shows_no_key() {
    let shown =
        format!("{:?}", Keytab::parse(&keytab(&[(SERVICE, 1, 18, b"canary".repeat(6)[..32].to_vec())])));
    assert!(shown.contains("***") && !shown.contains("99, 97, 110"), "{shown}");
}

proptest! {
    #[test]
    fn damaged_keytabs_never_panic(index in 0usize..300, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut file = service_keytab();
        let index = index % file.len();
        file[index] = byte;
        file.extend(tail);
        if let Ok(keytab) = Keytab::parse(&file) {
            let _ = keytab.keys_of(&principal(SERVICE));
        }
    }
}
