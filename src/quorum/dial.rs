//! Reaching another server: names are resolved anew each time, several addresses are tried side by side.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;

/// Between the attempts at two addresses of a server: the first one has this much of a start.
const STAGGER: Duration = Duration::from_millis(250);
/// Backlog of a listener (reference: the Java default).
const BACKLOG: u32 = 50;

/// Where a port of a server is, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl Address {
    /// Where it is now.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> = found.map_err(|error| format!("{self} cannot be resolved: {error}"))?.collect();
        if found.is_empty() { Err(format!("{self} has no address")) } else { Ok(found) }
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let mut failure = None;
        for address in self.resolve().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.map_or_else(|| format!("{self} has no address"), |error| format!("{self}: {error}")))
    }
}

/// Connects to the first of these addresses that answers; says which host that is.
///
/// # Errors
/// Why none did, each with its address.
pub(super) async fn connect(
    addresses: &[Address],
    patience: Duration,
) -> Result<(TcpStream, String), String> {
    if addresses.is_empty() {
        return Err("no address of it is known".into());
    }
    let mut attempts = JoinSet::new();
    for (address, head_start) in addresses.iter().cloned().zip(0u32..) {
        attempts.spawn(async move {
            tokio::time::sleep(STAGGER * head_start).await;
            address.connect().await.map(|stream| (stream, address.host))
        });
    }
    let first = async {
        let mut failures = Vec::new();
        while let Some(ended) = attempts.join_next().await {
            match ended {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => failures.push(failure),
                Err(_stopped) => {}
            }
        }
        failures.sort();
        Err(failures.join("; "))
    };
    let Ok(connected) = tokio::time::timeout(patience, first).await else {
        let addresses: Vec<_> = addresses.iter().map(Address::to_string).collect();
        return Err(format!("{} did not answer within {patience:?}", addresses.join(", ")));
    };
    connected
}

/// Listens at an address, or at its port on all addresses of this machine.
///
/// # Errors
/// As the system reports, with the address.
pub(super) async fn listen(address: &Address, on_all: bool) -> Result<TcpListener, String> {
    if on_all {
        let (v6, v4) = (([0u16; 8], address.port).into(), ([0u8; 4], address.port).into());
        let listening = bind(v6).or_else(|_no_v6| bind(v4));
        return listening.map_err(|error| format!("port {} on all addresses: {error}", address.port));
    }
    let mut failure = None;
    for place in address.resolve().await? {
        match bind(place) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(|| format!("{address} has no address"), |error| format!("{address}: {error}")))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_address_does_not_keep_a_server_from_being_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let at = |host: &str, port| Address { host: host.into(), port };
        let addresses = [at("nowhere.invalid", port), at("127.0.0.1", 1), at("127.0.0.1", port)];
        assert!(connect(&addresses, Duration::from_secs(20)).await.is_ok());
        let why = connect(&addresses[..2], Duration::from_secs(20)).await.unwrap_err();
        assert!(why.contains("nowhere.invalid") && why.contains("127.0.0.1:1"), "{why}");
    }

    #[test]
    fn an_address_of_the_sixth_version_is_in_brackets() {
        assert_eq!(Address { host: "::1".into(), port: 7 }.to_string(), "[::1]:7");
        assert_eq!(Address { host: "one".into(), port: 7 }.to_string(), "one:7");
    }
}
