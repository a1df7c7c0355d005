//! Everything a driver must do.

use jute::{SessionId, Zxid};

use super::durable::Ticket;
use super::ids::{Link, Sid};
use super::message::{Forwarded, Proposal, ToLearner, ToMaster};
use super::notification::Notification;

/// What the driver must do, in the order given.
#[derive(Debug)]
pub enum Output {
    /// Append to the log. Durable with the next [`super::Effect::Log`] ticket.
    Append(Proposal),
    /// Make something durable, and hand the ticket back. What was appended or asked for before comes first.
    Persist(Ticket),
    /// Apply everything up to here, in order, and answer.
    Commit {
        /// The last transaction to apply.
        up_to: Zxid,
    },
    /// The tree that was received, or read from disk again after the log was cut, takes over, if there is one.
    Replace,
    /// From here on clients are served like this.
    Serve(Serving),

    /// Send a message on the election port. It replaces what waits to be sent to the same server.
    Notify {
        /// To whom.
        to: Sid,
        /// What.
        notification: Notification,
    },
    /// Connect the election ports of all members to which there is no connection.
    Dial,

    /// Accept learners, or end all their connections and accept no more.
    Listen(bool),
    /// Send something to a learner.
    ToLearner {
        /// Its connection.
        link: Link,
        /// What.
        packet: ToLearner,
    },
    /// Send a learner what the log on disk holds after one zxid up to another, as PROPOSAL and COMMIT each.
    StreamLog {
        /// Its connection.
        link: Link,
        /// The zxid of the DIFF that goes before, if none was sent yet.
        diff: Option<Zxid>,
        /// The learner has this one.
        after: Zxid,
        /// The last one to send.
        to: Zxid,
    },
    /// Send a learner SNAP and the tree as it is.
    StreamSnapshot {
        /// Its connection.
        link: Link,
    },
    /// End a learner's connection.
    CloseLearner {
        /// The connection.
        link: Link,
        /// Why, for the log.
        why: String,
    },

    /// Connect to this server's quorum port.
    DialMaster(Sid),
    /// Send something to the leader.
    ToMaster(ToMaster),
    /// End the connection to the leader.
    CloseMaster {
        /// Why, for the log.
        why: String,
    },
    /// Collect the sessions that were heard from since this was last asked, for [`super::Input::Touched`].
    CollectTouched,

    /// Leading: a learner's request takes its turn.
    Submit {
        /// The learner's connection.
        link: Link,
        /// The request.
        request: Forwarded,
    },
    /// Leading: these sessions were heard from, with their timeouts in milliseconds.
    Touch(Vec<(SessionId, i32)>),
    /// Leading: a client came back to its session at a learner. To be answered by [`super::Input::Revalidated`].
    Revalidate {
        /// The learner's connection.
        link: Link,
        /// The session.
        session: SessionId,
        /// The timeout in milliseconds that it has from now on.
        timeout_ms: i32,
    },
    /// Learning: the leader's answer for a client that came back to its session.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it is alive.
        is_valid: bool,
    },
    /// Learning: the oldest `sync` that was forwarded and not answered yet may be answered.
    Synced {
        /// Once everything up to here is applied.
        after: Zxid,
    },
    /// A learner's connection has ended: it owns no session any more.
    LearnerGone {
        /// The connection.
        link: Link,
    },
}

/// How clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Not at all: there is no leader, or this server is not in sync with it.
    No,
    /// Here is where transactions are made; the first zxid is the one after the epoch's begin.
    Leading {
        /// The epoch.
        epoch: u32,
    },
    /// Writes go to this leader.
    Following {
        /// The leader.
        leader: Sid,
        /// Its epoch.
        epoch: u32,
    },
    /// The same, without a vote.
    Observing {
        /// The leader.
        leader: Sid,
        /// Its epoch.
        epoch: u32,
    },
}
