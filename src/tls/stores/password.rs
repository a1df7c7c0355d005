//! Encryption by passwords, as key stores use it: PBES2 (RFC 8018), and the older ways of PKCS#12 (RFC 7292,
//! appendices B and C).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use zeroize::Zeroizing;

use super::StoreError;
use crate::secret::Secret;
use crate::tls::der::{Malformed, Reader, dotted, tag};

/// Rounds of hashing beyond which a file is taken to be damaged, as the JDK does.
pub(super) const ROUNDS_MAX: u32 = 5_000_000;

/// What the old ways derive from a password.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The key inside an `EncryptedPrivateKeyInfo`.
pub(super) fn decrypt_key(der: &[u8], password: &Secret) -> Result<Vec<u8>, StoreError> {
    let mut info = Reader::new(der).expect(tag::SEQUENCE)?.inside();
    let algorithm = info.expect(tag::SEQUENCE)?.inside();
    decrypt(algorithm, info.expect(tag::OCTET_STRING)?.content, password)
}

/// Opens what was encrypted by the algorithm that this `AlgorithmIdentifier` says.
pub(super) fn decrypt(
    mut algorithm: Reader<'_>,
    encrypted: &[u8],
    password: &Secret,
) -> Result<Vec<u8>, StoreError> {
    let oid = algorithm.expect(tag::OID)?.content;
    let mut parameters = algorithm.expect(tag::SEQUENCE)?.inside();
    match oid {
        // pkcs-5 PBES2
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 5, 13] => pbes2(parameters, encrypted, password),
        // pkcs-12 PbeIds
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 12, 1, way @ 3..=6] => {
            let salt = parameters.expect(tag::OCTET_STRING)?.content;
            let rounds = rounds(&mut parameters)?;
            let bmp = bmp(password);
            let derived = |purpose, bytes| {
                derive(&digest::SHA1_FOR_LEGACY_USE_ONLY, &bmp, salt, rounds, purpose, bytes)
            };
            let iv = derived(Purpose::Iv, 8);
            match way {
                3 => open::<cbc::Decryptor<des::TdesEde3>>(&derived(Purpose::Key, 24), &iv, encrypted),
                4 => open::<cbc::Decryptor<des::TdesEde2>>(&derived(Purpose::Key, 16), &iv, encrypted),
                5 => open_rc2(&derived(Purpose::Key, 16), &iv, encrypted),
                _ => open_rc2(&derived(Purpose::Key, 5), &iv, encrypted),
            }
        }
        _ => Err(unsupported("encryption", oid)),
    }
}

fn unsupported(what: &str, oid: &[u8]) -> StoreError {
    StoreError::Unsupported(format!(
        "it uses the {what} {}, which is not supported; write it again with keytool -importkeystore or openssl \
         pkcs8 -topk8 -v2 aes256",
        dotted(oid).unwrap_or_else(|_| "with an unreadable name".into())
    ))
}

fn rounds(parameters: &mut Reader<'_>) -> Result<NonZeroU32, StoreError> {
    let rounds = parameters.number()?;
    let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= ROUNDS_MAX);
    Ok(rounds.ok_or(Malformed("the count of iterations is 0 or above 5 million"))?)
}

fn pbes2(mut parameters: Reader<'_>, encrypted: &[u8], password: &Secret) -> Result<Vec<u8>, StoreError> {
    let mut derivation = parameters.expect(tag::SEQUENCE)?.inside();
    let oid = derivation.expect(tag::OID)?.content;
    if oid != [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 5, 12] {
        return Err(unsupported("key derivation", oid));
    }
    let mut how = derivation.expect(tag::SEQUENCE)?.inside();
    let salt = how.expect(tag::OCTET_STRING)?.content;
    let rounds = rounds(&mut how)?;
    how.optional(tag::INTEGER)?;
    let hash = match how.optional(tag::SEQUENCE)? {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(hash) => match hash.inside().expect(tag::OID)?.content {
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 2, 7] => pbkdf2::PBKDF2_HMAC_SHA1,
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 2, 9] => pbkdf2::PBKDF2_HMAC_SHA256,
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 2, 10] => pbkdf2::PBKDF2_HMAC_SHA384,
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 2, 11] => pbkdf2::PBKDF2_HMAC_SHA512,
            oid => return Err(unsupported("hash", oid)),
        },
    };
    let mut cipher = parameters.expect(tag::SEQUENCE)?.inside();
    let cipher_oid = cipher.expect(tag::OID)?.content;
    let iv = cipher.expect(tag::OCTET_STRING)?.content;
    let key = |bytes| {
        let mut key = Zeroizing::new(vec![0; bytes]);
        pbkdf2::derive(hash, rounds, salt, password.expose(), &mut key);
        key
    };
    match cipher_oid {
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, way @ (2 | 22 | 42)] => {
            let (algorithm, bytes) = match way {
                2 => (&AES_128, 16),
                22 => (&AES_192, 24),
                _ => (&AES_256, 32),
            };
            let iv = FixedLength::try_from(iv)
                .map_err(|_| Malformed("an initialization vector has a wrong length"))?;
            let mut bytes_in = encrypted.to_vec();
            let key =
                UnboundCipherKey::new(algorithm, &key(bytes)).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
            let opened = key.and_then(|key| {
                key.decrypt(&mut bytes_in, DecryptionContext::Iv128(iv)).map(|opened| opened.to_vec())
            });
            opened.map_err(|_| StoreError::WrongPassword)
        }
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 3, 7] => {
            open::<cbc::Decryptor<des::TdesEde3>>(&key(24), iv, encrypted)
        }
        oid => Err(unsupported("cipher", oid)),
    }
}

fn open<D: BlockModeDecrypt + KeyIvInit>(
    key: &[u8],
    iv: &[u8],
    encrypted: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let decryptor =
        D::new_from_slices(key, iv).map_err(|_| Malformed("an initialization vector has a wrong length"))?;
    unpadded(decryptor, encrypted)
}

fn unpadded(decryptor: impl BlockModeDecrypt, encrypted: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = encrypted.to_vec();
    let length = decryptor.decrypt_padded::<Pkcs7>(&mut bytes).map_err(|_| StoreError::WrongPassword)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// RC2 with as many effective bits as the key has.
fn open_rc2(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, StoreError> {
    use cbc::cipher::InnerIvInit;
    let cipher = rc2::Rc2::new_with_eff_key_len(key, key.len() * 8);
    let decryptor = cbc::Decryptor::inner_iv_slice_init(cipher, iv)
        .map_err(|_| Malformed("an initialization vector has a wrong length"))?;
    unpadded(decryptor, encrypted)
}

/// A password as PKCS#12 hashes it: two bytes for each unit, and two zeros at the end.
pub(super) fn bmp(password: &Secret) -> Zeroizing<Vec<u8>> {
    let text = String::from_utf8_lossy(password.expose());
    Zeroizing::new(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect())
}

/// The key derivation of PKCS#12 (RFC 7292, appendix B.2).
pub(super) fn derive(
    hash: &'static Algorithm,
    password: &[u8],
    salt: &[u8],
    rounds: NonZeroU32,
    purpose: Purpose,
    bytes: usize,
) -> Zeroizing<Vec<u8>> {
    let block = hash.block_len();
    let stretched = |source: &[u8]| -> Vec<u8> {
        source.iter().copied().cycle().take(source.len().div_ceil(block) * block).collect()
    };
    let diversifier = vec![purpose as u8; block];
    let mut input = Zeroizing::new(stretched(salt));
    input.extend(stretched(password));
    let mut derived = Zeroizing::new(Vec::with_capacity(bytes + hash.output_len()));
    while derived.len() < bytes {
        let mut context = digest::Context::new(hash);
        context.update(&diversifier);
        context.update(&input);
        let mut result = context.finish();
        for _ in 1..rounds.get() {
            result = digest::digest(hash, result.as_ref());
        }
        derived.extend_from_slice(result.as_ref());
        let addend: Vec<u8> = result.as_ref().iter().copied().cycle().take(block).collect();
        for chunk in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (byte, add) in chunk.iter_mut().zip(&addend).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                *byte = sum.to_be_bytes()[1];
                carry = sum >> 8;
            }
        }
    }
    derived.truncate(bytes);
    derived
}
