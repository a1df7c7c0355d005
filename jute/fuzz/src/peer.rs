//! A connection without its socket: what came, and what was answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use jute::Reader;
use jute::records::Record;
use jute::records::proto::{ConnectRequest, ReplyHeader};
use oxkeeper::net::frame::{Frame, Input};
use oxkeeper::request::{Client, State};
use oxkeeper::tree::Identity;

/// The largest frame taken.
const FRAME_BYTES_MAX: usize = 1 << 16;
/// xid of notifications.
const NOTIFICATION: i32 = -1;

/// One end of a connection.
pub(crate) struct Peer {
    pub(crate) client: Arc<Client>,
    pub(crate) identities: Arc<[Identity]>,
    input: Input,
    output: Vec<u8>,
    /// xids of requests that want an answer, in order.
    expected: std::collections::VecDeque<i32>,
    /// Asked for a session; its answer is no reply.
    pub(crate) greeted: bool,
    pub(crate) is_dead: bool,
}

impl Peer {
    pub(crate) fn new(state: &State, id: u64) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1024);
        let client = Arc::new(Client::new(id, address, 0));
        state.register(client.clone());
        let identities = client.identities();
        let (input, output) = (Input::default(), Vec::new());
        Self { client, identities, input, output, expected: [].into(), greeted: false, is_dead: false }
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.fill(|buffer| buffer.extend_from_slice(bytes));
    }

    /// The next whole frame; a bad length ends the connection.
    pub(crate) fn next_frame(&mut self) -> Option<Vec<u8>> {
        if self.is_dead {
            return None;
        }
        match self.input.next_frame(FRAME_BYTES_MAX) {
            Frame::Whole(frame) => Some(frame.to_vec()),
            Frame::Partial => None,
            Frame::BadLength(_) => {
                self.is_dead = true;
                None
            }
        }
    }

    /// Notes that an answer with this xid must come.
    pub(crate) fn expect(&mut self, xid: i32) {
        self.expected.push_back(xid);
    }

    /// Takes what was answered: whole frames, replies in the order of the requests.
    pub(crate) fn collect(&mut self) {
        let mut taken = Vec::new();
        let mut outbox = self.client.outbox();
        outbox.collect(&mut taken, Waker::noop());
        self.is_dead |= outbox.is_closing();
        drop(outbox);
        self.output.append(&mut taken);
        let mut rest = self.output.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).expect("a reply has a length");
            let (frame, tail) = tail.split_at(length);
            rest = tail;
            if !self.greeted {
                self.greeted = true;
                continue;
            }
            let header = ReplyHeader::decode(&mut Reader::new(frame)).expect("a reply begins with a header");
            if header.xid != NOTIFICATION || self.expected.front() == Some(&NOTIFICATION) {
                assert_eq!(Some(header.xid), self.expected.pop_front(), "replies come in order");
            }
        }
        assert!(rest.is_empty(), "replies are whole");
        self.output.clear();
    }

    /// Every request that was taken has been answered, unless the connection ended.
    pub(crate) fn check_answered(&self) {
        assert!(self.is_dead || self.expected.is_empty(), "unanswered: {:?}", self.expected);
        assert!(self.client.in_flight() == 0 && self.client.in_flight_bytes() == 0);
    }
}

/// A connect request, with or without its last byte.
pub(crate) fn decode_connect(frame: &[u8]) -> Option<ConnectRequest> {
    let completed = [frame, &[0]].concat();
    let read = |bytes| ConnectRequest::decode(&mut Reader::new(bytes)).ok();
    read(frame).or_else(|| read(&completed))
}
