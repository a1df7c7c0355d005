//! A TLS connection as a [`Stream`]: rustls between the loop and a socket. Only the connection's own task writes to it.

use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::transport::{Stream, hang_up, has_unread};
use crate::tls::ServerConnection;

/// The server's end of a TLS connection.
#[derive(Debug)]
pub(super) struct TlsStream {
    reader: OwnedReadHalf,
    writer: Arc<OwnedWriteHalf>,
    tls: ServerConnection,
    /// Decrypted bytes that nobody has taken.
    unread: usize,
}

impl TlsStream {
    pub(super) fn new(stream: TcpStream, tls: ServerConnection) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer: Arc::new(writer), tls, unread: 0 }
    }

    pub(super) const fn connection(&self) -> &ServerConnection {
        &self.tls
    }

    pub(super) const fn writer(&self) -> &Arc<OwnedWriteHalf> {
        &self.writer
    }

    /// Goes on with the handshake until it is done.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Ends the stream in order: the client learns that nothing more comes.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        let told = self.flush();
        hang_up(&self.reader)?;
        told.map(drop)
    }

    /// Takes what came, and decrypts it; 0 says that the client closed its side.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let came = match self.tls.read_tls(&mut Incoming { reader: &mut self.reader, cx }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            came => came?,
        };
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.unread = state.plaintext_bytes_to_read();
                // An answer that does not fit now goes out with the next bytes.
                self.flush()?;
                Poll::Ready(Ok(came))
            }
            Err(error) => {
                // The client is told why, if it still reads.
                let _it_may_be_gone = self.flush();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    /// Writes what is encrypted; false when the socket takes no more now.
    fn flush(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outgoing(&self.writer)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Stream for TlsStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        loop {
            if self.unread > 0 {
                let room = (buffer.capacity().saturating_sub(buffer.len())).max(1);
                let mut taken = 0;
                let mut plain = self.tls.reader();
                while taken < room && taken < self.unread {
                    let chunk = plain.fill_buf()?;
                    let count = chunk.len().min(room.saturating_sub(taken));
                    buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    plain.consume(count);
                    taken = taken.saturating_add(count);
                }
                self.unread = self.unread.saturating_sub(taken);
                return Poll::Ready(Ok(taken));
            }
            // Nor does rustls take in more once the client has said that nothing comes.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
    }

    /// Takes as much as rustls holds back at most; nothing while the socket has not taken what was encrypted before.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.tls.writer().write(bytes)?;
        self.flush()?;
        Ok(count)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.flush()? {
            ready!(self.writer.as_ref().as_ref().poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn has_unread(&self) -> bool {
        self.unread > 0 || has_unread(&self.reader)
    }
}

/// The socket as rustls reads it.
struct Incoming<'a, 'b> {
    reader: &'a mut OwnedReadHalf,
    cx: &'a mut Context<'b>,
}

impl Read for Incoming<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.reader).poll_read(self.cx, &mut buffer) {
            Poll::Ready(done) => done.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The socket as rustls writes to it.
struct Outgoing<'a>(&'a OwnedWriteHalf);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, StreamOwned};
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::{ClientAuth, testing};

    /// A client sends a record, and another one byte by byte when it is told to.
    #[tokio::test]
    async fn a_record_is_read_in_as_many_parts_as_the_reader_has_room_for_and_what_is_left_is_known() {
        const BYTES: usize = 100;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go_on, told) = mpsc::channel();
        let client = std::thread::spawn(move || {
            let name = ServerName::try_from("localhost").unwrap();
            let client = ClientConnection::new(testing::client(None), name).unwrap();
            let mut client = StreamOwned::new(client, std::net::TcpStream::connect(address).unwrap());
            client.write_all(&[7; BYTES]).unwrap();
            told.recv().unwrap();
            let mut records = Vec::new();
            client.conn.writer().write_all(&[8; BYTES]).unwrap();
            client.conn.send_close_notify();
            while client.conn.wants_write() {
                client.conn.write_tls(&mut records).unwrap();
            }
            client.sock.set_nodelay(true).unwrap();
            for byte in records {
                client.sock.write_all(&[byte]).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            client
        });
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsStream::new(stream, testing::context(ClientAuth::None).connection().unwrap());
        poll_fn(|cx| stream.poll_handshake(cx)).await.unwrap();
        let mut came = Vec::new();
        while came.len() < BYTES {
            // The last one is of one byte.
            let mut part = Vec::with_capacity(33);
            let room = part.capacity();
            let count = poll_fn(|cx| stream.poll_read(cx, &mut part)).await.unwrap();
            assert!(count == part.len() && count <= room, "{count} bytes, and {} in the buffer", part.len());
            came.append(&mut part);
            assert_eq!(stream.has_unread(), came.len() < BYTES);
        }
        assert_eq!(came, [7; BYTES]);
        go_on.send(()).unwrap();
        // It may take a moment from one end to the other.
        for _ in 0..2000 {
            if stream.has_unread() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(stream.has_unread(), "the system holds it");
        while poll_fn(|cx| stream.poll_read(cx, &mut came)).await.unwrap() > 0 {}
        assert_eq!(came[BYTES..], [8; BYTES]);
        assert_eq!(poll_fn(|cx| stream.poll_read(cx, &mut came)).await.unwrap(), 0, "the end stays the end");
        drop(client.join().unwrap());
    }
}
