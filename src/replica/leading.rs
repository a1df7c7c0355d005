//! Where the ensemble's transactions are made: what learners pass on, whose the sessions are, and the way of
//! transactions to the core.

use std::collections::HashMap;

use bytes::Bytes;
use jute::{Code, OpCode, SessionId, Zxid};

use super::host::{Close, Host};
use super::roles::Role;
use super::{Now, Replica};
use crate::request::prepare::Preparer;
use crate::request::{Body, Head, Options, Origin, Request, Write};
use crate::session::Sessions;
use crate::tree::Tree;
use crate::zab::{Input, Link, Proposal};

/// The last counter of an epoch that is given out. The one above it is left to the end of the epoch (reference:
/// `Leader.propose`).
const COUNTER_MAX: u32 = u32::MAX - 1;

/// A term of leadership.
#[derive(Debug)]
pub(super) struct Leading {
    /// Gives out zxids.
    pub(super) preparer: Preparer,
    /// Where the client of a session is; nobody knows at first, and the first request says it.
    owners: HashMap<SessionId, Owner>,
    /// Clients of learners who came back before the tree had caught up.
    returning: Vec<(Link, SessionId, i32)>,
}

/// Where a session's client is (reference: `SessionTrackerImpl.SessionImpl.owner`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Connected to this server.
    Here,
    /// Connected to the learner at the other end.
    At(Link),
}

impl Owner {
    const fn of(origin: Origin) -> Option<Self> {
        match origin {
            Origin::Client(_) => Some(Self::Here),
            Origin::Learner(link) => Some(Self::At(link)),
            Origin::Internal => None,
        }
    }
}

impl Leading {
    /// Begins an epoch.
    pub(super) fn new(options: Options, epoch: u32) -> Self {
        Self {
            preparer: Preparer::new(options, Zxid::begin_of(epoch)),
            owners: HashMap::new(),
            returning: Vec::new(),
        }
    }

    /// Whether the epoch has no more zxids.
    pub(super) const fn is_used_up(&self) -> bool {
        self.preparer.last_zxid().counter() >= COUNTER_MAX
    }

    /// The epoch.
    pub(super) const fn epoch(&self) -> u32 {
        self.preparer.last_zxid().epoch()
    }

    pub(super) fn set_owner(&mut self, session: SessionId, owner: Owner) {
        self.owners.insert(session, owner);
    }

    pub(super) fn session_ended(&mut self, session: SessionId) {
        self.owners.remove(&session);
    }

    /// The sessions at its other end stay there until they come back: an earlier connection of one of them, at
    /// another server, must not take it over.
    pub(super) fn learner_gone(&mut self, link: Link) {
        self.returning.retain(|(of, ..)| *of != link);
    }

    pub(super) fn take_returning(&mut self) -> Vec<(Link, SessionId, i32)> {
        std::mem::take(&mut self.returning)
    }

    /// A learner's write as it arrives. It may wait for long, on a full disk above all, and the client may come back to
    /// the learner meanwhile: what it sent there through a connection that it had left must do nothing all the same.
    pub(super) fn arrived(&self, request: Request, sessions: &Sessions) -> Request {
        let Head { session, origin, op, .. } = request.head;
        let is_elsewhere = self.owners.get(&session).is_some_and(|owner| Some(*owner) != Owner::of(origin));
        if is_elsewhere
            && is_fenced(op)
            && is_alive(sessions, session)
            && matches!(request.body, Body::Write(_))
        {
            return Request { body: Body::Write(Write::Refused(Code::SESSION_MOVED)), ..request };
        }
        request
    }

    /// Whether the session's client is elsewhere than where this request comes from. Whoever is the first to ask
    /// for something is where the client is (reference: `SessionTrackerImpl.checkSession`; the end of a session is
    /// not checked).
    fn has_moved(&mut self, head: &Head, sessions: &Sessions) -> bool {
        match Owner::of(head.origin) {
            Some(from) if is_fenced(head.op) && is_alive(sessions, head.session) => {
                *self.owners.entry(head.session).or_insert(from) != from
            }
            _ => false,
        }
    }
}

fn is_alive(sessions: &Sessions, session: SessionId) -> bool {
    sessions.get(session).is_some_and(|handle| !handle.is_closing())
}

/// Whether only the server where the session's client is may ask for it.
const fn is_fenced(op: OpCode) -> bool {
    !matches!(op, OpCode::CREATE_SESSION | OpCode::CLOSE_SESSION)
}

impl Replica {
    /// Whether what has arrived may be prepared, forwarded or refused.
    pub(super) const fn may_prepare(&self) -> bool {
        match &self.role {
            Role::Alone { .. } | Role::Looking => true,
            Role::Leading(leading) => !self.is_catching_up && !leading.is_used_up(),
            Role::Learning(_) => !self.is_catching_up,
        }
    }

    /// What becomes of a write, before it is checked against the tree: in an ensemble its session may be elsewhere.
    pub(super) fn admit(&mut self, head: &Head, write: Write, sessions: &mut Sessions, now: Now) -> Write {
        let Role::Leading(leading) = &mut self.role else { return write };
        if leading.has_moved(head, sessions) {
            return Write::Refused(Code::SESSION_MOVED);
        }
        match (&write, Owner::of(head.origin)) {
            (Write::CreateSession(_), Some(Owner::At(_))) if head.session == SessionId::NONE => {
                Write::Refused(Code::SESSION_EXPIRED)
            }
            (Write::CreateSession(txn), Some(owner)) => {
                if sessions.track(head.session, txn.time_out, now.monotonic_ms).is_closing() {
                    return Write::Refused(Code::SESSION_EXPIRED);
                }
                leading.set_owner(head.session, owner);
                write
            }
            _ => write,
        }
    }

    /// A learner's `sync`, or the end of a session of one of its clients. What learners ask for keeps its order, as
    /// those of the reference wait for it in that order (`CommitProcessor`).
    pub(super) fn take_in_order(
        &mut self,
        link: Link,
        request: Request,
        now: Now,
        tree: &Tree,
        sessions: &mut Sessions,
    ) {
        if request.head.op == OpCode::SYNC {
            self.propose(now);
            self.zab.input(now.monotonic_ms, Input::SyncAsked { link });
        } else {
            self.end_session(request, now, tree, sessions);
        }
    }

    /// Hands what was prepared to the core: each transaction is encoded once, for the log and for all peers.
    pub(super) fn propose(&mut self, now: Now) {
        if !matches!(self.role, Role::Leading(_)) {
            return;
        }
        let mut encoded = Vec::new();
        let mut ends = Vec::new();
        while let Some(entry) = self.proposals.next_append() {
            let zxid = entry.header.zxid;
            entry.encode(&mut encoded);
            ends.push((zxid, encoded.len()));
            self.proposals.set_appended(zxid);
        }
        self.proposals.take_unsynced();
        if ends.is_empty() {
            return;
        }
        let mut rest = Bytes::from(encoded);
        let mut begin = 0;
        let proposals = ends.into_iter().map(|(zxid, end)| {
            let payload = rest.split_to(end - std::mem::replace(&mut begin, end));
            Proposal { zxid, payload }
        });
        let proposals = proposals.collect();
        self.zab.input(now.monotonic_ms, Input::Prepared(proposals));
    }

    /// A client came back to its session at a learner (reference: `LeaderZooKeeperServer.checkIfValidGlobalSession`,
    /// `Leader.revalidateSession`).
    pub(super) fn revalidate(
        &mut self,
        (link, session, timeout_ms): (Link, SessionId, i32),
        now: Now,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        if self.is_catching_up {
            leading.returning.push((link, session, timeout_ms));
            return;
        }
        let is_valid = sessions.touch(session, timeout_ms, now.monotonic_ms);
        if is_valid {
            leading.set_owner(session, Owner::At(link));
            if let Some(earlier) = self.connected.remove(&session) {
                host.close(earlier, Close::Now);
            }
        }
        self.zab.input(now.monotonic_ms, Input::Revalidated { link, session, is_valid });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::testing::{OPTIONS, deletion};
    use crate::zab::Forwarded;

    #[test]
    fn nothing_is_kept_of_a_session_that_has_ended_or_of_a_learner_that_has_left() {
        let mut leading = Leading::new(OPTIONS, 7);
        leading.set_owner(SessionId(5), Owner::Here);
        leading.session_ended(SessionId(5));
        assert!(leading.owners.is_empty());
        leading.returning.extend([(Link(1), SessionId(5), 4000), (Link(2), SessionId(6), 4000)]);
        leading.learner_gone(Link(1));
        assert_eq!(leading.take_returning(), [(Link(2), SessionId(6), 4000)]);
        assert_eq!(leading.take_returning(), []);
    }

    /// Reference: `Leader.propose`, which leaves the last counter to the end of the epoch.
    #[test]
    fn an_epoch_has_zxids_up_to_the_one_before_the_last_counter() {
        let is_used_up = |counter: u32| {
            let preparer = Preparer::new(OPTIONS, Zxid(7 << 32 | i64::from(counter)));
            let leading = Leading { preparer, ..Leading::new(OPTIONS, 7) };
            (leading.is_used_up(), leading.epoch())
        };
        assert_eq!(is_used_up(u32::MAX - 2), (false, 7));
        assert_eq!(is_used_up(u32::MAX - 1), (true, 7));
        assert_eq!(is_used_up(u32::MAX), (true, 7));
    }
    #[test]
    fn what_arrives_from_elsewhere_than_where_the_client_is_is_refused_as_it_arrives() {
        let mut sessions = Sessions::new(2000, 1, 0);
        sessions.track(SessionId(5), 30_000, 0);
        let mut leading = Leading::new(OPTIONS, 7);
        let refused = |leading: &Leading, link, session, op| {
            let body = if op == OpCode::CLOSE_SESSION { Vec::new() } else { deletion("/a").body };
            let (session, identities) = (SessionId(session), Vec::new());
            let forwarded = Forwarded { session, cxid: 1, op, body: body.into(), identities };
            let request = Request::of_learner(Link(link), forwarded, 0);
            match leading.arrived(request, &sessions).body {
                Body::Write(Write::Refused(code)) => Some(code),
                _ => None,
            }
        };
        assert_eq!(refused(&leading, 2, 5, OpCode::DELETE), None, "nobody knows where it is");
        leading.set_owner(SessionId(5), Owner::At(Link(1)));
        leading.set_owner(SessionId(6), Owner::At(Link(1)));
        assert_eq!(refused(&leading, 1, 5, OpCode::DELETE), None);
        assert_eq!(refused(&leading, 2, 5, OpCode::DELETE), Some(Code::SESSION_MOVED));
        assert_eq!(
            refused(&leading, 2, 5, OpCode::CLOSE_SESSION),
            None,
            "it ends wherever that is asked for"
        );
        assert_eq!(refused(&leading, 2, 6, OpCode::DELETE), None, "there is no such session");
        [5, 6].into_iter().for_each(|session| leading.session_ended(SessionId(session)));
        assert!(leading.owners.is_empty());
    }
}
