//! Lists of very many children: they are made in slices between which everybody else is served, and are one
//! state all the same.

use std::collections::{BTreeMap, BTreeSet};

use jute::records::proto::{GetChildren2Response, GetChildrenResponse};
use jute::{Code, OpCode};

use super::answers_test::{code, results};
use super::protocol::Consumed;
use super::testing::{Peer, Server, Setup, ask};
use crate::runtime::budget::Budget;
use crate::runtime::stage_metrics::STAT_OVERHEAD_BYTES;
use crate::tree::listing::SLICE_CHILDREN;
use crate::tree::{OwnerRules, Tree};
use crate::watch::EventType;

/// Children of `/wide`: a list of four slices.
const CHILDREN: usize = 3 * SLICE_CHILDREN + 100;

fn wide(setup: Setup) -> (Server, Peer, BTreeSet<String>) {
    let mut server = Server::with(setup);
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/wide", b""));
    let names: BTreeSet<_> = (0..CHILDREN).map(|child| format!("child-{child:05}")).collect();
    for some in names.iter().collect::<Vec<_>>().chunks(1000) {
        let parts = some.iter().map(|name| ask::create(&format!("/wide/{name}"), b""));
        server.succeed(&mut peer, ask::multi(OpCode::MULTI, parts));
    }
    (server, peer, names)
}

fn names(children: Option<Vec<Option<String>>>) -> BTreeSet<String> {
    let children = children.expect("a list");
    let count = children.len();
    let names: BTreeSet<_> = children.into_iter().map(Option::unwrap_or_default).collect();
    assert_eq!(names.len(), count, "no name comes twice");
    names
}

#[test]
fn a_long_list_is_made_in_slices_and_is_one_state_whatever_happens_in_between() {
    let (mut server, mut other, wanted) = wide(Setup::default());
    let mut peer = server.connect();
    let zxid = server.state().last_zxid();
    peer.send(ask::get_children("/wide", true, true));
    let mut turns = 1;
    while peer.link.turn() {
        if turns == 1 {
            peer.send(ask::exists("/wide", false));
        }
        turns += 1;
        // Others are served meanwhile, also those who change what is listed.
        server.succeed(&mut other, ask::create(&format!("/wide/new-{turns}"), b""));
        for gone in [turns, CHILDREN - turns] {
            server.succeed(&mut other, ask::delete(&format!("/wide/child-{gone:05}")));
        }
        peer.take_replies();
    }
    assert!(turns >= CHILDREN.div_ceil(SLICE_CHILDREN), "{turns} turns");
    peer.serve();
    let sent = peer.client.outbox().stats.sent;
    assert_eq!(sent, 4, "the session, the list, the event and what was asked behind it");
    let mut replies = peer.take_replies().into_iter();
    let list = replies.next().expect("the list");
    let body: GetChildren2Response = list.body();
    assert_eq!((list.code, list.zxid, body.stat.num_children as usize), (Code::OK, zxid, CHILDREN));
    assert_eq!(names(body.children), wanted);
    let next = replies.next().expect("what was asked behind it");
    assert!(next.zxid > zxid, "it was looked at later");
    assert_eq!(peer.take_events(), [(EventType::NodeChildrenChanged as i32, "/wide".to_owned())]);
}

/// The event came before the list with which the client learns that it has a watch; it had no use for it.
#[test]
fn an_event_does_not_come_before_the_list_that_left_the_watch() {
    let (mut server, mut other, _) = wide(Setup::default());
    let mut peer = server.connect();
    peer.send(ask::get_children("/wide", true, false));
    assert!(peer.link.turn(), "the list takes more than one turn");
    server.succeed(&mut other, ask::create("/wide/new", b""));
    assert!(peer.stream.receive().is_empty(), "nothing overtakes the list");
    assert!(peer.client.outbox().is_unfinished());
    peer.serve();
    assert_eq!((peer.take_replies().len(), peer.take_events().len()), (1, 1));
}

#[test]
fn a_long_list_between_writes_has_its_place_among_their_answers() {
    let (mut server, mut peer, mut wanted) = wide(Setup::default());
    let order = [
        peer.send(ask::create("/wide/first", b"")),
        peer.send(ask::get_children("/wide", false, false)),
        peer.send(ask::create("/wide/second", b"")),
        peer.send(ask::get_children("/wide", false, true)),
    ];
    peer.serve();
    server.turn();
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.iter().map(|reply| reply.xid).collect::<Vec<_>>(), order);
    let lists = (replies[1].body::<GetChildrenResponse>(), replies[3].body::<GetChildren2Response>());
    wanted.insert("first".into());
    assert_eq!(names(lists.0.children), wanted);
    wanted.insert("second".into());
    assert_eq!(names(lists.1.children), wanted);
    assert!(replies[0].zxid < replies[2].zxid && replies[1].zxid == replies[0].zxid);
}

#[test]
fn who_ends_the_session_behind_a_long_list_gets_the_list_first() {
    let (mut server, mut peer, wanted) = wide(Setup::default());
    peer.send(ask::create("/wide-too", b""));
    peer.send(ask::get_children("/wide", false, false));
    peer.send(ask::close_session());
    peer.serve();
    server.turn();
    peer.serve();
    let replies = peer.take_replies();
    assert_eq!(replies.len(), 3);
    assert_eq!(names(replies[1].body::<GetChildrenResponse>().children), wanted);
    assert_eq!(peer.end(), Some(""));
}

/// A connection ends that leaves more than 16 MiB of replies unread behind its writes. What the server has not made
/// yet is none of that.
#[test]
fn a_list_that_is_still_being_made_was_not_left_unread() {
    let mut server = Server::new();
    let mut peer = server.connect();
    server.succeed(&mut peer, ask::create("/wide", b""));
    let long = |child: usize| format!("/wide/{child:0>10000}");
    for some in (0..1800).collect::<Vec<_>>().chunks(90) {
        let parts = some.iter().map(|child| ask::create(&long(*child), b""));
        server.succeed(&mut peer, ask::multi(OpCode::MULTI, parts));
    }
    peer.send(ask::create("/first", b""));
    peer.send(ask::get_children("/wide", false, false));
    peer.send(ask::create("/second", b""));
    peer.serve();
    server.turn();
    peer.serve();
    assert_eq!(peer.take_replies().len(), 3);
    assert_eq!(peer.end(), None);
}

#[test]
fn a_multi_of_reads_holds_several_long_lists() {
    let (mut server, mut peer, wanted) = wide(Setup::default());
    server.succeed(&mut peer, ask::create("/short", b"data"));
    let list = || ask::get_children("/wide", false, false);
    let parts = vec![ask::get_data("/short", false), list(), ask::get_data("/none", false), list()];
    let found = results(&server.succeed(&mut peer, ask::multi(OpCode::MULTI_READ, parts)));
    let kinds: BTreeMap<_, _> = found.iter().map(|(op, ..)| (*op, ())).collect();
    assert_eq!((found.len(), kinds.len()), (4, 3));
    for place in [1, 3] {
        let body: GetChildrenResponse =
            jute::records::Record::decode(&mut jute::Reader::new(&found[place].2)).expect("a list");
        assert_eq!(names(body.children), wanted);
    }
    // What is not there yet counts for how long a reply may be.
    let parts = (0..1000).map(|_| list());
    let asked = ask::multi(OpCode::MULTI_READ, parts);
    assert_eq!(code(&mut server, &mut peer, asked), Code::MARSHALLING_ERROR);
}

#[test]
fn a_list_counts_with_all_its_bytes_from_the_beginning() {
    let limit = CHILDREN * 8;
    let (mut server, mut other, _) = wide(Setup { budget: Budget::new(limit, None), ..Setup::default() });
    let mut peer = server.connect();
    peer.send(ask::get_children("/wide", false, false));
    peer.link.turn();
    assert!(server.state().budget.is_exhausted(), "{} of {limit} bytes", server.state().budget.bytes());
    let all = CHILDREN * 15;
    while peer.client.outbox().is_unfinished() {
        let expected = peer.client.outbox().waiting();
        assert!((all..all + 200).contains(&expected), "{expected} bytes, and it will have {all}");
        peer.link.turn();
    }
    peer.serve();
    peer.serve();
    assert_eq!((peer.take_replies().len(), server.state().budget.bytes()), (1, 0));
    assert_eq!(code(&mut server, &mut other, ask::exists("/wide", false)), Code::OK);
}

/// A client that reads nothing asked for list after list, and each was made and kept.
#[test]
fn for_who_does_not_read_a_list_no_other_is_made() {
    let (_, mut peer, _) = wide(Setup::default());
    peer.set_reads(false);
    for _ in 0..200 {
        peer.send(ask::get_children("/wide", false, false));
    }
    peer.serve();
    let one = CHILDREN * 15;
    assert!(peer.unsent() < (1 << 20) + 2 * one, "{} bytes", peer.unsent());
    peer.set_reads(true);
    for _ in 0..200 {
        peer.serve();
    }
    assert_eq!(peer.take_replies().len(), 200);
}

#[test]
fn nothing_more_of_a_list_is_made_while_as_much_is_unsent_as_may_be() {
    let (server, mut peer, _) = wide(Setup::default());
    peer.send(ask::get_children("/wide", false, false));
    assert!(peer.link.turn(), "the list takes more than one turn");
    let most = server.shared.limits.unsent_bytes_max;
    assert_eq!(peer.link.protocol().consume(most).unwrap(), Consumed::Nothing);
    assert_eq!(peer.link.protocol().consume(most - 1).unwrap(), Consumed::SliceOver);
}

#[test]
fn a_long_list_is_counted_as_one_read_with_all_its_names() {
    let (server, mut peer, wanted) = wide(Setup::default());
    peer.send(ask::get_children("/wide", false, false));
    peer.serve();
    let read = server.shared.metrics.read_per_namespace.of("wide").expect("it was read");
    let bytes = "/wide".len() + wanted.iter().map(String::len).sum::<usize>() + STAT_OVERHEAD_BYTES;
    assert_eq!((read.count(), read.sum()), (1, bytes as i64));
}

#[test]
fn a_list_of_a_tree_that_was_replaced_is_never_sent() {
    let (server, _, _) = wide(Setup::default());
    let mut server = server;
    let mut peer = server.connect();
    peer.send(ask::get_children("/wide", false, false));
    peer.link.turn();
    let now_ms = 0;
    drop(server.state().replace_tree(Tree::new(OwnerRules::default()), &BTreeMap::new(), now_ms));
    peer.serve();
    assert!(peer.end().is_some_and(|why| why.contains("the tree was replaced")), "{:?}", peer.end());
    assert!(peer.take_replies().is_empty());
}
