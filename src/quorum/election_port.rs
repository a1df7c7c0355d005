//! The election port: one connection to each other server, which the one with the larger number dials
//! (reference: `QuorumCnxManager`).
//!
//! A dial of the smaller one only asks to be dialed: the larger one ends the connection they have, if any, closes
//! the new one, and dials. So the smaller one does it only while it has no connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jute::write;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::dial::{self, Address};
use super::handshake::{self, Handshake};
use super::pending::Pending;
use super::stream::PeerStream;
use super::{Shared, election_link, peer_tls};
use crate::zab::{Notification, Sid};

/// Servers that the configuration does not name: joiners, and observers without a number.
const STRANGERS_MAX: usize = 64;
/// Between two attempts to bind a port.
const BIND_PAUSE: Duration = Duration::from_secs(1);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a server that was asked to dial is left alone.
const CALL_PAUSE: Duration = Duration::from_secs(1);

/// The port, and who is on the other end.
pub(super) struct ElectionPort {
    pub(super) shared: Arc<Shared>,
    pending: Pending,
    peers: Mutex<Peers>,
}

#[derive(Default)]
struct Peers {
    by_sid: BTreeMap<Sid, Peer>,
    /// So many connections have been made.
    connections: u64,
    /// The number of the next observer that has none is below.
    anonymous: Sid,
}

/// Another server.
#[derive(Default)]
struct Peer {
    /// What is to be sent next.
    queued: Option<Bytes>,
    /// What was sent last. It may have been lost with the connection.
    last: Option<Bytes>,
    connection: Option<Connection>,
    /// While it is dialed. Cancelled when there is a connection.
    dialing: Option<CancellationToken>,
    /// Where it asked to be dialed while it was being dialed.
    asked: Option<Vec<Address>>,
    /// Why it could not be reached, as far as that was logged.
    trouble: Option<String>,
}

struct Connection {
    number: u64,
    end: CancellationToken,
    /// There is something to send.
    wake: Arc<Notify>,
}

impl ElectionPort {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pending: Pending::default(), peers: Mutex::default() }
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds the port and accepts from then on.
    ///
    /// # Errors
    /// Why it cannot be bound, after all retries.
    pub(super) async fn open(self: &Arc<Self>) -> Result<(), String> {
        let options = &self.shared.options;
        for address in options.places(options.mine().election) {
            let listener = self.bind(&address).await?;
            let port = Arc::clone(self);
            self.shared.tasks.spawn(async move { port.serve(listener).await });
        }
        Ok(())
    }

    async fn bind(&self, address: &Address) -> Result<TcpListener, String> {
        let options = &self.shared.options;
        let mut tries = 0;
        loop {
            match dial::listen(address, options.listen_on_all).await {
                Ok(listener) => return Ok(listener),
                Err(why) => {
                    tries += 1;
                    if tries == options.bind_retries {
                        return Err(why);
                    }
                    tracing::warn!("cannot listen on the election port, and will try again: {why}");
                }
            }
            tokio::time::sleep(BIND_PAUSE).await;
        }
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let port = Arc::clone(&self);
                    self.shared.tasks.spawn(async move { port.welcome(stream, from).await });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection on the election port: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Hears who has connected.
    async fn welcome(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let _slow = stream.set_nodelay(true);
        let patience = self.shared.options.handshake;
        let heard = {
            let entry = self.pending.enter();
            let hearing = async {
                let mut stream = peer_tls::accept(&self.shared.options, stream, from, patience).await?;
                let handshake = tokio::time::timeout(patience, handshake::read(&mut stream)).await;
                let handshake = handshake.map_err(|_| format!("no handshake came within {patience:?}"))??;
                let ahead = match &self.shared.options.auth {
                    Some(auth) => auth.hear(&mut stream, patience).await?,
                    None => Vec::new(),
                };
                Ok((handshake, stream, ahead))
            };
            tokio::select! {
                heard = hearing => heard,
                () = entry.end.cancelled() => Err("too many others connect at the same time".to_owned()),
            }
        };
        match heard {
            Ok((handshake, stream, ahead)) => self.meet(handshake, stream, ahead, from),
            Err(why) => tracing::warn!(%from, "a connection to the election port is closed: {why}"),
        }
    }

    /// `ahead` has come already of what follows the handshake.
    fn meet(self: &Arc<Self>, handshake: Handshake, stream: PeerStream, ahead: Vec<u8>, from: SocketAddr) {
        let me = self.shared.options.me;
        let Handshake { mut sid, addresses } = handshake;
        let mut peers = self.peers();
        if sid == Sid::MAX {
            peers.anonymous = peers.anonymous.saturating_sub(1);
            sid = peers.anonymous;
        }
        if sid == me {
            tracing::warn!(
                %from,
                "a connection to the election port is closed: it says it is server {me}, which this one is; give \
                 each server a myid of its own"
            );
            return;
        }
        if !self.has_room(&peers, sid) {
            tracing::warn!(
                %from,
                "a connection to the election port is closed: it says it is server {sid}, which the configuration \
                 does not name, and there are {STRANGERS_MAX} such servers already"
            );
            return;
        }
        if sid > me {
            drop(peers);
            self.keep(sid, stream, ahead, from);
            return;
        }
        // It has no connection to this server, whatever this one thinks.
        if let Some(connection) = peers.by_sid.entry(sid).or_default().connection.take() {
            connection.end.cancel();
        }
        drop((peers, stream));
        self.dial(sid, Some(addresses).filter(|addresses| !addresses.is_empty()));
    }

    fn has_room(&self, peers: &Peers, sid: Sid) -> bool {
        let members = &self.shared.options.members;
        let is_known = members.contains_key(&sid) || peers.by_sid.contains_key(&sid);
        is_known || peers.by_sid.keys().filter(|other| !members.contains_key(other)).count() < STRANGERS_MAX
    }

    /// Talks over this connection from now on, in place of an earlier one.
    fn keep(self: &Arc<Self>, sid: Sid, stream: PeerStream, ahead: Vec<u8>, from: SocketAddr) {
        let options = &self.shared.options;
        let addresses = options.members.get(&sid).map_or(0, |member| member.election.len());
        options.sockets.set_up_election(stream.tcp(), addresses);
        let (end, wake) = (CancellationToken::new(), Arc::new(Notify::new()));
        let number = {
            let mut peers = self.peers();
            peers.connections += 1;
            let number = peers.connections;
            let peer = peers.by_sid.entry(sid).or_default();
            let connection = Connection { number, end: end.clone(), wake: Arc::clone(&wake) };
            if let Some(earlier) = peer.connection.replace(connection) {
                earlier.end.cancel();
            }
            if let Some(dialing) = peer.dialing.take() {
                dialing.cancel();
            }
            peer.asked = None;
            peer.trouble = None;
            number
        };
        let name = self.shared.options.name(sid);
        tracing::info!(%from, "connected to {name} on the election port in {stream}");
        let port = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            let why = election_link::run(&port, sid, stream, ahead, &end, &wake).await;
            let name = port.shared.options.name(sid);
            tracing::info!(%from, "the connection to {name} on the election port has ended: {why}");
            port.forget(sid, number);
        });
    }

    fn forget(&self, sid: Sid, number: u64) {
        let mut peers = self.peers();
        let Some(peer) = peers.by_sid.get_mut(&sid) else { return };
        if peer.connection.as_ref().is_some_and(|connection| connection.number == number) {
            peer.connection = None;
        }
        self.forget_stranger(&mut peers, sid);
    }

    /// Nothing is kept for a server that the configuration does not name and that is not there.
    fn forget_stranger(&self, peers: &mut Peers, sid: Sid) {
        let is_gone = |peer: &Peer| peer.connection.is_none() && peer.dialing.is_none();
        if !self.shared.options.members.contains_key(&sid) && peers.by_sid.get(&sid).is_some_and(is_gone) {
            peers.by_sid.remove(&sid);
        }
    }

    /// What is to be sent next to a server; what was sent last, at the beginning of a connection with nothing
    /// else to say: nobody knows whether it arrived.
    pub(super) fn next_message(&self, sid: Sid, is_first: bool) -> Option<Bytes> {
        let mut peers = self.peers();
        let peer = peers.by_sid.get_mut(&sid)?;
        match peer.queued.take() {
            Some(message) => {
                peer.last = Some(message.clone());
                Some(message)
            }
            None => peer.last.clone().filter(|_| is_first),
        }
    }

    /// Sends a message, in place of one that waits.
    pub(super) fn notify(self: &Arc<Self>, to: Sid, notification: &Notification) {
        let mut body = Vec::new();
        notification.encode(&mut body);
        let mut frame = Vec::with_capacity(4 + body.len());
        write::buffer(&mut frame, Some(&body));
        {
            let mut peers = self.peers();
            let is_member = self.shared.options.members.contains_key(&to);
            if to == self.shared.options.me || !(is_member || peers.by_sid.contains_key(&to)) {
                return;
            }
            let peer = peers.by_sid.entry(to).or_default();
            peer.queued = Some(frame.into());
            if let Some(connection) = &peer.connection {
                connection.wake.notify_one();
                return;
            }
        }
        self.dial(to, None);
    }

    /// Connects to every member to which there is no connection.
    pub(super) fn dial_all(self: &Arc<Self>) {
        let me = self.shared.options.me;
        let others: Vec<_> = self.shared.options.members.keys().copied().filter(|sid| *sid != me).collect();
        others.into_iter().for_each(|sid| self.dial(sid, None));
    }

    /// Connects to a server, where it says or where it is known to be, unless that is being done.
    fn dial(self: &Arc<Self>, sid: Sid, addresses: Option<Vec<Address>>) {
        let has_asked = addresses.is_some();
        let known = || self.shared.options.members.get(&sid).map(|member| member.election.clone());
        let Some(addresses) = addresses.or_else(known) else {
            self.forget_stranger(&mut self.peers(), sid);
            return;
        };
        let dialing = CancellationToken::new();
        {
            let mut peers = self.peers();
            let peer = peers.by_sid.entry(sid).or_default();
            if peer.connection.is_some() {
                return;
            }
            if peer.dialing.is_some() {
                // It may be dialed where it is not.
                if has_asked {
                    peer.asked = Some(addresses);
                }
                return;
            }
            peer.dialing = Some(dialing.clone());
        }
        let port = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            if let Err(why) = port.call(sid, &addresses, &dialing).await {
                port.report(sid, why);
            }
            if let Some(asked) = port.dialed(sid, &dialing) {
                port.dial(sid, Some(asked));
            }
        });
    }

    /// An attempt has ended. Where to dial next, if that was asked for meanwhile.
    fn dialed(&self, sid: Sid, dialing: &CancellationToken) -> Option<Vec<Address>> {
        let mut peers = self.peers();
        let mut asked = None;
        // Cancelled means that it was taken away, and may be another's by now.
        if !dialing.is_cancelled()
            && let Some(peer) = peers.by_sid.get_mut(&sid)
        {
            peer.dialing = None;
            asked = peer.asked.take();
        }
        self.forget_stranger(&mut peers, sid);
        asked
    }

    async fn call(
        self: &Arc<Self>,
        sid: Sid,
        addresses: &[Address],
        dialing: &CancellationToken,
    ) -> Result<(), String> {
        let options = &self.shared.options;
        let (stream, host) = dial::connect(addresses, options.dial).await?;
        // If it fails, it only makes packets later.
        let _slow = stream.set_nodelay(true);
        let from = stream.peer_addr().map_err(|error| error.to_string())?;
        let mut stream = peer_tls::connect(options, stream, &host, options.dial).await?;
        let handshake = handshake::encode(options.me, &options.mine().election, options.several_addresses);
        let introducing = async {
            stream.write_all(&handshake).await?;
            stream.flush().await
        };
        let sent = tokio::time::timeout(options.dial, introducing).await;
        sent.map_err(|_| "it takes no handshake".to_owned())?.map_err(|error| error.to_string())?;
        // A server that the configuration does not name is not known well enough.
        if let (Some(auth), Some(member)) = (&options.auth, options.members.get(&sid)) {
            auth.prove(&mut stream, member.host(), options.dial).await?;
        }
        if sid < options.me {
            self.keep(sid, stream, Vec::new(), from);
            return Ok(());
        }
        // In order: what it has sent meanwhile must not reset what it has to read.
        let _gone = tokio::time::timeout(options.dial, stream.shutdown()).await;
        // It dials back. Another handshake meanwhile would end the connection that comes of it.
        tokio::select! {
            () = tokio::time::sleep(CALL_PAUSE) => Ok(()),
            () = dialing.cancelled() => Ok(()),
        }
    }

    /// Logs why a server cannot be reached, once for each reason.
    fn report(&self, sid: Sid, why: String) {
        let mut peers = self.peers();
        let Some(peer) = peers.by_sid.get_mut(&sid) else { return };
        if peer.trouble.as_ref() != Some(&why) {
            let name = self.shared.options.name(sid);
            tracing::warn!("cannot reach {name} on its election port, and will go on trying: {why}");
            peer.trouble = Some(why);
        }
    }

    /// How many connections were made, and which servers there is one to.
    #[cfg(test)]
    pub(super) fn connected(&self) -> (u64, Vec<Sid>) {
        let peers = self.peers();
        let there = peers.by_sid.iter().filter(|(_, peer)| peer.connection.is_some());
        (peers.connections, there.map(|(sid, _)| *sid).collect())
    }
}
