//! What a server with two ports for clients says by each.

use super::*;
use crate::clock::ManualClock;
use crate::config::Environment;
use crate::disk::RealDisk;
use crate::request::testing::OPTIONS;
use crate::runtime::budget::Budget;
use crate::session::Sessions;
use crate::tree::OwnerRules;

/// Alone, with one client at each port: the number of the peer's end is the port's place.
pub(in crate::server) fn server() -> Arc<Reporter> {
    let config = "dataDir=/nowhere\nclientPort=1\n";
    let config = Config::parse("zoo.cfg", config.as_bytes(), &Environment::default()).unwrap();
    let tree = Tree::new(OwnerRules::default());
    let state = State::new(tree, Sessions::new(2000, 1, 0), OPTIONS, Budget::unlimited(), 0);
    for (id, port) in [(1, Port::Client), (2, Port::SecureClient)] {
        let client = Client::new(id, ([127, 0, 0, 1], id.try_into().unwrap()).into(), 0).by(port);
        client.outbox().stats.received = 7;
        state.register(Arc::new(client));
    }
    Arc::new(Reporter::new(Facts {
        state: Arc::new(state),
        clock: Arc::new(ManualClock::at_us(0)),
        metrics: Arc::new(Metrics::new()),
        disk: Arc::new(RealDisk),
        snapshots: PathBuf::new(),
        logs: PathBuf::new(),
        client_port: Some(1),
        secure_client_port: Some(2),
        secure: None,
        config,
    }))
}

fn ask(reporter: &Arc<Reporter>, port: Port, word: [u8; 4]) -> String {
    let words = Words::new(&["*".to_owned()], Arc::clone(reporter));
    let mut text = Vec::new();
    words.answer(port, word, &[], &mut |piece| {
        text.extend(piece);
        true
    });
    String::from_utf8(text).unwrap()
}

#[test]
fn each_port_speaks_of_its_own_clients() {
    let server = server();
    for (port, own, other) in [(Port::Client, ":1", ":2"), (Port::SecureClient, ":2", ":1")] {
        for word in [*b"cons", *b"stat", *b"dump"] {
            let text = ask(&server, port, word);
            let has = |peer: &str| text.contains(&format!("/127.0.0.1{peer}"));
            assert!(has(own) && !has(other), "{port:?}: {text}");
        }
        assert!(ask(&server, port, *b"srvr").contains("\nConnections: 2\n"), "those of all ports");
    }
}

#[test]
fn a_reset_by_one_port_leaves_the_clients_of_the_other_alone() {
    let server = server();
    let received = |port| ask(&server, port, *b"cons").contains("recved=7");
    assert!(received(Port::Client) && received(Port::SecureClient));
    assert_eq!(ask(&server, Port::SecureClient, *b"crst"), "Connection stats reset.\n");
    assert!(received(Port::Client) && !received(Port::SecureClient));
}
