//! What a connection answers, and in which order.

use std::sync::mpsc;
use std::time::Duration;

use jute::records::Record;
use jute::records::proto::{CreateResponse, GetDataResponse, RequestHeader, SetDataResponse};
use jute::{Code, OpCode, Zxid, write};

use super::protocol::Consumed;
use super::testing::{Peer, Reply, Server, ask};

fn data_of(reply: &Reply) -> Vec<u8> {
    reply.body::<GetDataResponse>().data.unwrap()
}

/// Everything that was answered once the writer had its turn.
fn replies_after_turn(server: &mut Server, peer: &mut Peer) -> Vec<Reply> {
    server.turn();
    peer.serve();
    peer.take_replies()
}

#[test]
fn a_read_behind_a_write_of_its_session_is_answered_after_it_and_sees_it() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b"old"));
    let sent = [
        peer.send(ask::set_data("/a", b"new", -1)),
        peer.send(ask::get_data("/a", false)),
        peer.send(ask::set_data("/a", b"newer", -1)),
        peer.send(ask::get_data("/a", false)),
    ];
    peer.serve();
    assert!(peer.take_replies().is_empty(), "the write was not carried out yet");
    let replies = replies_after_turn(&mut server, &mut peer);
    assert_eq!(replies.iter().map(|reply| reply.xid).collect::<Vec<_>>(), sent);
    assert_eq!((&*data_of(&replies[1]), &*data_of(&replies[3])), (&b"new"[..], &b"newer"[..]));
}

#[test]
fn a_read_does_not_wait_for_writes_of_others() {
    let mut server = Server::new();
    let (mut writer, mut reader) = (server.connect(), server.connect());
    server.succeed(&mut writer, ask::create("/a", b"old"));
    writer.send(ask::set_data("/a", b"new", -1));
    writer.serve();
    reader.send(ask::get_data("/a", false));
    reader.serve();
    assert_eq!(data_of(&reader.take_replies()[0]), b"old");
}

#[test]
fn replies_to_writes_carry_their_zxid_and_refusals_take_one_too() {
    let mut server = Server::new();
    let mut peer = server.connect();
    assert_eq!(server.state().last_zxid(), Zxid(1), "the session");
    assert_eq!(server.succeed(&mut peer, ask::create("/a", b"")).zxid, Zxid(2));
    let refused = server.ask(&mut peer, ask::create("/a", b""));
    assert_eq!((refused.code, refused.zxid, refused.body.len()), (Code::NODE_EXISTS, Zxid(3), 0));
    assert_eq!(server.succeed(&mut peer, ask::get_data("/a", false)).zxid, Zxid(3));
    peer.send(ask::set_data("/a", b"1", -1));
    peer.send(ask::set_data("/a", b"2", -1));
    peer.serve();
    let replies = replies_after_turn(&mut server, &mut peer);
    assert_eq!(replies.iter().map(|reply| reply.zxid.0).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_write_is_not_answered_before_the_writer_had_its_turn() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send(ask::create("/a", b""));
    peer.serve();
    assert_eq!((peer.take_replies().len(), server.has("/a")), (0, false));
    assert_eq!(replies_after_turn(&mut server, &mut peer).len(), 1);
    assert!(server.has("/a"));
}

#[test]
fn events_come_before_the_reply_to_the_write_that_caused_them() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b""));
    server.succeed(&mut peer, ask::get_data("/a", true));
    peer.set_reads(false);
    peer.send(ask::set_data("/a", b"new", -1));
    peer.serve();
    server.turn();
    let mut bytes = Vec::new();
    peer.client.outbox().collect(&mut bytes, std::task::Waker::noop());
    assert_eq!(bytes[4..8], (-1_i32).to_be_bytes(), "the event's xid");
}

/// A ping needed the tree, so that clients lost their sessions while a large change held it.
#[test]
fn a_ping_is_answered_while_the_tree_is_held() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let shared = server.shared.clone();
    let tree = shared.state.tree_mut();
    let (done, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            peer.send(ask::ping());
            peer.serve();
            done.send(peer.take_replies()).unwrap();
        });
        let replies = answered.recv_timeout(Duration::from_secs(20));
        drop(tree);
        let replies = replies.expect("the ping waited for the tree");
        assert_eq!(replies.iter().map(|reply| reply.xid).collect::<Vec<_>>(), [-2]);
    });
}

/// The reference lets anybody delete any node this way.
#[test]
fn a_delete_container_of_a_client_is_refused_and_ends_the_connection() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b""));
    let path = jute::records::proto::GetACLRequest { path: Some("/a".into()) }.to_bytes();
    let reply = server.ask(&mut peer, (OpCode::DELETE_CONTAINER, path));
    assert_eq!(reply.code, Code::UNIMPLEMENTED);
    server.turn();
    assert!(server.has("/a"));
    assert!(peer.end().is_some());
}

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let mut server = Server::new();
    let mut peer = server.connect();
    peer.send((OpCode(77), Vec::new()));
    peer.send(ask::create("/behind", b""));
    peer.serve();
    assert_eq!(peer.take_replies().first().map(|reply| reply.code), Some(Code::UNIMPLEMENTED));
    server.turn();
    assert!(peer.end().is_some() && !server.has("/behind"));
}

#[test]
fn a_frame_longer_than_may_be_closes_the_connection_before_it_came() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let announced = 1 + server.shared.limits.frame_bytes_max as i32;
    peer.stream.send(&announced.to_be_bytes());
    peer.serve();
    assert!(peer.end().is_some_and(|why| why.contains("jute.maxbuffer")), "{:?}", peer.end());
}

#[test]
fn set_data_with_another_version_changes_nothing() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/a", b"first"));
    assert_eq!(server.ask(&mut peer, ask::set_data("/a", b"x", 1)).code, Code::BAD_VERSION);
    let reply = server.succeed(&mut peer, ask::set_data("/a", b"second", 0));
    assert_eq!(reply.body::<SetDataResponse>().stat.version, 1);
    assert_eq!(server.ask(&mut peer, ask::set_data("/a", b"x", 0)).code, Code::BAD_VERSION);
    assert_eq!(data_of(&server.succeed(&mut peer, ask::get_data("/a", false))), b"second");
}

#[test]
fn sequential_nodes_are_numbered_from_zero_by_their_parent() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/q", b""));
    let all = vec![ask::acl(31, "world", "anyone")];
    let mut next = || {
        let reply = server.succeed(&mut peer, ask::create_with("/q/n-", b"", all.clone(), 2));
        reply.body::<CreateResponse>().path.unwrap()
    };
    assert_eq!([next(), next()], ["/q/n-0000000000", "/q/n-0000000001"]);
}

#[test]
fn a_read_behind_a_write_leaves_its_watch_like_any_other() {
    let mut server = Server::new();
    let (mut watcher, mut writer) = (server.connect(), server.connect());
    watcher.send(ask::create("/a", b""));
    watcher.send(ask::get_data("/a", true));
    watcher.serve();
    assert_eq!(replies_after_turn(&mut server, &mut watcher).len(), 2);
    server.succeed(&mut writer, ask::set_data("/a", b"new", -1));
    watcher.serve();
    assert_eq!(watcher.take_events(), [(3, "/a".to_owned())]);
}

#[test]
fn the_watches_of_a_connection_go_with_it() {
    let mut server = Server::new();
    let (mut watcher, mut writer) = (server.connect(), server.connect());
    server.succeed(&mut watcher, ask::get_data("/", true));
    server.succeed(&mut watcher, ask::add_watch("/", 1));
    watcher.hang_up();
    assert!(server.state().watches().is_empty());
    assert_eq!(server.shared.inbox.gone(), [watcher.client.id], "the writer is told");
    // One that was asked for behind a write, and is left when the connection has gone, stays away too.
    let mut late = server.connect();
    late.send(ask::create("/a", b""));
    late.send(ask::get_data("/a", true));
    late.serve();
    late.hang_up();
    server.turn();
    assert!(server.has("/a"));
    assert!(server.state().watches().is_empty());
    assert_eq!(server.succeed(&mut writer, ask::set_data("/a", b"new", -1)).code, Code::OK);
}

/// To the byte.
#[test]
fn who_leaves_as_much_unread_as_may_be_is_not_read_and_not_served_and_is_heard_from_when_it_reads() {
    let mut server = Server::new();
    let mut peer = server.connect();
    let most = server.shared.limits.unsent_bytes_max;
    let mut sent = Vec::new();
    write::buffer(&mut sent, Some(&RequestHeader { xid: -2, r#type: OpCode::PING.0 }.to_bytes()));
    let protocol = peer.link.protocol();
    assert!(protocol.may_read(most - 1) && !protocol.may_read(most));
    assert!(protocol.is_listening(most), "its silence is its own");
    protocol.input().fill(|buffer| buffer.extend_from_slice(&sent));
    assert_eq!((protocol.consume(most).unwrap(), protocol.served()), (Consumed::Nothing, 0));
    assert_eq!((protocol.consume(most - 1).unwrap(), protocol.served()), (Consumed::Something, 1));
    server.clock.advance_us(1_000_000);
    let session = peer.client.session().unwrap().clone();
    let due_ms = session.deadline_ms();
    peer.link.protocol().took(most - 1);
    assert_eq!(session.deadline_ms(), due_ms, "it is heard from when it is read");
    peer.link.protocol().took(most);
    assert_eq!(session.deadline_ms(), due_ms + 1000);
}
