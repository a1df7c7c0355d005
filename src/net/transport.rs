//! The bytes of a connection, whatever carries them: a plain socket, or TLS over one, which cannot be written to
//! from other threads.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, Shutdown};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;

use super::tls_stream::TlsStream;
use crate::runtime::client::Socket;

/// A stream of bytes that never blocks.
pub trait Stream {
    /// Appends what came; 0 says that the client closed its side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Writes what it takes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now; any other error is its end.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until it takes more.
    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until what it took is on its way. Only streams that hold something back have to wait.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

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
    /// TLS over one; in a box, so that plain connections do not carry its size.
    Tls(Box<TlsStream>),
}

impl Transport {
    pub(super) fn plain(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self::Plain { reader, writer: Arc::new(writer) }
    }

    /// The socket as other threads may use it; it goes when the connection goes.
    pub(super) fn direct(&self) -> Arc<dyn Socket> {
        match self {
            Self::Plain { writer, .. } => Arc::new(DirectSocket(Arc::downgrade(writer))),
            Self::Tls(tls) => Arc::new(GuardedSocket(Arc::downgrade(tls.writer()))),
        }
    }

    /// Ends the stream in order. What the client sent and nobody reads is drained first: closing over it
    /// would reset the connection, and with it the replies on their way.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        match self {
            Self::Plain { reader, .. } => hang_up(reader),
            Self::Tls(tls) => tls.hang_up(),
        }
    }
}

pub(super) fn hang_up(reader: &OwnedReadHalf) -> io::Result<()> {
    let mut scrap = [0; 4096];
    for _ in 0..64 {
        if !reader.try_read(&mut scrap).is_ok_and(|count| count > 0) {
            break;
        }
    }
    Ok(rustix::net::shutdown(reader.as_ref(), Shutdown::Both)?)
}

/// Whether the system holds bytes that came.
pub(super) fn has_unread(reader: &OwnedReadHalf) -> bool {
    let mut byte = [0_u8];
    let peeked = rustix::net::recv(reader.as_ref(), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.is_ok_and(|(count, _)| count > 0)
}

impl Stream for Transport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain { reader, .. } => poll_read_buf(Pin::new(reader), cx, buffer),
            Self::Tls(tls) => tls.poll_read(cx, buffer),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain { writer, .. } => writer.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain { writer, .. } => writer.as_ref().as_ref().poll_write_ready(cx),
            Self::Tls(tls) => tls.poll_write_ready(cx),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain { .. } => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn has_unread(&self) -> bool {
        match self {
            Self::Plain { reader, .. } => has_unread(reader),
            Self::Tls(tls) => tls.has_unread(),
        }
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
        shut_down(&self.0);
    }
}

/// A socket whose bytes are encrypted by the connection's own task: others can end it, and nothing else.
#[derive(Debug)]
struct GuardedSocket(Weak<OwnedWriteHalf>);

impl Socket for GuardedSocket {
    fn write_now(&self, _bytes: &[u8]) -> usize {
        0
    }

    fn shut_down(&self) {
        shut_down(&self.0);
    }
}

fn shut_down(writer: &Weak<OwnedWriteHalf>) {
    if let Some(writer) = writer.upgrade()
        && let Err(error) = rustix::net::shutdown(writer.as_ref().as_ref(), Shutdown::Both)
    {
        tracing::trace!(%error, "client was gone already");
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
        let (mut transport, mut client) = connected().await;
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
