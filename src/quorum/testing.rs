//! Members on loopback, for tests.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jute::{SessionId, Zxid};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::clock::RealClock;
use crate::disk::RealDisk;
use crate::request::prepare::Preparer;
use crate::request::testing::{Asked, OPTIONS, SESSIONS, prepare};
use crate::runtime::budget::Budget;
use crate::session::Sessions;
use crate::tree::Tree;
use crate::zab::{Hello, PeerState};

/// No test waits longer for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps what was put in until a test takes it.
#[derive(Default)]
pub(super) struct Lane {
    waiting: Mutex<VecDeque<FromPeers>>,
    turns: AtomicU64,
}

impl Inbox for Lane {
    fn put(&self, from: FromPeers) {
        self.waiting.lock().unwrap().push_back(from);
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

impl Lane {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    /// As the writer takes it.
    pub(super) fn take_all(&self) -> Vec<FromPeers> {
        let mut waiting = self.waiting.lock().unwrap();
        self.turns.fetch_add(1, Ordering::SeqCst);
        waiting.drain(..).collect()
    }

    /// The first that is what is looked for; what comes before it is lost.
    pub(super) async fn until<T>(&self, mut wanted: impl FnMut(FromPeers) -> Option<T>) -> T {
        eventually(|| {
            let mut waiting = self.waiting.lock().unwrap();
            while let Some(from) = waiting.pop_front() {
                if let Some(found) = wanted(from) {
                    return Some(found);
                }
            }
            self.turns.fetch_add(1, Ordering::SeqCst);
            None
        })
        .await
    }

    /// The next input that is what is looked for.
    pub(super) async fn input<T>(&self, mut wanted: impl FnMut(Input) -> Option<T>) -> T {
        self.until(|from| match from {
            FromPeers::Happened { input, .. } => wanted(input),
            FromPeers::Snapshot { .. } => None,
        })
        .await
    }
}

/// Looks until something is there.
pub(super) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it comes in time")
}

/// A port of loopback that nobody uses, outside the range from which the system takes those of connections.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 10_000 + (std::process::id() % 10_000) as u16;
    loop {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn local(port: u16) -> Address {
    Address { host: "127.0.0.1".into(), port }
}

/// So many members with ports of their own.
pub(super) fn members(count: Sid) -> BTreeMap<Sid, Member> {
    let member = || Member { quorum: vec![local(free_port())], election: vec![local(free_port())] };
    (1..=count).map(|sid| (sid, member())).collect()
}

/// One member that runs.
pub(super) struct Node {
    pub(super) driver: Driver,
    pub(super) lane: Arc<Lane>,
    pub(super) state: Arc<State>,
    pub(super) directory: TempDir,
}

/// What a member is started with.
pub(super) fn options(me: Sid, members: &BTreeMap<Sid, Member>, directory: &TempDir) -> Options {
    Options {
        me,
        members: members.clone(),
        listen_on_all: false,
        several_addresses: false,
        handshake: PATIENCE,
        dial: Duration::from_secs(5),
        init: PATIENCE,
        dial_master: PATIENCE,
        bind_retries: 3,
        data_bytes_max: 1 << 20,
        field_bytes_max: 1 << 20,
        rules: OwnerRules::default(),
        snapshots: directory.path().into(),
        compression: Compression::None,
        logs: directory.path().into(),
        log_share: 0.0,
        dial_master_pause: Duration::from_millis(100),
        sockets: Sockets::default(),
        ack_logging_every: 1000,
        auth: None,
        tls: None,
    }
}

impl Node {
    /// A member whose tree has what these requests make.
    pub(super) async fn start_with(
        me: Sid,
        members: &BTreeMap<Sid, Member>,
        change: impl FnOnce(&mut Options),
        nodes: &[Asked],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(me, members, &directory);
        change(&mut options);
        let lane = Arc::new(Lane::default());
        let state = Arc::new(state(nodes));
        let parts = Parts {
            options,
            inbox: lane.clone(),
            state: state.clone(),
            disk: Arc::new(RealDisk),
            clock: Arc::new(RealClock),
            metrics: Arc::new(Metrics::new()),
            runtime: tokio::runtime::Handle::current(),
        };
        let driver = start(parts).await.unwrap();
        Self { driver, lane, state, directory }
    }

    pub(super) async fn start(me: Sid, members: &BTreeMap<Sid, Member>) -> Self {
        Self::start_with(me, members, |_| {}, &[]).await
    }
}

fn state(nodes: &[Asked]) -> State {
    let mut tree = Tree::new(OwnerRules::default());
    let mut sessions = Sessions::new(2000, 1, 0);
    for session in SESSIONS {
        sessions.track(session, 30_000, 0);
        sessions.commit(session);
    }
    let mut preparer = Preparer::new(OPTIONS, Zxid::ZERO);
    for node in nodes {
        let entry = prepare(&mut preparer, &tree, &mut sessions, node.request(), 0).unwrap();
        tree.replay(entry);
        preparer.applied(tree.last_zxid());
    }
    State::new(tree, sessions, OPTIONS, Budget::unlimited(), 0)
}

/// A vote that can be told from others.
pub(super) fn notification(round: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        leader: 1,
        zxid: Zxid(5),
        election_epoch: round,
        peer_epoch: 1,
        version: 2,
        config: Bytes::from_static(b"version=0"),
    }
}

/// How a learner introduces itself.
pub(super) fn hello(sid: Sid) -> Hello {
    Hello { is_observer: false, accepted_epoch: 3, sid: Some(sid), protocol: 0x10000, config_version: 0 }
}

/// A connection to a port of loopback, by hand.
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    pub(super) async fn connect(address: &Address) -> Self {
        let connect = async {
            loop {
                match TcpStream::connect((address.host.as_str(), address.port)).await {
                    Ok(stream) => return Self(stream),
                    Err(_not_yet) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, connect).await.expect("somebody listens")
    }

    /// The next connection to a listener.
    pub(super) async fn accept(listener: &tokio::net::TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        Self(accepted.expect("somebody connects in time").unwrap().0)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// So many bytes.
    pub(super) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.0.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, read).await.expect("they come in time").unwrap();
        bytes
    }

    /// Everything until the other side ends the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        // A connection may end with a reset: what was sent was not read.
        let _reset = tokio::time::timeout(PATIENCE, read).await.expect("it ends in time");
        bytes
    }
}

/// The session a test speaks of.
pub(super) const SESSION: SessionId = SESSIONS[0];
