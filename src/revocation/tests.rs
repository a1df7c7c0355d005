//! Questions and what comes of them, with the certificates of `tls/testdata/revocation`.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clock::ManualClock;

/// January 2027, when the lists count.
const NOW_MS: i64 = 1_800_000_000_000;

fn clock() -> Arc<ManualClock> {
    let clock = Arc::new(ManualClock::at_us(1_000_000));
    clock.set_wall_ms(NOW_MS);
    clock
}

fn certificate(name: &str) -> CertificateDer<'static> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(root.join("src/tls/testdata/revocation").join(format!("{name}.der"))).unwrap().into()
}

fn link(name: &str, issuer: &str) -> Link {
    Link { certificate: certificate(name), issuer: certificate(issuer), is_below_anchor: issuer == "ca" }
}

async fn check(asks: Asks, links: &[Link]) -> Result<(), String> {
    Revocation::new(clock()).check(asks, links).await
}

/// The first list that the certificates name is at a closed port, the second is a file; nobody is at the responder's.
#[tokio::test]
async fn who_is_revoked_or_not_known_is_refused_and_the_first_list_that_counts_decides() {
    for asks in [Asks::Lists, Asks::ResponderThenLists] {
        assert_eq!(check(asks, &[link("good", "ca")]).await, Ok(()));
        let why = check(asks, &[link("revoked", "ca")]).await.unwrap_err();
        assert_eq!(why, "the certificate of CN=revoked (serial number 11) was revoked");
        let why = check(asks, &[link("silent", "ca")]).await.unwrap_err();
        assert!(why.contains("names no list") && why.contains("is not known"), "{why}");
        assert_eq!(why.contains("names no OCSP responder"), asks == Asks::ResponderThenLists, "{why}");
    }
    assert_eq!(check(Asks::Nobody, &[link("revoked", "ca")]).await, Ok(()));
    assert_eq!(check(Asks::Lists, &[]).await, Ok(()));
}

#[tokio::test]
async fn every_certificate_of_a_chain_is_asked_about() {
    let chain = [link("below", "between"), link("between", "ca")];
    let why = check(Asks::Lists, &chain).await.unwrap_err();
    assert!(why.contains("CN=below") && why.contains("not kept by the issuer"), "{why}");
    let why = check(Asks::Lists, &[link("good", "ca"), link("revoked", "ca")]).await.unwrap_err();
    assert!(why.contains("CN=revoked"), "{why}");
}

/// Answers each connection with these bytes, and counts them.
async fn server(answer: Vec<u8>, closes: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/list", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut question = [0; 4096];
            let _what = stream.read(&mut question).await;
            let _it_may_be_gone = stream.write_all(&answer).await;
            if !closes {
                open.push(stream);
            }
        }
    });
    (url, asked)
}

async fn fetched(answer: &[u8], closes: bool) -> Result<Vec<u8>, String> {
    let (url, _) = server(answer.to_vec(), closes).await;
    fetch::fetch(&Place::read(&url).unwrap(), None, 100).await
}

#[tokio::test]
async fn what_a_server_answers_is_read_whole_or_not_at_all() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlist";
    assert_eq!(fetched(whole, true).await.unwrap(), b"list");
    assert_eq!(fetched(whole, false).await.unwrap(), b"list", "it need not close");
    assert_eq!(fetched(b"HTTP/1.0 200 OK\r\n\r\nlist", true).await.unwrap(), b"list");
    let large = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[7; 101]].concat();
    let far_too_large = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[7; 100_000]].concat();
    let head = [b'a'; 20_000];
    for (answer, part) in [
        (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "the status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", "the status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlist", "cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nlist", "larger than 100"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlist\r\n0\r\n\r\n", "in pieces"),
        (b"SSH-2.0\r\n\r\n", "no answer of HTTP"),
        (b"", "no answer of HTTP"),
        (&head, "no answer of HTTP"),
        (&large, "larger than 100"),
        (&far_too_large, "larger than 100"),
    ] {
        let why = fetched(answer, true).await.unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_waited_for_no_longer_than_the_deadline() {
    let (url, asked) = server(Vec::new(), false).await;
    let revocation = Revocation { within: Duration::from_millis(50), ..Revocation::new(clock()) };
    let came = revocation.ask(&Place::read(&url).unwrap(), None, 100).await;
    assert_eq!(came.unwrap_err(), "it did not answer within 50ms");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn urls_are_read_as_far_as_they_are_asked() {
    let http =
        |host: &str, port, target: &str| Ok(Place::Http { host: host.into(), port, target: target.into() });
    assert_eq!(Place::read("http://a.b/c?d=e#f"), http("a.b", 80, "/c?d=e"));
    assert_eq!(Place::read("HTTP://a:81"), http("a", 81, "/"));
    assert_eq!(Place::read("http://[::1]:81?x"), http("::1", 81, "/?x"));
    assert_eq!(Place::read("file:///a/b"), Ok(Place::File("/a/b".into())));
    assert_eq!(Place::read("file:/a/b"), Ok(Place::File("/a/b".into())));
    for (url, part) in [
        ("ldap://a/b", "ldap is not spoken"),
        ("https://a/b", "https is not spoken"),
        ("nothing", "no URL"),
        ("http:/a", "no host"),
        ("http://", "no host"),
        ("http://me@a/", "no host"),
        ("http://a:b/", "port"),
        ("http://[::1/", "does not end"),
        ("file://a/b", "whole path"),
        ("file:///a%20b", "whole path"),
    ] {
        let why = Place::read(url).unwrap_err();
        assert!(why.contains(part), "{url}: {why}");
    }
    assert!(Place::File("/a".into()).of_responder().is_err());
}

/// A question whose answers are counted.
async fn ask(kept: &Kept, question: &[u8], clock: &ManualClock, count: &AtomicUsize, heard: Heard) -> Heard {
    let ask = || async {
        count.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        clock.advance_us(1_000);
        heard
    };
    kept.get(question.to_vec(), clock, ask).await
}

#[tokio::test]
async fn a_list_is_fetched_again_after_half_a_minute_and_its_lack_after_some_seconds() {
    let (kept, clock, count) = (Kept::lists(), clock(), AtomicUsize::new(0));
    let good: Heard = Ok(Arc::from(&b"list"[..]));
    for (after_ms, heard, times) in [
        (0, good.clone(), 1),
        (29_000, good.clone(), 1),
        (2_000, Err("gone".to_owned()), 2),
        (3_000, good.clone(), 2),
        (3_000, good.clone(), 3),
    ] {
        clock.advance_us(after_ms * 1000);
        let _came = ask(&kept, b"a", &clock, &count, heard).await;
        assert_eq!(count.load(Ordering::SeqCst), times, "{after_ms}");
    }
    ask(&kept, b"b", &clock, &count, good).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 4, "another list is another question");
}

/// Whoever comes later must not be told what was true before.
#[tokio::test]
async fn a_responder_is_asked_for_each_client_but_once_for_those_that_come_together() {
    let (kept, clock, count) = (Kept::answers(), clock(), AtomicUsize::new(0));
    let good: Heard = Ok(Arc::from(&b"answer"[..]));
    let one = || ask(&kept, b"a", &clock, &count, good.clone());
    one().await.unwrap();
    one().await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    assert!([a, b, c, d].iter().all(Result::is_ok));
    assert_eq!(count.load(Ordering::SeqCst), 4, "the first, and one for all who came meanwhile");
}

#[tokio::test]
async fn what_is_kept_has_a_bound() {
    let (kept, clock, count) = (Kept::lists(), clock(), AtomicUsize::new(0));
    for number in 0..600_u32 {
        let heard: Heard = Ok(Arc::from(vec![7; 1 << 20]));
        ask(&kept, &number.to_be_bytes(), &clock, &count, heard).await.unwrap();
        let (questions, bytes) = kept.held();
        assert!(questions <= 256 && bytes <= 64 << 20, "{questions} questions, {bytes} bytes");
    }
    assert_eq!(count.load(Ordering::SeqCst), 600);
}
