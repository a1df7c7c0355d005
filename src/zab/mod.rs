//! How servers agree on the order of transactions: fast leader election, discovery, synchronization, broadcast.
//!
//! Pure: what happened goes in through [`Zab::input`], what to do comes out of [`Zab::poll`]; no sockets, files,
//! clocks, threads or randomness. It knows neither disk nor tree: it asks for the log to be made durable with a
//! [`Ticket`] and is handed the ticket back when that is done.

mod durable;
mod history;
mod ids;
mod input;
mod members;
mod message;
mod notification;
mod output;
mod packet;

use std::collections::VecDeque;

use jute::Zxid;

pub use self::durable::{Ack, AckEpoch, Effect, LeaderInfo, NewLeaderAck, Ticket};
pub use self::ids::{Link, Ms, Sid};
pub use self::input::Input;
pub use self::members::{Members, Quorum};
pub use self::message::{Forwarded, FromLearner, FromMaster, Hello, Proposal, ToLearner, ToMaster};
pub use self::notification::{Notification, PeerState};
pub use self::output::{Output, Serving};
pub use self::packet::{BadPacket, PROTOCOL, Packet, SNAPSHOT_END};

use self::durable::Durables;
use self::history::History;

/// What decides how this server takes part.
#[derive(Clone, Debug)]
pub struct Options {
    /// This server.
    pub me: Sid,
    /// `peerType=observer`, or its line says so: it never votes.
    pub is_observer: bool,
    /// The unit of time (`tickTime`).
    pub tick_ms: Ms,
    /// Ticks a learner has to connect and be brought up to date, and a leader to gather a quorum (`initLimit`).
    pub init_limit: i64,
    /// Ticks after which a silent peer is given up (`syncLimit`).
    pub sync_limit: i64,
    /// The wait before an election is asked about again, at first and at most
    /// (`zookeeper.fastleader.minNotificationInterval`, `maxNotificationInterval`).
    pub notification_ms: (Ms, Ms),
    /// `forceSnapshotSync`: learners are sent the whole tree, for tests.
    pub force_snapshot: bool,
}

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
    /// *committed ≤ durable ≤ proposed*
    proposed: Zxid,
    durables: Durables,
    committed: Zxid,
    history: History,
    outputs: VecDeque<Output>,
}

impl Zab {
    /// Leads a quorum of one, from where recovery ended.
    #[must_use]
    pub fn leading_alone(recovered: Zxid) -> Self {
        Self {
            proposed: recovered,
            durables: Durables::recovered(recovered, 0, 0, true),
            committed: recovered,
            history: History::new(Vec::new(), recovered),
            outputs: VecDeque::new(),
        }
    }

    /// A member of an ensemble that starts. It begins to look for a leader.
    #[must_use]
    pub fn member(_options: Options, _members: Members, recovered: Recovered, _now: Ms) -> Self {
        Self::leading_alone(recovered.logged)
    }

    /// Takes in what happened at `now`.
    ///
    /// # Panics
    /// When the driver leaves a gap, or a ticket comes back out of turn: going on would lose data. Nothing that a
    /// peer says panics.
    pub fn input(&mut self, _now: Ms, input: Input) {
        match input {
            Input::Appended { first, last } => {
                assert_eq!(first, self.proposed.successor(), "a proposal follows the one before it");
                assert!(first <= last, "a batch of proposals is not empty");
                self.proposed = last;
                let ticket = self.durables.ask(Effect::Log { up_to: last });
                self.outputs.push_back(Output::Persist(ticket));
            }
            Input::Done(ticket) => {
                self.durables.confirm(ticket);
                let durable = self.durables.logged();
                if durable > self.committed {
                    self.committed = durable;
                    self.outputs.push_back(Output::Commit { up_to: durable });
                }
            }
            _ => {}
        }
    }

    /// The next thing to do, until there is none: only then has everything been asked for that the inputs so far
    /// make necessary.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due if nothing happens before.
    #[must_use]
    pub const fn deadline(&self) -> Option<Ms> {
        None
    }

    /// Whether more of what the leader says may be put in now. If not, it has to wait until a ticket is handed
    /// back.
    #[must_use]
    pub const fn takes_master(&self) -> bool {
        true
    }

    /// The transaction after `zxid`, if it may be applied: it is committed, and durable here.
    #[must_use]
    pub fn committed_after(&self, zxid: Zxid) -> Option<&Proposal> {
        self.history.after(zxid).filter(|proposal| proposal.zxid <= self.committed)
    }

    /// The tree holds everything up to here: older transactions may be forgotten.
    pub fn applied(&mut self, zxid: Zxid) {
        self.history.trim(zxid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persist(zab: &mut Zab) -> Ticket {
        match zab.poll() {
            Some(Output::Persist(ticket)) => ticket,
            other => panic!("a ticket and not {other:?}"),
        }
    }

    #[test]
    fn nothing_is_committed_before_it_is_durable() {
        let mut zab = Zab::leading_alone(Zxid(5));
        zab.input(0, Input::Appended { first: Zxid(6), last: Zxid(6) });
        let first = persist(&mut zab);
        zab.input(0, Input::Appended { first: Zxid(7), last: Zxid(9) });
        let second = persist(&mut zab);
        assert!(zab.poll().is_none());
        zab.input(0, Input::Done(first));
        assert!(matches!(zab.poll(), Some(Output::Commit { up_to: Zxid(6) })));
        zab.input(0, Input::Done(second));
        assert!(matches!(zab.poll(), Some(Output::Commit { up_to: Zxid(9) })));
        assert!(zab.poll().is_none());
    }

    #[test]
    #[should_panic(expected = "follows the one before it")]
    fn a_gap_stops_the_server() {
        Zab::leading_alone(Zxid(5)).input(0, Input::Appended { first: Zxid(7), last: Zxid(7) });
    }

    #[test]
    #[should_panic(expected = "in the order they were made")]
    fn a_ticket_out_of_turn_stops_the_server() {
        let mut zab = Zab::leading_alone(Zxid(5));
        zab.input(0, Input::Appended { first: Zxid(6), last: Zxid(6) });
        zab.input(0, Input::Appended { first: Zxid(7), last: Zxid(7) });
        let _first = persist(&mut zab);
        let second = persist(&mut zab);
        zab.input(0, Input::Done(second));
    }
}
