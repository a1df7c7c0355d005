//! What clients see of members of an ensemble.

use jute::multi::CreateMode;
use jute::records::Record;
use jute::records::proto::{ExistsRequest, SetDataRequest, SyncRequest};
use jute::records::txn::{
    CloseSessionTxn, CreateTTLTxn, CreateTxn, DeleteTxn, SetACLTxn, SetDataTxn, TxnHeader,
};
use jute::txn::TxnBody;
use jute::{Code, OpCode, SessionId, Zxid};

use super::testing::{Client, Ensemble, Said, TIMEOUT_MS};
use super::{Close, check_proposal};
use crate::request::testing::{creation, multi_body};
use crate::tree::{OwnerRules, Tree};
use crate::zab::{Forwarded, FromLearner, Input, Proposal, Serving, Sid};

pub(super) const LEADER: Sid = 3;
pub(super) const FOLLOWER: Sid = 1;
pub(super) const OTHER: Sid = 2;

pub(super) fn create(path: &str) -> Vec<u8> {
    creation(path, CreateMode::Persistent).body
}

pub(super) fn ephemeral(path: &str) -> Vec<u8> {
    creation(path, CreateMode::Ephemeral).body
}

pub(super) fn set(path: &str) -> Vec<u8> {
    SetDataRequest { path: Some(path.into()), data: None, version: -1 }.to_bytes()
}

fn exists(path: &str) -> Vec<u8> {
    ExistsRequest { path: Some(path.into()), watch: false }.to_bytes()
}

pub(super) fn sync() -> Vec<u8> {
    SyncRequest { path: Some("/".into()) }.to_bytes()
}

pub(super) const fn ok(xid: i32) -> Said {
    Said::Reply(xid, Code::OK)
}

impl Ensemble {
    pub(super) fn ask(&mut self, client: Client, xid: i32, op: OpCode, body: &[u8]) {
        self.send(client, xid, op, body);
        self.settle();
    }
}

#[test]
fn three_members_elect_one_and_serve() {
    let ensemble = Ensemble::serving();
    let served = |sid: Sid| ensemble.members[&sid].host.served.last().copied();
    assert_eq!(served(LEADER), Some(Serving::Leading { epoch: 1 }));
    assert_eq!(served(FOLLOWER), Some(Serving::Following { leader: LEADER, epoch: 1 }));
}

#[test]
fn a_forwarded_write_is_answered_at_its_commit_and_reads_behind_it_in_order() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    ensemble.send(client, 1, OpCode::CREATE, &create("/a"));
    ensemble.send(client, 2, OpCode::EXISTS, &exists("/a"));
    ensemble.send(client, 3, OpCode::CREATE, &create("/a"));
    ensemble.send(client, 4, OpCode::EXISTS, &exists("/b"));
    ensemble.turn(FOLLOWER);
    assert!(ensemble.said(client).is_empty(), "nothing is answered before it is committed");
    ensemble.settle();
    let replies = [ok(1), ok(2), Said::Reply(3, Code::NODE_EXISTS), Said::Reply(4, Code::NO_NODE)];
    assert_eq!(ensemble.said(client), replies);
    assert!(ensemble.zxid() > Zxid(1 << 32));
}

#[test]
fn the_leaders_own_clients_are_answered_when_a_quorum_has_it() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(LEADER);
    for sid in [FOLLOWER, OTHER] {
        ensemble.member(sid).is_disk_slow = true;
    }
    ensemble.ask(client, 1, OpCode::CREATE, &create("/a"));
    ensemble.ask(client, 2, OpCode::EXISTS, &exists("/a"));
    assert!(ensemble.said(client).is_empty());
    let changes = |sid: Sid| ensemble.members[&sid].replica.outstanding_changes();
    assert_eq!([LEADER, FOLLOWER].map(|sid| changes(sid) > 0), [true, false]);
    assert_eq!(changes(FOLLOWER), 0, "only a leader has changes that are not applied");
    ensemble.let_disk_go(FOLLOWER);
    assert_eq!(ensemble.said(client), [ok(1), ok(2)]);
    ensemble.let_disk_go(OTHER);
    ensemble.zxid();
}

#[test]
fn a_sync_is_answered_in_its_place() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    ensemble.send(client, 1, OpCode::CREATE, &create("/a"));
    ensemble.send(client, 2, OpCode::SYNC, &sync());
    ensemble.send(client, 3, OpCode::EXISTS, &exists("/a"));
    ensemble.send(client, 4, OpCode::SYNC, &sync());
    ensemble.send(client, 5, OpCode::SET_DATA, &set("/a"));
    ensemble.settle();
    assert_eq!(ensemble.said(client), [1, 2, 3, 4, 5].map(ok));
}

/// The leader counts a transaction as committed before this server has it durably (trap 11).
#[test]
fn a_sync_waits_for_what_was_committed_before_it_to_be_applied_here() {
    let mut ensemble = Ensemble::serving();
    let reader = ensemble.connect(FOLLOWER);
    let writer = ensemble.connect(OTHER);
    ensemble.member(FOLLOWER).is_disk_slow = true;
    ensemble.ask(writer, 1, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(writer), [ok(1)]);
    ensemble.send(reader, 1, OpCode::SYNC, &sync());
    ensemble.send(reader, 2, OpCode::EXISTS, &exists("/a"));
    ensemble.settle();
    assert!(ensemble.said(reader).is_empty());
    ensemble.let_disk_go(FOLLOWER);
    assert_eq!(ensemble.said(reader), [ok(1), ok(2)]);
}

#[test]
fn sessions_begin_and_end_everywhere() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    assert_eq!(client.session.0 >> 56, FOLLOWER, "the server that made it is in its id");
    for member in ensemble.members.values() {
        assert_eq!(member.sessions.committed(), [client.session]);
    }
    ensemble.ask(client, 1, OpCode::CREATE, &ephemeral("/e"));
    ensemble.ask(client, 2, OpCode::CLOSE_SESSION, &[]);
    assert_eq!(ensemble.said(client), [ok(1), ok(2)]);
    assert_eq!(ensemble.closed(client), Some(Close::AfterReplies));
    for member in ensemble.members.values() {
        assert_eq!(member.sessions.committed(), []);
        assert!(member.tree.get("/e").is_none());
    }
}

/// Traps 23 and 24 of the quorum protocols.
#[test]
fn a_client_comes_back_at_any_server_and_leaves_its_old_connection_behind() {
    let mut ensemble = Ensemble::serving();
    let before = ensemble.connect(FOLLOWER);
    let after = ensemble.come_back(OTHER, before.session);
    assert_eq!(ensemble.said(after), [Said::Session(before.session)]);
    ensemble.ask(after, 1, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(after)[1..], [ok(1)]);
    // What still comes through the old one fails, and its client hears nothing of that.
    ensemble.send(before, 2, OpCode::CREATE, &create("/b"));
    ensemble.send(before, 3, OpCode::MULTI, &multi_body([(OpCode::CREATE, create("/c"))]));
    ensemble.settle();
    assert!(ensemble.said(before).is_empty());
    assert_eq!(ensemble.closed(before), Some(Close::AfterReplies));
    ensemble.zxid();
    assert!(ensemble.member(LEADER).tree.get("/b").is_none());
    // And back at the leader.
    let third = ensemble.come_back(LEADER, before.session);
    ensemble.ask(after, 4, OpCode::CREATE, &create("/d"));
    assert_eq!(ensemble.closed(after), Some(Close::AfterReplies));
    ensemble.ask(third, 5, OpCode::CREATE, &create("/e"));
    assert_eq!(ensemble.said(third), [Said::Session(before.session), ok(5)]);
    // And from there to a follower: the leader ends the old connection itself.
    let fourth = ensemble.come_back(OTHER, before.session);
    assert_eq!(ensemble.closed(third), Some(Close::Now));
    assert_eq!(ensemble.said(fourth), [Said::Session(before.session)]);
}

/// Found by the simulator: while a full disk of the leader kept the write waiting, the client had come back.
#[test]
fn what_comes_through_an_old_connection_fails_though_it_waits_until_the_client_is_back_at_its_server() {
    let mut ensemble = Ensemble::serving();
    let before = ensemble.connect(FOLLOWER);
    ensemble.come_back(OTHER, before.session);
    ensemble.member(LEADER).replica.set_full();
    ensemble.send(before, 1, OpCode::CREATE, &create("/late"));
    ensemble.settle();
    let after = ensemble.come_back(FOLLOWER, before.session);
    assert_eq!(ensemble.said(after), [Said::Session(before.session)]);
    ensemble.make_space(LEADER);
    ensemble.ask(after, 2, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(after)[1..], [ok(2)]);
    ensemble.zxid();
    assert!(ensemble.member(LEADER).tree.get("/late").is_none());
}

/// A leader that does not know yet all that was committed does not know either who has a session.
#[test]
fn a_client_that_comes_back_while_the_leader_catches_up_is_answered_after_that() {
    let mut ensemble = Ensemble::serving();
    let before = ensemble.connect(OTHER);
    // As at the begin of a term, with transactions of the last one to be applied.
    ensemble.member(LEADER).replica.is_catching_up = true;
    let after = ensemble.come_back(FOLLOWER, before.session);
    assert!(!ensemble.member(LEADER).replica.is_catching_up());
    assert_eq!(ensemble.said(after), [Said::Session(before.session)]);
}

#[test]
fn a_client_that_comes_back_to_no_session_is_told_so() {
    let mut ensemble = Ensemble::serving();
    let stranger = ensemble.come_back(FOLLOWER, SessionId(99));
    assert_eq!(ensemble.said(stranger), [Said::Session(SessionId::NONE)]);
    assert_eq!(ensemble.closed(stranger), Some(Close::AfterReplies));
    let client = ensemble.connect(OTHER);
    let thief = ensemble.ask_for_session(FOLLOWER, client.session, vec![1; 16], Zxid::ZERO);
    assert_eq!(ensemble.said(thief), [Said::Session(SessionId::NONE)]);
    ensemble.ask(client, 1, OpCode::CREATE, &create("/a"));
    assert_eq!(ensemble.said(client), [ok(1)], "the session is still where it was");
}

/// Trap 18: a leader of the reference shows its clients the begin of its epoch.
#[test]
fn a_client_that_saw_the_begin_of_the_epoch_is_taken_and_one_that_saw_more_is_not() {
    let mut ensemble = Ensemble::serving();
    for sid in [LEADER, FOLLOWER] {
        let taken = ensemble.ask_for_session(sid, SessionId::NONE, vec![0; 16], Zxid(1 << 32));
        assert_eq!(ensemble.said(taken).len(), 1);
        let turned_away = ensemble.ask_for_session(sid, SessionId::NONE, vec![0; 16], Zxid(2 << 32));
        assert!(ensemble.said(turned_away).is_empty());
        assert_eq!(ensemble.closed(turned_away), Some(Close::AfterReplies));
    }
}

/// Trap 25 of the quorum protocols.
#[test]
fn a_session_that_is_heard_from_at_a_follower_lives_and_one_that_is_not_is_ended_by_the_leader() {
    let mut ensemble = Ensemble::serving();
    let (silent, lively) = (ensemble.connect(FOLLOWER), ensemble.connect(FOLLOWER));
    ensemble.ask(silent, 1, OpCode::CREATE, &ephemeral("/e"));
    for _ in 0..(TIMEOUT_MS + 4000) / 500 {
        ensemble.pass(500);
        let now_ms = ensemble.now.monotonic_ms;
        ensemble.member(FOLLOWER).sessions.get(lively.session).unwrap().touch(now_ms);
    }
    assert_eq!(ensemble.member(LEADER).host.expired, [silent.session]);
    assert_eq!(ensemble.member(FOLLOWER).host.expired, []);
    assert_eq!(ensemble.closed(silent), Some(Close::Now), "it is closed where it is connected");
    assert_eq!(ensemble.closed(lively), None);
    assert!(ensemble.member(OTHER).tree.get("/e").is_none());
}

/// Trap 20: a leader of the reference would propose it under a zxid that is taken, and be stuck.
#[test]
fn what_does_not_decode_is_answered_by_the_learner() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let before = ensemble.zxid();
    ensemble.ask(client, 1, OpCode::CREATE, &[0, 0]);
    assert_eq!(ensemble.zxid(), before);
    ensemble.ask(client, 2, OpCode::MULTI, &[0]);
    assert_eq!(ensemble.zxid(), before.successor());
    let refused = |xid| Said::Reply(xid, Code::MARSHALLING_ERROR);
    assert_eq!(ensemble.said(client), [refused(1), refused(2)]);
}

/// Trap 19: a follower of the reference waits for it for ever, and with it all others.
#[test]
fn whatever_a_learner_passes_on_becomes_a_transaction_in_the_order_in_which_it_came() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let link = ensemble.link_of(FOLLOWER);
    let session = client.session;
    let asked: Vec<(SessionId, OpCode, Vec<u8>)> = vec![
        (SessionId(99), OpCode::CREATE, create("/unknown")),
        (session, OpCode::CREATE, vec![0]),
        (session, OpCode::CREATE, vec![0xFF; 20]),
        (session, OpCode::DELETE_CONTAINER, Vec::new()),
        (session, OpCode(4711), Vec::new()),
        (SessionId::NONE, OpCode::CREATE_SESSION, vec![0, 0, 16, 0]),
        (session, OpCode::CREATE_SESSION, vec![0]),
        (session, OpCode::CREATE, create("/zookeeper/quota/zookeeper_limits")),
        (session, OpCode::CLOSE_SESSION, Vec::new()),
        (session, OpCode::CREATE, create("/closing")),
        (SessionId(99), OpCode::CLOSE_SESSION, Vec::new()),
    ];
    let before = ensemble.zxid();
    let count = asked.len() as i64;
    for (cxid, (session, op, body)) in (100..).zip(asked) {
        let request = Forwarded { session, cxid, op, body: body.into(), identities: Vec::new() };
        ensemble.say(LEADER, link, FromLearner::Request(request));
    }
    assert_eq!(ensemble.zxid(), Zxid(before.0 + count));
    assert_eq!(ensemble.member(LEADER).sessions.committed(), []);
    for path in ["/unknown", "/closing", "/zookeeper/quota/zookeeper_limits"] {
        assert!(ensemble.member(LEADER).tree.get(path).is_none());
    }
}

/// What one learner asks for is prepared in its order, ends of sessions too: one of the reference matches what comes
/// back with the oldest request of all its clients.
#[test]
fn the_end_of_a_learners_session_keeps_its_place() {
    let mut ensemble = Ensemble::serving();
    let (leaving, staying) = (ensemble.connect(FOLLOWER), ensemble.connect(FOLLOWER));
    ensemble.ask(leaving, 1, OpCode::CREATE, &ephemeral("/e"));
    ensemble.send(leaving, 2, OpCode::CLOSE_SESSION, &[]);
    ensemble.send(staying, 1, OpCode::CREATE, &create("/e"));
    ensemble.settle();
    assert_eq!(ensemble.said(staying), [ok(1)], "the ephemeral was gone by then");
}

/// Trap 22: the client came from another server, where it had used the same number.
#[test]
fn a_transaction_of_the_same_number_and_another_operation_is_not_taken_for_ones_own() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(FOLLOWER);
    let link = ensemble.link_of(FOLLOWER);
    ensemble.send(client, 7, OpCode::SET_DATA, &set("/b"));
    ensemble.turn(FOLLOWER);
    let (session, body) = (client.session, create("/a").into());
    let other = Forwarded { session, cxid: 7, op: OpCode::CREATE, body, identities: Vec::new() };
    // It was on its way before.
    let said = FromLearner::Request(other);
    ensemble.member(LEADER).inputs.push_front(Input::LearnerSaid { link, said });
    ensemble.settle();
    assert_eq!(ensemble.said(client), [Said::Reply(7, Code::NO_NODE)]);
    assert!(ensemble.member(FOLLOWER).tree.get("/a").is_some());
}

#[test]
fn when_the_leader_goes_everybody_is_closed_and_nobody_is_served_until_there_is_another() {
    let mut ensemble = Ensemble::serving();
    let (idle, waiting) = (ensemble.connect(FOLLOWER), ensemble.connect(FOLLOWER));
    ensemble.send(waiting, 1, OpCode::CREATE, &create("/a"));
    ensemble.turn(FOLLOWER);
    ensemble.kill(LEADER);
    for client in [idle, waiting] {
        assert_eq!(ensemble.closed(client), Some(Close::Now));
        assert!(ensemble.said(client).is_empty());
    }
    assert_eq!(ensemble.member(FOLLOWER).host.served.last(), Some(&Serving::No));
    let refused = ensemble.come_back(FOLLOWER, idle.session);
    assert_eq!(ensemble.closed(refused), Some(Close::Now));
    assert!(ensemble.said(refused).is_empty());
    ensemble.elect();
    // Sessions outlive the leader; whose they are is found out anew.
    let back = ensemble.come_back(FOLLOWER, idle.session);
    assert_eq!(ensemble.said(back), [Said::Session(idle.session)]);
    ensemble.ask(back, 1, OpCode::CREATE, &create("/b"));
    assert_eq!(ensemble.said(back)[1..], [ok(1)]);
    ensemble.zxid();
}

#[test]
fn what_a_former_leader_had_decided_alone_is_forgotten() {
    let mut ensemble = Ensemble::serving();
    let client = ensemble.connect(LEADER);
    for sid in [FOLLOWER, OTHER] {
        ensemble.member(sid).is_disk_slow = true;
    }
    // Neither this session nor the end of that one is on any other server's disk.
    let unanswered = ensemble.ask_for_session(LEADER, SessionId::NONE, vec![0; 16], Zxid::ZERO);
    ensemble.ask(client, 1, OpCode::CLOSE_SESSION, &[]);
    ensemble.kill(FOLLOWER);
    ensemble.kill(OTHER);
    for _ in 0..40 {
        ensemble.pass(500);
    }
    let leader = ensemble.member(LEADER);
    assert_eq!(leader.host.served.last(), Some(&Serving::No));
    assert_eq!(leader.sessions.ids(), [client.session]);
    assert!(!leader.sessions.get(client.session).unwrap().is_closing());
    assert_eq!(leader.replica.prepared_count(), 0, "what it had prepared is never carried out");
    assert_eq!(leader.host.dropped, 2, "and is no longer counted as under way");
    assert_eq!(leader.replica.connection_of(client.session), None);
    for client in [client, unanswered] {
        assert_eq!(ensemble.closed(client), Some(Close::Now));
        assert!(ensemble.said(client).is_empty());
    }
}

/// Trap 17.
#[test]
fn only_who_begins_to_lead_removes_the_ephemerals_of_sessions_that_do_not_exist() {
    let mut ensemble = Ensemble::with(3, |tree, sessions| {
        sessions.restore(SessionId(5), 4000, 0);
        for (zxid, session) in [(1, 4), (2, 5)] {
            let header =
                TxnHeader { client_id: SessionId(session), zxid: Zxid(zxid), ..TxnHeader::default() };
            let body = TxnBody::Create(CreateTxn {
                path: Some(format!("/of-{session}")),
                ephemeral: true,
                ..CreateTxn::default()
            });
            tree.apply(&header, body, &mut |_| {});
        }
    });
    ensemble.elect();
    assert!(ensemble.member(LEADER).tree.get("/of-4").is_none());
    assert!(ensemble.member(FOLLOWER).tree.get("/of-4").is_some());
    for sid in [LEADER, FOLLOWER] {
        assert!(ensemble.member(sid).tree.get("/of-5").is_some(), "it has its whole timeout again");
    }
}

#[test]
fn a_transaction_that_cannot_be_applied_is_not_taken() {
    let of =
        |zxid: i64, payload: Vec<u8>| check_proposal(&Proposal { zxid: Zxid(zxid), payload: payload.into() });
    let header = |op: OpCode| TxnHeader { zxid: Zxid(5), r#type: op.0, ..TxnHeader::default() }.to_bytes();
    let create = [header(OpCode::CREATE), create("/a"), vec![0; 4]].concat();
    assert_eq!(of(5, create.clone()), Ok(()));
    assert!(of(6, create).is_err());
    assert!(of(5, header(OpCode::CREATE)).is_err());
    assert!(of(5, header(OpCode::EXISTS)).is_err());
}

/// What a leader sends is applied, whatever it is, if it decodes.
#[test]
fn what_decodes_can_be_applied() {
    let quotas = ["/zookeeper/quota/zookeeper_limits", "/zookeeper/quotazookeeper_stats", "zookeeper_limits"];
    let odd = ["", "/", "a", "/a", "/a/", "//", "/\0", "/a/b", "/zookeeper", "/zookeeper/config"];
    let paths = [None].into_iter().chain(quotas.into_iter().chain(odd).map(|path| Some(path.to_owned())));
    let paths: Vec<Option<String>> = paths.collect();
    let mut tree = Tree::new(OwnerRules::default());
    let of = |path: &Option<String>, ephemeral| {
        let path = path.clone();
        [
            TxnBody::Create(CreateTxn {
                path: path.clone(),
                ephemeral,
                parent_cversion: -7,
                ..CreateTxn::default()
            }),
            TxnBody::SetData(SetDataTxn { path: path.clone(), data: None, version: i32::MAX }),
            TxnBody::SetAcl(SetACLTxn { path: path.clone(), acl: None, version: i32::MIN }),
            TxnBody::CreateTtl(CreateTTLTxn { path: path.clone(), ttl: i64::MIN, ..CreateTTLTxn::default() }),
            TxnBody::CloseSession(Some(CloseSessionTxn { paths2delete: Some(vec![path.clone(), None]) })),
            TxnBody::Delete(DeleteTxn { path }),
            TxnBody::CloseSession(None),
        ]
    };
    let bodies = (0..3).flat_map(|round| paths.iter().flat_map(move |path| of(path, round == 1)));
    for (zxid, body) in (1..).zip(bodies) {
        let owner = [0, 5, i64::MIN, -1][zxid as usize % 4];
        let header = TxnHeader { client_id: SessionId(owner), zxid: Zxid(zxid), ..TxnHeader::default() };
        tree.apply(&header, body, &mut |_| {});
        assert_eq!(tree.last_zxid(), Zxid(zxid));
    }
}
