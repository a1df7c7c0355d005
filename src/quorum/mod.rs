//! The peers' ports: what [`crate::zab`] wants said goes out, what other servers say comes in. tokio lives here.
//!
//! - `election_port`: one connection to each other server, over which votes go (reference: `QuorumCnxManager`).
//! - `learner_port`: where learners connect while this server leads (reference: `LearnerHandler`).
//! - `master_link`: the connection to the leader while this server learns (reference: `Learner`).
//! - `sockets`: what is asked of the system for connections; `ack_latency`: what learners' answers take.
//! - `stream`, `peer_tls`: a connection to another server, plain or TLS; the handshake, and whom it proves.
//! - `peer_auth`: the login that comes before anything else on either port, where it is configured, inside TLS.
//! - `outgoing`: what a connection of either kind is to send; the writer thread sends it itself where it can.
//! - `snapshot_out`, `log_out`: what a learner is sent that does not fit into memory; `snapshot_in`: what is
//!   received of that kind.
//!
//! What a peer can make this server hold is bounded:
//!
//! | what | bound | when reached |
//! |---|---|---|
//! | connections without a handshake (TLS', then ours) or first packet | 64 at each port, each for a deadline | the oldest closes |
//! | servers that no configuration names, on the election port | 64 | the connection closes |
//! | frame of the election port | 512 KiB | the connection closes |
//! | unsent messages on the election port | one per server | the newest stays |
//! | data of a packet | [`Options::data_bytes_max`] | the connection closes |
//! | what a learner or voter said and the writer has not taken | [`UNTAKEN_BYTES_MAX`] each | not read until it is taken |
//! | what the leader said and is not dealt with | [`UNCONSUMED_BYTES_MAX`] | not read until it is |
//! | a snapshot or log on its way to a learner | about 1 MiB | the walk waits |
//!
//! What is queued for a learner is bounded by who queues it: [`Input::Drained`] says what has left.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod ack_latency;
mod dial;
mod election_link;
mod election_port;
mod handshake;
mod learner_line;
mod learner_link;
mod learner_port;
mod log_out;
mod master_link;
mod outgoing;
mod packets;
mod peer_auth;
mod peer_tls;
mod pending;
mod snapshot_in;
mod snapshot_out;
mod sockets;
mod stream;
mod tasks;

#[cfg(test)]
mod election_test;
#[cfg(test)]
mod learner_test;
#[cfg(test)]
mod outgoing_test;
#[cfg(test)]
mod snapshot_test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tls_test;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use jute::Zxid;

use self::election_port::ElectionPort;
use self::learner_port::LearnerPort;
use self::master_link::MasterLink;
use self::tasks::Tasks;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::metrics::{Metrics, Summary};
use crate::runtime::State;
use crate::runtime::peers::{FromPeers, Peers};
use crate::snapshot::Compression;
use crate::tree::OwnerRules;
use crate::zab::{Input, Link, Notification, Sid, ToLearner, ToMaster};

pub use self::dial::Address;
pub use self::peer_auth::PeerAuth;
pub use self::peer_tls::PeerTls;
pub use self::sockets::Sockets;

/// Bytes that one learner or voter has said and the writer has not taken, above which it is not read; at most twice
/// as many wait. Taking them does not depend on what it says next, so that no acknowledgement waits behind requests
/// for ever.
pub const UNTAKEN_BYTES_MAX: usize = 16 << 20;
/// Bytes of the leader's that were not dealt with yet, above which it is not read.
pub const UNCONSUMED_BYTES_MAX: usize = 8 << 20;

/// Where a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its quorum port, where it may have several addresses.
    pub quorum: Vec<Address>,
    /// Its election port.
    pub election: Vec<Address>,
}

impl Member {
    /// The name of its machine, as configured.
    fn host(&self) -> &str {
        self.quorum.first().map_or("", |address| address.host.as_str())
    }
}

/// What decides how peers are reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// This server.
    pub me: Sid,
    /// All members, this one too.
    pub members: BTreeMap<Sid, Member>,
    /// Whether the ports are bound on all addresses of this machine (`quorumListenOnAllIPs`).
    pub listen_on_all: bool,
    /// Whether others are told all addresses of this server (`multiAddress.enabled`).
    pub several_addresses: bool,
    /// How long somebody who connects to the election port may take to say who it is (`quorumCnxnTimeoutMs`, or
    /// `tickTime` times `syncLimit`).
    pub handshake: Duration,
    /// How long the election port of another server is tried (`cnxTimeout`).
    pub dial: Duration,
    /// How long a learner may take for its first packet, and a leader for the next bytes of a snapshot
    /// (`tickTime` times `initLimit`).
    pub init: Duration,
    /// Between two attempts to connect to the leader (`leaderConnectDelayDuringRetryMs`).
    pub dial_master_pause: Duration,
    /// The acknowledgements of one proposal in so many are timed (`leader.ackLoggingFrequency`); 0 of none.
    pub ack_logging_every: i64,
    /// What is asked of the system for connections.
    pub sockets: Sockets,
    /// How long the leader is tried (`tickTime` times `connectToLearnerMasterLimit`, or `initLimit`).
    pub dial_master: Duration,
    /// How often binding the election port is tried, a second apart; 0 for ever (`electionPortBindRetry`).
    pub bind_retries: u32,
    /// The largest data of a packet (`jute.maxbuffer` and its extra size).
    pub data_bytes_max: usize,
    /// The longest field of a snapshot that is received.
    pub field_bytes_max: usize,
    /// How owners of nodes are read.
    pub rules: OwnerRules,
    /// Where snapshots are.
    pub snapshots: PathBuf,
    /// How a received snapshot is stored.
    pub compression: Compression,
    /// Where logs are.
    pub logs: PathBuf,
    /// How large the log files that a learner needs may be, in parts of the newest snapshot; 0 for any size, below 0
    /// never (`snapshotSizeFactor`).
    pub log_share: f64,
    /// How servers prove to each other who they are; without it nobody does.
    pub auth: Option<PeerAuth>,
    /// TLS on both ports; without it they are plain.
    pub tls: Option<Arc<PeerTls>>,
}

impl Options {
    /// How a server is called in log lines.
    fn name(&self, sid: Sid) -> String {
        format!("server {sid}")
    }

    fn mine(&self) -> Member {
        self.members.get(&self.me).cloned().unwrap_or_default()
    }

    /// Where to listen for one of this server's ports: with all addresses of the machine, once for each number.
    fn places(&self, mut addresses: Vec<Address>) -> Vec<Address> {
        if self.listen_on_all {
            addresses.sort_by_key(|address| address.port);
            addresses.dedup_by_key(|address| address.port);
        }
        addresses
    }
}

/// Where what peers say goes.
pub trait Inbox: Send + Sync {
    /// Puts it behind what was put before. Never waits.
    fn put(&self, from: FromPeers);
    /// The same for several, in their order, which the writer then finds together. They wait for
    /// [`Inbox::attend`].
    fn put_all(&self, from: &mut Vec<FromPeers>) {
        from.drain(..).for_each(|from| self.put(from));
    }
    /// Has what was put dealt with, perhaps here: called without any lock.
    fn attend(&self) {}
    /// A number that changes whenever everything put before has been taken.
    fn turns(&self) -> u64;
}

impl Inbox for crate::runtime::Inbox {
    fn put(&self, from: FromPeers) {
        self.push_peer(from);
    }

    fn put_all(&self, from: &mut Vec<FromPeers>) {
        self.put_peers(from);
    }

    fn attend(&self) {
        Self::attend(self);
    }

    fn turns(&self) -> u64 {
        Self::turns(self)
    }
}

/// What the driver works with.
pub struct Parts {
    /// How peers are reached.
    pub options: Options,
    /// Where what they say goes.
    pub inbox: Arc<dyn Inbox>,
    /// The tree and the sessions that learners are sent.
    pub state: Arc<State>,
    /// The disk the logs are read from, and snapshots written to.
    pub disk: Arc<dyn Disk>,
    /// Time, for walks over the tree.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Where connections are served.
    pub runtime: tokio::runtime::Handle,
}

/// What all ports share.
struct Shared {
    options: Options,
    inbox: Arc<dyn Inbox>,
    state: Arc<State>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Learners that are being sent the tree, and the log.
    snapshots_out: AtomicI64,
    logs_out: AtomicI64,
    tasks: Tasks,
}

/// One of those that are under way at the same time.
struct UnderWay<'a>(&'a AtomicI64);

impl<'a> UnderWay<'a> {
    fn begin(all: &'a AtomicI64, figure: &Summary) -> Self {
        figure.observe(all.fetch_add(1, Ordering::Relaxed) + 1);
        Self(all)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn put(&self, input: Input) {
        self.inbox.put(FromPeers::Happened { input, bytes: 0 });
    }
}

/// Why the driver cannot be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on the election port of this server ({sid}): {why}. Correct its line in the configuration, or \
     end what uses the port; quorumListenOnAllIPs=true binds it on every address of this machine"
)]
pub struct StartError {
    sid: Sid,
    why: String,
}

/// Carries what a member says and hears. Dropped, it ends every connection and thread.
pub struct Driver {
    shared: Arc<Shared>,
    election: Arc<ElectionPort>,
    learners: Arc<LearnerPort>,
    master: Arc<MasterLink>,
}

/// Opens the election port, and is ready for the rest.
///
/// # Errors
/// The port cannot be bound (reference: `ExitCode.UNABLE_TO_BIND_QUORUM_PORT`).
pub async fn start(parts: Parts) -> Result<Driver, StartError> {
    let Parts { options, inbox, state, disk, clock, metrics, runtime } = parts;
    let sid = options.me;
    let shared = Arc::new(Shared {
        options,
        inbox,
        state,
        disk,
        clock,
        metrics,
        snapshots_out: AtomicI64::new(0),
        logs_out: AtomicI64::new(0),
        tasks: Tasks::new(runtime),
    });
    let election = Arc::new(ElectionPort::new(Arc::clone(&shared)));
    election.open().await.map_err(|why| StartError { sid, why })?;
    let learners = Arc::new(LearnerPort::new(Arc::clone(&shared)));
    let master = Arc::new(MasterLink::new(Arc::clone(&shared)));
    Ok(Driver { shared, election, learners, master })
}

impl Peers for Driver {
    fn notify(&mut self, to: Sid, notification: Notification) {
        self.election.notify(to, &notification);
    }

    fn dial(&mut self) {
        self.election.dial_all();
    }

    fn listen(&mut self, is_open: bool) {
        self.learners.listen(is_open);
    }

    fn to_learner(&mut self, link: Link, packet: ToLearner) {
        self.learners.send(link, packet);
    }

    fn stream_log(&mut self, link: Link, diff: Option<Zxid>, after: Zxid, to: Zxid) {
        log_out::start(&self.shared, &self.learners, link, log_out::Wanted { diff, after, to });
    }

    fn stream_snapshot(&mut self, link: Link) -> Zxid {
        snapshot_out::start(&self.shared, &self.learners, link)
    }

    fn close_learner(&mut self, link: Link, why: &str) {
        self.learners.close(link, why);
    }

    fn dial_master(&mut self, leader: Sid) {
        self.master.dial(leader);
    }

    fn to_master(&mut self, packet: ToMaster) {
        self.master.send(packet);
    }

    fn close_master(&mut self, why: &str) {
        self.master.close(why);
    }

    fn consumed(&mut self, bytes: usize) {
        self.master.consumed(bytes);
    }

    fn flush(&mut self) {
        self.learners.flush();
        self.master.flush();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.learners.listen(false);
        self.master.close("this server stops");
        self.shared.tasks.end();
    }
}

/// What another server says on its connection to the election port, from the first byte to the first that makes no
/// sense: for fuzzers.
#[doc(hidden)]
#[must_use]
pub fn messages(mut connection: &[u8]) -> Vec<Notification> {
    let mut heard = Vec::new();
    let hearing = async {
        let Ok(_) = handshake::read(&mut connection).await else { return };
        let mut buffer = bytes::BytesMut::new();
        while let Ok(frame) = election_link::next_frame(&mut connection, &mut buffer).await {
            heard.extend(Notification::decode(&frame));
        }
    };
    // Bytes in memory are always there: one poll reads them all.
    let _ready = std::pin::pin!(hearing).poll(&mut Context::from_waker(Waker::noop()));
    heard
}

/// How far one peer is ahead of the writer.
#[derive(Debug, Default)]
struct Ahead {
    bytes: usize,
    turn: u64,
}

impl Ahead {
    /// Whether so many bytes more may be put in without waiting.
    const fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= UNTAKEN_BYTES_MAX
    }

    /// Counts what is about to be put in, after waiting until there is room for it.
    async fn admit(&mut self, inbox: &dyn Inbox, bytes: usize) {
        while !self.has_room(bytes) {
            let turn = inbox.turns();
            if turn == self.turn {
                tokio::time::sleep(Duration::from_millis(1)).await;
            } else {
                // What was put in since the last look may have been behind that turn: once more, not more.
                *self = Self { bytes: 0, turn };
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
