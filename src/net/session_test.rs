//! Sessions that begin, move, end and expire, as connections see it.

use jute::records::Record;
use jute::records::proto::{ConnectRequest, ConnectResponse};
use jute::{Code, OpCode, SessionId, write};

use super::Limits;
use super::protocol::{Consumed, Phase};
use super::testing::{Peer, Server, Setup, TIMEOUT_MS, TIMEOUTS_MS, ask, first_frame};
use crate::clock::Clock;
use crate::zab::Serving;

/// Ends of sessions that one batch of the writer carries out.
const BATCH_ENDS_MAX: usize = 64;

fn is_alive(server: &Server, session: SessionId) -> bool {
    server.state().sessions().get(session).is_some_and(|handle| !handle.is_closing())
}

/// Lets a session's timeout and one tick of the tracker pass, with nobody else served.
fn pass_timeout(server: &mut Server, peers: &mut [&mut Peer]) {
    server.pass(i64::from(TIMEOUT_MS) + 2500, peers);
}

#[test]
fn a_wrong_password_reopens_nothing_and_the_connection_ends() {
    let mut server = Server::new();
    let mut owner = server.connect();
    let session = owner.session();
    let mut thief = server.dial();
    let passwd = Some(vec![0; 16]);
    let handle = owner.client.session().unwrap().clone();
    let before = (handle.timeout_ms(), handle.deadline_ms());
    server.pass(100, &mut []);
    server.greet(&mut thief, ConnectRequest { passwd, time_out: i32::MAX, ..first_frame(session) });
    assert_eq!((handle.timeout_ms(), handle.deadline_ms()), before, "it renews nothing");
    let greeting = thief.greeting.clone().unwrap();
    assert_eq!((greeting.session_id, greeting.time_out), (SessionId::NONE, 0));
    assert_eq!(greeting.passwd, Some(vec![0; 16]));
    assert!(thief.end().is_some());
    assert!(thief.client.session().is_none());
    assert!(is_alive(&server, session));
    // It closes the owner's connection, as in the reference; the owner comes back.
    owner.serve();
    assert!(owner.end().is_some());
    assert_eq!(server.reconnect(session).session(), session);
}

#[test]
fn a_session_that_is_gone_is_answered_with_no_session() {
    let mut server = Server::new();
    let peer = server.reconnect(SessionId(0x77));
    assert_eq!((peer.session(), peer.end().is_some()), (SessionId::NONE, true));
    let passwd = Some(vec![0; 16]);
    assert_eq!(peer.greeting, Some(ConnectResponse { passwd, ..ConnectResponse::default() }));
}

#[test]
fn timeouts_are_kept_between_the_least_and_the_most_that_are_granted() {
    let mut server = Server::new();
    let mut granted = |asked_ms| {
        let mut peer = server.dial();
        server.greet(&mut peer, ConnectRequest { time_out: asked_ms, ..first_frame(SessionId::NONE) });
        let granted = peer.greeting.as_ref().map(|greeting| greeting.time_out).unwrap();
        assert_eq!(peer.client.session().unwrap().timeout_ms(), i64::from(granted));
        // The one who comes back is granted no more.
        let again = peer.session();
        let mut peer = server.dial();
        server.greet(&mut peer, ConnectRequest { time_out: asked_ms, ..first_frame(again) });
        assert_eq!(peer.greeting.map(|greeting| greeting.time_out), Some(granted));
        granted
    };
    let (least, most) = TIMEOUTS_MS;
    assert_eq!([granted(-1), granted(1), granted(least + 1)], [least, least, least + 1]);
    assert_eq!([granted(most), granted(most + 1), granted(i32::MAX)], [most, most, most]);
}

#[test]
fn a_client_that_has_seen_more_than_this_server_is_turned_away() {
    let mut server = Server::new();
    let mut peer = server.dial();
    let ahead = ConnectRequest { last_zxid_seen: jute::Zxid(99), ..first_frame(SessionId::NONE) };
    peer.send_frame(&jute::records::Record::to_bytes(&ahead));
    peer.serve();
    server.turn();
    peer.serve();
    assert!(peer.end().is_some() && peer.greeting.is_none());
    assert_eq!(server.state().sessions().committed_count(), 0);
    assert_eq!(server.state().budget.waiting(), 0);
}

/// A client whose session had moved could go on writing through its earlier connection.
#[test]
fn the_earlier_connection_of_a_session_that_moved_is_closed_and_carries_nothing_more() {
    let mut server = Server::new();
    let mut earlier = server.connect();
    let session = earlier.session();
    earlier.send(ask::create("/before", b""));
    earlier.serve();
    let mut now = server.dial();
    now.send_frame(&jute::records::Record::to_bytes(&first_frame(session)));
    now.serve();
    // It does not know yet that it has been left.
    earlier.send(ask::create("/after", b""));
    earlier.serve();
    server.turn();
    now.serve();
    assert_eq!(now.session(), session);
    assert!(server.has("/before") && !server.has("/after"));
    assert_eq!(earlier.client.in_flight(), 0);
    earlier.send(ask::create("/later", b""));
    earlier.serve();
    server.turn();
    assert!(earlier.end().is_some() && !server.has("/later"));
    assert!(now.end().is_none());
    server.succeed(&mut now, ask::create("/now", b""));
}

#[test]
fn an_earlier_connection_that_ends_leaves_the_session_to_the_later_one() {
    let mut server = Server::new();
    let mut earlier = server.connect();
    let mut now = server.reconnect(earlier.session());
    server.succeed(&mut now, ask::ephemeral("/mine"));
    earlier.serve();
    assert!(earlier.end().is_some());
    server.turn();
    assert_eq!(server.succeed(&mut now, ask::get_data("/mine", false)).code, Code::OK);
}

/// The connection of a session that had expired stayed, with its watches, and with the replies that its client
/// had not read.
#[test]
fn an_expired_session_loses_its_connection_its_watches_and_its_unread_replies() {
    let mut server = Server::new();
    let (mut peer, mut other) = (server.connect(), server.connect());
    server.succeed(&mut peer, ask::ephemeral("/mine"));
    server.succeed(&mut peer, ask::add_watch("/", 1));
    server.succeed(&mut other, ask::create("/large", &[0; 100_000]));
    peer.set_reads(false);
    for _ in 0..100 {
        peer.send(ask::get_data("/large", false));
    }
    peer.serve();
    assert!(peer.unsent() >= server.shared.limits.unsent_bytes_max);
    let session = peer.session();
    server.pass(i64::from(TIMEOUT_MS) / 2, &mut [&mut peer]);
    server.succeed(&mut other, ask::ping());
    server.pass(i64::from(TIMEOUT_MS) / 2 + 2500, &mut [&mut peer]);
    assert!(!is_alive(&server, session) && !server.has("/mine"));
    assert!(peer.end().is_some(), "its client does not read, and so cannot be told");
    assert_eq!((peer.unsent(), server.state().client_count()), (0, 1));
    assert!(server.state().watches().is_empty());
    other.serve();
    assert_eq!(server.state().budget.bytes(), 0);
    assert!(is_alive(&server, other.session()));
}

#[test]
fn nothing_behind_the_end_of_a_session_is_carried_out() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::ephemeral("/mine"));
    peer.send(ask::close_session());
    peer.send(ask::create("/behind", b""));
    peer.send(ask::get_data("/", true));
    peer.serve();
    assert_eq!(peer.client.in_flight(), 1, "the closeSession");
    server.turn();
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [Code::OK]);
    assert!(peer.end().is_some());
    server.turn();
    assert!(!server.has("/mine") && !server.has("/behind"));
    assert!(server.state().watches().is_empty());
}

/// Thousands of sessions that end together are spread over batches; those whose turn has not come are closing.
#[test]
fn nobody_comes_back_to_a_session_whose_end_is_under_way() {
    let mut server = Server::new();
    let mut peers: Vec<_> = (0..3 * BATCH_ENDS_MAX).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send(ask::close_session());
        peer.serve();
    }
    server.turn();
    let last = peers.last().unwrap();
    assert!(server.state().sessions().get(last.session()).is_some(), "its end was not applied yet");
    assert_eq!(server.reconnect(last.session()).session(), SessionId::NONE);
}

#[test]
fn an_expired_session_whose_end_is_under_way_is_served_nothing() {
    let mut server = Server::new();
    let mut peers: Vec<_> = (0..3 * BATCH_ENDS_MAX).map(|_| server.connect()).collect();
    silence(&mut server, &mut peers);
    server.turn();
    let under_way =
        peers.iter_mut().rfind(|peer| peer.client.session().unwrap().is_closing() && !peer.client.is_ended());
    let peer = under_way.expect("only some ends were carried out");
    peer.send(ask::create("/late", b""));
    peer.serve();
    assert_eq!(peer.client.in_flight(), 0);
    (0..4).for_each(|_| server.turn());
    assert!(!server.has("/late"));
    assert_eq!(server.state().sessions().committed_count(), 0);
}

/// Every session's timeout passes in silence; what is left to do is the turn in which they expire.
fn silence(server: &mut Server, peers: &mut [Peer]) {
    let before_ms = server.clock.now_ms();
    while server.clock.now_ms() - before_ms < i64::from(TIMEOUT_MS) + 2500 {
        server.clock.advance_us(100_000);
        server.state().listening.tick(server.clock.now_ms());
    }
    let now_ms = server.clock.now_ms();
    peers.iter_mut().for_each(|peer| peer.client.set_silent(now_ms));
}

/// Each end removes the ephemerals of its session: hundreds in one batch kept everybody waiting.
#[test]
fn hundreds_of_sessions_that_end_together_do_not_hold_up_a_write_of_somebody_else() {
    let mut server = Server::new();
    let mut peers: Vec<_> = (0..500).map(|_| server.connect()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        server.succeed(peer, ask::ephemeral(&format!("/{number}")));
    }
    silence(&mut server, &mut peers);
    let mut other = server.connect();
    let left = |server: &Server| server.state().sessions().committed_count() - 1;
    assert!(left(&server) >= 500 - BATCH_ENDS_MAX, "{} are left", left(&server));
    let before = left(&server);
    other.send(ask::create("/other", b""));
    other.serve();
    server.turn();
    other.serve();
    assert_eq!(other.take_replies().len(), 1, "it is in the next batch");
    assert_eq!(before - left(&server), BATCH_ENDS_MAX);
    (0..500 / BATCH_ENDS_MAX).for_each(|_| server.turn());
    assert_eq!(left(&server), 0);
    assert!(!server.has("/0") && !server.has("/499") && server.has("/other"));
}

/// What a busy server had not read yet did not count, and clients lost their sessions to its own delay.
#[test]
fn a_session_whose_bytes_wait_unread_does_not_expire() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let session = peer.session();
    peer.send(ask::ping());
    pass_timeout(&mut server, &mut []);
    assert!(peer.client.is_asked_to_listen());
    assert!(is_alive(&server, session));
    peer.serve();
    pass_timeout(&mut server, &mut []);
    assert!(is_alive(&server, session), "it was asked again");
    assert!(peer.end().is_none());
}

#[test]
fn a_session_that_was_silent_expires() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let session = peer.session();
    server.pass(i64::from(TIMEOUT_MS) - 1000, &mut [&mut peer]);
    assert!(is_alive(&server, session));
    server.pass(4000, &mut [&mut peer]);
    assert!(!is_alive(&server, session));
    assert!(peer.end().is_some());
}

#[test]
fn a_session_without_a_connection_expires() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::ephemeral("/mine"));
    peer.hang_up();
    pass_timeout(&mut server, &mut []);
    assert!(!server.has("/mine"));
}

/// Requests keep a session as pings do.
#[test]
fn a_session_that_is_heard_from_does_not_expire() {
    let mut server = Server::new();
    let (mut pinging, mut reading) = (server.connect(), server.connect());
    for _ in 0..10 {
        server.pass(i64::from(TIMEOUT_MS) / 2, &mut [&mut pinging, &mut reading]);
        server.succeed(&mut pinging, ask::ping());
        server.succeed(&mut reading, ask::get_data("/", false));
    }
    assert!(pinging.end().is_none() && reading.end().is_none());
}

/// A server that was stopped for a minute expired everybody when it went on.
#[test]
fn a_pause_of_the_server_expires_nobody() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let session = peer.session();
    server.clock.advance_us(10 * 60 * 1_000_000);
    peer.client.set_silent(server.clock.now_ms());
    // The writer is the first to run again, before anybody has listened.
    server.writer.turn().unwrap();
    assert!(is_alive(&server, session));
    server.pass(1000, &mut [&mut peer]);
    assert!(is_alive(&server, session));
    // What it had left of its timeout before, it has now.
    server.pass(i64::from(TIMEOUT_MS) - 5000, &mut [&mut peer]);
    assert!(is_alive(&server, session));
    server.pass(8000, &mut [&mut peer]);
    assert!(!is_alive(&server, session));
}

#[test]
fn a_server_that_serves_nobody_closes_who_asks_for_a_session() {
    let mut server = Server::new();
    server.state().standing.set(Serving::No);
    let mut peer = server.dial();
    peer.send_frame(&first_frame(SessionId::NONE).to_bytes());
    peer.serve();
    assert!(peer.end().is_some_and(|why| why.contains("no leader")));
    server.state().standing.set(Serving::Leading { epoch: 1 });
    assert_ne!(server.connect().session(), SessionId::NONE);
}

/// Not so the leader: it answers a `sync` from its own tree.
#[test]
fn a_learners_connection_hands_over_every_sync() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let following = Serving::Following { leader: 3, epoch: 1 };
    for (serving, waits) in [(Serving::Leading { epoch: 1 }, false), (following, true)] {
        server.state().standing.set(serving);
        peer.send((OpCode::SYNC, vec![0, 0, 0, 1, b'/']));
        peer.serve();
        assert_eq!(peer.client.in_flight() > 0, waits);
    }
}

/// While a client has more to read than the server reads requests for, that it reads is how it is heard from.
#[test]
fn a_client_that_takes_in_long_replies_slowly_does_not_expire() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/large", &[0; 900_000]));
    peer.set_reads(false);
    // None of those behind the second is served before all is over.
    for _ in 0..5 {
        peer.send(ask::get_data("/large", false));
    }
    peer.serve();
    let session = peer.session();
    let mut taken = 0;
    for _ in 0..6 {
        server.pass(i64::from(TIMEOUT_MS) / 2, &mut []);
        peer.stream.set_room(50_000);
        peer.link.run();
        taken += peer.stream.receive().len();
        peer.stream.set_room(0);
        assert!(is_alive(&server, session), "it has taken {taken} bytes so far");
    }
    assert_eq!(taken, 300_000);
    server.pass(i64::from(TIMEOUT_MS) + 2500, &mut [&mut peer]);
    assert!(!is_alive(&server, session), "it takes nothing any more");
}

/// What came and waits for the writer is no silence of the client.
#[test]
fn a_client_whose_requests_wait_for_the_writer_is_not_silent() {
    let limits = Limits { requests_max: 2, ..Setup::default().limits };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let mut peer = server.connect();
    let now_ms = server.clock.now_ms();
    for number in 0..3 {
        peer.send(ask::create(&format!("/{number}"), b""));
    }
    peer.serve();
    assert!(!peer.client.has_listened(now_ms));
    peer.serve();
    assert!(!peer.client.has_listened(now_ms), "one is not taken in yet");
    (0..3).for_each(|_| {
        server.turn();
        peer.serve();
    });
    assert!(peer.client.has_listened(now_ms));
    assert_eq!(peer.take_replies().len(), 3);
}

/// Its answer may be there before the connection looks again.
#[test]
fn a_session_that_begins_at_once_is_served_at_once() {
    let mut server = Server::new();
    let mut peer = server.dial();
    let protocol = peer.link.protocol();
    let mut frame = Vec::new();
    write::buffer(&mut frame, Some(&first_frame(SessionId::NONE).to_bytes()));
    protocol.input().fill(|buffer| buffer.extend(&frame));
    assert_eq!((protocol.consume(0).unwrap(), protocol.phase()), (Consumed::Something, Phase::Connecting));
    assert_eq!((protocol.consume(0).unwrap(), protocol.phase()), (Consumed::Nothing, Phase::Connecting));
    server.turn();
    let protocol = peer.link.protocol();
    assert_eq!((protocol.consume(0).unwrap(), protocol.phase()), (Consumed::Something, Phase::Open));
    server.succeed(&mut peer, ask::create("/a", b""));
}

/// As in the reference; the client hears of the end from its next connection.
#[test]
fn what_a_session_asks_for_while_it_is_ending_is_dropped_without_a_word() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.state().sessions().set_closing(peer.session());
    for asked in [ask::ping(), ask::get_data("/", false), ask::create("/a", b""), ask::ping()] {
        peer.send(asked);
    }
    peer.serve();
    assert_eq!((peer.take_replies().len(), peer.client.in_flight(), peer.unserved()), (0, 0, 0));
    assert!(peer.end().is_none());
}
