//! Servers that prove to each other who they are, before they say anything else on a port (reference: `QuorumAuth`,
//! `SaslQuorumAuthServer`, `SaslQuorumAuthLearner`).

use std::sync::Arc;
use std::time::Duration;

use jute::records::Record;
use jute::records::quorum::QuorumAuthPacket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::auth::sasl::{Failure, Login, Mechanism, Step};
use crate::logging::shown;

/// What each packet begins with (`QuorumAuth.QUORUM_AUTH_MAGIC_NUMBER`, which was meant to be negative).
const MAGIC: i64 = 0x5f24_3501_3501_edcc;
/// The exchange goes on.
const IN_PROGRESS: i32 = 0;
/// The other side has proven who it is.
const SUCCESS: i32 = 1;
/// It has not.
const ERROR: i32 = -1;
/// The longest token; tickets of Kerberos may have some tens of KiB.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How often an exchange may go on (`SaslQuorumAuthServer.MAX_RETRIES`).
const ROUNDS_MAX: usize = 5;

/// How servers prove who they are (`quorum.auth.*`).
#[derive(Clone, Debug)]
pub struct PeerAuth {
    /// What others are asked.
    pub offer: Arc<dyn Mechanism>,
    /// What this server answers others.
    pub login: Arc<dyn Login>,
    /// Whether others must prove who they are (`quorum.auth.serverRequireSasl`).
    pub requires: bool,
    /// Whether this server proves who it is where it connects (`quorum.auth.learnerRequireSasl`).
    pub proves: bool,
}

impl PeerAuth {
    /// Hears who has connected. Returns bytes that came already of what follows: of a server that does not prove who it
    /// is, where it need not.
    ///
    /// # Errors
    /// Why its connection must be closed.
    pub(super) async fn hear<S>(&self, stream: &mut S, patience: Duration) -> Result<Vec<u8>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut ahead = Vec::new();
        // Whoever says nothing at all does not prove anything either.
        let _slow = tokio::time::timeout(patience, async {
            let mut bytes = [0; size_of::<i64>()];
            while let Some(room) =
                bytes.get_mut(..size_of::<i64>() - ahead.len()).filter(|room| !room.is_empty())
            {
                match stream.read(room).await {
                    Ok(count) if count > 0 => ahead.extend(bytes.iter().take(count)),
                    _ => break,
                }
            }
        })
        .await;
        if ahead != MAGIC.to_be_bytes() {
            if self.requires {
                return Err("it does not prove who it is, and quorum.auth.serverRequireSasl is true".into());
            }
            return Ok(ahead);
        }
        let exchange = tokio::time::timeout(patience, self.exchange(stream)).await;
        let id = exchange.map_err(|_| format!("it did not prove who it is within {patience:?}"))??;
        tracing::info!("a server has proven to be {}", shown(&id));
        Ok(Vec::new())
    }

    /// The rest of the first packet, and what follows.
    async fn exchange<S>(&self, stream: &mut S) -> Result<String, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut exchange = self.offer.begin();
        let mut packet = rest_of_packet(stream).await?;
        for _ in 0..=ROUNDS_MAX {
            let token = packet.token.ok_or("a packet of its login has no token")?;
            match exchange.step(&token) {
                Ok(Step::Challenge(challenge)) => send(stream, IN_PROGRESS, Some(challenge)).await?,
                Ok(Step::Proven { token, authorization_id }) => {
                    send(stream, SUCCESS, token).await?;
                    return Ok(authorization_id);
                }
                Err(Failure(why)) => {
                    send(stream, ERROR, Some(Vec::new())).await?;
                    return Err(format!("its login failed: {why}"));
                }
            }
            packet = receive(stream).await?;
        }
        send(stream, ERROR, Some(Vec::new())).await?;
        Err("its login came to no end".into())
    }

    /// Proves to the server on `host` who this one is, and has it prove the same; where this server does so.
    ///
    /// # Errors
    /// Why the connection must be closed.
    pub(super) async fn prove<S>(&self, stream: &mut S, host: &str, patience: Duration) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.proves {
            return Ok(());
        }
        let proving = tokio::time::timeout(patience, self.log_in(stream, host)).await;
        let proven = proving.map_err(|_| format!("no login within {patience:?}"))?;
        proven.map_err(|why| format!("it could not be logged in to: {why}"))
    }

    async fn log_in<S>(&self, stream: &mut S, host: &str) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut login = self.login.begin(host);
        let first = login.first().map_err(|failure| failure.0)?;
        send(stream, IN_PROGRESS, Some(first.unwrap_or_default())).await?;
        for _ in 0..=ROUNDS_MAX {
            let QuorumAuthPacket { status, token, .. } = receive(stream).await?;
            if ![IN_PROGRESS, SUCCESS].contains(&status) {
                return Err("it refuses the name or the password of this server".into());
            }
            let answer = login.answer(&token.unwrap_or_default()).map_err(|failure| failure.0)?;
            match (status, answer) {
                (SUCCESS, None) => return Ok(()),
                (IN_PROGRESS, Some(token)) => send(stream, IN_PROGRESS, Some(token)).await?,
                _ => return Err("it says that the login is at another point than it is".into()),
            }
        }
        Err("the login came to no end".into())
    }
}

async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    status: i32,
    token: Option<Vec<u8>>,
) -> Result<(), String> {
    let packet = QuorumAuthPacket { magic: MAGIC, status, token }.to_bytes();
    stream.write_all(&packet).await.map_err(ended)?;
    stream.flush().await.map_err(ended)
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<QuorumAuthPacket, String> {
    // The reference does not look at it any more.
    let _magic = stream.read_i64().await.map_err(ended)?;
    rest_of_packet(stream).await
}

async fn rest_of_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<QuorumAuthPacket, String> {
    let status = stream.read_i32().await.map_err(ended)?;
    let length = stream.read_i32().await.map_err(ended)?;
    let mut packet = QuorumAuthPacket { magic: MAGIC, status, token: None };
    if length >= 0 {
        let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= TOKEN_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| format!("a token of {length} bytes in its login"))?;
        let mut token = vec![0; bytes];
        stream.read_exact(&mut token).await.map_err(ended)?;
        packet.token = Some(token);
    }
    Ok(packet)
}

fn ended(error: std::io::Error) -> String {
    format!("the connection ended within the login: {error}")
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::auth::sasl::digest_md5::{DigestMd5, PeerLogin, Users};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn auth(password: &str, requires: bool, proves: bool) -> PeerAuth {
        let users = Users::new([("one".to_owned(), "secret".into())], None);
        PeerAuth {
            offer: Arc::new(DigestMd5::for_peers(users)),
            login: Arc::new(PeerLogin { user: "one".into(), password: password.into() }),
            requires,
            proves,
        }
    }

    /// What comes of it on both sides, when the one that connects says `behind` after it.
    async fn meet(
        server: PeerAuth,
        learner: PeerAuth,
        behind: &[u8],
    ) -> (Result<Vec<u8>, String>, Result<(), String>) {
        let (mut theirs, mut ours) = duplex(1 << 20);
        let connecting = async {
            let proven = learner.prove(&mut theirs, "host", PATIENCE).await;
            if proven.is_ok() {
                theirs.write_all(behind).await.unwrap();
            }
            drop(theirs);
            proven
        };
        let hearing = async {
            let mut ahead = server.hear(&mut ours, PATIENCE).await?;
            ours.read_to_end(&mut ahead).await.unwrap();
            Ok(ahead)
        };
        tokio::join!(hearing, connecting)
    }

    #[tokio::test]
    async fn servers_with_the_password_meet_and_others_do_not() {
        let (heard, proven) = meet(auth("", true, false), auth("secret", false, true), b"behind").await;
        assert_eq!((heard, proven), (Ok(b"behind".to_vec()), Ok(())));
        for requires in [false, true] {
            let (heard, proven) =
                meet(auth("", requires, false), auth("wrong", false, true), b"behind").await;
            assert!(heard.is_err_and(|why| why.contains("login failed")));
            assert!(proven.is_err_and(|why| why.contains("refuses")));
        }
    }

    /// The first two steps of the reference's rolling upgrade: who does not prove anything is let in.
    #[tokio::test]
    async fn who_proves_nothing_is_let_in_only_where_that_is_not_required() {
        for behind in [&b"a longer message"[..], b"short", b""] {
            let (heard, _) = meet(auth("", false, false), auth("secret", false, false), behind).await;
            assert_eq!(heard, Ok(behind.to_vec()));
            let (heard, _) = meet(auth("", true, false), auth("secret", false, false), behind).await;
            assert!(heard.is_err_and(|why| why.contains("serverRequireSasl")));
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for_without_end() {
        for (requires, said) in [(true, &b""[..]), (false, b"abc"), (false, &MAGIC.to_be_bytes())] {
            let (mut theirs, mut ours) = duplex(1 << 10);
            theirs.write_all(said).await.unwrap();
            let heard = auth("", requires, false).hear(&mut ours, Duration::from_millis(20)).await;
            let expected = if said.len() == 3 { Ok(said.to_vec()) } else { Err(()) };
            assert_eq!(heard.map_err(|_| ()), expected);
        }
        let (_theirs, mut ours) = duplex(1 << 10);
        assert!(
            auth("secret", false, true).prove(&mut ours, "host", Duration::from_millis(20)).await.is_err()
        );
    }

    #[tokio::test]
    async fn what_is_no_login_is_refused() {
        let packet = |status: i32, length: i32, token: &[u8]| {
            [&MAGIC.to_be_bytes()[..], &status.to_be_bytes(), &length.to_be_bytes(), token].concat()
        };
        let rounds: Vec<u8> = (0..9).flat_map(|_| packet(0, 0, b"")).collect();
        for said in [
            packet(0, -1, b""),
            packet(0, i32::MAX, b""),
            packet(0, 65_537, b"x"),
            packet(0, 9, b"x"),
            rounds,
        ] {
            let (mut theirs, mut ours) = duplex(1 << 20);
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(auth("", false, false).hear(&mut ours, PATIENCE).await.is_err());
            let (mut theirs, mut ours) = duplex(1 << 20);
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(auth("secret", false, true).prove(&mut ours, "host", PATIENCE).await.is_err());
        }
    }
}
