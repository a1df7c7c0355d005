//! PKCS#12 (RFC 7292), as keytool and openssl write it. A certificate without a key is trusted only if Java's mark
//! says so, as for the JDK (`PKCS12KeyStore`).

use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::hmac;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::password::{self, Purpose};
use super::{Content, KeyEntry, StoreError};
use crate::secret::Secret;
use crate::tls::certificate::Certificate;
use crate::tls::der::{Malformed, Reader, dotted, tag};

const DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1];
const ENCRYPTED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 6];
const X509_CERTIFICATE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 22, 1];
const LOCAL_KEY_ID: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 21];
/// 2.16.840.1.113894.746875.1.1, Java's mark of a trusted certificate.
const TRUSTED: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF9, 0x66, 0xAD, 0xCA, 0x7B, 1, 1];

/// The longest chain that is followed.
const CHAIN_MAX: usize = 32;

struct Key {
    der: Vec<u8>,
    id: Option<Vec<u8>>,
}

struct Held {
    der: Vec<u8>,
    id: Option<Vec<u8>>,
    is_trusted: bool,
}

#[derive(Default)]
struct Bags {
    keys: Vec<Key>,
    certificates: Vec<Held>,
}

/// Opens a store. Without `wants_keys`, keys are passed over.
pub(super) fn read(bytes: &[u8], password: &Secret, wants_keys: bool) -> Result<Content, StoreError> {
    let mut file = Reader::new(bytes).expect(tag::SEQUENCE)?.inside();
    if file.number()? != 3 {
        return Err(Malformed("the PKCS#12 store has an unknown version").into());
    }
    let mut safe = file.expect(tag::SEQUENCE)?.inside();
    if safe.expect(tag::OID)?.content != DATA {
        return Err(StoreError::Unsupported("it is signed with a key in place of a password".into()));
    }
    let contents = safe.expect(tag::constructed(0))?.inside().expect(tag::OCTET_STRING)?.content;
    if !file.is_empty() {
        check_mac(file.expect(tag::SEQUENCE)?.inside(), contents, password)?;
    }
    let mut bags = Bags::default();
    let mut list = Reader::new(contents).expect(tag::SEQUENCE)?.inside();
    while !list.is_empty() {
        let mut content = list.expect(tag::SEQUENCE)?.inside();
        let kind = content.expect(tag::OID)?.content;
        let mut value = content.expect(tag::constructed(0))?.inside();
        if kind == DATA {
            read_bags(value.expect(tag::OCTET_STRING)?.content, password, wants_keys, &mut bags)?;
        } else if kind == ENCRYPTED_DATA {
            let mut data = value.expect(tag::SEQUENCE)?.inside();
            data.number()?;
            let mut info = data.expect(tag::SEQUENCE)?.inside();
            info.expect(tag::OID)?;
            let algorithm = info.expect(tag::SEQUENCE)?.inside();
            let encrypted = info.expect(tag::primitive(0))?.content;
            let opened = password::decrypt(algorithm, encrypted, password)?;
            read_bags(&opened, password, wants_keys, &mut bags)?;
        } else {
            return Err(StoreError::Unsupported(
                "a part of it is encrypted with a key in place of a password".into(),
            ));
        }
    }
    Ok(sort(bags))
}

fn check_mac(mut mac: Reader<'_>, contents: &[u8], password: &Secret) -> Result<(), StoreError> {
    let mut info = mac.expect(tag::SEQUENCE)?.inside();
    let oid = info.expect(tag::SEQUENCE)?.inside().expect(tag::OID)?.content;
    let expected = info.expect(tag::OCTET_STRING)?.content;
    let salt = mac.expect(tag::OCTET_STRING)?.content;
    let rounds = if mac.is_empty() { 1 } else { mac.number()? };
    let (hash, with): (&'static Algorithm, hmac::Algorithm) = match oid {
        [0x2B, 0x0E, 3, 2, 0x1A] => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4] => (&digest::SHA224, hmac::HMAC_SHA224),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => (&digest::SHA256, hmac::HMAC_SHA256),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => (&digest::SHA384, hmac::HMAC_SHA384),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => (&digest::SHA512, hmac::HMAC_SHA512),
        _ => {
            let name = dotted(oid).unwrap_or_default();
            return Err(StoreError::Unsupported(format!(
                "it is protected by {name}, which is not supported; write it again with keytool -importkeystore"
            )));
        }
    };
    let rounds = std::num::NonZeroU32::new(rounds)
        .filter(|rounds| rounds.get() <= password::ROUNDS_MAX)
        .ok_or(Malformed("the count of iterations is 0 or above 5 million"))?;
    let bmp = password::bmp(password);
    let key = password::derive(hash, &bmp, salt, rounds, Purpose::Mac, hash.output_len());
    hmac::verify(&hmac::Key::new(with, &key), contents, expected).map_err(|_| StoreError::WrongPassword)
}

fn read_bags(bytes: &[u8], password: &Secret, wants_keys: bool, bags: &mut Bags) -> Result<(), StoreError> {
    let mut list = Reader::new(bytes).expect(tag::SEQUENCE)?.inside();
    while !list.is_empty() {
        let mut bag = list.expect(tag::SEQUENCE)?.inside();
        let kind = bag.expect(tag::OID)?.content;
        let value = bag.expect(tag::constructed(0))?;
        let (id, is_trusted) = attributes(&mut bag)?;
        let [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 12, 10, 1, kind] = kind else { continue };
        match kind {
            1 if wants_keys => bags.keys.push(Key { der: value.content.to_vec(), id }),
            2 if wants_keys => {
                let der = password::decrypt_key(value.content, password)?;
                bags.keys.push(Key { der, id });
            }
            3 => {
                let mut certificate = value.inside().expect(tag::SEQUENCE)?.inside();
                if certificate.expect(tag::OID)?.content == X509_CERTIFICATE {
                    let octets =
                        certificate.expect(tag::constructed(0))?.inside().expect(tag::OCTET_STRING)?;
                    bags.certificates.push(Held { der: octets.content.to_vec(), id, is_trusted });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The id of the key a bag belongs to, and whether it has Java's mark.
fn attributes(bag: &mut Reader<'_>) -> Result<(Option<Vec<u8>>, bool), Malformed> {
    let (mut id, mut is_trusted) = (None, false);
    if let Some(set) = bag.optional(tag::SET)? {
        let mut list = set.inside();
        while !list.is_empty() {
            let mut attribute = list.expect(tag::SEQUENCE)?.inside();
            let oid = attribute.expect(tag::OID)?.content;
            let mut values = attribute.expect(tag::SET)?.inside();
            if oid == LOCAL_KEY_ID {
                id = Some(values.any()?.content.to_vec());
            }
            is_trusted |= oid == TRUSTED;
        }
    }
    Ok((id, is_trusted))
}

/// Gives each key its certificate, and those of who issued it.
fn sort(bags: Bags) -> Content {
    let Bags { keys, certificates } = bags;
    let entry = |Key { der, id }: Key| {
        let own = certificates
            .iter()
            .find(|held| id.is_some() && held.id == id)
            .or_else(|| certificates.iter().find(|held| !held.is_trusted));
        let mut chain: Vec<&Held> = own.into_iter().collect();
        while let Some(last) = chain.last().and_then(|last| Certificate::read(&last.der).ok())
            && last.issuer != last.subject
            && chain.len() < CHAIN_MAX
        {
            let is_issuer =
                |held: &&Held| Certificate::read(&held.der).is_ok_and(|one| one.subject == last.issuer);
            let Some(issuer) = certificates.iter().find(is_issuer) else { break };
            chain.push(issuer);
        }
        KeyEntry {
            chain: chain.into_iter().map(|held| CertificateDer::from(held.der.clone())).collect(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        }
    };
    let keys = keys.into_iter().map(entry).filter(|entry| !entry.chain.is_empty()).collect();
    let trusted = certificates.iter().filter(|held| held.is_trusted);
    Content { keys, trusted: trusted.map(|held| CertificateDer::from(held.der.clone())).collect() }
}
