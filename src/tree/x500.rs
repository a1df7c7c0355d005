//! Which names an access control list may give for the scheme `x509`: those that `new X500Principal(name)` of the JDK
//! takes, a mixture of RFC 1779 and RFC 2253 (`sun.security.x509.X500Name`, `RDN`, `AVA`).

/// Keywords of attributes, in capitals.
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// What may follow a backslash in a value without quotes, and in one with them.
const ESCAPABLE: &str = ",=\n+<>#;\\\" ";
const ESCAPABLE_IN_QUOTES: &str = ",=\n+<>#;\\\"";
/// What must follow one in a value without quotes.
const RESERVED: &str = ",+<>;\"";

/// Whether the JDK takes it.
#[must_use]
pub(super) fn is_name(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let sets = split(&chars, &[',', ';'], is_escaped);
    text.is_empty()
        || sets.into_iter().all(|set| {
            // A plus sign is looked at more simply.
            split(set, &['+'], |set, at, _| at == 0 || set.get(at - 1) == Some(&'\\'))
                .into_iter()
                .all(is_attribute)
        })
}

/// The parts between separators, of which those behind one quote, and those that are escaped, are none.
fn split<'a>(
    chars: &'a [char],
    separators: &[char],
    is_escaped: impl Fn(&[char], usize, usize) -> bool,
) -> Vec<&'a [char]> {
    let (mut parts, mut begin, mut search, mut quotes) = (Vec::new(), 0, 0, 0);
    for (at, _) in chars.iter().enumerate().filter(|(_, c)| separators.contains(c)) {
        quotes += count_quotes(chars.get(search..at).unwrap_or_default());
        if quotes != 1 && !is_escaped(chars, at, search) {
            parts.push(chars.get(begin..at).unwrap_or_default());
            (begin, quotes) = (at + 1, 0);
        }
        search = at + 1;
    }
    parts.push(chars.get(begin..).unwrap_or_default());
    parts
}

/// Quotes without a backslash before them. The first character counts in any case, as in the JDK.
fn count_quotes(chars: &[char]) -> usize {
    let is_quote =
        |at: &usize| chars.get(*at) == Some(&'"') && (*at == 0 || chars.get(*at - 1) != Some(&'\\'));
    (0..chars.len()).filter(is_quote).count()
}

/// Whether a backslash stands for the separator. After two of them the JDK counts all since the last separator.
fn is_escaped(chars: &[char], at: usize, search: usize) -> bool {
    let is_backslash = |back: usize| at.checked_sub(back).and_then(|at| chars.get(at)) == Some(&'\\');
    if is_backslash(1) && is_backslash(2) {
        let since = chars.get(search..at).unwrap_or_default();
        return since.iter().filter(|c| **c == '\\').count() % 2 != 0;
    }
    is_backslash(1)
}

/// A keyword or an object identifier, and a value.
fn is_attribute(chars: &[char]) -> bool {
    let Some(at) = chars.iter().position(|c| *c == '=') else { return false };
    let (keyword, value) = chars.split_at(at);
    let keyword: String = keyword.iter().collect();
    let keyword = keyword.to_uppercase();
    let keyword = keyword.trim_matches(|c: char| c <= ' ');
    if !KEYWORDS.contains(&keyword) && !is_object_identifier(keyword.strip_prefix("OID.").unwrap_or(keyword))
    {
        return false;
    }
    let value: String = value.iter().skip(1).collect();
    let value = value.trim_start_matches([' ', '\n']);
    match value.chars().next() {
        None => true,
        Some('#') => is_hexadecimal(value.trim_start_matches('#'), value.len()),
        Some('"') => is_quoted(&value[1..]),
        Some(_) => is_plain(value),
    }
}

fn is_object_identifier(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (Some(first), Some(second)) = (parts.first(), parts.get(1)) else { return false };
    let small = |part: &str| part.parse::<u8>().unwrap_or(u8::MAX);
    parts.iter().all(is_number) && (small(first) < 2 && small(second) < 40 || small(first) == 2)
}

/// The bytes of one DER value, behind one sign.
fn is_hexadecimal(digits: &str, with_signs: usize) -> bool {
    if with_signs != digits.len() + 1 || !digits.len().is_multiple_of(2) {
        return false;
    }
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("?"), 16).ok());
    let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() else { return false };
    match bytes.as_slice() {
        [_, length @ 0..=0x7F, content @ ..] => usize::from(*length) == content.len(),
        [_, 0x81, length, content @ ..] => usize::from(*length) == content.len(),
        [_, 0x82, high, low, content @ ..] => usize::from(u16::from_be_bytes([*high, *low])) == content.len(),
        _ => false,
    }
}

/// What follows a backslash: two hexadecimal digits, or one of these characters.
fn is_escape(rest: &mut std::str::Chars<'_>, escapable: &str) -> bool {
    match rest.next() {
        Some(c) if c.is_ascii_hexdigit() => rest.next().is_some_and(|c| c.is_ascii_hexdigit()),
        Some(c) => escapable.contains(c),
        None => false,
    }
}

fn is_quoted(text: &str) -> bool {
    let mut rest = text.chars();
    loop {
        match rest.next() {
            None => return false,
            Some('"') => return rest.all(|c| c == ' ' || c == '\n'),
            Some('\\') if !is_escape(&mut rest, ESCAPABLE_IN_QUOTES) => return false,
            Some(_) => {}
        }
    }
}

fn is_plain(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let fits = if c == '\\' { is_escape(&mut rest, ESCAPABLE) } else { !RESERVED.contains(c) };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_write_them_are_taken() {
        for name in [
            "",
            "CN=a",
            "cn=a,ou= b ; o=c",
            "CN=a+OU=b,C=DE",
            "2.5.4.3=a",
            "oid.1.2.840.113549.1.9.1=#16036140 62".replace(' ', "").as_str(),
            "CN=\"a, b\" , C=x",
            "CN=a\\,b\\20c\\\\",
            "CN=",
            "CN==",
            "CN=Zoë #1",
            "CN=a\\\\,O=b",
        ] {
            assert!(is_name(name), "{name}");
        }
    }

    /// Generated texts, and whether a JDK 17 takes them (`compat-tests/clients/java/names`).
    #[test]
    fn names_are_taken_as_the_jdk_takes_them() {
        let mut count = 0;
        for line in include_str!("testdata/x500-names.txt").lines() {
            let (text, is_name) = line.strip_prefix('x').unwrap().split_once(' ').unwrap();
            let digits = text.as_bytes().chunks(2);
            let bytes =
                digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            let text = String::from_utf8(bytes.collect()).unwrap();
            assert_eq!(super::is_name(&text), is_name == "true", "{text:?}");
            count += 1;
        }
        assert_eq!(count, 300);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [
            "a",
            "XX=a",
            "CN=a,",
            ",CN=a",
            "CN=a+",
            "=a",
            "CN=a<b",
            "CN=a\\",
            "CN=a\\x",
            "CN=a\\1x",
            "CN=\"a",
            "CN=\"a\"b",
            "CN=#",
            "CN=#123",
            "CN=#0401",
            "CN=##0400",
            "3.1=a",
            "1=a",
            "1.40=a",
            "1..2=a",
            "CN=a\"b",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
