//! Everything that can happen.

use jute::{SessionId, Zxid};

use super::durable::Ticket;
use super::ids::{Link, Sid};
use super::message::{FromLearner, FromMaster, Hello, Proposal};
use super::notification::Notification;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Alone: these transactions, of consecutive zxids, were prepared and appended to the log, not yet durably.
    Appended {
        /// The first of them.
        first: Zxid,
        /// The last of them.
        last: Zxid,
    },
    /// The disk has done what the ticket asks for.
    Done(Ticket),
    /// The log does not contain the transaction after which it was to be cut. Nothing was changed.
    CutMissing(Ticket),

    /// A message came on the election port.
    Notified {
        /// From whom.
        from: Sid,
        /// What it says.
        notification: Notification,
    },

    /// A learner connected and introduced itself.
    LearnerCame {
        /// Its connection.
        link: Link,
        /// What it said of itself.
        hello: Hello,
    },
    /// A learner said something more.
    LearnerSaid {
        /// Its connection.
        link: Link,
        /// What it said.
        said: FromLearner,
    },
    /// A learner's connection has ended.
    LearnerLeft {
        /// The connection.
        link: Link,
    },
    /// So many bytes of what was to be sent to a learner have left this server.
    Drained {
        /// Its connection.
        link: Link,
        /// As [`super::message::ToLearner::weight`] counts.
        bytes: usize,
    },
    /// The snapshot that a learner is being sent was begun with the tree as of this zxid. Some of what comes after
    /// may be in it already.
    SnapshotBegan {
        /// Its connection.
        link: Link,
        /// What its SNAP packet says.
        zxid: Zxid,
    },
    /// What [`super::Output::StreamLog`] or [`super::Output::StreamSnapshot`] asked for is on its way.
    Streamed {
        /// The learner's connection.
        link: Link,
    },
    /// The log on disk cannot serve the learner: it does not reach back far enough, or does not contain the
    /// learner's last transaction. Nothing was sent.
    StreamRefused {
        /// The learner's connection.
        link: Link,
    },

    /// The connection to the leader stands.
    MasterCame,
    /// The leader said something.
    MasterSaid(FromMaster),
    /// A whole snapshot came from the leader: it was parsed, and lies in a temporary file that is synced.
    SnapshotArrived {
        /// What its SNAP packet said.
        zxid: Zxid,
    },
    /// The connection to the leader has ended, or could not be made.
    MasterLeft {
        /// Why, for the log.
        why: String,
    },

    /// Leading: these transactions were prepared, in this order.
    Prepared(Vec<Proposal>),
    /// Leading: a learner's `sync` stands where its answer may be sent once everything prepared before it is
    /// committed.
    SyncAsked {
        /// The learner's connection.
        link: Link,
    },
    /// Leading: a learner asked about a session.
    Revalidated {
        /// The learner's connection.
        link: Link,
        /// The session.
        session: SessionId,
        /// Whether it is alive, and belongs to that learner now.
        is_valid: bool,
    },
    /// Learning: something of a client is to be sent to the leader.
    Forward(super::message::ToMaster),
    /// Learning: the answer to a ping carries these sessions, which were heard from, with their timeouts.
    Touched(Vec<(SessionId, i32)>),
}
