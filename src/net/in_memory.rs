//! A connection whose client is in the same process. The simulator, the tests and the fuzzers drive these; the bytes
//! go through the same [`Pump`] as those of a socket.

use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Shared;
use super::protocol::{End, Protocol};
use super::pump::{Pause, Pump};
use super::transport::Stream;
use crate::runtime::Client;
use crate::runtime::client::Socket;

/// Both directions.
#[derive(Debug)]
struct Bytes {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// How much of what the client does not read fits in between.
    room: usize,
    /// The client went, or the server shut it down.
    is_down: bool,
}

/// The bytes between both ends, which share them.
#[derive(Clone, Debug)]
pub struct MemoryStream {
    bytes: Arc<Mutex<Bytes>>,
}

impl MemoryStream {
    /// A stream that takes so many bytes of what the client does not read.
    #[must_use]
    pub fn new(room: usize) -> Self {
        let bytes = Bytes { to_server: Vec::new(), to_client: Vec::new(), room, is_down: false };
        Self { bytes: Arc::new(Mutex::new(bytes)) }
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client sends.
    pub fn send(&self, sent: &[u8]) {
        self.bytes().to_server.extend_from_slice(sent);
    }

    /// The client reads all there is.
    #[must_use]
    pub fn receive(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes().to_client)
    }

    /// From now on so many bytes fit in of what the client does not read: with 0, the server can send nothing.
    pub fn set_room(&self, room: usize) {
        self.bytes().room = room;
    }

    /// Bytes that the client sent and the server has not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.bytes().to_server.len()
    }

    /// Either side goes.
    pub fn close(&self) {
        self.bytes().is_down = true;
    }
}

impl Stream for MemoryStream {
    /// Reads what the buffer has room for, as from a socket.
    fn poll_read(&mut self, _cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<usize>> {
        let mut bytes = self.bytes();
        if bytes.to_server.is_empty() {
            return if bytes.is_down { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        buffer.reserve(1);
        let count = bytes.to_server.len().min(buffer.capacity() - buffer.len());
        buffer.extend(bytes.to_server.drain(..count));
        Poll::Ready(Ok(count))
    }

    fn try_write(&mut self, written: &[u8]) -> Result<usize> {
        let mut bytes = self.bytes();
        if bytes.is_down {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.room.saturating_sub(bytes.to_client.len()).min(written.len());
        if count == 0 {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        bytes.to_client.extend_from_slice(written.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn poll_write_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Pending
    }

    fn has_unread(&self) -> bool {
        self.unread() > 0
    }
}

impl Socket for MemoryStream {
    fn write_now(&self, bytes: &[u8]) -> usize {
        self.clone().try_write(bytes).unwrap_or(0)
    }

    fn shut_down(&self) {
        self.close();
    }
}

/// Whether the connection's task asked for another turn.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection as the server has it, without a task: [`Link::run`] is one run of it.
pub struct Link {
    pump: Pump<MemoryStream>,
    woken: Arc<Woken>,
    /// Why it ended, if it did.
    end: Option<String>,
    lacks_memory: bool,
}

impl Link {
    /// A client comes; the server's state knows it from now on.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, client: &Arc<Client>, stream: MemoryStream) -> Self {
        shared.state.register(client.clone());
        let protocol = Protocol::new(shared.clone(), client.clone());
        Self { pump: Pump::new(protocol, stream), woken: Arc::default(), end: None, lacks_memory: false }
    }

    /// What the connection's bytes mean.
    pub const fn protocol(&mut self) -> &mut Protocol {
        &mut self.pump.protocol
    }

    /// Runs the connection's task until it would wait. False when the connection has ended.
    pub fn run(&mut self) -> bool {
        while self.turn() {}
        self.end.is_none()
    }

    /// Runs the connection's task until it lets others have their turn. Whether it asks for another.
    pub fn turn(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        self.woken.0.store(false, Ordering::Relaxed);
        let polled = self.pump.poll_until(&mut Context::from_waker(&waker), &|_| false);
        self.lacks_memory = matches!(polled, Poll::Ready(Ok(Pause::NoMemory)));
        match polled {
            Poll::Pending => return self.woken.0.load(Ordering::Relaxed),
            Poll::Ready(Ok(Pause::NoMemory)) => {}
            Poll::Ready(Ok(Pause::Reached | Pause::Ended)) => self.finish(String::new()),
            Poll::Ready(Err(End::Closed)) => self.finish(String::new()),
            Poll::Ready(Err(End::Refused(why))) => self.finish(why),
            Poll::Ready(Err(End::Failed(error))) => self.finish(error.to_string()),
        }
        false
    }

    /// The connection is gone.
    pub fn hang_up(&mut self) {
        if self.end.is_none() {
            self.finish(String::new());
        }
    }

    fn finish(&mut self, why: String) {
        self.end = Some(why);
        self.pump.protocol.hang_up();
        self.pump.stream.close();
    }

    /// Why the connection ended, if it did; empty when no reason is told.
    #[must_use]
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Whether what came waits until the server holds less for its clients.
    #[must_use]
    pub const fn lacks_memory(&self) -> bool {
        self.lacks_memory
    }

    /// What the buffer for output takes in memory.
    #[cfg(test)]
    pub(super) const fn buffer_bytes(&self) -> usize {
        self.pump.buffer_bytes()
    }

    /// Bytes being written that the stream has not taken. What has ended writes nothing any more.
    #[must_use]
    pub const fn unsent(&self) -> usize {
        if self.end.is_some() { 0 } else { self.pump.unsent() }
    }

    /// Whether there is something to read, and it may be read.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.end.is_none() && self.pump.stream.has_unread() && self.pump.protocol.may_read(self.unsent())
    }
}
