//! Carrying out what is committed: the tree changes, events go out, and behind them replies.

use std::cell::{Cell, RefCell};

use jute::records::txn::{TxnDigest, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, SessionId, Zxid};

use super::host::{Close, Fired, Host, Observation, Outcome};
use super::learning::{Pending, Wait};
use super::proposals::{Prepared, Step};
use super::roles::Role;
use super::sessions::{say_gone, write_response};
use super::{Data, Replica};
use crate::request::read::{self, Read, WatchAccess};
use crate::request::reply::write_body;
use crate::request::unfinished::Seen;
use crate::request::{ConnectionId, Head, Options, Origin};
use crate::tree::acl::perms;
use crate::tree::{AclList, Applied, Change, Identities, digest, path};
use crate::watch::{EventType, Watches};

impl Replica {
    /// Applies what is committed and answers, in the order of preparation, until nothing is left that may be
    /// carried out or the host wants the tree back.
    ///
    /// # Panics
    /// When a transaction does not follow the last one applied: going on would lose data.
    pub fn release(&mut self, data: &mut Data<'_>, host: &mut impl Host) {
        if self.is_member() {
            self.release_member(data, host);
        } else {
            while let Some(Prepared { head, step }) = self.proposals.pop_released() {
                self.carry_out(&head, step, data, host);
                if host.must_yield() {
                    break;
                }
            }
        }
        self.applied = data.tree.last_zxid();
        if let Some(preparer) = self.role.preparer_mut() {
            preparer.applied(self.applied);
        }
    }

    /// The same for a member, where transactions also come from others.
    fn release_member(&mut self, data: &mut Data<'_>, host: &mut impl Host) {
        loop {
            if let Some(Prepared { head, step }) = self.proposals.pop_released() {
                self.carry_out(&head, step, data, host);
            } else if let Some(Pending { head, wait }) = self.pop_ready() {
                match wait {
                    Wait::Read { bytes, identities } => self.read(&head, &bytes, &identities, data, host),
                    Wait::Refused(code) => self.carry_out(&head, Step::Refused(code), data, host),
                    Wait::Txn(_) | Wait::Sync { .. } => host.drop_request(&head),
                }
            } else if let Some(proposal) = self.next_foreign() {
                let entry = TxnEntry::decode(&proposal.payload)
                    .expect("a transaction is logged only if it decodes: check_proposal");
                self.apply_foreign(entry, data, host);
            } else {
                break;
            }
            self.applied = data.tree.last_zxid();
            if host.must_yield() {
                break;
            }
        }
        if self.is_catching_up && self.next_foreign().is_none() {
            self.caught_up(data);
        }
        self.zab.applied(self.applied);
    }

    fn pop_ready(&mut self) -> Option<Pending> {
        let Role::Learning(learning) = &mut self.role else { return None };
        learning.settle(self.applied);
        learning.pop_ready()
    }

    /// Applies a transaction that was made elsewhere, and answers if a client of this server asked for it.
    fn apply_foreign(&mut self, entry: TxnEntry, data: &mut Data<'_>, host: &mut impl Host) {
        let asked_for = match &mut self.role {
            Role::Learning(learning) => learning.take_asked_for(&entry),
            _ => None,
        };
        let header = &entry.header;
        let head = asked_for.unwrap_or(Head {
            origin: Origin::Internal,
            session: header.client_id,
            xid: header.cxid,
            op: OpCode(header.r#type),
            received_ms: self.now_ms,
            bytes: 0,
            knows_read_only: true,
        });
        self.carry_out(&head, Step::of(entry), data, host);
    }

    fn carry_out(&mut self, head: &Head, step: Step, data: &mut Data<'_>, host: &mut impl Host) {
        match step {
            Step::Txn(entry) => {
                let is_end = entry.header.r#type == OpCode::CLOSE_SESSION.0;
                let applied = self.apply(head, entry, data, host);
                if is_end {
                    self.session_ended(head, data, host);
                }
                if let Origin::Client(connection) = head.origin {
                    if has_moved(&applied) {
                        return self.leave_moved(connection, head, host);
                    }
                    // A client may ask for one in its session, too.
                    if head.op == OpCode::CREATE_SESSION && !data.sessions.is_committed(head.session) {
                        return say_gone(connection, head, head.session, host);
                    }
                    if host.audits() {
                        host.observe(Observation::Done { head, applied: &applied });
                    }
                    let zxid = data.tree.last_zxid();
                    let outcome = Outcome::Replied { zxid, is_ok: applied.op != OpCode::ERROR };
                    host.answer(head, outcome, |out| {
                        out.reply(head.xid, zxid, |out| write_body(head.op, &applied, out));
                    });
                    if is_end {
                        host.close(connection, Close::AfterReplies);
                    }
                }
            }
            Step::NewSession { entry, timeout_ms } => {
                let known = data.sessions.get(head.session).cloned();
                let handle =
                    known.unwrap_or_else(|| data.sessions.track(head.session, timeout_ms, self.now_ms));
                self.apply(head, entry, data, host);
                data.sessions.commit(head.session);
                let timeout_ms = i32::try_from(handle.timeout_ms()).unwrap_or(i32::MAX);
                host.answer(head, Outcome::Began(data.tree.last_zxid()), |out| {
                    write_response(out, head, head.session, timeout_ms);
                });
            }
            Step::Refused(code) => {
                if host.audits() {
                    let applied = Applied { op: OpCode::ERROR, code, ..Applied::default() };
                    host.observe(Observation::Done { head, applied: &applied });
                }
                let zxid = data.tree.last_zxid();
                host.answer(head, Outcome::Replied { zxid, is_ok: false }, |out| {
                    out.reply(head.xid, zxid, |_| Err(code));
                });
            }
            Step::Read { bytes, identities } => self.read(head, &bytes, &identities, data, host),
        }
    }

    fn read(
        &self,
        head: &Head,
        bytes: &[u8],
        identities: &Identities,
        data: &mut Data<'_>,
        host: &mut impl Host,
    ) {
        let Origin::Client(connection) = head.origin else { return };
        let watches = Lent {
            watches: RefCell::new(&mut *data.watches),
            is_gone: host.is_gone(connection),
            is_over_limit: Cell::new(false),
        };
        let (nodes, replies) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let read = Read {
            options: &self.options.request,
            tree: data.tree,
            watches: &watches,
            connection,
            session: head.session,
            identities,
            meter: &|seen| match seen {
                Seen::Node { path, bytes } => nodes.borrow_mut().push((path.to_owned(), bytes)),
                Seen::Reply { op, path, stat } => {
                    replies.borrow_mut().push((op, path.to_owned(), stat.clone()))
                }
            },
        };
        let mut came = read::Outcome::Answered(Code::OK);
        let outcome = Outcome::Replied { zxid: data.tree.last_zxid(), is_ok: true };
        host.answer(head, outcome, |out| came = read.answer(head.xid, head.op, bytes, out));
        for (path, bytes) in nodes.into_inner() {
            host.observe(Observation::Read { path: &path, bytes });
        }
        for (op, path, stat) in replies.into_inner() {
            host.observe(Observation::Reply { op, path: &path, stat: &stat });
        }
        if came == read::Outcome::TooManyWatches {
            host.close(connection, Close::Refused(TOO_MANY_WATCHES));
        }
    }

    /// Applies a transaction and sends the events it causes.
    fn apply(&mut self, head: &Head, entry: TxnEntry, data: &mut Data<'_>, host: &mut impl Host) -> Applied {
        let TxnEntry { header, body, digest } = entry;
        let last = data.tree.last_zxid();
        assert!(last.is_followed_by(header.zxid), "{} applied after {last}", header.zxid);
        let is_asked_for = self.is_predicted_here() || head.origin != Origin::Internal;
        let received_ms = is_asked_for.then_some(head.received_ms);
        host.observe(Observation::Applying { body: &body, received_ms });
        let applied = if host.audits() && header.r#type == OpCode::CLOSE_SESSION.0 {
            self.apply_end(&header, body, data, host)
        } else if data.watches.is_empty() {
            data.tree.apply(&header, body, &mut |_| {})
        } else {
            let mut events =
                Events { options: &self.options.request, zxid: header.zxid, watches: data.watches, host };
            data.tree.apply(&header, body, &mut |change| events.send(change))
        };
        let now = data.tree.digest();
        let is_wrong = digest.filter(|digest| is_comparable(&header, digest)).is_some_and(|digest| {
            let differs = digest.tree_digest.cast_unsigned() != now;
            let differs_again = self.digests.hear(differs);
            differs_again || differs && self.is_predicted_here()
        });
        if is_wrong {
            // The prediction and the tree disagree: one of them is wrong, and what is served may be too.
            tracing::error!(zxid = %header.zxid, "the tree's digest is not the one that was predicted");
        }
        host.observe(Observation::Digest { zxid: header.zxid, digest: now, is_wrong });
        applied
    }

    /// Applies the end of a session, of which the audit trail wants to know what went with it.
    fn apply_end(
        &self,
        header: &TxnHeader,
        body: TxnBody,
        data: &mut Data<'_>,
        host: &mut impl Host,
    ) -> Applied {
        let (asked, mut deleted) = (body.clone(), Vec::new());
        let mut events =
            Events { options: &self.options.request, zxid: header.zxid, watches: data.watches, host };
        let applied = data.tree.apply(header, body, &mut |change| {
            if let Change::Deleted { path, .. } = change {
                deleted.push(path.to_owned());
            }
            events.send(change);
        });
        let session = header.client_id;
        host.observe(Observation::SessionEnded { session, body: &asked, deleted: &deleted });
        applied
    }

    /// Whether transactions are this server's own, and their digests with them.
    const fn is_predicted_here(&self) -> bool {
        self.role.preparer().is_some() && !self.is_catching_up
    }

    /// The session's client is at another server by now. A reply would say that its request failed, which it did
    /// not where it is, so it gets none (reference: `FinalRequestProcessor`).
    fn leave_moved(&mut self, connection: ConnectionId, head: &Head, host: &mut impl Host) {
        if self.connected.get(&head.session) == Some(&connection) {
            self.connected.remove(&head.session);
        }
        host.drop_request(head);
        host.close(connection, Close::AfterReplies);
    }

    /// Its end was applied.
    fn session_ended(&mut self, head: &Head, data: &mut Data<'_>, host: &mut impl Host) {
        data.sessions.remove(head.session);
        match &mut self.role {
            Role::Leading(leading) => leading.session_ended(head.session),
            Role::Learning(learning) => {
                learning.forget_session(head.session).for_each(|head| host.drop_request(&head));
            }
            Role::Alone { .. } | Role::Looking => {}
        }
        let connected = self.connected.remove(&head.session);
        // On expiry the client is told by its connection going away; it did not ask.
        if !matches!(head.origin, Origin::Client(_))
            && let Some(connection) = connected
        {
            host.close(connection, Close::Now);
        }
    }

    /// The connection that a session has now.
    #[must_use]
    pub fn connection_of(&self, session: SessionId) -> Option<ConnectionId> {
        self.connected.get(&session).copied()
    }
}

/// How digests that came with transactions of others have compared with the tree's. One that differs says nothing: a
/// leader of the reference may predict a digest that the tree never has. Two in a row do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digests {
    /// The last one was the tree's.
    Agreed,
    /// The last one was not.
    Differed,
    /// None was since another tree took over, which may hold parts of what came after it.
    Unknown,
}

impl Digests {
    /// Another comes. Whether two in a row differ now.
    const fn hear(&mut self, differs: bool) -> bool {
        let differs_again = differs && matches!(self, Self::Differed);
        *self = match self {
            Self::Unknown if differs => Self::Unknown,
            _ if differs => Self::Differed,
            _ => Self::Agreed,
        };
        differs_again
    }
}

/// Whether a digest is to be the tree's. With a failed multi, a leader of the reference writes what its parts before
/// the failure would have led to.
fn is_comparable(header: &TxnHeader, digest: &TxnDigest) -> bool {
    header.r#type != OpCode::ERROR.0 && digest.version == digest::VERSION
}

/// Whether the transaction records that its session's client is elsewhere.
fn has_moved(applied: &Applied) -> bool {
    let is_it = |applied: &Applied| applied.op == OpCode::ERROR && applied.code == Code::SESSION_MOVED;
    is_it(applied) || applied.parts.iter().any(is_it)
}

/// Why a connection ends that watches more than it may.
pub const TOO_MANY_WATCHES: &str = "its watches take more memory than one connection may have";

/// The events of one transaction.
struct Events<'a, H> {
    options: &'a Options,
    zxid: Zxid,
    watches: &'a mut Watches,
    host: &'a mut H,
}

impl<H: Host> Events<'_, H> {
    fn send(&mut self, change: Change<'_>) {
        let Self { options, zxid, watches, host } = self;
        let mut fired = Fired::default();
        let mut tell = |watcher: ConnectionId, event: EventType, path: &str, list: &AclList| {
            fired.count(event);
            let Some(identities) = host.identities(watcher) else { return };
            // Whoever may not read a node does not hear of it (CVE-2024-23944).
            if list.permits(perms::READ, &identities, options.acl) {
                host.notify(watcher, event, path, *zxid);
            }
        };
        match change {
            Change::Created { path, acl, parent_acl } | Change::Deleted { path, acl, parent_acl } => {
                let parent = path::parent_for_events(path);
                let tell = |watcher, event, at: &str| {
                    let of_parent = event == EventType::NodeChildrenChanged;
                    tell(watcher, event, at, if of_parent { parent_acl } else { acl });
                };
                match change {
                    Change::Created { .. } => watches.created(path, parent, tell),
                    _ => watches.deleted(path, parent, tell),
                }
            }
            Change::DataChanged { path, acl } => {
                watches.data_changed(path, |watcher, event, at| tell(watcher, event, at, acl));
            }
        }
        host.observe(Observation::Fired(fired));
    }
}

/// The watches, for a read that is answered between writes.
struct Lent<'a> {
    watches: RefCell<&'a mut Watches>,
    is_gone: bool,
    is_over_limit: Cell<bool>,
}

impl WatchAccess for Lent<'_> {
    fn with(&self, act: &mut dyn FnMut(&mut Watches)) {
        if !self.is_gone {
            act(&mut self.watches.borrow_mut());
        }
    }
    fn set_over_limit(&self) {
        self.is_over_limit.set(true);
    }
    fn is_over_limit(&self) -> bool {
        self.is_over_limit.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap 27.
    #[test]
    fn one_digest_that_differs_says_nothing_and_two_in_a_row_do() {
        let wrong = |mut digests: Digests, differ: &[bool]| {
            differ.iter().filter(|differs| digests.hear(**differs)).count()
        };
        assert_eq!(wrong(Digests::Agreed, &[true, false, true, false]), 0);
        assert_eq!(wrong(Digests::Agreed, &[false, true, true, true]), 2);
        assert_eq!(wrong(Digests::Unknown, &[true, true, true, false, true]), 0, "it was a fuzzy snapshot's");
        assert_eq!(wrong(Digests::Unknown, &[true, false, true, true]), 1);
    }

    #[test]
    fn digests_of_failed_multis_and_of_other_versions_are_not_compared() {
        let header = |op: OpCode| TxnHeader { r#type: op.0, ..TxnHeader::default() };
        let digest = |version| TxnDigest { version, tree_digest: 1 };
        assert!(is_comparable(&header(OpCode::MULTI), &digest(digest::VERSION)));
        assert!(!is_comparable(&header(OpCode::ERROR), &digest(digest::VERSION)));
        assert!(!is_comparable(&header(OpCode::MULTI), &digest(digest::VERSION + 1)));
    }
}
