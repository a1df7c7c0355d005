//! Packets of the quorum port as they come off a connection.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::zab::Packet;

/// Bytes of one read, at least.
const READ_BYTES: usize = 16 << 10;

/// A connection, front to back.
pub(super) struct Packets<R> {
    stream: R,
    buffer: BytesMut,
    data_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Packets<R> {
    /// Reads from here. Larger data than this is refused, before its bytes have come.
    pub(super) fn new(stream: R, data_bytes_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), data_bytes_max }
    }

    /// The next packet and how many bytes it had.
    ///
    /// # Errors
    /// The connection has ended, or something came that is no packet: nothing after it counts.
    pub(super) async fn next(&mut self) -> Result<(Packet, usize), String> {
        loop {
            let length = Packet::length(&self.buffer, self.data_bytes_max);
            if let Some(length) = length.map_err(|bad| bad.to_string())? {
                let bytes = self.buffer.split_to(length).freeze();
                return Ok((Packet::decode(&bytes).map_err(|bad| bad.to_string())?, length));
            }
            self.read().await?;
        }
    }

    /// Whether the next packet, or what cannot be one, is here already.
    pub(super) fn has_next(&self) -> bool {
        !matches!(Packet::length(&self.buffer, self.data_bytes_max), Ok(None))
    }

    /// Some bytes of what is no packet: what waits here, or what comes next.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn raw(&mut self) -> Result<Bytes, String> {
        if self.buffer.is_empty() {
            self.read().await?;
        }
        Ok(self.buffer.split().freeze())
    }

    /// Gives back bytes that belong to the next packet after all.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        let behind = std::mem::take(&mut self.buffer);
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(&behind);
    }

    async fn read(&mut self) -> Result<(), String> {
        // What has come decides how much room there is, not what a length claims.
        self.buffer.reserve(READ_BYTES.max(self.buffer.len()));
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) if self.buffer.is_empty() => Err("it closed the connection".into()),
            Ok(0) => Err("it closed the connection within a packet".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
