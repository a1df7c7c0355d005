//! Members that speak TLS, and who does not get in.

use std::time::Duration;

use super::testing::*;
use super::*;
use crate::clock::RealClock;
use crate::revocation::Revocation;
use crate::tls::Current;
use crate::tls::revocation::Asks;
use crate::tls::testing::peers_with;
use crate::zab::Hello;

/// How a member speaks.
#[derive(Clone, Copy)]
struct How {
    keys: &'static str,
    dials: bool,
    accepts_plain: bool,
}

const TLS: How = How { keys: "server.pem", dials: true, accepts_plain: false };

async fn start(me: Sid, members: &BTreeMap<Sid, Member>, how: Option<How>) -> Node {
    start_that_asks(me, members, how, Asks::Nobody).await
}

async fn start_that_asks(me: Sid, members: &BTreeMap<Sid, Member>, how: Option<How>, asks: Asks) -> Node {
    let tls = how.map(|how| PeerTls {
        contexts: Current::new(peers_with(how.keys, |options| options.options.asks = asks)),
        dials: how.dials,
        accepts_plain: how.accepts_plain,
        detection: Duration::from_millis(500),
        revocation: Revocation::new(Arc::new(RealClock)),
        clock: Arc::new(RealClock),
    });
    Node::start_with(me, members, |options| options.tls = tls.map(Arc::new), &[]).await
}

async fn heard(node: &Node, from: Sid) {
    node.lane
        .input(|input| matches!(input, Input::Notified { from: sender, .. } if sender == from).then_some(()))
        .await;
}

async fn came(node: &Node) -> (Link, Hello) {
    node.lane
        .input(|input| match input {
            Input::LearnerCame { link, hello } => Some((link, hello)),
            _ => None,
        })
        .await
}

/// Votes both ways, and a follower at a leader, with packets both ways.
async fn meet(leader: &mut Node, follower: &mut Node) {
    follower.driver.notify(2, notification(1));
    heard(leader, 1).await;
    leader.driver.notify(1, notification(1));
    heard(follower, 2).await;
    leader.driver.listen(true);
    follower.driver.dial_master(2);
    follower.lane.input(|input| matches!(input, Input::MasterCame).then_some(())).await;
    follower.driver.to_master(ToMaster::Hello(hello(1)));
    follower.driver.flush();
    let (link, said) = came(leader).await;
    assert_eq!(said, hello(1));
    leader.driver.to_learner(link, ToLearner::Diff(Zxid(5)));
    leader.driver.flush();
    follower.lane.input(|input| matches!(input, Input::MasterSaid(_)).then_some(())).await;
}

/// A follower that dials, and says who it is as soon as it can, is hung up on and not heard.
async fn is_hung_up_on(leader: &mut Node, stranger: &mut Node) {
    leader.driver.listen(true);
    stranger.driver.dial_master(2);
    let is_in = stranger
        .lane
        .input(|input| match input {
            Input::MasterCame => Some(true),
            Input::MasterLeft { .. } => Some(false),
            _ => None,
        })
        .await;
    if is_in {
        stranger.driver.to_master(ToMaster::Hello(hello(1)));
        stranger.driver.flush();
        stranger.lane.input(|input| matches!(input, Input::MasterLeft { .. }).then_some(())).await;
    }
    assert_eq!(leader.lane.waiting(), 0);
}

/// The steps of the switch: whoever is a step ahead or behind is spoken to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_meet_at_each_step_of_the_switch() {
    let both = How { dials: false, accepts_plain: true, ..TLS };
    let turned = How { dials: true, accepts_plain: true, ..TLS };
    let steps = [None, Some(both), Some(turned), Some(TLS)];
    for pair in steps.windows(2).chain([&steps[3..]]) {
        let (one, other) = (pair[0], pair[pair.len() - 1]);
        for (leader, follower) in [(one, other), (other, one)] {
            let members = members(2);
            let (mut leader, mut follower) =
                (start(2, &members, leader).await, start(1, &members, follower).await);
            meet(&mut leader, &mut follower).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_proves_nothing_is_not_heard() {
    // Plain; of nobody's authority; of a client; of no use for those that connect.
    let with = |keys| Some(How { keys, ..TLS });
    for stranger in [None, with("self.pem"), with("client.pem"), with("server-only.pem")] {
        let members = members(2);
        let (mut leader, mut stranger) =
            (start(2, &members, Some(TLS)).await, start(1, &members, stranger).await);
        stranger.driver.notify(2, notification(1));
        leader.driver.notify(1, notification(1));
        is_hung_up_on(&mut leader, &mut stranger).await;
        assert!(leader.driver.election.connected().1.is_empty());
    }
}

/// The certificates name nobody who could be asked, so that whoever asks believes nobody: on both sides.
/// etcd GHSA-3wh4-j44w-pg92, where a revocation list did not count on one of the ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_revocation_is_not_known_is_not_heard() {
    for (of_leader, of_follower) in [(Asks::Lists, Asks::Nobody), (Asks::Nobody, Asks::ResponderThenLists)] {
        let members = members(2);
        let mut leader = start_that_asks(2, &members, Some(TLS), of_leader).await;
        let mut follower = start_that_asks(1, &members, Some(TLS), of_follower).await;
        is_hung_up_on(&mut leader, &mut follower).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_says_nothing_is_not_waited_for() {
    let members = members(1);
    let _node = start(1, &members, Some(TLS)).await;
    let mut silent = Raw::connect(&members[&1].election[0]).await;
    assert!(silent.rest().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_are_shown_to_those_who_connect_from_then_on() {
    let members = members(2);
    let mut unlike = start(2, &members, Some(How { keys: "self.pem", ..TLS })).await;
    let mut follower = start(1, &members, Some(TLS)).await;
    unlike.driver.listen(true);
    follower.driver.dial_master(2);
    follower.lane.input(|input| matches!(input, Input::MasterLeft { .. }).then_some(())).await;
    let tls = unlike.driver.shared.options.tls.as_ref().unwrap();
    tls.contexts.replace(peers_with("server.pem", |_| ()));
    meet(&mut unlike, &mut follower).await;
}
