//! A server without sockets, for tests: the real state, writer, log and connections, on a clock that stands
//! still. Nothing happens by itself: [`Peer::serve`] is one run of a connection's task, [`Server::turn`] one turn
//! of the writer.

pub(super) mod ask;

use std::collections::VecDeque;
use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::{ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, WatcherEvent};
use jute::{Code, OpCode, Reader, SessionId, Zxid, write};

use super::in_memory::{Link, MemoryStream};
use super::{Commands, Limits, NoWords, Shared};
use crate::auth::{self, Auth};
use crate::clock::{Clock, ManualClock};
use crate::disk::RealDisk;
use crate::metrics::Metrics;
use crate::replica::{Options, SweepOptions};
use crate::request::testing::OPTIONS;
use crate::runtime::budget::Budget;
use crate::runtime::{Client, Inbox, NoSnapshots, Parts, State, Writer};
use crate::session::{Sessions, password_for};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Io, Log};

/// The clock at the start: not zero, so that nothing is right by chance.
const START_US: i64 = 1_000_000_000;
/// The timeout that [`Server::connect`] asks for, in milliseconds.
pub(super) const TIMEOUT_MS: i32 = 30_000;
/// The smallest and the largest timeout granted, in milliseconds.
pub(super) const TIMEOUTS_MS: (i32, i32) = (4000, 40_000);

/// What a server is started with.
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) options: crate::request::Options,
    pub(super) budget: Budget,
    pub(super) auth: auth::Options,
    pub(super) commands: Arc<dyn Commands>,
    /// Whether the tree knows nodes with a time to live.
    pub(super) extended_types: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let limits = Limits {
            frame_bytes_max: 1 << 20,
            requests_max: 1024,
            request_bytes_max: 1 << 20,
            unsent_bytes_max: 1 << 20,
            sessionless: std::time::Duration::from_secs(10),
        };
        Self {
            limits,
            options: OPTIONS,
            budget: Budget::unlimited(),
            auth: auth::Options::default(),
            commands: Arc::new(NoWords),
            extended_types: false,
        }
    }
}

/// A server that takes no snapshots, and answers four-letter words only if it is told how.
pub(super) struct Server {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) writer: Writer,
    clients: u64,
    _directory: tempfile::TempDir,
}

impl Server {
    /// With the usual settings.
    pub(super) fn new() -> Self {
        Self::with(Setup::default())
    }

    /// With settings of its own.
    pub(super) fn with(setup: Setup) -> Self {
        let Setup { limits, options, budget, auth, commands, extended_types } = setup;
        let directory = tempfile::tempdir().expect("a directory for the log");
        let log_options = txnlog::Options {
            prealloc_bytes: 0,
            force_sync: false,
            io: Io::Plain,
            ..txnlog::Options::new(directory.path().to_owned())
        };
        let log = Log::open(Arc::new(RealDisk), log_options, Zxid::ZERO).expect("a new log");
        let clock = Arc::new(ManualClock::at_us(START_US));
        let (sessions, tree) =
            (Sessions::new(2000, 1, 0), Tree::new(OwnerRules { extended_types, ..OwnerRules::default() }));
        let state = Arc::new(State::new(tree, sessions, options, budget, clock.now_ms()));
        let (inbox, metrics) = (Arc::new(Inbox::default()), Arc::new(Metrics::new()));
        let (min_session_timeout_ms, max_session_timeout_ms) = TIMEOUTS_MS;
        let sweep = SweepOptions { interval_ms: 60_000, per_minute: 10_000, never_used_ms: 0 };
        let writer = Writer::new(Parts {
            state: state.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            log,
            snapshots: Box::new(NoSnapshots),
            options: Options { request: options, min_session_timeout_ms, max_session_timeout_ms, sweep },
        });
        let (auth, manual) = (Auth::new(auth), clock.clone());
        let shared = Arc::new(Shared { state, inbox, clock: manual, metrics, commands, limits, auth });
        Self { shared, clock, writer, clients: 0, _directory: directory }
    }

    /// What is shared.
    pub(super) fn state(&self) -> &State {
        &self.shared.state
    }

    /// Whether there is a node with this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.state().tree().get(path).is_some()
    }

    /// One turn of the writer, by a server that has been listening.
    pub(super) fn turn(&mut self) {
        self.state().listening.tick(self.clock.now_ms());
        self.writer.turn().expect("the log takes everything");
    }

    /// Time passes in which the server runs, and serves these connections.
    pub(super) fn pass(&mut self, passed_ms: i64, peers: &mut [&mut Peer]) {
        for _ in 0..passed_ms / 100 {
            self.clock.advance_us(100_000);
            self.turn();
            peers.iter_mut().for_each(|peer| peer.serve());
        }
    }

    /// A connection comes.
    pub(super) fn dial(&mut self) -> Peer {
        self.clients += 1;
        let client = Arc::new(Client::new(self.clients, ([127, 0, 0, 1], 1024).into(), 0));
        let stream = MemoryStream::new(usize::MAX);
        Peer {
            link: Link::new(&self.shared, &client, stream.clone()),
            client,
            stream,
            greeting: None,
            replies: VecDeque::new(),
            events: Vec::new(),
            xid: 0,
        }
    }

    /// A client with a session of its own.
    pub(super) fn connect(&mut self) -> Peer {
        let mut peer = self.dial();
        self.greet(&mut peer, first_frame(SessionId::NONE));
        assert_ne!(peer.session(), SessionId::NONE);
        peer
    }

    /// A client that comes back to a session.
    pub(super) fn reconnect(&mut self, session: SessionId) -> Peer {
        let mut peer = self.dial();
        self.greet(&mut peer, first_frame(session));
        peer
    }

    /// Asks for a session as `connect` says, and takes the answer.
    pub(super) fn greet(&mut self, peer: &mut Peer, connect: ConnectRequest) {
        peer.send_frame(&connect.to_bytes());
        peer.serve();
        self.turn();
        peer.serve();
        assert!(peer.greeting.is_some(), "no answer to a first frame: {:?}", peer.end());
    }

    /// Sends a request and waits for the reply to it, after those to all before.
    pub(super) fn ask(&mut self, peer: &mut Peer, asked: Ask) -> Reply {
        let xid = peer.send(asked);
        peer.serve();
        if peer.client.in_flight() > 0 {
            self.turn();
            peer.serve();
        }
        let reply = peer.take_replies().pop();
        let reply = reply.unwrap_or_else(|| panic!("no reply to request {xid}: {:?}", peer.end()));
        assert_eq!(reply.xid, xid);
        reply
    }

    /// As [`Server::ask`], for what must succeed.
    pub(super) fn succeed(&mut self, peer: &mut Peer, asked: Ask) -> Reply {
        let reply = self.ask(peer, asked);
        assert_eq!(reply.code, Code::OK);
        reply
    }
}

/// A request without its header.
pub(super) type Ask = (OpCode, Vec<u8>);

/// A first frame with the right password.
pub(super) fn first_frame(session_id: SessionId) -> ConnectRequest {
    let passwd = Some(password_for(session_id).to_vec());
    ConnectRequest { time_out: TIMEOUT_MS, session_id, passwd, ..ConnectRequest::default() }
}

/// A reply.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) xid: i32,
    pub(super) zxid: Zxid,
    pub(super) code: Code,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// What it carries.
    pub(super) fn body<T: Record>(&self) -> T {
        T::decode(&mut Reader::new(&self.body)).expect("the reply has this body")
    }
}

/// A connection from both of its ends.
pub(super) struct Peer {
    pub(super) link: Link,
    pub(super) client: Arc<Client>,
    pub(super) stream: MemoryStream,
    /// The answer to the first frame.
    pub(super) greeting: Option<ConnectResponse>,
    replies: VecDeque<Reply>,
    events: Vec<(i32, String)>,
    xid: i32,
}

impl Peer {
    /// The session it was told it has.
    pub(super) fn session(&self) -> SessionId {
        self.greeting.as_ref().map_or(SessionId::NONE, |greeting| greeting.session_id)
    }

    /// Why the connection ended, if it did; empty when no reason is told.
    pub(super) fn end(&self) -> Option<&str> {
        self.link.end()
    }

    /// Whether the client reads what it is sent from now on.
    pub(super) fn set_reads(&self, reads: bool) {
        self.stream.set_room(if reads { usize::MAX } else { 0 });
    }

    /// Sends a request, which the server does not look at yet. Returns its xid.
    pub(super) fn send(&mut self, (op, body): Ask) -> i32 {
        self.xid += 1;
        let xid = if op == OpCode::PING { -2 } else { self.xid };
        let mut frame = RequestHeader { xid, r#type: op.0 }.to_bytes();
        frame.extend(body);
        self.send_frame(&frame);
        xid
    }

    /// Sends a frame.
    pub(super) fn send_frame(&self, frame: &[u8]) {
        let mut bytes = Vec::new();
        write::buffer(&mut bytes, Some(frame));
        self.stream.send(&bytes);
    }

    /// What the server has read, or is still to read, of what was sent and not served.
    pub(super) fn unserved(&mut self) -> usize {
        self.stream.unread() + self.link.protocol().input().unread().len()
    }

    /// Bytes that the server holds because the client does not read.
    pub(super) fn unsent(&self) -> usize {
        self.link.unsent() + self.client.outbox().waiting()
    }

    /// The replies that came, oldest first.
    pub(super) fn take_replies(&mut self) -> Vec<Reply> {
        self.replies.drain(..).collect()
    }

    /// The events that came, oldest first: type and path.
    pub(super) fn take_events(&mut self) -> Vec<(i32, String)> {
        std::mem::take(&mut self.events)
    }

    /// The client closes its side.
    pub(super) fn hang_up(&mut self) {
        self.link.hang_up();
    }

    /// Runs the connection's task until it would wait; then the client reads what it was sent.
    pub(super) fn serve(&mut self) {
        self.link.run();
        let came = self.stream.receive();
        self.receive(&came);
    }

    /// The client reads whole frames.
    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (frame, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            rest = tail;
            let mut reader = Reader::new(frame);
            if self.greeting.is_none() {
                self.greeting = Some(ConnectResponse::decode(&mut reader).expect("a connect response"));
                continue;
            }
            let ReplyHeader { xid, zxid, err } = Record::decode(&mut reader).expect("a reply header");
            if xid == -1 {
                let event = WatcherEvent::decode(&mut reader).expect("an event");
                self.events.push((event.r#type, event.path.expect("its path")));
            } else {
                let (code, body) = (Code(err), reader.rest().to_vec());
                self.replies.push_back(Reply { xid, zxid, code, body });
            }
        }
        assert!(rest.is_empty(), "what is sent are whole frames");
    }
}
