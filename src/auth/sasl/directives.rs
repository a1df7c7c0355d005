//! The syntax of DIGEST-MD5's messages: `name=value, name="quoted \" value"` (RFC 2831 section 7.1; read as the
//! JDK's `DigestMD5Base.parseDirectives` does).

use super::Failure;

/// The directives of a message, with their values as bytes.
#[derive(Debug)]
pub(super) struct Directives(Vec<(String, Vec<u8>)>);

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b' ' | b'\t')
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    bytes
}

impl Directives {
    /// Reads a message. A directive that is not among `known` is passed over, whatever it says; one of the known ones
    /// may come once, unless it is among `repeated`.
    ///
    /// # Errors
    /// What is wrong with it, without a word of the message.
    pub(super) fn parse(message: &[u8], known: &[&str], repeated: &[&str]) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure(format!("malformed DIGEST-MD5 message: {what}"));
        let mut found = Self(Vec::new());
        let mut rest = trim_start(message);
        loop {
            while let [b',', after @ ..] = rest {
                rest = trim_start(after);
            }
            if rest.is_empty() {
                return Ok(found);
            }
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'=') || is_blank(*byte));
            // A name at the very end is no directive, and the JDK takes it for one with an empty value.
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            let name = String::from_utf8_lossy(name);
            let value;
            if after.is_empty() {
                value = Vec::new();
                rest = after;
            } else {
                let Some((b'=', after)) = trim_start(after).split_first() else {
                    return Err(wrong("= expected behind the name of a directive"));
                };
                if name.is_empty() {
                    return Err(wrong("a directive without a name"));
                }
                let after = trim_start(after);
                (value, rest) = match after.split_first() {
                    None => return Err(wrong("a directive without a value")),
                    Some((b'"', quoted)) => {
                        unquoted(quoted).ok_or_else(|| wrong("a quote without its end"))?
                    }
                    Some(_) => {
                        let end = after.iter().position(|byte| *byte == b',' || is_blank(*byte));
                        let (value, rest) = after.split_at(end.unwrap_or(after.len()));
                        (value.to_vec(), rest)
                    }
                };
                match rest.split_first() {
                    Some((byte, after)) if *byte == b',' || is_blank(*byte) => rest = trim_start(after),
                    Some(_) => return Err(wrong("a comma is expected behind a quoted value")),
                    None => {}
                }
            }
            found.add(&name, value, known, repeated)?;
        }
    }

    fn add(&mut self, name: &str, value: Vec<u8>, known: &[&str], repeated: &[&str]) -> Result<(), Failure> {
        let Some(name) = known.iter().find(|one| one.eq_ignore_ascii_case(name)) else { return Ok(()) };
        if self.get(name).is_some() && !repeated.contains(name) {
            return Err(Failure(format!("the directive {name} came twice")));
        }
        self.0.push(((*name).to_owned(), value));
        Ok(())
    }

    /// The value of a directive, if it came.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_slice())
    }
}

/// A quoted value without its quotes and escapes, and what is behind it.
fn unquoted(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [b'\\'] | [] => return None,
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

/// A value in quotes, with escapes where they are needed (RFC 2831 section 7.2).
pub(super) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in value {
        let is_control = matches!(byte, 0..=31 | 127) && !matches!(byte, b'\r' | b'\n' | b'\t');
        if is_control || matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: &str) -> Result<Vec<(String, String)>, Failure> {
        let parsed = Directives::parse(message.as_bytes(), &["realm", "nonce", "qop"], &["realm"])?;
        Ok(parsed.0.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into())).collect())
    }

    #[track_caller]
    fn check(message: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(parse(message), Ok(expected), "{message:?}");
    }

    #[test]
    fn values_stand_alone_or_in_quotes() {
        check("nonce=abc,qop=auth", &[("nonce", "abc"), ("qop", "auth")]);
        check(r#"nonce="a\"b\\c, d",qop=auth"#, &[("nonce", r#"a"b\c, d"#), ("qop", "auth")]);
        check(" ,, nonce = abc ,\r\n\tqop=auth,,", &[("nonce", "abc"), ("qop", "auth")]);
        check("nonce=abc qop=auth", &[("nonce", "abc"), ("qop", "auth")]);
        check(r#"nonce="",QOP=auth"#, &[("nonce", ""), ("qop", "auth")]);
        check("", &[]);
        check("nonce", &[("nonce", "")]);
        check("nonce=a=b", &[("nonce", "a=b")]);
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_known_comes_once() {
        check("else=1,else=2,realm=a,realm=b", &[("realm", "a"), ("realm", "b")]);
        assert!(parse("nonce=1,nonce=2").is_err());
        assert!(parse("nonce=1,NONCE=1").is_err());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for message in [
            "=x",
            "nonce=",
            "nonce= ",
            "nonce x",
            "nonce ",
            "no,nce=x",
            "nonce=\"x",
            "nonce=\"x\\",
            "nonce=\"x\"y",
        ] {
            assert!(parse(message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_as_it_was() {
        for value in [&b"plain"[..], b"a\"b\\c", b"\x00\x7f\r\n\t", b"\xff\xfe, ="] {
            let message = [b"nonce=", quoted(value).as_slice()].concat();
            let parsed = Directives::parse(&message, &["nonce"], &[]).expect("it is well formed");
            assert_eq!(parsed.get("nonce"), Some(value));
        }
    }
}
