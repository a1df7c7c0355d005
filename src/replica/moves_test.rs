//! Clients that move between members, servers that go with what they were asked, and what is kept meanwhile.

use jute::records::Record;
use jute::records::data::{Acl, Id};
use jute::records::proto::CreateRequest;
use jute::records::txn::{CreateContainerTxn, CreateTxn, DeleteTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, SessionId, Zxid};

use super::replica_test::{FOLLOWER, LEADER, OTHER, create, ok, set, sync};
use super::testing::{Ensemble, Said, replica_options};
use super::{BATCH_ENDS_MAX, BATCH_MAX, Close};
use crate::logging::testing::logged_by;
use crate::request::{Origin, Request, Write};
use crate::session::password_for;
use crate::zab::{Forwarded, FromLearner, Input, Link, Serving};

/// Something that a learner passes on.
fn forwarded(session: SessionId, cxid: i32, op: OpCode, body: Vec<u8>) -> FromLearner {
    FromLearner::Request(Forwarded { session, cxid, op, body: body.into(), identities: Vec::new() })
}

/// The errors among transactions.
fn errors(entries: &[TxnEntry]) -> Vec<Option<Code>> {
    let of = |entry: &TxnEntry| match &entry.body {
        TxnBody::Error(error) => Some(Code(error.err)),
        _ => None,
    };
    entries.iter().map(of).collect()
}

/// It was where the client was when it came, and is not any more when it is prepared.
#[test]
fn what_waits_at_the_leader_while_its_client_goes_elsewhere_fails() {
    let mut ensemble = Ensemble::serving();
    let before = ensemble.connect(FOLLOWER);
    ensemble.member(LEADER).replica.set_full();
    ensemble.ask(before, 1, OpCode::CREATE, &create("/late"));
    let after = ensemble.come_back(OTHER, before.session);
    assert_eq!(ensemble.said(after), [Said::Session(before.session)]);
    ensemble.make_space(LEADER);
    ensemble.ask(after, 2, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(after)[1..], [ok(2)]);
    assert!(ensemble.said(before).is_empty());
    assert_eq!(ensemble.closed(before), Some(Close::AfterReplies));
    assert_eq!(ensemble.member(FOLLOWER).host.dropped, 1, "it takes no memory any more");
    let connected = |ensemble: &mut Ensemble, sid| ensemble.member(sid).replica.connection_of(before.session);
    assert_eq!(connected(&mut ensemble, FOLLOWER), None, "it is not there any more");
    assert_eq!(connected(&mut ensemble, OTHER), Some(after.connection));
    ensemble.zxid();
    assert!(ensemble.member(LEADER).tree.get("/late").is_none());
}

#[test]
fn a_sessions_client_is_where_it_was_begun() {
    let mut ensemble = Ensemble::serving();
    let (begun, others) = (ensemble.link_of(FOLLOWER), ensemble.link_of(OTHER));
    let begin = ensemble.zxid();
    let session = SessionId(98);
    ensemble.say(LEADER, begun, forwarded(session, 1, OpCode::CREATE_SESSION, vec![0, 0, 16, 0]));
    ensemble.say(LEADER, others, forwarded(session, 1, OpCode::CREATE, create("/a")));
    ensemble.say(LEADER, begun, forwarded(session, 2, OpCode::CREATE, create("/a")));
    let outcomes = errors(&ensemble.member(LEADER).logged_after(begin));
    assert_eq!(outcomes, [None, Some(Code::SESSION_MOVED), None]);
}

/// What another client of the same server asked for before it is proposed before it.
#[test]
fn a_sync_waits_for_the_writes_of_others_that_came_before_it() {
    let mut ensemble = Ensemble::serving();
    let (writer, reader) = (ensemble.connect(FOLLOWER), ensemble.connect(FOLLOWER));
    for sid in [FOLLOWER, OTHER] {
        ensemble.member(sid).is_disk_slow = true;
    }
    ensemble.send(writer, 1, OpCode::CREATE, &create("/a"));
    ensemble.send(reader, 1, OpCode::SYNC, &sync());
    ensemble.settle();
    assert!(ensemble.said(reader).is_empty(), "nobody has the write");
    ensemble.let_disk_go(OTHER);
    assert!(ensemble.said(reader).is_empty(), "its server has not");
    ensemble.let_disk_go(FOLLOWER);
    assert_eq!((ensemble.said(writer), ensemble.said(reader)), (&[ok(1)][..], &[ok(1)][..]));
}

/// The transaction that began the session is on its way to the server to which its client goes.
#[test]
fn a_client_may_come_back_before_its_session_is_known_at_the_server() {
    let mut ensemble = Ensemble::serving();
    ensemble.member(FOLLOWER).is_disk_slow = true;
    let session = ensemble.connect(OTHER).session;
    assert_eq!(ensemble.member(FOLLOWER).sessions.ids(), []);
    let back = ensemble.come_back(FOLLOWER, session);
    assert_eq!((ensemble.said(back), ensemble.closed(back)), (&[Said::Session(session)][..], None));
    ensemble.let_disk_go(FOLLOWER);
    ensemble.ask(back, 1, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(back)[1..], [ok(1)]);
}

/// Its connection took the server for the leader that it was before.
#[test]
fn a_request_that_was_made_for_another_role_ends_its_connection() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let write = Write::DeleteContainer("/none".into());
    let mut request = Request::internal(client.session, OpCode::DELETE_CONTAINER, write, 0);
    request.head.origin = Origin::Client(client.connection);
    ensemble.member(FOLLOWER).replica.push(&mut vec![request]);
    ensemble.settle();
    assert_eq!(ensemble.closed(client), Some(Close::Now));
    assert_eq!(ensemble.member(FOLLOWER).host.dropped, 1);
}

/// The learner asks about the session once more, for the later one.
#[test]
fn of_two_that_come_back_to_a_session_at_once_the_later_one_has_it() {
    let mut ensemble = Ensemble::serving();
    let session = ensemble.connect(OTHER).session;
    let come = |ensemble: &mut Ensemble| {
        let client = ensemble.dial(FOLLOWER, session, password_for(session).to_vec(), Zxid::ZERO);
        ensemble.turn(FOLLOWER);
        client
    };
    let (earlier, later) = (come(&mut ensemble), come(&mut ensemble));
    assert_eq!(ensemble.closed(earlier), Some(Close::Now));
    assert_eq!(ensemble.member(FOLLOWER).host.dropped, 1);
    ensemble.settle();
    assert_eq!((ensemble.said(earlier), ensemble.closed(later)), (&[][..], None));
    assert_eq!(ensemble.said(later), [Said::Session(session)]);
    assert_eq!(ensemble.member(FOLLOWER).replica.connection_of(session), Some(later.connection));
}

/// A new leader does not know where the sessions of before are connected.
#[test]
fn whoever_is_the_first_to_ask_for_a_session_is_where_its_client_is() {
    let mut ensemble = Ensemble::with(3, |_, sessions| sessions.restore(SessionId(5), 40_000, 1_000_000));
    ensemble.elect();
    let begin = ensemble.zxid();
    for (from, path) in [(FOLLOWER, "/first"), (OTHER, "/second"), (FOLLOWER, "/third")] {
        let link = ensemble.link_of(from);
        ensemble.say(LEADER, link, forwarded(SessionId(5), 1, OpCode::CREATE, create(path)));
    }
    let outcomes = errors(&ensemble.member(LEADER).logged_after(begin));
    assert_eq!(outcomes, [None, Some(Code::SESSION_MOVED), None]);
}

/// The learner has lost its connection to the leader, and the client to the learner.
#[test]
fn who_came_back_through_a_learner_that_has_left_does_not_take_the_session_from_where_it_is_now() {
    let mut ensemble = Ensemble::serving();
    let before = ensemble.connect(OTHER);
    let session = before.session;
    // As at the begin of a term, with transactions of the last one to be applied.
    ensemble.member(LEADER).replica.is_catching_up = true;
    let link = ensemble.link_of(FOLLOWER);
    ensemble.dial(FOLLOWER, session, password_for(session).to_vec(), Zxid::ZERO);
    ensemble.turn(FOLLOWER);
    ensemble.tell(LEADER, Input::LearnerLeft { link });
    let after = ensemble.dial(LEADER, session, password_for(session).to_vec(), Zxid::ZERO);
    ensemble.settle();
    assert_eq!(ensemble.said(after), [Said::Session(session)]);
    ensemble.ask(after, 1, OpCode::CREATE, &create("/a"));
    assert_eq!((ensemble.said(after).last(), ensemble.closed(after)), (Some(&ok(1)), None));
}

/// What a client asks for that another server had on its way does not stand in front of what it asked for here.
#[test]
fn a_transaction_of_a_session_whose_sync_is_first_does_not_answer_the_sync() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let link = ensemble.link_of(FOLLOWER);
    ensemble.send(client, 7, OpCode::SYNC, &sync());
    ensemble.turn(FOLLOWER);
    let said = forwarded(client.session, 7, OpCode::SET_DATA, set("/none"));
    ensemble.member(LEADER).inputs.push_front(Input::LearnerSaid { link, said });
    ensemble.settle();
    assert_eq!(ensemble.said(client), [ok(7)], "and not with the other's failure");
}

/// The codes are those of the reference (`PrepRequestProcessor`).
#[test]
fn what_a_learner_may_not_ask_for_fails_with_its_reason() {
    let mut ensemble = Ensemble::serving();
    let session = ensemble.connect(FOLLOWER).session;
    let link = ensemble.link_of(FOLLOWER);
    let timeout = vec![0, 0, 16, 0];
    let asked: Vec<(SessionId, OpCode, Vec<u8>, Option<Code>)> = vec![
        (SessionId(99), OpCode::CREATE, create("/a"), Some(Code::SESSION_EXPIRED)),
        (SessionId::NONE, OpCode::CREATE_SESSION, timeout.clone(), Some(Code::SESSION_EXPIRED)),
        (session, OpCode::CREATE, vec![0], Some(Code::MARSHALLING_ERROR)),
        (session, OpCode::CREATE, create("/a"), None),
        (session, OpCode::CREATE, create("/a"), Some(Code::NODE_EXISTS)),
        (session, OpCode::CLOSE_SESSION, Vec::new(), None),
        (session, OpCode::CREATE, create("/b"), Some(Code::SESSION_EXPIRED)),
        (SessionId(98), OpCode::CREATE_SESSION, timeout, None),
    ];
    let begin = ensemble.zxid();
    for (cxid, (session, op, body, _)) in (100..).zip(asked.clone()) {
        ensemble.say(LEADER, link, forwarded(session, cxid, op, body));
    }
    let outcomes = errors(&ensemble.member(LEADER).logged_after(begin));
    assert_eq!(outcomes, asked.into_iter().map(|(.., code)| code).collect::<Vec<_>>());
    assert_eq!(ensemble.member(LEADER).sessions.committed(), [SessionId(98)]);
}

/// It is asked for while its end is under way: what comes behind that end is refused.
#[test]
fn a_session_that_is_ending_is_not_begun_again() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let link = ensemble.link_of(FOLLOWER);
    let begin = ensemble.zxid();
    for (op, body) in [(OpCode::CLOSE_SESSION, Vec::new()), (OpCode::CREATE_SESSION, vec![0, 0, 16, 0])] {
        let said = forwarded(client.session, 1, op, body);
        ensemble.tell(LEADER, Input::LearnerSaid { link, said });
    }
    ensemble.settle();
    let outcomes = errors(&ensemble.member(LEADER).logged_after(begin));
    assert_eq!(outcomes, [None, Some(Code::SESSION_EXPIRED)]);
    assert_eq!(ensemble.member(LEADER).sessions.ids(), []);
}

#[test]
fn what_arrived_and_was_not_prepared_goes_with_the_role() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(LEADER);
    ensemble.member(LEADER).replica.set_full();
    ensemble.ask(client, 1, OpCode::CREATE, &create("/a"));
    ensemble.kill(FOLLOWER);
    ensemble.kill(OTHER);
    for _ in 0..40 {
        ensemble.pass(500);
    }
    let leader = ensemble.member(LEADER);
    assert_eq!(leader.host.served.last(), Some(&Serving::No));
    assert_eq!((leader.host.dropped, leader.replica.backlog()), (1, 0));
    assert_eq!(ensemble.closed(client), Some(Close::Now));
}

#[test]
fn old_transactions_are_forgotten_once_they_are_applied_everywhere() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    ensemble.ask(client, 1, OpCode::CREATE, &create("/a"));
    let old = ensemble.zxid();
    let is_kept = |ensemble: &Ensemble| {
        let of = |sid| ensemble.members[&sid].replica.zab.committed_after(old).is_some();
        [LEADER, FOLLOWER].map(of)
    };
    ensemble.ask(client, 2, OpCode::SET_DATA, &set("/a"));
    assert_eq!(is_kept(&ensemble), [true, true], "for learners that are behind");
    for xid in 3..1200 {
        ensemble.send(client, xid, OpCode::SET_DATA, &set("/a"));
    }
    ensemble.settle();
    ensemble.ask(client, 1200, OpCode::SET_DATA, &set("/a"));
    assert_eq!(is_kept(&ensemble), [false, false]);
}

/// A leader of the reference may predict what no tree has (trap 27).
#[test]
fn a_follower_whose_tree_differs_says_so_at_the_second_transaction() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(LEADER);
    let follower = ensemble.member(FOLLOWER);
    follower.host.wrong_digests = Some(0);
    let header = TxnHeader { zxid: follower.tree.last_zxid(), ..TxnHeader::default() };
    let body = TxnBody::Create(CreateTxn { path: Some("/damage".into()), ..CreateTxn::default() });
    follower.tree.apply(&header, body, &mut |_| {});
    for (xid, wrong) in [(1, 0), (2, 1), (3, 2)] {
        let path = format!("/{xid}");
        let (lines, ()) = logged_by(|| ensemble.ask(client, xid, OpCode::CREATE, &create(&path)));
        assert_eq!(ensemble.member(FOLLOWER).host.wrong_digests, Some(wrong));
        assert_eq!(lines.contains("is not the one that was predicted"), wrong > 0);
    }
    // A leader's snapshot takes over, which may hold parts of what comes after it.
    let follower = ensemble.member(FOLLOWER);
    let zxid = follower.tree.last_zxid();
    follower.replica.replaced(zxid);
    ensemble.ask(client, 4, OpCode::CREATE, &create("/4"));
    assert_eq!(ensemble.member(FOLLOWER).host.wrong_digests, Some(2));
}

/// The leader asks whether they may do what they want done.
#[test]
fn what_a_client_has_proven_to_be_goes_to_the_leader_with_what_it_asks_for() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    for (xid, (address, code)) in (1..).step_by(2).zip([("10.0.0.1", Code::OK), ("10.0.0.2", Code::NO_AUTH)])
    {
        let id = Id { scheme: Some("ip".into()), id: Some(address.into()) };
        let acl = Some(vec![Acl { perms: 31, id }]);
        let path = format!("/{address}");
        let create = CreateRequest { path: Some(path.clone()), data: None, acl, flags: 0 };
        ensemble.ask(client, xid, OpCode::CREATE, &create.to_bytes());
        ensemble.ask(client, xid + 1, OpCode::SET_DATA, &set(&path));
        assert_eq!(ensemble.said(client).last(), Some(&Said::Reply(xid + 1, code)));
    }
}

/// It was written while transactions were applied: what it holds of those behind its end goes with the next ones.
#[test]
fn behind_a_snapshot_of_another_digests_may_differ_until_one_does_not() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(LEADER);
    let follower = ensemble.member(FOLLOWER);
    follower.host.wrong_digests = Some(0);
    let zxid = follower.tree.last_zxid();
    let header = TxnHeader { zxid, ..TxnHeader::default() };
    let path = || Some("/ahead".to_owned());
    let ahead = CreateTxn { path: path(), ..CreateTxn::default() };
    follower.tree.apply(&header, TxnBody::Create(ahead), &mut |_| {});
    follower.replica.applied = Zxid::ZERO;
    follower.replica.replaced(zxid);
    assert_eq!(follower.replica.applied, zxid, "it goes on from there");
    for xid in 1..=3 {
        ensemble.ask(client, xid, OpCode::CREATE, &create(&format!("/{xid}")));
        assert_eq!(ensemble.member(FOLLOWER).host.wrong_digests, Some(0));
    }
}

/// Everything that a leader has to know of a request.
#[test]
fn a_request_is_passed_on_with_its_number_its_bytes_and_whose_it_is() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let body = create("/a");
    ensemble.send(client, 7, OpCode::CREATE, &body);
    ensemble.turn(FOLLOWER);
    let Some(Input::LearnerSaid { said, .. }) = ensemble.member(LEADER).inputs.pop_back() else {
        panic!("it is on its way")
    };
    let identities = vec![Id { scheme: Some("ip".into()), id: Some("10.0.0.1".into()) }];
    let (session, cxid, op, body) = (client.session, 7, OpCode::CREATE, body.into());
    assert_eq!(said, FromLearner::Request(Forwarded { session, cxid, op, body, identities }));
}

/// Nobody waits there for a sync of what was prepared before.
#[test]
fn a_leader_prepares_a_whole_batch_each_time_something_came() {
    let mut ensemble = Ensemble::serving();
    let now = ensemble.now;
    let leader = ensemble.member(LEADER);
    let (tree, sessions, host) = (&leader.tree, &mut leader.sessions, &mut leader.host);
    let removal = |_| {
        let write = Write::DeleteContainer("/none".into());
        Request::internal(SessionId::NONE, OpCode::DELETE_CONTAINER, write, 0)
    };
    for _ in 0..2 {
        leader.replica.push(&mut (0..BATCH_MAX + 1).map(removal).collect());
        leader.replica.prepare(now, tree, sessions, host);
    }
    assert_eq!(leader.replica.backlog(), 2);
    let end =
        |id: usize| Request::internal(SessionId(id as i64), OpCode::CLOSE_SESSION, Write::CloseSession, 0);
    for _ in 0..2 {
        leader.replica.push(&mut (0..BATCH_ENDS_MAX + 1).map(end).collect());
        leader.replica.prepare(now, tree, sessions, host);
    }
    assert_eq!(leader.replica.backlog(), 2);
    leader.replica.push(&mut Vec::new());
    leader.replica.prepare(now, tree, sessions, host);
    assert_eq!(leader.replica.backlog(), 0);
}

/// What it says to a link that is not there, or no longer, is said to nobody.
#[test]
fn a_learner_that_nobody_knows_is_not_listened_to() {
    let mut ensemble = Ensemble::serving();
    let session = ensemble.connect(FOLLOWER).session;
    let before = ensemble.zxid();
    let stranger = Link(99);
    ensemble.say(LEADER, stranger, forwarded(session, 1, OpCode::CREATE, create("/a")));
    ensemble.say(LEADER, stranger, FromLearner::Revalidate { session, timeout_ms: 4000 });
    assert_eq!(ensemble.zxid(), before);
}

/// The time that a write takes is counted where its client is, and at the leader.
#[test]
fn a_transaction_is_known_to_be_asked_for_where_its_client_is_and_where_it_was_made() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    ensemble.ask(client, 1, OpCode::CREATE, &create("/a"));
    let asked_for = |sid| ensemble.members[&sid].host.asked_for;
    assert_eq!([LEADER, FOLLOWER, OTHER].map(asked_for), [2, 2, 0]);
}

/// As the reference's `ContainerManager` does, which begins with the leader.
#[test]
fn a_new_leader_looks_for_containers_an_interval_after_its_term_has_begun() {
    let mut ensemble = Ensemble::with(3, |tree, _| {
        let path = |path: &str| Some(path.to_owned());
        let bodies = [
            TxnBody::CreateContainer(CreateContainerTxn {
                path: path("/c"),
                ..CreateContainerTxn::default()
            }),
            TxnBody::Create(CreateTxn { path: path("/c/child"), parent_cversion: 1, ..CreateTxn::default() }),
            TxnBody::Delete(DeleteTxn { path: path("/c/child") }),
        ];
        for (zxid, body) in (1..).zip(bodies) {
            tree.apply(&TxnHeader { zxid: Zxid(zxid), ..TxnHeader::default() }, body, &mut |_| {});
        }
    });
    let interval_ms = replica_options().sweep.interval_ms;
    ensemble.let_pass(interval_ms + 1);
    ensemble.elect();
    let is_there = |ensemble: &Ensemble| ensemble.members[&LEADER].tree.get("/c").is_some();
    assert!(ensemble.members[&LEADER].replica.role.preparer().is_some() && is_there(&ensemble));
    for _ in 0..interval_ms / 500 - 5 {
        ensemble.pass(500);
    }
    assert!(is_there(&ensemble));
    for _ in 0..10 {
        ensemble.pass(500);
    }
    assert!(!is_there(&ensemble));
}

/// Whether its client is known is asked first: of a session that does not exist nobody can have moved.
#[test]
fn a_session_that_does_not_exist_is_nowhere() {
    let mut ensemble = Ensemble::serving();
    let begin = ensemble.zxid();
    for from in [FOLLOWER, OTHER] {
        let link = ensemble.link_of(from);
        ensemble.say(LEADER, link, forwarded(SessionId(99), 1, OpCode::CREATE, create("/a")));
    }
    let outcomes = errors(&ensemble.member(LEADER).logged_after(begin));
    assert_eq!(outcomes, [Some(Code::SESSION_EXPIRED); 2]);
}

/// Reference: `PrepRequestProcessor`, which does not check whose session is asked for.
#[test]
fn who_asks_for_a_session_that_is_there_is_where_its_client_is() {
    let mut ensemble = Ensemble::serving();
    let session = ensemble.connect(FOLLOWER).session;
    let begin = ensemble.zxid();
    let link = ensemble.link_of(OTHER);
    ensemble.say(LEADER, link, forwarded(session, 0, OpCode::CREATE_SESSION, vec![0, 0, 16, 0]));
    ensemble.say(LEADER, link, forwarded(session, 1, OpCode::CREATE, create("/a")));
    assert_eq!(errors(&ensemble.member(LEADER).logged_after(begin)), [None, None]);
}

/// Its session has ended: nobody waits for an answer.
#[test]
fn what_a_session_still_waited_for_goes_with_it() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let link = ensemble.link_of(OTHER);
    ensemble.send(client, 1, OpCode::SYNC, &sync());
    ensemble.turn(FOLLOWER);
    let said = forwarded(client.session, 9, OpCode::CLOSE_SESSION, Vec::new());
    ensemble.member(LEADER).inputs.push_front(Input::LearnerSaid { link, said });
    ensemble.settle();
    assert_eq!(ensemble.member(FOLLOWER).host.dropped, 1);
    assert_eq!((ensemble.said(client), ensemble.closed(client)), (&[][..], Some(Close::Now)));
}

/// What others write is no sign of life.
#[test]
fn a_silent_session_ends_at_a_leader_however_much_others_write() {
    let mut ensemble = Ensemble::serving();
    let (silent, busy) = (ensemble.connect(LEADER), ensemble.connect(LEADER));
    for xid in 1..=15 {
        ensemble.ask(busy, xid, OpCode::CREATE, &create(&format!("/{xid}")));
        ensemble.pass(1000);
    }
    assert_eq!(ensemble.member(LEADER).host.expired, [silent.session]);
}

/// The transaction that began it may still be on its way here.
#[test]
fn who_comes_back_to_a_session_that_the_leader_knows_and_this_server_does_not_yet_has_it() {
    let mut ensemble = Ensemble::serving();
    let now_ms = ensemble.now.monotonic_ms;
    ensemble.member(LEADER).sessions.restore(SessionId(5), 40_000, now_ms);
    assert!(ensemble.member(FOLLOWER).sessions.get(SessionId(5)).is_none());
    let client = ensemble.come_back(FOLLOWER, SessionId(5));
    assert_eq!((ensemble.said(client), ensemble.closed(client)), (&[Said::Session(SessionId(5))][..], None));
    assert!(ensemble.member(FOLLOWER).sessions.get(SessionId(5)).is_some());
}
