//! Moves bytes between a stream and [`Protocol`]: write what the outbox holds, read what came, serve it, until
//! both sides would block. The stream may be a socket or a simulated one.

use std::io;
use std::task::{Context, Poll};

use super::protocol::{Consumed, End, Phase, Protocol};
use super::transport::Stream;
use crate::runtime::outbox::Closing;

/// Replies waiting for the socket; a buffer that grew beyond this for a large one is given back.
pub(super) const KEEP_BYTES: usize = 256 << 10;

/// A connection and its stream.
pub struct Pump<S> {
    /// What the bytes mean.
    pub protocol: Protocol,
    /// What carries them.
    pub stream: S,
    /// Being written; what was written of it is `sent`.
    output: Vec<u8>,
    sent: usize,
}

/// What the loop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The phase that was waited for is there.
    Reached,
    /// Everything was written, and the connection is to end.
    Ended,
    /// The server holds as much for its clients as it may.
    NoMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    None,
    Some,
    Ended,
}

impl<S: Stream> Pump<S> {
    /// A connection that just came.
    pub const fn new(protocol: Protocol, stream: S) -> Self {
        Self { protocol, stream, output: Vec::new(), sent: 0 }
    }

    /// Moves bytes until the phase is `done`, or the connection has ended, or what came has to wait.
    ///
    /// # Errors
    /// Why the connection must end.
    pub fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        done: &impl Fn(Phase) -> bool,
    ) -> Poll<Result<Pause, End>> {
        let polled = self.poll_loop(cx, done);
        self.protocol.account(self.unsent());
        polled
    }

    fn poll_loop(&mut self, cx: &mut Context<'_>, done: &impl Fn(Phase) -> bool) -> Poll<Result<Pause, End>> {
        loop {
            if done(self.protocol.phase()) {
                return Poll::Ready(Ok(Pause::Reached));
            }
            let wrote = self.poll_write(cx)?;
            if wrote == Progress::Ended {
                return Poll::Ready(Ok(Pause::Ended));
            }
            let consumed = self.protocol.consume(self.unsent())?;
            match consumed {
                Consumed::SliceOver => {
                    // The replies go out now, the rest of the input has its turn after others.
                    self.poll_write(cx)?;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Consumed::NoMemory => {
                    self.poll_write(cx)?;
                    return Poll::Ready(Ok(Pause::NoMemory));
                }
                Consumed::Nothing | Consumed::Something => {}
            }
            let read = if self.protocol.may_read(self.unsent()) { self.poll_read(cx)? } else { false };
            if wrote == Progress::Some || consumed == Consumed::Something || read {
                continue;
            }
            if self.protocol.client().is_asked_to_listen() {
                self.listen();
            }
            if self.protocol.waits_for_memory(self.unsent()) {
                return Poll::Ready(Ok(Pause::NoMemory));
            }
            if self.protocol.awaits_writer(self.unsent()) {
                // Looked at again after asking to be woken: what it waits for may have come in between.
                self.protocol.client().outbox().require_wake();
                if self.protocol.may_go_on(self.unsent()) {
                    continue;
                }
            }
            return Poll::Pending;
        }
    }

    /// What the buffer for output takes in memory.
    #[cfg(test)]
    pub(super) const fn buffer_bytes(&self) -> usize {
        self.output.capacity()
    }

    /// Bytes taken from the outbox that the stream has not taken.
    pub const fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Says whether the client has been silent, if that can be said: nothing came that was not looked at.
    fn listen(&self) {
        if self.protocol.is_listening(self.unsent()) && !self.stream.has_unread() {
            self.protocol.client().set_silent(self.protocol.shared().clock.now_ms());
        }
    }

    /// Writes what the outbox holds.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Progress, End> {
        let mut progress = Progress::None;
        loop {
            if self.sent == self.output.len() {
                self.output.clear();
                self.sent = 0;
                if self.output.capacity() > KEEP_BYTES {
                    self.output = Vec::new();
                }
                let client = std::sync::Arc::clone(self.protocol.client());
                let mut outbox = client.outbox();
                let packets = outbox.take_packets();
                if packets.count > 0 {
                    self.protocol.shared().state.stats.count_packets(packets);
                    self.protocol.shared().metrics.response_bytes.add(packets.bytes - packets.event_bytes);
                    self.protocol.shared().metrics.watch_bytes.add(packets.event_bytes);
                }
                let has_more = outbox.collect(&mut self.output, cx.waker());
                let accounted = outbox.forget_taken();
                self.protocol.shared().state.budget.hold(-(accounted as i64));
                match outbox.closing() {
                    Some(Closing::Now) => return Ok(Progress::Ended),
                    Some(Closing::Refused(why)) => return Err(End::Refused(why.into())),
                    Some(Closing::AfterReplies) if !has_more && !outbox.is_unfinished() => {
                        drop(outbox);
                        let is_flushed = self.poll_flush(cx)?;
                        return Ok(if is_flushed { Progress::Ended } else { progress });
                    }
                    Some(Closing::AfterReplies) => self.protocol.set_ending(),
                    None => {}
                }
                if !has_more {
                    drop(outbox);
                    self.poll_flush(cx)?;
                    return Ok(progress);
                }
                progress = Progress::Some;
                continue;
            }
            match self.stream.try_write(self.output.get(self.sent..).unwrap_or_default()) {
                Ok(count) => {
                    self.protocol.took(self.unsent());
                    self.sent += count;
                    progress = Progress::Some;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.protocol.client().is_ended() {
                        return Ok(Progress::Ended);
                    }
                    match self.stream.poll_write_ready(cx) {
                        Poll::Pending => return Ok(progress),
                        Poll::Ready(ready) => ready.map_err(End::Failed)?,
                    }
                }
                Err(error) => return Err(End::Failed(error)),
            }
        }
    }

    /// Whether the stream holds nothing back; if it does, the task is woken when it can go on.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.stream.poll_flush(cx) {
            Poll::Pending => Ok(self.protocol.client().is_ended()),
            Poll::Ready(flushed) => flushed.map(|()| true).map_err(End::Failed),
        }
    }

    /// A read that leaves room in the buffer has emptied the socket: no other is needed to see that.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.poll_fill(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(End::Closed),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(End::Failed(error)),
        }
    }

    /// Reads into the input; 0 says that the client closed its side.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = &mut self.stream;
        self.protocol.input().fill(|buffer| stream.poll_read(cx, buffer))
    }
}
