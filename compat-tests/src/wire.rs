//! The client protocol at its barest: frames, a handshake, integers and strings.
//!
//! Written from the protocol and not from the server's codec, so that the two can disagree.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Op codes the tests send.
pub mod op {
    #![expect(missing_docs, reason = "the names are the protocol's own")]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const RECONFIG: i32 = 16;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const CREATE_TTL: i32 = 21;
    pub const AUTH: i32 = 100;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const MULTI_READ: i32 = 22;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const SET_WATCHES: i32 = 101;
    pub const ERROR: i32 = -1;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
}

/// The longest frame the client accepts.
const FRAME_MAX: usize = 16 << 20;

/// A body under construction, big-endian throughout.
#[derive(Clone, Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte as a boolean.
    #[must_use]
    pub fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    /// Appends a 32-bit integer.
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Appends a 64-bit integer.
    #[must_use]
    pub fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Appends a length and bytes.
    #[must_use]
    pub fn buffer(self, bytes: &[u8]) -> Self {
        let mut body = self.int(bytes.len() as i32);
        body.0.extend(bytes);
        body
    }

    /// Appends a length and text.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        self.buffer(text.as_bytes())
    }

    /// Appends the list with the one entry `world:anyone` and all permissions.
    #[must_use]
    pub fn open_acl(self) -> Self {
        self.int(1).int(31).string("world").string("anyone")
    }

    /// Appends the list with one entry that has all permissions.
    #[must_use]
    pub fn acl(self, scheme: &str, id: &str) -> Self {
        self.int(1).int(31).string(scheme).string(id)
    }

    /// The body of an auth packet.
    pub fn auth(scheme: &str, credentials: &[u8]) -> Self {
        Self::new().int(0).string(scheme).buffer(credentials)
    }

    /// The body of a plain create.
    pub fn create(path: &str, data: &[u8], flags: i32) -> Self {
        Self::new().string(path).buffer(data).open_acl().int(flags)
    }

    /// The body of setData.
    pub fn set_data(path: &str, data: &[u8], version: i32) -> Self {
        Self::new().string(path).buffer(data).int(version)
    }

    /// The body of getData, exists or getChildren: a path and a watch flag.
    pub fn path_and_watch(path: &str, watch: bool) -> Self {
        Self::new().string(path).bool(watch)
    }
}

/// A request as it goes over the wire, with its length.
pub fn request(xid: i32, op: i32, body: &Body) -> Vec<u8> {
    framed(&[&xid.to_be_bytes(), &op.to_be_bytes(), &body.0[..]].concat())
}

/// A frame with its length in front.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a frame below 4 GiB");
    [&length.to_be_bytes(), frame].concat()
}

/// The frame that asks for a session: a new one where `session` is 0.
pub fn hello(timeout_ms: i32, session: i64, password: &[u8], last_zxid: i64) -> Vec<u8> {
    Body::new().int(0).long(last_zxid).int(timeout_ms).long(session).buffer(password).bool(false).0
}

/// One reply or notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Echo of the request's xid; -1 for a notification.
    pub xid: i32,
    /// The server's position.
    pub zxid: i64,
    /// Error code, 0 for success.
    pub err: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads a length-prefixed buffer at the start of the body.
    pub fn first_buffer(&self) -> Result<&[u8]> {
        let (length, rest) = self.body.split_first_chunk::<4>().context("a reply body without a length")?;
        let length = usize::try_from(i32::from_be_bytes(*length)).context("a negative length")?;
        rest.get(..length).context("a reply body shorter than it says")
    }
}

/// One connection with one session.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// The session's id, 0 when the server refused it.
    pub session: i64,
    /// The session's password.
    pub password: Vec<u8>,
    /// The timeout the server granted.
    pub timeout_ms: i32,
}

impl Client {
    /// Opens a new session.
    pub fn connect(addr: SocketAddr, timeout_ms: i32) -> Result<Self> {
        Self::reconnect(addr, timeout_ms, 0, &[0; 16], 0)
    }

    /// Opens or renews a session. A refused one gives a client whose `session` is 0.
    pub fn reconnect(
        addr: SocketAddr,
        timeout_ms: i32,
        session: i64,
        password: &[u8],
        last_zxid: i64,
    ) -> Result<Self> {
        Self::handshake(addr, &hello(timeout_ms, session, password, last_zxid))
    }

    /// Sends `hello` as the first frame, whatever it holds.
    pub fn handshake(addr: SocketAddr, hello: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))
            .with_context(|| format!("connect to {addr}"))?;
        Self::handshake_on(stream, hello)
    }

    /// The same on a socket of any kind.
    pub fn handshake_on(stream: TcpStream, hello: &[u8]) -> Result<Self> {
        Self::handshake_within(stream, hello, Duration::from_secs(30))
    }

    /// The same, with a limit for this answer and for each that follows.
    pub fn handshake_within(stream: TcpStream, hello: &[u8], limit: Duration) -> Result<Self> {
        stream.set_nodelay(true).context("set no delay")?;
        stream.set_read_timeout(Some(limit)).context("set a read timeout")?;
        stream.set_write_timeout(Some(Duration::from_secs(30))).context("set a write timeout")?;
        let mut client = Self { stream, session: 0, password: Vec::new(), timeout_ms: 0 };
        client.send_frame(hello)?;
        let answer = client.receive_frame().context("the answer to the handshake")?;
        let Some((fixed, rest)) = answer.split_first_chunk::<20>() else {
            bail!("a handshake answer of {} bytes", answer.len());
        };
        let int = |at: usize| i32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        client.timeout_ms = int(4);
        client.session = (i64::from(int(8)) << 32) | i64::from(int(12) as u32);
        let length = usize::try_from(int(16)).context("a negative password length")?;
        client.password = rest.get(..length).context("a password shorter than it says")?.to_vec();
        Ok(client)
    }

    /// Sends one request.
    pub fn send(&mut self, xid: i32, op: i32, body: &Body) -> Result<()> {
        self.send_bytes(&request(xid, op, body))
    }

    /// Sends one frame of any content.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(&framed(frame)).context("send a frame")
    }

    /// Sends bytes as they are, without a length.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send bytes")
    }

    /// Sends as much as the server takes until it has taken nothing for `patience`, or all is sent; how many
    /// bytes that were. Nothing is read meanwhile.
    pub fn pour(&mut self, bytes: &[u8], patience: Duration) -> Result<usize> {
        self.stream.set_write_timeout(Some(patience)).context("set a write timeout")?;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                // Refused or not taken: both are an end of it.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Receives one frame.
    pub fn receive_frame(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("receive the length of a frame")?;
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_MAX {
            bail!("a frame of {length} bytes");
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).context("receive a frame")?;
        Ok(frame)
    }

    /// Receives one reply or notification.
    pub fn receive(&mut self) -> Result<Reply> {
        let frame = self.receive_frame()?;
        let (header, body) = frame.split_first_chunk::<16>().context("a reply shorter than its header")?;
        let [x0, x1, x2, x3, zxid @ .., e0, e1, e2, e3] = *header;
        Ok(Reply {
            xid: i32::from_be_bytes([x0, x1, x2, x3]),
            zxid: i64::from_be_bytes(zxid),
            err: i32::from_be_bytes([e0, e1, e2, e3]),
            body: body.to_vec(),
        })
    }

    /// Sends one request and receives one reply.
    pub fn call(&mut self, xid: i32, op: i32, body: &Body) -> Result<Reply> {
        self.send(xid, op, body)?;
        self.receive()
    }

    /// A second handle on the same connection, for a thread that only receives.
    pub fn try_clone(&self) -> Result<Self> {
        let stream = self.stream.try_clone().context("clone a connection")?;
        Ok(Self {
            stream,
            session: self.session,
            password: self.password.clone(),
            timeout_ms: self.timeout_ms,
        })
    }
}
