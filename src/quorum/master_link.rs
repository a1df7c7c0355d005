//! The connection to the leader, while this server learns (reference: `Learner`).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jute::Zxid;
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::dial::Address;
use super::outgoing::{Order, Outgoing};
use super::packets::Packets;
use super::stream::PeerStream;
use super::{Shared, UNCONSUMED_BYTES_MAX, dial, peer_tls, snapshot_in};
use crate::runtime::peers::{FromPeers, Staged};
use crate::store::Received;
use crate::zab::{FromMaster, Input, Sid, ToMaster};

/// How often a leader is tried: it may have heard of its election later than this server.
const TRIES: u32 = 5;
/// Bytes of unsent packets above which a buffer is not kept.
const BUFFER_BYTES: usize = 256 << 10;

/// At most one connection at a time.
pub(super) struct MasterLink {
    shared: Arc<Shared>,
    current: Mutex<Current>,
    /// Bytes of what the leaders say that may still be put in.
    credit: Semaphore,
}

#[derive(Default)]
struct Current {
    /// So many times a leader was dialed.
    number: u64,
    connection: Option<Connection>,
}

struct Connection {
    /// While there is one: nobody has anything to say before [`Input::MasterCame`].
    outgoing: Option<Arc<Outgoing<ToMaster>>>,
    end: CancellationToken,
    name: String,
}

impl MasterLink {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, current: Mutex::default(), credit: Semaphore::new(UNCONSUMED_BYTES_MAX) }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to this server's quorum port, in place of any earlier connection.
    pub(super) fn dial(self: &Arc<Self>, leader: Sid) {
        self.close("another leader is connected to");
        let name = self.shared.options.name(leader);
        let end = CancellationToken::new();
        let number = {
            let mut current = self.current();
            current.number += 1;
            current.connection = Some(Connection { outgoing: None, end: end.clone(), name: name.clone() });
            current.number
        };
        let link = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            let why = tokio::select! {
                why = link.run(leader, &name, number) => why,
                () = end.cancelled() => return,
            };
            tracing::warn!("the connection to the leader, {name}, has ended: {why}");
            link.set_outgoing(number, None);
            let input = Input::MasterLeft { why: format!("{name}: {why}") };
            link.put(number, FromPeers::Happened { input, bytes: 0 });
        });
    }

    /// Puts something in, unless the connection was given up: nothing of an earlier leader's may follow what a
    /// later one says. False if it was.
    fn put(&self, number: u64, from: FromPeers) -> bool {
        let current = self.current();
        let is_current = current.number == number && current.connection.is_some();
        if is_current {
            self.shared.inbox.put(from);
        }
        is_current
    }

    /// The same for packets that came together.
    fn put_all(&self, number: u64, heard: &mut Vec<FromPeers>) {
        let current = self.current();
        if current.number == number && current.connection.is_some() {
            self.shared.inbox.put_all(heard);
            drop(current);
            self.shared.inbox.attend();
            return;
        }
        drop(current);
        let unused =
            heard.drain(..).map(|from| if let FromPeers::Happened { bytes, .. } = from { bytes } else { 0 });
        self.credit.add_permits(unused.sum());
    }

    /// Sends a packet.
    pub(super) fn send(&self, packet: ToMaster) {
        // A connection that ends says so.
        if let Some(outgoing) = self.outgoing() {
            outgoing.push(packet);
        }
    }

    /// Has everything sent.
    pub(super) fn flush(&self) {
        if let Some(outgoing) = self.outgoing() {
            outgoing.flush(|_| ());
        }
    }

    fn outgoing(&self) -> Option<Arc<Outgoing<ToMaster>>> {
        self.current().connection.as_ref()?.outgoing.clone()
    }

    /// Where packets go from here on, unless the connection was given up.
    fn set_outgoing(&self, number: u64, outgoing: Option<Arc<Outgoing<ToMaster>>>) {
        let mut current = self.current();
        if current.number == number
            && let Some(connection) = &mut current.connection
        {
            connection.outgoing = outgoing;
        }
    }

    /// Ends the connection. Nothing is heard of it any more.
    pub(super) fn close(&self, why: &str) {
        if let Some(connection) = self.current().connection.take() {
            tracing::info!("the connection to the leader, {}, is closed: {why}", connection.name);
            connection.end.cancel();
        }
    }

    /// So many bytes were dealt with.
    pub(super) fn consumed(&self, bytes: usize) {
        self.credit.add_permits(bytes);
    }

    async fn run(self: &Arc<Self>, leader: Sid, name: &str, number: u64) -> String {
        let stream = match self.connect(leader).await {
            Ok(stream) => stream,
            Err(why) => return why,
        };
        tracing::info!("connected to the leader, {name}, in {stream}");
        let (reading, writing) = stream.into_split();
        let outgoing = Arc::new(Outgoing::new(writing));
        self.set_outgoing(number, Some(Arc::clone(&outgoing)));
        self.put(number, FromPeers::Happened { input: Input::MasterCame, bytes: 0 });
        tokio::select! {
            why = self.hear(name, number, reading) => why,
            why = say(&outgoing) => why,
        }
    }

    async fn connect(&self, leader: Sid) -> Result<PeerStream, String> {
        let options = &self.shared.options;
        let Some(member) = options.members.get(&leader) else {
            return Err("the configuration does not name it".into());
        };
        let tries = async {
            let mut tried = 1;
            loop {
                match self.attempt(&member.quorum).await {
                    Err(_) if tried < TRIES => tried += 1,
                    ended => return ended,
                }
                tokio::time::sleep(options.dial_master_pause).await;
            }
        };
        let connected = tokio::time::timeout(options.dial_master, tries).await;
        let connected =
            connected.unwrap_or_else(|_| Err(format!("it did not answer within {:?}", options.dial_master)));
        let mut stream = connected?;
        if let Some(auth) = &options.auth {
            auth.prove(&mut stream, member.host(), options.dial_master).await?;
        }
        Ok(stream)
    }

    async fn attempt(&self, addresses: &[Address]) -> Result<PeerStream, String> {
        let options = &self.shared.options;
        let (stream, host) = dial::connect(addresses, options.dial_master).await?;
        let _slow = stream.set_nodelay(options.sockets.learner_nodelay);
        peer_tls::connect(options, stream, &host, options.dial_master).await
    }

    async fn hear(self: &Arc<Self>, name: &str, number: u64, stream: impl AsyncRead + Unpin) -> String {
        let mut packets = Packets::new(stream, self.shared.options.data_bytes_max);
        let mut heard = Vec::new();
        loop {
            if !packets.has_next() {
                self.put_all(number, &mut heard);
            }
            let (packet, length) = match packets.next().await {
                Ok(next) => next,
                Err(why) => return why,
            };
            if let Some(zxid) = packet.snapshot() {
                self.put_all(number, &mut heard);
                tracing::info!("the leader, {name}, sends a snapshot of 0x{zxid:x}");
                let receiving = snapshot_in::receive(&self.shared, &mut packets, name, zxid);
                let received = match self.while_alive(number, zxid, receiving).await {
                    Ok(received) => received,
                    Err(why) => return why,
                };
                let Received { tree, sessions, file, .. } = received;
                let staged = Box::new(Staged { tree, sessions });
                let snapshot = FromPeers::Snapshot { zxid, staged, file: file.clone() };
                if !self.put(number, snapshot) {
                    // If this fails, the next start removes it.
                    let _left = self.shared.disk.remove(&file);
                }
                continue;
            }
            let said = match packet.into_from_master() {
                Ok(said) => said,
                Err(bad) => return bad.to_string(),
            };
            let metrics = &self.shared.metrics;
            match &said {
                FromMaster::Proposal(_) => metrics.learner_proposal_received_count.increment(),
                FromMaster::Commit(_) | FromMaster::Inform(_) => {
                    metrics.learner_commit_received_count.increment();
                }
                _ => {}
            }
            // A packet larger than all credit takes all of it.
            let bytes = length.min(UNCONSUMED_BYTES_MAX);
            let asked = u32::try_from(bytes).unwrap_or(u32::MAX);
            let credit = match self.credit.try_acquire_many(asked) {
                Ok(credit) => credit,
                Err(_) => {
                    // What is waited for may be what was just heard.
                    self.put_all(number, &mut heard);
                    match self.credit.acquire_many(asked).await {
                        Ok(credit) => credit,
                        Err(closed) => return closed.to_string(),
                    }
                }
            };
            credit.forget();
            heard.push(FromPeers::Happened { input: Input::MasterSaid(said), bytes });
        }
    }
}

impl MasterLink {
    /// Lets the core know that the leader is alive while it sends a snapshot and so can say nothing else. Whether it
    /// goes on sending is watched where it is received.
    async fn while_alive<T>(&self, number: u64, zxid: Zxid, receiving: impl Future<Output = T>) -> T {
        let mut receiving = pin!(receiving);
        let pause = self.shared.options.init / 8;
        loop {
            tokio::select! {
                received = &mut receiving => return received,
                () = tokio::time::sleep(pause) => {
                    let input = Input::MasterSaid(FromMaster::Ping(zxid));
                    self.put(number, FromPeers::Happened { input, bytes: 0 });
                }
            }
        }
    }
}

impl Order for ToMaster {
    fn weight(&self) -> Option<usize> {
        Some(match self {
            Self::Request(request) => 64 + request.body.len(),
            Self::Ping { touched, .. } => 64 + 16 * touched.len(),
            _ => 64,
        })
    }

    fn encode(self, out: &mut Vec<u8>) -> Result<(), Self> {
        Self::encode(&self, out);
        Ok(())
    }
}

async fn say(outgoing: &Outgoing<ToMaster>) -> String {
    let (mut taken, mut out) = (VecDeque::new(), Vec::new());
    loop {
        out.extend_from_slice(&outgoing.take(&mut taken).await.bytes);
        taken.drain(..).for_each(|packet: ToMaster| ToMaster::encode(&packet, &mut out));
        if let Err(why) = outgoing.write_all(&out).await {
            return why;
        }
        out.clear();
        out.shrink_to(BUFFER_BYTES);
    }
}
