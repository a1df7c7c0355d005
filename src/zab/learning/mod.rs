//! A follower or an observer: it registers with the leader, is brought up to date, and takes in what the leader
//! orders (reference: `Learner`, `Follower`, `Observer`).
//!
//! - here: connecting, registering, the phases, the answers to pings.
//! - [`intake`]: from the first packet of the sync to UPTODATE, and transactions after it.

mod intake;

use std::collections::VecDeque;

use jute::{SessionId, Zxid};

use super::common::Common;
use super::durable::{AckEpoch, Effect};
use super::ids::{Ms, Sid};
use super::message::{FromMaster, Hello, ToMaster};
use super::options::{Options, part_of};
use super::output::{Output, Serving};
use super::packet::PROTOCOL;

/// Why a learner leaves its leader, for the log.
pub(super) type Left = String;

/// How far a learner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// An observer waits before it connects.
    Waiting {
        /// Until when.
        until: Ms,
    },
    /// The connection is being made.
    Dialing,
    /// It has introduced itself.
    Registered,
    /// Its promise for the epoch is on the way to the disk.
    Promising,
    /// It waits for DIFF, TRUNC or SNAP.
    Choosing,
    /// What never was committed is being removed from disk.
    Truncating,
    /// The snapshot that came is being given its name.
    Installing,
    /// It takes in what it lacks.
    Intake,
    /// What it took in is on the way to the disk.
    Covering,
    /// The epoch is on the way to the disk as its current one.
    Adopting,
    /// It has acknowledged NEWLEADER.
    Covered,
    /// It serves.
    Serving,
}

/// A server that follows a leader, or is about to.
#[derive(Debug)]
pub(super) struct Learning {
    leader: Sid,
    phase: Phase,
    epoch: u32,
    /// When something was last heard, or nothing could be heard because this server was busy.
    heard_ms: Ms,
    /// Committed once the epoch is established.
    floor: Zxid,
    /// The snapshot that came holds everything up to here.
    snapshot: Zxid,
    /// The last transaction that was acknowledged.
    acked: Zxid,
    /// Pings that wait for the sessions that were heard from.
    pings: VecDeque<Zxid>,
}

impl Learning {
    pub(super) fn begin(common: &mut Common, now: Ms, leader: Sid) -> Self {
        let Options { me, is_observer, tuning, .. } = &common.options;
        let wait_ms = if *is_observer { part_of(tuning.observer_connects_ms, *me, now) } else { 0 };
        tracing::info!(leader, wait_ms, "a leader is elected: connecting to it");
        let phase = if wait_ms > 0 { Phase::Waiting { until: now + wait_ms } } else { Phase::Dialing };
        if phase == Phase::Dialing {
            common.output(Output::DialMaster(leader));
        }
        Self {
            leader,
            phase,
            epoch: 0,
            heard_ms: now,
            floor: Zxid::ZERO,
            snapshot: Zxid::ZERO,
            acked: Zxid::ZERO,
            pings: VecDeque::new(),
        }
    }

    pub(super) const fn leader(&self) -> Sid {
        self.leader
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) const fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Whether the disk is busy with what must be done before the leader is listened to again.
    pub(super) const fn is_busy(&self) -> bool {
        use Phase::{Adopting, Covering, Installing, Promising, Truncating};
        matches!(self.phase, Promising | Truncating | Installing | Covering | Adopting)
    }

    const fn limit_ms(&self, common: &Common) -> Ms {
        let options = &common.options;
        let is_synced = matches!(self.phase, Phase::Covered | Phase::Serving);
        options.tick_ms * if is_synced { options.sync_limit } else { options.init_limit }
    }

    pub(super) const fn deadline(&self, common: &Common) -> Ms {
        if let Phase::Waiting { until } = self.phase {
            return until;
        }
        if self.is_busy() { Ms::MAX } else { self.heard_ms + self.limit_ms(common) }
    }

    pub(super) fn tick(&mut self, common: &mut Common, now: Ms) -> Result<(), Left> {
        if now < self.deadline(common) {
            return Ok(());
        }
        if matches!(self.phase, Phase::Waiting { .. }) {
            (self.phase, self.heard_ms) = (Phase::Dialing, now);
            common.output(Output::DialMaster(self.leader));
            return Ok(());
        }
        let key = if self.limit_ms(common) == common.options.tick_ms * common.options.sync_limit {
            "syncLimit"
        } else {
            "initLimit"
        };
        Err(format!("nothing was heard of leader {} for {} ms ({key})", self.leader, self.limit_ms(common)))
    }

    pub(super) fn master_came(&mut self, common: &mut Common, now: Ms) {
        if self.phase != Phase::Dialing {
            return;
        }
        self.phase = Phase::Registered;
        self.heard_ms = now;
        common.output(Output::ToMaster(ToMaster::Hello(Hello {
            is_observer: common.options.is_observer,
            accepted_epoch: i64::from(common.durables.accepted()),
            sid: Some(common.options.me),
            protocol: PROTOCOL,
            config_version: common.members.version,
        })));
    }

    pub(super) fn said(&mut self, common: &mut Common, now: Ms, said: FromMaster) -> Result<(), Left> {
        self.heard_ms = now;
        match self.phase {
            // It comes from an earlier connection.
            Phase::Waiting { .. } | Phase::Dialing => Ok(()),
            Phase::Registered => self.epoch_came(common, said),
            Phase::Choosing => self.sync_chosen(common, said),
            Phase::Intake => self.take_in(common, said),
            Phase::Covered => self.await_start(common, said),
            Phase::Serving => self.follow(common, said),
            _ => Err(format!("leader {} spoke while it had to wait", self.leader)),
        }
    }

    /// Reference: `Learner.registerWithLeader`.
    fn epoch_came(&mut self, common: &mut Common, said: FromMaster) -> Result<(), Left> {
        let FromMaster::LeaderInfo { epoch, .. } = said else {
            return Err(format!("leader {} did not begin with its epoch", self.leader));
        };
        let accepted = common.durables.accepted();
        let Some(epoch) = u32::try_from(epoch).ok().filter(|epoch| *epoch < i32::MAX.unsigned_abs()) else {
            return Err(format!("the epoch {epoch} of leader {} cannot be", self.leader));
        };
        if epoch < accepted {
            return Err(format!(
                "leader {} proposes epoch {epoch}, and epoch {accepted} is promised to another one",
                self.leader
            ));
        }
        self.epoch = epoch;
        if epoch > accepted {
            self.phase = Phase::Promising;
            let ticket = common.durables.ask(Effect::Accepted { epoch });
            common.output(Output::Persist(ticket));
        } else {
            self.acknowledge_epoch(common, true);
        }
        Ok(())
    }

    fn acknowledge_epoch(&mut self, common: &mut Common, is_repeated: bool) {
        if let Some(ack) = AckEpoch::of(&common.durables, self.epoch, is_repeated) {
            self.phase = Phase::Choosing;
            common.output(Output::ToMaster(ToMaster::AckEpoch(ack)));
        }
    }

    pub(super) fn done(&mut self, common: &mut Common, now: Ms, effect: Effect) {
        if self.is_busy() {
            self.heard_ms = now;
        }
        match (self.phase, effect) {
            (Phase::Promising, Effect::Accepted { .. }) => self.acknowledge_epoch(common, false),
            (Phase::Truncating, Effect::Truncate { to }) => self.truncated(common, to),
            (Phase::Installing, Effect::Install { zxid }) => self.installed(common, zxid),
            (Phase::Covering, Effect::Log { .. }) => self.cover(common),
            (Phase::Adopting, Effect::Current { .. }) => self.adopted(common),
            (_, Effect::Log { .. }) => self.acknowledge(common),
            _ => {}
        }
    }

    pub(super) fn touched(&mut self, common: &mut Common, touched: Vec<(SessionId, i32)>) {
        if let Some(zxid) = self.pings.pop_front() {
            common.output(Output::ToMaster(ToMaster::Ping { zxid, touched }));
        }
    }

    fn serve(&self, common: &mut Common) {
        let (leader, epoch) = (self.leader, self.epoch);
        common.vote.peer_epoch = i64::from(epoch);
        tracing::info!(leader, epoch, zxid = %common.history.last(), "in sync with the leader: serving");
        common.output(Output::Serve(if common.options.is_observer {
            Serving::Observing { leader, epoch }
        } else {
            Serving::Following { leader, epoch }
        }));
    }
}
