//! Certificates and keys as text (RFC 7468; reference: `PemReader`).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use super::password;
use super::{KeyEntry, StoreError};
use crate::secret::Secret;
use crate::tls::der::Malformed;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A block between its lines.
struct Block {
    label: String,
    content: Vec<u8>,
    /// It has lines before the base64, as keys encrypted the old way have.
    has_headers: bool,
}

fn blocks(bytes: &[u8]) -> Result<Vec<Block>, StoreError> {
    let text = String::from_utf8_lossy(bytes);
    let mut blocks = Vec::new();
    let mut open: Option<(String, String, bool)> = None;
    for line in text.lines().map(str::trim) {
        let mark = |word: &str| {
            let inside = line.strip_prefix("-----")?.strip_suffix("-----")?;
            Some(inside.strip_prefix(word)?.trim().to_owned())
        };
        if let Some(label) = mark("BEGIN ") {
            open = Some((label, String::new(), false));
        } else if mark("END ").is_some() {
            let Some((label, base64, has_headers)) = open.take() else {
                return Err(Malformed("a PEM block ends that did not begin").into());
            };
            let content = if has_headers {
                Vec::new()
            } else {
                LENIENT.decode(base64).map_err(|_| Malformed("a PEM block is not base64"))?
            };
            blocks.push(Block { label, content, has_headers });
        } else if let Some((_, base64, has_headers)) = &mut open {
            *has_headers |= line.contains(':');
            base64.extend(line.chars().filter(|c| !c.is_whitespace()));
        }
    }
    if open.is_some() {
        return Err(Malformed("a PEM block does not end").into());
    }
    Ok(blocks)
}

fn certificates_of(blocks: &[Block]) -> Vec<CertificateDer<'static>> {
    let is_certificate = |block: &&Block| block.label.ends_with("CERTIFICATE");
    blocks.iter().filter(is_certificate).map(|block| CertificateDer::from(block.content.clone())).collect()
}

/// All certificates, in order.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    Ok(certificates_of(&blocks(bytes)?))
}

/// The first key, with all certificates.
pub(super) fn key(bytes: &[u8], password: &Secret) -> Result<KeyEntry, StoreError> {
    let blocks = blocks(bytes)?;
    let chain = certificates_of(&blocks);
    let Some(block) = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")) else {
        return Err(StoreError::Lacking("it has no private key; put the key before its certificates"));
    };
    if block.has_headers {
        return Err(StoreError::Unsupported(
            "its key is encrypted in the old way of OpenSSL; convert it: openssl pkcs8 -topk8 -in KEY -out NEW".into(),
        ));
    }
    let der = block.content.clone();
    let key = match block.label.as_str() {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        "ENCRYPTED PRIVATE KEY" => {
            if password.expose().is_empty() {
                return Err(StoreError::Lacking(
                    "its key is encrypted; set keyStore.password or passwordPath",
                ));
            }
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(password::decrypt_key(&der, password)?))
        }
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
    };
    if chain.is_empty() {
        return Err(StoreError::Lacking("it has no certificate; add those of the key to the same file"));
    }
    Ok(KeyEntry { chain, key })
}
