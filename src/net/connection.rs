//! One client's connection: a task that moves bytes between a socket and [`Protocol`].
//!
//! The task is one loop: write what the outbox holds, read what came, serve it, until both sides would block.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use jute::SessionId;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::protocol::{Consumed, End, Phase, Protocol};
use super::transport::Transport;
use crate::runtime::Client;
use crate::runtime::outbox::Closing;

/// Replies waiting for the socket; a buffer that grew beyond this for a large one is given back.
const KEEP_BYTES: usize = 256 << 10;
/// Time between two looks whether the server has memory again.
const MEMORY_RETRY: Duration = Duration::from_millis(20);
/// How long a connection waits for the server to have memory.
const MEMORY_PATIENCE: Duration = Duration::from_secs(10);

/// A connection's task.
pub(super) struct Connection {
    shared: Arc<Shared>,
    client: Arc<Client>,
    protocol: Protocol,
    transport: Transport,
    /// Being written; what was written of it is `sent`.
    output: Vec<u8>,
    sent: usize,
    is_registered: bool,
}

/// What the loop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
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

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>, stream: TcpStream) -> Self {
        let transport = Transport::plain(stream);
        client.set_socket(transport.direct());
        let protocol = Protocol::new(shared.clone(), client.clone());
        Self { shared, client, protocol, transport, output: Vec::new(), sent: 0, is_registered: false }
    }

    /// Serves the client until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let deadline = tokio::time::Instant::now() + self.shared.limits.sessionless;
        let end = tokio::select! {
            () = stop.cancelled() => None,
            end = self.serve(deadline) => end.err(),
        };
        self.protocol.hang_up();
        let peer = self.client.peer;
        if let Err(error) = self.transport.hang_up() {
            tracing::trace!(%peer, %error, "client was gone already");
        }
        let session = self.client.session().map_or(SessionId::NONE, |session| session.id);
        if end.is_some() {
            self.shared.metrics.connection_drop_count.increment();
        }
        match end {
            None => {}
            Some(End::Closed) => tracing::debug!(%peer, %session, "client closed its connection"),
            Some(End::Failed(error)) => tracing::debug!(%peer, %session, %error, "connection failed"),
            Some(End::Refused(why)) => tracing::warn!(%peer, %session, "closing connection: {why}"),
        }
    }

    async fn serve(&mut self, deadline: tokio::time::Instant) -> Result<(), End> {
        match tokio::time::timeout_at(deadline, self.serve_until(|phase| phase != Phase::New)).await {
            Err(_) => {
                self.shared.metrics.sessionless_connections_expired.increment();
                return Err(End::Refused("no session was asked for in time".into()));
            }
            Ok(reached) => {
                if reached? == Pause::Ended {
                    return Ok(());
                }
            }
        }
        if let Phase::Word(word) = self.protocol.phase() {
            self.answer_word(word, deadline).await?;
        }
        self.serve_until(|_| false).await.map(drop)
    }

    /// Serves until the phase is `done`, or the connection has ended; waits where the server lacks memory.
    async fn serve_until(&mut self, done: impl Fn(Phase) -> bool) -> Result<Pause, End> {
        let mut lacks_since: Option<tokio::time::Instant> = None;
        loop {
            let pause = poll_fn(|cx| {
                let polled = self.poll_until(cx, &done);
                self.protocol.account(self.output.len() - self.sent);
                polled
            })
            .await?;
            if pause != Pause::NoMemory {
                return Ok(pause);
            }
            let now = tokio::time::Instant::now();
            // Whoever was served in between begins to wait anew.
            let since = *lacks_since.get_or_insert(now);
            if now - since > MEMORY_PATIENCE * 2 {
                lacks_since = None;
            } else if now - since > MEMORY_PATIENCE {
                return Err(End::Refused(
                    "the server holds as much for its clients as oxkeeper.clientMemoryBytes allows, for a long \
                     time"
                    .into(),
                ));
            }
            tokio::time::sleep(MEMORY_RETRY).await;
        }
    }

    /// Moves bytes until the phase is `done`, or the connection has ended, or what came has to wait.
    fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        done: &impl Fn(Phase) -> bool,
    ) -> Poll<Result<Pause, End>> {
        if !self.is_registered {
            self.is_registered = true;
            self.client.outbox().set_task(cx.waker().clone());
        }
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
            if self.client.is_asked_to_listen() {
                self.listen();
            }
            if self.protocol.awaits_writer(self.unsent()) {
                // Looked at again after asking to be woken: what it waits for may have come in between.
                self.client.outbox().require_wake();
                if self.protocol.may_go_on(self.unsent()) {
                    continue;
                }
            }
            return Poll::Pending;
        }
    }

    const fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Says whether the client has been silent, if that can be said: nothing came that was not looked at.
    fn listen(&self) {
        if self.protocol.is_listening(self.unsent()) && !self.transport.has_unread() {
            self.client.set_silent(self.shared.clock.now_ms());
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
                let mut outbox = self.client.outbox();
                let packets = outbox.take_packets();
                if packets.count > 0 {
                    self.shared.state.stats.count_packets(packets);
                    self.shared.metrics.response_bytes.add(packets.bytes - packets.event_bytes);
                    self.shared.metrics.watch_bytes.add(packets.event_bytes);
                }
                let has_more = outbox.collect(&mut self.output, cx.waker());
                let accounted = outbox.forget_accounted();
                if accounted > 0 {
                    self.shared.state.budget.hold(-(accounted as i64));
                }
                match outbox.closing() {
                    Some(Closing::Now) => return Ok(Progress::Ended),
                    Some(Closing::Refused(why)) => return Err(End::Refused(why.into())),
                    Some(Closing::AfterReplies) if !has_more => return Ok(Progress::Ended),
                    Some(Closing::AfterReplies) => self.protocol.set_ending(),
                    None => {}
                }
                if !has_more {
                    return Ok(progress);
                }
                progress = Progress::Some;
                continue;
            }
            match self.transport.try_write(self.output.get(self.sent..).unwrap_or_default()) {
                Ok(count) => {
                    self.sent += count;
                    progress = Progress::Some;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.client.is_ended() {
                        return Ok(Progress::Ended);
                    }
                    match self.transport.poll_write_ready(cx) {
                        Poll::Pending => return Ok(progress),
                        Poll::Ready(ready) => ready.map_err(End::Failed)?,
                    }
                }
                Err(error) => return Err(End::Failed(error)),
            }
        }
    }

    /// A read that leaves room in the buffer has emptied the socket: no other is needed to see that.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let transport = &mut self.transport;
        match self.protocol.input().fill(|buffer| transport.poll_read(cx, buffer)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(End::Closed),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(End::Failed(error)),
        }
    }

    async fn answer_word(&mut self, word: [u8; 4], deadline: tokio::time::Instant) -> Result<(), End> {
        let commands = self.shared.commands.clone();
        let wanted = commands.extra_bytes(word);
        while self.protocol.input().unread().len() < wanted {
            let more = poll_fn(|cx| {
                let transport = &mut self.transport;
                self.protocol.input().fill(|buffer| transport.poll_read(cx, buffer))
            });
            let count = tokio::time::timeout_at(deadline, more)
                .await
                .map_err(|_| End::Refused("a four-letter word came without its argument".into()))?
                .map_err(End::Failed)?;
            if count == 0 {
                return Err(End::Closed);
            }
        }
        let extra = self.protocol.input().unread().get(..wanted).unwrap_or_default().to_vec();
        let answering = tokio::task::spawn_blocking(move || commands.answer(word, &extra));
        let text =
            answering.await.map_err(|error| End::Refused(format!("a four-letter word failed: {error}")))?;
        let mut outbox = self.client.outbox();
        outbox.append(|out| out.raw(|out| out.extend_from_slice(&text)));
        outbox.close(Closing::AfterReplies);
        self.protocol.set_ending();
        Ok(())
    }
}
