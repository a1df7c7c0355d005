//! Who is let in, and for how long without a session: on real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use jute::SessionId;
use jute::records::Record;
use jute::records::proto::RequestHeader;
use tokio_util::sync::CancellationToken;

use super::testing::{Server, Setup, ask, first_frame};
use super::{AcceptLimits, Acceptor, Commands, Descriptors, Security, bind};
use crate::logging::testing::logged_by;
use crate::runtime::budget::Budget;
use crate::runtime::client::Port;

const NO_LIMITS: AcceptLimits =
    AcceptLimits { per_address: 0, total: 0, keepalive: false, descriptors: Descriptors::at_most(u64::MAX) };

/// A server that accepts connections.
struct Accepting {
    server: Server,
    address: SocketAddr,
    /// It serves for as long as this is there.
    runtime: Option<tokio::runtime::Runtime>,
    acceptor: Arc<Acceptor>,
    stop: CancellationToken,
}

impl Accepting {
    fn new(limits: AcceptLimits, sessionless: Duration) -> Self {
        let mut setup = Setup::default();
        setup.limits.sessionless = sessionless;
        Self::with(limits, setup)
    }

    fn with(limits: AcceptLimits, setup: Setup) -> Self {
        let server = Server::with(setup);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let acceptor = Arc::new(Acceptor::new(server.shared.clone(), limits, stop.clone()));
        let address = runtime.block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into(), None).unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(acceptor.clone().serve(listener, Security::Plain));
            address
        });
        Self { server, address, runtime: Some(runtime), acceptor, stop }
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

    /// What comes of a question that has nothing to do with sessions.
    fn ask_word(&self, word: &[u8]) -> Vec<u8> {
        let mut stream = self.dial();
        stream.write_all(word).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
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

/// Consul CVE-2020-7219: one client could hold any number of connections.
#[test]
fn one_address_has_so_many_connections_and_another_when_one_has_gone() {
    let mut server = Accepting::new(AcceptLimits { per_address: 2, ..NO_LIMITS }, LONG);
    let first = server.connect().unwrap();
    let _second = server.connect().unwrap();
    assert!(server.connect().is_none(), "the third");
    assert_eq!(server.server.shared.metrics.connection_rejected.value(), 1);
    drop(first);
    let _again = loop {
        if let Some(again) = server.connect() {
            break again;
        }
    };
    assert!(server.connect().is_none(), "the third again");
}

#[test]
fn the_server_has_so_many_connections() {
    let mut server = Accepting::new(AcceptLimits { total: 1, ..NO_LIMITS }, LONG);
    let _first = server.connect().unwrap();
    assert!(server.connect().is_none(), "the second");
}

/// Consul CVE-2020-7219: connections that say nothing stayed.
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

#[test]
fn connections_that_end_are_counted() {
    let mut server = Accepting::new(NO_LIMITS, LONG);
    let dropped = server.server.shared.metrics.clone();
    let client = server.connect().unwrap();
    assert_eq!(dropped.connection_drop_count.value(), 0);
    drop(client);
    while dropped.connection_drop_count.value() == 0 {
        std::thread::yield_now();
    }
    assert_eq!((dropped.connection_drop_count.value(), server.server.state().client_count()), (1, 0));
}

#[test]
fn a_process_that_has_few_files_left_lets_nobody_in() {
    let descriptors = Descriptors::at_most(1);
    let mut server = Accepting::new(AcceptLimits { descriptors, ..NO_LIMITS }, LONG);
    assert!(server.connect().is_none());
    assert_eq!(server.server.shared.metrics.connection_rejected.value(), 1);
}

/// Echoes what follows the word, and talks at length.
struct Words;

impl Commands for Words {
    fn is_word(&self, word: [u8; 4]) -> bool {
        matches!(&word, b"echo" | b"long")
    }
    fn extra_bytes(&self, word: [u8; 4]) -> usize {
        if word == *b"echo" { 3 } else { 0 }
    }
    fn is_heavy(&self, word: [u8; 4]) -> bool {
        word == *b"long"
    }
    fn answer(&self, _: Port, word: [u8; 4], extra: &[u8], send: &mut dyn FnMut(Vec<u8>) -> bool) {
        if word == *b"echo" {
            send(extra.to_vec());
        } else {
            for _ in 0..3 {
                send(vec![b'x'; 10_000]);
            }
        }
    }
}

#[test]
fn a_word_is_answered_whole_and_ends_its_connection() {
    let setup = Setup { commands: Arc::new(Words), ..Setup::default() };
    let server = Accepting::with(NO_LIMITS, setup);
    assert_eq!(server.ask_word(b"echoabc"), b"abc");
    server.wait_for_clients(0);
    let stats = &server.server.state().stats;
    assert_eq!((stats.received(), stats.sent()), (1, 1));
    assert_eq!(server.ask_word(b"long"), vec![b'x'; 30_000]);
    server.wait_for_clients(0);
    assert_eq!((stats.received(), stats.sent()), (2, 5), "in packets of 8 KiB, as the reference sends them");
    assert_eq!(server.server.shared.metrics.bytes_received_count.value(), 8);
}

#[test]
fn a_word_waits_for_its_argument_as_long_as_for_a_session() {
    let mut setup = Setup { commands: Arc::new(Words), ..Setup::default() };
    setup.limits.sessionless = Duration::from_millis(300);
    let server = Accepting::with(NO_LIMITS, setup);
    let mut slow = server.dial();
    slow.write_all(b"echoab").unwrap();
    assert!(is_closed(&mut slow));
    let mut gone = server.dial();
    gone.write_all(b"echo").unwrap();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_closed(&mut gone));
    server.wait_for_clients(0);
}

/// A write that finds the server with as much as it may hold waits for 10 s, not for ever and not for a moment.
#[test]
fn a_connection_whose_request_finds_no_memory_waits_and_is_then_closed() {
    const BUDGET: usize = 100_000;
    let setup = Setup { budget: Budget::new(BUDGET, None), ..Setup::default() };
    let mut server = Accepting::with(NO_LIMITS, setup);
    let mut client = server.connect().unwrap();
    let (op, body) = ask::create("/a", &[0; 20_000]);
    let frame = [RequestHeader { xid: 1, r#type: op.0 }.to_bytes(), body].concat();
    let frame = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
    // Once it waits only until there is memory again.
    server.server.state().budget.hold(BUDGET as i64);
    client.write_all(&frame).unwrap();
    for _ in 0..9 {
        std::thread::sleep(Duration::from_millis(30));
        server.server.clock.advance_us(1_000_000);
        server.server.turn();
    }
    server.server.state().budget.hold(-(BUDGET as i64));
    while !server.server.has("/a") {
        server.server.turn();
        std::thread::yield_now();
    }
    let mut reply = [0; 26];
    client.read_exact(&mut reply).unwrap();
    server.server.state().budget.hold(BUDGET as i64);
    client.write_all(&frame).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut passed_s = 0;
    loop {
        match client.read(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => break,
        }
        // Sessions expire after 30 s: it is closed before.
        assert!(passed_s < 25, "it waits for ever");
        passed_s += 1;
        server.server.clock.advance_us(1_000_000);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(passed_s > 9, "after {passed_s} s");
    server.wait_for_clients(0);
    assert_eq!(server.server.state().sessions().ids().len(), 1, "its session is still there");
}

#[test]
fn a_server_that_stops_ends_its_connections_and_waits_for_them_only() {
    let mut server = Accepting::new(NO_LIMITS, LONG);
    let mut client = server.connect().unwrap();
    let acceptor = server.acceptor.clone();
    let runtime = server.runtime.as_ref().unwrap();
    let mut drained = Box::pin(acceptor.drain(LONG));
    let is_over = runtime
        .block_on(std::future::poll_fn(|cx| std::task::Poll::Ready(drained.as_mut().poll(cx).is_ready())));
    assert!(!is_over, "nobody told the connection to end");
    server.stop.cancel();
    runtime.block_on(drained);
    // What it was sent may still come, then the end.
    while !is_closed(&mut client) {}
    assert_eq!(server.server.state().client_count(), 0);
    assert_eq!(server.server.shared.metrics.connection_drop_count.value(), 0, "no client's doing");
}

#[test]
fn a_server_that_stops_tells_of_connections_that_did_not_end_and_of_no_others() {
    let mut server = Accepting::new(NO_LIMITS, LONG);
    let _client = server.connect().unwrap();
    let runtime = server.runtime.as_ref().unwrap();
    let told = |patience| logged_by(|| runtime.block_on(server.acceptor.drain(patience))).0;
    let lines = told(Duration::from_millis(20));
    assert!(lines.contains("1 connections did not end within 20ms"), "{lines}");
    server.stop.cancel();
    assert_eq!(told(LONG), "");
}

#[test]
fn of_an_address_whose_connections_have_gone_nothing_is_kept() {
    let mut server = Accepting::new(AcceptLimits { per_address: 9, ..NO_LIMITS }, LONG);
    let (_first, _second) = (server.connect().unwrap(), server.connect().unwrap());
    assert_eq!(server.acceptor.addresses(), 1);
    server.stop.cancel();
    server.runtime.as_ref().unwrap().block_on(server.acceptor.drain(LONG));
    assert_eq!(server.acceptor.addresses(), 0);
}

/// A server that starts again gets its port, though connections of the earlier one linger.
/// The timer that Linux shows for the server's end of each connection: 2 is that of SO_KEEPALIVE.
#[test]
fn connections_are_kept_alive_where_that_is_asked_for() {
    for keepalive in [false, true] {
        let mut server = Accepting::new(AcceptLimits { keepalive, ..NO_LIMITS }, LONG);
        let client = server.connect().unwrap();
        let end = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
        let ends = format!("{} {}", end(server.address), end(client.local_addr().unwrap()));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let row = table.lines().find(|row| row.contains(&ends)).unwrap();
        let timer = row.split_whitespace().nth(5).unwrap();
        assert_eq!(timer.starts_with("02:"), keepalive, "{row}");
    }
}

#[test]
fn a_port_is_taken_over_from_connections_that_linger() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = bind(([127, 0, 0, 1], 0).into(), None).unwrap();
        assert!(rustix::net::sockopt::socket_reuseaddr(&listener).unwrap());
        let taken = listener.local_addr().unwrap();
        assert_eq!(bind(taken, Some(1)).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}
