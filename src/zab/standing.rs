//! What others may be told of a member.

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
