//! Bounded reading of jute bytes (reference: `BinaryInputArchive`).

use std::borrow::Cow;
use std::fmt;

use byteorder::{BigEndian, ByteOrder};

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ended inside a field.
    Truncated {
        /// Where the field began.
        offset: usize,
        /// How many bytes it needed.
        needed: usize,
    },
    /// A length is negative (and not the -1 of null) or larger than what can follow.
    Length {
        /// Where the length stood.
        offset: usize,
        /// The length as read.
        length: i32,
    },
    /// A field is null that the reference follows without looking.
    Null {
        /// Which field.
        what: &'static str,
    },
    /// A field holds a value that the record does not allow.
    Invalid {
        /// What was wrong.
        what: &'static str,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset, needed } => {
                write!(f, "record ends inside a field of {needed} bytes at offset {offset}")
            }
            Self::Length { offset, length } => write!(f, "unreasonable length {length} at offset {offset}"),
            Self::Null { what } => write!(f, "{what} is null"),
            Self::Invalid { what } => f.write_str(what),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads fields from a slice, front to back. Every length is checked against the bytes that are
/// there before anything is allocated.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes consumed so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes not yet read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.offset..end));
        let Some(taken) = taken else {
            return Err(DecodeError::Truncated { offset: self.offset, needed: count });
        };
        self.offset = end.unwrap_or(self.offset);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated { offset: self.offset, needed: N };
        self.take(N)?.first_chunk().copied().ok_or(truncated)
    }

    /// A 4-byte big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.array::<4>().map(|bytes| BigEndian::read_i32(&bytes))
    }

    /// An 8-byte big-endian integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        self.array::<8>().map(|bytes| BigEndian::read_i64(&bytes))
    }

    /// One byte; anything but zero is true.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        self.take(1).map(|byte| byte != [0])
    }

    /// Length-prefixed bytes; `None` is jute's null (length -1).
    ///
    /// # Errors
    /// A length that is negative or runs past the input.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let offset = self.offset;
        let length = self.int()?;
        match usize::try_from(length) {
            Ok(count) => self.take(count).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::Length { offset, length }),
        }
    }

    /// A string as Java reads it: UTF-8, malformed parts become U+FFFD. Borrowed when it can be.
    ///
    /// # Errors
    /// As [`Reader::buffer`].
    pub fn ustring(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        Ok(self.buffer()?.map(decode_like_java))
    }

    /// The number of elements that follow; `None` is the null vector. Counts below -1 read as
    /// empty, as the reference's generated code does.
    ///
    /// # Errors
    /// A count larger than the bytes left: every element takes at least one.
    pub fn vector_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        let length = self.int()?;
        match usize::try_from(length) {
            Ok(count) if count <= self.rest().len() => Ok(Some(count)),
            Ok(_) => Err(DecodeError::Length { offset, length }),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Ok(Some(0)),
        }
    }
}

/// Java's `new String(bytes, UTF_8)`: like Rust's lossy decoding, but the first two bytes of an encoded
/// surrogate belong together, so that it is one U+FFFD, and one too when its third byte is missing.
fn decode_like_java(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut plain = 0;
    let mut at = 0;
    while let Some(window) = bytes.get(at..) {
        let surrogate = match window {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            [] => break,
            _ => {
                at = at.saturating_add(1);
                continue;
            }
        };
        text.push_str(&String::from_utf8_lossy(bytes.get(plain..at).unwrap_or_default()));
        text.push('\u{FFFD}');
        at = at.saturating_add(surrogate);
        plain = at;
    }
    text.push_str(&String::from_utf8_lossy(bytes.get(plain..).unwrap_or_default()));
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_surrogate_is_one_replacement_character() {
        assert_eq!(decode_like_java(b"a\xED\xA0\x80b"), "a\u{FFFD}b");
        assert_eq!(decode_like_java(b"\xED\xA0\xBD\xED\xB8\x80"), "\u{FFFD}\u{FFFD}");
        assert_eq!(decode_like_java(b"\xED\xA0"), "\u{FFFD}");
        assert_eq!(decode_like_java(b"\xED\xBFa"), "\u{FFFD}a");
        assert_eq!(decode_like_java("grüße 😀".as_bytes()), "grüße 😀");
        assert_eq!(decode_like_java(b"\xFF"), "\u{FFFD}");
    }

    #[test]
    fn a_length_beyond_the_input_allocates_nothing() {
        let mut bytes = i32::MAX.to_be_bytes().to_vec();
        bytes.push(1);
        assert!(matches!(Reader::new(&bytes).buffer(), Err(DecodeError::Truncated { .. })));
        assert!(matches!(Reader::new(&bytes).vector_length(), Err(DecodeError::Length { .. })));
        let negative = (-2i32).to_be_bytes();
        assert!(matches!(Reader::new(&negative).buffer(), Err(DecodeError::Length { length: -2, .. })));
        assert_eq!(Reader::new(&negative).vector_length(), Ok(Some(0)));
    }
}
