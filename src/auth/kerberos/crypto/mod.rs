//! Encryption types, and what is done with a key of one: encryption that notices every change, and checksums
//! (RFC 3961 and 3962, RFC 8009).
//!
//! The block cipher and the hashes are those of maintained crates; how Kerberos puts them together is here, with the
//! RFCs' vectors. Triple DES and RC4 are not: a JDK since 17 refuses them too.

mod cts;
mod derive;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Random bytes that an encryption begins with.
const CONFOUNDER: usize = 16;

/// Which hash an encryption type is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Sha1,
    Sha256,
    Sha384,
}

/// An encryption type that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionType {
    /// aes128-cts-hmac-sha1-96, number 17.
    Aes128Sha1,
    /// aes256-cts-hmac-sha1-96, number 18.
    Aes256Sha1,
    /// aes128-cts-hmac-sha256-128, number 19.
    Aes128Sha256,
    /// aes256-cts-hmac-sha384-192, number 20.
    Aes256Sha384,
}

impl EncryptionType {
    /// The type with a number. None when it is not served.
    #[must_use]
    pub const fn of(number: i32) -> Option<Self> {
        match number {
            17 => Some(Self::Aes128Sha1),
            18 => Some(Self::Aes256Sha1),
            19 => Some(Self::Aes128Sha256),
            20 => Some(Self::Aes256Sha384),
            _ => None,
        }
    }

    /// Its number (RFC 3961 section 8, IANA).
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 17,
            Self::Aes256Sha1 => 18,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    const fn family(self) -> Family {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => Family::Sha1,
            Self::Aes128Sha256 => Family::Sha256,
            Self::Aes256Sha384 => Family::Sha384,
        }
    }

    /// Bytes of a key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes128Sha256 => 16,
            Self::Aes256Sha1 | Self::Aes256Sha384 => 32,
        }
    }

    /// Bytes of a checksum.
    #[must_use]
    pub const fn checksum_len(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => 12,
            Self::Aes128Sha256 => 16,
            Self::Aes256Sha384 => 24,
        }
    }

    /// The number of its checksums (RFC 3962 section 7, RFC 8009 section 6).
    #[must_use]
    pub const fn checksum_number(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 15,
            Self::Aes256Sha1 => 16,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    /// Bytes of the key that makes checksums.
    const fn checksum_key_len(self) -> usize {
        match self.family() {
            Family::Sha1 => self.key_len(),
            _ => self.checksum_len(),
        }
    }
}

/// What an encryption type is called, served or not, for messages.
#[must_use]
pub fn name_of(number: i32) -> String {
    let name = match number {
        1..=3 => "des-cbc",
        5 | 7 | 16 => "des3-cbc-sha1",
        17 => "aes128-cts-hmac-sha1-96",
        18 => "aes256-cts-hmac-sha1-96",
        19 => "aes128-cts-hmac-sha256-128",
        20 => "aes256-cts-hmac-sha384-192",
        23 => "rc4-hmac",
        24 => "rc4-hmac-exp",
        25 => "camellia128-cts-cmac",
        26 => "camellia256-cts-cmac",
        _ => return format!("encryption type {number}"),
    };
    format!("{name} ({number})")
}

/// What a key is used for: a number that goes into the keys derived from it (RFC 4120 section 7.5.1, RFC 4121
/// section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Usage {
    /// The time by which somebody proves to a key distribution centre that it has a key.
    Timestamp = 1,
    /// A ticket, under the service's key.
    Ticket = 2,
    /// What comes with a first ticket, under the client's key.
    AsRep = 3,
    /// The checksum of a request for a ticket, under the session's key.
    TgsChecksum = 6,
    /// An authenticator that goes to a key distribution centre, under the session's key.
    TgsAuthenticator = 7,
    /// What comes with a further ticket, under the session's key.
    TgsRep = 8,
    /// An authenticator, under the session's key.
    Authenticator = 11,
    /// The answer to it, under the session's key.
    ApRep = 12,
    /// Wrapped by the accepting side.
    AcceptorSeal = 22,
    /// Wrapped by the initiating side.
    InitiatorSeal = 24,
}

/// Where random bytes come from. The error is the system's.
pub type Random = fn(&mut [u8]) -> Result<(), String>;

/// A key of a served encryption type, and of the length which that has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    kind: EncryptionType,
    bytes: Secret,
}

impl Key {
    /// A key of these bytes. None when they are too many or too few.
    #[must_use]
    pub fn new(kind: EncryptionType, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == kind.key_len()).then(|| Self { kind, bytes: Secret::new(bytes) })
    }

    /// A key that nobody has had.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn random(kind: EncryptionType, random: Random) -> Result<Self, String> {
        let mut bytes = Zeroizing::new(vec![0; kind.key_len()]);
        random(&mut bytes)?;
        Ok(Self { kind, bytes: Secret::new(&bytes[..]) })
    }

    /// Its encryption type.
    #[must_use]
    pub const fn kind(&self) -> EncryptionType {
        self.kind
    }

    /// Its bytes, for a message that carries it.
    pub(super) fn expose(&self) -> &[u8] {
        self.bytes.expose()
    }

    fn derived(&self, usage: Usage, last: u8, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let [a, b, c, d] = (usage as u32).to_be_bytes();
        derive::derive(self.kind.family(), self.bytes.expose(), &[a, b, c, d, last], length)
    }

    /// The checksum of all parts in turn.
    #[must_use]
    pub fn checksum(&self, usage: Usage, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let key = self.derived(usage, 0x99, self.kind.checksum_key_len())?;
        let code = derive::hmac(self.kind.family(), &key, parts, self.kind.checksum_len())?;
        Some(code.to_vec())
    }

    /// The code that shows a change: over the plain text, or, in the newer family, over what it became.
    fn code(&self, usage: Usage, plain: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let key = self.derived(usage, 0x55, self.kind.checksum_key_len())?;
        let family = self.kind.family();
        let length = self.kind.checksum_len();
        match family {
            Family::Sha1 => derive::hmac(family, &key, &[plain], length),
            // The initial vector of zeros stands before it.
            _ => derive::hmac(family, &key, &[&[0; cts::BLOCK], sealed], length),
        }
    }

    /// Encrypts.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn encrypt(&self, usage: Usage, plain: &[u8], random: Random) -> Result<Vec<u8>, String> {
        let mut confounded = Zeroizing::new(vec![0; CONFOUNDER]);
        random(&mut confounded)?;
        confounded.extend_from_slice(plain);
        self.seal(usage, &confounded).ok_or_else(|| "the key does not encrypt".to_owned())
    }

    fn seal(&self, usage: Usage, confounded: &[u8]) -> Option<Vec<u8>> {
        let key = self.derived(usage, 0xaa, self.kind.key_len())?;
        let mut sealed = cts::encrypt(&key, confounded)?;
        let code = self.code(usage, confounded, &sealed)?;
        sealed.extend_from_slice(&code);
        Some(sealed)
    }

    /// Decrypts. None when it was not encrypted with this key for this use, or was changed since.
    #[must_use]
    pub fn decrypt(&self, usage: Usage, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (sealed, code) = sealed.split_at_checked(sealed.len().checked_sub(self.kind.checksum_len())?)?;
        let key = self.derived(usage, 0xaa, self.kind.key_len())?;
        let mut plain = cts::decrypt(&key, sealed)?;
        let expected = self.code(usage, &plain, sealed)?;
        if !bool::from(expected[..].ct_eq(code)) {
            return None;
        }
        // At least a block was decrypted, which is what a confounder is.
        plain.drain(..CONFOUNDER);
        Some(plain)
    }
}

#[cfg(test)]
mod tests;
