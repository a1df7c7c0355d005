//! The Prometheus endpoint: answers `GET /metrics` and nothing else.
//!
//! Hand-made, because one request of one kind needs no framework. A request has 8 KiB and 2 seconds, its
//! answer 10 seconds, and 32 connections may be open. One more closes another: the oldest of the address
//! that has most, so that clients who stall keep nobody else from the figures.
//! Reference: `PrometheusMetricsProvider`, which serves the same path from Jetty.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use crate::metrics::prometheus::Exporter;

const REQUEST_BYTES_MAX: usize = 8192;
const CONNECTIONS_MAX: usize = 32;
/// Answers that are made at a time; each walks all metrics.
const RENDERED_AT_ONCE: usize = 2;
/// Pause when the system gives no connection: it has no descriptors, most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// To send its request.
    request: Duration,
    /// To take the answer, from when it is asked for.
    answer: Duration,
}

const PATIENCE: Patience = Patience { request: Duration::from_secs(2), answer: Duration::from_secs(10) };

/// Listens on `metricsProvider.httpHost` and `httpPort`.
///
/// Errors: the host cannot be resolved or the port is taken; the reference does not start then.
pub async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).await
}

/// Answers scrapes until the future is dropped. `now_ms` is the monotonic clock the exporter wants.
pub async fn serve(
    listener: TcpListener,
    exporter: Arc<Exporter>,
    now_ms: impl Fn() -> u64 + Send + Sync + 'static,
) {
    serve_within(PATIENCE, listener, exporter, now_ms).await;
}

async fn serve_within(
    patience: Patience,
    listener: TcpListener,
    exporter: Arc<Exporter>,
    now_ms: impl Fn() -> u64 + Send + Sync + 'static,
) {
    let now_ms = Arc::new(now_ms);
    let renders = Arc::new(Semaphore::new(RENDERED_AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut open = Open::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("the metrics port cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        let (exporter, now_ms, renders) = (exporter.clone(), now_ms.clone(), renders.clone());
        let render = async move || {
            // Neither is ever closed or cancelled; an answer without figures would be the result.
            let _turn = renders.acquire().await;
            tokio::task::spawn_blocking(move || exporter.render(now_ms())).await.unwrap_or_default()
        };
        // A scraper that goes away or dawdles is its own problem.
        let task = tasks.spawn(async move { drop(exchange(patience, stream, render).await) });
        open.admit(peer.ip(), task);
    }
}

/// The connections there are, oldest first.
#[derive(Debug, Default)]
struct Open(VecDeque<(IpAddr, AbortHandle)>);

impl Open {
    /// One more; ends another when there are too many.
    fn admit(&mut self, peer: IpAddr, task: AbortHandle) {
        self.0.retain(|(_, task)| !task.is_finished());
        if self.0.len() >= CONNECTIONS_MAX {
            let mut counts = HashMap::new();
            for (origin, _) in &self.0 {
                *counts.entry(*origin).or_insert(0) += 1;
            }
            let most = counts.into_values().max();
            let of_origin = |wanted: &IpAddr| self.0.iter().filter(|(origin, _)| origin == wanted).count();
            let oldest = self.0.iter().position(|(origin, _)| Some(of_origin(origin)) == most);
            if let Some((_, task)) = oldest.and_then(|index| self.0.remove(index)) {
                task.abort();
            }
        }
        self.0.push_back((origin(peer), task));
    }
}

/// Whose connection it is: an address, or the network that a host of IPv6 has for itself.
fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

async fn exchange(
    patience: Patience,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    render: impl AsyncFnOnce() -> String,
) -> io::Result<()> {
    let read = tokio::time::timeout(patience.request, request_line(&mut stream)).await;
    let Ok(line) = read.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
    tokio::time::timeout(patience.answer, answer(&line, stream, render))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

async fn answer(
    line: &str,
    mut stream: impl AsyncWrite + Unpin,
    render: impl AsyncFnOnce() -> String,
) -> io::Result<()> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", render().await),
        ("GET" | "HEAD", _) => ("404 Not Found", "Metrics are at /metrics\n".to_owned()),
        ("TRACE", _) => ("403 Forbidden", String::new()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// Reads a request up to the blank line and returns its first line; None if it is not one.
async fn request_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<String, ()>> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        if read == 0 || request.len() + read > REQUEST_BYTES_MAX {
            return Ok(Err(()));
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8(line.to_vec()).map_err(|_| ()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    async fn ask(request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(65_536);
        let (_, answer) = tokio::join!(exchange(PATIENCE, server, async || "a 1\n".to_owned()), async {
            client.write_all(request.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        });
        answer
    }

    #[tokio::test]
    async fn a_scrape_is_answered_and_the_connection_closed() {
        let answer = ask("GET /metrics?name=a HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"));
        assert!(answer.ends_with("\r\n\r\na 1\n"));
    }

    /// A port, and its address.
    async fn port(patience: Patience) -> (JoinSet<()>, SocketAddr) {
        let listener = bind("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let exporter = Exporter::new(Arc::default(), Default::default, false);
        let mut server = JoinSet::new();
        server.spawn(serve_within(patience, listener, Arc::new(exporter), || 0));
        (server, address)
    }

    /// A connection from one of this machine's own addresses, with the start of a request.
    async fn half_sent(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        stream.write_all(b"GET /met").await.unwrap();
        stream
    }

    /// The rest of it, and the answer; empty when the server has closed.
    async fn completed(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        if stream.write_all(b"rics HTTP/1.0\r\n\r\n").await.is_ok() {
            // A reset is the end too. What would wait for ever fails.
            let ended = stream.read_to_string(&mut answer);
            drop(tokio::time::timeout(Duration::from_secs(60), ended).await.expect("an answer, or the end"));
        }
        answer
    }

    const FOR_EVER: Patience =
        Patience { request: Duration::from_secs(3600), answer: Duration::from_secs(3600) };

    #[tokio::test]
    async fn the_endpoint_answers_on_its_port() {
        let (_server, address) = port(PATIENCE).await;
        for _ in 0..2 * CONNECTIONS_MAX {
            let answer = completed(half_sent("127.0.0.1", address).await).await;
            assert!(answer.contains("\nznode_count 0\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn half_sent_requests_keep_nobody_from_the_figures() {
        let (_server, address) = port(FOR_EVER).await;
        let mut stalled = Vec::new();
        for _ in 0..3 * CONNECTIONS_MAX {
            stalled.push(half_sent("127.0.0.1", address).await);
            for from in ["127.0.0.1", "127.0.0.2"] {
                let answer = completed(half_sent(from, address).await).await;
                assert!(answer.contains("\nznode_count 0\n"), "{from}: {answer}");
            }
        }
    }

    #[tokio::test]
    async fn many_connections_of_one_address_close_none_of_another() {
        let (_server, address) = port(FOR_EVER).await;
        let slow = half_sent("127.0.0.2", address).await;
        let mut stalled = Vec::new();
        for _ in 0..3 * CONNECTIONS_MAX {
            stalled.push(half_sent("127.0.0.1", address).await);
        }
        let answer = completed(slow).await;
        assert!(answer.contains("\nznode_count 0\n"), "{answer}");
        assert_eq!(completed(stalled.remove(0)).await, "", "the oldest was closed");
    }

    #[tokio::test]
    async fn a_client_that_stalls_is_closed_in_time() {
        let short = Duration::from_millis(10);
        let (_server, address) = port(Patience { request: short, ..FOR_EVER }).await;
        let mut nothing = Vec::new();
        half_sent("127.0.0.1", address).await.read_to_end(&mut nothing).await.unwrap();
        assert!(nothing.is_empty());

        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let unread =
            exchange(Patience { answer: short, ..FOR_EVER }, server, async || "a".repeat(1000)).await;
        assert_eq!(unread.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_ipv6_host_counts_as_one_address() {
        let origin = |text: &str| super::origin(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2:3:4:5:6"), origin("2001:db8:1:2::1"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
    }

    /// ZooKeeper CVE-2025-58457: snapshots were taken and restored by whoever could reach the HTTP port.
    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        assert!(ask("GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        assert!(ask("TRACE /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 403 "));
        assert!(ask("HEAD /metrics HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn half_a_request_and_a_huge_one_get_no_answer() {
        assert_eq!(ask("GET /met").await, "");
        assert_eq!(ask(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000))).await, "");
    }
}
