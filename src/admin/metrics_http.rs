//! The Prometheus endpoint: answers `GET /metrics` and nothing else.
//!
//! Hand-made, because one request of one kind needs no framework. Bounds: 8 KiB of request,
//! 5 seconds to send it, 16 scrapes at a time; more wait in the backlog of the socket.
//! Reference: `PrometheusMetricsProvider`, which serves the same path from Jetty.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::prometheus::Exporter;

const REQUEST_BYTES_MAX: usize = 8192;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
const SCRAPES_MAX: usize = 16;

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
    let permits = Arc::new(Semaphore::new(SCRAPES_MAX));
    let now_ms = Arc::new(now_ms);
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: give others the time to close some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (exporter, now_ms) = (Arc::clone(&exporter), Arc::clone(&now_ms));
        tokio::spawn(async move {
            let _permit = permit;
            // A scraper that goes away or dawdles is its own problem.
            let _ =
                tokio::time::timeout(2 * REQUEST_TIME_MAX, exchange(stream, || exporter.render(now_ms())))
                    .await;
        });
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    render: impl FnOnce() -> String,
) -> io::Result<()> {
    let read = tokio::time::timeout(REQUEST_TIME_MAX, request_line(&mut stream)).await;
    let Ok(line) = read.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", render()),
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
    use super::*;

    async fn ask(request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(65_536);
        let (_, answer) = tokio::join!(exchange(server, || "a 1\n".to_owned()), async {
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

    #[tokio::test]
    async fn the_endpoint_answers_on_its_port() {
        let listener = bind("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let exporter = Exporter::new(Arc::default(), Default::default, false);
        let server = tokio::spawn(serve(listener, Arc::new(exporter), || 0));
        for _ in 0..2 * SCRAPES_MAX {
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains("\nznode_count 0\n"), "{answer}");
        }
        server.abort();
    }

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
