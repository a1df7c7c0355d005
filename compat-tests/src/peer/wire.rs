//! A socket whose reads take time into account: what has not come whole stays for the next read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The most that is taken of one thing.
const MOST: usize = 64 << 20;

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// It came.
    Some(T),
    /// Nothing whole came in time.
    Silence,
    /// The other side has closed.
    Closed,
}

/// A connection with a peer.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Why what is buffered makes no whole thing yet, or never will.
#[derive(Debug)]
pub enum Partial {
    /// More must come.
    Short,
    /// It is wrong.
    Wrong(String),
}

/// Reads big-endian values from the front of a buffer.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the front.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it is.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Partial> {
        if count > MOST {
            return Err(Partial::Wrong(format!("a length of {count}")));
        }
        let taken = self.bytes.get(self.at..self.at + count).ok_or(Partial::Short)?;
        self.at += count;
        Ok(taken)
    }

    /// A 32-bit integer.
    pub fn int(&mut self) -> Result<i32, Partial> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A 64-bit integer.
    pub fn long(&mut self) -> Result<i64, Partial> {
        let (high, low) = (self.int()?, self.int()?);
        Ok((i64::from(high) << 32) | i64::from(low as u32))
    }

    /// A length and bytes; none for the length -1.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Partial> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| Partial::Wrong(format!("a length of {length}")))?;
                self.take(length).map(Some)
            }
        }
    }

    /// A length and text.
    pub fn text(&mut self) -> Result<String, Partial> {
        Ok(String::from_utf8_lossy(self.buffer()?.unwrap_or_default()).into_owned())
    }
}

impl Wire {
    /// On a connected socket.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true).context("set no delay")?;
        stream.set_write_timeout(Some(Duration::from_secs(10))).context("set a write timeout")?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Connects, again and again until somebody listens or the time is up.
    pub fn dial(addr: SocketAddr, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            match TcpStream::connect_timeout(&addr, Duration::from_secs(2)) {
                Ok(stream) => return Self::new(stream),
                Err(e) if Instant::now() > deadline => {
                    return Err(e).with_context(|| format!("connect to {addr} within {patience:?}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Sends bytes in one piece.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send to the server")
    }

    /// A second handle on the socket, to close it from elsewhere.
    pub fn handle(&self) -> Result<TcpStream> {
        self.stream.try_clone().context("clone a socket")
    }

    /// Waits for what `parse` finds at the front.
    pub fn hear<T>(
        &mut self,
        patience: Duration,
        parse: impl Fn(&mut Cursor<'_>) -> Result<T, Partial>,
    ) -> Result<Heard<T>> {
        let deadline = Instant::now() + patience;
        loop {
            let mut cursor = Cursor::new(&self.buffer);
            match parse(&mut cursor) {
                Ok(value) => {
                    let end = cursor.at();
                    self.buffer.drain(..end);
                    return Ok(Heard::Some(value));
                }
                Err(Partial::Short) => {}
                Err(Partial::Wrong(why)) => bail!("what the server sent makes no sense: {why}"),
            }
            ensure!(self.buffer.len() < 2 * MOST, "the server sent more than {MOST} bytes of one thing");
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Silence);
            }
            self.stream.set_read_timeout(Some(left)).context("set a read timeout")?;
            let mut part = [0; 16 << 10];
            match self.stream.read(&mut part) {
                Ok(0) => return Ok(Heard::Closed),
                Ok(count) => self.buffer.extend(&part[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Heard::Silence);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A server that closes with something unread resets the connection.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Heard::Closed);
                }
                Err(e) => return Err(e).context("hear the server"),
            }
        }
    }
}
