//! The keys that a key is used through: one for each purpose (RFC 3961 section 5.1, RFC 8009 section 3).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::Family;
use super::cts::{self, BLOCK};

/// The HMAC of all parts in turn, cut to `length` bytes.
pub(super) fn hmac(family: Family, key: &[u8], parts: &[&[u8]], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut code = match family {
        Family::Sha1 => code::<Hmac<Sha1>>(key, parts),
        Family::Sha256 => code::<Hmac<Sha256>>(key, parts),
        Family::Sha384 => code::<Hmac<Sha384>>(key, parts),
    }?;
    if code.len() < length {
        return None;
    }
    code.truncate(length);
    Some(code)
}

fn code<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<Zeroizing<Vec<u8>>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}

/// The key of `length` bytes that `key` has for a purpose: a key usage and which of its three keys.
pub(super) fn derive(
    family: Family,
    key: &[u8],
    purpose: &[u8; 5],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    if family == Family::Sha1 {
        return chained(key, purpose, length);
    }
    let bits = u32::try_from(length.checked_mul(8)?).ok()?;
    hmac(family, key, &[&1u32.to_be_bytes(), purpose, &[0], &bits.to_be_bytes()], length)
}

/// RFC 3961's derivation: the folded purpose is encrypted again and again until there are enough bytes.
fn chained(key: &[u8], purpose: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut block = Zeroizing::new(fold(purpose));
    let mut derived = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(BLOCK)));
    while derived.len() < length {
        block = cts::encrypt_block(key, &block)?;
        derived.extend_from_slice(&block[..]);
    }
    derived.truncate(length);
    Some(derived)
}

/// Folds bytes into `N`: copies of them, each rotated by 13 bits more than the one before, are added up in ones'
/// complement (RFC 3961 section 5.1, "n-fold").
fn fold<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut folded = [0; N];
    if bytes.is_empty() {
        return folded;
    }
    let size = bytes.len();
    let total = least_common_multiple(size, N);
    let mut carry = 0u32;
    for index in (0..total).rev() {
        let place = folded.get_mut(index % N);
        let (Some(place), Some(byte)) = (place, rotated(bytes, index / size, index % size)) else { continue };
        let sum = carry + u32::from(*place) + u32::from(byte);
        (*place, carry) = split(sum);
    }
    // What is carried out at the front comes in again at the end.
    while carry != 0 {
        for place in folded.iter_mut().rev() {
            (*place, carry) = split(carry + u32::from(*place));
        }
    }
    folded
}

/// A sum's last byte and the rest.
fn split(sum: u32) -> (u8, u32) {
    let [.., byte] = sum.to_be_bytes();
    (byte, sum >> 8)
}

/// The byte at `index` of the bytes after they were rotated to the right by 13 bits `times`.
fn rotated(bytes: &[u8], times: usize, index: usize) -> Option<u8> {
    let bits = bytes.len() * 8;
    let start = (index * 8 + bits - (13 * times) % bits) % bits;
    let first = *bytes.get(start / 8)?;
    let second = *bytes.get((start / 8 + 1) % bytes.len())?;
    let shift = start % 8;
    let [_, byte] = (u16::from_be_bytes([first, second]) >> (8 - shift)).to_be_bytes();
    Some(byte)
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::kerberos::hex::unhex;

    #[test]
    fn folding_gives_the_vectors_of_rfc_3961() {
        assert_eq!(fold::<8>(b"012345")[..], unhex("be072631276b1955"));
        assert_eq!(fold::<7>(b"password")[..], unhex("78a07b6caf85fa"));
        assert_eq!(fold::<8>(b"Rough Consensus, and Running Code")[..], unhex("bb6ed30870b7f0e0"));
        assert_eq!(fold::<21>(b"password")[..], unhex("59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"));
        let institute = fold::<24>(b"MASSACHVSETTS INSTITVTE OF TECHNOLOGY");
        assert_eq!(institute[..], unhex("db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"));
        assert_eq!(fold::<16>(b"kerberos")[..], unhex("6b65726265726f737b9b5b2b93132b93"));
    }

    /// As the MIT library has them in its tests; the last two families' are RFC 8009's.
    #[test]
    fn keys_of_each_purpose_are_derived_as_others_derive_them() {
        let vectors = [
            (
                Family::Sha1,
                "42263c6e89f4fc28b8df68ee09799f15",
                [
                    "34280a382bc92769b2da2f9ef066854b",
                    "5b14fc4e250e14ddf9dccf1af6674f53",
                    "4ed31063621684f09ae8d89991af3e8f",
                ],
            ),
            (
                Family::Sha1,
                "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161",
                [
                    "bfab388bdcb238e9f9c98d6a878304f04d30c82556375ac507a7a852790f4674",
                    "c7cfd9cd75fe793a586a542d87e0d1396f1134a104bb1a9190b8c90ada3ddf37",
                    "97151b4c76945063e2eb0529dc067d97d7bba90776d8126d91f34f3101aea8ba",
                ],
            ),
            (
                Family::Sha256,
                "3705d96080c17728a0e800eab6e0d23c",
                [
                    "b31a018a48f54776f403e9a396325dc3",
                    "9b197dd1e8c5609d6e67c3e37c62c72e",
                    "9fda0e56ab2d85e1569a688696c26a6c",
                ],
            ),
            (
                Family::Sha384,
                "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
                [
                    "ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d",
                    "56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49",
                    "69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f",
                ],
            ),
        ];
        for (family, key, derived) in vectors {
            for (expected, last) in derived.into_iter().zip([0x99, 0xaa, 0x55]) {
                let expected = unhex(expected);
                let found = derive(family, &unhex(key), &[0, 0, 0, 2, last], expected.len());
                assert_eq!(found.expect("a key of AES")[..], expected, "{family:?} {last:x}");
            }
        }
    }
}
