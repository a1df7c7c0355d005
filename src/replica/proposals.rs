//! Requests that were prepared and wait to be carried out: for their own transaction to be committed, or for
//! one before them. They stay here for as long as that takes, over any number of batches.

use std::collections::VecDeque;

use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, Zxid};

use crate::request::Head;
use crate::tree::Identities;

/// A prepared request.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) head: Head,
    pub(super) step: Step,
}

/// What is left to do for it.
#[derive(Debug)]
pub(super) enum Step {
    /// Apply a transaction and answer.
    Txn(TxnEntry),
    /// Apply the beginning of a session, for which the client gets this timeout, and send a connect response.
    NewSession { entry: TxnEntry, timeout_ms: i32 },
    /// Answer from the tree as it is then.
    Read { bytes: Vec<u8>, identities: Identities },
    /// Answer with an error: the request took no zxid.
    Refused(Code),
}

impl Step {
    /// What is left to do for a transaction.
    pub(super) fn of(entry: TxnEntry) -> Self {
        match &entry.body {
            TxnBody::CreateSession(txn) => Self::NewSession { timeout_ms: txn.time_out, entry },
            _ => Self::Txn(entry),
        }
    }
}

impl Prepared {
    const fn txn(&self) -> Option<&TxnEntry> {
        match &self.step {
            Step::Txn(entry) | Step::NewSession { entry, .. } => Some(entry),
            Step::Read { .. } | Step::Refused(_) => None,
        }
    }
}

/// The queue, in the order of preparation. Transactions in it have consecutive zxids.
#[derive(Debug)]
pub(super) struct Proposals {
    queue: VecDeque<Prepared>,
    /// So many from the front are in the log, or have nothing that belongs there.
    appended: usize,
    /// Transactions that were appended since a sync was last asked for.
    unsynced: Option<(Zxid, Zxid)>,
    /// Everything up to here may be applied.
    committed: Zxid,
}

impl Proposals {
    pub(super) const fn new(committed: Zxid) -> Self {
        Self { queue: VecDeque::new(), appended: 0, unsynced: None, committed }
    }

    pub(super) fn push(&mut self, prepared: Prepared) {
        self.queue.push_back(prepared);
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn heads(&self) -> impl ExactSizeIterator<Item = &Head> {
        self.queue.iter().map(|prepared| &prepared.head)
    }

    /// The next transaction for the log.
    pub(super) fn next_append(&mut self) -> Option<&TxnEntry> {
        let rest = self.queue.iter().skip(self.appended);
        let skipped = rest.take_while(|prepared| prepared.txn().is_none()).count();
        self.appended += skipped;
        self.queue.get(self.appended).and_then(Prepared::txn)
    }

    /// The log has taken what [`Proposals::next_append`] gave.
    pub(super) fn set_appended(&mut self, zxid: Zxid) {
        self.appended += 1;
        let first = self.unsynced.map_or(zxid, |(first, _)| first);
        self.unsynced = Some((first, zxid));
    }

    /// First and last of what was appended since the last call.
    pub(super) const fn take_unsynced(&mut self) -> Option<(Zxid, Zxid)> {
        self.unsynced.take()
    }

    pub(super) fn commit(&mut self, up_to: Zxid) {
        self.committed = self.committed.max(up_to);
    }

    /// Everything up to here may be applied.
    pub(super) const fn committed(&self) -> Zxid {
        self.committed
    }

    /// Whether [`Proposals::pop_released`] has something.
    pub(super) fn is_released(&self) -> bool {
        self.queue.front().is_some_and(|front| self.may_go(front))
    }

    /// What may be carried out now: what stands in front, unless its transaction is not committed.
    pub(super) fn pop_released(&mut self) -> Option<Prepared> {
        if !self.is_released() {
            return None;
        }
        self.appended = self.appended.saturating_sub(1);
        self.queue.pop_front()
    }

    fn may_go(&self, prepared: &Prepared) -> bool {
        prepared.txn().is_none_or(|entry| entry.header.zxid <= self.committed)
    }
}

#[cfg(test)]
mod tests {
    use jute::records::txn::{ErrorTxn, TxnHeader};
    use jute::{OpCode, SessionId};

    use super::*;
    use crate::request::Origin;

    fn head(xid: i32) -> Head {
        let session = SessionId(1);
        let (origin, op) = (Origin::Client(1), OpCode::CREATE);
        Head { origin, session, xid, op, received_ms: 0, bytes: 10, knows_read_only: true }
    }

    fn txn(zxid: i64) -> Prepared {
        let header = TxnHeader { zxid: Zxid(zxid), ..TxnHeader::default() };
        let body = TxnBody::Error(ErrorTxn { err: 0 });
        Prepared { head: head(zxid as i32), step: Step::Txn(TxnEntry { header, body, digest: None }) }
    }

    fn refused() -> Prepared {
        Prepared { head: head(99), step: Step::Refused(Code::MARSHALLING_ERROR) }
    }

    #[test]
    fn what_is_not_committed_holds_back_what_stands_behind_it() {
        let mut proposals = Proposals::new(Zxid(4));
        [refused(), txn(5), refused(), txn(6)].into_iter().for_each(|prepared| proposals.push(prepared));
        let xid = |prepared: Option<Prepared>| prepared.map(|prepared| prepared.head.xid);
        assert_eq!(xid(proposals.pop_released()), Some(99));
        assert_eq!(xid(proposals.pop_released()), None);
        proposals.commit(Zxid(5));
        assert_eq!(xid(proposals.pop_released()), Some(5));
        assert_eq!(xid(proposals.pop_released()), Some(99));
        assert_eq!(xid(proposals.pop_released()), None);
        proposals.commit(Zxid(6));
        assert_eq!(xid(proposals.pop_released()), Some(6));
    }

    #[test]
    fn every_transaction_is_appended_once_and_in_order() {
        let mut proposals = Proposals::new(Zxid(4));
        [refused(), txn(5), refused(), txn(6)].into_iter().for_each(|prepared| proposals.push(prepared));
        let mut appended = Vec::new();
        while let Some(entry) = proposals.next_append() {
            let zxid = entry.header.zxid;
            appended.push(zxid.0);
            proposals.set_appended(zxid);
            if zxid == Zxid(5) {
                proposals.commit(zxid);
                while proposals.pop_released().is_some() {}
                proposals.push(txn(7));
            }
        }
        assert_eq!(appended, [5, 6, 7]);
        assert_eq!(proposals.take_unsynced(), Some((Zxid(5), Zxid(7))));
        assert_eq!(proposals.take_unsynced(), None);
    }
}
