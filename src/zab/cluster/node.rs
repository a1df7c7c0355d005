//! One server: a core, a model of its disk, and what it has applied.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use jute::Zxid;

use super::super::durable::Ticket;
use super::super::message::Proposal;
use super::super::{Effect, Input, Link, Members, Ms, Options, Recovered, Zab};

/// Something on its way to a learner.
#[derive(Debug)]
pub(super) enum Frame {
    Packet(Bytes, usize),
    /// A whole tree: here, the history it comes from.
    Snapshot(Zxid, Vec<Proposal>),
}

impl Frame {
    pub(super) const fn weight(&self) -> usize {
        match self {
            Self::Packet(_, weight) => *weight,
            Self::Snapshot(..) => 0,
        }
    }
}

enum Work {
    Append(Proposal),
    Persist(Ticket),
}

/// What a disk keeps through a crash.
#[derive(Clone, Default)]
struct Disk {
    /// Everything up to this one is only in the snapshot.
    snapshot: Vec<Proposal>,
    log: Vec<Proposal>,
    accepted: u32,
    current: u32,
}

pub(super) struct Node {
    pub(super) zab: Option<Zab>,
    /// Counts starts, so that what belongs to an earlier one is not taken for this one's.
    pub(super) life: u64,
    disk: Disk,
    work: VecDeque<Work>,
    pub(super) disk_is_busy: bool,
    pub(super) slow_ms: Ms,
    pub(super) applied: Vec<Proposal>,
    /// So many of them were compared with the others'.
    pub(super) checked: usize,
    pub(super) received: Option<(Zxid, Vec<Proposal>)>,
    staged: Option<Vec<Proposal>>,
    pub(super) master: Option<Link>,
    pub(super) listens: bool,
    pub(super) known: BTreeSet<Link>,
    pub(super) is_serving: bool,
    /// The last zxid given out, while it leads.
    pub(super) leads: Option<Zxid>,
    pub(super) tick_at: Option<Ms>,
}

/// Of the log, so many are handed over at a start: few, so that the disk is needed.
const TAIL: usize = 20;

impl Node {
    pub(super) fn empty() -> Self {
        Self {
            zab: None,
            life: 0,
            disk: Disk::default(),
            work: VecDeque::new(),
            disk_is_busy: false,
            slow_ms: 0,
            applied: Vec::new(),
            checked: 0,
            received: None,
            staged: None,
            master: None,
            listens: false,
            known: BTreeSet::new(),
            is_serving: false,
            leads: None,
            tick_at: None,
        }
    }

    fn stored(&self) -> Vec<Proposal> {
        self.disk.snapshot.iter().chain(&self.disk.log).cloned().collect()
    }

    pub(super) fn start(&mut self, options: Options, members: Members, now: Ms) {
        self.life += 1;
        self.applied = self.stored();
        self.checked = 0;
        let logged = self.applied.last().map_or(Zxid::ZERO, |last| last.zxid);
        if logged.epoch() > self.disk.current {
            self.disk.current = logged.epoch();
            self.disk.accepted = self.disk.accepted.max(logged.epoch());
        }
        let from = self.disk.log.len().saturating_sub(TAIL);
        let recovered = Recovered {
            logged,
            accepted: self.disk.accepted,
            current: self.disk.current,
            is_trusted: true,
            tail: self.disk.log[from..].to_vec(),
        };
        self.zab = Some(Zab::member(options, members, recovered, now));
    }

    /// Ends it. Of what was not synced a few transactions may have reached the disk.
    pub(super) fn crash(&mut self, kept: usize) {
        let unsynced = std::mem::take(&mut self.work).into_iter().take(kept);
        for work in unsynced {
            let Work::Append(proposal) = work else { break };
            self.disk.log.push(proposal);
        }
        let empty = Self::empty();
        *self = Self { life: self.life + 1, disk: std::mem::take(&mut self.disk), ..empty };
    }

    pub(super) fn takes_master(&self) -> bool {
        self.zab.as_ref().is_some_and(Zab::takes_master)
    }

    pub(super) fn next_proposal(&mut self, payload: u64) -> Proposal {
        let zxid = self.leads.map_or(Zxid::ZERO, Zxid::successor);
        self.leads = Some(zxid);
        let mut bytes = vec![0; 12];
        bytes.extend_from_slice(&zxid.0.to_be_bytes());
        bytes.extend_from_slice(&payload.to_be_bytes());
        Proposal { zxid, payload: bytes.into() }
    }

    pub(super) fn append(&mut self, proposal: Proposal) {
        self.work.push_back(Work::Append(proposal));
    }

    pub(super) fn persist(&mut self, ticket: Ticket) {
        self.work.push_back(Work::Persist(ticket));
    }

    pub(super) fn has_disk_work(&self) -> bool {
        self.work.iter().any(|work| matches!(work, Work::Persist(_)))
    }

    /// Does everything up to the next ticket.
    pub(super) fn disk_works(&mut self) -> Vec<Input> {
        self.disk_is_busy = false;
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Append(proposal) => {
                    let last = self.disk.log.last().or(self.disk.snapshot.last());
                    assert!(
                        last.is_none_or(|last| last.zxid.is_followed_by(proposal.zxid)),
                        "a gap in the log"
                    );
                    self.disk.log.push(proposal);
                }
                Work::Persist(ticket) => return vec![self.perform(ticket)],
            }
        }
        Vec::new()
    }

    fn perform(&mut self, ticket: Ticket) -> Input {
        match ticket.effect() {
            Effect::Log { up_to } => {
                let last = self.disk.log.last().or(self.disk.snapshot.last()).map(|last| last.zxid);
                assert_eq!(last, Some(up_to), "everything asked for was appended");
            }
            Effect::Truncate { to } => {
                let stored = self.stored();
                if to != Zxid::ZERO && !stored.iter().any(|one| one.zxid == to) {
                    return Input::CutMissing(ticket);
                }
                self.disk.snapshot.retain(|one| one.zxid <= to);
                self.disk.log.retain(|one| one.zxid <= to);
                self.staged = Some(self.stored());
            }
            Effect::Install { zxid } => {
                let (of, log) = self.received.take().expect("a snapshot came");
                assert_eq!(of, zxid);
                self.disk.snapshot = log.clone();
                self.disk.log.clear();
                self.staged = Some(log);
            }
            Effect::Accepted { epoch } => {
                assert!(epoch >= self.disk.accepted, "promises only grow");
                self.disk.accepted = epoch;
            }
            Effect::Current { epoch } => {
                assert!(epoch >= self.disk.current, "epochs only grow");
                assert!(epoch <= self.disk.accepted, "an epoch is promised before it is current");
                self.disk.current = epoch;
            }
        }
        Input::Done(ticket)
    }

    pub(super) fn replace(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.applied = staged;
            self.checked = 0;
        }
    }

    pub(super) fn apply(&mut self, up_to: Zxid) {
        let Some(zab) = &mut self.zab else { return };
        loop {
            let last = self.applied.last().map_or(Zxid::ZERO, |last| last.zxid);
            let Some(next) = zab.committed_after(last) else { break };
            assert!(next.zxid <= up_to);
            self.applied.push(next.clone());
        }
        let last = self.applied.last().map_or(Zxid::ZERO, |last| last.zxid);
        assert!(last >= up_to, "committed up to {up_to}, and only {last} is at hand");
        zab.applied(last);
    }

    /// Records after one zxid up to another, if the log goes back so far.
    pub(super) fn records(&self, after: Zxid, to: Zxid) -> Option<Vec<Proposal>> {
        let has_after = self.disk.log.iter().any(|one| one.zxid == after)
            || self.disk.snapshot.last().map_or(Zxid::ZERO, |last| last.zxid) == after;
        has_after
            .then(|| self.disk.log.iter().filter(|one| one.zxid > after && one.zxid <= to).cloned().collect())
    }

    /// The tree as it is.
    pub(super) fn snapshot(&self) -> (Zxid, Vec<Proposal>) {
        (self.applied.last().map_or(Zxid::ZERO, |last| last.zxid), self.applied.clone())
    }
}
