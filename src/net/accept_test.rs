//! Who is let in, and for how long without a session: on real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use jute::SessionId;
use jute::records::Record;
use tokio_util::sync::CancellationToken;

use super::testing::{Server, Setup, first_frame};
use super::{AcceptLimits, Acceptor, Descriptors, bind};

const NO_LIMITS: AcceptLimits =
    AcceptLimits { per_address: 0, total: 0, keepalive: false, descriptors: Descriptors::at_most(u64::MAX) };

/// A server that accepts connections.
struct Accepting {
    server: Server,
    address: SocketAddr,
    /// It serves for as long as this is there.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Accepting {
    fn new(limits: AcceptLimits, sessionless: Duration) -> Self {
        let mut setup = Setup::default();
        setup.limits.sessionless = sessionless;
        let server = Server::with(setup);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let acceptor = Acceptor::new(server.shared.clone(), limits, CancellationToken::new());
        let address = runtime.block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into(), None).unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(Arc::new(acceptor).serve(listener));
            address
        });
        Self { server, address, runtime: Some(runtime) }
    }

    /// A connection, whether it is let in or not.
    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// A client with a session; None when it is not let in.
    fn connect(&mut self) -> Option<TcpStream> {
        let mut stream = self.dial();
        let frame = first_frame(SessionId::NONE).to_bytes();
        stream.write_all(&(frame.len() as u32).to_be_bytes()).and_then(|()| stream.write_all(&frame)).ok()?;
        stream.set_nonblocking(true).unwrap();
        let answered = loop {
            self.server.turn();
            match stream.read(&mut [0; 100]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                came => break came,
            }
        };
        stream.set_nonblocking(false).unwrap();
        answered.is_ok_and(|bytes| bytes > 0).then_some(stream)
    }

    fn wait_for_clients(&self, count: usize) {
        while self.server.state().client_count() != count {
            std::thread::yield_now();
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

/// Whether the server closed the connection; waits for it to do so.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

const LONG: Duration = Duration::from_secs(1000);

#[test]
fn one_address_has_so_many_connections_and_another_when_one_has_gone() {
    let mut server = Accepting::new(AcceptLimits { per_address: 2, ..NO_LIMITS }, LONG);
    let first = server.connect().unwrap();
    let _second = server.connect().unwrap();
    assert!(server.connect().is_none(), "the third");
    assert_eq!(server.server.shared.metrics.connection_rejected.value(), 1);
    drop(first);
    while server.connect().is_none() {}
}

#[test]
fn the_server_has_so_many_connections() {
    let mut server = Accepting::new(AcceptLimits { total: 1, ..NO_LIMITS }, LONG);
    let _first = server.connect().unwrap();
    assert!(server.connect().is_none(), "the second");
}

#[test]
fn a_connection_that_asks_for_no_session_is_closed_and_one_that_has_a_session_stays() {
    let mut server = Accepting::new(NO_LIMITS, Duration::from_millis(300));
    let mut silent = server.dial();
    assert!(is_closed(&mut silent));
    assert_eq!(server.server.shared.metrics.sessionless_connections_expired.value(), 1);
    let _client = server.connect().unwrap();
    let mut stammering = server.dial();
    stammering.write_all(&[0, 0, 0]).unwrap();
    assert!(is_closed(&mut stammering));
    server.wait_for_clients(1);
}
