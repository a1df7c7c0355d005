//! What a leader sends: first what is missing here, then what it orders. A gap, a repetition or a commit of
//! nothing ends the connection: what was logged before it is a prefix of the leader's history all the same.

use jute::Zxid;

use super::super::common::Common;
use super::super::durable::{Ack, Effect, NewLeaderAck};
use super::super::message::{FromMaster, Proposal, ToMaster};
use super::super::output::Output;
use super::{Learning, Left, Phase};

impl Learning {
    /// DIFF or TRUNC (reference: `Learner.syncWithLeader`). SNAP comes with [`Learning::snapshot_arrived`].
    pub(super) fn sync_chosen(&mut self, common: &mut Common, said: FromMaster) -> Result<(), Left> {
        match said {
            FromMaster::Diff(zxid) => {
                tracing::info!(leader = self.leader, from = %common.history.last(), up_to = %zxid, "sync: DIFF");
                self.floor = zxid.min(common.history.last());
                self.phase = Phase::Intake;
                Ok(())
            }
            FromMaster::Trunc(to) => {
                let last = common.history.last();
                if to.0 < 0 || to > last {
                    return Err(format!(
                        "leader {} wants the log, which ends with {last}, cut after {to}",
                        self.leader
                    ));
                }
                tracing::warn!(
                    leader = self.leader, from = %last, %to,
                    "sync: TRUNC, removing transactions that were never committed"
                );
                self.floor = to;
                self.phase = Phase::Truncating;
                let ticket = common.durables.ask(Effect::Truncate { to });
                common.output(Output::Persist(ticket));
                Ok(())
            }
            FromMaster::Ping(_) => Ok(()),
            _ => Err(format!("leader {} did not say how to begin the sync", self.leader)),
        }
    }

    /// A whole tree has come.
    pub(in super::super) fn snapshot_arrived(&mut self, common: &mut Common, zxid: Zxid) -> Result<(), Left> {
        if self.phase != Phase::Choosing {
            return Err(format!("leader {} sent a snapshot that has no place here", self.leader));
        }
        if zxid.0 < 0 {
            return Err(format!("leader {} sent a snapshot of zxid {zxid}", self.leader));
        }
        tracing::info!(leader = self.leader, from = %common.history.last(), up_to = %zxid, "sync: SNAP");
        self.snapshot = zxid;
        self.phase = Phase::Installing;
        let ticket = common.durables.ask(Effect::Install { zxid });
        common.output(Output::Persist(ticket));
        Ok(())
    }

    pub(super) fn truncated(&mut self, common: &mut Common, to: Zxid) {
        common.cut(to);
        common.output(Output::Replace);
        self.phase = Phase::Intake;
    }

    pub(super) fn installed(&mut self, common: &mut Common, zxid: Zxid) {
        common.restart(zxid);
        common.output(Output::Replace);
        self.phase = Phase::Intake;
    }

    pub(super) fn take_in(&mut self, common: &mut Common, said: FromMaster) -> Result<(), Left> {
        match said {
            FromMaster::Proposal(proposal) => self.append(common, proposal).map(drop),
            FromMaster::Inform(proposal) => {
                let zxid = proposal.zxid;
                self.append(common, proposal)?;
                self.floor = self.floor.max(zxid);
                Ok(())
            }
            FromMaster::Commit(zxid) => {
                // What the snapshot holds may be proposed and committed again.
                if zxid > common.history.last() {
                    return Err(self.commits_nothing(zxid));
                }
                self.floor = self.floor.max(zxid);
                Ok(())
            }
            FromMaster::NewLeader { zxid, .. } => {
                if zxid != Zxid::begin_of(self.epoch) {
                    return Err(format!("leader {} begins epoch {} with {zxid}", self.leader, self.epoch));
                }
                common.sync();
                self.phase = Phase::Covering;
                self.cover(common);
                Ok(())
            }
            FromMaster::Ping(_) => Ok(()),
            _ => Err(format!("leader {} said during the sync what has no place there", self.leader)),
        }
    }

    /// The epoch becomes the current one when everything of its history that came is durable.
    pub(super) fn cover(&mut self, common: &mut Common) {
        if let Some(covered) = common.durables.covered(common.history.last()) {
            self.phase = Phase::Adopting;
            let ticket = common.durables.ask_current(self.epoch, covered);
            common.output(Output::Persist(ticket));
        }
    }

    pub(super) fn adopted(&mut self, common: &mut Common) {
        if let Some(ack) = NewLeaderAck::of(&common.durables, self.epoch) {
            self.phase = Phase::Covered;
            common.output(Output::ToMaster(ToMaster::NewLeaderAck(ack)));
            self.acked = self.floor;
            self.acknowledge(common);
        }
    }

    /// Between the acknowledgement of NEWLEADER and UPTODATE.
    pub(super) fn await_start(&mut self, common: &mut Common, said: FromMaster) -> Result<(), Left> {
        match said {
            FromMaster::UpToDate => {
                if let Some(ack) = NewLeaderAck::of(&common.durables, self.epoch) {
                    common.output(Output::ToMaster(ToMaster::NewLeaderAck(ack)));
                }
                common.committed = common.committed.max(self.floor);
                common.release();
                self.phase = Phase::Serving;
                self.serve(common);
                Ok(())
            }
            FromMaster::Proposal(proposal) => self.append(common, proposal).map(drop),
            FromMaster::Commit(zxid) => {
                if zxid > common.history.last() {
                    return Err(self.commits_nothing(zxid));
                }
                self.floor = self.floor.max(zxid);
                Ok(())
            }
            FromMaster::Inform(proposal) => {
                let zxid = proposal.zxid;
                self.append(common, proposal)?;
                self.floor = self.floor.max(zxid);
                Ok(())
            }
            FromMaster::Ping(_) => Ok(()),
            _ => Err(format!("leader {} said before UPTODATE what has no place there", self.leader)),
        }
    }

    /// After UPTODATE (reference: `Follower.processPacket`, `Observer.processPacket`).
    pub(super) fn follow(&mut self, common: &mut Common, said: FromMaster) -> Result<(), Left> {
        match said {
            FromMaster::Proposal(proposal) => self.append(common, proposal).map(drop),
            FromMaster::Commit(zxid) => {
                if zxid <= common.committed {
                    return Ok(());
                }
                let next = common.history.after(common.committed).map(|next| next.zxid);
                if next != Some(zxid) {
                    return Err(self.commits_nothing(zxid));
                }
                common.committed = zxid;
                common.release();
                Ok(())
            }
            FromMaster::Inform(proposal) => {
                let zxid = proposal.zxid;
                self.append(common, proposal)?;
                common.committed = common.committed.max(zxid);
                Ok(())
            }
            FromMaster::Ping(zxid) => {
                self.pings.push_back(zxid);
                common.output(Output::CollectTouched);
                Ok(())
            }
            FromMaster::Sync => {
                common.output(Output::Synced { after: common.committed });
                Ok(())
            }
            FromMaster::Revalidated { session, is_valid } => {
                common.output(Output::Revalidated { session, is_valid });
                Ok(())
            }
            // Sent again to who was told already.
            FromMaster::UpToDate => Ok(()),
            FromMaster::Activate(zxid) => Err(format!(
                "leader {} activates a reconfiguration ({zxid}), which this version cannot take part in",
                self.leader
            )),
            _ => Err(format!("leader {} said what has no place after UPTODATE", self.leader)),
        }
    }

    /// Appends a transaction that must follow the last one.
    fn append(&mut self, common: &mut Common, proposal: Proposal) -> Result<(), Left> {
        let (last, zxid) = (common.history.last(), proposal.zxid);
        if zxid <= self.snapshot {
            return Ok(());
        }
        if !last.is_followed_by(zxid) {
            let what = if zxid <= last { "repeats" } else { "leaves a gap before" };
            return Err(format!(
                "leader {} {what} transaction {zxid}; the last one here is {last}",
                self.leader
            ));
        }
        if zxid.epoch() > self.epoch {
            return Err(format!("leader {} of epoch {} sent transaction {zxid}", self.leader, self.epoch));
        }
        common.append(proposal);
        Ok(())
    }

    /// Acknowledges, one by one, what is durable here and was not acknowledged.
    pub(super) fn acknowledge(&mut self, common: &mut Common) {
        if !matches!(self.phase, Phase::Covered | Phase::Serving) {
            return;
        }
        let logged = common.durables.logged();
        if !common.options.is_observer {
            let zxids = common.history.between(self.acked, logged).map(|proposal| proposal.zxid);
            let acks: Vec<_> = zxids.filter_map(|zxid| Ack::of(&common.durables, zxid)).collect();
            for ack in acks {
                common.output(Output::ToMaster(ToMaster::Ack(ack)));
            }
        }
        self.acked = self.acked.max(logged);
        if self.phase == Phase::Serving {
            common.release();
        }
    }

    fn commits_nothing(&self, zxid: Zxid) -> Left {
        format!("leader {} commits {zxid}, which is not the next transaction here", self.leader)
    }
}
