//! The audit trail, all the way from the frame to the line.

use std::sync::{Arc, Mutex};

use jute::{Code, OpCode};

use super::testing::{Server, ask};
use crate::audit::{Line, ServerEvent};
use crate::runtime::trail::Trail;

/// A server that is audited, and what its trail holds: each line from its operation on, with `!` before a failure.
fn audited() -> (Server, Arc<Mutex<Vec<String>>>) {
    let (server, lines) = (Server::new(), Arc::new(Mutex::new(Vec::new())));
    let written = Arc::clone(&lines);
    let write = move |line: &Line| {
        let (_, text) = line.text.split_once("operation=").expect("each line has an operation");
        let mark = if line.is_failure { "!" } else { "" };
        written.lock().unwrap().push(format!("{mark}{text}"));
    };
    server.state().set_trail(Trail::new("zk".into(), Box::new(write)));
    (server, lines)
}

#[test]
fn each_change_has_its_line_when_it_is_answered_and_reads_have_none() {
    let (mut server, lines) = audited();
    let mut peer = server.connect();
    peer.send(ask::create("/a", b""));
    peer.serve();
    assert!(lines.lock().unwrap().is_empty(), "it is not known yet what comes of it");
    server.turn();
    server.succeed(&mut peer, ask::get_data("/a", false));
    assert_eq!(server.ask(&mut peer, ask::create("/a", b"")).code, Code::NODE_EXISTS);
    server.succeed(&mut peer, ask::delete("/a"));
    let expected = [
        "create\tznode=/a\tznode_type=persistent\tresult=success",
        "!create\tznode=/a\tznode_type=persistent\tresult=failure",
        "delete\tznode=/a\tresult=success",
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}

/// It takes no zxid, and is audited all the same.
#[test]
fn a_change_that_cannot_be_read_has_its_line() {
    let (mut server, lines) = audited();
    let mut peer = server.connect();
    assert_eq!(server.ask(&mut peer, (OpCode::RECONFIG, vec![0])).code, Code::MARSHALLING_ERROR);
    assert_eq!(*lines.lock().unwrap(), ["!reconfig\tresult=failure"]);
}

#[test]
fn the_begin_and_the_end_of_the_server_have_their_lines() {
    let (server, lines) = audited();
    for event in [ServerEvent::Started, ServerEvent::Stops, ServerEvent::NotStarted] {
        server.state().trail().expect("it is audited").server(event);
    }
    let expected =
        ["serverStart\tresult=success", "serverStop\tresult=invoked", "!serverStart\tresult=failure"];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[test]
fn what_goes_with_a_session_has_its_line() {
    let (mut server, lines) = audited();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::ephemeral("/e"));
    server.succeed(&mut peer, ask::close_session());
    let expected = "ephemeralZNodeDeletionOnSessionCloseOrExpire\tznode=/e\tresult=success";
    assert_eq!(lines.lock().unwrap().last().map(String::as_str), Some(expected));
    assert_eq!(lines.lock().unwrap().len(), 2);
}
