//! TLS records of a client before a handshake is done. No input panics, grows without bound, or proves who a client is.

use std::sync::{Arc, OnceLock};

use oxkeeper::tls::Context;
use rustls::Connection;

use crate::tls::{StandsStill, options, read, receive};

fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        Context::load(&options(), &read, Arc::new(StandsStill)).expect("the stores of the tests are good")
    })
}

/// Receives `input`, in pieces as long as its first byte says.
pub fn tls_records(input: &[u8]) {
    let Some((length, bytes)) = input.split_first() else { return };
    let context = context();
    let begin = || Connection::from(context.connection().expect("the settings of the tests go together"));
    receive(begin, bytes, usize::from(*length), |connection| {
        let Connection::Server(connection) = connection else { return };
        assert_eq!(context.proven(connection, [127, 0, 0, 1].into(), 0), Ok(None));
    });
}
