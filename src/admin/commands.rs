//! Every command, one row each. The four-letter words read this table; the HTTP commands will, too.
//!
//! Reference: `FourLetterCommands`, `CommandExecutor`; names and aliases from `Commands`.

use super::report::Source;
use super::{Out, text};

/// Writes the answer, for a server that may answer.
pub type Handler = fn(&dyn Source, &mut Out<'_>);

/// What a word says while no requests are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServing {
    /// The same as always.
    Answers,
    /// The usual sentence and a line end.
    Sentence,
    /// The usual sentence, no line end.
    SentenceOnly,
    /// The word `null`, no line end.
    Null,
}

/// One row.
#[derive(Debug)]
pub struct Command {
    /// The name in URLs.
    pub name: &'static str,
    /// Other names in URLs.
    pub aliases: &'static [&'static str],
    /// The word on the client port.
    pub word: [u8; 4],
    /// What it says while the server does not serve.
    pub not_serving: NotServing,
    /// What it says otherwise.
    pub handler: Handler,
}

const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    word: &[u8; 4],
    not_serving: NotServing,
    handler: Handler,
) -> Command {
    Command { name, aliases, word: *word, not_serving, handler }
}

use NotServing::{Answers, Null, Sentence, SentenceOnly};

/// All commands that have a four-letter word.
pub static COMMANDS: &[Command] = &[
    row("configuration", &["conf", "config"], b"conf", Sentence, text::conf),
    row("connections", &["cons"], b"cons", Sentence, text::cons),
    row("connection_stat_reset", &["crst"], b"crst", Sentence, text::crst),
    row("dirs", &[], b"dirs", Sentence, text::dirs),
    row("dump", &[], b"dump", Sentence, text::dump),
    row("environment", &["env", "envi"], b"envi", Answers, text::envi),
    row("get_trace_mask", &["gtmk"], b"gtmk", Answers, text::gtmk),
    row("hash", &[], b"hash", SentenceOnly, text::hash),
    row("is_read_only", &["isro"], b"isro", Null, text::isro),
    row("monitor", &["mntr"], b"mntr", Sentence, text::mntr),
    row("ruok", &[], b"ruok", Answers, text::ruok),
    row("server_stats", &["srvr"], b"srvr", Sentence, text::srvr),
    // The mask itself arrives after the word: four_letter sets it before this prints it.
    row("set_trace_mask", &["stmk"], b"stmk", Answers, text::gtmk),
    row("stat_reset", &["srst"], b"srst", Sentence, text::srst),
    row("stats", &["stat"], b"stat", Sentence, text::stat),
    row("watches", &["wchc"], b"wchc", Sentence, text::wchc),
    row("watches_by_path", &["wchp"], b"wchp", Sentence, text::wchp),
    row("watch_summary", &["wchs"], b"wchs", Sentence, text::wchs),
];

/// The row of a four-letter word.
pub fn by_word(word: [u8; 4]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.word == word)
}

/// The row of a name or alias.
pub fn by_name(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_name_or_an_alias() {
        for command in COMMANDS {
            let word = std::str::from_utf8(&command.word).unwrap();
            assert!(std::ptr::eq(by_name(word).unwrap(), command), "{word}");
            assert!(std::ptr::eq(by_word(command.word).unwrap(), command), "{word}");
        }
        assert_eq!(COMMANDS.len(), 18);
    }
}
