//! A voter that says on the election port what it is told to.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::notification::{Form, Notification};
use super::wire::{Cursor, Heard, Partial, Wire};
use crate::wire::Body;

/// The form of handshake since 3.5.
pub const PROTOCOL: i64 = -65536;
/// And with several addresses.
pub const PROTOCOL_OF_MANY: i64 = -65535;

/// A scripted voter, listening on its election address.
#[derive(Debug)]
pub struct Voter {
    /// Its number.
    pub sid: i64,
    addr: SocketAddr,
    listener: TcpListener,
    link: Option<Wire>,
}

/// The handshake of one that dials.
#[must_use]
pub fn handshake(protocol: i64, sid: i64, addr: &str) -> Vec<u8> {
    Body::new().long(protocol).long(sid).string(addr).0
}

fn parse_handshake(cursor: &mut Cursor<'_>) -> Result<(i64, i64, String), Partial> {
    Ok((cursor.long()?, cursor.long()?, cursor.text()?))
}

impl Voter {
    /// Listens on its address.
    pub fn listen(sid: i64, addr: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
        listener.set_nonblocking(true).context("accept without waiting")?;
        Ok(Self { sid, addr, listener, link: None })
    }

    /// Is connected with a server: dials it if its own number is larger, otherwise waits to be dialled. Gives the
    /// handshake of the server, if it was the one to say it.
    pub fn meet(&mut self, server: i64, addr: SocketAddr, patience: Duration) -> Result<Option<String>> {
        ensure!(server != self.sid, "two servers have the number {server}");
        if self.sid > server {
            let mut link = Wire::dial(addr, patience)?;
            link.send(&handshake(PROTOCOL, self.sid, &self.addr.to_string()))?;
            self.link = Some(link);
            return Ok(None);
        }
        let deadline = Instant::now() + patience;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).context("wait for what comes")?;
                    let mut link = Wire::new(stream)?;
                    let Heard::Some((protocol, sid, addr)) = link.hear(patience, parse_handshake)? else {
                        bail!("server {server} dialled and said nothing");
                    };
                    self.link = Some(link);
                    return Ok(Some(format!("protocol {protocol} sid {sid} address {addr}")));
                }
                Err(e) if Instant::now() > deadline => {
                    return Err(e).with_context(|| format!("server {server} did not dial {}", self.addr));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn link(&mut self) -> Result<&mut Wire> {
        self.link.as_mut().context("this voter is not connected")
    }

    /// Sends a vote.
    pub fn say(&mut self, vote: &Notification, form: Form) -> Result<()> {
        self.link()?.send(&vote.encode(form))
    }

    /// Sends bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.link()?.send(bytes)
    }

    /// Waits for a vote.
    pub fn hear(&mut self, patience: Duration) -> Result<Heard<Notification>> {
        self.link()?.hear(patience, Notification::parse)
    }

    /// The votes that come until none has come for a while, each once in a row: a server repeats itself as its timers
    /// have it.
    pub fn hear_out(&mut self, quiet: Duration) -> Result<(Vec<Notification>, bool)> {
        let mut votes: Vec<Notification> = Vec::new();
        loop {
            match self.hear(quiet)? {
                Heard::Some(vote) if votes.last() == Some(&vote) => {}
                Heard::Some(vote) => votes.push(vote),
                Heard::Silence => return Ok((votes, true)),
                Heard::Closed => return Ok((votes, false)),
            }
        }
    }

    /// Breaks the connection.
    pub fn hang_up(&mut self) {
        self.link = None;
    }
}
