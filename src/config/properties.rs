//! The syntax of `zoo.cfg`: Java `.properties`, with the line number of every entry.
//!
//! Two small grammars, as in the format's definition. The first joins natural lines into
//! logical ones: blank lines and comments (`#`, `!`) vanish, a backslash at the end of a line
//! continues it and drops the next line's leading blanks. The second splits a logical line into
//! key and value at the first unescaped `=`, `:` or blank, and resolves escapes.
//!
//! Bytes are read as Latin-1, because the reference does: a path written in UTF-8 names the same
//! (odd) directory under both servers. [`Entry::non_ascii`] lets the caller say so.
//!
//! Never looks at what keys mean.
//! Reference: `QuorumPeerConfig.parse`, which calls `java.util.Properties.load(InputStream)`.

use std::fmt;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while_m_n, take_while1};
use nom::character::complete::{char, one_of};
use nom::combinator::{cut, eof, map, not, opt, recognize, value};
use nom::multi::{fold_many0, many0_count};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Offset, Parser};

/// One key and its value, as written. `Debug` leaves the value out: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line on which the entry begins; the first line of a file is 1.
    pub line: usize,
    /// The key, escapes resolved, blanks around it removed.
    pub key: String,
    /// The value, escapes resolved, blanks around it removed.
    pub value: String,
    /// The entry holds bytes above 127, which were read as Latin-1.
    pub non_ascii: bool,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("line", &self.line).field("key", &self.key).finish_non_exhaustive()
    }
}

/// A `\u` that four hexadecimal digits do not follow: the only way this syntax can fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEscape {
    /// Line on which the entry begins.
    pub line: usize,
}

/// A parsed file: its entries, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
}

impl Properties {
    /// Parses the bytes of a file.
    ///
    /// Errors: a malformed `\uXXXX` escape; anything else is a valid file.
    pub fn parse(text: &[u8]) -> Result<Self, BadEscape> {
        let mut entries = Vec::new();
        let mut rest = text;
        let mut line = 1;
        while let Ok((after_blanks, ())) = skip_blanks(rest) {
            line += lines_between(rest, after_blanks);
            rest = after_blanks;
            if rest.is_empty() {
                break;
            }
            let Ok((after, logical)) = logical_line(rest) else { break };
            let (_, (key, value)) = entry(&logical).map_err(|_| BadEscape { line })?;
            let non_ascii = !logical.is_ascii();
            entries.push(Entry { line, key: java_trim(&key), value: java_trim(&value), non_ascii });
            line += lines_between(rest, after);
            rest = after;
        }
        Ok(Self { entries })
    }

    /// All entries in the order of the file, those that a later one replaces included.
    pub fn all(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that counts for this key: the last one.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rfind(|entry| entry.key == key)
    }

    /// The entries that count, in the order of the file: of equal keys only the last.
    pub fn effective(&self) -> impl Iterator<Item = &Entry> {
        let counts =
            |(at, entry): &(usize, &Entry)| self.entries[at + 1..].iter().all(|e| e.key != entry.key);
        self.entries.iter().enumerate().filter(counts).map(|(_, entry)| entry)
    }

    /// The entries that a later one with the same key replaces.
    pub fn replaced(&self) -> impl Iterator<Item = &Entry> {
        let later = |(at, entry): &(usize, &Entry)| self.entries[at + 1..].iter().any(|e| e.key == entry.key);
        self.entries.iter().enumerate().filter(later).map(|(_, entry)| entry)
    }
}

type Bytes<'a> = &'a [u8];

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn line_end(input: Bytes) -> IResult<Bytes, Bytes> {
    alt((tag("\r\n"), tag("\n"), tag("\r"))).parse(input)
}

/// A backslash at the end of a line, or of the file, and the next line's leading blanks.
fn continuation(input: Bytes) -> IResult<Bytes, ()> {
    value((), (char('\\'), alt((terminated(line_end, take_while(is_blank)), eof)))).parse(input)
}

fn comment(input: Bytes) -> IResult<Bytes, ()> {
    value((), (one_of("#!"), take_while(|byte| !is_line_end(byte)))).parse(input)
}

/// Everything that cannot begin an entry. A backslash on the file's last line can: Java makes an entry
/// of it, with an empty key and value.
fn skip_blanks(input: Bytes) -> IResult<Bytes, ()> {
    let joined = alt((value((), tag("\\\r\n")), value((), (char('\\'), line_end, not(eof)))));
    let nothing = alt((value((), take_while1(|b| is_blank(b) || is_line_end(b))), joined, comment));
    value((), many0_count(nothing)).parse(input)
}

/// One logical line, continuations folded, escapes still in place.
fn logical_line(input: Bytes) -> IResult<Bytes, Vec<u8>> {
    let plain = take_while1(|byte| byte != b'\\' && !is_line_end(byte));
    let escaped = recognize((char('\\'), take(1usize)));
    let piece = alt((value(&b""[..], continuation), plain, escaped));
    let joined = fold_many0(piece, Vec::new, |mut line: Vec<u8>, piece: Bytes| {
        line.extend_from_slice(piece);
        line
    });
    terminated(joined, opt(line_end)).parse(input)
}

/// Key and value of a logical line. Fails only on a malformed `\uXXXX`.
fn entry(line: Bytes) -> IResult<Bytes, (String, String)> {
    let (rest, key) = text(|byte| byte == b'=' || byte == b':' || is_blank(byte), line)?;
    let (rest, _) = (take_while(is_blank), opt(one_of("=:")), take_while(is_blank)).parse(rest)?;
    let (rest, value) = text(|_| false, rest)?;
    Ok((rest, (key, value)))
}

/// Characters up to an unescaped one that `ends` the text.
fn text(ends: impl Fn(u8) -> bool, input: Bytes) -> IResult<Bytes, String> {
    let plain = map(take_while_m_n(1, 1, |b| b != b'\\' && !ends(b)), |b: Bytes| u16::from(b[0]));
    let unit = alt((escape, plain));
    let units = fold_many0(unit, Vec::new, |mut units, unit| {
        units.push(unit);
        units
    });
    map(units, |units: Vec<u16>| String::from_utf16_lossy(&units)).parse(input)
}

/// A backslash and what it stands for, as a UTF-16 unit: pairs of `\u` escapes may be surrogates.
fn escape(input: Bytes) -> IResult<Bytes, u16> {
    let hex = map(take_while_m_n(4, 4, |byte: u8| byte.is_ascii_hexdigit()), |digits: Bytes| {
        digits.iter().fold(0, |unit, digit| unit * 16 + (*digit as char).to_digit(16).unwrap_or(0) as u16)
    });
    let unicode = preceded(char('u'), cut(hex));
    let letter = map(take(1usize), |byte: Bytes| match byte[0] {
        b't' => u16::from(b'\t'),
        b'n' => u16::from(b'\n'),
        b'r' => u16::from(b'\r'),
        b'f' => 0x0c,
        other => u16::from(other),
    });
    preceded(char('\\'), alt((unicode, letter))).parse(input)
}

/// What Java's `String.trim` removes: every character up to the blank.
fn java_trim(text: &str) -> String {
    text.trim_matches(|c| c <= ' ').to_owned()
}

/// Line ends in what was consumed between two positions of the same text.
fn lines_between(from: Bytes, to: Bytes) -> usize {
    let consumed = &from[..from.offset(to)];
    let line_feeds = consumed.iter().filter(|byte| **byte == b'\n').count();
    let lone_returns = consumed.windows(2).filter(|pair| pair[0] == b'\r' && pair[1] != b'\n').count();
    let last_return = usize::from(consumed.last() == Some(&b'\r'));
    line_feeds + lone_returns + last_return
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let parsed = Properties::parse(text.as_bytes()).unwrap();
        parsed.all().iter().map(|e| (e.key.clone(), e.value.clone())).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(pairs(text), expected, "{text:?}");
    }

    #[test]
    fn equals_colon_and_blank_all_separate() {
        check("a=1\nb:2\nc 3\nd\t4\n", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        check("a = 1\nb : 2\nc  =  3", &[("a", "1"), ("b", "2"), ("c", "3")]);
    }

    #[test]
    fn only_the_first_separator_counts() {
        check("server.1=a:2888:3888;2181", &[("server.1", "a:2888:3888;2181")]);
        check("a==b\nc:=d\ne f=g", &[("a", "=b"), ("c", "=d"), ("e", "f=g")]);
    }

    #[test]
    fn a_key_alone_has_an_empty_value() {
        check("a\nb=\n=c\n", &[("a", ""), ("b", ""), ("", "c")]);
    }

    #[test]
    fn comments_and_blank_lines_vanish() {
        check("# a=1\n\n   ! b=2\n \t\nc=3 # not a comment\n", &[("c", "3 # not a comment")]);
        check("# no continuation \\\na=1", &[("a", "1")]);
    }

    #[test]
    fn a_backslash_continues_the_line() {
        check("a=1,\\\n   2,\\\r\n\t3\nb=4", &[("a", "1,2,3"), ("b", "4")]);
        check("a=1\\\n# part of it", &[("a", "1# part of it")]);
        check("a=1\\\n\nb=2", &[("a", "1"), ("b", "2")]);
        check("a=1\\", &[("a", "1")]);
        check("a\\\n  =1", &[("a", "1")]);
        check("\\\n  a=1\n\\\n\n#b=2\n\\", &[("a", "1"), ("", "")]);
    }

    #[test]
    fn an_even_number_of_backslashes_does_not_continue() {
        check("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]);
        check("a=1\\\\\\\n2", &[("a", "1\\2")]);
    }

    #[test]
    fn escapes_are_resolved_in_keys_and_values() {
        check("a\\ b\\=c\\:d=\\te\\nf\\q", &[("a b=c:d", "e\nfq")]);
        check("a=\\u0041\\ud83d\\ude00", &[("a", "A\u{1f600}")]);
        check("path=C:\\\\zk", &[("path", "C:\\zk")]);
    }

    #[test]
    fn a_malformed_unicode_escape_names_its_line() {
        assert_eq!(Properties::parse(b"a=1\nb=\\u12x4\n"), Err(BadEscape { line: 2 }));
        assert_eq!(Properties::parse(b"\\u"), Err(BadEscape { line: 1 }));
    }

    #[test]
    fn bytes_are_latin_1_as_in_the_reference() {
        let parsed = Properties::parse("a=é".as_bytes()).unwrap();
        assert_eq!(parsed.all()[0].value, "Ã©");
        assert!(parsed.all()[0].non_ascii);
    }

    #[test]
    fn entries_know_their_line() {
        let parsed = Properties::parse(b"# one\n\na=1\\\n2\r\nb=3\rc=4\n").unwrap();
        let lines: Vec<_> = parsed.all().iter().map(|e| (e.key.as_str(), e.line)).collect();
        assert_eq!(lines, [("a", 3), ("b", 5), ("c", 6)]);
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        let parsed = Properties::parse(b"a=1\nb=2\na=3\n").unwrap();
        assert_eq!(parsed.find("a").unwrap().value, "3");
        assert_eq!(parsed.effective().map(|e| e.line).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(parsed.replaced().map(|e| e.line).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn any_bytes_parse_or_fail_without_panic() {
        let mut seed = 7u32;
        for _ in 0..2000 {
            let text: Vec<u8> = (0..24)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let alphabet = b"ab=: \t\\\n\r#!u0\xe9";
                    alphabet[(seed >> 24) as usize % alphabet.len()]
                })
                .collect();
            let _ = Properties::parse(&text);
        }
    }
}
