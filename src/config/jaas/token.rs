//! The tokens of a login configuration, as the JDK's `StreamTokenizer` cuts them with the settings of `ConfigFile`.

use std::iter::Peekable;
use std::str::Chars;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters and what counts as one.
    Word,
    /// Text in double quotes.
    Quoted,
    /// Text in single quotes, which stands nowhere.
    Apostrophes,
    /// Something that begins as a number does, which stands nowhere.
    Number,
    /// Any other character.
    Sign(char),
    /// Nothing more.
    End,
}

/// The tokens, of which the next one is looked at.
pub(super) struct Tokens<'a> {
    rest: Peekable<Chars<'a>>,
    next: Kind,
    text: String,
    /// Where the next token begins, and where the rest does.
    lines: (usize, usize),
}

const fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '.' | '-')
}

/// Whether it is part of a word. Between ASCII and Latin-1's letters are signs.
const fn is_letter(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '$' | '_' | '-' | '*' | '\u{a0}'..)
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut tokens =
            Self { rest: text.chars().peekable(), next: Kind::End, text: String::new(), lines: (1, 1) };
        tokens.advance();
        tokens
    }

    /// What the next token is.
    pub(super) const fn next_kind(&self) -> Kind {
        self.next
    }

    /// The line in which it begins.
    pub(super) const fn line(&self) -> usize {
        self.lines.0
    }

    /// Takes the next token: its text, if it has one.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.advance();
        text
    }

    fn read(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        // A line ends with a line feed, a return, or both.
        if c == '\n' || c == '\r' && self.rest.peek() != Some(&'\n') {
            self.lines.1 += 1;
        }
        Some(c)
    }

    fn read_while(&mut self, belongs: impl Fn(char) -> bool) {
        while let Some(c) = self.rest.next_if(|c| belongs(*c)) {
            self.text.push(c);
        }
    }

    fn advance(&mut self) {
        self.next = loop {
            self.lines.0 = self.lines.1;
            let Some(c) = self.read() else { break Kind::End };
            match c {
                '\0'..=' ' => {}
                // A slash alone begins a comment too, to the end of the line.
                '/' if self.rest.next_if_eq(&'*').is_some() => self.skip_comment(),
                '/' => while self.rest.next_if(|c| !matches!(c, '\n' | '\r')).is_some() {},
                '-' if !self.rest.peek().is_some_and(|c| matches!(c, '0'..='9' | '.')) => {
                    break Kind::Sign('-');
                }
                c if is_digit(c) => {
                    while self.rest.next_if(|c| matches!(c, '0'..='9' | '.')).is_some() {}
                    break Kind::Number;
                }
                c if is_letter(c) => {
                    self.text.push(c);
                    self.read_while(|c| is_letter(c) || is_digit(c));
                    break Kind::Word;
                }
                '"' | '\'' => {
                    self.quoted(c);
                    break if c == '"' { Kind::Quoted } else { Kind::Apostrophes };
                }
                c => break Kind::Sign(c),
            }
        };
    }

    fn skip_comment(&mut self) {
        let mut before = '\0';
        while let Some(c) = self.read() {
            if c == '/' && before == '*' {
                return;
            }
            before = c;
        }
    }

    /// Text up to the quote that ends it, or to the end of the line.
    fn quoted(&mut self, quote: char) {
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '\n' | '\r')) {
            match c {
                c if c == quote => return,
                '\\' => {
                    let c = self.escaped();
                    self.text.extend(c);
                }
                c => self.text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let first = self.read()?;
        let Some(mut number) = first.to_digit(8) else {
            return Some(match first {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            });
        };
        // At most three digits, and none above \377.
        for _ in 0..if number < 4 { 2 } else { 1 } {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else { break };
            number = number * 8 + digit;
            self.rest.next();
        }
        char::from_u32(number)
    }
}
