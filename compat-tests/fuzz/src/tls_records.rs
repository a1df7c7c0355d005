//! TLS records before a handshake is done. No input panics, grows without bound, or proves who a client is.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jute_fuzz::peak_bytes;
use oxkeeper::secret::Secret;
use oxkeeper::tls::stores::Format;
use oxkeeper::tls::{ClientAuth, Context, Options, Password, Protocol, StoreFile, SuiteSet};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

const WORST_FACTOR: usize = 64;
const SLACK_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct StandsStill;

impl TimeProvider for StandsStill {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}

fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let store = |name: &str| StoreFile {
            origin: String::new(),
            path: name.into(),
            format: Format::Pem,
            password: Password::Given(Secret::from("")),
        };
        let options = Options {
            key_store: store("server.pem"),
            trust_store: Some(store("ca.pem")),
            client_auth: ClientAuth::Need,
            protocols: vec![Protocol::V12, Protocol::V13],
            suites: SuiteSet::default(),
            checks_client_host: false,
        };
        let read = |path: &Path| {
            Ok(if path == Path::new("ca.pem") {
                include_bytes!("../../../src/tls/testdata/ca.pem").to_vec()
            } else {
                include_bytes!("../../../src/tls/testdata/server.pem").to_vec()
            })
        };
        Context::load(&options, &read, Arc::new(StandsStill)).expect("the stores of the tests are good")
    })
}

/// Receives `input`, in pieces as long as its first byte says.
pub fn tls_records(input: &[u8]) {
    let Some((length, bytes)) = input.split_first() else { return };
    let context = context();
    let peak = peak_bytes(|| {
        let mut connection = context.connection().expect("the settings of the tests go together");
        for mut piece in bytes.chunks(usize::from(*length).max(1)) {
            while !piece.is_empty() {
                if !connection.read_tls(&mut piece).is_ok_and(|count| count > 0) {
                    return;
                }
                let goes_on = connection.process_new_packets().is_ok();
                let mut answer = Vec::new();
                while connection.wants_write() {
                    connection.write_tls(&mut answer).expect("a vector takes everything");
                }
                if !goes_on {
                    return;
                }
            }
        }
        assert!(connection.is_handshaking(), "no client that only plays back has the keys");
        assert_eq!(context.proven(&connection, [127, 0, 0, 1].into(), 0), Ok(None));
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
}
