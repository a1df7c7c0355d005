//! What clients sent, as it may stand in a log line.

use std::fmt;

/// How much of it is printed.
const BYTES_MAX: usize = 256;

/// Text of a client: quoted, escaped, and cut when it is long. Costs no more for a long text than for a
/// short one.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a str);

/// Text of a client for a log line.
#[must_use]
pub const fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.floor_char_boundary(BYTES_MAX);
        let (start, cut) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        write!(f, "{start:?}")?;
        if cut.is_empty() { Ok(()) } else { write!(f, "… ({} bytes in all)", self.0.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ZOOKEEPER-5058: a name that a client sent wrote lines of its own into the log.
    #[test]
    fn short_text_is_shown_whole_and_quoted() {
        assert_eq!(shown("digest").to_string(), "\"digest\"");
        assert_eq!(shown("a\nb\u{1b}[2J").to_string(), r#""a\nb\u{1b}[2J""#);
    }

    #[test]
    fn a_megabyte_of_text_is_not_printed_whole() {
        let text = "ä".repeat(500_000);
        let printed = shown(&text).to_string();
        assert_eq!(printed, format!("\"{}\"… (1000000 bytes in all)", "ä".repeat(128)));
    }
}
