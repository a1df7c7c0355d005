//! What peers say, on its way into the core. What the leader says keeps its order, and waits while the disk is busy
//! with what it said before; the others are heard at once.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::MemberWriter;
use crate::replica::check_proposal;
use crate::runtime::peers::{FromPeers, Staged};
use crate::zab::{FromMaster as Said, Input};

/// What the leader's connection brought and what of it waits.
#[derive(Default)]
pub(super) struct FromMaster {
    waiting: VecDeque<FromPeers>,
    /// The file of the snapshot that came last, until it is asked to be installed.
    pub(super) file: Option<PathBuf>,
}

/// Whether it is of the connection to the leader.
fn is_of_master(from: &FromPeers) -> bool {
    use Input::{MasterCame, MasterLeft, MasterSaid, SnapshotArrived};
    match from {
        FromPeers::Happened { input, .. } => {
            matches!(input, MasterCame | MasterSaid(_) | MasterLeft { .. } | SnapshotArrived { .. })
        }
        FromPeers::Snapshot { .. } => true,
    }
}

/// Whether it is one of many.
const fn is_of_stream(from: &FromPeers) -> bool {
    use Said::{Commit, Inform, Ping, Proposal};
    let FromPeers::Happened { input, .. } = from else { return false };
    matches!(input, Input::MasterSaid(Proposal(_) | Commit(_) | Inform(_) | Ping(_)))
}

impl MemberWriter {
    /// Hears the others, and puts what the leader says behind what it said before.
    pub(super) fn hear_peers(&mut self, brought: Vec<FromPeers>) {
        let now = self.driver.now();
        for from in brought {
            match from {
                from if is_of_master(&from) => self.master.waiting.push_back(from),
                FromPeers::Happened { input, .. } => self.driver.replica.peer(now, input),
                FromPeers::Snapshot { .. } => {}
            }
        }
    }

    /// Hears the leader for as long as the core takes it and the log keeps up. Whether it said anything. What is not
    /// of the stream of transactions is heard by itself: the core may give the connection up, and then nothing that
    /// stands behind may be taken for what the next leader says.
    pub(super) fn hear_master(&mut self) -> bool {
        let now = self.driver.now();
        let mut has_heard = false;
        let mut is_alone = false;
        while !is_alone && self.driver.replica.takes_master() && !self.log.is_behind() {
            let Some(from) = self.master.waiting.front() else { break };
            is_alone = !is_of_stream(from);
            if is_alone && has_heard {
                break;
            }
            let Some(from) = self.master.waiting.pop_front() else { break };
            has_heard = true;
            match from {
                FromPeers::Happened { input, bytes } => {
                    if bytes > 0 {
                        self.peers.consumed(bytes);
                    }
                    if let Err(why) = check(&input) {
                        // The core then has the connection closed, and what it brought forgotten.
                        self.driver.replica.peer(now, Input::MasterLeft { why });
                        break;
                    }
                    self.driver.replica.peer(now, input);
                }
                FromPeers::Snapshot { zxid, staged, file } => {
                    self.keep(staged, file);
                    self.driver.replica.peer(now, Input::SnapshotArrived { zxid });
                }
            }
        }
        has_heard
    }

    fn keep(&mut self, staged: Box<Staged>, file: PathBuf) {
        self.staged = Some(staged);
        self.master.file = Some(file);
    }

    /// A snapshot that is not asked to be installed is of no use any more.
    fn discard(&mut self) {
        if let Some(file) = self.master.file.take() {
            self.staged = None;
            self.log.discard(file);
        }
    }

    /// The connection to the leader is given up: nothing of what it brought may be taken for what the next one says.
    pub(super) fn forget_master(&mut self) {
        let brought = self.inbox.take_peers();
        self.hear_peers(brought);
        for from in std::mem::take(&mut self.master.waiting) {
            match from {
                FromPeers::Happened { bytes: 0, .. } => {}
                FromPeers::Happened { bytes, .. } => self.peers.consumed(bytes),
                FromPeers::Snapshot { file, .. } => self.log.discard(file),
            }
        }
        self.discard();
    }
}

/// Whether a transaction that the leader sends can be applied here: it is asked before it is logged.
fn check(input: &Input) -> Result<(), String> {
    match input {
        Input::MasterSaid(Said::Proposal(proposal) | Said::Inform(proposal)) => {
            let zxid = proposal.zxid;
            check_proposal(proposal).map_err(|why| format!("its transaction {zxid} cannot be applied: {why}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::member_test::World;
    use super::*;

    /// A heartbeat or a vote must not wait for the disk, as what the leader says does.
    #[test]
    fn only_what_the_leader_says_waits_behind_what_it_said() {
        let mut world = World::new(&[1, 2, 3], true);
        let happened = |input| FromPeers::Happened { input, bytes: 0 };
        world.writer.hear_peers(vec![
            happened(Input::Tick),
            happened(Input::MasterSaid(Said::UpToDate)),
            happened(Input::MasterLeft { why: "late".into() }),
        ]);
        assert_eq!(world.writer.master.waiting.len(), 2);
    }
}
