//! A learner's connection (reference: `LearnerHandler`).
//!
//! It is never left unread for what the other side has to take first: acknowledgements are behind its requests.

use std::collections::VecDeque;
use std::net::SocketAddr;

use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::Ahead;
use super::learner_line::{Line, Order, Piece};
use super::learner_port::LearnerPort;
use super::outgoing::{Order as _, Rest};
use super::packets::Packets;
use super::peer_tls;
use super::stream::PeerStream;
use crate::runtime::peers::FromPeers;
use crate::zab::{FromLearner, Hello, Input};

/// Bytes that are written at once, about.
const WRITE_BYTES: usize = 256 << 10;

/// Serves the connection until it ends.
pub(super) async fn run(port: &LearnerPort, stream: TcpStream, from: SocketAddr, end: &CancellationToken) {
    let (stream, ahead) = match proven(port, stream, from).await {
        Ok(proven) => proven,
        Err(why) => {
            tracing::warn!(%from, "a connection to the quorum port is closed: {why}");
            return;
        }
    };
    let (reading, writing) = stream.into_split();
    let mut packets = Packets::new(reading, port.shared.options.data_bytes_max);
    packets.put_back(&ahead);
    let hello = match introduction(port, &mut packets).await {
        Ok(hello) => hello,
        Err(why) => {
            tracing::warn!(%from, "a connection to the quorum port is closed: {why}");
            return;
        }
    };
    let Some(line) = port.admit(hello, from, writing, end) else { return };
    let why = tokio::select! {
        ended = hear(port, &line, &mut packets) => ended,
        ended = say(port, &line) => ended,
        () = end.cancelled() => return,
    };
    port.left(line.link, &why);
}

/// Does the handshake of TLS, and hears who it is, where that is asked. Returns what came already of what follows.
async fn proven(
    port: &LearnerPort,
    stream: TcpStream,
    from: SocketAddr,
) -> Result<(PeerStream, Vec<u8>), String> {
    let options = &port.shared.options;
    let entry = port.pending.enter();
    let proving = async {
        let mut stream = peer_tls::accept(options, stream, from, options.init).await?;
        let ahead = match &options.auth {
            Some(auth) => auth.hear(&mut stream, options.init).await?,
            None => Vec::new(),
        };
        Ok((stream, ahead))
    };
    tokio::select! {
        proven = proving => proven,
        () = entry.end.cancelled() => Err("too many others connect at the same time".into()),
    }
}

/// The first packet.
async fn introduction(
    port: &LearnerPort,
    packets: &mut Packets<impl AsyncRead + Unpin>,
) -> Result<Hello, String> {
    let patience = port.shared.options.init;
    let entry = port.pending.enter();
    let first = tokio::select! {
        first = tokio::time::timeout(patience, packets.next()) => first,
        () = entry.end.cancelled() => return Err("too many others connect at the same time".into()),
    };
    let (packet, _) = first.map_err(|_| format!("no packet came within {patience:?}"))??;
    packet.into_hello().map_err(|bad| bad.to_string())
}

async fn hear(port: &LearnerPort, line: &Line, packets: &mut Packets<impl AsyncRead + Unpin>) -> String {
    let mut ahead = Ahead::default();
    let mut heard = Vec::new();
    loop {
        if !packets.has_next() {
            port.shared.inbox.put_all(&mut heard);
            port.shared.inbox.attend();
        }
        let (packet, bytes) = match packets.next().await {
            Ok(next) => next,
            Err(why) => return why,
        };
        let said = match packet.into_from_learner() {
            Ok(said) => said,
            Err(bad) => return bad.to_string(),
        };
        match said {
            FromLearner::Ack(zxid) => line.acks.hears(zxid, || port.shared.clock.now_ms()),
            FromLearner::Revalidate { .. } => port.shared.metrics.revalidate_count.increment(),
            _ => {}
        }
        if !ahead.has_room(bytes) {
            port.shared.inbox.put_all(&mut heard);
            port.shared.inbox.attend();
        }
        ahead.admit(&*port.shared.inbox, bytes).await;
        heard.push(FromPeers::Happened { input: Input::LearnerSaid { link: line.link, said }, bytes: 0 });
    }
}

async fn say(port: &LearnerPort, line: &Line) -> String {
    let (mut taken, mut out) = (VecDeque::new(), Vec::new());
    loop {
        let Rest { bytes, mut weight } = line.outgoing.take(&mut taken).await;
        out.extend_from_slice(&bytes);
        line.count(taken.len());
        for order in taken.drain(..) {
            weight += order.weight().unwrap_or(0);
            let streamed = order.encode(&mut out);
            if (out.len() >= WRITE_BYTES || streamed.is_err())
                && let Err(why) = write(line, &mut out, &mut weight).await
            {
                return why;
            }
            if let Err(Order::Stream(pieces)) = streamed
                && let Err(why) = pass_on(port, line, pieces).await
            {
                return why;
            }
        }
        if let Err(why) = write(line, &mut out, &mut weight).await {
            return why;
        }
    }
}

async fn write(line: &Line, out: &mut Vec<u8>, weight: &mut usize) -> Result<(), String> {
    line.outgoing.write_all(out).await?;
    out.clear();
    out.shrink_to(2 * WRITE_BYTES);
    line.sent(std::mem::take(weight));
    Ok(())
}

/// Sends a stream, and nothing else until it is over. Nobody else watches whether the learner takes it.
async fn pass_on(port: &LearnerPort, line: &Line, mut pieces: Receiver<Piece>) -> Result<(), String> {
    let patience = port.shared.options.init;
    let link = line.link;
    loop {
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => {
                match tokio::time::timeout(patience, line.outgoing.write_all(&bytes)).await {
                    Ok(written) => written.map_err(|error| error.to_string())?,
                    Err(_) => {
                        return Err(format!(
                            "it took too little of what it was being sent within {patience:?}"
                        ));
                    }
                }
            }
            Some(Piece::End) => {
                port.shared.put(Input::Streamed { link });
                return Ok(());
            }
            Some(Piece::Refused(why)) => {
                tracing::info!("the log on disk cannot bring a learner up to date: {why}");
                port.shared.put(Input::StreamRefused { link });
                return Ok(());
            }
            Some(Piece::Broken(why)) => return Err(why),
            None => return Err("what was being sent to it broke off".into()),
        }
    }
}
