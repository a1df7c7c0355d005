//! What the targets of TLS share: stores of the tests, a clock that stands still, and records that come in pieces.

use std::io;
use std::path::Path;
use std::time::Duration;

use jute_fuzz::peak_bytes;
use oxkeeper::secret::Secret;
use oxkeeper::tls::stores::Format;
use oxkeeper::tls::{ClientAuth, Options, Password, Protocol, StoreFile, SuiteSet};
use rustls::Connection;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

const WORST_FACTOR: usize = 64;
const SLACK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct StandsStill;

impl TimeProvider for StandsStill {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}

/// A store that [`read`] knows.
pub(crate) fn store(name: &str) -> StoreFile {
    StoreFile {
        origin: String::new(),
        path: name.into(),
        format: Format::Pem,
        password: Password::Given(Secret::from("")),
    }
}

/// Everybody needs a certificate.
pub(crate) fn options() -> Options {
    Options {
        key_store: store("server.pem"),
        trust_store: Some(store("ca.pem")),
        client_auth: ClientAuth::Need,
        protocols: vec![Protocol::V12, Protocol::V13],
        suites: SuiteSet::default(),
        checks_client_host: false,
        asks: oxkeeper::tls::revocation::Asks::Nobody,
    }
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    Ok(if path == Path::new("ca.pem") {
        include_bytes!("../../../src/tls/testdata/ca.pem").to_vec()
    } else {
        include_bytes!("../../../src/tls/testdata/server.pem").to_vec()
    })
}

/// Receives `bytes` in pieces of this length, and answers what is to be answered. The handshake is not done then: nobody
/// who only plays back has the keys. What the connection shows in the end is `checked`.
pub(crate) fn receive(
    begin: impl Fn() -> Connection,
    bytes: &[u8],
    length: usize,
    checked: impl Fn(&Connection),
) {
    let peak = peak_bytes(|| {
        let mut connection = begin();
        let mut answer = Vec::new();
        for mut piece in bytes.chunks(length.max(1)) {
            while !piece.is_empty() {
                if !connection.read_tls(&mut piece).is_ok_and(|count| count > 0) {
                    return;
                }
                let goes_on = connection.process_new_packets().is_ok();
                answer.clear();
                while connection.wants_write() {
                    connection.write_tls(&mut answer).expect("a vector takes everything");
                }
                if !goes_on {
                    return;
                }
            }
        }
        assert!(connection.is_handshaking(), "who only plays back has the keys");
        checked(&connection);
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
}
