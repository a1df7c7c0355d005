//! One of the two servers: its connections, and what comes back on them.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::connection::{ANSWER_LIMIT, CLOSE_LIMIT, Came, Connection};
use super::generate::SLOTS;
use super::normal::Normal;
use super::script::{Field, Hello, Password, Whose, op, op_name};
use crate::server::Server;

/// The slot of the connection that may do everything. Scripts do not use it.
pub const ADMIN: usize = SLOTS;
/// The slot that learns which sessions a server gives after a start.
const PROBE: usize = SLOTS + 1;

/// One thing that came back, normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A watch event.
    Event {
        /// Of which change.
        zxid: i64,
        /// Type and state.
        kind: (i32, i32),
        /// Where.
        path: Vec<u8>,
    },
    /// A reply.
    Reply {
        /// To which request.
        xid: i32,
        /// The server's position.
        zxid: i64,
        /// How it went.
        err: i32,
        /// What follows.
        body: Vec<u8>,
    },
    /// The answer to a connect request, or another frame that is not a reply.
    Hello(String),
    /// The connection has ended.
    Closed,
    /// The connection has not ended, although the other server's did.
    Open,
    /// No answer came.
    Silence,
    /// The step was not played: there was nothing to play it on.
    Skipped,
    /// A word's answer.
    Text(String),
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { zxid, kind, path } => {
                write!(
                    f,
                    "event zxid {zxid} type {} state {} {:?}",
                    kind.0,
                    kind.1,
                    String::from_utf8_lossy(path)
                )
            }
            Self::Reply { xid, zxid, err, body } => {
                write!(
                    f,
                    "reply xid {xid} zxid {zxid} err {err} body[{}] {}",
                    body.len(),
                    body.escape_ascii()
                )
            }
            Self::Hello(text) => write!(f, "connected {text}"),
            Self::Text(text) => write!(f, "text {text}"),
            Self::Closed => write!(f, "closed"),
            Self::Open => write!(f, "still open"),
            Self::Silence => write!(f, "nothing came"),
            Self::Skipped => write!(f, "skipped"),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    session: i64,
    password: Vec<u8>,
}

/// A server and our connections to it.
#[derive(Debug)]
pub struct Side {
    /// The process.
    pub server: Server,
    /// What its answers are made comparable with.
    pub normal: Normal,
    slots: Vec<Slot>,
}

impl Side {
    /// Opens the administrator's connection.
    pub fn new(server: Server) -> Result<Self> {
        let slots = (0..=PROBE).map(|_| Slot::default()).collect();
        let mut side = Self { server, normal: Normal::new(0), slots };
        side.connect(ADMIN, &Hello::default(), 0)?;
        let first = side.slots[ADMIN].session;
        if first == 0 {
            bail!("{} gave the administrator no session", side.server.kind());
        }
        side.normal = Normal::new(first);
        side.prove_super()?;
        Ok(side)
    }

    fn prove_super(&mut self) -> Result<()> {
        let credentials = [Field::Int(0), Field::Text("digest".into()), Field::Text("super:admin".into())];
        match self.call(ADMIN, op("auth"), &credentials)? {
            Item::Reply { err: 0, .. } => Ok(()),
            other => bail!("{} does not take the super user's password: {other:?}", self.server.kind()),
        }
    }

    /// Stops the server and starts it again. The administrator comes back to the session it has.
    pub fn restart(&mut self) -> Result<Item> {
        self.slots.iter_mut().for_each(|slot| slot.connection = None);
        self.server.restart()?;
        let answer = self.connect(ADMIN, &Hello { whose: Whose::Of(ADMIN), ..Hello::default() }, 0)?;
        self.prove_super()?;
        self.connect(PROBE, &Hello::default(), 0)?;
        self.normal.started_again(self.slots[PROBE].session);
        self.call(PROBE, op("closeSession"), &[])?;
        self.slots[PROBE].connection = None;
        Ok(answer)
    }

    /// Whether the slot has a connection.
    pub fn is_open(&self, at: usize) -> bool {
        self.slots[at].connection.is_some()
    }

    /// Whether the slot ever had a session.
    pub fn had_session(&self, at: usize) -> bool {
        self.slots[at].session != 0
    }

    /// Which slots hold a connection to the session of `at`.
    pub fn sharing(&self, at: usize) -> Vec<usize> {
        let session = self.slots[at].session;
        (0..SLOTS)
            .filter(|slot| self.is_open(*slot) && self.slots[*slot].session == session && session != 0)
            .collect()
    }

    /// Takes the slot's connection away, to be watched until it ends.
    pub fn take(&mut self, at: usize) -> Option<Connection> {
        self.slots[at].connection.take()
    }

    /// Closes the slot's connection and waits until the server has noticed: the reference, while it
    /// cleans up after a lost connection, forgets the one that has taken its session over by then.
    pub fn hang_up(&mut self, at: usize) -> Result<()> {
        if self.take(at).is_none() {
            return Ok(());
        }
        // The administrator's, and the one that asks.
        let others = 2 + (0..SLOTS).filter(|slot| self.is_open(*slot)).count();
        let deadline = Instant::now() + CLOSE_LIMIT;
        while Instant::now() < deadline {
            let answer = self.server.ask("srvr")?;
            let connections = answer.lines().find_map(|line| line.strip_prefix("Connections: "));
            if connections.and_then(|count| count.parse().ok()).is_some_and(|count: usize| count <= others) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Where the server stands.
    pub fn zxid(&self) -> Result<i64> {
        let answer = self.server.ask("srvr")?;
        let zxid =
            answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).context("srvr without Zxid")?;
        i64::from_str_radix(zxid, 16).with_context(|| format!("not a zxid: {zxid}"))
    }

    /// Waits until the server stands at a zxid, and tells where it stands then.
    pub fn await_zxid(&mut self, zxid: i64, limit: Duration) -> Result<i64> {
        let deadline = Instant::now() + limit;
        loop {
            let at = self.zxid()?;
            if at >= zxid || Instant::now() > deadline {
                return Ok(at);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Gives a connection back to its slot, unless that has a new one.
    pub fn put_back(&mut self, at: usize, connection: Connection) {
        self.slots[at].connection.get_or_insert(connection);
    }

    /// Sends bytes on a slot that has a connection.
    pub fn send(&mut self, at: usize, bytes: &[u8]) {
        if let Some(connection) = &mut self.slots[at].connection {
            connection.send(bytes);
        }
    }

    /// Opens a connection for a slot that has none.
    pub fn connect(&mut self, at: usize, hello: &Hello, last_zxid: i64) -> Result<Item> {
        let (session, own) = match hello.whose {
            Whose::New => (0, vec![0; 16]),
            Whose::Of(slot) => (self.slots[slot].session, self.slots[slot].password.clone()),
            Whose::Stranger(id) => (id, vec![7; 16]),
        };
        let mut frame = Vec::new();
        let seen = hello.seen.map_or(0, |ahead| last_zxid.saturating_add(ahead));
        [Field::Int(0), Field::Long(seen), Field::Int(hello.timeout_ms), Field::Long(session)]
            .iter()
            .for_each(|field| field.encode(0, &mut frame));
        let password = match hello.password {
            Password::Right => Some(own),
            Password::Wrong => Some(vec![9; 16]),
            Password::Empty => Some(Vec::new()),
            Password::Null => None,
        };
        match &password {
            Some(bytes) => {
                Field::Int(bytes.len() as i32).encode(0, &mut frame);
                frame.extend(bytes);
            }
            None => Field::Null.encode(0, &mut frame),
        }
        frame.extend(hello.read_only.map(u8::from));
        frame.truncate(frame.len().saturating_sub(hello.cut));
        let mut connection = Connection::open(self.server.addr())?;
        let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
        bytes.extend(&frame);
        connection.send(&bytes);
        let slot = &mut self.slots[at];
        Ok(match connection.frame() {
            Came::Frame(answer) => {
                let text = self.normal.hello(&answer);
                let id = answer
                    .get(8..16)
                    .and_then(|bytes| bytes.first_chunk::<8>())
                    .map_or(0, |id| i64::from_be_bytes(*id));
                if id == 0 {
                    // The session is gone, and so will be the connection.
                    return Ok(Item::Hello(format!("{text} then {:?}", closing(&mut connection))));
                }
                slot.session = id;
                slot.password = answer.get(20..36).unwrap_or_default().to_vec();
                slot.connection = Some(connection);
                Item::Hello(text)
            }
            Came::End => Item::Closed,
            Came::Nothing => Item::Silence,
        })
    }

    /// Reads up to the reply to a request of this kind: events before it, and it.
    pub fn receive(&mut self, at: usize, kind: i32, into: &mut Vec<Item>) {
        loop {
            let slot = &mut self.slots[at];
            let Some(connection) = &mut slot.connection else {
                into.push(Item::Skipped);
                return;
            };
            let item = match connection.frame() {
                Came::Frame(frame) if kind == op("createSession") && frame.starts_with(&[0; 4]) => {
                    Item::Hello(self.normal.hello(&frame))
                }
                Came::Frame(mut frame) => {
                    self.server.without_ports(&mut frame);
                    parse(&mut self.normal, kind, &frame)
                }
                Came::End => {
                    slot.connection = None;
                    Item::Closed
                }
                Came::Nothing => Item::Silence,
            };
            let is_event = matches!(item, Item::Event { .. });
            into.push(item);
            if !is_event {
                return;
            }
        }
    }

    /// Reads until the slot's connection ends, which it should soon.
    pub fn await_close(&mut self, at: usize, into: &mut Vec<Item>) {
        if let Some(mut connection) = self.take(at) {
            self.drain(&mut connection, into);
        }
    }

    /// Reads a connection until it ends.
    pub fn drain(&mut self, connection: &mut Connection, into: &mut Vec<Item>) {
        loop {
            match connection.frame_within(CLOSE_LIMIT) {
                Came::Frame(frame) => into.push(parse(&mut self.normal, 0, &frame)),
                Came::End => return into.push(Item::Closed),
                Came::Nothing => return into.push(Item::Open),
            }
        }
    }

    /// One request of the harness itself, and its reply.
    pub fn call(&mut self, at: usize, kind: i32, body: &[Field]) -> Result<Item> {
        let mut bytes = Vec::new();
        request(1, kind, body, 0, &mut bytes);
        self.send(at, &bytes);
        let mut items = Vec::new();
        self.receive(at, kind, &mut items);
        items.pop().with_context(|| format!("no answer to {} within {ANSWER_LIMIT:?}", op_name(kind)))
    }
}

fn closing(connection: &mut Connection) -> Item {
    match connection.frame_within(CLOSE_LIMIT) {
        Came::Frame(frame) => Item::Hello(format!("{frame:02x?}")),
        Came::End => Item::Closed,
        Came::Nothing => Item::Open,
    }
}

/// Appends a whole request.
pub fn request(xid: i32, kind: i32, body: &[Field], base: i64, out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    body.iter().for_each(|field| field.encode(base, &mut payload));
    out.extend((payload.len() as i32 + 8).to_be_bytes());
    out.extend(xid.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(payload);
}

fn parse(normal: &mut Normal, kind: i32, frame: &[u8]) -> Item {
    let int = |at: usize| {
        frame.get(at..at + 4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let zxid =
        frame.get(4..).and_then(|bytes| bytes.first_chunk::<8>()).map(|bytes| i64::from_be_bytes(*bytes));
    let (Some(xid), Some(zxid), Some(err)) = (int(0), zxid, int(12)) else {
        return Item::Hello(format!("{frame:02x?}"));
    };
    let body = frame.get(16..).unwrap_or_default().to_vec();
    if let (-1, 0, Some(change), Some(state), Some(_)) = (xid, err, int(16), int(20), int(24)) {
        return Item::Event {
            zxid,
            kind: (change, state),
            path: frame.get(28..).unwrap_or_default().to_vec(),
        };
    }
    Item::Reply { xid, zxid, err, body: normal.body(kind, body) }
}
