//! TLS on real sockets: who gets in, and that a connection behaves as a plain one does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use jute::records::Record;
use jute::records::proto::RequestHeader;
use jute::{OpCode, SessionId};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tokio_util::sync::CancellationToken;

use super::testing::{Server, Setup, ask, first_frame};
use super::tls_stream::TlsStream;
use super::{AcceptLimits, Acceptor, Descriptors, Secure, Security, bind};
use crate::revocation::Revocation;
use crate::runtime::client::Port;
use crate::tls::revocation::Asks;
use crate::tls::{ClientAuth, Current, testing};
use crate::zab::Serving;

const NO_LIMITS: AcceptLimits =
    AcceptLimits { per_address: 0, total: 0, keepalive: false, descriptors: Descriptors::at_most(u64::MAX) };
const LONG: Duration = Duration::from_secs(1000);

/// A server with a port that speaks TLS.
struct Secured {
    server: Server,
    secure: Arc<Secure>,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Secured {
    fn new(client_auth: ClientAuth, speaks_both: bool, handshakes_max: usize, sessionless: Duration) -> Self {
        Self::that_asks(Asks::Nobody, client_auth, speaks_both, handshakes_max, sessionless, false)
    }

    fn that_asks(
        asks: Asks,
        client_auth: ClientAuth,
        speaks_both: bool,
        handshakes_max: usize,
        sessionless: Duration,
        drops_early: bool,
    ) -> Self {
        let mut setup = Setup::default();
        setup.limits.sessionless = sessionless;
        setup.auth.x509_enabled = true;
        setup.options.acl.x509 = true;
        let server = Server::with(setup);
        server.clock.set_wall_ms(testing::NOW_MS);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let contexts = Current::new(testing::context_that_asks(client_auth, asks));
        let revocation = Revocation::new(server.clock.clone());
        let secure = Arc::new(Secure::new(contexts, handshakes_max, drops_early, revocation));
        let acceptor = Arc::new(Acceptor::new(server.shared.clone(), NO_LIMITS, CancellationToken::new()));
        let security =
            if speaks_both { Security::Either(secure.clone()) } else { Security::Tls(secure.clone()) };
        let address = runtime.block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into(), None).unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(acceptor.serve(listener, security));
            address
        });
        Self { server, secure, address, runtime: Some(runtime) }
    }

    fn needing_certificates() -> Self {
        Self::new(ClientAuth::Need, false, 100, LONG)
    }

    /// What a client does, while the server serves it.
    fn serve<T: Send>(&mut self, client: impl FnOnce(SocketAddr) -> T + Send) -> T {
        let address = self.address;
        std::thread::scope(|scope| {
            let client = scope.spawn(move || client(address));
            while !client.is_finished() {
                self.server.turn();
                std::thread::yield_now();
            }
            client.join().unwrap()
        })
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

fn plain(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn tls(address: SocketAddr, certificate: Option<&str>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(testing::client(certificate), name).unwrap(), plain(address))
}

fn send(stream: &mut impl Write, frame: &[u8]) -> std::io::Result<()> {
    stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes())?;
    stream.write_all(frame)
}

fn receive(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// Asks for a session; whether one is granted.
fn connects(stream: &mut (impl Read + Write)) -> bool {
    send(stream, &first_frame(SessionId::NONE).to_bytes()).and_then(|()| receive(stream)).is_ok()
}

fn request(xid: i32, (op, body): &(OpCode, Vec<u8>)) -> Vec<u8> {
    let mut frame = RequestHeader { xid, r#type: op.0 }.to_bytes();
    frame.extend(body);
    frame
}

/// Whether what was sent last was read, and then the end.
fn ends(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// ZOOKEEPER-3905: a session was granted although the certificate was not believed.
#[test]
fn a_client_is_known_by_its_certificate_and_no_other_gets_a_session() {
    let mut server = Secured::needing_certificates();
    let id = "CN=client,O=Oxkeeper\\, test,C=DE";
    let acl = vec![ask::acl(31, "x509", id)];
    let code = server.serve(|address| {
        let mut own = tls(address, Some("client.pem"));
        assert!(connects(&mut own));
        send(&mut own, &request(1, &ask::create_with("/own", b"", acl, 0))).unwrap();
        receive(&mut own).unwrap()[12..16].to_vec()
    });
    assert_eq!(code, [0; 4]);
    for (certificate, code) in [("client.pem", 0), ("rsa.pem", -102)] {
        let answered = server.serve(|address| {
            let mut other = tls(address, Some(certificate));
            assert!(connects(&mut other));
            send(&mut other, &request(1, &ask::get_data("/own", false))).unwrap();
            receive(&mut other).unwrap()[12..16].to_vec()
        });
        assert_eq!(answered, i32::to_be_bytes(code), "{certificate}");
    }
    for certificate in [None, Some("expired.pem"), Some("self.pem"), Some("server-only.pem")] {
        assert!(!server.serve(|address| connects(&mut tls(address, certificate))), "{certificate:?}");
    }
    while server.secure.failed() < 4 {
        std::thread::yield_now();
    }
    assert_eq!(server.server.shared.metrics.unsuccessful_handshake.value(), 4);
    assert_eq!(server.secure.handshakes(), 0, "none is left unfinished");
}

/// Its certificate names nobody who could be asked: what is not known is refused, and nothing is served meanwhile.
#[test]
fn a_client_whose_revocation_is_not_known_gets_no_session() {
    for asks in [Asks::Lists, Asks::ResponderThenLists] {
        let mut server = Secured::that_asks(asks, ClientAuth::Want, false, 100, LONG, false);
        assert!(!server.serve(|address| connects(&mut tls(address, Some("client.pem")))));
        while server.secure.failed() == 0 {
            std::thread::yield_now();
        }
        assert!(server.serve(|address| connects(&mut tls(address, None))), "about nothing nobody is asked");
    }
}

#[test]
fn large_answers_arrive_whole_at_a_client_that_reads_late() {
    let mut server = Secured::needing_certificates();
    let data = vec![7; 800_000];
    server.serve(|address| {
        let mut client = tls(address, Some("client.pem"));
        assert!(connects(&mut client));
        send(&mut client, &request(1, &ask::create("/large", &data))).unwrap();
        receive(&mut client).unwrap();
        for xid in 2..12 {
            send(&mut client, &request(xid, &ask::get_data("/large", false))).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        for xid in 2..12_i32 {
            let answer = receive(&mut client).unwrap();
            assert_eq!(answer[..4], xid.to_be_bytes());
            assert_eq!(answer[20..20 + data.len()], data);
        }
        send(&mut client, &request(12, &(OpCode::CLOSE_SESSION, Vec::new()))).unwrap();
        assert_eq!(receive(&mut client).unwrap()[..4], 12_i32.to_be_bytes());
        // The end is told (close_notify): rustls makes an error of a connection that is merely gone.
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn one_port_serves_both_when_it_is_asked_to() {
    let mut server = Secured::new(ClientAuth::Want, true, 100, LONG);
    assert!(server.serve(|address| connects(&mut plain(address))));
    assert!(server.serve(|address| connects(&mut tls(address, None))));
    assert!(server.serve(|address| connects(&mut tls(address, Some("client.pem")))));
}

#[test]
fn a_client_without_tls_is_closed_in_order() {
    let mut server = Secured::needing_certificates();
    server.serve(|address| {
        let mut client = plain(address);
        send(&mut client, &first_frame(SessionId::NONE).to_bytes()).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "an end, and no reset");
    });
    assert_eq!(server.secure.failed(), 1);
}

/// etcd GHSA-6vch-q96h-7gc3: a handshake had no deadline.
#[test]
fn who_does_not_go_on_with_a_handshake_is_closed() {
    let mut server = Secured::new(ClientAuth::Need, false, 100, Duration::from_millis(300));
    assert!(server.serve(|address| ends(&mut plain(address))), "nothing came");
    let begun = |address| {
        let mut client = plain(address);
        client.write_all(&[0x16, 3, 1, 0, 100, 1]).unwrap();
        ends(&mut client)
    };
    assert!(server.serve(begun), "a record begins and does not end");
    // The client sees its end a moment before the place is given back.
    for _ in 0..2000 {
        if server.secure.handshakes() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("its place is not given back");
}

#[test]
fn so_many_handshakes_are_unfinished_at_a_time() {
    let mut server = Secured::new(ClientAuth::Need, false, 1, LONG);
    let first = plain(server.address);
    while server.secure.handshakes() == 0 {
        std::thread::yield_now();
    }
    assert!(server.serve(|address| ends(&mut plain(address))));
    assert_eq!(server.server.shared.metrics.tls_handshake_exceeded.value(), 1);
    drop(first);
    while server.secure.handshakes() > 0 {
        std::thread::yield_now();
    }
    assert!(server.serve(|address| connects(&mut tls(address, Some("client.pem")))));
}

/// Reference: `netty.server.earlyDropSecureConnectionHandshakes`. Without it the handshake is served, and then nobody.
#[test]
fn who_comes_while_nobody_is_served_is_dropped_before_the_handshake_where_that_is_wanted() {
    for (drops_early, serves) in [(true, false), (true, true), (false, false)] {
        let mut server = Secured::that_asks(Asks::Nobody, ClientAuth::Need, false, 100, LONG, drops_early);
        let serving = if serves { Serving::Leading { epoch: 1 } } else { Serving::No };
        server.server.state().standing.set(serving);
        let shakes_hands = server.serve(|address| {
            let mut client = tls(address, Some("client.pem"));
            client.conn.complete_io(&mut client.sock).is_ok()
        });
        assert_eq!(shakes_hands, !drops_early || serves);
        let dropped = server.server.shared.metrics.cnxn_closed_without_zk_server_running.value();
        assert_eq!(dropped, u64::from(!shakes_hands));
    }
}

/// A client says that nothing more comes, and leaves its socket open.
#[test]
fn a_client_that_ends_its_side_in_order_is_gone() {
    let mut server = Secured::needing_certificates();
    server.serve(|address| {
        let mut client = tls(address, Some("client.pem"));
        assert!(connects(&mut client));
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
}

#[tokio::test]
async fn a_client_that_leaves_in_the_handshake_ends_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = TlsStream::new(stream, testing::context(ClientAuth::Need).connection().unwrap());
    (&client).write_all(&[0x16, 3, 1, 0, 100, 1]).unwrap();
    drop(client);
    let why = std::future::poll_fn(|cx| stream.poll_handshake(cx)).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::UnexpectedEof);
}

/// What comes before the handshake is done, and is none, ends the connection and nothing else.
#[test]
fn no_record_before_the_handshake_harms_the_server() {
    let mut server = Secured::needing_certificates();
    let records: [&[u8]; 7] = [
        &[0x16, 3, 1, 0, 100, 1],
        &[0x16, 3, 1, 0xFF, 0xFF],
        &[0x16, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF],
        &[0x16, 3, 3, 0, 0],
        &[0x16, 3, 1, 0, 5, 2, 0, 0, 1, 0],
        &[0x16; 20_000],
        &[0x16, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3],
    ];
    for record in records {
        server.serve(|address| {
            let mut client = plain(address);
            let _it_may_be_closed_already = client.write_all(record);
            let _ = client.shutdown(std::net::Shutdown::Write);
            while !ends(&mut client) {}
        });
    }
    assert!(server.serve(|address| connects(&mut tls(address, Some("client.pem")))));
}

#[test]
fn a_context_that_is_replaced_serves_new_connections_and_old_ones_live_on() {
    let mut server = Secured::needing_certificates();
    let mut old = tls(server.address, Some("client.pem"));
    old = server.serve(move |_| {
        assert!(connects(&mut old));
        old
    });
    server.secure.contexts.replace(testing::context(ClientAuth::None));
    assert!(server.serve(|address| connects(&mut tls(address, None))));
    server.serve(move |_| {
        send(&mut old, &request(-2, &(OpCode::PING, Vec::new()))).unwrap();
        receive(&mut old).unwrap();
    });
}

#[test]
fn clients_are_told_apart_by_their_port_and_not_by_what_they_speak_there() {
    for (speaks_both, port) in [(false, Port::SecureClient), (true, Port::Client)] {
        let mut server = Secured::new(ClientAuth::Need, speaks_both, 100, LONG);
        let mut client = tls(server.address, Some("client.pem"));
        client = server.serve(move |_| {
            assert!(connects(&mut client));
            client
        });
        let ports: Vec<_> = server.server.state().clients().iter().map(|client| client.port).collect();
        assert_eq!(ports, [port]);
        drop(client);
    }
}
