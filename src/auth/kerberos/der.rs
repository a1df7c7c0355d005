//! The part of DER that Kerberos' messages need (X.690; RFC 4120 section 5.1): a reader that never looks beyond its
//! bytes, and a writer.
//!
//! The shapes of the messages are in the code that reads them, so nothing here calls itself: however deep somebody
//! nests what he sends, it is read as deep as the message goes.

/// What is wrong with the bytes, for a log line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DerError {
    /// They end too early.
    #[error("it ends within {0}")]
    Truncated(&'static str),
    /// Another tag than the message has there.
    #[error("{what} has tag {found:#04x}, not {expected:#04x}")]
    Tag {
        /// What was to be read.
        what: &'static str,
        /// The tag it has.
        expected: u8,
        /// The tag there is.
        found: u8,
    },
    /// A length that DER does not allow.
    #[error("{0} has a length that DER does not allow")]
    Length(&'static str),
    /// A value that does not fit.
    #[error("{0} has a value that is not possible")]
    Value(&'static str),
    /// Something follows where there is an end.
    #[error("something follows {0}")]
    Trailing(&'static str),
}

type Result<T> = std::result::Result<T, DerError>;

/// Tags of the universal class.
pub(super) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const GENERAL_STRING: u8 = 0x1b;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;

    /// The tag of a message of the application class.
    pub(crate) const fn application(number: u8) -> u8 {
        0x60 | number
    }

    /// The tag around a field of a sequence.
    pub(crate) const fn field(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes so many bytes.
    pub(super) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DerError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(DerError::Truncated(what))?;
        self.rest = rest;
        Ok(*first)
    }

    fn length(&mut self, what: &'static str) -> Result<usize> {
        let first = self.byte(what)?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        // Indefinite lengths (0x80) are BER's. Four bytes are more than any message here has.
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return Err(DerError::Length(what));
        }
        let mut length = 0usize;
        for byte in self.take(count, what)? {
            length = length << 8 | usize::from(*byte);
        }
        Ok(length)
    }

    /// The content of what has this tag.
    pub(super) fn read(&mut self, expected: u8, what: &'static str) -> Result<Self> {
        let found = self.byte(what)?;
        if found != expected {
            return Err(DerError::Tag { what, expected, found });
        }
        let length = self.length(what)?;
        self.take(length, what).map(Self::new)
    }

    /// The same, if that is what comes next.
    pub(super) fn read_if(&mut self, expected: u8, what: &'static str) -> Result<Option<Self>> {
        if self.rest.first() == Some(&expected) { self.read(expected, what).map(Some) } else { Ok(None) }
    }

    /// A sequence's content, in which every field but the last was numbered before this message was written; what
    /// follows the known ones belongs to later versions and is left alone.
    pub(super) fn sequence(&mut self, what: &'static str) -> Result<Self> {
        self.read(tag::SEQUENCE, what)
    }

    /// A field that must be there.
    pub(super) fn field(&mut self, number: u8, what: &'static str) -> Result<Self> {
        self.read(tag::field(number), what)
    }

    /// A field that need not be there.
    pub(super) fn field_if(&mut self, number: u8, what: &'static str) -> Result<Option<Self>> {
        self.read_if(tag::field(number), what)
    }

    /// An integer that fits into 64 bits.
    pub(super) fn integer(&mut self, what: &'static str) -> Result<i64> {
        let bytes = self.read(tag::INTEGER, what)?.rest;
        let (Some(first), 1..=8) = (bytes.first(), bytes.len()) else {
            return Err(DerError::Value(what));
        };
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        Ok(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
    }

    /// An integer that fits into 32 bits.
    pub(super) fn integer_32(&mut self, what: &'static str) -> Result<i32> {
        i32::try_from(self.integer(what)?).map_err(|_| DerError::Value(what))
    }

    /// An unsigned integer of 32 bits. Some send it as a negative one (RFC 4120 section 5.2.4).
    pub(super) fn unsigned_32(&mut self, what: &'static str) -> Result<u32> {
        let value = self.integer(what)?;
        u32::try_from(value)
            .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
            .map_err(|_| DerError::Value(what))
    }

    /// Octets.
    pub(super) fn octets(&mut self, what: &'static str) -> Result<&'a [u8]> {
        Ok(self.read(tag::OCTET_STRING, what)?.rest)
    }

    /// Text: ASCII by the standard, and UTF-8 in practice.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str> {
        let bytes = self.read(tag::GENERAL_STRING, what)?.rest;
        std::str::from_utf8(bytes).map_err(|_| DerError::Value(what))
    }

    /// The first 32 flags of a bit string.
    pub(super) fn flags(&mut self, what: &'static str) -> Result<u32> {
        let mut content = self.read(tag::BIT_STRING, what)?;
        let _unused = content.byte(what)?;
        let bytes = content.rest.iter().copied().chain(std::iter::repeat(0)).take(4);
        Ok(bytes.fold(0, |flags, byte| flags << 8 | u32::from(byte)))
    }

    /// A time, in seconds since 1970: `20260131235959Z`.
    pub(super) fn time(&mut self, what: &'static str) -> Result<i64> {
        let bytes = self.read(tag::GENERALIZED_TIME, what)?.rest;
        seconds(bytes).ok_or(DerError::Value(what))
    }

    /// Says that nothing may follow.
    pub(super) fn end(&self, what: &'static str) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(DerError::Trailing(what)) }
    }
}

/// The seconds since 1970 of a time as Kerberos writes it.
fn seconds(text: &[u8]) -> Option<i64> {
    let (digits, b"Z") = text.split_at_checked(14)? else { return None };
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        digits
            .get(range)?
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    // Years are taken to begin in March, so that the day of a leap year is the last one.
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (from_march * 153 + 2) / 5 + day - 1 - DAYS_BEFORE_1970;
    fits.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from the first of March of the year 0 to 1970.
const DAYS_BEFORE_1970: i64 = 719_468;

/// The tag, the length and the content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    push_length(&mut out, content.len());
    out.extend_from_slice(content);
    out
}

/// A length as DER writes it.
fn push_length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            let significant = bytes.get(first..).unwrap_or_default();
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
            out.extend_from_slice(significant);
        }
    }
}

/// A sequence of what was written before.
pub(super) fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    element(tag::SEQUENCE, &fields.concat())
}

/// A field of a sequence.
pub(super) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    element(tag::field(number), content)
}

/// An integer, as short as it can be.
pub(super) fn integer(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let is_spare =
        |first: u8, second: u8| (first == 0 && second & 0x80 == 0) || (first == 0xff && second & 0x80 != 0);
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [a, b] if is_spare(*a, *b))).count();
    element(tag::INTEGER, bytes.get(spare..).unwrap_or_default())
}

/// Octets.
pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, bytes)
}

/// Text.
pub(super) fn text(value: &str) -> Vec<u8> {
    element(tag::GENERAL_STRING, value.as_bytes())
}

/// 32 flags.
pub(super) fn flags(value: u32) -> Vec<u8> {
    let [a, b, c, d] = value.to_be_bytes();
    element(tag::BIT_STRING, &[0, a, b, c, d])
}

/// A time.
pub(super) fn time(seconds: i64) -> Vec<u8> {
    element(tag::GENERALIZED_TIME, written(seconds).as_bytes())
}

/// A time as Kerberos writes it.
pub(super) fn written(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + DAYS_BEFORE_1970;
    let second = seconds.rem_euclid(86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, expected) in [
            ("19700101000000Z", Some(0)),
            ("20260228235959Z", Some(1_772_323_199)),
            ("20240229120000Z", Some(1_709_208_000)),
            ("20000301000000Z", Some(951_868_800)),
            ("20261301000000Z", None),
            ("20260101240000Z", None),
            ("20260101000000", None),
            ("20260101000000.5Z", None),
            ("2026010100000xZ", None),
            ("", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
            if let Some(expected) = expected {
                assert_eq!(written(expected), text);
            }
        }
    }

    #[test]
    fn lengths_are_definite_and_within_the_bytes() {
        let read = |bytes: &[u8]| Reader::new(bytes).octets("it").map(<[u8]>::len);
        assert_eq!(read(&[4, 2, 1, 2]), Ok(2));
        assert_eq!(read(&[4, 0x82, 0, 2, 1, 2]), Ok(2), "longer than it need be");
        assert_eq!(read(&[4, 0x80, 1, 2, 0, 0]), Err(DerError::Length("it")), "indefinite");
        assert_eq!(read(&[4, 0x85, 0, 0, 0, 0, 1, 1]), Err(DerError::Length("it")));
        assert_eq!(read(&[4, 0x84, 0xff, 0xff, 0xff, 0xff, 1]), Err(DerError::Truncated("it")));
        assert_eq!(read(&[4, 3, 1, 2]), Err(DerError::Truncated("it")));
        assert_eq!(read(&[4]), Err(DerError::Truncated("it")));
        assert_eq!(read(&[]), Err(DerError::Truncated("it")));
        assert_eq!(read(&[5, 0]), Err(DerError::Tag { what: "it", expected: 4, found: 5 }));
    }

    #[test]
    fn sequence_numbers_come_as_negative_integers_too() {
        let read = |value| Reader::new(&integer(value)).unsigned_32("it");
        assert_eq!(read(0xffff_ffff), Ok(0xffff_ffff));
        assert_eq!(read(-1), Ok(0xffff_ffff));
        assert_eq!(read(0x1_0000_0000), Err(DerError::Value("it")));
        assert_eq!(Reader::new(&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1]).integer("it"), Err(DerError::Value("it")));
        assert_eq!(Reader::new(&[2, 0]).integer("it"), Err(DerError::Value("it")));
    }

    proptest! {
        #[test]
        fn integers_and_times_come_back(value in any::<i64>(), time_value in 0i64..200_000_000_000) {
            prop_assert_eq!(Reader::new(&integer(value)).integer("it"), Ok(value));
            prop_assert_eq!(Reader::new(&time(time_value)).time("it"), Ok(time_value));
        }

        #[test]
        fn elements_of_every_length_come_back(length in 0usize..70_000) {
            let content = vec![7; length];
            let written = octets(&content);
            prop_assert_eq!(Reader::new(&written).octets("it"), Ok(&content[..]));
        }
    }
}
