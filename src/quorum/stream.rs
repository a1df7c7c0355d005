//! A connection to another server: plain, or TLS, which is one task's alone.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio_rustls::TlsStream;

/// The whole of it.
pub(super) enum PeerStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How it is spoken, for log lines.
impl fmt::Display for PeerStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Tls(stream) = self else { return out.write_str("plain text") };
        match stream.get_ref().1.protocol_version() {
            Some(version) => write!(out, "{version:?}"),
            None => out.write_str("TLS"),
        }
    }
}

impl PeerStream {
    /// The connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// What is read, and what is written.
    pub(super) fn into_split(self) -> (Reading, Writing) {
        match self {
            Self::Plain(stream) => {
                let (reading, writing) = stream.into_split();
                (Reading::Plain(reading), Writing::Plain(writing))
            }
            Self::Tls(stream) => {
                let (reading, writing) = tokio::io::split(*stream);
                (Reading::Tls(reading), Writing::Tls(Mutex::new(writing)))
            }
        }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => cut_off(Pin::new(stream).poll_read(cx, buffer)),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// An end without the words of TLS for it is an end as well: packets tell by themselves whether they are whole.
fn cut_off(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => read,
    }
}

/// The half that is read.
pub(super) enum Reading {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => cut_off(Pin::new(stream).poll_read(cx, buffer)),
        }
    }
}

/// The half that is written. The lock is the task's, which alone writes TLS.
pub(super) enum Writing {
    Plain(OwnedWriteHalf),
    Tls(Mutex<WriteHalf<TlsStream<TcpStream>>>),
}

impl Writing {
    /// Whether somebody else than the connection's task may write, while that does not.
    pub(super) const fn is_direct(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Writes what the socket takes at once.
    ///
    /// # Errors
    /// It takes nothing now, or the connection has ended.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes all of it: when this ends, the socket has taken it.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> Result<(), String> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => {
                let mut stream = stream.lock().await;
                stream.write_all(bytes).await.map_err(|error| error.to_string())?;
                return stream.flush().await.map_err(|error| error.to_string());
            }
        };
        while !bytes.is_empty() {
            stream.writable().await.map_err(|error| error.to_string())?;
            match stream.try_write(bytes) {
                Ok(0) => return Err("it takes no more bytes".to_owned()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
