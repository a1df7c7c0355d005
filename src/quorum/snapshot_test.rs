//! The tree from one member to another.

use std::fs;

use jute::multi::CreateMode;
use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, write};
use tokio::net::TcpListener;

use super::testing::*;
use super::*;
use crate::disk::RealDisk;
use crate::request::testing::{Asked, SESSIONS, creation, creation_of};
use crate::runtime::peers::Staged;
use crate::snapshot::{self, Visitor, format};
use crate::tree::Tree;
use crate::zab::{FromMaster, SNAPSHOT_END};

fn nodes() -> Vec<Asked> {
    let mut nodes = vec![creation("/a", CreateMode::Persistent), creation("/a/b", CreateMode::Ephemeral)];
    nodes.extend((0..3000).map(|n| creation_of(&format!("/a/{n}"), n % 700)));
    nodes.push(creation_of("/large", 900_000));
    nodes
}

/// Reads a file as a start does.
struct Reading(Tree, Vec<(SessionId, i32)>);

impl Visitor for Reading {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.1.push((id, timeout_ms));
        Ok(())
    }
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.0.load_acl(id, acl);
        Ok(())
    }
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        self.0.load_node(path, data, acl, &stat)
    }
}

async fn arrived(node: &Node) -> (Zxid, Box<Staged>, PathBuf) {
    node.lane
        .until(|from| match from {
            FromPeers::Snapshot { zxid, staged, file } => Some((zxid, staged, file)),
            FromPeers::Happened { input: Input::MasterLeft { why }, .. } => panic!("{why}"),
            FromPeers::Happened { .. } => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_arrives_as_it_was_and_so_does_its_file() {
    for compression in [Compression::None, Compression::Gzip] {
        let members = members(2);
        let mut leader = Node::start_with(1, &members, |_| {}, &nodes()).await;
        let change = |options: &mut Options| options.compression = compression;
        let mut learner = Node::start_with(2, &members, change, &[]).await;
        leader.driver.listen(true);
        learner.driver.dial_master(1);
        learner.lane.input(|input| matches!(input, Input::MasterCame).then_some(())).await;
        learner.driver.to_master(ToMaster::Hello(hello(2)));
        learner.driver.flush();
        let link = leader
            .lane
            .input(|input| match input {
                Input::LearnerCame { link, .. } => Some(link),
                _ => None,
            })
            .await;
        let zxid = leader.driver.stream_snapshot(link);
        // Behind the tree, however long that takes.
        leader.driver.to_learner(link, ToLearner::Ping(Zxid(0x77)));
        leader.driver.flush();
        let (said, staged, file) = arrived(&learner).await;
        let tree_digest = {
            let tree = leader.state.tree();
            assert_eq!((zxid, said), (tree.last_zxid(), tree.last_zxid()));
            tree.digest()
        };
        assert_eq!((staged.tree.digest(), staged.tree.last_zxid()), (tree_digest, zxid));
        let sessions: Vec<_> = staged.sessions.into_iter().collect();
        assert_eq!(sessions, SESSIONS.map(|session| (session, 30_000)));
        leader.lane.input(|input| matches!(input, Input::Streamed { .. }).then_some(())).await;
        learner
            .lane
            .input(|input| matches!(input, Input::MasterSaid(FromMaster::Ping(Zxid(0x77)))).then_some(()))
            .await;
        // The file is none until it is named.
        assert_eq!(snapshot::candidates(&RealDisk, learner.directory.path(), 9).unwrap().len(), 0);
        let named = snapshot::name_received(&RealDisk, &file).unwrap();
        assert_eq!(named.file_name().unwrap().to_str().unwrap(), format::file_name(zxid, compression),);
        let mut reading = Reading(Tree::for_loading(OwnerRules::default()), Vec::new());
        let loaded = snapshot::load(&RealDisk, &named, 1 << 20, &mut reading).unwrap();
        reading.0.finish_loading(loaded.zxid_from_name).unwrap();
        assert_eq!((reading.0.digest(), reading.1), (tree_digest, sessions));
    }
}

/// A learner, and its leader by hand, that has announced a snapshot.
async fn announced(members: &BTreeMap<Sid, Member>, change: impl FnOnce(&mut Options)) -> (Node, Raw) {
    let listener = TcpListener::bind(("127.0.0.1", members[&2].quorum[0].port)).await.unwrap();
    let mut node = Node::start_with(1, members, change, &[]).await;
    node.driver.dial_master(2);
    let mut leader = Raw::accept(&listener).await;
    let mut snap = Vec::new();
    ToLearner::Snap(Zxid(5)).encode(&mut snap);
    leader.send(&snap).await;
    (node, leader)
}

/// The smallest tree there is, as it is sent.
fn body() -> Vec<u8> {
    let mut body = Vec::new();
    format::put_sessions(&mut body, &[(SESSION, 4000)]);
    format::put_acl_count(&mut body, 0);
    format::put_node(&mut body, "", Some(b""), format::OPEN_ACL, &StatPersisted::default());
    body.extend_from_slice(&format::END);
    body
}

async fn why_it_left(node: &Node) -> String {
    node.lane
        .until(|from| match from {
            FromPeers::Snapshot { .. } => panic!("it is no snapshot"),
            FromPeers::Happened { input: Input::MasterLeft { why }, .. } => Some(why),
            FromPeers::Happened { .. } => None,
        })
        .await
}

fn files(node: &Node) -> usize {
    fs::read_dir(node.directory.path()).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_taken_apart_however_its_bytes_come() {
    let members = members(2);
    let mut whole = body();
    write::ustring(&mut whole, Some(SNAPSHOT_END));
    ToLearner::UpToDate.encode(&mut whole);
    for piece in [1, 7, whole.len()] {
        let (node, mut leader) = announced(&members, |_| {}).await;
        for bytes in whole.chunks(piece) {
            leader.send(bytes).await;
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let (zxid, staged, _) = arrived(&node).await;
        assert_eq!((zxid, staged.sessions), (Zxid(5), [(SESSION, 4000)].into()));
        node.lane.input(|input| matches!(input, Input::MasterSaid(FromMaster::UpToDate)).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_breaks_off_leaves_no_file() {
    let members = members(2);
    let mut whole = body();
    write::ustring(&mut whole, Some(SNAPSHOT_END));
    for cut in (0..whole.len()).step_by(9).chain([whole.len() - 1]) {
        let (node, mut leader) = announced(&members, |_| {}).await;
        leader.send(&whole[..cut]).await;
        drop(leader);
        let why = why_it_left(&node).await;
        assert!(why.starts_with("server 2: "), "{why}");
        assert_eq!(files(&node), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tree_ends_the_connection_and_leaves_no_file() {
    let members = members(2);
    let mut unsigned = body();
    write::ustring(&mut unsigned, Some("BenWasThere"));
    let mut rootless = Vec::new();
    format::put_sessions(&mut rootless, &[]);
    format::put_acl_count(&mut rootless, 0);
    rootless.extend_from_slice(&format::END);
    write::ustring(&mut rootless, Some(SNAPSHOT_END));
    let mut huge = body()[..20].to_vec();
    write::int(&mut huge, i32::MAX);
    for bad in [unsigned, rootless, huge, vec![0xFF; 100]] {
        let (node, mut leader) = announced(&members, |_| {}).await;
        leader.send(&bad).await;
        leader.rest().await;
        let why = why_it_left(&node).await;
        assert!(why.starts_with("server 2: "), "{why}");
        assert_eq!(files(&node), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_in_a_tree_is_given_up() {
    let members = members(2);
    let (node, mut leader) = announced(&members, |options| options.init = Duration::from_millis(200)).await;
    leader.send(&body()[..30]).await;
    let why = why_it_left(&node).await;
    assert!(why.contains("nothing more came"), "{why}");
    assert_eq!(files(&node), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_sends_for_long_counts_as_alive() {
    let members = members(2);
    let soon = |options: &mut Options| options.init = Duration::from_millis(800);
    let (node, mut leader) = announced(&members, soon).await;
    let mut alive = 0;
    for byte in body().into_iter().cycle().take(20) {
        leader.send(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let brought = node.lane.take_all();
        alive += brought.iter().filter(|from| is_ping(from)).count();
    }
    assert!(alive > 0);
    drop(leader);
    why_it_left(&node).await;
}

fn is_ping(from: &FromPeers) -> bool {
    matches!(from, FromPeers::Happened { input: Input::MasterSaid(FromMaster::Ping(Zxid(5))), .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_takes_nothing_of_a_tree_is_given_up() {
    let members = members(2);
    let soon = |options: &mut Options| options.init = Duration::from_millis(300);
    let large: Vec<_> = (0..20).map(|n| creation_of(&format!("/{n}"), 900_000)).collect();
    let mut leader = Node::start_with(1, &members, soon, &large).await;
    leader.driver.listen(true);
    let (_learner, link) = registered(&leader, &members).await;
    leader.driver.stream_snapshot(link);
    leader.driver.flush();
    leader.lane.input(|input| matches!(input, Input::LearnerLeft { .. }).then_some(())).await;
}

/// A learner by hand that has introduced itself.
async fn registered(leader: &Node, members: &BTreeMap<Sid, Member>) -> (Raw, Link) {
    let mut learner = Raw::connect(&members[&1].quorum[0]).await;
    let mut bytes = Vec::new();
    ToMaster::Hello(hello(2)).encode(&mut bytes);
    learner.send(&bytes).await;
    let link = leader
        .lane
        .input(|input| match input {
            Input::LearnerCame { link, .. } => Some(link),
            _ => None,
        })
        .await;
    (learner, link)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_goes_ends_the_walk_over_the_tree() {
    let members = members(2);
    let mut leader = Node::start_with(1, &members, |_| {}, &nodes()).await;
    leader.driver.listen(true);
    let (mut learner, link) = registered(&leader, &members).await;
    leader.driver.stream_snapshot(link);
    leader.driver.flush();
    learner.take(1000).await;
    drop(learner);
    leader.lane.input(|input| matches!(input, Input::LearnerLeft { .. }).then_some(())).await;
    // It waits for the walk.
    drop(leader);
}
