//! A state, its connections and the turns that writes take: `net::connection` and `pipeline::round` without
//! sockets, log and threads.

use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::{AuthPacket, ConnectRequest, ConnectResponse, RequestHeader};
use jute::records::txn::CreateSessionTxn;
use jute::txn::TxnEntry;
use jute::{Code, OpCode, Reader, SessionId, Zxid};
use oxkeeper::auth::digest;
use oxkeeper::request::prepare::{Prepared, Preparer};
use oxkeeper::request::read::Read;
use oxkeeper::request::reply::write_body;
use oxkeeper::request::{Body, Options, Request, State, is_write};
use oxkeeper::session::{Sessions, password_for};
use oxkeeper::tree::{AclRules, Identity, OwnerRules, Tree};

use crate::check_can_be_loaded;
use crate::peer::{Peer, decode_connect};
use crate::script::framed;

/// The default of `jute.maxbuffer` and its extra size together.
const TXN_BYTES_MAX: usize = 2 * 0xF_FFFF;
/// Connections at a time.
pub(crate) const CONNECTIONS: usize = 3;
const TICK_MS: i64 = 2000;
const TIMEOUT_MS: i32 = 4000;
/// Writes that wait for their turn; then it comes by itself.
const BATCH_MAX: usize = 32;
const PING_XID: i32 = -2;

/// What became of a request in preparation.
enum What {
    Txn(TxnEntry),
    NewSession(TxnEntry),
    Reopen(ConnectRequest),
    Refused(Code),
    Read(Vec<u8>),
}

/// Everything.
pub(crate) struct World {
    state: Arc<State>,
    preparer: Preparer,
    peers: Vec<Peer>,
    batch: Vec<Request>,
    now_ms: i64,
    next_peer: u64,
}

impl World {
    /// The bits of `switches` are those of [`Options`].
    pub(crate) fn new(switches: u8) -> Self {
        let on = |bit: u8| switches & 1 << bit != 0;
        let options = Options {
            acl: AclRules { skip: on(0), digest: !on(1), key: false },
            extended_types: on(2),
            enforce_quota: on(3),
            digest: true,
            close_session_lists: !on(4),
            reconfig: on(5),
            txn_bytes_max: TXN_BYTES_MAX,
        };
        let tree = Tree::new(OwnerRules { extended_types: on(2), emulate_353: on(6) });
        let state = Arc::new(State::new(tree, Sessions::new(TICK_MS, 1, 0), options));
        let preparer = Preparer::new(options, Zxid::ZERO);
        let mut world =
            Self { state, preparer, peers: Vec::new(), batch: Vec::new(), now_ms: 0, next_peer: 0 };
        (0..CONNECTIONS).for_each(|_| world.dial());
        // The last one says by itself what it wants.
        (1..CONNECTIONS).for_each(|who| world.connect(who - 1, SessionId::NONE));
        world
    }

    fn dial(&mut self) {
        self.next_peer += 1;
        self.peers.push(Peer::new(&self.state, self.next_peer));
    }

    fn connect(&mut self, who: usize, session: SessionId) {
        let passwd = Some(password_for(session).to_vec());
        let request = ConnectRequest { session_id: session, passwd, ..ConnectRequest::default() };
        self.receive_frame(who, &request.to_bytes());
    }

    /// Bytes come as they stand.
    pub(crate) fn receive(&mut self, who: usize, bytes: &[u8]) {
        self.peers[who].receive(bytes);
        while let Some(frame) = self.peers[who].next_frame() {
            self.serve(who, &frame);
        }
        if self.peers[who].is_dead {
            self.hang_up(who);
        }
    }

    /// A frame comes, with the length it has.
    pub(crate) fn receive_frame(&mut self, who: usize, frame: &[u8]) {
        self.receive(who, &framed(frame));
    }

    /// The socket closes, and another comes in its place.
    pub(crate) fn hang_up(&mut self, who: usize) {
        self.state.unregister(&self.peers[who].client);
        self.dial();
        self.peers.swap_remove(who);
    }

    /// The client comes back to its session on another socket.
    pub(crate) fn reconnect(&mut self, who: usize) {
        let session = self.peers[who].client.session().map_or(SessionId::NONE, |session| session.id);
        self.hang_up(who);
        self.connect(who, session);
    }

    /// The clock goes on; sessions that were not heard from end.
    pub(crate) fn pass_time(&mut self, passed_ms: i64) {
        self.now_ms += passed_ms;
        let expired = self.state.sessions().expire(self.now_ms);
        for session in expired {
            self.batch.push(Request {
                client: None,
                session,
                xid: 0,
                op: OpCode::CLOSE_SESSION,
                body: Body::CloseSession,
                identities: Arc::new([]),
                received_ms: self.now_ms,
                bytes: 0,
            });
        }
    }

    fn serve(&mut self, who: usize, frame: &[u8]) {
        let peer = &mut self.peers[who];
        let Some(session) = peer.client.session().cloned() else {
            match decode_connect(frame) {
                Some(connect) if peer.client.in_flight() == 0 => {
                    self.enter(who, 0, OpCode::CREATE_SESSION, Body::Connect(connect), frame.len());
                    self.commit();
                }
                _ => peer.is_dead = true,
            }
            return;
        };
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            peer.is_dead = true;
            return;
        };
        let (xid, op, body) = (header.xid, OpCode(header.r#type), reader.rest());
        match op {
            OpCode::AUTH => return self.authenticate(who, body),
            OpCode::SASL => return,
            _ => {}
        }
        if !session.touch(self.now_ms) {
            return;
        }
        if !op.is_valid_request() {
            peer.is_dead = true;
            return;
        }
        if op != OpCode::CREATE_SESSION {
            peer.expect(if op == OpCode::PING { PING_XID } else { xid });
        }
        if is_write(op) || peer.client.in_flight() > 0 {
            let body = if is_write(op) { Body::decode(op, body) } else { Body::Ordered(body.to_vec()) };
            self.enter(who, xid, op, body, frame.len());
            if op == OpCode::CREATE_SESSION {
                // Answered by a second greeting, which is no reply.
                self.commit_and_greet(who);
            } else if self.batch.len() >= BATCH_MAX {
                self.commit();
            }
            return;
        }
        let tree = self.state.tree();
        let peer = &self.peers[who];
        let read = Read {
            state: &self.state,
            tree: &tree,
            client: &peer.client,
            session: session.id,
            identities: &peer.identities,
            meter: &|_, _| {},
        };
        read.answer(xid, op, body, &mut peer.client.outbox());
        drop(tree);
        self.peers[who].collect();
    }

    fn commit_and_greet(&mut self, who: usize) {
        let own = self.batch.pop();
        self.commit();
        self.batch.extend(own);
        self.peers[who].greeted = false;
        self.commit();
    }

    fn authenticate(&mut self, who: usize, body: &[u8]) {
        let peer = &mut self.peers[who];
        let Ok(AuthPacket { auth: Some(auth), .. }) = AuthPacket::decode(&mut Reader::new(body)) else {
            peer.is_dead = true;
            return;
        };
        let id = digest::identity(&String::from_utf8_lossy(&auth), digest::Algorithm::default());
        if !peer.client.add_identity(Identity { scheme: "digest".into(), id }) {
            peer.is_dead = true;
            return;
        }
        peer.identities = peer.client.identities();
    }

    fn enter(&mut self, who: usize, xid: i32, op: OpCode, body: Body, bytes: usize) {
        let peer = &self.peers[who];
        peer.client.enter(bytes);
        let session = match &body {
            Body::Connect(connect) => connect.session_id,
            _ => peer.client.session().map_or(SessionId::NONE, |session| session.id),
        };
        self.batch.push(Request {
            client: Some(peer.client.clone()),
            session,
            xid,
            op,
            body,
            identities: peer.identities.clone(),
            received_ms: self.now_ms,
            bytes,
        });
    }

    /// Whatever waits takes its turn: all is prepared, then all is applied and answered.
    pub(crate) fn commit(&mut self) {
        let requests = std::mem::take(&mut self.batch);
        let staged: Vec<_> = requests.into_iter().map(|request| self.prepare(request)).collect();
        let state = Arc::clone(&self.state);
        let mut tree = state.tree_mut();
        for (request, what) in staged {
            self.answer(&mut tree, &request, what);
            if let Some(client) = &request.client {
                client.leave(request.bytes);
            }
        }
        self.preparer.applied(tree.last_zxid());
        drop(tree);
        self.peers.iter_mut().for_each(Peer::collect);
        for who in 0..CONNECTIONS {
            if self.peers[who].is_dead {
                self.hang_up(who);
            }
        }
    }

    fn prepare(&mut self, mut request: Request) -> (Request, What) {
        let state = Arc::clone(&self.state);
        let mut sessions = state.sessions();
        let tree = state.tree();
        let what = match std::mem::replace(&mut request.body, Body::Malformed) {
            Body::Ordered(bytes) => What::Read(bytes),
            Body::Connect(connect) if connect.session_id != SessionId::NONE => What::Reopen(connect),
            body => {
                request.body = body;
                if let Body::Connect(_) = request.body {
                    request.session = sessions.allocate_id();
                    let handle = sessions.track(request.session, TIMEOUT_MS, self.now_ms);
                    request.client.iter().for_each(|client| client.bind(handle.clone()));
                    request.body = Body::CreateSession(CreateSessionTxn { time_out: TIMEOUT_MS });
                }
                match self.preparer.prepare(&tree, &mut sessions, &mut request, self.now_ms) {
                    Prepared::Txn(entry) if request.op == OpCode::CREATE_SESSION => What::NewSession(entry),
                    Prepared::Txn(entry) => What::Txn(entry),
                    Prepared::Refused(code) => What::Refused(code),
                }
            }
        };
        (request, what)
    }

    fn answer(&self, tree: &mut Tree, request: &Request, what: What) {
        let reply = |tree: &Tree, write: &dyn Fn(&mut Vec<u8>) -> Result<(), Code>| {
            let Some(client) = &request.client else { return };
            let mut outbox = client.outbox();
            outbox.reply(request.xid, tree.last_zxid(), write);
            if request.op == OpCode::CLOSE_SESSION {
                outbox.close_after();
            }
        };
        match what {
            What::Txn(entry) => {
                let applied = self.apply(tree, entry);
                if request.op == OpCode::CLOSE_SESSION {
                    self.state.sessions().remove(request.session);
                }
                reply(tree, &|out| write_body(request.op, &applied, out));
            }
            What::NewSession(entry) => {
                self.apply(tree, entry);
                self.state.sessions().commit(request.session);
                self.greet(request, request.session);
            }
            What::Reopen(connect) => {
                let knows = connect.passwd.as_deref() == Some(password_for(connect.session_id).as_slice());
                let mut sessions = self.state.sessions();
                let handle = sessions.reopen(connect.session_id, TIMEOUT_MS, self.now_ms).filter(|_| knows);
                drop(sessions);
                let Some(client) = &request.client else { return };
                match handle {
                    Some(handle) => client.bind(handle),
                    None => client.outbox().close_after(),
                }
                self.greet(request, connect.session_id);
            }
            What::Refused(code) => reply(tree, &|_| Err(code)),
            What::Read(bytes) => {
                let Some(client) = &request.client else { return };
                let read = Read {
                    state: &self.state,
                    tree,
                    client,
                    session: request.session,
                    identities: &request.identities,
                    meter: &|_, _| {},
                };
                read.answer(request.xid, request.op, &bytes, &mut client.outbox());
            }
        }
    }

    fn apply(&self, tree: &mut Tree, entry: TxnEntry) -> oxkeeper::tree::Applied {
        let TxnEntry { header, body, digest } = entry;
        let shown = format!("{body:?}");
        let applied = self.state.apply(tree, &header, body, &mut Vec::new(), &mut |_| {});
        if let Some(digest) = digest {
            assert_eq!(digest.tree_digest.cast_unsigned(), tree.digest(), "after {shown}");
        }
        applied
    }

    fn greet(&self, request: &Request, session: SessionId) {
        let Some(client) = &request.client else { return };
        let response = ConnectResponse { session_id: session, ..ConnectResponse::default() };
        client.outbox().raw(|out| out.extend(framed(&response.to_bytes())));
    }

    /// What must hold once nothing waits any more.
    pub(crate) fn check_end(&mut self) {
        self.peers.iter().for_each(Peer::check_answered);
        check_can_be_loaded(&self.state.tree());
        // Nothing is left of connections that have gone.
        for who in 0..CONNECTIONS {
            self.hang_up(who);
        }
        assert!(self.state.watches().is_empty());
        assert_eq!(self.state.client_count(), CONNECTIONS);
    }
}
