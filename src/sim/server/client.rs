//! One simulated client: what it sends, what it expects, what it remembers.

use std::collections::VecDeque;

use jute::records::Record;
use jute::records::proto::{AuthPacket, ConnectRequest, ConnectResponse, RequestHeader, SetWatches2};
use jute::{OpCode, Reader, SessionId, Zxid};

use super::guarded::{Proven, USERS};
use super::history::{History, Item, Stream};
use super::machine::TIMEOUTS_MS;
use super::requests::{Asked, Watch, WatchKind, any, long_ephemeral};
use crate::net::in_memory::{Link, MemoryStream};
use crate::request::is_write;
use crate::session::password_for;
use crate::sim::random::Random;

const PING_XID: i32 = -2;
const EVENT_XID: i32 = -1;
const SET_WATCHES_XID: i32 = -8;
const AUTH_XID: i32 = -4;

/// What a client sent and waits for.
#[derive(Debug)]
struct Pending {
    xid: i32,
    asked: Asked,
}

/// A connection as a client has it.
pub(in crate::sim) struct Connection {
    pub(in crate::sim) stream: MemoryStream,
    pub(in crate::sim) link: Link,
    received: Vec<u8>,
    /// Where its items are in the history, once it has a session.
    number: Option<usize>,
    pending: VecDeque<Pending>,
    proven: Proven,
    /// Since when it waits for the server to have memory, and how many frames had been served then.
    pub(in crate::sim) waits: Option<(i64, u64)>,
}

/// A client.
pub(in crate::sim) struct SimClient {
    pub(in crate::sim) name: usize,
    pub(in crate::sim) session: Option<SessionId>,
    pub(in crate::sim) connection: Option<Connection>,
    /// The one before, which the session left.
    pub(in crate::sim) abandoned: Option<Connection>,
    /// In an ensemble: which servers these two are to.
    pub(in crate::sim) server: Option<i64>,
    pub(in crate::sim) abandoned_server: Option<i64>,
    /// Whether it takes what the server sends.
    pub(in crate::sim) is_reading: bool,
    /// When it is heard of again, after it vanished.
    pub(in crate::sim) absent_until_ms: i64,
    /// Since when it has kept its session as it should: connected, pinging, reading.
    pub(in crate::sim) well_since_ms: Option<i64>,
    pub(in crate::sim) last_zxid: Zxid,
    watches: Vec<Watch>,
    next_xid: i32,
    last_sent_ms: i64,
    timeout_ms: i64,
    /// What it sent in session, and what its connection had proven then.
    pub(in crate::sim) sent: Vec<(SessionId, i32, Proven)>,
}

impl SimClient {
    pub(in crate::sim) fn new(name: usize) -> Self {
        Self {
            name,
            session: None,
            connection: None,
            abandoned: None,
            server: None,
            abandoned_server: None,
            is_reading: true,
            absent_until_ms: 0,
            well_since_ms: None,
            last_zxid: Zxid::ZERO,
            watches: Vec::new(),
            next_xid: 1,
            last_sent_ms: 0,
            timeout_ms: TIMEOUTS_MS.0.into(),
            sent: Vec::new(),
        }
    }

    /// Asks for its session, or a new one, on a new connection.
    pub(in crate::sim) fn connect(&mut self, stream: MemoryStream, link: Link, now_ms: i64) {
        let id = self.session.unwrap_or(SessionId::NONE);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            time_out: TIMEOUTS_MS.0,
            session_id: id,
            passwd: Some(password_for(id).to_vec()),
            read_only: false,
        };
        stream.send(&framed(&request.to_bytes()));
        self.last_sent_ms = now_ms;
        let (received, pending) = (Vec::new(), VecDeque::new());
        let proven = Proven::default();
        let new = Connection { stream, link, received, number: None, pending, proven, waits: None };
        self.abandoned = self.connection.replace(new).or_else(|| self.abandoned.take());
    }

    pub(in crate::sim) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.number.is_some())
    }

    /// Sends some requests.
    pub(in crate::sim) fn act(&mut self, random: &mut Random, now_ms: i64) {
        if !self.is_connected() {
            return;
        }
        if random.below(12) == 0 {
            self.prove(random.below(USERS.len() as u64) as usize);
        }
        // Now and then as many ephemerals as the end of a session has room for, and more.
        if random.below(30) == 0 {
            for _ in 0..20 {
                let asked = long_ephemeral(random);
                self.send(self.next_xid, asked, now_ms);
            }
        }
        for _ in 0..=random.below(6) {
            let xid = self.next_xid;
            let asked = any(random, self.session.expect("it is connected"), xid);
            self.send(xid, asked, now_ms);
        }
    }

    /// Proves to be one of the users. The reply may come before those to earlier requests.
    fn prove(&mut self, user: usize) {
        let packet = AuthPacket { r#type: 0, scheme: Some("digest".into()), auth: Some(USERS[user].into()) };
        self.write(AUTH_XID, &Asked::plain(OpCode::AUTH, packet.to_bytes()));
        let connection = self.connection.as_mut().expect("it is connected");
        connection.proven = connection.proven.with(user);
    }

    /// Ends its session.
    pub(in crate::sim) fn close(&mut self, random: &mut Random, now_ms: i64, history: &mut History) {
        if !self.is_connected() {
            return;
        }
        let asked = Asked::plain(OpCode::CLOSE_SESSION, Vec::new());
        self.send(self.next_xid, asked, now_ms);
        // Nothing behind it is carried out.
        let session = self.session.expect("it is connected");
        let late = any(random, session, self.next_xid);
        history.forbidden.push((session, self.next_xid));
        self.write(self.next_xid, &late);
        self.next_xid += 1;
        self.well_since_ms = None;
    }

    /// Sends a write through the connection that the session has left.
    pub(in crate::sim) fn act_through_abandoned(&mut self, random: &mut Random, history: &mut History) {
        let (Some(abandoned), Some(session), true) = (&self.abandoned, self.session, self.is_connected())
        else {
            return;
        };
        let asked = any(random, session, self.next_xid);
        history.forbidden.push((session, self.next_xid));
        abandoned.stream.send(&request(self.next_xid, &asked));
        self.next_xid += 1;
    }

    /// What a client does without being told: it keeps its session alive.
    pub(in crate::sim) fn tick(&mut self, now_ms: i64) {
        if self.is_connected() && now_ms - self.last_sent_ms >= self.timeout_ms / 3 {
            let ping = Asked::plain(OpCode::PING, Vec::new());
            self.write(PING_XID, &ping);
            self.last_sent_ms = now_ms;
        }
    }

    fn send(&mut self, xid: i32, asked: Asked, now_ms: i64) {
        let proven = self.connection.as_ref().expect("it is connected").proven;
        let asked = Asked { proven, ..asked };
        self.sent.extend(self.session.map(|session| (session, xid, proven)));
        self.write(xid, &asked);
        self.last_sent_ms = now_ms;
        if xid == self.next_xid {
            self.next_xid += 1;
        }
        let connection = self.connection.as_mut().expect("it is connected");
        connection.pending.push_back(Pending { xid, asked });
    }

    fn write(&self, xid: i32, asked: &Asked) {
        let connection = self.connection.as_ref().expect("it is connected");
        connection.stream.send(&request(xid, asked));
    }

    /// Takes what the server has sent.
    pub(in crate::sim) fn receive(&mut self, now_ms: i64, history: &mut History) {
        let Some(connection) = &mut self.connection else { return };
        connection.received.append(&mut connection.stream.receive());
        loop {
            let Some(connection) = &mut self.connection else { return };
            let Some((length, rest)) = connection.received.split_first_chunk::<4>() else { return };
            let length = u32::from_be_bytes(*length) as usize;
            let Some(frame) = rest.get(..length).map(<[u8]>::to_vec) else { return };
            connection.received.drain(..4 + length);
            if connection.number.is_some() {
                self.take_frame(&frame, history);
            } else {
                self.take_connect_response(&frame, now_ms, history);
            }
        }
    }

    fn take_connect_response(&mut self, frame: &[u8], now_ms: i64, history: &mut History) {
        let response = ConnectResponse::decode(&mut Reader::new(frame)).expect("a connect response");
        if response.session_id == SessionId::NONE {
            self.forget_session();
            return;
        }
        self.timeout_ms = response.time_out.into();
        self.session = Some(response.session_id);
        self.well_since_ms = (now_ms >= self.absent_until_ms && self.is_reading).then_some(now_ms);
        let connection = self.connection.as_mut().expect("a frame came from it");
        connection.number = Some(history.streams.len());
        history.streams.push(Stream { session: response.session_id, items: Vec::new() });
        if !self.watches.is_empty() {
            self.restore_watches(now_ms);
        }
    }

    /// As clients do after a reconnect.
    fn restore_watches(&mut self, now_ms: i64) {
        let of = |kind: WatchKind| {
            Some(
                self.watches
                    .iter()
                    .filter(|watch| watch.kind == kind)
                    .map(|watch| Some(watch.path.clone()))
                    .collect(),
            )
        };
        let set = SetWatches2 {
            relative_zxid: self.last_zxid,
            data_watches: of(WatchKind::Data),
            exist_watches: Some(Vec::new()),
            child_watches: of(WatchKind::Child),
            persistent_watches: of(WatchKind::Persistent),
            persistent_recursive_watches: of(WatchKind::Recursive),
        };
        let asked = Asked::plain(OpCode::SET_WATCHES2, set.to_bytes());
        self.send(SET_WATCHES_XID, asked, now_ms);
    }

    fn take_frame(&mut self, frame: &[u8], history: &mut History) {
        let mut reader = Reader::new(frame);
        let (xid, zxid, err) = (reader.int().unwrap(), Zxid(reader.long().unwrap()), reader.int().unwrap());
        if xid == AUTH_XID {
            assert_eq!(err, 0, "client {}: what it proves is right", self.name);
            return;
        }
        if zxid != Zxid(-1) {
            assert!(zxid >= self.last_zxid, "client {}: zxid {zxid} after {}", self.name, self.last_zxid);
            self.last_zxid = zxid;
        }
        let connection = self.connection.as_mut().expect("a frame came from it");
        let items = &mut history.streams[connection.number.expect("it has a session")].items;
        match xid {
            PING_XID => {}
            EVENT_XID => {
                let (kind, _state) = (reader.int().unwrap(), reader.int().unwrap());
                let path = reader.ustring().unwrap().expect("an event has a path").into_owned();
                self.watches.retain(|watch| {
                    watch.path != path || matches!(watch.kind, WatchKind::Persistent | WatchKind::Recursive)
                });
                items.push(Item::Event { kind, path, zxid, proven: connection.proven });
            }
            xid => {
                let pending = connection.pending.pop_front();
                let Pending { xid: expected, asked } =
                    pending.unwrap_or_else(|| panic!("client {}: reply {xid} to nothing", self.name));
                assert_eq!(xid, expected, "client {}: replies come in the order of requests", self.name);
                let session = self.session.expect("it has one");
                if err == 0 && is_write(asked.op) {
                    history.acknowledged.push((session, xid, asked.op, zxid));
                }
                let is_left = err == 0 || (asked.op == OpCode::EXISTS && err == -101);
                if let Some(watch) = asked.watch.as_ref().filter(|_| is_left) {
                    self.watches.push(watch.clone());
                }
                let is_end = asked.op == OpCode::CLOSE_SESSION;
                let body = reader.rest().to_vec();
                items.push(Item::Reply { xid, asked, zxid, err, body });
                if is_end {
                    self.forget_session();
                }
            }
        }
    }

    /// The server has decided that the session ends, although the client did not ask for it.
    pub(in crate::sim) fn note_expiry(&mut self, now_ms: i64) {
        let well_ms = self.well_since_ms.take().map_or(0, |since| now_ms - since);
        assert!(
            well_ms < self.timeout_ms,
            "client {}: its session expired although it was heard from for {well_ms} ms",
            self.name
        );
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.watches.clear();
        self.well_since_ms = None;
        if let Some(mut connection) = self.connection.take() {
            connection.stream.close();
            connection.link.hang_up();
        }
    }

    /// The connection is lost; the client does not know how far the server came.
    pub(in crate::sim) fn disconnect(&mut self) {
        for mut connection in self.connection.take().into_iter().chain(self.abandoned.take()) {
            connection.stream.close();
            connection.link.hang_up();
        }
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

fn request(xid: i32, asked: &Asked) -> Vec<u8> {
    let mut bytes = RequestHeader { xid, r#type: asked.op.0 }.to_bytes();
    bytes.extend_from_slice(&asked.body);
    framed(&bytes)
}
