//! The tree, from a leader: off the connection by its task, taken apart on a thread of its own.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use jute::{Zxid, write};
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::packets::Packets;
use crate::store::{self, Received, Receiving};
use crate::zab::SNAPSHOT_END;

/// Reads of the connection that wait to be taken apart.
const WAITING_MAX: usize = 16;

/// How it ended, and what was read beyond its end.
type Ended = (Result<Received, String>, Vec<u8>);

/// Receives the tree that follows a SNAP packet, and leaves the packets at what follows it. The file is synced.
///
/// # Errors
/// It is none, or breaks off, or the disk fails; no file is left then.
pub(super) async fn receive(
    shared: &Arc<Shared>,
    packets: &mut Packets<impl AsyncRead + Unpin>,
    from: &str,
    zxid: Zxid,
) -> Result<Received, String> {
    let (chunks, source) = mpsc::channel(WAITING_MAX);
    let (end, mut ended) = oneshot::channel();
    let (on_thread, name) = (Arc::clone(shared), from.to_owned());
    let started = shared.tasks.thread("snapshot-in", move || {
        let result = take_apart(&on_thread, &name, zxid, Chunks { source, current: Bytes::new() });
        if let Err((Ok(unwanted), _)) = end.send(result) {
            // The connection has gone meanwhile. If this fails, the next start removes it.
            let _left = on_thread.disk.remove(&unwanted.file);
        }
    });
    started.map_err(|error| format!("no thread can be started to receive a snapshot: {error}"))?;
    let fed = feed(packets, &chunks, shared.options.init).await;
    drop(chunks);
    let gone = |_| "a snapshot could not be taken apart".to_owned();
    let (result, rest) = match fed {
        Ok(()) => (&mut ended).await.map_err(gone)?,
        Err(why) => {
            // The thread hears of it as the end of the stream, and leaves no file.
            let _cut_short = ended.await;
            return Err(format!("a snapshot breaks off: {why}"));
        }
    };
    packets.put_back(&rest);
    result
}

/// Hands over what comes until no more is taken.
async fn feed(
    packets: &mut Packets<impl AsyncRead + Unpin>,
    chunks: &mpsc::Sender<Bytes>,
    patience: Duration,
) -> Result<(), String> {
    // Room first: what was read is never without a place.
    while let Ok(room) = chunks.reserve().await {
        tokio::select! {
            biased;
            () = chunks.closed() => return Ok(()),
            raw = tokio::time::timeout(patience, packets.raw()) => match raw {
                Ok(raw) => room.send(raw?),
                Err(_) => return Err(format!("nothing more came within {patience:?}")),
            },
        }
    }
    Ok(())
}

fn take_apart(shared: &Shared, from: &str, zxid: Zxid, mut chunks: Chunks) -> Ended {
    let options = &shared.options;
    let what = Receiving {
        zxid,
        from,
        directory: &options.snapshots,
        compression: options.compression,
        field_bytes_max: options.field_bytes_max,
        rules: options.rules,
    };
    let received = store::receive(&shared.disk, what, &mut chunks).map_err(|error| error.to_string());
    let received = received.and_then(|mut received| match signature(&mut chunks, &received.rest) {
        Ok(rest) => {
            received.rest = rest;
            Ok(received)
        }
        Err(why) => {
            let _left = shared.disk.remove(&received.file);
            Err(why)
        }
    });
    let mut rest = received.as_ref().map_or_else(|_| Vec::new(), |received| received.rest.clone());
    rest.extend_from_slice(&chunks.current);
    chunks.source.close();
    while let Some(chunk) = chunks.source.blocking_recv() {
        rest.extend_from_slice(&chunk);
    }
    (received, rest)
}

/// Reads the word behind the nodes, of which `held` may have some. Returns what `held` has beyond it.
fn signature(chunks: &mut Chunks, held: &[u8]) -> Result<Vec<u8>, String> {
    let mut expected = Vec::new();
    write::ustring(&mut expected, Some(SNAPSHOT_END));
    let mut held = held.to_vec();
    if held.len() < expected.len() {
        let mut missing = vec![0; expected.len() - held.len()];
        let read = chunks.read_exact(&mut missing);
        read.map_err(|_| format!("a snapshot ends without {SNAPSHOT_END}"))?;
        held.extend_from_slice(&missing);
    }
    match held.strip_prefix(&expected[..]) {
        Some(rest) => Ok(rest.to_vec()),
        None => Err(format!("{SNAPSHOT_END} does not follow the nodes of a snapshot")),
    }
}

/// What the task hands over, as a stream.
struct Chunks {
    source: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.source.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let bytes = buffer.len().min(self.current.len());
        self.current.copy_to_slice(buffer.get_mut(..bytes).unwrap_or_default());
        Ok(bytes)
    }
}
