//! Both ends of a connection without its socket: what came, and what was answered.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::{ReplyHeader, RequestHeader, WatcherEvent};
use jute::{Code, OpCode, Reader, SessionId, Zxid};
use oxkeeper::net::Shared;
use oxkeeper::net::frame::{Frame, Input};
use oxkeeper::net::in_memory::{Link, MemoryStream};
use oxkeeper::net::protocol::Phase;
use oxkeeper::runtime::Client;

use crate::script::framed;

/// xid of notifications.
const NOTIFICATION: i32 = -1;
/// xid of answers to pings.
const PING_XID: i32 = -2;
/// Connect responses, without and with their last byte.
const GREETING_BYTES: [usize; 2] = [36, 37];

/// A connection.
pub(crate) struct Connection {
    link: Link,
    client: Arc<Client>,
    stream: MemoryStream,
    told: Told,
}

impl Connection {
    pub(crate) fn new(shared: &Arc<Shared>, id: u64) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1024);
        let client = Arc::new(Client::new(id, address, 0));
        let stream = MemoryStream::new(usize::MAX);
        client.set_socket(Arc::new(stream.clone()));
        Self {
            link: Link::new(shared, &client, stream.clone()),
            client,
            stream,
            told: Told { bytes_max: shared.limits.frame_bytes_max, ..Told::default() },
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.send(bytes);
        self.told.ask(bytes);
    }

    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        self.send(&framed(frame));
    }

    /// The stream takes everything, or nothing while the client does not read.
    pub(crate) fn set_reads(&self, reads: bool) {
        self.stream.set_room(if reads { usize::MAX } else { 0 });
    }

    pub(crate) fn is_over(&self) -> bool {
        self.link.end().is_some()
    }

    /// Whether a session was asked for.
    pub(crate) fn is_connecting(&mut self) -> bool {
        !self.is_over() && self.link.protocol().phase() == Phase::Connecting
    }

    /// The session, if it has one.
    pub(crate) fn session(&self) -> SessionId {
        self.client.session().map_or(SessionId::NONE, |session| session.id)
    }

    /// Whether another turn may bring it further.
    pub(crate) fn may_go_on(&self) -> bool {
        !self.is_over() && !self.link.lacks_memory() && (self.client.in_flight() > 0 || self.link.may_read())
    }

    /// The connection's task runs until it would wait; then the client reads what it was sent.
    pub(crate) fn serve(&mut self) {
        self.link.run();
        self.told.hear(&self.stream.receive());
    }

    /// The socket is gone.
    pub(crate) fn hang_up(&mut self) {
        self.link.hang_up();
    }

    /// What the server holds for it, as the budget counts.
    pub(crate) fn held_bytes(&mut self) -> usize {
        self.link.protocol().input().unread().len() + self.link.unsent() + self.client.identity_bytes()
    }

    /// Every request that was taken has been answered, unless the connection ended.
    pub(crate) fn check_answered(&self) {
        assert_eq!((self.client.in_flight(), self.client.in_flight_bytes()), (0, 0));
        if !self.is_over() && !self.link.lacks_memory() {
            assert!(self.told.asked.is_empty(), "unanswered: {:?}", self.told.asked);
        }
    }
}

/// What the client asked for and what it was told.
#[derive(Default)]
struct Told {
    /// Requests as they were sent.
    sent: Input,
    bytes_max: usize,
    /// The first frame was sent.
    has_asked: bool,
    /// What came is no request: the connection will end.
    is_malformed: bool,
    /// Requests that want an answer, in order.
    asked: VecDeque<Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    xid: i32,
    op: OpCode,
}

impl Asked {
    /// Answered on the spot, before writes that were sent earlier.
    const fn overtakes(&self) -> bool {
        matches!(self.op, OpCode::AUTH | OpCode::SASL)
    }
}

/// The first frame.
const FIRST: Asked = Asked { xid: 0, op: OpCode::CREATE_SESSION };

impl Told {
    /// Notes what these bytes ask for.
    fn ask(&mut self, bytes: &[u8]) {
        self.sent.fill(|buffer| buffer.extend_from_slice(bytes));
        while !self.is_malformed {
            let frame = match self.sent.peek_frame(self.bytes_max) {
                Frame::Partial => return,
                Frame::BadLength(_) => {
                    self.is_malformed = true;
                    return;
                }
                Frame::Whole(frame) => frame,
            };
            let header = RequestHeader::decode(&mut Reader::new(frame)).ok();
            let count = 4 + frame.len();
            self.sent.skip(count);
            if !self.has_asked {
                self.has_asked = true;
                self.asked.push_back(FIRST);
                continue;
            }
            let Some(RequestHeader { xid, r#type }) = header else {
                self.is_malformed = true;
                return;
            };
            let op = OpCode(r#type);
            self.asked.push_back(Asked { xid: if op == OpCode::PING { PING_XID } else { xid }, op });
        }
    }

    /// Checks what was answered: whole frames, replies in the order of the requests.
    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).expect("a reply has a length");
            let (frame, tail) = tail.split_at(length);
            rest = tail;
            self.hear_frame(frame);
        }
        assert!(rest.is_empty(), "replies are whole");
    }

    fn hear_frame(&mut self, frame: &[u8]) {
        let next = self.asked.iter().position(|asked| !asked.overtakes());
        let expected = next.map(|at| self.asked[at]);
        let is_greeting = GREETING_BYTES.contains(&frame.len()) && frame.starts_with(&[0; 4]);
        if is_greeting && expected.is_some_and(|asked| asked.op == OpCode::CREATE_SESSION) {
            return self.answered(next);
        }
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).expect("a reply begins with a header");
        if header.xid == NOTIFICATION && is_event(reader.rest()) {
            return;
        }
        // What is not served at all is refused on the spot, as in the reference, and the connection ends.
        if header.err == Code::UNIMPLEMENTED.0 && header.zxid == Zxid(-1) {
            let refused = self.asked.iter().position(|asked| asked.xid == header.xid);
            assert!(refused.is_some(), "nobody asked for {}", header.xid);
            return self.answered(refused);
        }
        // Nothing else that is answered on the spot carries a zxid.
        let at_once = self.asked.iter().position(Asked::overtakes).filter(|_| header.zxid == Zxid::ZERO);
        if at_once.is_some_and(|at| self.asked[at].xid == header.xid) {
            return self.answered(at_once);
        }
        let xid = expected.map(|asked| asked.xid);
        assert_eq!(Some(header.xid), xid, "replies come in order: {:?}", self.asked);
        self.answered(next);
    }

    fn answered(&mut self, at: Option<usize>) {
        let _asked = at.and_then(|at| self.asked.remove(at));
    }
}

/// Whether this, behind the header of a notification, is one: a type, the state of a client that is connected, a
/// path. What answers a request with the same xid looks otherwise.
fn is_event(body: &[u8]) -> bool {
    WatcherEvent::decode(&mut Reader::new(body))
        .is_ok_and(|event| (1..=4).contains(&event.r#type) && event.state == 3 && event.to_bytes() == body)
}
