//! A connection over a stream that holds back what it takes, as TLS does.

use std::io::{ErrorKind, Result};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use jute::SessionId;
use jute::records::Record;
use jute::write;

use super::protocol::{End, Protocol};
use super::pump::{Pause, Pump};
use super::testing::{Server, first_frame};
use super::transport::Stream;
use crate::runtime::Client;
use crate::runtime::outbox::Closing;

/// What is on its way, and what is not.
#[derive(Default)]
struct Bytes {
    to_server: Vec<u8>,
    held: Vec<u8>,
    sent: Vec<u8>,
    /// The socket takes nothing now.
    is_stuck: bool,
    /// It never will again.
    is_broken: bool,
}

#[derive(Clone, Default)]
struct HoldingBack(Arc<Mutex<Bytes>>);

impl Stream for HoldingBack {
    fn poll_read(&mut self, _cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<usize>> {
        let came = std::mem::take(&mut self.0.lock().unwrap().to_server);
        buffer.extend_from_slice(&came);
        if came.is_empty() { Poll::Pending } else { Poll::Ready(Ok(came.len())) }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut stream = self.0.lock().unwrap();
        if stream.is_broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if stream.is_stuck {
            return Err(ErrorKind::WouldBlock.into());
        }
        stream.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn poll_write_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.0.lock().unwrap().is_stuck { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Bytes { held, sent, is_stuck, .. } = &mut *self.0.lock().unwrap();
        if *is_stuck {
            return Poll::Pending;
        }
        sent.append(held);
        Poll::Ready(Ok(()))
    }

    fn has_unread(&self) -> bool {
        !self.0.lock().unwrap().to_server.is_empty()
    }
}

/// A connection that has been granted a session; its task has run until it would wait.
fn connected() -> (Server, Arc<Client>, HoldingBack, Pump<HoldingBack>) {
    let mut server = Server::new();
    let client = Arc::new(Client::new(1, ([127, 0, 0, 1], 1024).into(), 0));
    server.state().register(client.clone());
    let stream = HoldingBack::default();
    let mut pump = Pump::new(Protocol::new(server.shared.clone(), client.clone()), stream.clone());
    write::buffer(&mut stream.0.lock().unwrap().to_server, Some(&first_frame(SessionId::NONE).to_bytes()));
    assert!(poll(&mut pump).is_none());
    server.turn();
    assert!(poll(&mut pump).is_none());
    (server, client, stream, pump)
}

/// What the connection has come to; nothing while it waits.
fn poll(pump: &mut Pump<HoldingBack>) -> Option<Pause> {
    match polled(pump) {
        Poll::Pending => None,
        Poll::Ready(came) => Some(came.expect("nothing fails")),
    }
}

fn polled(pump: &mut Pump<HoldingBack>) -> Poll<std::result::Result<Pause, End>> {
    pump.poll_until(&mut Context::from_waker(Waker::noop()), &|_| false)
}

#[test]
fn what_is_answered_is_on_its_way_before_the_connection_waits() {
    let (_server, _client, stream, _pump) = connected();
    let stream = stream.0.lock().unwrap();
    assert!(!stream.sent.is_empty() && stream.held.is_empty());
}

#[test]
fn a_connection_that_ends_after_its_replies_waits_until_they_are_on_their_way() {
    let (_server, client, stream, mut pump) = connected();
    stream.0.lock().unwrap().is_stuck = true;
    client.close(Closing::AfterReplies);
    assert_eq!(poll(&mut pump), None);
    stream.0.lock().unwrap().is_stuck = false;
    assert_eq!(poll(&mut pump), Some(Pause::Ended));
}

/// Its session went elsewhere: a client that reads nothing must not keep it here.
#[test]
fn a_connection_that_is_ended_at_once_waits_for_no_stream() {
    let (_server, client, stream, mut pump) = connected();
    client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
    stream.0.lock().unwrap().is_stuck = true;
    assert_eq!(poll(&mut pump), None);
    assert_eq!(pump.unsent(), 5);
    client.close(Closing::Now);
    assert_eq!(poll(&mut pump), Some(Pause::Ended));
}

#[test]
fn a_stream_that_breaks_ends_its_connection() {
    let (_server, client, stream, mut pump) = connected();
    client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
    let broken = Bytes { is_stuck: true, is_broken: true, ..Bytes::default() };
    *stream.0.lock().unwrap() = broken;
    let came = polled(&mut pump);
    assert!(matches!(&came, Poll::Ready(Err(End::Failed(error))) if error.kind() == ErrorKind::BrokenPipe));
}
