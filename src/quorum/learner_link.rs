//! A learner's connection (reference: `LearnerHandler`).
//!
//! It is never left unread for what the other side has to take first: acknowledgements are behind its requests.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio_util::sync::CancellationToken;

use super::Ahead;
use super::learner_port::{Admitted, LearnerPort, Order, Piece};
use super::packets::Packets;
use crate::runtime::peers::FromPeers;
use crate::zab::{Hello, Input, Link};

/// Packets taken at once.
const ORDERS_MAX: usize = 1024;
/// What was sent is told to the core in portions of at least this: each time wakes the writer.
const DRAINED_BYTES: usize = 512 << 10;
/// Bytes that are written at once, about.
const WRITE_BYTES: usize = 256 << 10;

/// Serves the connection until it ends.
pub(super) async fn run(
    port: &LearnerPort,
    mut stream: TcpStream,
    from: SocketAddr,
    end: &CancellationToken,
) {
    let (reading, writing) = stream.split();
    let mut packets = Packets::new(reading, port.shared.options.data_bytes_max);
    let hello = match introduction(port, &mut packets).await {
        Ok(hello) => hello,
        Err(why) => {
            tracing::warn!(%from, "a connection to the quorum port is closed: {why}");
            return;
        }
    };
    let Some(Admitted { link, queue, orders, end }) = port.admit(hello, from, end) else { return };
    let count = |packets: usize| {
        if let Some(queue) = &queue {
            queue.observe(i64::try_from(packets).unwrap_or(i64::MAX));
        }
    };
    let why = tokio::select! {
        ended = hear(port, link, &mut packets) => ended,
        ended = say(port, link, writing, orders, count) => ended,
        () = end.cancelled() => return,
    };
    port.left(link, &why);
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

async fn hear(port: &LearnerPort, link: Link, packets: &mut Packets<impl AsyncRead + Unpin>) -> String {
    let mut ahead = Ahead::default();
    let mut heard = Vec::new();
    loop {
        if !packets.has_next() {
            port.shared.inbox.put_all(&mut heard);
        }
        let (packet, bytes) = match packets.next().await {
            Ok(next) => next,
            Err(why) => return why,
        };
        let said = match packet.into_from_learner() {
            Ok(said) => said,
            Err(bad) => return bad.to_string(),
        };
        if !ahead.has_room(bytes) {
            port.shared.inbox.put_all(&mut heard);
        }
        ahead.admit(&*port.shared.inbox, bytes).await;
        heard.push(FromPeers::Happened { input: Input::LearnerSaid { link, said }, bytes: 0 });
    }
}

async fn say(
    port: &LearnerPort,
    link: Link,
    mut stream: impl AsyncWrite + Unpin,
    mut orders: UnboundedReceiver<Order>,
    count: impl Fn(usize),
) -> String {
    let (mut taken, mut out, mut weight) = (Vec::new(), Vec::new(), 0);
    while orders.recv_many(&mut taken, ORDERS_MAX).await > 0 {
        count(taken.len() + orders.len());
        for order in taken.drain(..) {
            match order {
                Order::Packet(packet) => {
                    weight += packet.weight();
                    packet.encode(&mut out);
                    if out.len() < WRITE_BYTES {
                        continue;
                    }
                    if let Err(why) = flush(port, link, &mut stream, &mut out, &mut weight).await {
                        return why;
                    }
                }
                Order::Stream(pieces) => {
                    if let Err(why) = flush(port, link, &mut stream, &mut out, &mut weight).await {
                        return why;
                    }
                    if let Err(why) = pass_on(port, link, &mut stream, pieces).await {
                        return why;
                    }
                }
            }
        }
        if let Err(why) = flush(port, link, &mut stream, &mut out, &mut weight).await {
            return why;
        }
    }
    "nothing more can be sent".into()
}

async fn flush(
    port: &LearnerPort,
    link: Link,
    stream: &mut (impl AsyncWrite + Unpin),
    out: &mut Vec<u8>,
    weight: &mut usize,
) -> Result<(), String> {
    if out.is_empty() {
        return Ok(());
    }
    stream.write_all(out).await.map_err(|error| error.to_string())?;
    out.clear();
    out.shrink_to(2 * WRITE_BYTES);
    if *weight >= DRAINED_BYTES {
        port.shared.put(Input::Drained { link, bytes: std::mem::take(weight) });
    }
    Ok(())
}

/// Sends a stream, and nothing else until it is over. Nobody else watches whether the learner takes it.
async fn pass_on(
    port: &LearnerPort,
    link: Link,
    stream: &mut (impl AsyncWrite + Unpin),
    mut pieces: Receiver<Piece>,
) -> Result<(), String> {
    let patience = port.shared.options.init;
    loop {
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => match tokio::time::timeout(patience, stream.write_all(&bytes)).await
            {
                Ok(written) => written.map_err(|error| error.to_string())?,
                Err(_) => {
                    return Err(format!("it took too little of what it was being sent within {patience:?}"));
                }
            },
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
