//! DER (ITU-T X.690) as certificates and key stores use it: definite lengths, tags of one byte.

/// What cannot be read, and why. The text holds nothing of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// Tags.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0A;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0C;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// T61String.
    pub const T61_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// GeneralString.
    pub const GENERAL_STRING: u8 = 0x1B;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1E;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;

    /// A field with a number of its own: EXPLICIT, or IMPLICIT over something constructed.
    #[must_use]
    pub const fn constructed(number: u8) -> u8 {
        0xA0 | number
    }

    /// A field with a number of its own: IMPLICIT over something primitive.
    #[must_use]
    pub const fn primitive(number: u8) -> u8 {
        0x80 | number
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// What it is.
    pub tag: u8,
    /// Its content.
    pub content: &'a [u8],
    /// All of it, with tag and length.
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The values inside.
    #[must_use]
    pub const fn inside(&self) -> Reader<'a> {
        Reader(self.content)
    }
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value, if there is one.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value, whatever it is.
    ///
    /// # Errors
    /// There is none, or it is not DER.
    pub fn any(&mut self) -> Result<Element<'a>> {
        let bytes = self.0;
        let (tag, rest) = bytes.split_first().ok_or(Malformed("a value is missing"))?;
        if tag & 0x1F == 0x1F {
            return Err(Malformed("a tag has more than one byte"));
        }
        let (first, rest) = rest.split_first().ok_or(Malformed("a length is missing"))?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(*first), rest),
            0x80 => {
                return Err(Malformed("a length is left open (BER); only DER is read"));
            }
            _ => {
                let count = usize::from(first & 0x7F);
                let (digits, rest) = rest.split_at_checked(count).ok_or(Malformed("a length is cut off"))?;
                if count > 4 {
                    return Err(Malformed("a length is too large"));
                }
                (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
        };
        let (content, after) = rest.split_at_checked(length).ok_or(Malformed("a value is cut off"))?;
        let whole = bytes.get(..bytes.len() - after.len()).unwrap_or_default();
        self.0 = after;
        Ok(Element { tag: *tag, content, whole })
    }

    /// The next value, which must have this tag.
    ///
    /// # Errors
    /// It has another one, or is not there.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            Some(_) => Err(Malformed("a value is of another type than expected")),
            None => Err(Malformed("a value is missing")),
        }
    }

    /// The next value if it has this tag.
    ///
    /// # Errors
    /// It has the tag and is not DER.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// A whole number that is not negative and fits 32 bits.
    ///
    /// # Errors
    /// It is not there, or does not fit.
    pub fn number(&mut self) -> Result<u32> {
        let digits = self.expect(tag::INTEGER)?.content;
        let digits = match digits {
            [0, rest @ ..] if !rest.is_empty() => rest,
            [first, ..] if *first < 0x80 => digits,
            _ => return Err(Malformed("a number is negative, or empty")),
        };
        if digits.len() > 4 {
            return Err(Malformed("a number is too large"));
        }
        Ok(digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub const fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("something follows the last value")) }
    }
}

/// Writes one value of these parts.
#[must_use]
pub fn written(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits = length.iter().position(|byte| *byte != 0).and_then(|first| length.get(first..));
    let digits = digits.unwrap_or(&[0]);
    let long = u8::try_from(digits.len()).unwrap_or(0) | 0x80;
    let head = if content.len() < 0x80 { Vec::new() } else { vec![long] };
    [&[tag][..], &head, digits, &content].concat()
}

/// An object identifier in dotted form.
///
/// # Errors
/// It is none, or has a part above 128 bits.
pub fn dotted(content: &[u8]) -> Result<String> {
    let mut parts = Vec::new();
    let mut part: u128 = 0;
    for (index, byte) in content.iter().enumerate() {
        part = part.checked_mul(128).ok_or(Malformed("a part of an object identifier is too large"))?
            | u128::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            if index + 1 == content.len() {
                return Err(Malformed("an object identifier is cut off"));
            }
            continue;
        }
        if parts.is_empty() {
            let first = (part / 40).min(2);
            parts.push(first.to_string());
            parts.push((part - first * 40).to_string());
        } else {
            parts.push(part.to_string());
        }
        part = 0;
    }
    if parts.is_empty() { Err(Malformed("an object identifier is empty")) } else { Ok(parts.join(".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_short_and_long_lengths() {
        let mut long = vec![0x30, 0x81, 0x80];
        long.extend([0x02, 0x01, 0x05].iter().chain(&[0x05; 125]));
        let mut reader = Reader::new(&long);
        let sequence = reader.expect(tag::SEQUENCE).unwrap();
        assert_eq!((sequence.content.len(), sequence.whole.len()), (128, 131));
        reader.end().unwrap();
        let mut inside = sequence.inside();
        assert_eq!(inside.number(), Ok(5));
        assert!(inside.end().is_err());
    }

    #[test]
    fn what_is_not_der_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 2, 0],
            &[0x1F, 1, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert!(Reader::new(bytes).any().is_err(), "{bytes:?}");
        }
        for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 5, 1, 0, 0, 0, 0], &[4, 1, 1]] {
            assert!(Reader::new(bytes).number().is_err(), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).number(), Ok(128));
    }

    #[test]
    fn what_is_written_can_be_read() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; size];
            let whole = written(tag::OCTET_STRING, &[&content[..size / 2], &content[size / 2..]]);
            let mut reader = Reader::new(&whole);
            assert_eq!(reader.expect(tag::OCTET_STRING).unwrap().content, content);
            reader.end().unwrap();
        }
        assert_eq!(written(tag::SEQUENCE, &[&[5, 0]]), [0x30, 2, 5, 0]);
    }

    #[test]
    fn object_identifiers_print_as_everybody_prints_them() {
        assert_eq!(dotted(&[0x55, 4, 3]).unwrap(), "2.5.4.3");
        assert_eq!(dotted(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D]).unwrap(), "1.2.840.113549");
        assert_eq!(dotted(&[0x88, 0x37]).unwrap(), "2.999");
        assert!(dotted(&[]).is_err() && dotted(&[0x80]).is_err() && dotted(&[0xFF; 30]).is_err());
    }
}
