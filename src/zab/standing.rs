//! What others may be told of a member.

use jute::Zxid;

use super::ids::Sid;
use super::notification::PeerState;

/// What others may be told of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it does.
    pub state: PeerState,
    /// Whether clients are served.
    pub is_serving: bool,
    /// Its leader, itself included.
    pub leader: Option<Sid>,
    /// The epoch of that leader.
    pub epoch: u32,
    /// Leading: its learners' number, whether each observes, whether each is up to date.
    pub learners: Vec<(Sid, bool, bool)>,
}

/// How far a member has come, for who counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub state: PeerState,
    /// Whether clients are served.
    pub is_serving: bool,
    /// Leading: the last transaction of its epoch that it proposed, and that is committed; the begin of the epoch before
    /// the first one.
    pub proposed: Zxid,
    /// The last that is committed.
    pub committed: Zxid,
    /// Leading: how many transactions learners wait for with a sync.
    pub pending_syncs: usize,
}
