//! One nonblocking connection: bytes to send, requests in flight, bytes received.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use jute::Code;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::socket::Socket;
use crate::workload::Requests;

/// Length of a frame, then xid, zxid and error code of a reply.
const HEADER_BYTES: usize = 4 + 16;

/// The xid of a watch event.
const NOTIFICATION_XID: i32 = -1;

/// What is asked of the socket at once.
const READ_BYTES: usize = 128 * 1024;

/// A reply as the driver counts it.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When the request was queued for the socket.
    pub sent: Instant,
    /// Whether it was a write.
    pub is_write: bool,
    /// The result.
    pub code: Code,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: Socket,
    requests: Requests,
    next_xid: i32,
    in_flight: VecDeque<(i32, Instant, bool)>,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent: usize,
    input: Vec<u8>,
    /// How much of `input` holds received bytes.
    filled: usize,
}

impl Connection {
    /// Over a socket that has its session, or needs none.
    ///
    /// # Errors
    /// When the socket cannot be made nonblocking.
    pub fn new(stream: Socket, requests: Requests) -> Result<Self> {
        stream.stream().set_nonblocking(true)?;
        Ok(Self {
            stream,
            requests,
            next_xid: 1,
            in_flight: VecDeque::new(),
            out: Vec::new(),
            sent: 0,
            input: vec![0; READ_BYTES],
            filled: 0,
        })
    }

    /// Has the poller watch it.
    ///
    /// # Errors
    /// As the system reports.
    pub fn register(&self, registry: &Registry, token: Token) -> Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(registry.register(&mut SourceFd(&self.stream.stream().as_raw_fd()), token, interest)?)
    }

    /// The socket, when all is answered.
    #[must_use]
    pub fn into_stream(self) -> Socket {
        self.stream
    }

    /// Requests without a reply.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Queues one more request.
    pub fn push(&mut self, now: Instant) {
        let xid = self.next_xid;
        self.next_xid = self.next_xid.checked_add(1).unwrap_or(1);
        let is_write = self.requests.append_next(&mut self.out, xid);
        self.in_flight.push_back((xid, now, is_write));
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn flush(&mut self) -> Result<()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.sent = 0;
        match self.stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads until the socket is empty; calls back for every reply.
    ///
    /// # Errors
    /// When the connection breaks, or a reply is not the one that is due.
    pub fn read(&mut self, mut answered: impl FnMut(Answered)) -> Result<()> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(self.filled * 2, 0);
            }
            let room = self.input.len() - self.filled;
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => bail!("the server closed a connection with {} requests in flight", self.in_flight()),
                Ok(count) => {
                    self.filled += count;
                    self.parse(&mut answered)?;
                    // A short read has emptied the socket: the poller will tell of more.
                    if count < room && self.stream.short_reads_empty_it() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn parse(&mut self, answered: &mut impl FnMut(Answered)) -> Result<()> {
        let int = |bytes: &[u8], at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[at..at + 4]);
            i32::from_be_bytes(four)
        };
        let mut at = 0;
        while self.filled - at >= HEADER_BYTES {
            let frame = &self.input[at..self.filled];
            let length = 4 + usize::try_from(int(frame, 0))?;
            ensure!(length >= HEADER_BYTES, "a reply of {length} bytes is too short for its header");
            if frame.len() < length {
                break;
            }
            at += length;
            let xid = int(frame, 4);
            if xid == NOTIFICATION_XID {
                continue;
            }
            let Some((due, sent, is_write)) = self.in_flight.pop_front() else {
                bail!("a reply to {xid} that nobody asked for");
            };
            ensure!(xid == due, "a reply to {xid} where one to {due} was due");
            answered(Answered { sent, is_write, code: Code(int(frame, 16)) });
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}
