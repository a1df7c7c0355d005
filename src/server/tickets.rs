//! Keeps the tickets by which this server logs in to others: a thread asks a key distribution centre for those that are
//! missing, and for new ones before they end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::auth::kerberos::crypto::Random;
use crate::auth::kerberos::login::Tickets;
use crate::auth::kerberos::tickets::{self, Answer, Ticket};
use crate::auth::kerberos::{KeytabFile, Principal};
use crate::clock::{Clock, RealClock};

/// A ticket that ends sooner is renewed. A clock may be minutes away, and a key distribution centre away for some.
const LEFT_SECONDS: i64 = 15 * 60;
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(2);

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u32 = 1 << 20;
/// The port of a key distribution centre.
const PORT: u16 = 88;

/// Where tickets come from.
pub(super) struct Source {
    /// Whose tickets they are.
    pub(super) client: Principal,
    /// Its keys.
    pub(super) keytab: KeytabFile,
    /// The key distribution centres, `host` or `host:port`; the first that answers counts.
    pub(super) kdcs: Vec<String>,
    /// Random bytes.
    pub(super) random: Random,
}

impl Source {
    /// Keeps tickets, in a thread that ends when nobody else holds them.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn keep(self, tickets: &Arc<Tickets>) -> io::Result<()> {
        let tickets = Arc::downgrade(tickets);
        std::thread::Builder::new()
            .name("kerberos-tickets".into())
            .spawn(move || self.run(&tickets))
            .map(drop)
    }

    fn run(&self, tickets: &Weak<Tickets>) {
        while let Some(tickets) = tickets.upgrade() {
            let mut failed = false;
            let wanted = tickets.wanted(now_us() / 1_000_000 + LEFT_SECONDS);
            if !wanted.is_empty() {
                let first = self.first_ticket();
                for service in wanted {
                    let got =
                        first.as_ref().map_err(String::clone).and_then(|first| self.ticket(first, &service));
                    match &got {
                        Ok(ticket) => {
                            tracing::info!(%service, ends = ticket.ends, "there is a ticket for another member");
                        }
                        Err(why) => {
                            failed = true;
                            tracing::warn!(client = %self.client, %service, "no ticket: {why}");
                        }
                    }
                    tickets.keep(&service, got);
                }
            }
            if failed {
                std::thread::sleep(TRY_AGAIN);
            } else {
                tickets.wait(LOOK_AGAIN);
            }
        }
    }

    /// The ticket that gets others.
    fn first_ticket(&self) -> Result<Ticket, String> {
        let keys = self.keytab.current();
        let nonce = tickets::nonce(self.random)?;
        let mut proof = None;
        // Once without proof, and once with what is wanted.
        for _ in 0..2 {
            let request = tickets::as_request(&self.client, &keys, proof, nonce, now_us(), self.random)?;
            match tickets::as_reply(&self.ask(&request)?, &self.client, &keys, nonce)? {
                Answer::Granted(ticket) => return Ok(ticket),
                Answer::WantsProof(kind) => proof = Some(kind),
            }
        }
        Err("the key distribution centre wants more proof than the key".into())
    }

    fn ticket(&self, first: &Ticket, service: &Principal) -> Result<Ticket, String> {
        let nonce = tickets::nonce(self.random)?;
        let request = tickets::tgs_request(first, service, nonce, now_us(), self.random)?;
        tickets::tgs_reply(&self.ask(&request)?, first, service, nonce)
    }

    /// The answer of the first key distribution centre that gives one.
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut whys = Vec::new();
        for kdc in &self.kdcs {
            match ask(kdc, request) {
                Ok(answer) => return Ok(answer),
                Err(error) => whys.push(format!("{kdc}: {error}")),
            }
        }
        Err(format!("no key distribution centre answers: {}", whys.join("; ")))
    }
}

fn now_us() -> i64 {
    RealClock.wall_ms() * 1000
}

/// Sends a request over TCP and receives the answer (RFC 4120 section 7.2.2).
fn ask(kdc: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::other("a message is too long");
    let mut stream = connect(kdc)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let length = u32::try_from(request.len()).map_err(|_| too_long())?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Err(too_long());
    }
    let mut answer = Vec::new();
    stream.take(length.into()).read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(kdc: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("it has no address");
    for address in addresses(kdc)? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The addresses of `host`, `host:port`, `[address]:port` or an IPv6 address.
fn addresses(kdc: &str) -> io::Result<Vec<SocketAddr>> {
    let kdc = kdc.strip_prefix("tcp/").unwrap_or(kdc);
    let has_port = kdc.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let found = if has_port {
        kdc.to_socket_addrs()
    } else {
        (kdc.trim_start_matches('[').trim_end_matches(']'), PORT).to_socket_addrs()
    };
    Ok(found?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_and_without_a_port() {
        for (kdc, expected) in [
            ("127.0.0.1", "127.0.0.1:88"),
            ("127.0.0.1:8088", "127.0.0.1:8088"),
            ("tcp/127.0.0.1:8088", "127.0.0.1:8088"),
            ("::1", "[::1]:88"),
            ("[::1]", "[::1]:88"),
            ("[::1]:8088", "[::1]:8088"),
        ] {
            let found = addresses(kdc).expect(kdc);
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{kdc}");
        }
    }

    #[test]
    fn an_answer_comes_whole_or_not_at_all() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let serve = std::thread::spawn(move || {
            for answer in [&b"\0\0\0\x05hello"[..], b"\xff\xff\xff\xff"] {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = [0; 7];
                stream.read_exact(&mut request).expect("a request");
                assert_eq!(&request, b"\0\0\0\x03ask");
                stream.write_all(answer).expect("it is sent");
            }
        });
        assert_eq!(ask(&address, b"ask").expect("an answer"), b"hello");
        assert!(ask(&address, b"ask").is_err(), "it is too long");
        serve.join().expect("the server ends");
        assert!(ask(&address, b"ask").is_err(), "nobody listens");
    }
}
