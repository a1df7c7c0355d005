//! Answers that take long are made in slices between which everybody else is served, and say what they would have
//! said in one go: many watches, multis of many reads, many ephemerals.

use std::collections::BTreeSet;

use jute::records::proto::{GetDataResponse, GetEphemeralsResponse};
use jute::{Code, OpCode, Reader};

use super::answers_test::results;
use super::testing::{Ask, Peer, Server, ask};
use crate::request::one_state::SLICE_PARTS;
use crate::request::set_watches::SLICE_PATHS;
use crate::watch::EventType;

/// Nodes below `/n`: more than three slices of anything.
const NODES: usize = 3 * SLICE_PARTS + 100;
const _: () = assert!(SLICE_PARTS >= SLICE_PATHS);

fn node(n: usize) -> String {
    format!("/n/{n:05}")
}

fn server(create: impl Fn(&str) -> Ask) -> (Server, Peer) {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/n", b""));
    for some in (0..NODES).collect::<Vec<_>>().chunks(1000) {
        let parts = some.iter().map(|n| create(&node(*n)));
        server.succeed(&mut peer, ask::multi(OpCode::MULTI, parts));
    }
    (server, peer)
}

/// Serves the connection; between its turns `meanwhile` happens. Returns how many turns it took.
fn serve_while(peer: &mut Peer, mut meanwhile: impl FnMut(usize)) -> usize {
    let mut turns = 1;
    while peer.link.turn() {
        meanwhile(turns);
        turns += 1;
        assert!(turns < 1000, "it ends");
    }
    peer.serve();
    turns
}

fn paths(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(node).collect()
}

#[test]
fn many_watches_are_set_in_slices_and_no_change_in_between_is_missed() {
    let (mut server, mut other) = server(|path| ask::create(path, b""));
    let mut peer = server.connect();
    let seen = server.state().last_zxid();
    let none: Vec<String> = (0..NODES).map(|n| format!("/none/{n:05}")).collect();
    peer.send(ask::set_watches(seen, &[&paths(0..NODES), &none, &["/n".to_owned()], &[], &[]]));
    let behind = peer.send(ask::exists("/n", false));
    let mut changed = Vec::new();
    let turns = serve_while(&mut peer, |turn| {
        if turn == 2 {
            // One is watched by now, the other is not.
            for n in [0, NODES - 1] {
                server.succeed(&mut other, ask::set_data(&node(n), b"new", -1));
                changed.push((EventType::NodeDataChanged as i32, node(n)));
            }
            server.succeed(&mut other, ask::delete(&node(NODES - 2)));
            changed.push((EventType::NodeDeleted as i32, node(NODES - 2)));
            changed.push((EventType::NodeChildrenChanged as i32, "/n".to_owned()));
        }
    });
    assert!(turns > 2 * NODES / SLICE_PATHS, "{turns} turns");
    let replies = peer.take_replies();
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [Code::OK, Code::OK]);
    assert_eq!(replies[1].xid, behind);
    let (mut events, mut changed) = (peer.take_events(), changed);
    events.sort();
    changed.sort();
    assert_eq!(events, changed);
    assert_eq!(
        server.state().watches().count(),
        2 * NODES - 3,
        "those that fired, and that told at once, are gone"
    );
}

#[test]
fn watches_behind_a_write_wait_for_it_and_hold_nobody_up() {
    let (mut server, mut peer) = server(|path| ask::create(path, b""));
    let seen = server.state().last_zxid();
    let order = [
        peer.send(ask::set_data(&node(0), b"new", -1)),
        peer.send(ask::set_watches(seen, &[&paths(0..NODES), &[], &[], &[], &[]])),
        peer.send(ask::set_data(&node(1), b"new", -1)),
    ];
    peer.serve();
    server.turn();
    let turns = serve_while(&mut peer, |_| {});
    assert!(turns > NODES / SLICE_PATHS, "{turns} turns");
    server.turn();
    peer.serve();
    assert_eq!(peer.take_replies().iter().map(|reply| reply.xid).collect::<Vec<_>>(), order);
    let event = |n| (EventType::NodeDataChanged as i32, node(n));
    assert_eq!(peer.take_events(), [event(0), event(1)]);
}

#[test]
fn of_a_malformed_list_of_watches_none_is_set() {
    let (mut server, mut peer) = server(|path| ask::create(path, b""));
    let seen = server.state().last_zxid();
    let (op, mut body) = ask::set_watches(seen, &[&paths(0..NODES), &[], &[], &[], &[]]);
    body.truncate(body.len() - 1);
    assert_eq!(server.ask(&mut peer, (op, body)).code, Code::MARSHALLING_ERROR);
    assert_eq!(server.state().watches().count(), 0);
}

fn read_all() -> Ask {
    ask::multi(OpCode::MULTI_READ, (0..NODES).map(|n| ask::get_data(&node(n), false)))
}

fn data_of(reply: &super::testing::Reply) -> Vec<Option<Vec<u8>>> {
    let data =
        |body: &[u8]| <GetDataResponse as jute::records::Record>::decode(&mut Reader::new(body)).ok()?.data;
    results(reply)
        .iter()
        .map(|(op, _, body)| (*op == OpCode::GET_DATA.0).then(|| data(body)).flatten())
        .collect()
}

#[test]
fn a_multi_of_many_reads_is_made_in_slices_and_shows_one_state() {
    let (mut server, mut other) = server(|path| ask::create(path, b"old"));
    let mut peer = server.connect();
    peer.send(read_all());
    let turns = serve_while(&mut peer, |turn| match turn {
        // What was read already, and what is still to be read: both or none.
        1 => {
            let both = [0, NODES - 1].map(|n| ask::set_data(&node(n), b"new", -1));
            server.succeed(&mut other, ask::multi(OpCode::MULTI, both));
        }
        // It shows neither that this was there nor that it has gone, but in one state.
        2 => drop(server.succeed(&mut other, ask::delete(&node(NODES - 2)))),
        _ => {}
    });
    assert!(turns > NODES / SLICE_PARTS, "{turns} turns");
    let reply = peer.take_replies().pop().expect("the reply");
    let data = data_of(&reply);
    assert_eq!((reply.code, data.len()), (Code::OK, NODES));
    assert_eq!(data[0], data[NODES - 1]);
    assert_eq!(data[NODES - 2], None, "it was begun again when that had gone");
    assert_eq!(reply.zxid, server.state().last_zxid());
    assert_eq!(peer.client.outbox().last_zxid(), reply.zxid, "no ping shows an earlier state");
    assert_eq!(server.state().stats.response_bytes().2, 16 + reply.body.len() as i64, "the largest so far");
}

/// What clients make the server hold is known before it is sent.
#[test]
fn long_replies_count_with_what_is_there_while_they_are_made() {
    let (server, mut peer) = server(|path| ask::create(path, b"old"));
    let seen = server.state().last_zxid();
    let part_bytes = read_all().1.len() / NODES;
    peer.send(read_all());
    for turn in 1..=NODES / SLICE_PARTS {
        assert!(peer.link.turn());
        let waiting = peer.client.outbox().waiting();
        assert!(waiting > turn * SLICE_PARTS * part_bytes, "{waiting} bytes after {turn} turns");
    }
    peer.serve();
    peer.send(ask::set_watches(seen, &[&paths(0..NODES), &[], &[], &[], &[]]));
    assert!(peer.link.turn());
    assert!(peer.client.outbox().waiting() > NODES * node(0).len(), "the paths that are to be watched");
}

#[test]
fn what_changes_all_the_time_is_read_in_one_go_in_the_end() {
    let (mut server, mut other) = server(|path| ask::create(path, b"0"));
    let mut peer = server.connect();
    peer.send(read_all());
    let turns = serve_while(&mut peer, |turn| {
        let all = [0, NODES - 1].map(|n| ask::set_data(&node(n), turn.to_string().as_bytes(), -1));
        server.succeed(&mut other, ask::multi(OpCode::MULTI, all));
    });
    // Four times in slices, the fifth time in one go; then there is nothing more.
    assert_eq!(turns, 4 * NODES.div_ceil(SLICE_PARTS) + 1 + 1);
    let data = data_of(&peer.take_replies().pop().expect("the reply"));
    assert_eq!((data.len(), &data[0]), (NODES, &data[NODES - 1]));
}

/// What a client writes behind a read does not show in it.
#[test]
fn a_multi_of_many_reads_between_writes_shows_the_first_and_not_the_second() {
    let (mut server, mut peer) = server(|path| ask::create(path, b"old"));
    let last = node(NODES - 1);
    peer.send(ask::set_data(&last, b"first", -1));
    peer.send(read_all());
    peer.send(ask::set_data(&last, b"second", -1));
    peer.serve();
    server.turn();
    let turns = serve_while(&mut peer, |_| server.turn());
    assert!(turns > NODES / SLICE_PARTS, "{turns} turns");
    server.turn();
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.len(), 3);
    assert_eq!(data_of(&replies[1])[NODES - 1].as_deref(), Some(&b"first"[..]));
}

#[test]
fn many_ephemerals_are_listed_in_slices_and_are_one_state() {
    let (mut server, mut peer) = server(ask::ephemeral);
    let mut other = server.connect();
    peer.send(ask::of_path(OpCode::GET_EPHEMERALS, "/n/"));
    let turns = serve_while(&mut peer, |turn| {
        if turn == 2 {
            for n in [0, NODES - 1] {
                server.succeed(&mut other, ask::delete(&node(n)));
            }
        }
    });
    assert!(turns > NODES / SLICE_PARTS, "{turns} turns");
    let reply = peer.take_replies().pop().expect("the reply");
    let listed: BTreeSet<_> =
        reply.body::<GetEphemeralsResponse>().ephemerals.expect("a list").into_iter().flatten().collect();
    assert_eq!(listed, paths(1..NODES - 1).into_iter().collect(), "it was begun again when they had gone");
}
