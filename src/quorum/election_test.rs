//! The election port between members, and beside peers that misbehave.

use std::time::Duration;

use jute::write;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::testing::*;
use super::*;

fn frame(round: i64) -> Vec<u8> {
    let (mut body, mut frame) = (Vec::new(), Vec::new());
    notification(round).encode(&mut body);
    write::buffer(&mut frame, Some(&body));
    frame
}

/// Waits for a message of this round from this server.
async fn heard(node: &Node, from: Sid, round: i64) {
    node.lane
        .input(|input| match input {
            Input::Notified { from: sender, notification } => {
                (sender == from && notification.election_epoch == round).then_some(())
            }
            _ => None,
        })
        .await;
}

fn connected(node: &Node) -> (u64, Vec<Sid>) {
    node.driver.election.connected()
}

/// Waits until all have one connection to each other one.
async fn all_connected(nodes: &[Node]) {
    eventually(|| nodes.iter().all(|node| connected(node).1.len() == nodes.len() - 1).then_some(())).await;
}

/// Trap 2 of the quorum protocols.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dials_there_is_one_connection_and_it_stays() {
    for dialer in 0..2 {
        let members = members(2);
        let mut nodes = [Node::start(1, &members).await, Node::start(2, &members).await];
        nodes[dialer].driver.dial();
        all_connected(&nodes).await;
        let before = nodes.each_ref().map(|node| connected(node).0);
        for round in 0..200 {
            nodes[0].driver.notify(2, notification(round));
            nodes[1].driver.notify(1, notification(round));
            nodes.iter_mut().for_each(|node| node.driver.dial());
            heard(&nodes[1], 1, round).await;
            heard(&nodes[0], 2, round).await;
        }
        assert_eq!(nodes.each_ref().map(|node| connected(node).0), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_start_together_all_hear_each_other() {
    let members = members(5);
    let mut nodes = Vec::new();
    for sid in 1..=5 {
        nodes.push(Node::start(sid, &members).await);
    }
    // As an election does it: said again and again until it is heard.
    for round in 0..20 {
        for node in &mut nodes {
            (1..=5).for_each(|to| node.driver.notify(to, notification(round)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    all_connected(&nodes).await;
    for node in &mut nodes {
        (1..=5).for_each(|to| node.driver.notify(to, notification(77)));
    }
    for (node, me) in nodes.iter().zip(1..) {
        let mut missing: Vec<Sid> = (1..=5).filter(|sid| *sid != me).collect();
        node.lane
            .input(|input| {
                let Input::Notified { from, notification } = input else { return None };
                missing.retain(|sid| *sid != from || notification.election_epoch != 77);
                missing.is_empty().then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_message_is_sent_and_the_last_one_again_after_a_reconnect() {
    let members = members(2);
    let mut small = Node::start(1, &members).await;
    (1..=3).for_each(|round| small.driver.notify(2, notification(round)));
    // The larger one, by hand: it is asked to dial, and hears the newest.
    let dial = async || {
        let mut larger = Raw::connect(&members[&1].election[0]).await;
        larger.send(&handshake::encode(2, &members[&2].election, false)).await;
        larger
    };
    let mut larger = dial().await;
    assert_eq!(larger.take(frame(3).len()).await, frame(3));
    small.driver.notify(2, notification(4));
    assert_eq!(larger.take(frame(4).len()).await, frame(4));
    // A newer connection takes the place of the earlier one.
    let mut again = dial().await;
    assert_eq!(again.take(frame(4).len()).await, frame(4));
    assert_eq!(larger.rest().await, b"");
    small.driver.notify(2, notification(5));
    assert_eq!(again.take(frame(5).len()).await, frame(5));
}

/// Trap 1 of the quorum protocols.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smaller_one_says_who_it_is_at_once_and_hangs_up() {
    let members = members(2);
    let listener = TcpListener::bind(("127.0.0.1", members[&2].election[0].port)).await.unwrap();
    let mut small = Node::start(1, &members).await;
    small.driver.notify(2, notification(1));
    let Raw(stream) = Raw::accept(&listener).await;
    let expected = handshake::encode(1, &members[&1].election, false);
    let mut first = [0; 100];
    let mut raw = Raw(stream);
    let read = tokio::time::timeout(PATIENCE, raw.0.read(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first[..read], expected, "in one segment");
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_one_that_calls_is_dialed_back_where_it_says_it_is() {
    let members = members(2);
    let mut large = Node::start(2, &members).await;
    large.driver.notify(1, notification(9));
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = Address { host: "127.0.0.1".into(), port: elsewhere.local_addr().unwrap().port() };
    let mut caller = Raw::connect(&members[&2].election[0]).await;
    let handshake = handshake::encode(1, &[here], false);
    // A byte at a time: it is put together again.
    for byte in &handshake {
        caller.send(&[*byte]).await;
    }
    assert_eq!(caller.rest().await, b"");
    let mut called = Raw::accept(&elsewhere).await;
    let expected = handshake::encode(2, &members[&2].election, false);
    assert_eq!(called.take(expected.len()).await, expected);
    assert_eq!(called.take(frame(9).len()).await, frame(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_ends_its_connection_and_no_other() {
    let members = members(2);
    let short = |options: &mut Options| options.handshake = Duration::from_millis(300);
    let mut nodes =
        [Node::start_with(1, &members, short, &[]).await, Node::start_with(2, &members, short, &[]).await];
    nodes[1].driver.notify(1, notification(1));
    heard(&nodes[0], 2, 1).await;
    let before = connected(&nodes[1]);
    let own = handshake::encode(1, &members[&1].election, false);
    let mut oversize = own[..16].to_vec();
    write::int(&mut oversize, 2049);
    for bad in [b"GET / HTTP/1.1\r\n".to_vec(), vec![0xFF; 40], own, oversize, vec![0; 3]] {
        let mut raw = Raw::connect(&members[&1].election[0]).await;
        raw.send(&bad).await;
        assert_eq!(raw.rest().await, b"", "{bad:?}");
    }
    let mut silent = Raw::connect(&members[&1].election[0]).await;
    assert_eq!(silent.rest().await, b"");
    nodes[1].driver.notify(1, notification(2));
    heard(&nodes[0], 2, 2).await;
    assert_eq!(connected(&nodes[1]), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_frame_ends_its_connection_and_a_bad_message_is_passed_over() {
    let members = members(3);
    let mut nodes = [Node::start(1, &members).await, Node::start(2, &members).await];
    nodes[1].driver.notify(1, notification(1));
    heard(&nodes[0], 2, 1).await;
    for bad in [[0; 4], (-1i32).to_be_bytes(), (524_289i32).to_be_bytes()] {
        let mut third = Raw::connect(&members[&1].election[0]).await;
        third.send(&handshake::encode(3, &members[&3].election, false)).await;
        third.send(&[&frame(5)[..], &[0, 0, 0, 1, 7], &frame(6)].concat()).await;
        heard(&nodes[0], 3, 5).await;
        heard(&nodes[0], 3, 6).await;
        third.send(&bad).await;
        third.rest().await;
    }
    nodes[1].driver.notify(1, notification(2));
    heard(&nodes[0], 2, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let members = members(2);
    let node = Node::start(1, &members).await;
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(Raw::connect(&members[&1].election[0]).await);
    }
    let mut second = Raw::connect(&members[&1].election[0]).await;
    second.send(&[&handshake::encode(2, &members[&2].election, false)[..], &frame(3)].concat()).await;
    heard(&node, 2, 3).await;
    assert_eq!(crowd[0].rest().await, b"");
}

/// Trap 30 of the quorum protocols.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_floods_is_read_no_faster_than_the_writer_takes() {
    let members = members(2);
    let node = Node::start(1, &members).await;
    let mut second = Raw::connect(&members[&1].election[0]).await;
    second.send(&handshake::encode(2, &members[&2].election, false)).await;
    let large = Notification { config: vec![b'x'; 500_000].into(), ..notification(1) };
    let (mut body, mut frame) = (Vec::new(), Vec::new());
    large.encode(&mut body);
    write::buffer(&mut frame, Some(&body));
    let flood = tokio::spawn(async move {
        for _ in 0..100 {
            second.send(&frame).await;
        }
        second
    });
    let most = UNTAKEN_BYTES_MAX / 500_000;
    eventually(|| (node.lane.waiting() == most).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.lane.waiting(), most);
    let mut all = 0;
    eventually(|| {
        all += node.lane.take_all().len();
        (all == 100).then_some(())
    })
    .await;
    drop(flood.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named() {
    let members = members(1);
    let _taken = TcpListener::bind(("127.0.0.1", members[&1].election[0].port)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(1, &super::testing::members(1)).await;
    let parts = Parts {
        options: Options { bind_retries: 1, ..options(1, &members, &directory) },
        inbox: node.lane.clone(),
        state: node.state.clone(),
        disk: Arc::new(crate::disk::RealDisk),
        clock: Arc::new(crate::clock::RealClock),
        metrics: Arc::new(Metrics::new()),
        runtime: tokio::runtime::Handle::current(),
    };
    let Err(error) = start(parts).await else { panic!("the port is taken") };
    let text = error.to_string();
    assert!(text.contains(&members[&1].election[0].to_string()), "{text}");
}
