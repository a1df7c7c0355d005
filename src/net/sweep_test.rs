//! Nodes that go by themselves: containers that have emptied, and nodes that have aged.

use jute::OpCode;

use super::testing::{Server, Setup, ask};
use crate::request::Options;
use crate::request::testing::OPTIONS;

/// More than the time between two passes over all such nodes.
const PASS_MS: i64 = 61_000;

#[test]
fn a_container_goes_when_it_has_had_children_and_has_none() {
    let mut server = Server::new();
    let mut peer = server.connect();
    for path in ["/emptied", "/fresh", "/full"] {
        server.succeed(&mut peer, ask::create_as(OpCode::CREATE_CONTAINER, path, b""));
    }
    for path in ["/emptied/child", "/full/child", "/plain"] {
        server.succeed(&mut peer, ask::create(path, b""));
    }
    server.succeed(&mut peer, ask::delete("/emptied/child"));
    server.succeed(&mut peer, ask::add_watch("/", 1));
    let before = server.state().last_zxid();
    for _ in 0..PASS_MS / 10_000 + 1 {
        server.pass(10_000, &mut [&mut peer]);
        server.succeed(&mut peer, ask::ping());
    }
    assert!(!server.has("/emptied"));
    assert!(["/fresh", "/full", "/full/child", "/plain"].iter().all(|path| server.has(path)));
    assert_eq!(peer.take_events(), [(2, "/emptied".to_owned())]);
    assert_eq!(server.state().last_zxid(), before.successor(), "it is a transaction");
}

#[test]
fn a_node_goes_some_time_after_its_last_change_unless_it_has_children() {
    let mut server = Server::with(Setup {
        options: Options { extended_types: true, ..OPTIONS },
        extended_types: true,
        ..Setup::default()
    });
    let mut peer = server.connect();
    for (path, ttl) in [("/short", 1000), ("/long", 100_000), ("/parent", 1000), ("/kept", 70_000)] {
        server.succeed(&mut peer, ask::create_ttl(path, b"", 5, ttl));
    }
    server.succeed(&mut peer, ask::create("/parent/child", b""));
    let mut pass = |server: &mut Server, ms: i64| {
        for _ in 0..ms / 10_000 {
            server.pass(10_000, &mut [&mut peer]);
            server.succeed(&mut peer, ask::ping());
        }
        if ms < 60_000 {
            server.succeed(&mut peer, ask::set_data("/kept", b"", -1));
        }
    };
    pass(&mut server, 50_000);
    pass(&mut server, 20_000);
    assert!(!server.has("/short"));
    assert!(["/long", "/parent", "/kept"].iter().all(|path| server.has(path)));
    pass(&mut server, 60_000);
    assert!(!server.has("/long") && server.has("/kept") && server.has("/parent"));
    pass(&mut server, 60_000);
    assert!(!server.has("/kept") && server.has("/parent/child"));
}
