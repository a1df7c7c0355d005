//! TLS records of a member before a handshake is done: of one that connects, and of one that is connected to, whose
//! certificates come before anything is proven. No input panics, grows without bound, or makes a member.

use std::sync::{Arc, OnceLock};

use oxkeeper::tls::{PeerContext, PeerOptions};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use crate::tls::{StandsStill, options, read, receive, store};

fn context() -> &'static PeerContext {
    static CONTEXT: OnceLock<PeerContext> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let asked = PeerOptions {
            options: options(),
            trust_store: store("ca.pem"),
            checks_server_host: true,
            may_name_members: true,
        };
        PeerContext::load(&asked, &read, Arc::new(StandsStill)).expect("the stores of the tests are good")
    })
}

/// Receives `input`; its first byte says from which side, and how long the pieces are.
pub fn peer_tls_records(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let context = context();
    let together = "the settings of the tests go together";
    let host = || ServerName::try_from("localhost").expect("a name");
    let begin = || match selector & 1 {
        0 => Connection::from(ServerConnection::new(Arc::clone(&context.server)).expect(together)),
        _ => Connection::from(ClientConnection::new(Arc::clone(&context.client), host()).expect(together)),
    };
    receive(begin, bytes, usize::from(selector >> 1), |_| ());
}
