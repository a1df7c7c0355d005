//! The leader: it proposes an epoch, brings learners up to date, and orders transactions (reference: `Leader`,
//! `LearnerHandler`).
//!
//! - [`learner`]: one learner, and what it is sent; [`lag`]: how far behind a server's disk is.
//! - [`broadcast`]: proposals, acknowledgements, commits, syncs.
//! - here: the phases, the ticks, stepping down.

mod broadcast;
mod lag;
mod learner;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jute::{SessionId, Zxid};

use self::lag::Lag;
use self::learner::{Learner, Stage};
use super::common::Common;
use super::durable::{Effect, LeaderInfo};
use super::ids::{Link, Ms, Sid};
use super::message::{FromLearner, Hello, ToLearner};
use super::output::{Output, Serving};
use super::packet::PROTOCOL;

/// Why a leader stops leading, for the log.
pub(super) type Resigned = String;

/// How far a leader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It gathers what epochs others have promised.
    Discovering,
    /// Its own promise is on the way to the disk.
    Promising,
    /// It gathers promises for its epoch.
    Gathering,
    /// The epoch is on the way to the disk as its current one.
    Adopting,
    /// It brings a quorum up to date.
    Syncing,
    /// The epoch is established.
    Serving,
}

/// A server that leads, or is about to.
#[derive(Debug)]
pub(super) struct Leading {
    phase: Phase,
    epoch: u32,
    /// When the phase must have ended.
    deadline: Ms,
    /// What this server could say of its history when it was elected: no learner may have more.
    summary: (i64, Zxid),
    /// The history it leads with ends here. It is committed with the epoch.
    initial: Zxid,
    /// The last transaction of the epoch.
    proposed: Zxid,
    learners: BTreeMap<Link, Learner>,
    /// The transactions that are not committed and for which learners wait with a sync, in order, each once, whoever of
    /// them has left since (reference: `Leader.pendingSyncs`).
    synced_for: VecDeque<Zxid>,
    /// What this server's own log was given.
    own_lag: Lag,
    /// Who elected it, and when.
    electors: BTreeSet<Sid>,
    elected_ms: Ms,
    /// Voters that came, and that promised.
    came: BTreeSet<Sid>,
    promised: BTreeSet<Sid>,
    /// Observers without a number are given negative ones.
    next_anonymous: Sid,
    tick: i64,
    is_half_tick: bool,
    half_tick_at: Ms,
}

/// The largest epoch that a zxid can carry.
const EPOCH_MAX: i64 = i32::MAX as i64 - 1;

impl Leading {
    pub(super) fn begin(common: &mut Common, now: Ms, electors: BTreeSet<Sid>) -> Self {
        let options = &common.options;
        let summary = (i64::from(common.durables.current()), common.durables.reported());
        let leading = Self {
            phase: Phase::Discovering,
            epoch: common.durables.accepted() + 1,
            deadline: now + options.tick_ms * options.init_limit,
            summary,
            initial: common.history.last(),
            proposed: common.history.last(),
            learners: BTreeMap::new(),
            synced_for: VecDeque::new(),
            own_lag: Lag::default(),
            electors,
            elected_ms: now,
            came: [options.me].into(),
            promised: BTreeSet::new(),
            next_anonymous: -1,
            tick: 0,
            is_half_tick: true,
            half_tick_at: now + options.tick_ms / 2,
        };
        tracing::info!(zxid = %leading.initial, "elected: waiting for a quorum of learners");
        common.output(Output::Listen(true));
        let mut leading = leading;
        leading.propose_epoch(common);
        leading
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) const fn begin_of_epoch(&self) -> Zxid {
        Zxid::begin_of(self.epoch)
    }

    pub(super) const fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// The learners: number, whether it observes, whether it is up to date.
    pub(super) fn learners(&self) -> impl Iterator<Item = (Sid, bool, bool)> {
        self.learners.values().map(|learner| (learner.sid, learner.is_observer, learner.stage == Stage::Live))
    }

    pub(super) fn deadline(&self) -> Ms {
        if self.is_serving() { self.half_tick_at } else { self.half_tick_at.min(self.deadline) }
    }

    pub(super) fn tick(&mut self, common: &mut Common, now: Ms) -> Result<(), Resigned> {
        let waits_for = match self.phase {
            Phase::Discovering => Some("no quorum came to connect"),
            Phase::Gathering => Some("no quorum came to accept the new epoch"),
            Phase::Syncing => Some("no quorum came to be brought up to date"),
            Phase::Promising | Phase::Adopting => Some("the disk of this server did not take the new epoch"),
            Phase::Serving => None,
        };
        if let Some(what) = waits_for.filter(|_| now >= self.deadline) {
            let limit = common.options.init_limit;
            return Err(format!("{what} within initLimit, {limit} ticks"));
        }
        if now < self.half_tick_at {
            return Ok(());
        }
        self.half_tick_at = now + common.options.tick_ms / 2;
        self.drop_silent(common, now);
        if !self.is_serving() {
            return Ok(());
        }
        self.is_half_tick = !self.is_half_tick;
        if !self.is_half_tick {
            self.tick += 1;
            self.check_quorum(common)?;
            self.check_own_log(common, now)?;
        }
        self.ping_all(common, now);
        Ok(())
    }

    /// A leader whose own log takes nothing any more, as on a full disk, makes place for another one, where there is one
    /// that could lead: it allows itself as much as its followers. Where there is none, reads go on here and writes wait.
    /// The reference's leader stops leading with the first failure of its log, whoever else is there
    /// (`SyncRequestProcessor`, `Leader.lead`).
    fn check_own_log(&self, common: &Common, now: Ms) -> Result<(), Resigned> {
        let limit_ms = common.options.tick_ms * common.options.sync_limit;
        if !self.own_lag.is_over(now, limit_ms) {
            return Ok(());
        }
        let synced = self.learners.values().filter(|learner| learner.stage == Stage::Live);
        let others = synced.filter(|learner| !learner.is_observer).map(|learner| learner.sid).collect();
        if !common.members.is_quorum(&others) {
            return Ok(());
        }
        Err(format!(
            "the log of this server has taken nothing for {limit_ms} ms (syncLimit), and the others can do without it; \
             look at the disk of its dataLogDir"
        ))
    }

    /// A voter looks for a leader. If it was one of those that elected this server, a quorum may never come (reference:
    /// `Leader.reportLookingSid`).
    pub(super) fn voter_looks(&self, common: &Common, now: Ms, from: Sid) -> Result<(), Resigned> {
        let waited_ms = now - self.elected_ms;
        match common.options.tuning.epoch_wait_ms {
            Some(limit_ms)
                if self.phase == Phase::Discovering
                    && self.electors.contains(&from)
                    && waited_ms > limit_ms =>
            {
                Err(format!(
                    "server {from}, which elected this one, looks for a leader again, and no quorum has connected for \
                     {waited_ms} ms (leader.maxTimeToWaitForEpoch is {limit_ms})"
                ))
            }
            _ => Ok(()),
        }
    }

    /// A leader that hears from less than a quorum must not go on (reference: `Leader.lead`).
    fn check_quorum(&self, common: &Common) -> Result<(), Resigned> {
        let alive = self.learners.values().filter(|learner| self.tick <= learner.ack_tick);
        let mut sids: BTreeSet<Sid> = alive.map(|learner| learner.sid).collect();
        sids.insert(common.options.me);
        if common.members.is_quorum(&sids) {
            return Ok(());
        }
        Err(format!("no quorum has been heard from within syncLimit; heard from are {sids:?}"))
    }

    /// Who has said nothing for too long is not waited for.
    fn drop_silent(&mut self, common: &mut Common, now: Ms) {
        let options = &common.options;
        let (init_ms, sync_ms) = (options.tick_ms * options.init_limit, options.tick_ms * options.sync_limit);
        let silent: Vec<_> = self
            .learners
            .iter()
            .filter_map(|(link, learner)| {
                let (limit_ms, name) = if learner.stage == Stage::Live {
                    (sync_ms, "syncLimit")
                } else {
                    (init_ms, "initLimit")
                };
                // A learner that is being sent the tree has nothing to say until it has it.
                let is_sent_to = learner.stage == Stage::Streaming;
                if !is_sent_to && now - learner.heard_ms > limit_ms {
                    return Some((*link, format!("it said nothing for {limit_ms} ms ({name})")));
                }
                let is_late = learner.is_late(now, sync_ms);
                is_late.then(|| (*link, format!("it has not acknowledged for {sync_ms} ms (syncLimit)")))
            })
            .collect();
        for (link, why) in silent {
            self.drop_learner(common, link, why);
        }
    }

    pub(super) fn drop_learner(&mut self, common: &mut Common, link: Link, why: String) {
        if self.learner_left(common, link) {
            common.output(Output::CloseLearner { link, why });
        }
    }

    pub(super) fn learner_left(&mut self, common: &mut Common, link: Link) -> bool {
        let is_known = self.learners.remove(&link).is_some();
        if is_known {
            common.output(Output::LearnerGone { link });
        }
        is_known
    }

    pub(super) fn learner_came(&mut self, common: &mut Common, now: Ms, link: Link, hello: Hello) {
        let refusal = if hello.protocol < PROTOCOL {
            Some("it speaks the protocol of before 3.4".to_owned())
        } else if hello.config_version > common.members.version {
            Some("it has a newer configuration than this leader".to_owned())
        } else if !(0..EPOCH_MAX).contains(&hello.accepted_epoch) {
            Some(format!("its accepted epoch {} cannot be", hello.accepted_epoch))
        } else {
            None
        };
        if let Some(why) = refusal {
            common.output(Output::CloseLearner { link, why });
            return;
        }
        let sid = hello.sid.unwrap_or_else(|| {
            self.next_anonymous -= 1;
            self.next_anonymous + 1
        });
        let options = &common.options;
        let ack_tick = self.tick + options.init_limit + options.sync_limit;
        self.learners.insert(link, Learner::new(sid, hello.is_observer, now, ack_tick));
        if self.phase == Phase::Discovering {
            let accepted = u32::try_from(hello.accepted_epoch).unwrap_or(0);
            self.epoch = self.epoch.max(accepted + 1);
            if !hello.is_observer {
                self.came.insert(sid);
            }
            self.propose_epoch(common);
        }
        self.inform_learners(common);
    }

    fn propose_epoch(&mut self, common: &mut Common) {
        if self.phase == Phase::Discovering && common.members.is_quorum(&self.came) {
            self.phase = Phase::Promising;
            let ticket = common.durables.ask(Effect::Accepted { epoch: self.epoch });
            common.output(Output::Persist(ticket));
        }
    }

    /// Tells the epoch to all who wait for it, once it is promised here.
    fn inform_learners(&mut self, common: &mut Common) {
        let is_decided = !matches!(self.phase, Phase::Discovering | Phase::Promising);
        let Some(info) = LeaderInfo::of(&common.durables, self.epoch).filter(|_| is_decided) else { return };
        for (link, learner) in self.learners.iter_mut().filter(|(_, learner)| learner.stage == Stage::Came) {
            learner.stage = Stage::Informed;
            learner.send(common, *link, ToLearner::LeaderInfo(info));
        }
    }

    pub(super) fn done(&mut self, common: &mut Common, now: Ms, effect: Effect) {
        match (self.phase, effect) {
            (Phase::Promising, Effect::Accepted { .. }) => {
                self.phase = Phase::Gathering;
                self.deadline = now + common.options.tick_ms * common.options.init_limit;
                if common.durables.reported() != Zxid(-1) {
                    self.promised.insert(common.options.me);
                }
                self.inform_learners(common);
                self.adopt_epoch(common);
            }
            (Phase::Adopting, Effect::Current { .. }) => {
                self.phase = Phase::Syncing;
                self.deadline = now + common.options.tick_ms * common.options.init_limit;
                self.proposed = self.begin_of_epoch();
                let acked: Vec<_> = self.learners.keys().copied().collect();
                acked.into_iter().for_each(|link| self.plan(common, link));
                self.establish(common);
            }
            (_, Effect::Log { up_to }) => {
                self.own_lag.reached(up_to);
                self.tally(common);
            }
            _ => {}
        }
    }

    /// When a quorum has promised, its history is this server's.
    fn adopt_epoch(&mut self, common: &mut Common) {
        if self.phase != Phase::Gathering
            || !self.promised.contains(&common.options.me)
            || !common.members.is_quorum(&self.promised)
        {
            return;
        }
        if let Some(covered) = common.durables.covered(self.initial) {
            self.phase = Phase::Adopting;
            let ticket = common.durables.ask_current(self.epoch, covered);
            common.output(Output::Persist(ticket));
        }
    }

    pub(super) fn said(
        &mut self,
        common: &mut Common,
        now: Ms,
        link: Link,
        said: FromLearner,
    ) -> Result<(), Resigned> {
        let ack_tick = self.tick + common.options.sync_limit;
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        learner.heard_ms = now;
        if learner.stage == Stage::Live {
            learner.ack_tick = ack_tick;
        }
        let refused = match said {
            FromLearner::AckEpoch { current, last } => self.epoch_acked(common, link, current, last),
            FromLearner::Ack(zxid) => self.acked(common, link, zxid),
            _ if learner.stage != Stage::Live => Err("it spoke before it was up to date".to_owned()),
            FromLearner::Ping(touched) => {
                if !touched.is_empty() {
                    common.output(Output::Touch(touched));
                }
                Ok(())
            }
            FromLearner::Request(request) => {
                common.output(Output::Submit { link, request });
                Ok(())
            }
            FromLearner::Revalidate { session, timeout_ms } => {
                common.output(Output::Revalidate { link, session, timeout_ms });
                Ok(())
            }
        };
        if let Err(why) = refused {
            self.drop_learner(common, link, why);
        }
        Ok(())
    }

    /// Reference: `Leader.waitForEpochAck`.
    fn epoch_acked(
        &mut self,
        common: &mut Common,
        link: Link,
        current: i32,
        last: Zxid,
    ) -> Result<(), String> {
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        if learner.stage != Stage::Informed {
            return Err("it accepted an epoch that it was not told of, or twice".to_owned());
        }
        let is_open = matches!(self.phase, Phase::Gathering);
        if is_open && current != -1 {
            let theirs = (i64::from(current), last);
            if theirs > self.summary {
                return Err(format!(
                    "its history is ahead of this leader's: epoch {current}, zxid {last}, here epoch {}, zxid {}",
                    self.summary.0, self.summary.1
                ));
            }
            if last != Zxid(-1) && !learner.is_observer {
                self.promised.insert(learner.sid);
            }
        }
        learner.stage = Stage::Promised { last };
        self.adopt_epoch(common);
        self.plan(common, link);
        Ok(())
    }

    /// The epoch is established when a quorum has this server's history.
    fn establish(&mut self, common: &mut Common) {
        if self.phase != Phase::Syncing {
            return;
        }
        let synced = self.learners.values().filter(|learner| learner.stage == Stage::Live);
        let mut sids: BTreeSet<Sid> =
            synced.filter(|learner| !learner.is_observer).map(|learner| learner.sid).collect();
        sids.insert(common.options.me);
        if !common.members.is_quorum(&sids) {
            return;
        }
        self.phase = Phase::Serving;
        common.committed = common.committed.max(self.initial);
        common.release();
        common.vote.peer_epoch = i64::from(self.epoch);
        tracing::info!(epoch = self.epoch, zxid = %self.initial, with = ?sids, "leading");
        common.output(Output::Serve(Serving::Leading { epoch: self.epoch }));
        for (link, learner) in self.learners.iter_mut().filter(|(_, learner)| learner.stage == Stage::Live) {
            learner.send(common, *link, ToLearner::UpToDate);
        }
    }

    pub(super) fn revalidated(
        &mut self,
        common: &mut Common,
        link: Link,
        session: SessionId,
        is_valid: bool,
    ) {
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.send(common, link, ToLearner::Revalidated { session, is_valid });
        }
    }
}
