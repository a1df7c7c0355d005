//! One learner, as its leader sees it. It has no queue of transactions: it is a position in the history, so that
//! one that does not read costs no memory.

use std::collections::VecDeque;

use jute::Zxid;

use super::super::common::Common;
use super::super::ids::{Link, Ms, Sid};
use super::super::message::ToLearner;
use super::super::output::Output;
use super::lag::Lag;

/// Bytes that may be on their way to a learner before it is sent no more transactions.
pub(super) const WINDOW_BYTES: usize = 4 << 20;

/// How far a learner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has introduced itself.
    Came,
    /// It was told the epoch.
    Informed,
    /// It takes part in the epoch, with this last transaction.
    Promised { last: Zxid },
    /// The driver sends it the tree, or the log on disk.
    Streaming,
    /// It is sent what it lacks, each transaction with its commit.
    Catching,
    /// It was sent NEWLEADER.
    Told,
    /// It has acknowledged that.
    Live,
}

/// How a learner is brought up to date (reference: `LearnerSyncThrottler.SyncType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// It is sent transactions, or its log is cut.
    Diff,
    /// It is sent the tree.
    Snap,
}

/// A learner.
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) sid: Sid,
    pub(super) is_observer: bool,
    pub(super) stage: Stage,
    /// The last transaction it was sent, and the last it was told to be committed.
    pub(super) sent: Zxid,
    pub(super) committed: Zxid,
    /// The last transaction that it has durably.
    pub(super) acked: Zxid,
    /// Bytes on their way to it.
    pub(super) queued_bytes: usize,
    /// When something was last heard of it.
    pub(super) heard_ms: Ms,
    /// The tick until which it counts as alive (reference: `tickOfNextAckDeadline`).
    pub(super) ack_tick: i64,
    /// Its syncs, each to be answered when the transaction was sent as committed.
    pub(super) syncs: VecDeque<Zxid>,
    /// What it was sent since it is up to date.
    pub(super) lag: Lag,
    /// How it is brought up to date.
    pub(super) sync: Option<Sync>,
}

impl Learner {
    pub(super) fn new(sid: Sid, is_observer: bool, now: Ms, ack_tick: i64) -> Self {
        Self {
            sid,
            is_observer,
            stage: Stage::Came,
            sent: Zxid::ZERO,
            committed: Zxid::ZERO,
            acked: Zxid::ZERO,
            queued_bytes: 0,
            heard_ms: now,
            ack_tick,
            syncs: VecDeque::new(),
            lag: Lag::default(),
            sync: None,
        }
    }

    pub(super) fn send(&mut self, common: &mut Common, link: Link, packet: ToLearner) {
        self.queued_bytes += packet.weight();
        common.output(Output::ToLearner { link, packet });
    }

    /// Answers the syncs that wait for nothing more. To be called behind each commit: a learner of the reference
    /// waits for both in the order in which it asked.
    pub(super) fn answer_syncs(&mut self, common: &mut Common, link: Link) {
        while self.syncs.pop_front_if(|after| *after <= self.committed).is_some() {
            self.send(common, link, ToLearner::Sync);
        }
    }

    /// It has acknowledged up to here.
    pub(super) fn set_acked(&mut self, zxid: Zxid) {
        self.acked = self.acked.max(zxid);
        self.lag.reached(zxid);
    }

    /// Whether a proposal has gone unacknowledged for too long.
    pub(super) fn is_late(&self, now: Ms, limit_ms: Ms) -> bool {
        self.stage == Stage::Live && self.lag.is_over(now, limit_ms)
    }

    /// What it is sent goes on from here.
    pub(super) const fn set_position(&mut self, zxid: Zxid) {
        self.sent = zxid;
        self.committed = zxid;
        self.acked = zxid;
    }
}
