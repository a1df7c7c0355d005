//! Java's own key store format, version 1 and 2, with its way to hide a key (reference: the JDK's `JavaKeyStore` and
//! `KeyProtector`).

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::{Content, KeyEntry, StoreError};
use crate::secret::Secret;
use crate::tls::der::{Malformed, Reader, tag};

/// The object identifier of the way a key is hidden: 1.3.6.1.4.1.42.2.17.1.1.
const HIDDEN: &[u8] = &[0x2B, 6, 1, 4, 1, 42, 2, 17, 1, 1];
const HASH_BYTES: usize = 20;

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("the JKS store is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn short_text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.take(2)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        self.take(length)
    }

    fn block(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, Malformed> {
        if version == 2 && self.short_text()? != b"X.509" {
            return Err(Malformed("the JKS store holds a certificate that is not X.509"));
        }
        Ok(CertificateDer::from(self.block()?.to_vec()))
    }
}

/// Opens a store. Without `wants_keys`, keys are passed over.
pub(super) fn read(bytes: &[u8], password: &Secret, wants_keys: bool) -> Result<Content, StoreError> {
    let password = utf16(password);
    let (body, seal) = bytes
        .len()
        .checked_sub(HASH_BYTES)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(Malformed("the JKS store is cut off"))?;
    if hash(&[&password, b"Mighty Aphrodite", body]).as_slice() != seal {
        return Err(StoreError::WrongPassword);
    }
    let mut input = Input(body);
    input.number()?;
    let version = input.number()?;
    if version != 1 && version != 2 {
        return Err(Malformed("the JKS store has an unknown version").into());
    }
    let mut content = Content::default();
    for _ in 0..input.number()? {
        let kind = input.number()?;
        input.short_text()?;
        input.take(8)?;
        match kind {
            1 => {
                let hidden = input.block()?;
                let mut chain = Vec::new();
                for _ in 0..input.number()? {
                    chain.push(input.certificate(version)?);
                }
                if wants_keys {
                    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(reveal(hidden, &password)?));
                    content.keys.push(KeyEntry { chain, key });
                }
            }
            2 => content.trusted.push(input.certificate(version)?),
            _ => return Err(Malformed("the JKS store holds an entry of unknown kind").into()),
        }
    }
    Ok(content)
}

/// A password as Java hashes it: two bytes for each unit.
fn utf16(password: &Secret) -> Zeroizing<Vec<u8>> {
    let text = String::from_utf8_lossy(password.expose());
    Zeroizing::new(text.encode_utf16().flat_map(u16::to_be_bytes).collect())
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

fn reveal(hidden: &[u8], password: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut outer = Reader::new(hidden).expect(tag::SEQUENCE)?.inside();
    if outer.expect(tag::SEQUENCE)?.inside().expect(tag::OID)?.content != HIDDEN {
        return Err(StoreError::Unsupported("a key is hidden in a way that JKS stores have not".into()));
    }
    let bytes = outer.expect(tag::OCTET_STRING)?.content;
    let cut_off = Malformed("a key of the JKS store is cut off");
    let (salt, rest) = bytes.split_at_checked(HASH_BYTES).ok_or(cut_off)?;
    let at = rest.len().checked_sub(HASH_BYTES).ok_or(cut_off)?;
    let (masked, seal) = rest.split_at_checked(at).ok_or(cut_off)?;
    let mut mask = hash(&[password, salt]);
    let mut key = Vec::with_capacity(masked.len());
    for block in masked.chunks(HASH_BYTES) {
        key.extend(block.iter().zip(&mask).map(|(masked, mask)| masked ^ mask));
        mask = hash(&[password, &mask]);
    }
    if hash(&[password, &key]).as_slice() == seal { Ok(key) } else { Err(StoreError::WrongPassword) }
}
