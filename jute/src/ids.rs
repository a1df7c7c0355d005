//! Newtypes for the protocol's numbers, so that one cannot be passed for another.

use std::fmt;

/// A transaction id. The high 32 bits are the epoch, the low 32 bits count inside it; a standalone
/// server counts from 1 in epoch 0 and simply carries over. Ordered as the reference orders it: signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The next zxid of a server that leads alone (reference: `ZooKeeperServer.getNextZxid`).
    #[must_use]
    pub const fn successor(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether `next` may stand directly behind this one in a log: its successor, or the beginning of a later
    /// epoch, whose leader counts from 1.
    #[must_use]
    pub const fn is_followed_by(self, next: Self) -> bool {
        next.0 == self.0.wrapping_add(1) || next.epoch() > self.epoch() && next.counter() == 1
    }

    /// Where an epoch begins: counter 0, which no transaction has.
    #[must_use]
    pub const fn begin_of(epoch: u32) -> Self {
        Self((epoch as i64) << 32)
    }

    /// The epoch part.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The counter part.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what was asked for")]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Zxid {
    /// Hexadecimal with `0x`, as in logs and four-letter words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// A session id: the creating server's id in the top byte, time and a counter below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    /// What a client sends to ask for a new session.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
