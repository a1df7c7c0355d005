//! What is durable on this server, and what may therefore be said.
//!
//! Whatever is promised to a client or a peer rests on a fact about this server's disk. The core asks for such
//! a fact with a [`Ticket`] that only it can make, and believes it only when the driver hands the same ticket
//! back. A driver can neither invent a ticket nor use one twice, so it has no way to claim a sync that the core
//! did not ask for.
//!
//! What is said to peers about this disk has types of its own ([`OwnVote`], [`AckEpoch`], [`LeaderInfo`],
//! [`Ack`], [`NewLeaderAck`]) that only [`Durables`] makes, and only when the fact stands.

use jute::Zxid;

use super::ids::Sid;

/// What a driver has to make durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The log up to this transaction.
    Log {
        /// The last transaction that must be durable.
        up_to: Zxid,
    },
    /// Snapshots and transactions after this one are gone, snapshots first. If the tree holds more, it is read
    /// from disk again, for [`super::Output::Replace`].
    Truncate {
        /// The last transaction that stays.
        to: Zxid,
    },
    /// The snapshot that was received has its name: newer snapshots are gone, and what the log holds that is
    /// newer, in this order, before it has.
    Install {
        /// Its zxid.
        zxid: Zxid,
    },
    /// The file `acceptedEpoch` says this.
    Accepted {
        /// The epoch.
        epoch: u32,
    },
    /// The file `currentEpoch` says this.
    Current {
        /// The epoch.
        epoch: u32,
    },
}

/// A request to the disk, handed back when it is done. Deliberately neither `Clone` nor `Copy`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not handed back stops the server from answering"]
pub struct Ticket {
    number: u64,
    effect: Effect,
}

impl Ticket {
    /// What is to be done.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }
}

#[cfg(test)]
impl Ticket {
    /// For tests of whoever carries tickets out.
    pub(crate) const fn for_test(number: u64, effect: Effect) -> Self {
        Self { number, effect }
    }

    /// As it was made.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }
}

/// What is durable here. Tickets are confirmed in the order in which they were made.
#[derive(Debug)]
pub(super) struct Durables {
    logged: Zxid,
    accepted: u32,
    current: u32,
    /// Whether what is logged may be counted on: not after damage, or when nobody said that an empty database is
    /// right. The protocol then speaks of zxid -1.
    is_trusted: bool,
    issued: u64,
    confirmed: u64,
}

impl Durables {
    /// As recovery found it.
    pub(super) const fn recovered(logged: Zxid, accepted: u32, current: u32, is_trusted: bool) -> Self {
        Self { logged, accepted, current, is_trusted, issued: 0, confirmed: 0 }
    }

    /// The last transaction whose record is durable here.
    pub(super) const fn logged(&self) -> Zxid {
        self.logged
    }

    /// The newest epoch promised to a leader.
    pub(super) const fn accepted(&self) -> u32 {
        self.accepted
    }

    /// The epoch of the newest leader whose history is here.
    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// The zxid to tell others of: -1 where what is here may not be counted on.
    pub(super) const fn reported(&self) -> Zxid {
        if self.is_trusted { self.logged } else { Zxid(-1) }
    }

    /// Nothing here may be counted on until a snapshot was received.
    pub(super) const fn distrust(&mut self) {
        self.is_trusted = false;
    }

    /// Whether nothing is asked for that is not done.
    pub(super) const fn is_settled(&self) -> bool {
        self.issued == self.confirmed
    }

    /// Asks for something other than a current epoch.
    pub(super) const fn ask(&mut self, effect: Effect) -> Ticket {
        self.issued += 1;
        Ticket { number: self.issued, effect }
    }

    /// That everything up to here is durable, if it is.
    pub(super) fn covered(&self, up_to: Zxid) -> Option<Covered> {
        (self.is_settled() && self.logged >= up_to).then_some(Covered(()))
    }

    /// Asks for a current epoch, whose history must be here.
    pub(super) const fn ask_current(&mut self, epoch: u32, _covered: Covered) -> Ticket {
        self.ask(Effect::Current { epoch })
    }

    /// It was done, and this was it.
    ///
    /// # Panics
    /// When an earlier ticket is still out: what it asked for could be missing.
    pub(super) fn confirm(&mut self, ticket: Ticket) -> Effect {
        self.take_back(&ticket);
        match ticket.effect {
            Effect::Log { up_to } => self.logged = self.logged.max(up_to),
            Effect::Truncate { to } => self.logged = to,
            Effect::Install { zxid } => (self.logged, self.is_trusted) = (zxid, true),
            Effect::Accepted { epoch } => self.accepted = epoch,
            Effect::Current { epoch } => self.current = epoch,
        }
        ticket.effect
    }

    /// It could not be done, and nothing was changed.
    pub(super) fn take_back(&mut self, ticket: &Ticket) {
        assert_eq!(ticket.number, self.confirmed + 1, "tickets are confirmed in the order they were made");
        self.confirmed = ticket.number;
    }
}

/// That a history is durable here.
#[derive(Debug)]
pub(super) struct Covered(());

/// What this server votes for at the begin of an election: itself, with what is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnVote {
    leader: Sid,
    zxid: Zxid,
    peer_epoch: i64,
}

impl OwnVote {
    /// Of a voter (reference: `FastLeaderElection.getInitId`, `getInitLastLoggedZxid`, `getPeerEpoch`).
    pub(super) fn of(durables: &Durables, me: Sid) -> Self {
        Self { leader: me, zxid: durables.reported(), peer_epoch: i64::from(durables.current) }
    }

    /// Of a server without a vote, which only listens. One that is an observer tells nothing of its history.
    pub(super) fn without_vote(durables: &Durables, is_observer: bool) -> Self {
        let own = Self { leader: Sid::MIN, ..Self::of(durables, Sid::MIN) };
        if is_observer { Self { zxid: Zxid(i64::MIN), peer_epoch: i64::MIN, ..own } } else { own }
    }

    pub(super) const fn leader(self) -> Sid {
        self.leader
    }

    pub(super) const fn zxid(self) -> Zxid {
        self.zxid
    }

    pub(super) const fn peer_epoch(self) -> i64 {
        self.peer_epoch
    }
}

/// A learner's answer to a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckEpoch {
    current: Option<u32>,
    last: Zxid,
}

impl AckEpoch {
    /// Nothing unless the epoch was promised durably. `is_repeated`: it had been promised before this leader asked,
    /// and then the answer does not count.
    pub(super) fn of(durables: &Durables, epoch: u32, is_repeated: bool) -> Option<Self> {
        let current = (!is_repeated).then_some(durables.current);
        (durables.accepted == epoch).then(|| Self { current, last: durables.reported() })
    }

    /// The epoch of the newest history here; `None` when the answer does not count.
    #[must_use]
    pub const fn current(&self) -> Option<u32> {
        self.current
    }

    /// The last transaction here.
    #[must_use]
    pub const fn last(&self) -> Zxid {
        self.last
    }
}

/// A leader's word for its new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderInfo {
    epoch: u32,
}

impl LeaderInfo {
    /// Nothing unless the leader has itself promised it durably.
    pub(super) fn of(durables: &Durables, epoch: u32) -> Option<Self> {
        (durables.accepted == epoch).then_some(Self { epoch })
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}

/// That a transaction is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    zxid: Zxid,
}

impl Ack {
    /// Nothing unless it is.
    pub(super) fn of(durables: &Durables, zxid: Zxid) -> Option<Self> {
        (zxid <= durables.logged).then_some(Self { zxid })
    }

    /// The transaction.
    #[must_use]
    pub const fn zxid(&self) -> Zxid {
        self.zxid
    }
}

/// That a leader's history is durable here, and that its epoch is this server's current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLeaderAck {
    epoch: u32,
}

impl NewLeaderAck {
    /// Nothing unless it is.
    pub(super) fn of(durables: &Durables, epoch: u32) -> Option<Self> {
        (durables.current == epoch).then_some(Self { epoch })
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}
