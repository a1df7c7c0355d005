//! The bytes of a connection, whatever carries them. Plain sockets so far; TLS is to be another variant, which
//! cannot be written to from other threads.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, Shutdown};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;

use crate::runtime::client::Socket;

/// A stream of bytes that never blocks.
pub trait Stream {
    /// Appends what came; 0 says that the client closed its side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Writes what it takes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now; any other error is its end.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until it takes more.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether there are bytes that came and were not read.
    fn has_unread(&self) -> bool;
}

/// What carries a connection.
#[derive(Debug)]
pub(super) enum Transport {
    /// A TCP connection.
    Plain {
        /// Where bytes come from.
        reader: OwnedReadHalf,
        /// Where they go; the writer thread writes here too.
        writer: Arc<OwnedWriteHalf>,
    },
}

impl Transport {
    pub(super) fn plain(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self::Plain { reader, writer: Arc::new(writer) }
    }

    /// The socket as other threads may use it; it goes when the connection goes.
    pub(super) fn direct(&self) -> Arc<dyn Socket> {
        let Self::Plain { writer, .. } = self;
        Arc::new(DirectSocket(Arc::downgrade(writer)))
    }

    /// Ends the stream in order. What the client sent and nobody reads is drained first: closing over it
    /// would reset the connection, and with it the replies on their way.
    pub(super) fn hang_up(&self) -> io::Result<()> {
        let Self::Plain { reader, .. } = self;
        let mut scrap = [0; 4096];
        for _ in 0..64 {
            if !reader.try_read(&mut scrap).is_ok_and(|count| count > 0) {
                break;
            }
        }
        Ok(rustix::net::shutdown(reader.as_ref(), Shutdown::Both)?)
    }
}

impl Stream for Transport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let Self::Plain { reader, .. } = self;
        poll_read_buf(Pin::new(reader), cx, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Plain { writer, .. } = self;
        writer.try_write(bytes)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Plain { writer, .. } = self;
        writer.as_ref().as_ref().poll_write_ready(cx)
    }

    fn has_unread(&self) -> bool {
        let Self::Plain { reader, .. } = self;
        let mut byte = [0_u8];
        let peeked = rustix::net::recv(reader.as_ref(), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked.is_ok_and(|(count, _)| count > 0)
    }
}

/// A socket as the writer thread may use it.
#[derive(Debug)]
struct DirectSocket(Weak<OwnedWriteHalf>);

impl Socket for DirectSocket {
    fn write_now(&self, bytes: &[u8]) -> usize {
        // An error shows again when the connection itself writes or reads.
        self.0.upgrade().and_then(|writer| writer.try_write(bytes).ok()).unwrap_or(0)
    }

    fn shut_down(&self) {
        if let Some(writer) = self.0.upgrade()
            && let Err(error) = rustix::net::shutdown(writer.as_ref().as_ref(), Shutdown::Both)
        {
            tracing::trace!(%error, "client was gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};

    use super::*;

    /// Both ends of a connection.
    async fn connected() -> (Transport, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (Transport::plain(accepted), client)
    }

    async fn wait_for_unread(transport: &Transport) {
        while !transport.has_unread() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_what_is_unread_is_known() {
        let (mut transport, mut client) = connected().await;
        assert!(!transport.has_unread());
        client.write_all(b"asked").unwrap();
        wait_for_unread(&transport).await;
        assert!(transport.has_unread(), "looking does not take it");
        let mut buffer = Vec::with_capacity(100);
        assert_eq!(poll_fn(|cx| transport.poll_read(cx, &mut buffer)).await.unwrap(), 5);
        assert_eq!((buffer.as_slice(), transport.has_unread()), (&b"asked"[..], false));
        poll_fn(|cx| transport.poll_write_ready(cx)).await.unwrap();
        assert_eq!(transport.try_write(b"answered").unwrap(), 8);
        let direct = transport.direct();
        assert_eq!(direct.write_now(b" by both"), 8);
        let mut answer = [0; 16];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answered by both");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(poll_fn(|cx| transport.poll_read(cx, &mut buffer)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_can_be_shut_down_by_others_until_it_is_gone() {
        let (transport, mut client) = connected().await;
        let direct = transport.direct();
        direct.shut_down();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        drop(transport);
        assert_eq!(direct.write_now(b"late"), 0);
        direct.shut_down();
    }

    /// Closing over what nobody reads would reset the connection, and the last replies with it.
    #[tokio::test]
    async fn what_a_client_sends_too_late_does_not_cost_it_the_last_reply() {
        let (transport, mut client) = connected().await;
        client.write_all(&[7; 10_000]).unwrap();
        wait_for_unread(&transport).await;
        transport.try_write(b"goodbye").unwrap();
        transport.hang_up().unwrap();
        drop(transport);
        let mut last = Vec::new();
        client.read_to_end(&mut last).unwrap();
        assert_eq!(last, b"goodbye");
    }
}
