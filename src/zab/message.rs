//! What leader and learner say to each other (reference: `Leader`'s constants, `Learner`, `LearnerHandler`).
//!
//! What is sent and what is received are different types: whatever is sent about this server's disk can only be
//! built from what is durable (see [`super::durable`]), what is received is plain. Bytes are made and taken apart in
//! [`super::packet`].

use bytes::Bytes;
use jute::records::data::Id;
use jute::{OpCode, SessionId, Zxid};

use super::durable::{Ack, AckEpoch, LeaderInfo, NewLeaderAck};
use super::ids::Sid;

/// A transaction on its way: header, body and digest as the log holds them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its zxid, which the header has too.
    pub zxid: Zxid,
    /// The encoded transaction.
    pub payload: Bytes,
}

/// A client's request, as a learner passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Whose session.
    pub session: SessionId,
    /// The client's number for it.
    pub cxid: i32,
    /// What is asked for.
    pub op: OpCode,
    /// The request's bytes behind its header.
    pub body: Bytes,
    /// As whom.
    pub identities: Vec<Id>,
}

/// How a learner introduces itself: FOLLOWERINFO or OBSERVERINFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// It will not vote.
    pub is_observer: bool,
    /// The newest epoch it has promised to a leader; as large as it pleases.
    pub accepted_epoch: i64,
    /// Its number; `None` for one that has none.
    pub sid: Option<Sid>,
    /// 0x10000 since 3.4.
    pub protocol: i32,
    /// The version of the configuration it has.
    pub config_version: i64,
}

/// What a learner says after that, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromLearner {
    /// It takes part in the epoch.
    AckEpoch {
        /// The epoch of its newest history; -1 when this answer does not count.
        current: i32,
        /// Its last transaction; -1 when it has nothing to be counted on.
        last: Zxid,
    },
    /// A transaction is durable there; with counter 0: the leader's history is.
    Ack(Zxid),
    /// It is alive, and so are these sessions, with their timeouts in milliseconds.
    Ping(Vec<(SessionId, i32)>),
    /// A client asks for something.
    Request(Forwarded),
    /// A client came back to its session.
    Revalidate {
        /// The session.
        session: SessionId,
        /// Its timeout in milliseconds from now on.
        timeout_ms: i32,
    },
}

/// What a leader says, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromMaster {
    /// A new epoch.
    LeaderInfo {
        /// The epoch, from the packet's zxid.
        epoch: i64,
        /// The leader's protocol version.
        protocol: i32,
    },
    /// What is missing follows.
    Diff(Zxid),
    /// What comes after this zxid must go.
    Trunc(Zxid),
    /// Learn this transaction.
    Proposal(Proposal),
    /// It is committed.
    Commit(Zxid),
    /// A committed transaction, for observers.
    Inform(Proposal),
    /// The leader's history is complete with what was sent.
    NewLeader {
        /// The epoch's begin.
        zxid: Zxid,
        /// The leader's configuration.
        config: Option<Bytes>,
    },
    /// The epoch is established.
    UpToDate,
    /// The leader is alive.
    Ping(Zxid),
    /// The oldest `sync` that was asked for may be answered.
    Sync,
    /// About a client that came back to its session.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it is alive.
        is_valid: bool,
    },
    /// A reconfiguration takes effect: COMMITANDACTIVATE, INFORMANDACTIVATE.
    Activate(Zxid),
}

/// What is sent to a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in FromMaster")]
pub enum ToLearner {
    LeaderInfo(LeaderInfo),
    Diff(Zxid),
    Trunc(Zxid),
    /// The raw tree follows; see [`super::Output::StreamSnapshot`].
    Snap(Zxid),
    Proposal(Proposal),
    Commit(Zxid),
    Inform(Proposal),
    NewLeader {
        zxid: Zxid,
        config: Bytes,
    },
    UpToDate,
    Ping(Zxid),
    Sync,
    Revalidated {
        session: SessionId,
        is_valid: bool,
    },
}

impl ToLearner {
    /// About how many bytes it keeps in memory until it is sent.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + match self {
            Self::Proposal(proposal) | Self::Inform(proposal) => proposal.payload.len(),
            Self::NewLeader { config, .. } => config.len(),
            _ => 0,
        }
    }
}

/// What is sent to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in FromLearner")]
pub enum ToMaster {
    Hello(Hello),
    AckEpoch(AckEpoch),
    /// The answer to NEWLEADER, and again to UPTODATE.
    NewLeaderAck(NewLeaderAck),
    Ack(Ack),
    Ping {
        zxid: Zxid,
        touched: Vec<(SessionId, i32)>,
    },
    Request(Forwarded),
    Revalidate {
        session: SessionId,
        timeout_ms: i32,
    },
}
