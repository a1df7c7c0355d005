//! What a connection can make the server hold: one test for each bound in the table of `net`.

use std::time::Duration;

use jute::{Code, SessionId};

use super::Limits;
use super::pump::KEEP_BYTES;
use super::testing::{Ask, Peer, Server, Setup, TIMEOUT_MS, ask, first_frame};
use crate::request::Options;
use crate::request::read::WATCH_BYTES_MAX;
use crate::request::testing::OPTIONS;
use crate::runtime::budget::Budget;
use crate::runtime::client::IDENTITY_BYTES_MAX;
use crate::runtime::outbox::{EVENT_BYTES_MAX, WAITING_BYTES_MAX};

const LIMITS: Limits = Limits {
    frame_bytes_max: 16 << 20,
    requests_max: 5,
    request_bytes_max: 10_000,
    unsent_bytes_max: 1 << 20,
    sessionless: Duration::from_secs(10),
};

/// A server with the bounds above, of which `budget` is one.
fn server_with(budget: Budget) -> Server {
    let options = Options { txn_bytes_max: 32 << 20, ..OPTIONS };
    Server::with(Setup { limits: LIMITS, options, budget, ..Setup::default() })
}

fn server() -> Server {
    server_with(Budget::unlimited())
}

fn send_all(peer: &mut Peer, asked: impl IntoIterator<Item = Ask>) {
    for asked in asked {
        peer.send(asked);
    }
    peer.serve();
}

fn creations(count: usize, data_bytes: usize) -> impl Iterator<Item = Ask> {
    (0..count).map(move |number| ask::create(&format!("/{number}"), &vec![b'x'; data_bytes]))
}

#[test]
fn so_many_requests_are_in_the_writers_hands_and_the_others_wait_their_turn() {
    let mut server = server();
    let mut peer = server.connect();
    send_all(&mut peer, creations(12, 0));
    for in_flight in [5, 5, 2] {
        assert_eq!(peer.client.in_flight(), in_flight);
        server.turn();
        peer.serve();
    }
    let xids: Vec<_> = peer.take_replies().iter().map(|reply| reply.xid).collect();
    assert_eq!(xids, (1..=12).collect::<Vec<_>>());
}

#[test]
fn so_many_bytes_of_requests_are_in_the_writers_hands_and_the_others_wait() {
    let mut server = server();
    let mut peer = server.connect();
    send_all(&mut peer, creations(8, 4000));
    for in_flight in [3, 3, 2] {
        assert_eq!(peer.client.in_flight(), in_flight);
        server.turn();
        peer.serve();
    }
    assert_eq!((peer.take_replies().len(), peer.client.in_flight_bytes()), (8, 0));
}

/// A client that read no replies was read on and on while it asked for a large node.
#[test]
fn a_client_that_reads_nothing_leaves_so_many_bytes_unsent_and_one_reply() {
    let mut server = server();
    let mut peer = server.connect();
    let node_bytes = 20_000;
    server.succeed(&mut peer, ask::create("/large", &vec![0; node_bytes]));
    peer.set_reads(false);
    let count = 4000;
    send_all(&mut peer, (0..count).map(|_| ask::get_data("/large", false)));
    let (least, reply) = (LIMITS.unsent_bytes_max, node_bytes + 200);
    assert!((least..least + reply).contains(&peer.unsent()), "{} bytes", peer.unsent());
    // It is not read either: what it sent is left in its socket, but for what one read takes.
    let read = peer.link.protocol().input().unread().len();
    assert!(peer.unserved() > 80_000 && read <= 64 << 10, "{} bytes, {read} of them read", peer.unserved());
    assert!(peer.end().is_none(), "it may come back and read");
    peer.set_reads(true);
    peer.serve();
    assert_eq!((peer.take_replies().len(), peer.unserved()), (count, 0));
}

/// So many reads of a large node behind a write were answered at once that the server ran out of memory.
#[test]
fn reads_behind_a_write_are_let_in_as_their_answers_are_large() {
    let limits = Limits { requests_max: 1000, request_bytes_max: 1 << 20, ..LIMITS };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let mut peer = server.connect();
    let node_bytes = 200_000;
    server.succeed(&mut peer, ask::create("/large", &vec![0; node_bytes]));
    let mut answered = || {
        send_all(&mut peer, [ask::set_data("/", b"", -1)]);
        send_all(&mut peer, (0..100).map(|_| ask::get_data("/large", false)));
        let reads = peer.client.in_flight() - 1;
        server.turn();
        let bytes = peer.client.outbox().waiting();
        peer.serve();
        peer.take_replies();
        (reads, bytes)
    };
    // Nothing is known of the answers yet: they are taken for 64 KiB each.
    assert_eq!(answered().0, 16);
    for _ in 0..3 {
        let (reads, bytes) = answered();
        assert_eq!(reads, (1_usize << 20).div_ceil(node_bytes));
        assert!(bytes < limits.unsent_bytes_max + node_bytes + 1000, "{bytes}");
    }
}

#[test]
fn small_answers_to_reads_behind_a_write_let_more_of_them_in() {
    let limits = Limits { requests_max: 1000, request_bytes_max: 1 << 20, ..LIMITS };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let mut peer = server.connect();
    let mut handed_over = || {
        send_all(&mut peer, [ask::set_data("/", b"", -1)]);
        send_all(&mut peer, (0..100).map(|_| ask::get_data("/", false)));
        let reads = peer.client.in_flight() - 1;
        server.turn();
        peer.serve();
        reads
    };
    assert_eq!([handed_over(), handed_over(), handed_over(), handed_over()], [16, 32, 64, 100]);
}

#[test]
fn a_write_does_not_wait_for_room_for_answers_to_reads() {
    let limits = Limits { requests_max: 1000, request_bytes_max: 1 << 20, ..LIMITS };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let mut peer = server.connect();
    let reads = (0..16).map(|_| ask::get_data("/", false));
    send_all(&mut peer, [ask::set_data("/", b"", -1)].into_iter().chain(reads));
    send_all(&mut peer, [ask::set_data("/", b"", -1), ask::get_data("/", false)]);
    assert_eq!(peer.client.in_flight(), 18, "all but the last read");
    server.turn();
    peer.serve();
    assert_eq!(peer.take_replies().len(), 19);
}

#[test]
fn a_connection_that_leaves_the_replies_behind_its_writes_unread_is_closed() {
    let limits = Limits { requests_max: 1000, request_bytes_max: 16 << 20, ..LIMITS };
    let options = Options { txn_bytes_max: 32 << 20, ..OPTIONS };
    let mut server = Server::with(Setup { limits, options, ..Setup::default() });
    let mut peer = server.connect();
    let node_bytes = 3 << 20;
    server.succeed(&mut peer, ask::create("/large", &vec![0; node_bytes]));
    peer.set_reads(false);
    send_all(&mut peer, [ask::get_data("/", false), ask::set_data("/", b"", -1)]);
    send_all(&mut peer, (0..100).map(|_| ask::get_data("/large", false)));
    assert_eq!(peer.client.in_flight(), 17);
    server.turn();
    assert!(peer.unsent() <= WAITING_BYTES_MAX + node_bytes + 1000);
    peer.serve();
    assert!(peer.end().is_some());
    assert_eq!((peer.client.in_flight(), server.state().budget.bytes()), (0, 0));
}

#[test]
fn a_connection_that_leaves_its_events_unread_is_closed() {
    let mut server = server();
    let (mut watcher, mut writer) = (server.connect(), server.connect());
    server.succeed(&mut writer, ask::create("/a", b""));
    server.succeed(&mut watcher, ask::add_watch("/a", 0));
    // What it did not read of a reply is on its way to the socket.
    watcher.set_reads(false);
    send_all(&mut watcher, [ask::get_data("/", false)]);
    assert!(watcher.unsent() > 0);
    // As if it had left so many before.
    watcher.client.outbox().append(|out| out.raw(|out| out.resize(EVENT_BYTES_MAX, 0)));
    for is_over in [false, true] {
        server.succeed(&mut writer, ask::set_data("/a", b"", -1));
        assert_eq!(watcher.client.is_ended(), is_over);
    }
    watcher.serve();
    assert!(watcher.end().is_some());
    assert_eq!((watcher.unsent(), server.state().budget.bytes()), (0, 0));
}

/// Who does not read is not heard of otherwise: thousands of connections could have so much each.
#[test]
fn events_that_nobody_reads_count_in_the_budget() {
    let mut server = server();
    let (mut watcher, mut writer) = (server.connect(), server.connect());
    let path = format!("/{}", "x".repeat(100_000));
    server.succeed(&mut writer, ask::create(&path, b""));
    server.succeed(&mut watcher, ask::add_watch(&path, 0));
    watcher.set_reads(false);
    assert_eq!(server.state().budget.bytes(), 0);
    for count in 1..=3 {
        server.succeed(&mut writer, ask::set_data(&path, b"", -1));
        assert!(server.state().budget.bytes() >= count * 100_000, "{}", server.state().budget.bytes());
    }
    watcher.set_reads(true);
    watcher.serve();
    assert_eq!((watcher.take_events().len(), server.state().budget.bytes()), (3, 0));
}

/// As many watches as a connection may leave, but for less than one that is about to come.
fn leave_watches(server: &Server, peer: &Peer) {
    let mut watches = server.state().watches();
    let path = format!("/{}", "x".repeat(2 << 20));
    for number in 0..WATCH_BYTES_MAX / (path.len() + 1000) {
        watches.add_data(&format!("{path}{number}"), peer.client.id);
    }
    assert!(watches.bytes_of(peer.client.id) > WATCH_BYTES_MAX - (2 << 20));
}

#[test]
fn a_connection_whose_watches_take_too_much_is_closed() {
    let mut server = server();
    let mut peer = server.connect();
    leave_watches(&server, &peer);
    server.succeed(&mut peer, ask::add_watch("/a", 0));
    send_all(&mut peer, [ask::add_watch(&format!("/{}", "y".repeat(4 << 20)), 0)]);
    assert!(peer.end().is_some());
    assert!(server.state().watches().is_empty());
}

/// The writer answers what was asked for behind a write.
#[test]
fn a_connection_whose_watches_take_too_much_is_closed_also_when_they_come_behind_a_write() {
    let mut server = server();
    let mut peer = server.connect();
    leave_watches(&server, &peer);
    let last = ask::add_watch(&format!("/{}", "y".repeat(4 << 20)), 0);
    send_all(&mut peer, [ask::set_data("/", b"", -1), last]);
    assert_eq!(peer.client.in_flight(), 2);
    server.turn();
    peer.serve();
    assert!(peer.end().is_some());
    assert!(server.state().watches().is_empty());
}

/// Its connection was to be closed once what it was being sent had been written: until then, which was up to the
/// client, it could leave watches without end.
#[test]
fn a_connection_whose_watches_take_too_much_is_closed_though_it_reads_nothing() {
    let mut server = server();
    let mut peer = server.connect();
    leave_watches(&server, &peer);
    peer.set_reads(false);
    send_all(&mut peer, [ask::get_data("/", false)]);
    assert!(peer.unsent() > 0 && peer.end().is_none());
    send_all(&mut peer, [ask::add_watch(&format!("/{}", "y".repeat(4 << 20)), 0)]);
    assert!(peer.end().is_some());
    assert!(server.state().watches().is_empty());
}

#[test]
fn a_connection_proves_so_many_identities_and_then_authentication_fails() {
    let mut server = server();
    let mut peer = server.connect();
    let credentials = |number: usize| format!("{number}{}:secret", "u".repeat(100_000));
    for number in 0..IDENTITY_BYTES_MAX / 100_100 {
        server.succeed(&mut peer, ask::auth("digest", credentials(number).as_bytes()));
    }
    let reply = server.ask(&mut peer, ask::auth("digest", credentials(99).as_bytes()));
    assert_eq!((reply.code, peer.end().is_some()), (Code::AUTH_FAILED, true));
}

/// What is proven stays for as long as the connection: thousands of them could hold a megabyte each.
#[test]
fn what_connections_have_proven_to_be_counts_in_the_budget() {
    let mut server = server();
    let mut peer = server.connect();
    let credentials = format!("{}:secret", "u".repeat(100_000));
    server.succeed(&mut peer, ask::auth("digest", credentials.as_bytes()));
    assert!(server.state().budget.bytes() >= 100_000, "{}", server.state().budget.bytes());
    peer.hang_up();
    assert_eq!(server.state().budget.bytes(), 0);
}

const BUDGET: usize = 1 << 20;

#[test]
fn without_memory_creates_and_new_sessions_wait_and_what_frees_some_gets_through() {
    let mut server = server_with(Budget::new(BUDGET, None));
    let (mut peer, mut leaving, mut moving) = (server.connect(), server.connect(), server.connect());
    server.succeed(&mut peer, ask::create("/a", b""));
    let others = (BUDGET + BUDGET / 4) as i64;
    server.state().budget.hold(others);
    server.succeed(&mut peer, ask::ping());
    server.succeed(&mut peer, ask::delete("/a"));
    server.succeed(&mut leaving, ask::close_session());
    moving = server.reconnect(moving.session());
    assert_ne!(moving.session(), SessionId::NONE);
    let mut new = server.dial();
    new.send_frame(&jute::records::Record::to_bytes(&first_frame(SessionId::NONE)));
    new.serve();
    send_all(&mut peer, [ask::create("/b", b""), ask::get_data("/", false)]);
    server.turn();
    peer.serve();
    assert_eq!((peer.take_replies().len(), peer.client.in_flight()), (0, 0));
    assert!(!server.has("/b") && new.client.session().is_none());
    server.state().budget.hold(-others);
    for peer in [&mut peer, &mut new] {
        peer.serve();
    }
    server.turn();
    for peer in [&mut peer, &mut new] {
        peer.serve();
    }
    assert_eq!(peer.take_replies().len(), 2);
    assert!(server.has("/b") && new.session() != SessionId::NONE);
}

/// Its ping was behind a request that waited for memory: what the server could not hear was taken for silence.
#[test]
fn a_session_that_waited_for_memory_has_a_whole_timeout_when_its_connection_goes() {
    let mut server = server_with(Budget::new(BUDGET, None));
    let (mut starved, mut silent) = (server.connect(), server.connect());
    let (waited, unheard) = (starved.session(), silent.session());
    server.state().budget.hold((BUDGET + BUDGET / 4) as i64);
    send_all(&mut starved, [ask::create("/a", b""), ask::ping()]);
    server.pass(i64::from(TIMEOUT_MS) - 1000, &mut [&mut starved]);
    assert!(starved.link.lacks_memory());
    starved.hang_up();
    silent.hang_up();
    server.pass(i64::from(TIMEOUT_MS) / 2, &mut []);
    let has = |session| server.state().sessions().get(session).is_some();
    assert!(has(waited) && !has(unheard));
}

#[test]
fn who_holds_little_gets_through_for_longer_than_who_holds_much() {
    let mut server = server_with(Budget::new(BUDGET, None));
    let (mut small, mut large) = (server.connect(), server.connect());
    server.state().budget.hold(BUDGET as i64);
    server.succeed(&mut small, ask::create("/small", b""));
    send_all(&mut large, [ask::create("/large", &[0; 20_000])]);
    server.turn();
    assert!(!server.has("/large"));
    // Nor is more of it read.
    assert!(!large.link.protocol().may_read(0) && small.link.protocol().may_read(0));
    server.state().budget.hold(-(BUDGET as i64));
    large.serve();
    server.turn();
    assert!(server.has("/large"));
}

#[test]
fn above_the_global_limit_of_requests_who_has_some_waits_and_who_has_none_brings_one() {
    let mut server = server_with(Budget::new(usize::MAX, Some(2)));
    let (mut first, mut second) = (server.connect(), server.connect());
    send_all(&mut first, creations(3, 0));
    assert_eq!(first.client.in_flight(), 3);
    send_all(&mut first, (0..3).map(|number| ask::create(&format!("/more{number}"), b"")));
    assert_eq!(first.client.in_flight(), 3, "it has some, and 2 are allowed");
    send_all(&mut second, (0..3).map(|number| ask::create(&format!("/second{number}"), b"")));
    assert_eq!(second.client.in_flight(), 1);
    for _ in 0..3 {
        server.turn();
        first.serve();
        second.serve();
    }
    assert_eq!((first.take_replies().len(), second.take_replies().len()), (6, 3));
    assert_eq!(server.state().budget.waiting(), 0);
}

#[test]
fn what_connections_held_is_given_back_when_they_go() {
    let mut server = server();
    let mut peers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.succeed(&mut peers[0], ask::create("/large", &[0; 5000]));
    peers[0].set_reads(false);
    send_all(&mut peers[0], (0..500).map(|_| ask::get_data("/large", false)));
    send_all(&mut peers[1], creations(20, 1000));
    peers[2].stream.send(&[0, 0, 9, 9, 1, 1, 1, 1]);
    peers[2].serve();
    assert!(server.state().budget.bytes() > 1 << 20 && server.state().budget.waiting() > 0);
    peers.iter_mut().for_each(Peer::hang_up);
    server.turn();
    assert_eq!((server.state().budget.bytes(), server.state().budget.waiting()), (0, 0));
}

/// It was not read any more, and nobody looked at it again when there was memory.
#[test]
fn a_large_frame_that_waits_for_memory_is_looked_at_again() {
    let mut server = server_with(Budget::new(BUDGET, None));
    let mut beginning = 100_000_u32.to_be_bytes().to_vec();
    beginning.resize(20_000, 0);
    let mut peer = server.connect();
    peer.stream.send(&beginning);
    server.state().budget.hold(BUDGET as i64);
    for _ in 0..2 {
        peer.serve();
        assert!(peer.link.lacks_memory(), "as often as it is asked");
    }
    server.state().budget.hold(-(BUDGET as i64));
    peer.serve();
    assert!(!peer.link.lacks_memory() && peer.end().is_none());
}

/// Waiting for the writer first and then for its client, a connection went round for ever.
#[test]
fn a_connection_whose_client_reads_nothing_rests_when_the_writer_has_answered() {
    let limits = Limits { requests_max: 1024, request_bytes_max: 1 << 20, ..LIMITS };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/large", &[0; 300_000]));
    peer.set_reads(false);
    let reads = (0..20).map(|_| ask::get_data("/large", false));
    send_all(&mut peer, [ask::create("/a", b"")].into_iter().chain(reads));
    assert!(peer.client.in_flight() > 0);
    server.turn();
    assert_eq!(peer.client.in_flight(), 0);
    peer.serve();
    assert!(peer.end().is_none() && peer.unsent() > limits.unsent_bytes_max);
}

/// Thousands of connections that once read something large are to be had for little.
#[test]
fn what_a_large_reply_took_is_given_back_after_it() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/large", &[0; 900_000]));
    server.succeed(&mut peer, ask::get_data("/large", false));
    // The connection and its outbox exchange their buffers.
    for _ in 0..4 {
        server.succeed(&mut peer, ask::ping());
        assert!(peer.link.buffer_bytes() <= KEEP_BYTES, "{} bytes", peer.link.buffer_bytes());
    }
}
