//! The bytes of one connection between a simulated client and the server.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use crate::net::transport::Stream;
use crate::runtime::client::Socket;

/// What a system buffers of what a client does not read.
const SOCKET_BYTES: usize = 16 << 10;

/// Both directions.
#[derive(Debug, Default)]
struct Bytes {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// The client went, or the server shut it down.
    is_down: bool,
}

/// One end; both share the bytes.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct SimStream {
    bytes: Arc<Mutex<Bytes>>,
}

impl SimStream {
    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap()
    }

    /// The client sends.
    pub(in crate::sim) fn send(&self, bytes: &[u8]) {
        self.bytes().to_server.extend_from_slice(bytes);
    }

    /// The client reads all there is.
    pub(in crate::sim) fn receive(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes().to_client)
    }

    /// Either side goes.
    pub(in crate::sim) fn close(&self) {
        self.bytes().is_down = true;
    }
}

impl Stream for SimStream {
    fn poll_read(&mut self, _cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<usize>> {
        let mut bytes = self.bytes();
        if bytes.to_server.is_empty() {
            return if bytes.is_down { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let count = bytes.to_server.len();
        buffer.append(&mut bytes.to_server);
        Poll::Ready(Ok(count))
    }

    fn try_write(&self, written: &[u8]) -> Result<usize> {
        let mut bytes = self.bytes();
        if bytes.is_down {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = SOCKET_BYTES.saturating_sub(bytes.to_client.len()).min(written.len());
        if room == 0 {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        bytes.to_client.extend_from_slice(&written[..room]);
        Ok(room)
    }

    fn poll_write_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Pending
    }

    fn has_unread(&self) -> bool {
        !self.bytes().to_server.is_empty()
    }
}

impl Socket for SimStream {
    fn write_now(&self, bytes: &[u8]) -> usize {
        self.try_write(bytes).unwrap_or(0)
    }

    fn shut_down(&self) {
        self.close();
    }
}
