//! Keytabs: the file with a service's keys (the MIT library's format, versions 0x501 and 0x502; in the JDK,
//! `sun.security.krb5.internal.ktab`).

use super::crypto::{EncryptionType, Key, name_of};
use super::name::Principal;

/// Why a file's content is not a keytab.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeytabError {
    /// It does not begin as one.
    #[error("it is not a keytab: it does not begin with the bytes 05 02 or 05 01")]
    NotAKeytab,
    /// An entry does not fit.
    #[error("the entry at byte {0} is damaged: write the file again with ktadd or ktutil")]
    Damaged(usize),
    /// There is no key of this principal.
    #[error(
        "it has no key of the principal {principal}, only of {others}: add it with ktadd, or name another principal"
    )]
    NoKey {
        /// Whose keys were looked for.
        principal: String,
        /// Whose there are.
        others: String,
    },
    /// There are only keys of the principal that are not served.
    #[error(
        "its keys of {principal} are of {kinds}, which are not safe any more: make AES keys (ktadd -e aes256-cts:normal)"
    )]
    OnlyWeak {
        /// Whose keys were looked for.
        principal: String,
        /// Of which types they are.
        kinds: String,
    },
}

/// One key of one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    principal: Principal,
    version: u32,
    kind: i32,
    /// None when the type is not served.
    key: Option<Key>,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keytab {
    entries: Vec<Entry>,
}

/// The keys of one principal that are served, the newest first. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKeys {
    keys: Vec<(u32, Key)>,
}

impl ServiceKeys {
    /// The key of this type and version, or, as in the JDK (`EncryptionKey.findKey`), the newest one of this type when
    /// there is none of the version; it may be that only the number differs. A version of 0 or none fits every key.
    pub(super) fn find(&self, kind: EncryptionType, version: Option<u32>) -> Option<&Key> {
        let mut of_kind = self.keys.iter().filter(|(_, key)| key.kind() == kind);
        let newest = of_kind.clone().next();
        let is_it = |known: u32| version.is_none_or(|version| version == 0 || known == 0 || version == known);
        of_kind.find(|(known, _)| is_it(*known)).or(newest).map(|(_, key)| key)
    }

    /// Whether a key of this type has this version.
    pub(super) fn has(&self, kind: EncryptionType, version: u32) -> bool {
        self.keys.iter().any(|(known, key)| key.kind() == kind && *known == version)
    }

    /// The types of its keys, those of the newest version first.
    pub(super) fn kinds(&self) -> Vec<EncryptionType> {
        let mut kinds = Vec::new();
        for (_, key) in &self.keys {
            if !kinds.contains(&key.kind()) {
                kinds.push(key.kind());
            }
        }
        kinds
    }

    /// The keys as versions and types, for messages.
    #[must_use]
    pub fn described(&self) -> String {
        let keys =
            self.keys.iter().map(|(version, key)| format!("{version}:{}", name_of(key.kind().number())));
        keys.collect::<Vec<_>>().join(", ")
    }
}

/// Numbers in the order of bytes that the file's version has.
#[derive(Clone, Copy)]
struct Numbers {
    is_native: bool,
}

struct Cursor<'a> {
    rest: &'a [u8],
    numbers: Numbers,
}

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take()?;
        Some(if self.numbers.is_native { u16::from_ne_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.numbers.is_native { u32::from_ne_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        let (taken, rest) = self.rest.split_at_checked(length.into())?;
        self.rest = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.counted()?).into_owned())
    }

    /// An entry, of which these bytes are all.
    fn entry(&mut self) -> Option<Entry> {
        let count = self.u16()?;
        // The first version counts the realm among the components, and has no type of the name.
        let count = if self.numbers.is_native { count.checked_sub(1)? } else { count };
        let realm = self.text()?;
        let components = (0..count).map(|_| self.text()).collect::<Option<Vec<_>>>()?;
        if !self.numbers.is_native {
            self.u32()?;
        }
        let _written_at = self.u32()?;
        let short_version = self.u8()?;
        let kind = i32::from(self.u16()?);
        let bytes = self.counted()?;
        // A version beyond 255 follows, where the writer knew of it.
        let version = self.u32().filter(|version| *version != 0).unwrap_or_else(|| short_version.into());
        let key = match EncryptionType::of(kind) {
            Some(kind) => Some(Key::new(kind, bytes)?),
            None => None,
        };
        Some(Entry { principal: Principal::of(components, realm)?, version, kind, key })
    }
}

impl Keytab {
    /// Reads a file's content.
    ///
    /// # Errors
    /// When it is not a keytab, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeytabError> {
        let (is_native, rest) = match bytes {
            [5, 1, rest @ ..] => (true, rest),
            [5, 2, rest @ ..] => (false, rest),
            _ => return Err(KeytabError::NotAKeytab),
        };
        let numbers = Numbers { is_native };
        let mut file = Cursor { rest, numbers };
        let mut entries = Vec::new();
        while !file.rest.is_empty() {
            let damaged = KeytabError::Damaged(bytes.len() - file.rest.len());
            let length = file.u32().ok_or_else(|| damaged.clone())?.cast_signed();
            // A negative length is that of a hole which a removed entry has left.
            let size = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
            let (content, rest) = file.rest.split_at_checked(size).ok_or_else(|| damaged.clone())?;
            file.rest = rest;
            if length > 0 {
                entries.push(Cursor { rest: content, numbers }.entry().ok_or(damaged)?);
            }
        }
        Ok(Self { entries })
    }

    /// The keys of a principal.
    ///
    /// # Errors
    /// When there are none that are served.
    pub fn keys_of(&self, principal: &Principal) -> Result<ServiceKeys, KeytabError> {
        let of_principal = || self.entries.iter().filter(|entry| entry.principal == *principal);
        let mut keys: Vec<_> =
            of_principal().filter_map(|entry| entry.key.clone().map(|key| (entry.version, key))).collect();
        // What was appended last comes first among those of one version.
        keys.reverse();
        keys.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        if !keys.is_empty() {
            return Ok(ServiceKeys { keys });
        }
        let mut kinds: Vec<_> = of_principal().map(|entry| name_of(entry.kind)).collect();
        kinds.dedup();
        if !kinds.is_empty() {
            return Err(KeytabError::OnlyWeak { principal: principal.to_string(), kinds: kinds.join(", ") });
        }
        let mut others: Vec<_> = self.entries.iter().map(|entry| entry.principal.to_string()).collect();
        others.sort();
        others.dedup();
        const SHOWN: usize = 8;
        let more = if others.len() > SHOWN { " and others" } else { "" };
        others.truncate(SHOWN);
        let others = if others.is_empty() { "nobody".to_owned() } else { others.join(", ") + more };
        Err(KeytabError::NoKey { principal: principal.to_string(), others })
    }
}
