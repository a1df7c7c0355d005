//! The quorum port: learners that connect, and the connection to a leader.

use std::path::Path;
use std::time::Duration;

use jute::records::txn::{CreateSessionTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::write;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::learner_line::DRAINED_BYTES;
use super::testing::*;
use super::*;
use crate::disk::RealDisk;
use crate::txnlog::{self, Log};
use crate::zab::{Forwarded, FromLearner, FromMaster, Hello, Packet, Proposal};

fn bytes_of(packet: &ToMaster) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn bytes_to(packets: &[ToLearner]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut out));
    out
}

fn proposal(zxid: i64, bytes: usize) -> Proposal {
    let mut payload = vec![0; 12];
    write::long(&mut payload, zxid);
    payload.resize(20 + bytes, 7);
    Proposal { zxid: Zxid(zxid), payload: payload.into() }
}

/// The next learner that introduces itself.
async fn came(node: &Node) -> (Link, Hello) {
    node.lane
        .input(|input| match input {
            Input::LearnerCame { link, hello } => Some((link, hello)),
            _ => None,
        })
        .await
}

async fn left(node: &Node, wanted: Link) {
    node.lane
        .input(|input| matches!(input, Input::LearnerLeft { link } if link == wanted).then_some(()))
        .await;
}

/// A leader, and a learner by hand that has introduced itself.
async fn leader_and_learner(members: &BTreeMap<Sid, Member>) -> (Node, Raw, Link) {
    let mut node = Node::start(1, members).await;
    node.driver.listen(true);
    let mut learner = Raw::connect(&members[&1].quorum[0]).await;
    learner.send(&bytes_of(&ToMaster::Hello(hello(2)))).await;
    let (link, said) = came(&node).await;
    assert_eq!(said, hello(2));
    (node, learner, link)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_heard_however_its_bytes_come_and_answered_in_order() {
    let members = members(2);
    let (mut node, mut learner, link) = leader_and_learner(&members).await;
    let identities = Vec::new();
    let (body, op) = (vec![9; 1000].into(), jute::OpCode::SET_DATA);
    let request = Forwarded { session: SESSION, cxid: 5, op, body, identities };
    for byte in bytes_of(&ToMaster::Request(request.clone())) {
        learner.send(&[byte]).await;
    }
    let said = node
        .lane
        .input(|input| match input {
            Input::LearnerSaid { link: from, said } => (from == link).then_some(said),
            _ => None,
        })
        .await;
    assert_eq!(said, FromLearner::Request(request));
    let mut packets: Vec<_> = (1..3000).map(|zxid| ToLearner::Proposal(proposal(zxid, 300))).collect();
    packets.push(ToLearner::UpToDate);
    let mut weight: usize = packets.iter().map(ToLearner::weight).sum();
    packets.iter().for_each(|packet| node.driver.to_learner(link, packet.clone()));
    node.driver.flush();
    let expected = bytes_to(&packets);
    assert_eq!(learner.take(expected.len()).await, expected);
    node.lane
        .input(|input| {
            let Input::Drained { bytes, .. } = input else { return None };
            weight -= bytes;
            (weight < DRAINED_BYTES).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_introduction_ends_its_connection_and_no_other() {
    let members = members(2);
    let soon = |options: &mut Options| options.init = Duration::from_millis(300);
    let mut node = Node::start_with(1, &members, soon, &[]).await;
    node.driver.listen(true);
    let mut good = Raw::connect(&members[&1].quorum[0]).await;
    good.send(&bytes_of(&ToMaster::Hello(hello(2)))).await;
    let (link, _) = came(&node).await;
    let mut large = bytes_of(&ToMaster::Hello(hello(3)));
    large[12..16].copy_from_slice(&(2i32 << 20).to_be_bytes());
    let ping = bytes_of(&ToMaster::Ping { zxid: Zxid(1), touched: Vec::new() });
    for bad in [ping, large, vec![0xFF; 40], b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new()] {
        let mut raw = Raw::connect(&members[&1].quorum[0]).await;
        raw.send(&bad).await;
        assert_eq!(raw.rest().await, b"", "{bad:?}");
    }
    assert!(node.lane.take_all().is_empty(), "nothing was heard of any");
    node.driver.to_learner(link, ToLearner::UpToDate);
    node.driver.flush();
    let expected = bytes_to(&[ToLearner::UpToDate]);
    assert_eq!(good.take(expected.len()).await, expected);
    // What makes no sense later ends the connection too.
    good.send(&bytes_of(&ToMaster::Hello(hello(2)))).await;
    good.rest().await;
    left(&node, link).await;
}

/// A learner that tries until it is heard: the port of an earlier term may still be closing.
async fn join(node: &Node, members: &BTreeMap<Sid, Member>) -> (Raw, Link) {
    loop {
        let mut learner = Raw::connect(&members[&1].quorum[0]).await;
        let sent = learner.0.write_all(&bytes_of(&ToMaster::Hello(hello(2)))).await;
        if sent.is_ok()
            && let Ok((link, _)) = tokio::time::timeout(Duration::from_millis(500), came(node)).await
        {
            return (learner, link);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_connections_end_and_numbers_are_never_used_again() {
    let members = members(2);
    let (mut node, mut learner, first) = leader_and_learner(&members).await;
    node.driver.close_learner(first, "a test");
    assert_eq!(learner.rest().await, b"");
    let mut links = vec![first];
    for _ in 0..3 {
        let (mut learner, link) = join(&node, &members).await;
        assert!(!links.contains(&link));
        links.push(link);
        node.driver.listen(false);
        assert_eq!(learner.rest().await, b"");
        node.driver.listen(true);
    }
    let (learner, link) = join(&node, &members).await;
    drop(learner);
    left(&node, link).await;
    drop(node);
    assert!(
        TcpListener::bind(("127.0.0.1", members[&1].quorum[0].port)).await.is_ok(),
        "nobody listens once it is dropped"
    );
}

/// A learner, and its leader by hand.
async fn learner_and_leader(members: &BTreeMap<Sid, Member>) -> (Node, Raw) {
    let listener = TcpListener::bind(("127.0.0.1", members[&2].quorum[0].port)).await.unwrap();
    let mut node = Node::start(1, members).await;
    node.driver.dial_master(2);
    let leader = Raw::accept(&listener).await;
    node.lane.input(|input| matches!(input, Input::MasterCame).then_some(())).await;
    (node, leader)
}

async fn master_left(node: &Node) -> String {
    node.lane
        .input(|input| match input {
            Input::MasterLeft { why } => Some(why),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_told_and_heard_and_a_lost_one_is_named() {
    let members = members(2);
    let (mut node, mut leader) = learner_and_leader(&members).await;
    node.driver.to_master(ToMaster::Hello(hello(1)));
    node.driver.flush();
    let expected = bytes_of(&ToMaster::Hello(hello(1)));
    assert_eq!(leader.take(expected.len()).await, expected);
    leader.send(&bytes_to(&[ToLearner::Diff(Zxid(3)), ToLearner::Proposal(proposal(4, 10))])).await;
    for wanted in [FromMaster::Diff(Zxid(3)), FromMaster::Proposal(proposal(4, 10))] {
        let said = node
            .lane
            .until(|from| match from {
                FromPeers::Happened { input: Input::MasterSaid(said), bytes } => Some((said, bytes)),
                _ => None,
            })
            .await;
        assert_eq!(said.0, wanted);
        assert!(said.1 > 0);
        node.driver.consumed(said.1);
    }
    leader.send(&[0xFF; 30]).await;
    let why = master_left(&node).await;
    assert!(why.starts_with("server 2: "), "{why}");
    leader.rest().await;
    node.driver.to_master(ToMaster::Hello(hello(1)));
    node.driver.flush();
    node.driver.dial_master(7);
    let why = master_left(&node).await;
    assert!(why.starts_with("server 7: "), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_reaches_is_given_up() {
    let members = members(2);
    let mut node = Node::start(1, &members).await;
    node.driver.dial_master(2);
    let why = master_left(&node).await;
    assert!(why.contains(&members[&2].quorum[0].to_string()), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_heard_of_a_leader_that_was_given_up() {
    let members = members(2);
    let (mut node, mut leader) = learner_and_leader(&members).await;
    leader.send(&bytes_to(&[ToLearner::Diff(Zxid(3))])).await;
    eventually(|| (node.lane.waiting() > 0).then_some(())).await;
    node.driver.close_master("a test");
    node.lane.take_all();
    leader.rest().await;
    assert_eq!(node.lane.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_read_no_faster_than_what_it_says_is_dealt_with() {
    let members = members(2);
    let (mut node, mut leader) = learner_and_leader(&members).await;
    let data = 500_000;
    let packet = ToLearner::Proposal(proposal(4, data));
    let bytes = bytes_to(&[packet]);
    let most = UNCONSUMED_BYTES_MAX / bytes.len();
    let flood = tokio::spawn(async move {
        for _ in 0..60 {
            leader.send(&bytes).await;
        }
        leader
    });
    eventually(|| (node.lane.waiting() == most).then_some(())).await;
    // Taken is not dealt with.
    let mut taken = node.lane.take_all();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.lane.waiting(), 0);
    let mut all = 0;
    while all < 60 {
        for from in taken.drain(..) {
            let FromPeers::Happened { bytes, .. } = from else { panic!("no snapshot") };
            node.driver.consumed(bytes);
            all += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        taken = node.lane.take_all();
    }
    drop(flood.await);
}

/// A log with these records.
fn write_log(directory: &Path, zxids: impl IntoIterator<Item = i64>) {
    let mut zxids = zxids.into_iter().peekable();
    let before = Zxid(zxids.peek().unwrap() - 1);
    let mut log = Log::open(Arc::new(RealDisk), txnlog::Options::new(directory.to_owned()), before).unwrap();
    for zxid in zxids {
        let header = TxnHeader { client_id: SESSION, cxid: 0, zxid: Zxid(zxid), time: 0, r#type: -10 };
        let body = TxnBody::CreateSession(CreateSessionTxn { time_out: 30_000 });
        log.append(&TxnEntry { header, body, digest: None }).unwrap();
    }
    log.sync().unwrap();
    log.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_is_sent_what_the_log_holds_and_nothing_else_meanwhile() {
    let members = members(2);
    let (mut node, mut learner, link) = leader_and_learner(&members).await;
    write_log(node.directory.path(), (1..=20).chain(0x1_0000_0001..=0x1_0000_2000));
    for after in [1, 7, 20, 0x1_0000_0005] {
        node.driver.stream_log(link, Some(Zxid(0x1_0000_1FFF)), Zxid(after), Zxid(0x1_0000_1FFF));
        node.driver.to_learner(link, ToLearner::Ping(Zxid(99)));
        node.driver.flush();
        let mut stream = Packets { learner: &mut learner };
        assert_eq!(stream.next().await, FromMaster::Diff(Zxid(0x1_0000_1FFF)));
        let all = (1..=20).chain(0x1_0000_0001..=0x1_0000_1FFF);
        for zxid in all.filter(|zxid| *zxid > after) {
            let FromMaster::Proposal(proposal) = stream.next().await else { panic!("a proposal") };
            assert_eq!(proposal.zxid, Zxid(zxid));
            assert_eq!(TxnEntry::decode(&proposal.payload).unwrap().header.zxid, Zxid(zxid));
            assert_eq!(stream.next().await, FromMaster::Commit(Zxid(zxid)));
        }
        assert_eq!(stream.next().await, FromMaster::Ping(Zxid(99)));
        node.lane.input(|input| matches!(input, Input::Streamed { .. }).then_some(())).await;
    }
}

/// What a learner hears: a packet, or one of the log with this zxid.
enum Heard {
    Packet(FromMaster),
    OfLog(i64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_learner_hears_everything_in_order_whoever_sends_it() {
    let members = members(2);
    let (mut node, mut learner, link) = leader_and_learner(&members).await;
    write_log(node.directory.path(), 1..=400);
    let mut expected = Vec::new();
    let mut random = 7_u32;
    let mut below = |bound: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % bound
    };
    let (mut weight, mut zxid) = (0, 1000);
    for round in 0..600 {
        // Most rounds are little, so that they are sent at once while the learner keeps up.
        for _ in 0..if below(10) == 0 { 30 } else { 1 + below(3) } {
            zxid += 1;
            let proposal = proposal(zxid, below(4000) as usize);
            let packet = ToLearner::Proposal(proposal.clone());
            weight += packet.weight();
            node.driver.to_learner(link, packet);
            expected.push(Heard::Packet(FromMaster::Proposal(proposal)));
        }
        if round % 150 == 100 {
            let after = i64::from(below(300));
            node.driver.stream_log(link, None, Zxid(after), Zxid(400));
            expected.extend((after + 1..=400).map(Heard::OfLog));
        }
        node.driver.flush();
        if below(20) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut stream = Packets { learner: &mut learner };
    for expected in expected {
        match expected {
            Heard::Packet(packet) => assert_eq!(stream.next().await, packet),
            Heard::OfLog(zxid) => {
                let FromMaster::Proposal(proposal) = stream.next().await else { panic!("a proposal") };
                assert_eq!(proposal.zxid, Zxid(zxid));
                assert_eq!(stream.next().await, FromMaster::Commit(Zxid(zxid)));
            }
        }
    }
    eventually(|| {
        for from in node.lane.take_all() {
            if let FromPeers::Happened { input: Input::Drained { bytes, .. }, .. } = from {
                weight -= bytes;
            }
        }
        (weight < DRAINED_BYTES).then_some(())
    })
    .await;
    drop(learner);
    left(&node, link).await;
    node.driver.to_learner(link, ToLearner::UpToDate);
    node.driver.flush();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_does_not_reach_back_or_forward_is_refused_and_nothing_is_sent() {
    let members = members(2);
    let (mut node, mut learner, link) = leader_and_learner(&members).await;
    write_log(node.directory.path(), (5..=20).chain(0x1_0000_0001..=0x1_0000_0010));
    // Before it begins, in a gap that only looks right, in an epoch it does not know, beyond its end.
    for (after, to) in [(3, 20), (21, 0x1_0000_0003), (0x2_0000_0003, 0x2_0000_0004), (7, 0x1_0000_0011)] {
        node.driver.stream_log(link, Some(Zxid(to)), Zxid(after), Zxid(to));
        node.driver.flush();
        node.lane.input(|input| matches!(input, Input::StreamRefused { .. }).then_some(())).await;
    }
    // What follows the learner's last one in the same epoch is as good as that one.
    node.driver.stream_log(link, None, Zxid(4), Zxid(5));
    node.driver.flush();
    let mut stream = Packets { learner: &mut learner };
    let FromMaster::Proposal(proposal) = stream.next().await else { panic!("a proposal") };
    assert_eq!(proposal.zxid, Zxid(5));
    assert_eq!(stream.next().await, FromMaster::Commit(Zxid(5)));
}

/// What a learner by hand hears.
struct Packets<'a> {
    learner: &'a mut Raw,
}

impl Packets<'_> {
    async fn next(&mut self) -> FromMaster {
        let mut bytes = Vec::new();
        loop {
            if let Some(length) = Packet::length(&bytes, 1 << 20).unwrap() {
                assert_eq!(length, bytes.len());
                return Packet::decode(&bytes.into()).unwrap().into_from_master().unwrap();
            }
            // The head, then as much as it says, then that it lists no identities.
            let wanted = match bytes.len() {
                0 => 16,
                16 => 4 + i32::from_be_bytes(bytes[12..16].try_into().unwrap()).max(0) as usize,
                more => panic!("{more} bytes are no packet"),
            };
            bytes.extend(self.learner.take(wanted).await);
        }
    }
}
