//! Four-letter words: a fresh connection sends four bytes, gets text, and is closed.
//!
//! [`is_word`] tells a word from the length of a first frame, [`answer`] gives the text. The caller
//! reads the bytes, writes the text and closes; it asks [`extra_bytes`] whether more bytes follow, and
//! [`is_heavy`] whether the text may be long.
//!
//! Reference: `NIOServerCnxn.checkFourLetterWord`, `FourLetterCommands`, `AbstractFourLetterCommand`.

use super::Out;
use super::commands::{self, NotServing};
use super::report::Source;

/// What a telnet client sends when it is interrupted; known as a word, but does nothing.
const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];
/// How [`TELNET_CLOSE`] is called in the whitelist and in the refusal.
const TELNET_CLOSE_NAME: &str = "telnet close";
const SET_TRACE_MASK: [u8; 4] = *b"stmk";
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// The words that answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whitelist {
    words: Vec<String>,
}

impl Whitelist {
    /// From the words of the configuration; `*` among them means all.
    pub fn of(words: &[String]) -> Self {
        Self { words: words.to_vec() }
    }

    /// Whether this word answers. `srvr` always does: the reference's own scripts need it.
    pub fn allows(&self, word: &str) -> bool {
        word == "srvr" || self.words.iter().any(|allowed| allowed == "*" || allowed == word)
    }
}

/// Whether the first four bytes of a connection are a word, and not the length of a frame.
pub fn is_word(first4: [u8; 4]) -> bool {
    name_of(first4).is_some()
}

/// Bytes to read after the word before [`answer`] is called: 8 for an allowed `stmk`, else 0.
pub fn extra_bytes(word: [u8; 4], whitelist: &Whitelist) -> usize {
    if word == SET_TRACE_MASK && whitelist.allows("stmk") { 8 } else { 0 }
}

/// Whether the answer walks every connection, session or watch there is.
pub fn is_heavy(word: [u8; 4]) -> bool {
    matches!(&word, b"cons" | b"dump" | b"wchc" | b"wchp")
}

/// Writes the answer to a word. `extra` holds the bytes [`extra_bytes`] asked for, or None if the client did
/// not send them. Where nothing is to be said, nothing is written.
pub fn answer(
    word: [u8; 4],
    extra: Option<[u8; 8]>,
    whitelist: &Whitelist,
    source: &dyn Source,
    out: &mut Out<'_>,
) {
    let Some(name) = name_of(word) else { return };
    if !whitelist.allows(name) {
        out.push_str(&format!("{name} is not executed because it is not in the whitelist.\n"));
        return;
    }
    let Some(command) = commands::by_word(word) else { return };
    if word == SET_TRACE_MASK {
        let Some(mask) = extra else { return };
        source.set_trace_mask(i64::from_be_bytes(mask));
    }
    match command.not_serving {
        NotServing::Sentence if !source.is_serving() => out.push_str(&format!("{NOT_SERVING}\n")),
        NotServing::SentenceOnly if !source.is_serving() => out.push_str(NOT_SERVING),
        NotServing::Null if !source.is_serving() => out.push_str("null"),
        _ => (command.handler)(source, out),
    }
}

fn name_of(word: [u8; 4]) -> Option<&'static str> {
    match commands::by_word(word) {
        Some(command) => std::str::from_utf8(&command.word).ok(),
        None => (word == TELNET_CLOSE).then_some(TELNET_CLOSE_NAME),
    }
}

#[cfg(test)]
#[path = "four_letter_test.rs"]
mod tests;
