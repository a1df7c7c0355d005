//! What operators are told of clients: packets, bytes, latencies, watches, and what was read and written below each
//! top-level node.

use jute::records::Record;
use jute::{OpCode, SessionId};

use super::testing::{Peer, Server, ask, first_frame};
use crate::clock::Clock;
use crate::metrics::{Keyed, Summary};
use crate::runtime::outbox::ClientStats;

/// Count and sum.
fn figures(summary: &Summary) -> (u64, i64) {
    (summary.count(), summary.sum())
}

fn of_namespace(summary: &Keyed<Summary>, namespace: &str) -> (u64, i64) {
    summary.of(namespace).map_or((0, 0), |summary| figures(&summary))
}

fn stats(peer: &Peer) -> ClientStats {
    peer.client.outbox().stats.clone()
}

/// Bytes of a reply's header.
const HEADER: usize = 16;
/// Bytes of a stat.
const STAT: usize = 68;

#[test]
fn packets_and_their_bytes_are_counted_both_ways() {
    let mut server = Server::new();
    assert_eq!(server.state().stats.response_bytes(), (-1, -1, -1));
    let mut peer = server.connect();
    let metrics = server.shared.metrics.clone();
    let greeting = 4 + 45;
    assert_eq!((server.state().stats.received(), server.state().stats.sent()), (1, 1));
    assert_eq!(metrics.bytes_received_count.value(), greeting);
    assert_eq!(metrics.connection_request_count.value(), 1);
    assert_eq!(metrics.response_bytes.value(), 0, "the answer to a first frame is no reply");
    assert_eq!(server.state().stats.response_bytes(), (-1, -1, -1));

    let asked = [ask::create("/a", b"12345"), ask::get_data("/a", true), ask::ping()];
    let sent: usize = asked.iter().map(|(_, body)| 4 + 8 + body.len()).sum();
    for asked in asked {
        server.succeed(&mut peer, asked);
    }
    let replies = [HEADER + 4 + 2, HEADER + 4 + 5 + STAT, HEADER];
    let bytes = |sizes: &[usize]| sizes.iter().sum::<usize>() as u64;
    assert_eq!(metrics.bytes_received_count.value(), greeting + sent as u64);
    assert_eq!((server.state().stats.received(), server.state().stats.sent()), (4, 4));
    assert_eq!((stats(&peer).received, stats(&peer).sent), (4, 4));
    // Nobody is throttled: the reference counts a wait of 0 for each.
    assert_eq!(figures(&metrics.request_throttle_queue_time_ms), (4, 0));
    assert_eq!(figures(&metrics.connection_token_deficit), (1, 0));
    assert_eq!(metrics.response_bytes.value(), bytes(&replies));
    assert_eq!(server.state().stats.response_bytes(), (16, 16, replies[1] as i64));

    server.succeed(&mut peer, ask::auth("digest", b"user:secret"));
    assert_eq!(
        figures(&metrics.request_throttle_queue_time_ms),
        (4, 0),
        "proof of identity waits for nothing"
    );
    assert_eq!((server.state().stats.received(), server.state().stats.sent()), (5, 5));
    let replies = [replies[0], replies[1], replies[2], HEADER];

    // An event, and behind it the reply to the write.
    server.succeed(&mut peer, ask::set_data("/a", b"", -1));
    assert_eq!(peer.take_events().len(), 1);
    assert_eq!(metrics.watch_bytes.value(), bytes(&[HEADER + 4 + 4 + 4 + 2]));
    assert_eq!(metrics.response_bytes.value(), bytes(&replies) + bytes(&[HEADER + STAT]));
    assert_eq!((server.state().stats.sent(), stats(&peer).sent), (7, 7));
    assert_eq!(server.state().stats.response_bytes(), ((HEADER + STAT) as i64, 16, replies[1] as i64));

    server.state().stats.reset();
    let zero = server.state();
    assert_eq!((zero.stats.received(), zero.stats.sent(), zero.stats.latency()), (0, 0, (0, 0, 0, 0)));
    assert_eq!(zero.stats.response_bytes().2, replies[1] as i64, "sizes stay, as in the reference");
}

/// The writer answers by itself where that is quicker; the figures do not tell the difference.
#[test]
fn what_the_writer_sends_itself_is_counted_too() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.client.set_socket(std::sync::Arc::new(peer.stream.clone()));
    server.succeed(&mut peer, ask::add_watch("/", 1));
    let (sent, bytes) = (server.state().stats.sent(), server.shared.metrics.response_bytes.value());
    peer.send(ask::create("/a", b""));
    peer.serve();
    server.turn();
    assert_eq!(server.state().stats.sent(), sent + 2);
    assert_eq!(server.shared.metrics.response_bytes.value(), bytes + 22);
    assert_eq!(server.shared.metrics.watch_bytes.value(), 16 + 8 + 6);
    peer.serve();
    assert_eq!((peer.take_replies().len(), peer.take_events().len()), (1, 1));
    assert_eq!(server.state().stats.sent(), sent + 2, "once");
}

#[test]
fn a_latency_is_the_time_from_a_request_to_its_reply() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.state().stats.reset();
    for latency_ms in [30, 10, 20] {
        peer.send(ask::create("/a", b""));
        peer.serve();
        server.clock.advance_us(latency_ms * 1000);
        server.turn();
        peer.serve();
        assert_eq!(stats(&peer).last_latency, latency_ms);
    }
    assert_eq!(server.state().stats.latency(), (10, 60, 3, 30));
    let found = stats(&peer);
    assert_eq!(
        (found.min_latency, found.max_latency, found.total_latency, found.count),
        (Some(0), 30, 60, 4),
        "with the session's beginning"
    );
    assert_eq!(figures(&server.shared.metrics.updatelatency), (4, 60), "and the session's beginning");

    server.succeed(&mut peer, ask::get_data("/a", false));
    server.succeed(&mut peer, ask::ping());
    assert_eq!(figures(&server.shared.metrics.readlatency), (2, 0));
    assert_eq!(server.state().stats.latency(), (0, 60, 5, 30));
    assert_eq!((stats(&peer).count, stats(&peer).min_latency), (6, Some(0)));

    server.state().stats.reset();
    assert_eq!(server.state().stats.latency(), (0, 0, 0, 0));
    peer.send(ask::create("/b", b""));
    peer.serve();
    server.clock.advance_us(7000);
    server.turn();
    assert_eq!(server.state().stats.latency(), (7, 7, 1, 7));
}

#[test]
fn a_connection_shows_its_last_operation() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let created = server.succeed(&mut peer, ask::create("/a", b""));
    let now_ms = server.clock.now_ms();
    let after = stats(&peer);
    assert_eq!((after.last_op, after.last_cxid, after.last_zxid), ("CREA", 1, created.zxid.0));
    assert_eq!(after.last_response_ms, now_ms);
    server.clock.advance_us(5000);
    server.succeed(&mut peer, ask::ping());
    let after = stats(&peer);
    assert_eq!((after.last_op, after.last_cxid), ("PING", 1), "xids of pings are not the client's");
    assert_eq!(after.last_response_ms, now_ms + 5);
    let failed = server.ask(&mut peer, ask::delete("/none"));
    let after = stats(&peer);
    assert_eq!((after.last_op, after.last_zxid), ("NA", failed.zxid.0), "what failed is no operation");
    server.ask(&mut peer, ask::get_data("/none", false));
    assert_eq!(stats(&peer).last_op, "GETD");
    let fresh = server.dial();
    assert_eq!((stats(&fresh).last_op, stats(&fresh).last_cxid, stats(&fresh).last_zxid), ("null", 0, 0));
    assert_eq!((stats(&fresh).min_latency, stats(&fresh).received), (Some(0), 0));
    let reset = ClientStats::RESET;
    assert_eq!((reset.last_op, reset.last_cxid, reset.last_zxid, reset.min_latency), ("NA", -1, -1, None));
}

/// The beginning of a session was no operation, and its latency was in no figure.
#[test]
fn a_new_session_is_an_operation_and_coming_back_to_one_is_none() {
    let mut server = Server::new();
    let mut first = server.dial();
    first.send_frame(&first_frame(SessionId::NONE).to_bytes());
    first.serve();
    server.clock.advance_us(9000);
    server.turn();
    first.serve();
    let after = stats(&first);
    assert_eq!((after.last_op, after.last_cxid, after.last_zxid), ("SESS", 0, server.state().last_zxid().0));
    assert_eq!((after.last_latency, after.max_latency, after.count), (9, 9, 1));
    assert_eq!(server.state().stats.latency(), (9, 9, 1, 9));
    let back = server.reconnect(first.session());
    assert_eq!((stats(&back).last_op, stats(&back).last_cxid, stats(&back).count), ("null", 0, 0));
    assert_eq!(server.state().stats.latency(), (9, 9, 1, 9));
}

#[test]
fn every_operation_has_its_four_letters() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let multi = |op, parts: Vec<_>| ask::multi(op, parts);
    let cases = [
        (ask::create("/a", b""), "CREA"),
        (ask::create_as(OpCode::CREATE2, "/b", b""), "CREA"),
        (ask::create_as(OpCode::CREATE_CONTAINER, "/c", b""), "CREA"),
        (ask::set_data("/a", b"x", -1), "SETD"),
        (ask::set_acl("/a", ask::open_acl(), -1), "SETA"),
        (ask::delete("/b"), "DELE"),
        (multi(OpCode::MULTI, vec![ask::create("/m", b"")]), "MULT"),
        (multi(OpCode::MULTI_READ, vec![ask::get_data("/a", false)]), "MLTR"),
        (ask::of_path(OpCode::SYNC, "/a"), "SYNC"),
        (ask::exists("/a", true), "EXIS"),
        (ask::get_data("/a", false), "GETD"),
        (ask::add_watch("/a", 0), "ADDW"),
        (ask::get_acl("/a"), "GETA"),
        (ask::get_children("/a", false, false), "GETC"),
        (ask::get_children("/a", false, true), "GETC"),
        (ask::of_path(OpCode::GET_ALL_CHILDREN_NUMBER, "/a"), "GETACN"),
        (ask::watches(OpCode::CHECK_WATCHES, "/a", 3), "CHKW"),
        (ask::watches(OpCode::REMOVE_WATCHES, "/a", 3), "REMW"),
        (ask::of_path(OpCode::GET_EPHEMERALS, "/"), "GETE"),
        ((OpCode::WHO_AM_I, Vec::new()), "HOMI"),
        (ask::ping(), "PING"),
        (ask::close_session(), "CLOS"),
    ];
    for (asked, name) in cases {
        server.succeed(&mut peer, asked);
        assert_eq!(stats(&peer).last_op, name);
    }
}

#[test]
fn what_is_read_and_written_counts_for_the_first_component() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let metrics = server.shared.metrics.clone();
    server.succeed(&mut peer, ask::create("/ns", b"12345"));
    server.succeed(&mut peer, ask::create_as(OpCode::CREATE2, "/ns/b", b"1"));
    server.succeed(&mut peer, ask::create_as(OpCode::CREATE_CONTAINER, "/ns/c", b"22"));
    server.succeed(&mut peer, ask::ephemeral("/ns/e"));
    let mut bytes = (3 + 5) + (5 + 1) + (5 + 2) + 5;
    assert_eq!(of_namespace(&metrics.write_per_namespace, "ns"), (4, bytes));
    server.succeed(&mut peer, ask::set_data("/ns", b"1234567", -1));
    server.succeed(&mut peer, ask::delete("/ns/b"));
    bytes += (3 + 7) + 5;
    assert_eq!(of_namespace(&metrics.write_per_namespace, "ns"), (6, bytes));
    let parts = vec![ask::create("/ns/m", b"1"), ask::check("/ns", -1), ask::set_data("/ns/m", b"333", -1)];
    server.succeed(&mut peer, ask::multi(OpCode::MULTI, parts));
    bytes += (5 + 1) + (5 + 3);
    assert_eq!(of_namespace(&metrics.write_per_namespace, "ns"), (8, bytes));
    // Nothing of a multi that fails is written.
    let parts = vec![ask::create("/ns/n", b"1"), ask::create("/ns", b"")];
    server.ask(&mut peer, ask::multi(OpCode::MULTI, parts));
    server.ask(&mut peer, ask::create("/ns", b""));
    assert_eq!(of_namespace(&metrics.write_per_namespace, "ns"), (8, bytes));
    assert_eq!(of_namespace(&metrics.read_per_namespace, "ns"), (0, 0));

    let stat = STAT as i64;
    server.succeed(&mut peer, ask::get_data("/ns", false));
    server.succeed(&mut peer, ask::exists("/ns/m", false));
    server.succeed(&mut peer, ask::get_children("/ns", false, false));
    let mut bytes = (3 + 7 + stat) + (5 + stat) + (3 + 3 + stat);
    assert_eq!(of_namespace(&metrics.read_per_namespace, "ns"), (3, bytes));
    server.ask(&mut peer, ask::get_data("/ns/none", false));
    assert_eq!(of_namespace(&metrics.read_per_namespace, "ns"), (3, bytes));
    // Several reads in one turn, of several namespaces; and the same behind a write.
    server.succeed(&mut peer, ask::create("/ä", b""));
    for is_behind_a_write in [false, true] {
        if is_behind_a_write {
            peer.send(ask::set_data("/ns", b"7654321", -1));
        }
        for path in ["/ns", "/ä", "/ä", "/ns"] {
            peer.send(ask::get_data(path, false));
        }
        peer.serve();
        server.turn();
        peer.serve();
        bytes += 2 * (3 + 7 + stat);
    }
    assert_eq!(of_namespace(&metrics.read_per_namespace, "ns"), (7, bytes));
    assert_eq!(of_namespace(&metrics.read_per_namespace, "ä"), (4, 4 * (2 + stat)), "as Java counts");
    // What a session leaves behind.
    let (count, bytes) = of_namespace(&metrics.write_per_namespace, "ns");
    server.succeed(&mut peer, ask::close_session());
    assert_eq!(of_namespace(&metrics.write_per_namespace, "ns"), (count + 1, bytes + 5));
}

#[test]
fn watches_that_fire_are_counted_by_what_happened() {
    let mut server = Server::new();
    let metrics = server.shared.metrics.clone();
    let (mut peer, mut other, mut writer) = (server.connect(), server.connect(), server.connect());
    server.succeed(&mut writer, ask::create("/p", b""));
    for peer in [&mut peer, &mut other] {
        server.ask(peer, ask::exists("/p/a", true));
        server.succeed(peer, ask::get_children("/p", true, true));
    }
    let fired = || {
        [
            figures(&metrics.node_created_watch_count),
            figures(&metrics.node_deleted_watch_count),
            figures(&metrics.node_changed_watch_count),
            figures(&metrics.node_children_watch_count),
        ]
    };
    assert_eq!(fired(), [(0, 0); 4]);
    server.succeed(&mut writer, ask::create("/p/a", b""));
    assert_eq!(fired(), [(1, 2), (0, 0), (0, 0), (1, 2)]);
    server.succeed(&mut peer, ask::get_data("/p/a", true));
    server.succeed(&mut writer, ask::set_data("/p/a", b"x", -1));
    assert_eq!(fired(), [(1, 2), (0, 0), (1, 1), (1, 2)]);
    server.succeed(&mut other, ask::exists("/p/a", true));
    server.succeed(&mut writer, ask::delete("/p/a"));
    assert_eq!(fired(), [(1, 2), (1, 1), (1, 1), (1, 2)]);
}

#[test]
fn each_stage_of_a_write_is_counted_for_each_request() {
    let mut server = Server::new();
    let (mut peer, mut other) = (server.connect(), server.connect());
    let metrics = server.shared.metrics.clone();
    let before = figures(&metrics.prep_processor_queue_time_ms);
    let queued = metrics.prep_processor_request_queued.value();
    let logged = metrics.sync_processor_request_queued.value();
    let synced = metrics.fsynctime.count();
    // Two that waited 5 ms, one that waited 2 ms, one that just came; one of them is no transaction.
    peer.send(ask::create("/a", b""));
    peer.send(ask::create("/b", b""));
    peer.serve();
    server.clock.advance_us(3000);
    peer.send(ask::get_data("/b", false));
    peer.serve();
    server.clock.advance_us(2000);
    other.send(ask::close_session());
    other.serve();
    server.turn();
    let after = figures(&metrics.prep_processor_queue_time_ms);
    assert_eq!((after.0 - before.0, after.1 - before.1), (4, 12));
    assert_eq!(metrics.prep_processor_queue_time_ms.max(), 5);
    assert_eq!(metrics.prep_processor_request_queued.value() - queued, 4);
    assert_eq!(metrics.sync_processor_request_queued.value() - logged, 3);
    assert_eq!((metrics.sync_processor_batch_size.max(), metrics.fsynctime.count() - synced), (3, 1));
    assert_eq!((metrics.prep_processor_queue_size.max(), metrics.close_session_prep_time.count()), (4, 1));
    assert_eq!(metrics.outstanding_changes_queued.value(), metrics.outstanding_changes_removed.value());
    assert!(metrics.outstanding_changes_queued.value() >= 4, "two nodes and, twice, their parent");
    assert_eq!(metrics.sync_process_time.count(), metrics.sync_processor_request_queued.value());
    assert_eq!(metrics.propagation_latency.count(), metrics.sync_processor_request_queued.value());
}

#[test]
fn sessions_that_expire_or_come_back_are_counted() {
    let mut server = Server::new();
    let metrics = server.shared.metrics.clone();
    let peer = server.connect();
    let again = server.reconnect(peer.session());
    assert_eq!(again.session(), peer.session());
    assert_eq!(metrics.connection_revalidate_count.value(), 1);
    assert_eq!(metrics.connection_request_count.value(), 2);
    server.reconnect(SessionId(77));
    assert_eq!(metrics.connection_request_count.value(), 3);
    assert_eq!(metrics.stale_sessions_expired.value(), 0);
    let mut again = again;
    again.hang_up();
    server.pass(40_000, &mut []);
    assert_eq!(metrics.stale_sessions_expired.value(), 1);
    let mut silent = server.dial();
    silent.send_frame(&jute::records::Record::to_bytes(&first_frame(SessionId::NONE))[..20]);
    silent.serve();
    assert!(silent.end().is_some_and(|why| why.contains("asks for no session")), "{:?}", silent.end());
    assert_eq!(metrics.connection_request_count.value(), 3);
}

/// The counters stood still. Ten reads of one node are nine hits.
#[test]
fn replies_that_the_reference_would_have_in_its_cache_are_counted() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b"1"));
    let metrics = server.shared.metrics.clone();
    let of_data =
        || (metrics.response_packet_cache_hits.value(), metrics.response_packet_cache_misses.value());
    let of_children = || {
        let (hits, misses) = (
            &metrics.response_packet_get_children_cache_hits,
            &metrics.response_packet_get_children_cache_misses,
        );
        (hits.value(), misses.value())
    };
    (0..10).for_each(|_| drop(server.succeed(&mut peer, ask::get_data("/a", false))));
    assert_eq!((of_data(), of_children()), ((9, 1), (0, 0)));
    server.ask(&mut peer, ask::get_data("/none", false));
    server.succeed(&mut peer, ask::get_children("/a", false, false));
    server.succeed(&mut peer, ask::multi(OpCode::MULTI_READ, [ask::get_data("/a", false)]));
    assert_eq!((of_data(), of_children()), ((9, 1), (0, 0)), "neither errors nor others are kept");
    (0..3).for_each(|_| drop(server.succeed(&mut peer, ask::get_children("/a", false, true))));
    assert_eq!(of_children(), (2, 1));
    // A read behind a write counts too; a changed node is not found.
    peer.send(ask::set_data("/a", b"2", -1));
    peer.send(ask::get_data("/a", false));
    peer.serve();
    server.turn();
    peer.serve();
    assert_eq!(of_data(), (9, 2));
    server.succeed(&mut peer, ask::get_data("/a", false));
    assert_eq!(of_data(), (10, 2));
}
