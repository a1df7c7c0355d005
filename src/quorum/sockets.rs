//! What is asked of the system for connections to other servers.

use tokio::net::TcpStream;

/// What is asked of the system for connections to other servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Whether the system looks after silent connections of the election port (`tcpKeepAlive`).
    pub keepalive: bool,
    /// Whether a leader's small packets leave at once (`leader.nodelay`).
    pub leader_nodelay: bool,
    /// Whether a learner's do (`follower.nodelay`).
    pub learner_nodelay: bool,
    /// How long an election connection to a server with several addresses may leave unacknowledged what it was sent, in
    /// milliseconds; then it ends, and the next one may go to another address
    /// (`multiAddress.reachabilityCheckTimeoutMs`). The reference asks the address whether it is there
    /// (`QuorumCnxManager.SendWorker.asyncValidateIfSocketIsStillReachable`).
    pub reachable_ms: Option<u32>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { keepalive: false, leader_nodelay: true, learner_nodelay: true, reachable_ms: None }
    }
}

impl Sockets {
    /// For a connection of the election port with a server that has so many addresses. A system that refuses leaves the
    /// connection as it is.
    pub(super) fn set_up_election(self, stream: &TcpStream, addresses: usize) {
        use rustix::net::sockopt::{set_socket_keepalive, set_tcp_user_timeout};
        let refused = |error| tracing::debug!(%error, "cannot set up a connection of the election port");
        if self.keepalive {
            set_socket_keepalive(stream, true).unwrap_or_else(refused);
        }
        if let Some(ms) = self.reachable_ms.filter(|_| addresses > 1) {
            set_tcp_user_timeout(stream, ms).unwrap_or_else(refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{socket_keepalive, tcp_user_timeout};
    use tokio::net::TcpListener;

    use super::*;

    async fn set_up(sockets: Sockets, addresses: usize) -> (bool, u32) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        sockets.set_up_election(&stream, addresses);
        (socket_keepalive(&stream).unwrap(), tcp_user_timeout(&stream).unwrap())
    }

    #[tokio::test]
    async fn election_connections_are_kept_alive_and_given_up_as_configured() {
        let usual = Sockets { reachable_ms: Some(700), ..Sockets::default() };
        assert_eq!(set_up(usual, 1).await, (false, 0));
        assert_eq!(set_up(usual, 2).await, (false, 700));
        assert_eq!(set_up(Sockets { reachable_ms: None, ..usual }, 2).await, (false, 0));
        assert_eq!(set_up(Sockets { keepalive: true, ..usual }, 1).await, (true, 0));
    }
}
