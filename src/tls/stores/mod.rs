//! Key and trust stores as Java's tools write them (reference: `FileKeyStoreLoader`, `KeyStoreFileType`).

mod jks;
mod password;
mod pem;
mod pkcs12;

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::Malformed;
use crate::secret::Secret;

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Java's own.
    Jks,
    /// Text with base64.
    Pem,
    /// PKCS#12 (RFC 7292).
    Pkcs12,
    /// BouncyCastle's, which is not read here.
    Bcfks,
}

impl Format {
    /// By the word of a `type` key, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "JKS" => Some(Self::Jks),
            "PEM" => Some(Self::Pem),
            "PKCS12" => Some(Self::Pkcs12),
            "BCFKS" => Some(Self::Bcfks),
            _ => None,
        }
    }

    /// By the extension of a file, as the reference knows them.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "jks" => Some(Self::Jks),
            "pem" => Some(Self::Pem),
            "p12" => Some(Self::Pkcs12),
            "bcfks" => Some(Self::Bcfks),
            _ => None,
        }
    }
}

/// A private key with its certificate, which comes first, and those of who issued it.
#[derive(Debug)]
pub struct KeyEntry {
    /// The certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// Why a store cannot be used. No text holds a password or a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is not what it should be.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The password does not fit.
    #[error("the password does not open it, or it was changed after it was written")]
    WrongPassword,
    /// It has nothing that is needed.
    #[error("{0}")]
    Lacking(&'static str),
    /// It uses what is not supported.
    #[error("{0}")]
    Unsupported(String),
}

/// The keys of a key store.
///
/// # Errors
/// Why it has none that can be used.
pub fn keys(format: Format, bytes: &[u8], password: &Secret) -> Result<Vec<KeyEntry>, StoreError> {
    let keys = match format.of_content(bytes)? {
        Form::Jks => jks::read(bytes, password, true)?.keys,
        Form::Pkcs12 => pkcs12::read(bytes, password, true)?.keys,
        Form::Pem => vec![pem::key(bytes, password)?],
    };
    if keys.is_empty() {
        return Err(StoreError::Lacking(
            "it has no private key; make it with keytool -genkeypair or -importkeystore",
        ));
    }
    Ok(keys)
}

/// The certificates that a trust store says to trust. Those that belong to a key are none of them.
///
/// # Errors
/// Why it has none.
pub fn trusted(
    format: Format,
    bytes: &[u8],
    password: &Secret,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let trusted = match format.of_content(bytes)? {
        Form::Jks => jks::read(bytes, password, false)?.trusted,
        Form::Pkcs12 => pkcs12::read(bytes, password, false)?.trusted,
        Form::Pem => pem::certificates(bytes)?,
    };
    if trusted.is_empty() {
        return Err(StoreError::Lacking(
            "it has no certificate that is marked as trusted; add the authority's with keytool -importcert",
        ));
    }
    Ok(trusted)
}

/// What the bytes are.
enum Form {
    Jks,
    Pkcs12,
    Pem,
}

impl Format {
    /// Java opens JKS and PKCS#12 files by what they are, whichever of the two they are said to be.
    fn of_content(self, bytes: &[u8]) -> Result<Form, StoreError> {
        let unsupported = |what: &str, instead: &str| {
            Err(StoreError::Unsupported(format!(
                "it is a {what} store, which is not read here; convert it: keytool -importkeystore -srckeystore \
                 FILE -srcstoretype {what}{instead} -destkeystore FILE.p12 -deststoretype PKCS12, and name the new \
                 file"
            )))
        };
        match (self, bytes) {
            (Self::Pem, _) => Ok(Form::Pem),
            (Self::Bcfks, _) => unsupported(
                "BCFKS",
                " -providerclass org.bouncycastle.jcajce.provider.BouncyCastleFipsProvider -providerpath bc-fips.jar",
            ),
            (_, [0xFE, 0xED, 0xFE, 0xED, ..]) => Ok(Form::Jks),
            (_, [0xCE, 0xCE, 0xCE, 0xCE, ..]) => unsupported("JCEKS", ""),
            (_, [0x30, ..]) => Ok(Form::Pkcs12),
            (_, [b'-', b'-', ..]) => {
                Err(StoreError::Unsupported("it is a PEM file; set the type to PEM, or name it .pem".into()))
            }
            _ => Err(StoreError::Unsupported("it is neither a JKS nor a PKCS#12 store".into())),
        }
    }
}

/// What a store holds.
#[derive(Debug, Default)]
struct Content {
    keys: Vec<KeyEntry>,
    trusted: Vec<CertificateDer<'static>>,
}
