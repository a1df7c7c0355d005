//! Where writes go to a leader: they are passed on as they came, and answered when their transactions are applied.
//! Reference: `FollowerRequestProcessor`, `CommitProcessor`, `Learner`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use jute::records::data::Id;
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, Reader, SessionId, Zxid, write};

use super::host::{Close, Host, Outcome};
use super::roles::Role;
use super::sessions::write_response;
use super::{Now, Replica};
use crate::request::{Body, ConnectionId, Head, Origin, Request};
use crate::session::Sessions;
use crate::tree::Identities;
use crate::zab::{Forwarded, Input, ToMaster};

/// A time with one leader.
#[derive(Debug)]
pub(super) struct Learning {
    epoch: u32,
    /// What is not answered, in the order in which each session asked for it.
    pending: HashMap<SessionId, VecDeque<Pending>>,
    /// Sessions whose first request waits for nothing any more.
    ready: VecDeque<SessionId>,
    /// The `sync`s that the leader was asked for, in order.
    syncs: VecDeque<(SessionId, u64)>,
    syncs_asked: u64,
    /// Those that were answered, with the transaction up to which the tree must be.
    synced: VecDeque<(Zxid, SessionId, u64)>,
    /// Clients that come back to their sessions, for as long as the leader is asked about them.
    pub(super) returning: HashMap<SessionId, Returning>,
    /// When sessions that were heard from were last collected.
    collected_ms: i64,
}

/// A request that is not answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) wait: Wait,
}

/// What it waits for, besides those before it.
#[derive(Debug)]
pub(super) enum Wait {
    /// Its transaction. These are the request's bytes.
    Txn(Bytes),
    /// The answer to this `sync`.
    Sync { number: u64, body: Bytes, identities: Identities },
    /// Nothing: it is answered from the tree.
    Read { bytes: Vec<u8>, identities: Identities },
    /// Nothing: it is answered with an error.
    Refused(Code),
}

/// A client that comes back.
#[derive(Debug)]
pub(super) struct Returning {
    pub(super) connection: ConnectionId,
    pub(super) head: Head,
    pub(super) timeout_ms: i32,
}

impl Wait {
    const fn is_over(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Refused(_))
    }
}

impl Learning {
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            pending: HashMap::new(),
            ready: VecDeque::new(),
            syncs: VecDeque::new(),
            syncs_asked: 0,
            synced: VecDeque::new(),
            returning: HashMap::new(),
            collected_ms: i64::MIN,
        }
    }

    /// The leader's epoch.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    fn push(&mut self, head: Head, wait: Wait) {
        let session = head.session;
        let queue = self.pending.entry(session).or_default();
        if queue.is_empty() && wait.is_over() {
            self.ready.push_back(session);
        }
        queue.push_back(Pending { head, wait });
    }

    /// The request of a client of this server that led to this transaction. It stands in front of its session's,
    /// as the leader keeps their order. What was asked for is compared too: a client may have used the same number
    /// for something else on a connection to another server, and that may come only now.
    pub(super) fn take_asked_for(&mut self, txn: &TxnEntry) -> Option<Head> {
        let session = txn.header.client_id;
        let queue = self.pending.get_mut(&session)?;
        let is_it = |front: &mut Pending| match &front.wait {
            Wait::Txn(body) => {
                front.head.xid == txn.header.cxid && is_outcome(front.head.op, body, &txn.body)
            }
            _ => false,
        };
        let Pending { head, .. } = queue.pop_front_if(is_it)?;
        self.ready.push_back(session);
        Some(head)
    }

    /// The next request that waits for nothing any more.
    pub(super) fn pop_ready(&mut self) -> Option<Pending> {
        while let Some(session) = self.ready.front().copied() {
            let queue = self.pending.get_mut(&session);
            if let Some(pending) = queue.and_then(|queue| queue.pop_front_if(|front| front.wait.is_over())) {
                return Some(pending);
            }
            self.ready.pop_front();
            if self.pending.get(&session).is_some_and(VecDeque::is_empty) {
                self.pending.remove(&session);
            }
        }
        None
    }

    pub(super) fn has_ready(&self, applied: Zxid) -> bool {
        !self.ready.is_empty() || self.synced.front().is_some_and(|(after, ..)| *after <= applied)
    }

    /// The oldest `sync` was answered: its client is when the tree holds everything up to `after`.
    pub(super) fn synced(&mut self, after: Zxid) {
        if let Some((session, number)) = self.syncs.pop_front() {
            self.synced.push_back((after, session, number));
        }
    }

    /// Lets go the `sync`s that may be answered with a tree at this zxid.
    pub(super) fn settle(&mut self, applied: Zxid) {
        while let Some((_, session, answered)) = self.synced.pop_front_if(|(after, ..)| *after <= applied) {
            let Some(queue) = self.pending.get_mut(&session) else { continue };
            let wait = queue.iter_mut().map(|pending| &mut pending.wait);
            for wait in wait {
                if let Wait::Sync { number, body, identities } = wait
                    && *number == answered
                {
                    let (bytes, identities) = (body.to_vec(), std::mem::take(identities));
                    *wait = Wait::Read { bytes, identities };
                    self.ready.push_back(session);
                    break;
                }
            }
        }
    }

    /// What a session that has ended still waits for.
    pub(super) fn forget_session(&mut self, session: SessionId) -> impl Iterator<Item = Head> + use<> {
        let pending = self.pending.remove(&session).unwrap_or_default();
        pending.into_iter().map(|pending| pending.head)
    }

    /// All that is not answered.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Head> {
        let pending = self.pending.values().flatten().map(|pending| &pending.head);
        pending.chain(self.returning.values().map(|returning| &returning.head))
    }

    /// Sessions connected here that were heard from since this was last asked, with their timeouts.
    pub(super) fn collect_touched(
        &mut self,
        connected: &HashMap<SessionId, ConnectionId>,
        sessions: &Sessions,
        now_ms: i64,
    ) -> Vec<(SessionId, i32)> {
        let since_ms = std::mem::replace(&mut self.collected_ms, now_ms);
        let handles = connected.keys().filter_map(|session| sessions.get(*session));
        let heard = handles.filter(|handle| handle.was_heard_since(since_ms));
        let timeout = |ms: i64| i32::try_from(ms).unwrap_or(i32::MAX);
        let mut touched: Vec<_> = heard.map(|handle| (handle.id, timeout(handle.timeout_ms()))).collect();
        touched.sort_unstable();
        touched
    }
}

/// Whether a request can have led to this. A failure says nothing of what failed.
fn is_outcome(op: OpCode, body: &[u8], txn: &TxnBody) -> bool {
    let path = match txn {
        TxnBody::Error(_) => return true,
        TxnBody::Create(txn) | TxnBody::Create2(txn) => &txn.path,
        TxnBody::CreateContainer(txn) => &txn.path,
        TxnBody::CreateTtl(txn) => &txn.path,
        TxnBody::Delete(txn) => &txn.path,
        TxnBody::SetData(txn) => &txn.path,
        TxnBody::SetAcl(txn) => &txn.path,
        _ => return op == txn.op(),
    };
    let asked_for = Reader::new(body).ustring();
    // A sequential node has more in its path.
    let is_it = |asked_for: &str| path.as_deref().is_some_and(|path| path.starts_with(asked_for));
    op == txn.op() && asked_for.is_ok_and(|asked_for| asked_for.as_deref().is_some_and(is_it))
}

impl Replica {
    /// Passes a request on, or lets it wait for those of its session that were.
    pub(super) fn forward(&mut self, request: Request, now: Now, host: &mut impl Host) {
        let Request { head, identities, body } = request;
        let Role::Learning(learning) = &mut self.role else { return };
        match body {
            Body::Raw(bytes) => {
                let body = Bytes::from(bytes);
                let wait = if head.op == OpCode::SYNC {
                    learning.syncs_asked += 1;
                    learning.syncs.push_back((head.session, learning.syncs_asked));
                    let (number, identities) = (learning.syncs_asked, identities.clone());
                    Wait::Sync { number, body: body.clone(), identities }
                } else {
                    Wait::Txn(body.clone())
                };
                learning.push(head, wait);
                self.ask_leader(&head, body, &identities, now);
            }
            Body::Ordered(bytes) => learning.push(head, Wait::Read { bytes, identities }),
            Body::Malformed => learning.push(head, Wait::Refused(Code::MARSHALLING_ERROR)),
            Body::Write(_) | Body::Connect(_) => {
                // It was made for another role.
                host.drop_request(&head);
                if let Origin::Client(connection) = head.origin {
                    host.close(connection, Close::Now);
                }
            }
        }
    }

    fn ask_leader(&mut self, head: &Head, body: Bytes, identities: &Identities, now: Now) {
        let id = |identity: &crate::tree::Identity| Id {
            scheme: Some(identity.scheme.clone()),
            id: Some(identity.id.clone()),
        };
        let forwarded = Forwarded {
            session: head.session,
            cxid: head.xid,
            op: head.op,
            body,
            identities: identities.iter().map(id).collect(),
        };
        self.zab.input(now.monotonic_ms, Input::Forward(ToMaster::Request(forwarded)));
    }

    /// Asks the leader for a session (reference: `ZooKeeperServer.createSession`). The client is answered when it
    /// has begun.
    pub(super) fn ask_for_session(&mut self, head: Head, timeout_ms: i32, now: Now) {
        let mut body = Vec::new();
        write::int(&mut body, timeout_ms);
        let body = Bytes::from(body);
        if let Role::Learning(learning) = &mut self.role {
            learning.push(head, Wait::Txn(body.clone()));
        }
        self.ask_leader(&head, body, &Identities::default(), now);
    }

    /// Asks the leader about the session of a client that came back and knows its password (reference:
    /// `Learner.validateSession`).
    pub(super) fn ask_about_session(
        &mut self,
        session: SessionId,
        returning: Returning,
        now: Now,
        host: &mut impl Host,
    ) {
        let Role::Learning(learning) = &mut self.role else { return };
        let timeout_ms = returning.timeout_ms;
        if let Some(earlier) = learning.returning.insert(session, returning) {
            host.drop_request(&earlier.head);
            host.close(earlier.connection, Close::Now);
        }
        self.zab.input(now.monotonic_ms, Input::Forward(ToMaster::Revalidate { session, timeout_ms }));
    }

    /// The leader's answer.
    pub(super) fn revalidated(
        &mut self,
        session: SessionId,
        is_valid: bool,
        now: Now,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) {
        let Role::Learning(learning) = &mut self.role else { return };
        let Some(Returning { connection, head, timeout_ms }) = learning.returning.remove(&session) else {
            return;
        };
        let handle = is_valid.then(|| {
            // The transaction that began it may still be on its way here.
            sessions.track(session, timeout_ms, now.monotonic_ms);
            sessions.reopen(session, timeout_ms, now.monotonic_ms)
        });
        match handle.flatten() {
            Some(handle) => {
                host.bind(connection, handle);
                self.connected.insert(session, connection);
                host.answer(&head, Outcome::Connected, |out| write_response(out, &head, session, timeout_ms));
            }
            None => super::sessions::say_gone(connection, &head, session, host),
        }
    }

    /// Whether the tree has more to take in, or somebody can be answered.
    pub(super) fn has_committed(&self) -> bool {
        let is_ready = matches!(&self.role, Role::Learning(learning) if learning.has_ready(self.applied));
        is_ready || self.is_catching_up || self.next_foreign().is_some()
    }

    /// The next transaction to apply that was not prepared in this term of leadership.
    pub(super) fn next_foreign(&self) -> Option<&crate::zab::Proposal> {
        let is_foreign = |zxid: Zxid| match &self.role {
            Role::Alone { .. } => false,
            Role::Leading(leading) => zxid.epoch() < leading.epoch(),
            Role::Learning(_) | Role::Looking => true,
        };
        // What the core has said before it said so is heard before it.
        let is_told = |zxid: Zxid| zxid <= self.proposals.committed();
        self.zab.committed_after(self.applied).filter(|next| is_told(next.zxid) && is_foreign(next.zxid))
    }

    /// Everybody who waits for an answer, once each connection.
    pub(super) fn waiting_connections(&self) -> BTreeSet<ConnectionId> {
        let learning = match &self.role {
            Role::Learning(learning) => Some(learning),
            _ => None,
        };
        let heads = learning.into_iter().flat_map(Learning::heads).chain(self.proposals.heads());
        let requests = self.arrived.iter().chain(&self.ending).map(|request| &request.head);
        let origins = heads.chain(requests).map(|head| head.origin);
        let connections = origins.filter_map(|origin| match origin {
            Origin::Client(connection) => Some(connection),
            Origin::Learner(_) | Origin::Internal => None,
        });
        connections.chain(self.connected.values().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use jute::records::txn::{
        CreateContainerTxn, CreateTTLTxn, CreateTxn, DeleteTxn, ErrorTxn, SetACLTxn, SetDataTxn, TxnHeader,
    };

    use super::*;

    fn outcomes(path: &str) -> Vec<TxnBody> {
        let path = || Some(path.to_owned());
        vec![
            TxnBody::Create(CreateTxn { path: path(), ..CreateTxn::default() }),
            TxnBody::Create2(CreateTxn { path: path(), ..CreateTxn::default() }),
            TxnBody::CreateContainer(CreateContainerTxn { path: path(), ..CreateContainerTxn::default() }),
            TxnBody::CreateTtl(CreateTTLTxn { path: path(), ..CreateTTLTxn::default() }),
            TxnBody::Delete(DeleteTxn { path: path() }),
            TxnBody::SetData(SetDataTxn { path: path(), ..SetDataTxn::default() }),
            TxnBody::SetAcl(SetACLTxn { path: path(), ..SetACLTxn::default() }),
        ]
    }

    #[test]
    fn a_transaction_is_the_outcome_of_a_request_of_its_kind_for_its_path() {
        let mut asked_for = Vec::new();
        write::ustring(&mut asked_for, Some("/a-"));
        for (txn, other) in outcomes("/a-0000000001").into_iter().zip(outcomes("/b")) {
            assert!(is_outcome(txn.op(), &asked_for, &txn), "{txn:?}");
            assert!(!is_outcome(OpCode::MULTI, &asked_for, &txn), "{txn:?}");
            assert!(!is_outcome(other.op(), &asked_for, &other), "{other:?}");
            assert!(!is_outcome(txn.op(), &[0], &txn), "what does not decode asks for nothing");
            let failed = TxnBody::Error(ErrorTxn { err: Code::NO_NODE.0 });
            assert!(is_outcome(txn.op(), &asked_for, &failed));
        }
        assert!(is_outcome(OpCode::CLOSE_SESSION, &[], &TxnBody::CloseSession(None)));
        assert!(!is_outcome(OpCode::CREATE, &[], &TxnBody::CloseSession(None)));
    }

    #[test]
    fn a_session_of_which_everything_is_answered_takes_no_memory() {
        let session = SessionId(5);
        let head = |xid| Head {
            origin: Origin::Client(1),
            session,
            xid,
            op: OpCode::CREATE,
            received_ms: 0,
            bytes: 10,
            knows_read_only: true,
        };
        let mut learning = Learning::new(1);
        learning.push(head(1), Wait::Txn(Bytes::new()));
        learning.push(head(2), Wait::Refused(Code::MARSHALLING_ERROR));
        let txn = |cxid| TxnEntry {
            header: TxnHeader { client_id: session, cxid, ..TxnHeader::default() },
            body: TxnBody::Error(ErrorTxn { err: Code::NO_NODE.0 }),
            digest: None,
        };
        assert!(learning.take_asked_for(&txn(2)).is_none(), "it is the outcome of another request");
        assert!(!learning.has_ready(Zxid(0)) && learning.pop_ready().is_none());
        assert_eq!(learning.take_asked_for(&txn(1)).map(|head| head.xid), Some(1));
        assert!(learning.has_ready(Zxid(0)));
        assert_eq!(learning.pop_ready().map(|pending| pending.head.xid), Some(2));
        assert!(learning.pop_ready().is_none() && !learning.has_ready(Zxid(0)));
        assert!(learning.pending.is_empty());
    }

    #[test]
    fn sessions_that_can_be_answered_have_their_turns_one_after_the_other() {
        let head = |session| Head {
            origin: Origin::Client(1),
            session: SessionId(session),
            xid: 1,
            op: OpCode::CREATE,
            received_ms: 0,
            bytes: 10,
            knows_read_only: true,
        };
        let mut learning = Learning::new(1);
        for session in [5, 6, 7, 6] {
            learning.push(head(session), Wait::Refused(Code::MARSHALLING_ERROR));
        }
        let answered: Vec<_> =
            std::iter::from_fn(|| learning.pop_ready()).map(|pending| pending.head.session.0).collect();
        assert_eq!(answered, [5, 6, 6, 7]);
        assert!(learning.pending.is_empty() && learning.ready.is_empty());
    }

    /// The leader lets no session expire of which it is told.
    #[test]
    fn the_leader_is_told_of_the_clients_here_that_were_heard_from_since_the_last_time() {
        let mut sessions = Sessions::new(2000, 1, 0);
        let mut heard = |id: i64, now_ms| assert!(sessions.track(SessionId(id), 30_000, 0).touch(now_ms));
        (1..=20).for_each(|id| heard(id, 10));
        heard(99, 10);
        let connected: HashMap<_, _> = (1..=20).map(|id| (SessionId(id), id as ConnectionId)).collect();
        let mut learning = Learning::new(1);
        let mut told = |sessions: &Sessions, now_ms| learning.collect_touched(&connected, sessions, now_ms);
        let all: Vec<_> = (1..=20).map(|id| (SessionId(id), 30_000)).collect();
        assert_eq!(told(&sessions, 1000), all);
        assert_eq!(told(&sessions, 2000), []);
        assert!(sessions.get(SessionId(7)).unwrap().touch(2000));
        assert!(sessions.get(SessionId(99)).unwrap().touch(2000));
        assert_eq!(told(&sessions, 3000), [(SessionId(7), 30_000)], "99 is connected elsewhere");
        assert_eq!(told(&sessions, 4000), []);
    }

    #[test]
    fn a_sync_waits_for_the_transaction_that_the_leader_named() {
        let mut learning = Learning::new(1);
        learning.syncs.extend([(SessionId(5), 1), (SessionId(6), 2)]);
        learning.synced(Zxid(7));
        assert!(!learning.has_ready(Zxid(6)) && learning.has_ready(Zxid(7)));
        learning.settle(Zxid(6));
        assert_eq!(learning.synced.len(), 1);
        learning.settle(Zxid(7));
        assert_eq!((learning.synced.len(), learning.syncs.len()), (0, 1));
    }
}
