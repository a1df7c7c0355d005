//! How servers agree on the order of transactions: fast leader election, discovery, synchronization, broadcast.
//!
//! Pure: what happened goes in through [`Zab::input`], what to do comes out of [`Zab::poll`]; no sockets, files,
//! clocks, threads or randomness. It knows neither disk nor tree: it asks for the log to be made durable with a
//! [`Ticket`] and is handed the ticket back when that is done.
//!
//! - [`mod@input`], [`mod@output`]: the seam; [`options`]: settings. [`durable`]: what may be said of this server's disk.
//! - [`message`], [`packet`], [`notification`]: what is said on the two ports, and its bytes.
//! - [`election`] and [`vote`]; [`leading`]; [`learning`]: the roles. [`common`]: what outlives them.
//! - [`members`]: who votes, and what a quorum is. [`history`]: recent transactions. [`sync`]: DIFF, TRUNC or SNAP.

mod common;
mod durable;
mod election;
mod history;
mod ids;
mod input;
mod leading;
mod learning;
mod members;
mod message;
mod notification;
mod options;
mod output;
mod packet;
mod roles;
mod standing;
mod sync;
mod vote;

use std::collections::BTreeMap;

use jute::Zxid;

pub use self::durable::{Ack, AckEpoch, Effect, LeaderInfo, NewLeaderAck, Ticket};
pub use self::ids::{Link, Ms, Sid};
pub use self::input::Input;
pub use self::members::{Members, Quorum};
pub use self::message::{Forwarded, FromLearner, FromMaster, Hello, Proposal, ToLearner, ToMaster};
pub use self::notification::{Notification, PeerState};
pub use self::options::{Options, Syncs, Tuning};
pub use self::output::{Output, Serving};
pub use self::packet::{BadPacket, PROTOCOL, Packet, SNAPSHOT_END};
pub use self::standing::{Progress, Standing};

use self::common::Common;
use self::durable::Durables;
use self::election::Election;
use self::history::History;
use self::leading::Leading;
use self::learning::Learning;

/// What is on disk when a member starts.
#[derive(Debug)]
pub struct Recovered {
    /// The last transaction in the log, or of the snapshot. The tree holds everything up to it.
    pub logged: Zxid,
    /// `acceptedEpoch`.
    pub accepted: u32,
    /// `currentEpoch`.
    pub current: u32,
    /// Whether what is there may be counted on.
    pub is_trusted: bool,
    /// The newest transactions, as the log holds them; at most a few hundred, the last being `logged`.
    pub tail: Vec<Proposal>,
}

/// A server's part in the agreement.
#[derive(Debug)]
pub struct Zab {
    common: Common,
    role: Role,
    /// What was said to this server between two roles, the last word of each: it is heard at the next election.
    held: BTreeMap<Sid, Notification>,
    /// An observer that has lost its leader looks for none before.
    rests_until: Ms,
    now: Ms,
}

/// What a server does.
#[derive(Debug)]
enum Role {
    /// It is its own quorum and has no peers.
    Alone { proposed: Zxid },
    /// Between two roles: what was asked of the disk is not done yet, and nothing may be said before.
    Settling,
    /// It looks for a leader.
    Looking(Election),
    /// It leads.
    Leading(Leading),
    /// It follows or observes.
    Learning(Learning),
}

impl Zab {
    /// Leads a quorum of one, from where recovery ended.
    #[must_use]
    pub fn leading_alone(recovered: Zxid) -> Self {
        let durables = Durables::recovered(recovered, 0, 0, true);
        let history = History::new(Vec::new(), recovered);
        let common = Common::new(Options::default(), Members::default(), durables, history);
        Self::begin(common, Role::Alone { proposed: recovered }, 0)
    }

    /// A member of an ensemble that starts. It begins to look for a leader.
    ///
    /// # Panics
    /// When the tail does not end with what is logged.
    #[must_use]
    pub fn member(options: Options, members: Members, recovered: Recovered, now: Ms) -> Self {
        let Recovered { logged, accepted, current, is_trusted, tail } = recovered;
        let durables = Durables::recovered(logged, accepted, current, is_trusted);
        let history = History::new(tail, logged).keeping(options.tuning.kept_txns);
        assert_eq!(history.last(), logged, "the tail of the log ends where the log does");
        let mut zab = Self::begin(Common::new(options, members, durables, history), Role::Settling, now);
        zab.settle(now);
        zab
    }

    const fn begin(common: Common, role: Role, now: Ms) -> Self {
        Self { common, role, held: BTreeMap::new(), rests_until: now, now }
    }

    /// Takes in what happened at `now`.
    ///
    /// # Panics
    /// When the driver leaves a gap, or a ticket comes back out of turn: going on would lose data. Nothing that a
    /// peer says panics.
    pub fn input(&mut self, now: Ms, input: Input) {
        self.now = now;
        match input {
            Input::Tick => self.tick(now),
            Input::Appended { first, last } => self.appended_alone(first, last),
            Input::Done(ticket) => self.done(now, ticket),
            Input::CutMissing(ticket) => {
                self.common.durables.take_back(&ticket);
                self.common.durables.distrust();
                self.leave(
                    "the log lacks the transaction after which it is to be cut: a snapshot is needed",
                    now,
                );
            }
            Input::Notified { from, notification } => self.notified(now, from, notification),
            Input::LearnerCame { link, hello } => match &mut self.role {
                Role::Leading(leading) => leading.learner_came(&mut self.common, now, link, hello),
                _ => {
                    let why = "this server does not lead".to_owned();
                    self.common.output(Output::CloseLearner { link, why });
                }
            },
            Input::MasterCame => {
                if let Role::Learning(learning) = &mut self.role {
                    learning.master_came(&mut self.common, now);
                }
            }
            Input::MasterSaid(said) => {
                if let Role::Learning(learning) = &mut self.role
                    && let Err(why) = learning.said(&mut self.common, now, said)
                {
                    self.leave(&why, now);
                }
            }
            Input::SnapshotArrived { zxid } => {
                if let Role::Learning(learning) = &mut self.role
                    && let Err(why) = learning.snapshot_arrived(&mut self.common, zxid)
                {
                    self.leave(&why, now);
                }
            }
            Input::MasterLeft { why } => {
                if matches!(self.role, Role::Learning(_)) {
                    self.leave(&why, now);
                }
            }
            Input::Forward(packet) => {
                if matches!(&self.role, Role::Learning(learning) if learning.is_serving()) {
                    self.common.output(Output::ToMaster(packet));
                }
            }
            Input::Touched(touched) => {
                if let Role::Learning(learning) = &mut self.role {
                    learning.touched(&mut self.common, touched);
                }
            }
            input => self.leading_input(now, input),
        }
    }

    /// What concerns only a leader.
    fn leading_input(&mut self, now: Ms, input: Input) {
        let Self { common, role: Role::Leading(leading), .. } = self else { return };
        let outcome = match input {
            Input::LearnerSaid { link, said } => leading.said(common, now, link, said),
            Input::Prepared(proposals) => leading.prepared(common, now, proposals),
            Input::LearnerLeft { link } => {
                leading.learner_left(common, link);
                Ok(())
            }
            Input::Drained { link, bytes } => {
                leading.drained(link, bytes);
                Ok(())
            }
            Input::SnapshotBegan { link, zxid } => {
                leading.snapshot_began(link, zxid);
                Ok(())
            }
            Input::Streamed { link } => {
                leading.streamed(now, link);
                Ok(())
            }
            Input::StreamRefused { link } => {
                leading.stream_refused(common, link);
                Ok(())
            }
            Input::SyncAsked { link } => {
                leading.sync_asked(common, link);
                Ok(())
            }
            Input::Revalidated { link, session, is_valid } => {
                leading.revalidated(common, link, session, is_valid);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(why) = outcome {
            self.leave(&why, now);
        }
    }

    /// The next thing to do, until there is none: only then has everything been asked for that the inputs so far
    /// make necessary.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.common.take_output() {
            return Some(output);
        }
        match &mut self.role {
            Role::Alone { .. } => return None,
            Role::Leading(leading) => leading.pump(&mut self.common, self.now),
            _ => {}
        }
        self.common.sync();
        self.common.take_output()
    }

    /// When [`Input::Tick`] is due if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Ms> {
        match &self.role {
            Role::Alone { .. } => None,
            // Also when that is past: whatever came since may have been heard before the tick.
            Role::Settling => self.common.durables.is_settled().then_some(self.rests_until),
            Role::Looking(election) => Some(election.deadline()),
            Role::Leading(leading) => Some(leading.deadline()),
            Role::Learning(learning) => Some(learning.deadline(&self.common)),
        }
    }

    /// Whether more of what the leader says may be put in now. If not, it has to wait until a ticket is handed
    /// back.
    #[must_use]
    pub fn takes_master(&self) -> bool {
        !matches!(&self.role, Role::Learning(learning) if learning.is_busy())
    }

    /// The transaction after `zxid`, if it may be applied: it is committed, and durable here.
    #[must_use]
    pub fn committed_after(&self, zxid: Zxid) -> Option<&Proposal> {
        self.common.released_after(zxid)
    }

    /// The tree holds everything up to here: older transactions may be forgotten.
    pub fn applied(&mut self, zxid: Zxid) {
        let needed = match &self.role {
            Role::Leading(leading) => leading.needed().min(zxid),
            _ => zxid,
        };
        self.common.history.trim(needed, zxid);
    }

    /// What others may be told.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.state();
        let of =
            |is_serving, leader, epoch| Standing { state, is_serving, leader, epoch, learners: Vec::new() };
        match &self.role {
            Role::Alone { .. } => of(true, None, 0),
            Role::Settling | Role::Looking(_) => of(false, None, 0),
            Role::Leading(leading) => Standing {
                learners: leading.learners().collect(),
                ..of(leading.is_serving(), Some(self.common.options.me), leading.epoch())
            },
            Role::Learning(learning) => of(learning.is_serving(), Some(learning.leader()), learning.epoch()),
        }
    }

    /// How far it has come. Cheap enough for every turn.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let of = |is_serving| Progress {
            state: self.state(),
            is_serving,
            proposed: Zxid::ZERO,
            committed: Zxid::ZERO,
            pending_syncs: 0,
        };
        match &self.role {
            Role::Alone { .. } => of(true),
            Role::Settling | Role::Looking(_) => of(false),
            Role::Leading(leading) => {
                let begin = leading.begin_of_epoch();
                Progress {
                    proposed: self.common.history.last().max(begin),
                    committed: self.common.committed.max(begin),
                    pending_syncs: leading.pending_syncs(),
                    ..of(leading.is_serving())
                }
            }
            Role::Learning(learning) => of(learning.is_serving()),
        }
    }

    const fn state(&self) -> PeerState {
        match &self.role {
            Role::Alone { .. } | Role::Leading(_) => PeerState::Leading,
            Role::Settling | Role::Looking(_) => PeerState::Looking,
            Role::Learning(_) if self.common.options.is_observer => PeerState::Observing,
            Role::Learning(_) => PeerState::Following,
        }
    }

    fn appended_alone(&mut self, first: Zxid, last: Zxid) {
        let Role::Alone { proposed } = &mut self.role else { return };
        assert_eq!(first, proposed.successor(), "a proposal follows the one before it");
        assert!(first <= last, "a batch of proposals is not empty");
        *proposed = last;
        let ticket = self.common.durables.ask(Effect::Log { up_to: last });
        self.common.output(Output::Persist(ticket));
    }

    fn done(&mut self, now: Ms, ticket: Ticket) {
        let effect = self.common.durables.confirm(ticket);
        match &mut self.role {
            Role::Alone { .. } => {
                self.common.committed = self.common.durables.logged();
                self.common.release();
            }
            Role::Settling => {
                // What a role that has ended asked for was done after all.
                match effect {
                    Effect::Truncate { to } => {
                        self.common.cut(to);
                        self.common.output(Output::Replace);
                    }
                    Effect::Install { zxid } => {
                        self.common.restart(zxid);
                        self.common.output(Output::Replace);
                    }
                    Effect::Log { .. } | Effect::Accepted { .. } | Effect::Current { .. } => {}
                }
                self.settle(now);
            }
            Role::Looking(_) => {}
            Role::Leading(leading) => leading.done(&mut self.common, now, effect),
            Role::Learning(learning) => learning.done(&mut self.common, now, effect),
        }
    }

    fn tick(&mut self, now: Ms) {
        let left = match &mut self.role {
            Role::Alone { .. } => Ok(()),
            Role::Settling => {
                self.settle(now);
                Ok(())
            }
            Role::Looking(election) => {
                if let Some(vote) = election.tick(&mut self.common, now) {
                    self.elected(now, vote);
                }
                Ok(())
            }
            Role::Leading(leading) => leading.tick(&mut self.common, now),
            Role::Learning(learning) => learning.tick(&mut self.common, now),
        };
        if let Err(why) = left {
            self.leave(&why, now);
        }
    }

    /// Reference: `FastLeaderElection.WorkerReceiver`.
    fn notified(&mut self, now: Ms, from: Sid, notification: Notification) {
        let common = &mut self.common;
        let is_voter = common.members.is_voter(from);
        let is_looking = notification.state == PeerState::Looking;
        match &mut self.role {
            Role::Alone { .. } => {}
            Role::Settling => {
                self.held.insert(from, notification);
            }
            Role::Looking(election) => {
                if !is_voter || is_looking && notification.election_epoch < common.round {
                    let answer = common.notification(PeerState::Looking, election.proposal(), common.round);
                    common.output(Output::Notify { to: from, notification: answer });
                }
                if is_voter && let Some(vote) = election.notified(common, now, from, &notification) {
                    self.elected(now, vote);
                }
            }
            Role::Leading(_) | Role::Learning(_) => {
                if is_voter && !is_looking {
                    return;
                }
                let state = self.state();
                let common = &mut self.common;
                // Who has no vote learns the round from it; who has one compares the vote's.
                let round = if is_voter { common.vote.election_epoch } else { common.round };
                let answer = common.notification(state, common.vote, round);
                common.output(Output::Notify { to: from, notification: answer });
                if let Role::Leading(leading) = &self.role
                    && is_voter
                    && let Err(why) = leading.voter_looks(common, now, from)
                {
                    self.leave(&why, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod election_test;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod leading_test;
#[cfg(test)]
mod learning_test;
#[cfg(test)]
mod limits_test;
#[cfg(test)]
mod phases_test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
