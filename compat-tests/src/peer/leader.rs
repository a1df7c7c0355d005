//! A leader that sends what it is told to, and takes down what a learner answers.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::packet::{Packet, kind};
use super::tree::{STREAM_END, Tree};
use super::wire::{Heard, Wire};
use crate::wire::Body;

/// A scripted leader, listening on its quorum address.
#[derive(Debug)]
pub struct Leader {
    addr: SocketAddr,
    listener: TcpListener,
    link: Option<Wire>,
    /// What happened, a line a packet.
    pub story: String,
}

impl Leader {
    /// Listens on its address.
    pub fn listen(addr: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
        listener.set_nonblocking(true).context("accept without waiting")?;
        Ok(Self { addr, listener, link: None, story: String::new() })
    }

    /// Waits for the learner to dial; false if it does not.
    pub fn accept(&mut self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).context("wait for what comes")?;
                    self.link = Some(Wire::new(stream)?);
                    return Ok(true);
                }
                Err(_) if Instant::now() > deadline => return Ok(false),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn link(&mut self) -> Result<&mut Wire> {
        let addr = self.addr;
        self.link.as_mut().with_context(|| format!("no learner came to {addr}"))
    }

    /// Sends a packet.
    pub fn say(&mut self, packet: &Packet) -> Result<()> {
        self.say_bytes(&packet.encode())
    }

    /// Sends bytes as they are. That the learner has closed is heard at the next read.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = self.link()?.send(bytes);
        Ok(())
    }

    /// Sends SNAP and a tree.
    pub fn say_tree(&mut self, zxid: i64, tree: &Tree) -> Result<()> {
        let mut bytes = Packet::new(kind::SNAP, zxid, None).encode();
        bytes.extend(tree.stream());
        bytes.extend(Body::new().string(STREAM_END).0);
        self.say_bytes(&bytes)
    }

    /// The next packet; none when the learner has closed, or is silent for too long.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Packet>> {
        let heard = self.link()?.hear(patience, Packet::parse)?;
        let (line, packet) = match heard {
            Heard::Some(packet) => (packet.to_string(), Some(packet)),
            Heard::Silence => (String::from("silence"), None),
            Heard::Closed => (String::from("closed"), None),
        };
        let _ = writeln!(self.story, "  {line}");
        Ok(packet)
    }

    /// Breaks the connection.
    pub fn hang_up(&mut self) {
        self.link = None;
    }
}
