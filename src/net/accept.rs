//! Listening, and who is let in.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Descriptors;
use super::Security;
use super::Shared;
use super::connection::Connection;
use super::transport::Transport;
use crate::auth::Identity;
use crate::runtime::Client;
use crate::runtime::client::Port;
use crate::runtime::outbox::Closing;

/// Backlog when the configuration leaves it open (reference: the Java default).
const BACKLOG: u32 = 50;

/// How many connections there may be; 0 means no limit.
#[derive(Clone, Copy, Debug)]
pub struct AcceptLimits {
    /// From one address.
    pub per_address: usize,
    /// In all.
    pub total: usize,
    /// Whether sockets are kept alive by the system.
    pub keepalive: bool,
    /// Of the process.
    pub descriptors: Descriptors,
}

/// Opens a listening socket.
///
/// # Errors
/// As the system reports: the port is taken, the address is not ours.
pub fn bind(address: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog.unwrap_or(BACKLOG))
}

/// Accepts connections and runs them.
pub struct Acceptor {
    shared: Arc<Shared>,
    limits: AcceptLimits,
    next_id: AtomicU64,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Acceptor {
    /// For listeners that share their limits.
    #[must_use]
    pub fn new(shared: Arc<Shared>, limits: AcceptLimits, stop: CancellationToken) -> Self {
        Self {
            shared,
            limits,
            next_id: AtomicU64::new(1),
            by_address: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Accepts until stopped; then every connection is told to end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, security: Security) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, &security),
                Err(error) => {
                    // A client that was gone before it was accepted, or no descriptors in the whole system.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Waits for the connections to end, up to `patience`.
    pub async fn drain(&self, patience: Duration) {
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            let left = self.tasks.len();
            tracing::warn!(
                "{left} connections did not end within {patience:?}; the server ends without them"
            );
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, security: &Security) {
        if !self.limits.descriptors.leaves_enough(&stream) {
            let (limit, reserve) = self.limits.descriptors.limit_and_reserve();
            self.shared.metrics.connection_rejected.increment();
            tracing::warn!(
                %peer,
                "connection refused: the system lets this process have {limit} open files (ulimit -n), and the \
                 last {reserve} are kept for logs and snapshots; raise the limit or lower maxCnxns"
            );
            return;
        }
        let address = peer.ip().to_canonical();
        let over_total = self.limits.total > 0 && self.shared.state.client_count() >= self.limits.total;
        if over_total || !self.enter(address) {
            self.shared.metrics.connection_rejected.increment();
            if over_total {
                let most = self.limits.total;
                tracing::warn!(%peer, "connection refused: the server has {most} connections, the most that maxCnxns allows");
            } else {
                let most = self.limits.per_address;
                tracing::warn!(
                    %peer,
                    "connection refused: this address has {most} connections, the most that maxClientCnxns allows"
                );
            }
            return;
        }
        let tuned = stream.set_nodelay(true);
        if let Err(error) = tuned {
            tracing::debug!(%peer, %error, "client left at once");
        }
        if self.limits.keepalive
            && let Err(error) = rustix::net::sockopt::set_socket_keepalive(&stream, true)
        {
            tracing::debug!(%peer, %error, "cannot keep the connection alive");
        }
        let acceptor = self.clone();
        let Some(guard) = security.admit(&self.shared, peer) else {
            self.leave(address);
            return;
        };
        let port = security.port();
        let Some((secure, may_be_plain)) = security.tls() else {
            let connection = self.connection(Transport::plain(stream), peer, port, Vec::new());
            self.tasks.spawn(async move {
                connection.run(acceptor.stop.clone()).await;
                acceptor.leave(address);
            });
            return;
        };
        self.tasks.spawn(async move {
            let secured = tokio::select! {
                () = acceptor.stop.cancelled() => None,
                secured = secure.secure(may_be_plain, &acceptor.shared, stream, peer, guard) => secured,
            };
            if let Some((transport, identities)) = secured {
                acceptor.connection(transport, peer, port, identities).run(acceptor.stop.clone()).await;
            }
            acceptor.leave(address);
        });
    }

    /// A connection that the rest of the server knows from now on.
    fn connection(
        &self,
        transport: Transport,
        peer: SocketAddr,
        port: Port,
        identities: Vec<Identity>,
    ) -> Connection {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client::new(id, peer, self.shared.clock.wall_ms()).by(port));
        for identity in identities {
            if !client.add_identity(identity) {
                // A handshake that carried it would not have fitted.
                client.close(Closing::Refused("the names of its certificate exceed 1 MiB"));
            }
        }
        self.shared.state.register(client.clone());
        Connection::new(self.shared.clone(), client, transport)
    }

    /// How many addresses have connections.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn enter(&self, address: IpAddr) -> bool {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if self.limits.per_address > 0 && *count >= self.limits.per_address {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    fn leave(&self, address: IpAddr) {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}
