//! Proposals out, acknowledgements in, commits in order.

use std::collections::BTreeMap;

use jute::Zxid;

use super::super::common::Common;
use super::super::ids::{Link, Ms, Sid};
use super::super::message::{Proposal, ToLearner};
use super::super::output::Output;
use super::super::sync::{Plan, plan};
use super::learner::{Learner, Stage, Sync, WINDOW_BYTES};
use super::{Leading, Phase, Resigned};

impl Leading {
    /// New transactions, in order.
    ///
    /// # Panics
    /// When they leave a gap.
    pub(in super::super) fn prepared(
        &mut self,
        common: &mut Common,
        now: Ms,
        proposals: Vec<Proposal>,
    ) -> Result<(), Resigned> {
        for proposal in proposals {
            assert_eq!(proposal.zxid, self.proposed.successor(), "a proposal follows the one before it");
            assert_ne!(proposal.zxid.counter(), 0, "the counter of an epoch never begins anew");
            self.proposed = proposal.zxid;
            self.own_lag.wait_for(proposal.zxid, now);
            common.append(proposal);
        }
        if self.proposed.counter() >= u32::MAX - 1 {
            return Err("the counter of the epoch is full: a new epoch is needed".to_owned());
        }
        Ok(())
    }

    /// As if the epoch had come so far, with nothing kept of it.
    #[cfg(test)]
    pub(in super::super) fn skip_to(&mut self, common: &mut Common, zxid: Zxid) {
        common.restart(zxid);
        self.proposed = zxid;
    }

    /// A learner has acknowledged (reference: `Leader.processAck`, `waitForNewLeaderAck`).
    pub(super) fn acked(&mut self, common: &mut Common, link: Link, zxid: Zxid) -> Result<(), String> {
        let (begin, is_serving) = (self.begin_of_epoch(), self.is_serving());
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        if learner.stage == Stage::Told {
            if zxid != begin {
                return Err(format!("it acknowledged {zxid} where the new epoch {begin} was to be"));
            }
            learner.stage = Stage::Live;
            tracing::info!(sid = learner.sid, zxid = %learner.sent, "learner is up to date");
            if is_serving {
                learner.send(common, link, ToLearner::UpToDate);
            }
            self.establish(common);
        } else if learner.stage != Stage::Live {
            return Err("it acknowledged what it was not sent".to_owned());
        } else if zxid.counter() != 0 {
            if zxid > learner.sent {
                return Err(format!("it acknowledged {zxid}, and was sent no more than {}", learner.sent));
            }
            learner.set_acked(zxid);
        }
        self.tally(common);
        Ok(())
    }

    /// Commits what a quorum has durably.
    pub(super) fn tally(&mut self, common: &mut Common) {
        if !self.is_serving() {
            return;
        }
        let mut reached: BTreeMap<Sid, Zxid> = [(common.options.me, common.durables.logged())].into();
        let live = self.learners.values().filter(|learner| learner.stage == Stage::Live);
        for learner in live.filter(|learner| !learner.is_observer) {
            let acked = reached.entry(learner.sid).or_insert(Zxid::ZERO);
            *acked = learner.acked.max(*acked);
        }
        if let Some(up_to) = common.members.reached_by_quorum(&reached)
            && up_to > common.committed
        {
            common.committed = up_to;
            while self.synced_for.pop_front_if(|zxid| *zxid <= up_to).is_some() {}
        }
        common.release();
    }

    /// Chooses how a learner that has promised is brought up to date, once the epoch is adopted here.
    pub(super) fn plan(&mut self, common: &mut Common, link: Link) {
        let is_ready = matches!(self.phase, Phase::Syncing | Phase::Serving);
        let (target, begin) = (self.target(common), self.begin_of_epoch());
        let Some(learner) = self.learners.get_mut(&link).filter(|_| is_ready) else { return };
        let Stage::Promised { last } = learner.stage else { return };
        let is_observer = learner.is_observer;
        let plan = plan(&common.history, target, begin, last, common.options.force_snapshot);
        tracing::info!(sid = learner.sid, %last, up_to = %target, ?plan, "bringing a learner up to date");
        let sync = if plan == Plan::Snap { Sync::Snap } else { Sync::Diff };
        if is_observer && let Some(why) = self.too_many(common, sync) {
            return self.drop_learner(common, link, why);
        }
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.sync = Some(sync);
        match plan {
            Plan::Diff { after } => {
                learner.stage = Stage::Catching;
                learner.set_position(after);
                // One that stands at the begin of the epoch is told of no other place.
                learner.send(
                    common,
                    link,
                    ToLearner::Diff(if last == begin { begin.max(target) } else { target }),
                );
            }
            Plan::Trunc { to } => {
                learner.stage = Stage::Catching;
                learner.set_position(to);
                learner.send(common, link, ToLearner::Trunc(to));
            }
            Plan::Log { after, to } => {
                learner.stage = Stage::Streaming;
                learner.set_position(to);
                common.output(Output::StreamLog { link, diff: Some(target), after, to });
            }
            Plan::Snap => {
                learner.stage = Stage::Streaming;
                common.output(Output::StreamSnapshot { link });
            }
        }
    }

    /// Why an observer cannot be brought up to date now and has to come again, if too many others are (reference:
    /// `LearnerSyncThrottler`).
    fn too_many(&self, common: &Common, sync: Sync) -> Option<String> {
        let is_under_way = |other: &&Learner| other.sync == Some(sync) && other.stage != Stage::Live;
        let under_way = self.learners.values().filter(is_under_way).count();
        let max = common.options.tuning.syncs_max;
        let (max, what, key) = match sync {
            Sync::Snap => (max.snap, "snapshots", "leader.maxConcurrentSnapSyncs"),
            Sync::Diff => (max.diff, "transactions", "leader.maxConcurrentDiffSyncs"),
        };
        let why = || format!("{under_way} others are being sent {what} already, and {key} is {max}");
        (under_way >= max).then(why)
    }

    /// What counts as committed towards a learner that is brought up to date.
    fn target(&self, common: &Common) -> Zxid {
        common.committed.max(self.initial)
    }

    pub(in super::super) fn snapshot_began(&mut self, link: Link, zxid: Zxid) {
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.set_position(zxid);
        }
    }

    pub(in super::super) fn streamed(&mut self, now: Ms, link: Link) {
        if let Some(learner) = self.learners.get_mut(&link)
            && learner.stage == Stage::Streaming
        {
            learner.stage = Stage::Catching;
            learner.heard_ms = now;
        }
    }

    pub(in super::super) fn stream_refused(&mut self, common: &mut Common, link: Link) {
        if let Some(learner) = self.learners.get_mut(&link)
            && learner.stage == Stage::Streaming
        {
            tracing::info!(
                sid = learner.sid,
                "the log on disk does not reach back to the learner: it gets a snapshot"
            );
            if learner.is_observer
                && let Some(why) = self.too_many(common, Sync::Snap)
            {
                return self.drop_learner(common, link, why);
            }
            let Some(learner) = self.learners.get_mut(&link) else { return };
            learner.sync = Some(Sync::Snap);
            common.output(Output::StreamSnapshot { link });
        }
    }

    pub(in super::super) fn drained(&mut self, link: Link, bytes: usize) {
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.queued_bytes = learner.queued_bytes.saturating_sub(bytes);
        }
    }

    /// A learner's sync is answered behind the commit of what was proposed by now.
    pub(in super::super) fn sync_asked(&mut self, common: &Common, link: Link) {
        let after = if self.proposed > self.begin_of_epoch() { self.proposed } else { common.committed };
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.syncs.push_back(after);
            if after > common.committed && self.synced_for.back() != Some(&after) {
                self.synced_for.push_back(after);
            }
        }
    }

    /// How many transactions learners wait for with a sync (reference: `Leader.getNumPendingSyncs`).
    pub(in super::super) fn pending_syncs(&self) -> usize {
        self.synced_for.len()
    }

    pub(super) fn ping_all(&mut self, common: &mut Common, _now: Ms) {
        let zxid = self.proposed;
        let told = |learner: &Learner| matches!(learner.stage, Stage::Told | Stage::Live);
        for (link, learner) in self.learners.iter_mut().filter(|(_, learner)| told(learner)) {
            learner.send(common, *link, ToLearner::Ping(zxid));
        }
    }

    /// The oldest position of a learner that is served from memory.
    pub(in super::super) fn needed(&self) -> Zxid {
        let is_served =
            |learner: &&Learner| matches!(learner.stage, Stage::Catching | Stage::Told | Stage::Live);
        let positions =
            self.learners.values().filter(is_served).map(|learner| learner.sent.min(learner.committed));
        positions.min().unwrap_or(Zxid(i64::MAX))
    }

    /// Sends every learner what it may have by now.
    pub(in super::super) fn pump(&mut self, common: &mut Common, now: Ms) {
        let target = self.target(common);
        let new_leader =
            ToLearner::NewLeader { zxid: self.begin_of_epoch(), config: common.members.text.clone() };
        let mut behind = Vec::new();
        for (link, learner) in &mut self.learners {
            while learner.queued_bytes < WINDOW_BYTES {
                learner.answer_syncs(common, *link);
                let next = match learner.stage {
                    Stage::Catching => next_to_catch(common, learner, target, &new_leader),
                    Stage::Told | Stage::Live => next_to_broadcast(common, learner),
                    _ => Next::Nothing,
                };
                match next {
                    Next::Packet(packet) => {
                        // What it is sent before it has the epoch's history it may acknowledge when it has.
                        if let ToLearner::Proposal(proposal) = &packet
                            && learner.stage == Stage::Live
                        {
                            learner.lag.wait_for(proposal.zxid, now);
                        }
                        learner.send(common, *link, packet);
                    }
                    Next::Pair(proposal) => {
                        let zxid = proposal.zxid;
                        learner.send(common, *link, ToLearner::Proposal(proposal));
                        learner.send(common, *link, ToLearner::Commit(zxid));
                    }
                    Next::Log => {
                        let after = learner.sent;
                        let to = common.history.base().min(target);
                        learner.stage = Stage::Streaming;
                        learner.set_position(to);
                        common.output(Output::StreamLog { link: *link, diff: None, after, to });
                    }
                    Next::Behind => {
                        behind.push(*link);
                        break;
                    }
                    Next::Nothing => break,
                }
            }
        }
        for link in behind {
            self.drop_learner(common, link, "it has fallen behind what is kept in memory".to_owned());
        }
    }
}

/// What a learner is sent next.
enum Next {
    Packet(ToLearner),
    /// A transaction and its commit.
    Pair(Proposal),
    /// What it lacks is only on disk.
    Log,
    /// What it lacks is only on disk, and it is too late for that.
    Behind,
    Nothing,
}

/// To a learner that is brought up to date: what is committed, then NEWLEADER. What is proposed and not committed is
/// of this epoch, so that acknowledging NEWLEADER does not claim it; it comes behind, as any later proposal. The
/// reference's leader sends it before (`Leader.startForwarding`), and a learner of before 3.9.3 then falls over its
/// commit when that comes before UPTODATE (ZOOKEEPER-4394).
fn next_to_catch(common: &Common, learner: &mut Learner, target: Zxid, new_leader: &ToLearner) -> Next {
    if !common.history.reaches_back_to(learner.sent) {
        return Next::Log;
    }
    match common.history.after(learner.sent) {
        Some(next) if next.zxid <= target => {
            learner.set_position(next.zxid);
            Next::Pair(next.clone())
        }
        _ => {
            learner.stage = Stage::Told;
            Next::Packet(new_leader.clone())
        }
    }
}

/// To one that is: commits of what it has, then proposals; to an observer both at once.
fn next_to_broadcast(common: &Common, learner: &mut Learner) -> Next {
    let history = &common.history;
    if !history.reaches_back_to(learner.sent.min(learner.committed)) {
        return Next::Behind;
    }
    let is_committed = |next: &&Proposal| next.zxid <= common.committed;
    let commit = history.after(learner.committed).filter(is_committed);
    if learner.is_observer {
        let Some(next) = commit else { return Next::Nothing };
        (learner.sent, learner.committed) = (next.zxid, next.zxid);
        return Next::Packet(ToLearner::Inform(next.clone()));
    }
    if let Some(next) = commit.filter(|next| next.zxid <= learner.sent) {
        learner.committed = next.zxid;
        return Next::Packet(ToLearner::Commit(next.zxid));
    }
    let Some(next) = history.after(learner.sent) else { return Next::Nothing };
    learner.sent = next.zxid;
    Next::Packet(ToLearner::Proposal(next.clone()))
}
