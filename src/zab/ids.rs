//! Numbers that name a server, a connection and a moment.

/// A server's number in the ensemble: `myid`, the N of `server.N`. Observers without one have a negative number.
pub type Sid = i64;

/// Milliseconds of a clock that never goes back.
pub type Ms = i64;

/// A learner's connection to us, as the driver numbers it. A number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);
