//! What one client's bytes mean: frames, the handshake, authentication, reads answered on the spot, writes handed
//! over (reference: `NIOServerCnxn`, `ZooKeeperServer.processPacket`).
//!
//! No socket: [`super::connection`] brings bytes from one, the simulator and the fuzzer make them up.

use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::RequestHeader;
use jute::{Code, OpCode, Reader, SessionId, Zxid};

use super::Shared;
use super::first_frame::{decode_connect, describe_first_bytes};
use super::frame::{Frame, Input};
use super::identify::{answer_sasl, authenticate, refuse};
use super::meter::ReadMeter;
use super::turn::{self, OfConnection, SMALL_BYTES, Turn, always_gets_through};
use super::window::OrderedReads;
use crate::auth::sasl::Conversation;
use crate::replica::TOO_MANY_WATCHES;
use crate::request::read::{Outcome, Read, is_made_in_slices};
use crate::request::reply::short_name;
use crate::request::{Body, Head, Origin, Request, is_write};
use crate::runtime::Client;
use crate::runtime::outbox::Closing;
use crate::tree::Identities;

/// xid of answers to pings, whatever xid came.
const PING_XID: i32 = -2;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has come yet that says what it is.
    New,
    /// A four-letter word came that is being answered.
    Word([u8; 4]),
    /// A session was asked for.
    Connecting,
    /// In session.
    Open,
    /// The client has ended its session: nothing more is taken from it, the answer is awaited.
    Closing,
    /// Nothing more is read; what is there is written.
    Ending,
}

/// Why a connection ends at once.
#[derive(Debug)]
pub enum End {
    /// The client closed its side.
    Closed,
    /// What came cannot be served.
    Refused(String),
    /// The socket failed.
    Failed(std::io::Error),
}

/// What came of looking at the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// There was nothing to do, or it has to wait for replies.
    Nothing,
    /// Something was served.
    Something,
    /// Something was served and there is more; others have their turn first.
    SliceOver,
    /// The server holds as much for its clients as it may; what came waits.
    NoMemory,
}

/// One connection without its socket.
pub struct Protocol {
    shared: Arc<Shared>,
    client: Arc<Client>,
    input: Input,
    phase: Phase,
    handover: Vec<Request>,
    identities: Identities,
    sasl: Conversation,
    knows_read_only: bool,
    ordered: OrderedReads,
    /// What came waits until nothing of the connection is in the writer's hands.
    is_blocked: bool,
    /// What came last waits until the server holds less for its clients.
    is_starved: bool,
    /// What the budget knows of it, in bytes.
    held_bytes: usize,
    /// Frames that were served.
    served: u64,
}

impl Protocol {
    /// A connection that just came. It is registered with the server's state.
    #[must_use]
    pub fn new(shared: Arc<Shared>, client: Arc<Client>) -> Self {
        Self {
            identities: client.identities(),
            ordered: OrderedReads::new(shared.limits.unsent_bytes_max),
            shared,
            client,
            input: Input::default(),
            phase: Phase::New,
            handover: Vec::new(),
            sasl: Conversation::default(),
            knows_read_only: true,
            is_blocked: false,
            is_starved: false,
            held_bytes: 0,
            served: 0,
        }
    }

    /// The server's side of it.
    #[must_use]
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What all connections share.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where bytes that come in go.
    pub const fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// How many frames were served so far.
    #[must_use]
    pub const fn served(&self) -> u64 {
        self.served
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// It ends when what is there has been written.
    pub const fn set_ending(&mut self) {
        self.phase = Phase::Ending;
    }

    /// Whether more input is wanted, while so many bytes of output are unsent.
    #[must_use]
    pub fn may_read(&self, unsent: usize) -> bool {
        self.wants_input(unsent) && !self.lacks_memory_for_input()
    }

    /// Whether more input would be wanted, did the server not hold as much for its clients as it may.
    #[must_use]
    pub fn waits_for_memory(&self, unsent: usize) -> bool {
        self.wants_input(unsent) && self.lacks_memory_for_input()
    }

    fn wants_input(&self, unsent: usize) -> bool {
        matches!(self.phase, Phase::New | Phase::Open)
            && !self.is_busy()
            && unsent < self.shared.limits.unsent_bytes_max
    }

    /// A large frame of which a part is there waits for memory; small ones come in whole.
    fn lacks_memory_for_input(&self) -> bool {
        let held = self.input.unread().len();
        held > SMALL_BYTES && self.lacks_memory(held)
    }

    /// Whether it waits for answers of the writer, and not for its socket.
    #[must_use]
    pub fn awaits_writer(&self, unsent: usize) -> bool {
        self.is_blocked || !self.may_read(unsent)
    }

    /// Whether something can be done that could not a moment ago.
    #[must_use]
    pub fn may_go_on(&self, unsent: usize) -> bool {
        let is_idle = self.client.in_flight() == 0;
        if self.is_blocked || self.phase == Phase::Connecting { is_idle } else { self.may_read(unsent) }
    }

    /// Whether a silence of this connection is the client's: it is not the server that fails to listen.
    #[must_use]
    pub fn is_listening(&self, unsent: usize) -> bool {
        let is_stuck = unsent >= self.shared.limits.unsent_bytes_max;
        matches!(self.phase, Phase::Closing | Phase::Ending)
            || is_stuck
            || self.may_read(unsent) && !self.is_blocked
    }

    /// The client took some of so many bytes of output. While it is not read from, as it has so much to read
    /// itself, this is how it is heard from.
    pub(super) fn took(&self, unsent: usize) {
        if unsent >= self.shared.limits.unsent_bytes_max
            && let Some(session) = self.client.session()
        {
            session.touch(self.shared.clock.now_ms());
        }
    }

    /// Whether as many requests wait for the writer as may.
    fn is_busy(&self) -> bool {
        let limits = &self.shared.limits;
        let in_flight = self.client.in_flight();
        in_flight >= limits.requests_max
            || self.client.in_flight_bytes() >= limits.request_bytes_max
            || in_flight > 0 && self.shared.state.budget.is_throttled()
    }

    /// Whether the server holds as much for all its clients as it may. Who holds little gets through for longer.
    fn lacks_memory(&self, wanted: usize) -> bool {
        let budget = &self.shared.state.budget;
        if self.held_bytes + wanted <= SMALL_BYTES { budget.is_overdrawn() } else { budget.is_exhausted() }
    }

    /// Tells the budget what the connection holds, with so many bytes of output.
    pub fn account(&mut self, unsent: usize) {
        let held = self.input.unread().len() + unsent + self.client.identity_bytes();
        if held != self.held_bytes {
            self.shared.state.budget.hold(held as i64 - self.held_bytes as i64);
            self.held_bytes = held;
        }
    }

    /// The socket is gone: the server forgets the connection, its watches and what it held.
    pub fn hang_up(&mut self) {
        // What waited might have kept its session alive: its client has a whole timeout to come back.
        if self.is_starved
            && let Some(session) = self.client.session()
        {
            session.touch(self.shared.clock.now_ms());
        }
        let held = self.held_bytes + self.client.outbox().forget_accounted();
        self.shared.state.budget.hold(-(held as i64));
        self.shared.state.unregister(&self.client);
        self.shared.inbox.push_gone(self.client.id);
    }

    /// Serves what the input holds, while so many bytes of output are unsent.
    ///
    /// # Errors
    /// Why the connection must end.
    pub fn consume(&mut self, unsent: usize) -> Result<Consumed, End> {
        if self.client.outbox().is_unfinished() {
            return turn::go_on(&self.shared, &self.client, &self.identities, unsent);
        }
        let consumed = match self.phase {
            Phase::New => self.consume_first(),
            Phase::Connecting if self.client.in_flight() == 0 => {
                self.phase = Phase::Open;
                Ok(Consumed::Something)
            }
            Phase::Open => self.consume_requests(unsent),
            Phase::Connecting | Phase::Word(_) | Phase::Closing | Phase::Ending => Ok(Consumed::Nothing),
        };
        self.is_starved = matches!(consumed, Ok(Consumed::NoMemory));
        consumed
    }

    /// A four-letter word, or the frame that asks for a session.
    fn consume_first(&mut self) -> Result<Consumed, End> {
        let Some(word) = self.input.unread().first_chunk::<4>().copied() else {
            return Ok(Consumed::Nothing);
        };
        if self.shared.commands.is_word(word) {
            self.input.skip(4);
            self.count_received(1, 4);
            self.phase = Phase::Word(word);
            return Ok(Consumed::Something);
        }
        let frame = match self.input.peek_frame(self.shared.limits.frame_bytes_max) {
            Frame::Partial => return Ok(Consumed::Nothing),
            Frame::BadLength(length) => return Err(End::Refused(describe_first_bytes(word, length))),
            Frame::Whole(frame) => frame,
        };
        let bytes = frame.len();
        let (connect, has_read_only) = decode_connect(frame)
            .ok_or_else(|| End::Refused(format!("the first frame ({bytes} bytes) asks for no session")))?;
        if !self.shared.state.standing.serves() {
            return Err(End::Refused(
                "this server serves nobody while it has no leader, or is not in sync with it".into(),
            ));
        }
        // Whoever comes back to a session always gets through.
        if connect.session_id == SessionId::NONE && self.lacks_memory(bytes) {
            return Ok(Consumed::NoMemory);
        }
        self.input.skip(4 + bytes);
        self.knows_read_only = has_read_only;
        self.count_received(1, 4 + bytes as u64);
        self.shared.metrics.connection_request_count.increment();
        self.shared.metrics.connection_token_deficit.observe(0); // nobody is throttled yet
        self.shared.metrics.request_throttle_queue_time_ms.observe(0);
        self.phase = Phase::Connecting;
        let now = self.shared.clock.now_ms();
        let head = self.head(connect.session_id, 0, OpCode::CREATE_SESSION, now, bytes);
        self.hand_over(head, Body::Connect(connect));
        self.push();
        Ok(Consumed::Something)
    }

    /// Packets came, of so many bytes with their lengths.
    fn count_received(&self, packets: u64, bytes: u64) {
        self.client.outbox().stats.received += packets;
        self.shared.state.stats.count_received(packets);
        self.shared.metrics.bytes_received_count.add(bytes);
    }

    fn head(&self, session: SessionId, xid: i32, op: OpCode, received_ms: i64, bytes: usize) -> Head {
        let origin = Origin::Client(self.client.id);
        Head { origin, session, xid, op, received_ms, bytes, knows_read_only: self.knows_read_only }
    }

    fn hand_over(&mut self, head: Head, body: Body) {
        self.client.enter(head.bytes);
        self.handover.push(Request { head, identities: self.identities.clone(), body });
    }

    /// Passes on what was handed over.
    fn push(&mut self) {
        if !self.handover.is_empty() {
            let bytes = self.handover.iter().map(|request| request.head.bytes).sum();
            self.shared.state.budget.enter(self.handover.len(), bytes);
            self.shared.inbox.push(&mut self.handover);
        }
    }

    /// Serves whole frames: reads on the spot, under one hold of the tree; writes, and what must not
    /// overtake them, go to the writer in order.
    fn consume_requests(&mut self, unsent: usize) -> Result<Consumed, End> {
        let mut turn = Turn::new(&self.shared, unsent);
        let outcome = self.serve_frames(&mut turn);
        let Turn { received, immediate, received_bytes, tally, .. } = turn;
        self.served += u64::from(received);
        if received > 0 {
            self.count_received(received.into(), received_bytes);
            self.shared.state.stats.count_replies(tally);
            let metrics = &self.shared.metrics;
            metrics.request_throttle_queue_time_ms.observe_many(0, received - immediate);
            metrics.readlatency.observe_many(0, u32::try_from(tally.replies).unwrap_or(u32::MAX));
            self.push();
        }
        match outcome? {
            Consumed::Nothing if received > 0 => Ok(Consumed::Something),
            consumed => Ok(consumed),
        }
    }

    fn serve_frames(&mut self, turn: &mut Turn) -> Result<Consumed, End> {
        let shared = Arc::clone(&self.shared);
        let client = Arc::clone(&self.client);
        let Some(session) = client.session().cloned() else { return Ok(Consumed::Nothing) };
        let limits = &shared.limits;
        // A session is bound under one role and does not outlive it here.
        let forwards = shared.state.standing.forwards();
        let mut tree = None;
        let meter = ReadMeter::new(&shared);
        self.is_blocked = false;
        while !self.is_busy() && !client.is_ended() && turn.has_room(&client, limits.unsent_bytes_max) {
            let frame = match self.input.peek_frame(limits.frame_bytes_max) {
                Frame::Partial => break,
                Frame::BadLength(length) => {
                    return Err(End::Refused(format!(
                        "a frame of {length} bytes was announced; jute.maxbuffer is {}",
                        limits.frame_bytes_max
                    )));
                }
                Frame::Whole(frame) => frame,
            };
            let bytes = frame.len();
            let mut reader = Reader::new(frame);
            let Ok(RequestHeader { xid, r#type }) = RequestHeader::decode(&mut reader) else {
                return Err(End::Refused(format!("a frame of {bytes} bytes has no header")));
            };
            let (op, body) = (OpCode(r#type), reader.rest());
            if !always_gets_through(op) && self.lacks_memory(bytes) {
                return Ok(Consumed::NoMemory);
            }
            let in_flight = client.in_flight();
            if in_flight == 0 {
                self.ordered.idle(&client);
            }
            // The writer makes nothing in slices, and what it carries out next must not show in them.
            let may_hand_over = self.ordered.may_hand_over() && !is_made_in_slices(op);
            self.is_blocked = !is_write(op) && in_flight > 0 && !may_hand_over;
            if self.is_blocked {
                break;
            }
            turn.received += 1;
            turn.received_bytes += 4 + bytes as u64;
            match op {
                OpCode::AUTH | OpCode::SASL => {
                    turn.immediate += 1;
                    drop(tree.take()); // proving an identity may take a while
                    let goes_on = if op == OpCode::AUTH {
                        authenticate(&shared, &client, xid, body)?
                    } else {
                        answer_sasl(&shared, &client, &mut self.sasl, xid, body)?
                    };
                    self.input.skip(4 + bytes);
                    self.identities = client.identities();
                    if !goes_on {
                        self.phase = Phase::Ending;
                        break;
                    }
                }
                _ if !shared.auth.is_satisfied(&self.identities) => {
                    refuse(&client, xid, Zxid::ZERO, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH);
                    self.phase = Phase::Ending;
                    break;
                }
                // The session is ending: the reference drops the request without a word.
                _ if !session.touch(turn.now_ms) => self.input.skip(4 + bytes),
                // The reference lets anybody delete any node with a deleteContainer.
                _ if !op.is_valid_request() || op == OpCode::DELETE_CONTAINER => {
                    tracing::warn!(peer = %client.peer, "{op} is not served");
                    refuse(&client, xid, Zxid(-1), Code::UNIMPLEMENTED);
                    self.phase = Phase::Ending;
                    break;
                }
                _ if is_write(op) || in_flight > 0 || forwards && op == OpCode::SYNC => {
                    let body = if forwards { Body::for_leader(op, body) } else { Body::decode(op, body) };
                    let head = self.head(session.id, xid, op, turn.now_ms, bytes);
                    if let Some(trail) = shared.state.trail() {
                        trail.note(&client, xid, op, reader.rest(), &self.identities);
                    }
                    self.input.skip(4 + bytes);
                    if matches!(body, Body::Ordered(_)) {
                        self.ordered.handed_over();
                    }
                    self.hand_over(head, body);
                    if op == OpCode::CLOSE_SESSION {
                        self.phase = Phase::Closing;
                        break;
                    }
                }
                OpCode::PING => {
                    self.input.skip(4 + bytes);
                    let mut outbox = client.outbox();
                    let zxid = outbox.last_zxid().max(shared.state.last_zxid());
                    outbox.append(|out| {
                        out.reply(PING_XID, zxid, |_| Ok(()));
                    });
                    outbox.stats.replied(short_name(op), xid, zxid, turn.now_ms, turn.now_ms);
                    turn.tally.add(0);
                }
                _ => {
                    let tree = tree.get_or_insert_with(|| shared.state.tree());
                    let read = Read {
                        options: &shared.state.options,
                        tree,
                        watches: &OfConnection { state: &shared.state, client: &client },
                        connection: client.id,
                        session: session.id,
                        identities: &self.identities,
                        meter: &|seen| meter.count(seen),
                    };
                    let mut outbox = client.outbox();
                    let mut came = Outcome::Answered(Code::OK);
                    outbox.append(|out| came = read.answer(xid, op, body, out));
                    outbox.stats.replied(short_name(op), xid, tree.last_zxid(), turn.now_ms, turn.now_ms);
                    let is_unfinished = outbox.is_unfinished();
                    if is_unfinished {
                        shared.state.budget.hold(outbox.take_unaccounted() as i64);
                    }
                    drop(outbox);
                    if came == Outcome::TooManyWatches {
                        client.close(Closing::Refused(TOO_MANY_WATCHES));
                    }
                    self.input.skip(4 + bytes);
                    turn.tally.add(0);
                    if is_unfinished {
                        return Ok(Consumed::SliceOver);
                    }
                }
            }
            if turn.is_over(&shared) {
                return Ok(Consumed::SliceOver);
            }
        }
        Ok(Consumed::Nothing)
    }
}
