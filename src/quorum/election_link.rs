//! One connection of the election port, after the handshake: frames both ways.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Ahead;
use super::election_port::ElectionPort;
use super::stream::{PeerStream, Writing};
use crate::zab::{Input, Notification, Sid};

/// The longest message.
const FRAME_BYTES_MAX: usize = 512 << 10;
/// Bytes of one read, at least.
const READ_BYTES: usize = 4 << 10;

/// Talks until the connection ends; `ahead` has come already. Says why it did.
pub(super) async fn run(
    port: &ElectionPort,
    sid: Sid,
    stream: PeerStream,
    ahead: Vec<u8>,
    end: &CancellationToken,
    wake: &Arc<Notify>,
) -> String {
    let (reading, writing) = stream.into_split();
    tokio::select! {
        ended = hear(port, sid, reading, &ahead) => ended,
        ended = say(port, sid, &writing, wake) => ended,
        () = end.cancelled() => "another one takes its place".into(),
    }
}

async fn hear(port: &ElectionPort, sid: Sid, mut stream: impl AsyncRead + Unpin, came: &[u8]) -> String {
    let mut buffer = BytesMut::from(came);
    let mut ahead = Ahead::default();
    loop {
        let frame = match next_frame(&mut stream, &mut buffer).await {
            Ok(frame) => frame,
            Err(why) => return why,
        };
        ahead.admit(&*port.shared.inbox, frame.len()).await;
        match Notification::decode(&frame) {
            Ok(notification) => port.shared.put(Input::Notified { from: sid, notification }),
            // As in the reference: the frames around it are whole.
            Err(bad) => {
                let name = port.shared.options.name(sid);
                tracing::warn!("a message of {name} on the election port is passed over: {bad}");
            }
        }
    }
}

/// The next message.
///
/// # Errors
/// Why there is none any more.
pub(super) async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Bytes, String> {
    loop {
        if let Some(bytes) = frame_length(buffer)?
            && let Some(whole) = bytes.checked_add(4)
            && buffer.len() >= whole
        {
            buffer.advance(4);
            return Ok(buffer.split_to(bytes).freeze());
        }
        buffer.reserve(READ_BYTES.max(buffer.len()));
        match stream.read_buf(buffer).await {
            Ok(0) if buffer.is_empty() => return Err("it closed the connection".into()),
            Ok(0) => return Err("it closed the connection within a message".into()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn frame_length(buffer: &[u8]) -> Result<Option<usize>, String> {
    let Some(length) = buffer.first_chunk() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(bytes) if (1..=FRAME_BYTES_MAX).contains(&bytes) => Ok(Some(bytes)),
        _ => Err(format!("a message of {length} bytes; it may have 1 to {FRAME_BYTES_MAX}")),
    }
}

async fn say(port: &ElectionPort, sid: Sid, stream: &Writing, wake: &Notify) -> String {
    let patience = port.shared.options.handshake;
    let mut is_first = true;
    loop {
        let Some(message) = port.next_message(sid, is_first) else {
            wake.notified().await;
            is_first = false;
            continue;
        };
        is_first = false;
        match tokio::time::timeout(patience, stream.write_all(&message)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return format!("it took no message within {patience:?}"),
        }
    }
}
