use super::*;
use crate::auth::kerberos::hex::unhex;

/// Encryption type, key, plain text, and what it was encrypted to for [`Usage::Ticket`], as the MIT library has them
/// in its tests; those of the newer types are RFC 8009's.
const ENCRYPTED: &[(EncryptionType, &str, &str, &str)] = &[
    (
        EncryptionType::Aes128Sha1,
        "9062430c8cda3388922e6d6a509f5b7a",
        "392062797465737373",
        "68fb9679601f45c78857b2bf820fd6e53eca8d42fd4b1d7024a09205abb7cd2ec26c355d2f",
    ),
    (
        EncryptionType::Aes256Sha1,
        "b1ae4cd8462aff1677053cc9279aac30b796fb81ce21474dd3ddbcfea4ec76d7",
        "392062797465737373",
        "09957aa25fcaf88f7b39e4406e633012d5fea21853f6478da7065caef41fd454a40824eec5",
    ),
    (
        EncryptionType::Aes128Sha256,
        "3705d96080c17728a0e800eab6e0d23c",
        "",
        "ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718",
    ),
    (
        EncryptionType::Aes128Sha256,
        "3705d96080c17728a0e800eab6e0d23c",
        "000102030405",
        "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c",
    ),
    (
        EncryptionType::Aes128Sha256,
        "3705d96080c17728a0e800eab6e0d23c",
        "000102030405060708090a0b0c0d0e0f",
        "3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc295fb4852e7d83e1e7c48c37eebe6b0d3",
    ),
    (
        EncryptionType::Aes128Sha256,
        "3705d96080c17728a0e800eab6e0d23c",
        "000102030405060708090a0b0c0d0e0f1011121314",
        "720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c186b39a413c2f92ca9b8334a287ffcbfc",
    ),
    (
        EncryptionType::Aes256Sha384,
        "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
        "",
        "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c",
    ),
    (
        EncryptionType::Aes256Sha384,
        "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
        "000102030405",
        "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9f559c7f664f69eab7b6092237526ea0d1f61cb20d69d10f2",
    ),
    (
        EncryptionType::Aes256Sha384,
        "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
        "000102030405060708090a0b0c0d0e0f",
        "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f68cf51f14d798c2273f35df574d1f932e40c4ff255b36a266",
    ),
    (
        EncryptionType::Aes256Sha384,
        "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
        "000102030405060708090a0b0c0d0e0f1011121314",
        "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62",
    ),
];

fn zeros(bytes: &mut [u8]) -> Result<(), String> {
    bytes.fill(0);
    Ok(())
}

fn key(kind: EncryptionType, bytes: &str) -> Key {
    Key::new(kind, &unhex(bytes)).expect("a key of that length")
}

#[test]
fn what_others_encrypted_is_decrypted() {
    for (kind, bytes, plain, sealed) in ENCRYPTED {
        let found = key(*kind, bytes).decrypt(Usage::Ticket, &unhex(sealed));
        assert_eq!(found.expect("it was encrypted with this key")[..], unhex(plain), "{kind:?}");
    }
}

/// RFC 8009 appendix A.
#[test]
fn checksums_are_those_of_rfc_8009() {
    let text: Vec<u8> = (0..0x15).collect();
    let checksum = |kind, bytes| key(kind, bytes).checksum(Usage::Ticket, &[&text[..5], &text[5..]]);
    assert_eq!(
        checksum(EncryptionType::Aes128Sha256, "3705d96080c17728a0e800eab6e0d23c"),
        Some(unhex("d78367186643d67b411cba9139fc1dee"))
    );
    let long = "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52";
    assert_eq!(
        checksum(EncryptionType::Aes256Sha384, long),
        Some(unhex("45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a"))
    );
}

#[test]
fn what_was_changed_is_not_decrypted() {
    for number in 17..=20 {
        let kind = EncryptionType::of(number).expect("it is served");
        let key = Key::new(kind, &vec![9; kind.key_len()]).expect("a key of that length");
        let sealed = key.encrypt(Usage::AcceptorSeal, b"some text", zeros).expect("it has random bytes");
        assert_eq!(key.decrypt(Usage::AcceptorSeal, &sealed).expect("unchanged")[..], *b"some text");
        assert!(key.decrypt(Usage::InitiatorSeal, &sealed).is_none(), "another use");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.decrypt(Usage::AcceptorSeal, &changed).is_none(), "{kind:?}, byte {index}");
            assert!(key.decrypt(Usage::AcceptorSeal, &sealed[..index]).is_none(), "{kind:?}, cut at {index}");
        }
    }
}

#[test]
fn keys_of_other_types_and_lengths_are_none() {
    for number in [-1, 0, 1, 3, 16, 21, 23, i32::MAX] {
        assert_eq!(EncryptionType::of(number), None, "{}", name_of(number));
    }
    assert!(Key::new(EncryptionType::Aes256Sha1, &[0; 16]).is_none());
    assert_eq!(
        format!("{:?}", key(EncryptionType::Aes128Sha1, &"ab".repeat(16))),
        "Key { kind: Aes128Sha1, bytes: *** }"
    );
}
