//! AES in the mode of Kerberos: cipher block chaining with ciphertext stealing, the last two blocks always swapped,
//! and an initial vector of zeros (RFC 3962 section 5; "CBC-CS3" elsewhere).

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use zeroize::Zeroizing;

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;

/// A key that is ready for use.
enum Cipher {
    Aes128(Aes128),
    Aes256(Aes256),
}

impl Cipher {
    /// None when the key has another length than AES knows here.
    fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(Self::Aes128),
            32 => Aes256::new_from_slice(key).ok().map(Self::Aes256),
            _ => None,
        }
    }

    fn encrypt(&self, block: &mut Block) {
        match self {
            Self::Aes128(aes) => aes.encrypt_block(block),
            Self::Aes256(aes) => aes.encrypt_block(block),
        }
    }

    fn decrypt(&self, block: &mut Block) {
        match self {
            Self::Aes128(aes) => aes.decrypt_block(block),
            Self::Aes256(aes) => aes.decrypt_block(block),
        }
    }
}

/// The bytes, with zeros up to a whole block.
fn padded(bytes: &[u8]) -> Block {
    let mut block = Block::default();
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}

fn xor(block: &mut Block, other: &[u8]) {
    for (to, from) in block.iter_mut().zip(other) {
        *to ^= from;
    }
}

/// Encrypts one block, as keys are derived with. None when the key has a wrong length.
pub(super) fn encrypt_block(key: &[u8], bytes: &[u8; BLOCK]) -> Option<Zeroizing<[u8; BLOCK]>> {
    let mut block = padded(bytes);
    Cipher::new(key)?.encrypt(&mut block);
    Some(Zeroizing::new(block.into()))
}

/// Encrypts. None when there is less than a block, or the key has a wrong length.
pub(super) fn encrypt(key: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let cipher = Cipher::new(key)?;
    if plain.len() < BLOCK {
        return None;
    }
    let mut blocks = Vec::with_capacity(plain.len().div_ceil(BLOCK));
    let mut before = Block::default();
    for chunk in plain.chunks(BLOCK) {
        let mut block = padded(chunk);
        xor(&mut block, &before);
        cipher.encrypt(&mut block);
        before = block;
        blocks.push(block);
    }
    let count = blocks.len();
    if let [.., last_but_one, last] = &mut blocks[..] {
        std::mem::swap(last_but_one, last);
    }
    let mut out: Vec<u8> = blocks.into_iter().take(count).flatten().collect();
    out.truncate(plain.len());
    Some(out)
}

/// Decrypts. None when there is less than a block, or the key has a wrong length.
pub(super) fn decrypt(key: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Cipher::new(key)?;
    if sealed.len() < BLOCK {
        return None;
    }
    // The last two blocks are apart: of them, the first is whole and the second may be cut.
    let chained = if sealed.len() == BLOCK { BLOCK } else { (sealed.len().div_ceil(BLOCK) - 2) * BLOCK };
    let (chained, tail) = sealed.split_at_checked(chained)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut before = Block::default();
    for chunk in chained.chunks(BLOCK) {
        let mut block = padded(chunk);
        cipher.decrypt(&mut block);
        xor(&mut block, &before);
        before = padded(chunk);
        plain.extend_from_slice(&block);
    }
    if tail.is_empty() {
        return Some(plain);
    }
    let (whole, cut) = tail.split_at_checked(BLOCK)?;
    // What the cut block lacks was stolen: it is in what the whole one decrypts to.
    let mut end = padded(whole);
    cipher.decrypt(&mut end);
    let mut stolen = end;
    for (to, from) in stolen.iter_mut().zip(cut) {
        *to = *from;
    }
    xor(&mut end, &stolen);
    cipher.decrypt(&mut stolen);
    xor(&mut stolen, &before);
    plain.extend_from_slice(&stolen);
    plain.extend(end.iter().take(cut.len()));
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::kerberos::hex::unhex;

    /// RFC 3962, appendix B.
    const TEXT: &str = "I would like the General Gau's Chicken, please, and wonton soup.";
    const VECTORS: &[(usize, &str)] = &[
        (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
        ),
        (
            48,
            "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd8\
             39312523a78662d5be7fcbcc98ebf5a8",
        ),
        (
            64,
            "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8\
             4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
        ),
    ];

    #[test]
    fn the_vectors_of_rfc_3962_hold_both_ways() {
        let key = b"chicken teriyaki";
        for (length, sealed) in VECTORS {
            let plain = &TEXT.as_bytes()[..*length];
            let sealed = unhex(sealed);
            assert_eq!(encrypt(key, plain).expect("a key of AES"), sealed, "{length} bytes");
            assert_eq!(decrypt(key, &sealed).expect("a key of AES")[..], *plain, "{length} bytes");
        }
    }

    #[test]
    fn every_length_from_a_block_on_comes_back() {
        let key = [7; 32];
        let plain: Vec<u8> = (0..100).collect();
        for length in 0..plain.len() {
            let sealed = encrypt(&key, &plain[..length]);
            assert_eq!(sealed.is_some(), length >= BLOCK);
            let Some(sealed) = sealed else { continue };
            assert_eq!(sealed.len(), length);
            assert_eq!(decrypt(&key, &sealed).expect("it was encrypted")[..], plain[..length]);
        }
        assert!(decrypt(&key, &plain[..15]).is_none() && encrypt(&key[..31], &plain).is_none());
    }
}
