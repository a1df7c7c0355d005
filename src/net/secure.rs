//! From an accepted socket to a connection that may speak: whether it is TLS, the handshake, and who the client
//! is then (reference: `NettyServerCnxnFactory`).

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use super::Shared;
use super::tls_stream::TlsStream;
use super::transport::Transport;
use crate::auth::Identity;
use crate::revocation::Revocation;
use crate::runtime::client::Port;
use crate::tls::revocation::{Asks, Link};
use crate::tls::{Context, Current, ServerConnection, reason};

/// How long a handshake may take (reference: the default of Netty's `SslHandler`).
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The type of the record that every handshake begins with.
const HANDSHAKE_RECORD: u8 = 0x16;

/// TLS of the client ports.
#[derive(Debug)]
pub struct Secure {
    /// What serves handshakes.
    pub contexts: Current<Context>,
    /// Handshakes that may be unfinished at a time; above it, connections are closed at once.
    pub handshakes_max: usize,
    /// Whether connections are closed before their handshake while the server serves nobody.
    pub drops_early: bool,
    /// Asks whether certificates were revoked.
    pub revocation: Revocation,
    handshakes: AtomicUsize,
    failed: AtomicI64,
}

impl Secure {
    /// With these settings.
    #[must_use]
    pub const fn new(
        contexts: Current<Context>,
        handshakes_max: usize,
        drops_early: bool,
        revocation: Revocation,
    ) -> Self {
        Self {
            contexts,
            handshakes_max,
            drops_early,
            revocation,
            handshakes: AtomicUsize::new(0),
            failed: AtomicI64::new(0),
        }
    }

    /// Handshakes that are not done.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Clients whose handshake failed, or who were not believed.
    #[must_use]
    pub fn failed(&self) -> i64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts a handshake, if one more may begin.
    fn begin(self: &Arc<Self>, shared: &Shared, peer: SocketAddr) -> Option<Unfinished> {
        let unfinished = Unfinished(Arc::clone(self));
        if self.handshakes.fetch_add(1, Ordering::Relaxed) >= self.handshakes_max {
            shared.metrics.tls_handshake_exceeded.increment();
            tracing::warn!(
                %peer,
                "connection refused: {} TLS handshakes are not done yet, the most that \
                 netty.server.outstandingHandshake.limit allows",
                self.handshakes_max
            );
            return None;
        }
        Some(unfinished)
    }
}

/// A handshake that is counted while it lasts.
pub(super) struct Unfinished(Arc<Secure>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a port speaks.
#[derive(Clone, Debug)]
pub enum Security {
    /// No TLS.
    Plain,
    /// Both: the first byte of a connection tells.
    Either(Arc<Secure>),
    /// TLS alone.
    Tls(Arc<Secure>),
}

/// What came of the first byte.
enum First {
    Tls,
    Other,
    Nothing,
}

/// Why a connection does not come to be.
enum Failure {
    /// The handshake.
    Handshake(String),
    /// Its client left without a word; whoever looks whether a port is open does that.
    Left(String),
    /// The client is not who it should be.
    Identity(String),
}

impl Security {
    /// Lets a connection in, or says in the log why not. What it returns is held until the handshake is done.
    pub(super) fn admit(&self, shared: &Shared, peer: SocketAddr) -> Option<Option<Unfinished>> {
        let Self::Tls(secure) = self else { return Some(None) };
        if secure.drops_early && !shared.state.standing.serves() {
            shared.metrics.cnxn_closed_without_zk_server_running.increment();
            tracing::info!(%peer, "connection closed before its TLS handshake: this server serves nobody yet");
            return None;
        }
        secure.begin(shared, peer).map(Some)
    }

    /// The port that speaks so: `secureClientPort` is the one of TLS alone.
    pub(super) const fn port(&self) -> Port {
        match self {
            Self::Plain | Self::Either(_) => Port::Client,
            Self::Tls(_) => Port::SecureClient,
        }
    }

    /// What serves handshakes, if there are any, and whether connections may do without one.
    pub(super) fn tls(&self) -> Option<(Arc<Secure>, bool)> {
        match self {
            Self::Plain => None,
            Self::Either(secure) => Some((Arc::clone(secure), true)),
            Self::Tls(secure) => Some((Arc::clone(secure), false)),
        }
    }
}

impl Secure {
    /// Does the handshake, if it is one. None when the connection ends, which the log tells.
    pub(super) async fn secure(
        self: &Arc<Self>,
        may_be_plain: bool,
        shared: &Shared,
        stream: TcpStream,
        peer: SocketAddr,
        guard: Option<Unfinished>,
    ) -> Option<(Transport, Vec<Identity>)> {
        let first = tokio::time::timeout(patience(shared), first_byte(&stream)).await;
        let outcome = match first {
            Ok(Ok(First::Other | First::Nothing)) if may_be_plain => {
                return Some((Transport::plain(stream), Vec::new()));
            }
            Ok(Ok(First::Tls)) => {
                let guard = match guard {
                    Some(guard) => guard,
                    None => self.begin(shared, peer)?,
                };
                let done =
                    tokio::time::timeout(patience(shared), handshake(shared, self, stream, peer)).await;
                drop(guard);
                done.unwrap_or_else(|_| Err(Failure::Handshake("it was not done in time".into())))
            }
            Ok(Ok(First::Other)) => {
                // In order, so that the client sees an end and no reset.
                let _it_may_be_gone = Transport::plain(stream).hang_up();
                Err(Failure::Handshake("what came is not TLS, which this port speaks alone".into()))
            }
            Ok(Ok(First::Nothing)) => Err(Failure::Left("the client left before it".into())),
            Ok(Err(error)) => Err(Failure::Left(error.to_string())),
            Err(_) => Err(Failure::Handshake("nothing came in time".into())),
        };
        let failure = match outcome {
            Ok(secured) => return Some(secured),
            Err(failure) => failure,
        };
        shared.metrics.connection_drop_count.increment();
        self.failed.fetch_add(1, Ordering::Relaxed);
        match failure {
            Failure::Left(why) => {
                shared.metrics.unsuccessful_handshake.increment();
                tracing::debug!(%peer, "TLS handshake ended: {why}");
            }
            Failure::Handshake(why) => {
                shared.metrics.unsuccessful_handshake.increment();
                tracing::warn!(%peer, "TLS handshake failed: {why}");
            }
            Failure::Identity(why) => {
                tracing::warn!(%peer, "closing connection: the client proves nothing by its certificate: {why}");
            }
        }
        None
    }
}

/// How long the first byte may take, and the handshake: no longer than a session would.
fn patience(shared: &Shared) -> Duration {
    HANDSHAKE_WITHIN.min(shared.limits.sessionless)
}

/// Looks at the first byte and leaves it there.
async fn first_byte(stream: &TcpStream) -> io::Result<First> {
    let mut byte = [0];
    Ok(match stream.peek(&mut byte).await? {
        0 => First::Nothing,
        _ if byte == [HANDSHAKE_RECORD] => First::Tls,
        _ => First::Other,
    })
}

/// No identity is given out before the client's certificate was believed, and no byte behind the handshake is looked at.
async fn handshake(
    shared: &Shared,
    secure: &Secure,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(Transport, Vec<Identity>), Failure> {
    let context = secure.contexts.get();
    let tls = context.connection().map_err(|error| Failure::Handshake(error.to_string()))?;
    let mut stream = Box::new(TlsStream::new(stream, tls));
    let done = poll_fn(|cx| stream.poll_handshake(cx)).await;
    if let Err(error) = done {
        // What says why is on its way, and would be lost if the client's unread bytes reset the connection.
        let _it_may_be_gone = stream.hang_up();
        return Err(Failure::Handshake(reason(&error, "ssl")));
    }
    let counts = match shown(shared, &context, stream.connection(), peer) {
        // The reference asks within the handshake, and so counts what comes of it as one that failed.
        Ok(Shown { identities, asks, links }) => {
            let asked = secure.revocation.check(asks, &links).await;
            asked.map(|()| identities).map_err(Failure::Handshake)
        }
        Err(failure) => Err(failure),
    };
    let mut transport = Transport::Tls(stream);
    match counts {
        Ok(identities) => Ok((transport, identities)),
        Err(failure) => {
            if let Err(error) = transport.hang_up() {
                tracing::trace!(%peer, %error, "client was gone already");
            }
            Err(failure)
        }
    }
}

/// What a finished handshake has shown: who the client is, and who is to be asked whether that still counts.
struct Shown {
    identities: Vec<Identity>,
    asks: Asks,
    links: Vec<Link>,
}

fn shown(
    shared: &Shared,
    context: &Context,
    connection: &ServerConnection,
    peer: SocketAddr,
) -> Result<Shown, Failure> {
    let now = shared.clock.wall_ms();
    let proven = context.proven(connection, peer.ip(), now).map_err(Failure::Identity)?;
    let identities = match proven {
        None => Vec::new(),
        Some(proven) => shared.auth.certificate(&proven.subject).ok_or_else(|| {
            Failure::Identity("the scheme x509 has no provider; set authProvider.x509".to_owned())
        })?,
    };
    let (asks, links) = context.asks(connection, now).map_err(Failure::Handshake)?;
    Ok(Shown { identities, asks, links })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Server, Setup};
    use super::*;

    #[test]
    fn a_handshake_takes_no_longer_than_a_session_may_be_waited_for_and_never_longer_than_ten_seconds() {
        let within = |sessionless| {
            let mut setup = Setup::default();
            setup.limits.sessionless = sessionless;
            patience(&Server::with(setup).shared)
        };
        let moment = Duration::from_millis(300);
        assert_eq!(within(moment), moment);
        assert_eq!(within(Duration::from_secs(60)), HANDSHAKE_WITHIN);
    }
}
