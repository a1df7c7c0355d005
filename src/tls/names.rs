//! The name of a certificate as Java prints it (`X500Principal.getName()`, RFC 2253): what the `x509` scheme knows a
//! client by, so every character counts.

use std::fmt::Write;

use super::der::{self, Malformed, Reader, tag};

/// Attributes that RFC 2253 has a keyword for; all others print as numbers and hexadecimal digits.
const KEYWORDS: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1], "UID"),
];

/// The object identifier of CN.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// An attribute of a name.
struct Attribute<'a> {
    oid: &'a [u8],
    value: der::Element<'a>,
}

fn attribute<'a>(reader: &mut Reader<'a>) -> Result<Attribute<'a>, Malformed> {
    let mut pair = reader.expect(tag::SEQUENCE)?.inside();
    let attribute = Attribute { oid: pair.expect(tag::OID)?.content, value: pair.any()? };
    pair.end()?;
    Ok(attribute)
}

/// Prints a DER encoded name: the last attribute first.
///
/// # Errors
/// It is no name.
pub fn rfc2253(name: &[u8]) -> Result<String, Malformed> {
    let mut sets = sets(name)?;
    sets.reverse();
    let mut text = String::new();
    for (index, set) in sets.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        print_set(set, &mut text)?;
    }
    Ok(text)
}

/// The value of the most specific common name, if there is one.
///
/// # Errors
/// It is no name.
pub fn common_name(name: &[u8]) -> Result<Option<String>, Malformed> {
    let mut found = None;
    for mut set in sets(name)? {
        while !set.is_empty() {
            let attribute = attribute(&mut set)?;
            if attribute.oid == COMMON_NAME {
                found = text_of(&attribute.value);
            }
        }
    }
    Ok(found)
}

fn sets(name: &[u8]) -> Result<Vec<Reader<'_>>, Malformed> {
    let mut reader = Reader::new(name);
    let mut inside = reader.expect(tag::SEQUENCE)?.inside();
    reader.end()?;
    let mut sets = Vec::new();
    while !inside.is_empty() {
        sets.push(inside.expect(tag::SET)?.inside());
    }
    Ok(sets)
}

fn print_set(mut set: Reader<'_>, text: &mut String) -> Result<(), Malformed> {
    let mut is_first = true;
    while !set.is_empty() {
        if !std::mem::replace(&mut is_first, false) {
            text.push('+');
        }
        let Attribute { oid, value } = attribute(&mut set)?;
        let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid).map(|(_, keyword)| *keyword);
        match (keyword, text_of(&value)) {
            (Some(keyword), Some(value)) => {
                text.push_str(keyword);
                text.push('=');
                print_escaped(&value, text);
            }
            (Some(keyword), None) => print_hex(keyword, value.whole, text),
            (None, _) => print_hex(&der::dotted(oid)?, value.whole, text),
        }
    }
    Ok(())
}

fn print_hex(kind: &str, bytes: &[u8], text: &mut String) {
    text.push_str(kind);
    text.push_str("=#");
    for byte in bytes {
        // A string takes everything.
        let _never_fails = write!(text, "{byte:02x}");
    }
}

/// The text of a type that Java prints as such, or None. A JDK up to 17 takes each of them for UTF-8, and so do we: a
/// BMPString prints with its zeros. What is no UTF-8 is replaced.
fn text_of(value: &der::Element<'_>) -> Option<String> {
    let is_text = matches!(
        value.tag,
        tag::UTF8_STRING
            | tag::PRINTABLE_STRING
            | tag::IA5_STRING
            | tag::T61_STRING
            | tag::GENERAL_STRING
            | tag::BMP_STRING
    );
    is_text.then(|| String::from_utf8_lossy(value.content).into_owned())
}

/// What RFC 2253 escapes, and blanks at either end.
fn print_escaped(value: &str, text: &mut String) {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let mut escaped = Vec::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => escaped.extend(['\\', c]),
            '\0' => escaped.extend(['\\', '0', '0']),
            c => escaped.push(c),
        }
    }
    let lead = escaped.iter().take_while(|c| is_blank(**c)).count();
    let trail = escaped.len() - escaped.iter().rev().take_while(|c| is_blank(**c)).count();
    for (index, c) in escaped.into_iter().enumerate() {
        if index < lead || index >= trail {
            text.push('\\');
        }
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, 0x82];
        bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    }

    /// An attribute: object identifier, tag and content of its value.
    type Pair<'a> = (&'a [u8], u8, &'a [u8]);

    /// A name whose sets have these attributes.
    fn name(sets: &[&[Pair<'_>]]) -> Vec<u8> {
        let sets: Vec<u8> = sets
            .iter()
            .flat_map(|set| {
                let pairs = set.iter().flat_map(|(oid, value_tag, value)| {
                    let pair = [element(tag::OID, oid), element(*value_tag, value)].concat();
                    element(tag::SEQUENCE, &pair)
                });
                element(tag::SET, &pairs.collect::<Vec<_>>())
            })
            .collect();
        element(tag::SEQUENCE, &sets)
    }

    #[test]
    fn the_last_attribute_comes_first() {
        let name = name(&[
            &[(&[0x55, 4, 6], tag::PRINTABLE_STRING, b"DE")],
            &[(&[0x55, 4, 10], tag::UTF8_STRING, b"A, B")],
            &[(&[0x55, 4, 3], tag::UTF8_STRING, b"kazoo"), (&[0x55, 4, 11], tag::UTF8_STRING, b"x")],
        ]);
        assert_eq!(rfc2253(&name).unwrap(), "CN=kazoo+OU=x,O=A\\, B,C=DE");
        assert_eq!(common_name(&name).unwrap().as_deref(), Some("kazoo"));
    }

    #[test]
    fn what_has_no_keyword_prints_in_hexadecimal() {
        let email: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1];
        let name = name(&[&[(email, tag::IA5_STRING, b"a@b")], &[(&[0x55, 4, 3], 0x03, &[0])]]);
        let text = rfc2253(&name).unwrap();
        assert_eq!(text, "CN=#0382000100,1.2.840.113549.1.9.1=#16820003614062");
    }

    #[test]
    fn blanks_at_the_ends_and_special_characters_are_escaped() {
        let printed =
            |value: &str| rfc2253(&name(&[&[(&[0x55, 4, 3], tag::UTF8_STRING, value.as_bytes())]])).unwrap();
        assert_eq!(printed("  a b "), "CN=\\ \\ a b\\ ");
        assert_eq!(printed("#a#\"<>;=+\\"), "CN=\\#a\\#\\\"\\<\\>\\;\\=\\+\\\\");
        assert_eq!(printed("a\0b"), "CN=a\\00b");
        assert_eq!(printed("   "), "CN=\\ \\ \\ ");
        assert_eq!(printed(""), "CN=");
        assert_eq!(printed("Zoë"), "CN=Zoë");
    }

    /// Generated names, and what a JDK 17 prints for them (`compat-tests/clients/java/names`).
    #[test]
    fn names_print_as_the_jdk_prints_them() {
        let bytes = |hexadecimal: &str| -> Vec<u8> {
            let digits = hexadecimal.as_bytes().chunks(2);
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
        };
        let lines = include_str!("testdata/names.txt").lines();
        let mut count = 0;
        for line in lines {
            let (name, printed) = line.split_once(' ').unwrap();
            let printed = String::from_utf8(bytes(printed)).unwrap();
            assert_eq!(rfc2253(&bytes(name)).unwrap(), printed, "{name}");
            count += 1;
        }
        assert_eq!(count, 300);
    }

    #[test]
    fn an_empty_name_is_empty_and_what_is_no_name_is_refused() {
        assert_eq!(rfc2253(&[0x30, 0]).unwrap(), "");
        for bytes in [&[][..], &[0x31, 0], &[0x30, 2, 0x30, 0], &[0x30, 0, 0]] {
            assert!(rfc2253(bytes).is_err(), "{bytes:?}");
        }
    }
}
