//! One server of an ensemble in a test.

use std::collections::{BTreeMap, VecDeque};

use jute::Zxid;
use jute::txn::{TxnBody, TxnEntry};

use super::Spoken;
use crate::replica::{Now, Replica};
use crate::request::Request;
use crate::session::Sessions;
use crate::tree::{OwnerRules, Tree};
use crate::watch::Watches;
use crate::zab::{Effect, Input, Link, Proposal, Ticket};

/// One server.
pub(in crate::replica) struct Member {
    pub(in crate::replica) replica: Replica,
    pub(in crate::replica) tree: Tree,
    pub(in crate::replica) sessions: Sessions,
    pub(in crate::replica) host: Spoken,
    pub(super) watches: Watches,
    /// Whether the disk waits with what it is asked.
    pub(in crate::replica) is_disk_slow: bool,
    pub(super) tickets: VecDeque<Ticket>,
    pub(super) master: Option<Link>,
    /// Everything since zxid 0, as its log and snapshots have it.
    pub(super) log: Vec<Proposal>,
    /// What a leader's snapshot holds, until it is installed.
    pub(super) staged: Vec<Proposal>,
    pub(super) has_installed: bool,
    pub(in crate::replica) inputs: VecDeque<Input>,
    pub(super) requests: Vec<Request>,
}

impl Member {
    /// What the disk was asked is done.
    pub(in crate::replica) fn do_tickets(&mut self) {
        for ticket in std::mem::take(&mut self.tickets) {
            self.do_ticket(ticket);
        }
    }

    /// The transactions in its log after this one.
    pub(in crate::replica) fn logged_after(&self, zxid: Zxid) -> Vec<TxnEntry> {
        let later = self.log.iter().filter(|proposal| proposal.zxid > zxid);
        later.map(|proposal| TxnEntry::decode(&proposal.payload).unwrap()).collect()
    }

    fn do_ticket(&mut self, ticket: Ticket) {
        match ticket.effect() {
            Effect::Truncate { to } => self.log.retain(|proposal| proposal.zxid <= to),
            Effect::Install { .. } => {
                self.log = std::mem::take(&mut self.staged);
                self.has_installed = true;
            }
            Effect::Log { .. } | Effect::Accepted { .. } | Effect::Current { .. } => {}
        }
        self.inputs.push_back(Input::Done(ticket));
    }

    /// What was received, or is left of the log, takes over where the tree holds anything else. A tree holds only
    /// what is committed, so nothing is ever cut off it.
    pub(super) fn replace(&mut self, now: Now) {
        let last = self.log.last().map_or(Zxid::ZERO, |last| last.zxid);
        assert!(self.tree.last_zxid() <= last, "what was applied is never cut");
        if !std::mem::take(&mut self.has_installed) {
            return;
        }
        let mut sessions = BTreeMap::new();
        self.tree = Tree::new(OwnerRules::default());
        for proposal in &self.log {
            let entry = TxnEntry::decode(&proposal.payload).unwrap();
            match &entry.body {
                TxnBody::CreateSession(txn) => {
                    sessions.insert(entry.header.client_id, txn.time_out);
                }
                TxnBody::CloseSession(_) => {
                    sessions.remove(&entry.header.client_id);
                }
                _ => {}
            }
            self.tree.replay(entry);
        }
        self.sessions.replace(&sessions, now.monotonic_ms);
        self.replica.replaced(last);
    }
}
