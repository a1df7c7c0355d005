//! One client's connection: the task that turns its [`Pump`], with the deadlines of a connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use jute::SessionId;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::protocol::{End, Phase, Protocol};
use super::pump::{Pause, Pump};
use super::transport::Transport;
use super::words;
use crate::runtime::Client;
use crate::runtime::outbox::Closing;

/// Time between two looks whether the server has memory again.
const MEMORY_RETRY: Duration = Duration::from_millis(20);
/// How long a connection waits for the server to have memory, in milliseconds.
const MEMORY_PATIENCE_MS: i64 = 10_000;

/// A connection's task.
pub(super) struct Connection {
    shared: Arc<Shared>,
    client: Arc<Client>,
    pump: Pump<Transport>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>, transport: Transport) -> Self {
        client.set_socket(transport.direct());
        let pump = Pump::new(Protocol::new(shared.clone(), client.clone()), transport);
        Self { shared, client, pump }
    }

    /// Serves the client until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        #[expect(clippy::disallowed_methods, reason = "deadlines of sockets are the runtime's timers")]
        let deadline = tokio::time::Instant::now() + self.shared.limits.sessionless;
        let end = tokio::select! {
            () = stop.cancelled() => None,
            end = self.serve(deadline) => end.err(),
        };
        self.pump.protocol.hang_up();
        let peer = self.client.peer;
        if let Err(error) = self.pump.stream.hang_up() {
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
        if let Phase::Word(word) = self.pump.protocol.phase() {
            self.answer_word(word, deadline).await?;
        }
        self.serve_until(|_| false).await.map(drop)
    }

    /// Serves until the phase is `done`, or the connection has ended; waits where the server lacks memory.
    async fn serve_until(&mut self, done: impl Fn(Phase) -> bool) -> Result<Pause, End> {
        // Since when it waits, and how many frames had been served then.
        let mut waits: Option<(i64, u64)> = None;
        loop {
            let pause = poll_fn(|cx| self.pump.poll_until(cx, &done)).await?;
            if pause != Pause::NoMemory {
                return Ok(pause);
            }
            let now_ms = self.shared.clock.now_ms();
            let served = self.pump.protocol.served();
            let (since_ms, _) = *waits.take_if(|(_, then)| *then == served).get_or_insert((now_ms, served));
            waits = Some((since_ms, served));
            if now_ms - since_ms > MEMORY_PATIENCE_MS {
                return Err(End::Refused(
                    "the server holds as much for its clients as oxkeeper.clientMemoryBytes allows, and has for \
                     10 s"
                        .into(),
                ));
            }
            tokio::time::sleep(MEMORY_RETRY).await;
        }
    }

    async fn answer_word(&mut self, word: [u8; 4], deadline: tokio::time::Instant) -> Result<(), End> {
        let commands = self.shared.commands.clone();
        let wanted = commands.extra_bytes(word);
        while self.pump.protocol.input().unread().len() < wanted {
            let more = poll_fn(|cx| self.pump.poll_fill(cx));
            let count = tokio::time::timeout_at(deadline, more)
                .await
                .map_err(|_| End::Refused("a four-letter word came without its argument".into()))?
                .map_err(End::Failed)?;
            if count == 0 {
                return Err(End::Closed);
            }
        }
        let extra = self.pump.protocol.input().unread().get(..wanted).unwrap_or_default().to_vec();
        let stream = &mut self.pump.stream;
        let write = |cx: &mut Context<'_>, bytes: &[u8]| words::poll_write(stream, cx, bytes);
        let bytes = words::answer(words::PATIENCE, commands, self.client.port, word, extra, write).await?;
        let mut outbox = self.client.outbox();
        outbox.append(|out| out.sent_text(bytes));
        outbox.close(Closing::AfterReplies);
        Ok(())
    }
}
