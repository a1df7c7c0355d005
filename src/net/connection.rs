//! One client's connection (reference: `NIOServerCnxn`).
//!
//! The task is one loop: write what the outbox holds, read what came, answer or hand over, until both
//! sides would block.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use jute::records::Record;
use jute::records::proto::{AuthPacket, RequestHeader};
use jute::{Code, OpCode, Reader, SessionId, Zxid, write};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::first_frame::{decode_connect, describe_first_bytes};
use super::frame::{Frame, Input};
use super::meter::ReadMeter;
use super::words;
use crate::logging::shown;
use crate::request::client::Socket;
use crate::request::read::Read;
use crate::request::reply::short_name;
use crate::request::stats::Tally;
use crate::request::{Body, Client, Request, is_write};
use crate::tree::Identity;

/// Replies waiting for the socket; a buffer that grew beyond this for a large one is given back.
const KEEP_BYTES: usize = 256 << 10;

/// A connection's task.
pub(super) struct Connection {
    shared: Arc<Shared>,
    client: Arc<Client>,
    reader: OwnedReadHalf,
    writer: Arc<OwnedWriteHalf>,
    input: Input,
    /// Being written; what was written of it is `sent`.
    output: Vec<u8>,
    sent: usize,
    phase: Phase,
    handover: Vec<Request>,
    identities: Arc<[Identity]>,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet that says what it is.
    New,
    /// A four-letter word came that is being answered.
    Word([u8; 4]),
    /// A session was asked for.
    Connecting,
    /// In session.
    Open,
    /// Nothing more is read; what is there is written.
    Ending,
}

/// Why a connection ends at once.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed its side.
    Closed,
    /// What came cannot be served.
    Refused(String),
    /// The socket failed.
    Failed(io::Error),
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>, stream: TcpStream) -> Self {
        let identities = client.identities();
        let (reader, writer) = stream.into_split();
        let writer = Arc::new(writer);
        client.set_socket(Arc::new(DirectSocket(Arc::downgrade(&writer))));
        Self {
            shared,
            client,
            reader,
            writer,
            input: Input::default(),
            output: Vec::new(),
            sent: 0,
            phase: Phase::New,
            handover: Vec::new(),
            identities,
        }
    }

    /// Serves the client until either side ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        #[expect(clippy::disallowed_methods, reason = "deadlines of sockets are the runtime's timers")]
        let deadline = tokio::time::Instant::now() + self.shared.limits.sessionless;
        let end = tokio::select! {
            () = stop.cancelled() => None,
            end = self.serve(deadline) => end.err(),
        };
        self.shared.state.unregister(&self.client);
        self.hang_up();
        let peer = self.client.peer;
        let session = self.client.session().map_or(SessionId::NONE, |session| session.id);
        match end {
            None => {}
            Some(End::Closed) => {
                self.shared.metrics.connection_drop_count.increment();
                tracing::debug!(%peer, %session, "client closed its connection");
            }
            Some(End::Failed(error)) => {
                self.shared.metrics.connection_drop_count.increment();
                tracing::debug!(%peer, %session, %error, "connection failed");
            }
            Some(End::Refused(why)) => {
                self.shared.metrics.connection_drop_count.increment();
                tracing::warn!(%peer, %session, "closing connection: {why}");
            }
        }
    }

    /// Ends the stream in order. What the client sent and nobody reads is drained first: closing over it
    /// would reset the connection, and with it the replies on their way.
    fn hang_up(&self) {
        let mut scrap = [0; 4096];
        for _ in 0..64 {
            if !self.reader.try_read(&mut scrap).is_ok_and(|count| count > 0) {
                break;
            }
        }
        if let Err(error) = rustix::net::shutdown(self.reader.as_ref(), rustix::net::Shutdown::Both) {
            tracing::trace!(peer = %self.client.peer, %error, "client was gone already");
        }
    }

    async fn serve(&mut self, deadline: tokio::time::Instant) -> Result<(), End> {
        let opening = poll_fn(|cx| self.poll_until(cx, |phase| !matches!(phase, Phase::New)));
        match tokio::time::timeout_at(deadline, opening).await {
            Err(_) => {
                self.shared.metrics.sessionless_connections_expired.increment();
                return Err(End::Refused("no session was asked for in time".into()));
            }
            Ok(ended) => {
                if ended? {
                    return Ok(());
                }
            }
        }
        if let Phase::Word(word) = self.phase {
            self.answer_word(word, deadline).await?;
        }
        poll_fn(|cx| self.poll_until(cx, |_| false)).await.map(|_| ())
    }

    /// Moves bytes until the phase is `done` (false), or the connection has ended (true).
    fn poll_until(&mut self, cx: &mut Context<'_>, done: impl Fn(Phase) -> bool) -> Poll<Result<bool, End>> {
        loop {
            if done(self.phase) {
                return Poll::Ready(Ok(false));
            }
            let wrote = self.poll_write(cx)?;
            if wrote == Progress::Ended {
                return Poll::Ready(Ok(true));
            }
            let consumed = self.consume()?;
            let read = if self.may_read() { self.poll_read(cx)? } else { false };
            if wrote != Progress::Some && !consumed && !read {
                if self.may_read() {
                    return Poll::Pending;
                }
                // Looked at again after asking to be woken: what it waits for may have come in between.
                self.client.outbox().require_wake();
                if !self.may_go_on() {
                    return Poll::Pending;
                }
            }
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
                if !outbox.collect(&mut self.output, cx.waker()) {
                    return Ok(if outbox.is_closing() { Progress::Ended } else { progress });
                }
                if let Some(why) = outbox.refusal() {
                    return Err(End::Refused(why.into()));
                }
                if outbox.is_closing() {
                    self.phase = Phase::Ending;
                }
                progress = Progress::Some;
                continue;
            }
            match self.writer.try_write(self.output.get(self.sent..).unwrap_or_default()) {
                Ok(count) => {
                    self.sent += count;
                    progress = Progress::Some;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.writer.as_ref().as_ref().poll_write_ready(cx) {
                        Poll::Pending => return Ok(progress),
                        Poll::Ready(ready) => ready.map_err(End::Failed)?,
                    }
                }
                Err(error) => return Err(End::Failed(error)),
            }
        }
    }

    /// Whether more input is wanted.
    fn may_read(&self) -> bool {
        let limits = &self.shared.limits;
        !matches!(self.phase, Phase::Ending | Phase::Connecting | Phase::Word(_))
            && self.client.in_flight() < limits.requests_max
            && self.client.in_flight_bytes() < limits.request_bytes_max
            && self.output.len() - self.sent < limits.unsent_bytes_max
    }

    /// Whether something can be done that could not a moment ago.
    fn may_go_on(&self) -> bool {
        self.may_read() || (self.phase == Phase::Connecting && self.client.in_flight() == 0)
    }

    /// A read that leaves room in the buffer has emptied the socket: no other is needed to see that.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.input.fill(|buffer| poll_read_buf(Pin::new(&mut self.reader), cx, buffer)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(End::Closed),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(End::Failed(error)),
        }
    }

    /// Serves what the input holds; whether anything was.
    fn consume(&mut self) -> Result<bool, End> {
        match self.phase {
            Phase::New => self.consume_first(),
            Phase::Connecting if self.client.in_flight() == 0 => {
                self.phase = Phase::Open;
                Ok(true)
            }
            Phase::Open => self.consume_requests(),
            Phase::Connecting | Phase::Word(_) | Phase::Ending => Ok(false),
        }
    }

    /// A four-letter word, or the frame that asks for a session.
    fn consume_first(&mut self) -> Result<bool, End> {
        let Some(word) = self.input.unread().first_chunk::<4>().copied() else { return Ok(false) };
        if self.shared.commands.is_word(word) {
            self.input.skip(4);
            self.count_received(1, 4);
            self.phase = Phase::Word(word);
            return Ok(true);
        }
        let frame = match self.input.next_frame(self.shared.limits.frame_bytes_max) {
            Frame::Partial => return Ok(false),
            Frame::BadLength(length) => return Err(End::Refused(describe_first_bytes(word, length))),
            Frame::Whole(frame) => frame,
        };
        let bytes = frame.len();
        let (connect, has_read_only) = decode_connect(frame)
            .ok_or_else(|| End::Refused(format!("the first frame ({bytes} bytes) asks for no session")))?;
        if !has_read_only {
            self.client.set_old_protocol();
        }
        self.count_received(1, 4 + bytes as u64);
        self.shared.metrics.connection_request_count.increment();
        self.shared.metrics.connection_token_deficit.observe(0); // nobody is throttled yet
        self.shared.metrics.request_throttle_queue_time_ms.observe(0);
        self.client.enter(bytes);
        self.phase = Phase::Connecting;
        let session = connect.session_id;
        self.handover.push(self.request(session, 0, OpCode::CREATE_SESSION, Body::Connect(connect), bytes));
        self.shared.queue.push(&mut self.handover);
        Ok(true)
    }

    /// Packets came, of so many bytes with their lengths.
    fn count_received(&self, packets: u64, bytes: u64) {
        self.client.outbox().stats.received += packets;
        self.shared.state.stats.count_received(packets);
        self.shared.metrics.bytes_received_count.add(bytes);
    }

    fn request(&self, session: SessionId, xid: i32, op: OpCode, body: Body, bytes: usize) -> Request {
        Request {
            client: Some(self.client.clone()),
            session,
            xid,
            op,
            body,
            identities: self.identities.clone(),
            received_ms: self.shared.clock.now_ms(),
            bytes,
        }
    }

    /// Serves whole frames: reads on the spot, under one hold of the tree; writes, and what must not
    /// overtake them, go to the pipeline in order.
    fn consume_requests(&mut self) -> Result<bool, End> {
        let Some(session) = self.client.session().cloned() else { return Ok(false) };
        let shared = Arc::clone(&self.shared);
        let client = Arc::clone(&self.client);
        let limits = &shared.limits;
        let now = shared.clock.now_ms();
        let (mut received, mut immediate) = (0_u32, 0);
        let mut received_bytes = 0;
        let mut tally = Tally::default();
        let mut tree = None;
        let meter = ReadMeter::default();
        let outcome = loop {
            if client.in_flight() >= limits.requests_max
                || client.in_flight_bytes() >= limits.request_bytes_max
                || tally.replies > 0 && client.outbox().waiting() >= limits.unsent_bytes_max
            {
                break Ok(());
            }
            let frame = match self.input.next_frame(limits.frame_bytes_max) {
                Frame::Partial => break Ok(()),
                Frame::BadLength(length) => {
                    break Err(End::Refused(format!(
                        "a frame of {length} bytes was announced; jute.maxbuffer is {}",
                        limits.frame_bytes_max
                    )));
                }
                Frame::Whole(frame) => frame,
            };
            received += 1;
            received_bytes += 4 + frame.len() as u64;
            let mut reader = Reader::new(frame);
            let Ok(header) = RequestHeader::decode(&mut reader) else {
                break Err(End::Refused(format!("a frame of {} bytes has no header", frame.len())));
            };
            let (xid, op, body) = (header.xid, OpCode(header.r#type), reader.rest());
            immediate += u32::from(matches!(op, OpCode::AUTH | OpCode::SASL));
            match op {
                OpCode::AUTH => match authenticate(&shared, &client, xid, body) {
                    Ok(()) => {
                        self.identities = client.identities();
                        continue;
                    }
                    Err(end) => break Err(end),
                },
                OpCode::SASL => match answer_sasl(&client, xid, body) {
                    Ok(()) => continue,
                    Err(end) => break Err(end),
                },
                _ => {}
            }
            if !shared.auth.is_satisfied(&client) {
                refuse(&client, xid, Zxid::ZERO, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH);
                break Ok(());
            }
            if !session.touch(now) {
                continue; // the session is ending: the reference drops the request without a word
            }
            if !op.is_valid_request() {
                tracing::warn!(peer = %client.peer, "{op} is not served");
                refuse(&client, xid, Zxid(-1), Code::UNIMPLEMENTED);
                break Ok(());
            }
            if is_write(op) || client.in_flight() > 0 {
                let bytes = frame.len();
                client.enter(bytes);
                let body = if is_write(op) { Body::decode(op, body) } else { Body::Ordered(body.to_vec()) };
                let request = Request {
                    client: Some(client.clone()),
                    session: session.id,
                    xid,
                    op,
                    body,
                    identities: self.identities.clone(),
                    received_ms: now,
                    bytes,
                };
                self.handover.push(request);
                continue;
            }
            let tree = tree.get_or_insert_with(|| shared.state.tree());
            let read = Read {
                state: &shared.state,
                tree,
                client: &client,
                session: session.id,
                identities: &self.identities,
                meter: &|path, bytes| meter.count(&shared.metrics, path, bytes),
            };
            let mut outbox = client.outbox();
            read.answer(xid, op, body, &mut outbox);
            outbox.stats.replied(short_name(op), xid, tree.last_zxid(), now, now);
            tally.add(0);
        };
        drop(tree);
        if received > 0 {
            self.count_received(received.into(), received_bytes);
            shared.state.stats.count_replies(tally);
            shared.metrics.request_throttle_queue_time_ms.observe_many(0, received - immediate);
            shared.metrics.readlatency.observe_many(0, u32::try_from(tally.replies).unwrap_or(u32::MAX));
            shared.queue.push(&mut self.handover);
        }
        outcome.map(|()| received > 0)
    }

    async fn answer_word(&mut self, word: [u8; 4], deadline: tokio::time::Instant) -> Result<(), End> {
        let commands = self.shared.commands.clone();
        let wanted = commands.extra_bytes(word);
        while self.input.unread().len() < wanted {
            let more =
                poll_fn(|cx| self.input.fill(|buffer| poll_read_buf(Pin::new(&mut self.reader), cx, buffer)));
            let count = tokio::time::timeout_at(deadline, more)
                .await
                .map_err(|_| End::Refused("a four-letter word came without its argument".into()))?
                .map_err(End::Failed)?;
            if count == 0 {
                return Err(End::Closed);
            }
        }
        let extra = self.input.unread().get(..wanted).unwrap_or_default().to_vec();
        let write = |cx: &mut Context<'_>, bytes: &[u8]| words::poll_write(&self.writer, cx, bytes);
        let bytes = words::answer(words::PATIENCE, commands, word, extra, write).await?;
        let mut outbox = self.client.outbox();
        outbox.sent_text(bytes);
        outbox.close_after();
        self.phase = Phase::Ending;
        Ok(())
    }
}

/// The socket as the writer thread may use it; it goes when the connection goes.
#[derive(Debug)]
struct DirectSocket(Weak<OwnedWriteHalf>);

impl Socket for DirectSocket {
    fn write_now(&self, bytes: &[u8]) -> usize {
        // An error shows again when the connection itself writes or reads.
        self.0.upgrade().and_then(|writer| writer.try_write(bytes).ok()).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    None,
    Some,
    Ended,
}

/// Reference: `ZooKeeperServer.processPacket`. The answer does not wait for earlier requests.
fn authenticate(shared: &Shared, client: &Client, xid: i32, body: &[u8]) -> Result<(), End> {
    let packet = AuthPacket::decode(&mut Reader::new(body))
        .map_err(|error| End::Refused(format!("malformed credentials: {error}")))?;
    let scheme = packet.scheme.unwrap_or_default();
    if shared.auth.authenticate(client, &scheme, packet.auth.as_deref()) {
        client.outbox().reply(xid, Zxid::ZERO, |_| Ok(()));
    } else {
        tracing::warn!(peer = %client.peer, "authentication with scheme {} failed", shown(&scheme));
        refuse(client, xid, Zxid::ZERO, Code::AUTH_FAILED);
    }
    Ok(())
}

/// Replies with an error and closes.
fn refuse(client: &Client, xid: i32, zxid: Zxid, code: Code) {
    let mut outbox = client.outbox();
    outbox.reply(xid, zxid, |_| Err(code));
    outbox.close_after();
}

/// Without a login configuration the reference answers SASL steps with a null token. A null token it
/// does not survive itself: it closes.
fn answer_sasl(client: &Client, xid: i32, body: &[u8]) -> Result<(), End> {
    let token = Reader::new(body).buffer();
    if token.map_err(|error| End::Refused(format!("malformed SASL token: {error}")))?.is_none() {
        return Err(End::Refused("a SASL step without a token".into()));
    }
    client.outbox().reply(xid, Zxid::ZERO, |out| {
        write::buffer(out, None);
        Ok(())
    });
    Ok(())
}
