//! The seam between the writer and whoever carries packets to other servers: `quorum` over sockets, the
//! simulator over queues.

use jute::Zxid;

use crate::tree::Tree;
use crate::zab::{Input, Link, Notification, Sid, ToLearner, ToMaster};

/// Carries what a member says to its peers. No call waits for anything. What learners and the leader are sent may
/// stay where it is until [`Peers::flush`].
pub trait Peers: Send {
    /// Sends a message on the election port, in place of what waits to be sent to the same server.
    fn notify(&mut self, to: Sid, notification: Notification);
    /// Connects the election ports of all members to which there is no connection.
    fn dial(&mut self);
    /// Accepts learners, or ends all their connections and accepts no more.
    fn listen(&mut self, is_open: bool);
    /// Sends a packet to a learner.
    fn to_learner(&mut self, link: Link, packet: ToLearner);
    /// Sends what the log on disk holds; see [`crate::zab::Output::StreamLog`].
    fn stream_log(&mut self, link: Link, diff: Option<Zxid>, after: Zxid, to: Zxid);
    /// Sends SNAP and the tree, and says with which zxid that begins.
    fn stream_snapshot(&mut self, link: Link) -> Zxid;
    /// Ends a learner's connection.
    fn close_learner(&mut self, link: Link, why: &str);
    /// Connects to a leader.
    fn dial_master(&mut self, leader: Sid);
    /// Sends a packet to the leader, once [`Input::MasterCame`] has said that there is a connection.
    fn to_master(&mut self, packet: ToMaster);
    /// Ends the connection to the leader.
    fn close_master(&mut self, why: &str);
    /// So many bytes of what came from the leader were dealt with: as many more may be read.
    fn consumed(&mut self, bytes: usize);
    /// All packets so far are to leave.
    fn flush(&mut self) {}
}

/// A tree that was received, or read from disk again, before it takes over.
pub struct Staged {
    /// The nodes.
    pub tree: Tree,
    /// Sessions with their timeouts in milliseconds.
    pub sessions: std::collections::BTreeMap<jute::SessionId, i32>,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Staged").field("last_zxid", &self.tree.last_zxid()).finish_non_exhaustive()
    }
}

/// What peers' connections put into the inbox.
#[derive(Debug)]
pub enum FromPeers {
    /// Something happened.
    Happened {
        /// What.
        input: Input,
        /// Bytes of the leader's that it keeps in memory, for [`Peers::consumed`]; 0 for all else.
        bytes: usize,
    },
    /// A whole snapshot came from the leader. It is in a temporary file, synced; see
    /// [`crate::zab::Effect::Install`].
    Snapshot {
        /// Its zxid.
        zxid: Zxid,
        /// The tree in it.
        staged: Box<Staged>,
        /// The temporary file.
        file: std::path::PathBuf,
    },
}
