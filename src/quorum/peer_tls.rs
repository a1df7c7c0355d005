//! TLS between members: which connections speak it, and whom a handshake proves the other one to be (reference:
//! `UnifiedServerSocket`, `QuorumCnxManager.initiateConnection`, `Learner.createSocket`, `ZKTrustManager`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::Options;
use super::stream::PeerStream;
use crate::clock::Clock;
use crate::revocation::Revocation;
use crate::tls::verifier::Side;
use crate::tls::{Current, PeerContext, not_named, reason};

/// The type of the record that every handshake begins with. No plain connection begins with this byte.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What the keys of members' TLS begin with.
const PREFIX: &str = "ssl.quorum";

/// TLS of the quorum and election ports.
#[derive(Debug)]
pub struct PeerTls {
    /// What serves handshakes from now on.
    pub contexts: Current<PeerContext>,
    /// Whether this server speaks TLS where it connects (`sslQuorum`).
    pub dials: bool,
    /// Whether plain connections are accepted beside TLS (`portUnification`).
    pub accepts_plain: bool,
    /// How long the first byte of a connection is waited for
    /// (`ssl.quorum.handshakeDetectionTimeoutMillis`).
    pub detection: Duration,
    /// Asks whether certificates were revoked.
    pub revocation: Revocation,
    /// Time, as certificates are judged by it.
    pub clock: Arc<dyn Clock>,
}

/// Does the handshake of somebody who has connected, where there is one.
///
/// # Errors
/// Why the connection must be closed.
pub(super) async fn accept(
    options: &Options,
    stream: TcpStream,
    from: SocketAddr,
    patience: Duration,
) -> Result<PeerStream, String> {
    let Some(tls) = &options.tls else { return Ok(PeerStream::Plain(stream)) };
    match tokio::time::timeout(tls.detection, first_byte(&stream)).await {
        Ok(Ok(Some(HANDSHAKE_RECORD))) => {}
        // What is wrong with it shows behind this.
        _ if tls.accepts_plain => return Ok(PeerStream::Plain(stream)),
        Ok(Ok(None)) => return Err("it left before a TLS handshake".into()),
        Ok(Ok(Some(_))) => {
            return Err("what came is not TLS, and portUnification is not true".into());
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no TLS handshake began within {:?}", tls.detection)),
    }
    let shaking = tls.shake(options, stream, from.ip());
    let shaken = tokio::time::timeout(patience, shaking).await;
    shaken.map_err(|_| format!("its TLS handshake was not done within {patience:?}"))?
}

/// Does the handshake with a member that was connected to at `host`, where this server speaks TLS.
///
/// # Errors
/// Why the connection must be closed.
pub(super) async fn connect(
    options: &Options,
    stream: TcpStream,
    host: &str,
    patience: Duration,
) -> Result<PeerStream, String> {
    let Some(tls) = options.tls.as_ref().filter(|tls| tls.dials) else {
        return Ok(PeerStream::Plain(stream));
    };
    let greeted = tokio::time::timeout(patience, tls.greet(stream, host)).await;
    greeted.map_err(|_| format!("the TLS handshake was not done within {patience:?}"))?
}

impl PeerTls {
    async fn shake(&self, options: &Options, stream: TcpStream, from: IpAddr) -> Result<PeerStream, String> {
        let context = self.contexts.get();
        let shaken = TlsAcceptor::from(context.server.clone()).accept(stream).await;
        let stream =
            shaken.map_err(|error| format!("its TLS handshake failed: {}", reason(&error, PREFIX)))?;
        let members =
            options.members.values().flat_map(|member| member.quorum.iter().chain(&member.election));
        let chain = stream.get_ref().1.peer_certificates();
        let hosts = context.names_client(chain, from, members.map(|address| address.host.as_str()))?;
        if !hosts.is_empty() && !is_one_of(from, &hosts).await {
            return Err(not_named(from));
        }
        let (asks, links) = context.asks(chain, Side::Client, self.clock.wall_ms())?;
        self.revocation.check(asks, &links).await?;
        Ok(PeerStream::Tls(Box::new(TlsStream::Server(stream))))
    }

    async fn greet(&self, stream: TcpStream, host: &str) -> Result<PeerStream, String> {
        let address = stream.peer_addr().map_err(|error| error.to_string())?.ip();
        let context = self.contexts.get();
        let greeted = TlsConnector::from(context.client.clone()).connect(address.into(), stream).await;
        let stream =
            greeted.map_err(|error| format!("the TLS handshake failed: {}", reason(&error, PREFIX)))?;
        let chain = stream.get_ref().1.peer_certificates();
        context.names_server(chain, host, address)?;
        let (asks, links) = context.asks(chain, Side::Server, self.clock.wall_ms())?;
        self.revocation.check(asks, &links).await?;
        Ok(PeerStream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// Looks at the first byte and leaves it there; None at the end of the connection.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let count = stream.peek(&mut byte).await?;
    Ok((count > 0).then_some(byte[0]))
}

/// Whether one of these hosts has the address. Only names of the configuration are looked up: what the owner of an
/// address says about its name proves nothing.
async fn is_one_of(address: IpAddr, hosts: &[&str]) -> bool {
    for host in hosts {
        if let Ok(mut found) = lookup_host((*host, 0)).await
            && found.any(|found| found.ip().to_canonical() == address.to_canonical())
        {
            return true;
        }
    }
    false
}
