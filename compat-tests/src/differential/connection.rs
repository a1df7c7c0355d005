//! One client connection to one server, with its own buffer: frames out, frames in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long an answer may take. Longer is silence, and silence is a result.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// How long a close may take.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A frame without its length.
    Frame(Vec<u8>),
    /// The end of the stream.
    End,
    /// Nothing in time.
    Nothing,
}

/// A socket and what was read from it too early.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    broken: bool,
}

impl Connection {
    /// Connects.
    pub fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))
            .with_context(|| format!("connect to {addr}"))?;
        stream.set_nodelay(true).context("set no delay")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).context("set a read timeout")?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).context("set a write timeout")?;
        Ok(Self { stream, buffer: Vec::new(), start: 0, broken: false })
    }

    /// Sends bytes. That the other end is gone is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).is_err() {
            self.broken = true;
        }
    }

    /// The next frame, or why there is none.
    pub fn frame(&mut self) -> Came {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            if let Some((length, rest)) = unread.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if let Some(frame) = rest.get(..length) {
                    self.start += 4 + length;
                    return Came::Frame(frame.to_vec());
                }
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Came::End,
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return if self.broken { Came::End } else { Came::Nothing };
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Came::End,
            }
        }
    }

    /// Like [`Connection::frame`], with another patience.
    pub fn frame_within(&mut self, limit: Duration) -> Came {
        if self.stream.set_read_timeout(Some(limit)).is_err() {
            return Came::End;
        }
        let came = self.frame();
        // A socket that no longer takes the old limit is at its end, which the next read tells.
        let _ = self.stream.set_read_timeout(Some(ANSWER_LIMIT));
        came
    }
}
