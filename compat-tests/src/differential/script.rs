//! What is played: steps, and the text in which they are kept.
//!
//! One step is one line. A script holds nothing that only a run can know: sessions are named by the
//! slot that opened them, and zxids count from where the run began. So any part of a script can be
//! played, which is what makes shrinking possible.
//!
//! ```text
//! connect 1 session=of:0 password=right seen=+0 timeout=600000 readonly=no
//! send 0 7 create "/a" "data" i1 i31 "world" "anyone" i0
//! send+ 0 8 exists "/a" b1          # + : the next step follows without waiting
//! frame 0 0001                      # a frame of any content
//! bytes 0 ffffffff                  # bytes without a length
//! drop 0
//! expire gone 1 0                   # or silent: the connections stay open
//! word srvr
//! restart
//! ```

use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// Op codes by the protocol's names.
pub const OPS: &[(&str, i32)] = &[
    ("create", 1),
    ("delete", 2),
    ("exists", 3),
    ("getData", 4),
    ("setData", 5),
    ("getACL", 6),
    ("setACL", 7),
    ("getChildren", 8),
    ("sync", 9),
    ("ping", 11),
    ("getChildren2", 12),
    ("check", 13),
    ("multi", 14),
    ("create2", 15),
    ("reconfig", 16),
    ("checkWatches", 17),
    ("removeWatches", 18),
    ("createContainer", 19),
    ("createTTL", 21),
    ("multiRead", 22),
    ("auth", 100),
    ("setWatches", 101),
    ("sasl", 102),
    ("getEphemerals", 103),
    ("getAllChildrenNumber", 104),
    ("setWatches2", 105),
    ("addWatch", 106),
    ("whoAmI", 107),
    ("createSession", -10),
    ("closeSession", -11),
];

/// The number of an op; panics on a name that is not in [`OPS`].
#[must_use]
pub fn op(name: &str) -> i32 {
    OPS.iter().find(|(known, _)| *known == name).expect("an op's name").1
}

/// The name of an op, or its number.
#[must_use]
pub fn op_name(op: i32) -> String {
    OPS.iter()
        .find(|(_, number)| *number == op)
        .map_or_else(|| op.to_string(), |(name, _)| (*name).to_owned())
}

/// One field of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// 32 bits: `i5`.
    Int(i32),
    /// 64 bits: `l5`.
    Long(i64),
    /// One byte: `b1`.
    Byte(u8),
    /// A length and text, also for data: `"text"`.
    Text(String),
    /// A buffer of so many bytes: `x1000`.
    Fill(usize),
    /// The length -1: `null`.
    Null,
    /// Bytes without a length: `r00ff`.
    Raw(Vec<u8>),
    /// 64 bits, counted from the zxid at which the run began: `z5`.
    Zxid(i64),
    /// So many bytes are taken off the end of what came before: `cut3`.
    Cut(usize),
}

impl Field {
    /// Appends the field's bytes. `base` is the zxid at which the run began.
    pub fn encode(&self, base: i64, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => out.extend(value.to_be_bytes()),
            Self::Long(value) => out.extend(value.to_be_bytes()),
            Self::Byte(value) => out.push(*value),
            Self::Text(text) => {
                out.extend((text.len() as i32).to_be_bytes());
                out.extend(text.as_bytes());
            }
            Self::Fill(count) => {
                out.extend((*count as i32).to_be_bytes());
                out.resize(out.len() + count, b'x');
            }
            Self::Null => out.extend((-1_i32).to_be_bytes()),
            Self::Raw(bytes) => out.extend(bytes),
            Self::Zxid(after) => out.extend(base.saturating_add(*after).to_be_bytes()),
            Self::Cut(count) => out.truncate(out.len().saturating_sub(*count)),
        }
    }
}

/// Whose session a connect request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A new one.
    New,
    /// The last one of that slot.
    Of(usize),
    /// One nobody has.
    Stranger(i64),
}

/// The password in a connect request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// The session's own; 16 zeros for a new session.
    Right,
    /// 16 other bytes.
    Wrong,
    /// Of length 0.
    Empty,
    /// Null.
    Null,
}

/// A connect request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Whose session.
    pub whose: Whose,
    /// With what password.
    pub password: Password,
    /// `lastZxidSeen`: 0, or so far from the last zxid seen in the run.
    pub seen: Option<i64>,
    /// Timeout asked for.
    pub timeout_ms: i32,
    /// The last byte; old clients leave it out.
    pub read_only: Option<bool>,
    /// Bytes taken off the end.
    pub cut: usize,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            whose: Whose::New,
            password: Password::Right,
            seen: None,
            timeout_ms: 900_000,
            read_only: Some(false),
            cut: 0,
        }
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request. A slot without a connection opens a new session first.
    Send {
        /// On which connection.
        at: usize,
        /// The next step is sent in the same breath.
        more: bool,
        /// Its number.
        xid: i32,
        /// Its kind.
        op: i32,
        /// What follows the header.
        body: Vec<Field>,
    },
    /// A frame of any content.
    Frame {
        /// On which connection.
        at: usize,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// Bytes without a length.
    Bytes {
        /// On which connection.
        at: usize,
        /// As they are.
        bytes: Vec<u8>,
    },
    /// A new connection for the slot; what it had is closed afterwards.
    Connect {
        /// For which slot.
        at: usize,
        /// What it sends first.
        hello: Hello,
    },
    /// The client closes its connection without a word.
    Drop {
        /// Which.
        at: usize,
    },
    /// The sessions of these slots are not heard of until they end, in this order.
    Expire {
        /// Whose.
        slots: Vec<usize>,
        /// Their connections are closed first.
        hang_up: bool,
    },
    /// Both servers stop and start again. All connections are lost.
    Restart,
    /// A four-letter word on a connection of its own.
    Word {
        /// Which.
        word: String,
    },
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "i{value}"),
            Self::Long(value) => write!(f, "l{value}"),
            Self::Byte(value) => write!(f, "b{value}"),
            Self::Text(text) => {
                write!(f, "\"{}\"", text.escape_default().to_string().replace(' ', "\\u{20}"))
            }
            Self::Fill(count) => write!(f, "x{count}"),
            Self::Null => write!(f, "null"),
            Self::Raw(bytes) => write!(f, "r{}", hex(bytes)),
            Self::Zxid(after) => write!(f, "z{after}"),
            Self::Cut(count) => write!(f, "cut{count}"),
        }
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whose {
            Whose::New => write!(f, "session=new"),
            Whose::Of(slot) => write!(f, "session=of:{slot}"),
            Whose::Stranger(id) => write!(f, "session=id:{id}"),
        }?;
        let password = format!("{:?}", self.password).to_lowercase();
        write!(f, " password={password}")?;
        match self.seen {
            None => write!(f, " seen=0"),
            Some(ahead) => write!(f, " seen={ahead:+}"),
        }?;
        let read_only = self.read_only.map_or("absent", |yes| if yes { "yes" } else { "no" });
        write!(f, " timeout={} readonly={read_only} cut={}", self.timeout_ms, self.cut)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { at, more, xid, op, body } => {
                write!(f, "send{} {at} {xid} {}", if *more { "+" } else { "" }, op_name(*op))?;
                body.iter().try_for_each(|field| write!(f, " {field}"))
            }
            Self::Frame { at, bytes } => write!(f, "frame {at} {}", hex(bytes)),
            Self::Bytes { at, bytes } => write!(f, "bytes {at} {}", hex(bytes)),
            Self::Connect { at, hello } => write!(f, "connect {at} {hello}"),
            Self::Drop { at } => write!(f, "drop {at}"),
            Self::Expire { slots, hang_up } => {
                write!(f, "expire {}", if *hang_up { "gone" } else { "silent" })?;
                slots.iter().try_for_each(|slot| write!(f, " {slot}"))
            }
            Self::Restart => write!(f, "restart"),
            Self::Word { word } => write!(f, "word {word}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len().is_multiple_of(2) && text.is_ascii(), "hex digits come in pairs: {text}");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

fn unescape(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next().context("an escape at the end")? {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                let code = u32::from_str_radix(&digits, 16)?;
                out.push(char::from_u32(code).context("an escape that is no character")?);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn parse_field(word: &str) -> Result<Field> {
    if let Some(text) = word.strip_prefix('"') {
        return Ok(Field::Text(unescape(text.strip_suffix('"').context("an open string")?)?));
    }
    if word == "null" {
        return Ok(Field::Null);
    }
    if let Some(count) = word.strip_prefix("cut") {
        return Ok(Field::Cut(count.parse()?));
    }
    let (kind, value) = word.split_at(1);
    Ok(match kind {
        "i" => Field::Int(value.parse()?),
        "l" => Field::Long(value.parse()?),
        "b" => Field::Byte(value.parse()?),
        "x" => Field::Fill(value.parse()?),
        "r" => Field::Raw(unhex(value)?),
        "z" => Field::Zxid(value.parse()?),
        _ => bail!("not a field: {word}"),
    })
}

fn parse_hello<'a>(words: impl Iterator<Item = &'a str>) -> Result<Hello> {
    let mut hello = Hello::default();
    for word in words {
        let (key, value) = word.split_once('=').with_context(|| format!("not key=value: {word}"))?;
        match (key, value.split_once(':').unwrap_or((value, ""))) {
            ("session", ("new", _)) => hello.whose = Whose::New,
            ("session", ("of", slot)) => hello.whose = Whose::Of(slot.parse()?),
            ("session", ("id", id)) => hello.whose = Whose::Stranger(id.parse()?),
            ("password", ("right", _)) => hello.password = Password::Right,
            ("password", ("wrong", _)) => hello.password = Password::Wrong,
            ("password", ("empty", _)) => hello.password = Password::Empty,
            ("password", ("null", _)) => hello.password = Password::Null,
            ("seen", ("0", _)) => hello.seen = None,
            ("seen", (ahead, _)) => hello.seen = Some(ahead.parse()?),
            ("timeout", (ms, _)) => hello.timeout_ms = ms.parse()?,
            ("readonly", ("absent", _)) => hello.read_only = None,
            ("readonly", (yes, _)) => hello.read_only = Some(yes == "yes"),
            ("cut", (count, _)) => hello.cut = count.parse()?,
            _ => bail!("not a part of a connect request: {word}"),
        }
    }
    Ok(hello)
}

/// Reads one line; `None` for an empty line or a comment.
pub fn parse_line(line: &str) -> Result<Option<Step>> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let verb = words.next().unwrap_or_default();
    if verb == "restart" {
        return Ok(Some(Step::Restart));
    }
    if verb == "word" {
        return Ok(Some(Step::Word { word: words.next().context("which word?")?.to_owned() }));
    }
    if verb == "expire" {
        let hang_up = words.next().context("gone or silent?")? == "gone";
        let slots = words.map(|slot| slot.parse().context("a slot's number")).collect::<Result<_>>()?;
        return Ok(Some(Step::Expire { slots, hang_up }));
    }
    let at: usize = words.next().context("on which connection?")?.parse().context("a slot's number")?;
    Ok(Some(match verb {
        "send" | "send+" => {
            let xid = words.next().context("an xid is missing")?.parse().context("an xid")?;
            let name = words.next().context("an op is missing")?;
            let known = OPS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
            let op = known.map_or_else(|| name.parse().context("an op"), Ok)?;
            let body = words.map(parse_field).collect::<Result<_>>()?;
            Step::Send { at, more: verb == "send+", xid, op, body }
        }
        "frame" => Step::Frame { at, bytes: unhex(words.next().unwrap_or_default())? },
        "bytes" => Step::Bytes { at, bytes: unhex(words.next().unwrap_or_default())? },
        "connect" => Step::Connect { at, hello: parse_hello(words)? },
        "drop" => Step::Drop { at },
        _ => bail!("not a step: {verb}"),
    }))
}

/// Reads a whole script.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (number, line) in text.lines().enumerate() {
        steps.extend(parse_line(line).with_context(|| format!("line {}: {line}", number + 1))?);
    }
    Ok(steps)
}

/// Writes a whole script.
#[must_use]
pub fn print(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}
