//! What is durable on this server, and who may say so.
//!
//! Whatever is promised to a client or a peer rests on a fact about this server's disk. The core asks for such
//! a fact with a [`Ticket`] that only it can make, and believes it only when the driver hands the same ticket
//! back. A driver can neither invent a ticket nor use one twice, so it has no way to claim a sync that the core
//! did not ask for, and the core has no way to commit before one.

use jute::Zxid;

/// What a driver has to make durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The log up to this transaction.
    Log {
        /// The last transaction that must be durable.
        up_to: Zxid,
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

/// What is durable here. Tickets are confirmed in the order in which they were made.
#[derive(Debug)]
pub(super) struct Durables {
    logged: Zxid,
    issued: u64,
    confirmed: u64,
}

impl Durables {
    /// As recovery found it.
    pub(super) const fn recovered(logged: Zxid) -> Self {
        Self { logged, issued: 0, confirmed: 0 }
    }

    /// The last transaction whose record is durable here.
    pub(super) const fn logged(&self) -> Zxid {
        self.logged
    }

    /// Asks for something.
    pub(super) const fn ask(&mut self, effect: Effect) -> Ticket {
        self.issued += 1;
        Ticket { number: self.issued, effect }
    }

    /// It was done.
    ///
    /// # Panics
    /// When an earlier ticket is still out: what it asked for could be missing.
    pub(super) fn confirm(&mut self, ticket: Ticket) {
        assert_eq!(ticket.number, self.confirmed + 1, "tickets are confirmed in the order they were made");
        self.confirmed = ticket.number;
        let Effect::Log { up_to } = ticket.effect;
        self.logged = self.logged.max(up_to);
    }
}
