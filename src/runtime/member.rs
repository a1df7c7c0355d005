//! The writer of a member of an ensemble. One turn: hear the disk and the peers → take the requests → until there is
//! nothing left to do: prepare, do what the core asks for, apply and answer.
//!
//! [`Turns`] takes turns for as long as the server lives; the simulator takes the same turns by itself. Nothing in a
//! turn waits: the log has a thread of its own, and peers' connections have theirs.

mod figures;
#[cfg(test)]
mod member_test;
mod outputs;
mod peers;
#[cfg(test)]
mod snapshot_test;
#[cfg(test)]
mod told_test;
pub(super) mod turns;
#[cfg(test)]
mod turns_test;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jute::Zxid;

use self::figures::Figures;
use self::peers::FromMaster;
use super::driver::Driver;
use super::inbox::{Inbox, Taken};
use super::log_port::{LogPort, Report};
use super::peers::{Peers, Staged};
use super::state::State;
use super::writer::{Snapshots, Turn};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::replica::{Options, Replica};
use crate::store::StoreError;
use crate::zab::{Effect, Input, Serving, Ticket, Zab};

/// The longest time between two turns, in milliseconds.
const IDLE_MS: i64 = 1000;
/// How often transactions are applied for about a millisecond in one turn: whoever has much to catch up with must
/// answer its leader all the same.
const RELEASES_MAX: usize = 50;

/// What a member's writer starts with.
pub struct MemberParts {
    /// The recovered tree and sessions.
    pub state: Arc<State>,
    /// Where everything comes from.
    pub inbox: Arc<Inbox>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// The log, open after the last recovered transaction.
    pub log: LogPort,
    /// Who takes snapshots.
    pub snapshots: Box<dyn Snapshots>,
    /// Who carries what is said to other members.
    pub peers: Box<dyn Peers>,
    /// Settings.
    pub options: Options,
    /// The core, which begins where recovery ended.
    pub zab: Zab,
    /// What `/zookeeper/config` shows, and since which reconfiguration.
    pub config: (Bytes, Zxid),
    /// Whether clients are served while this server leads (`leaderServes`).
    pub leader_serves: bool,
}

/// The writer's state.
pub struct MemberWriter {
    driver: Driver,
    inbox: Arc<Inbox>,
    log: LogPort,
    snapshots: Box<dyn Snapshots>,
    peers: Box<dyn Peers>,
    config: (Bytes, Zxid),
    leader_serves: bool,
    taken: Taken,
    /// What the leader said and what waits for the disk before it may be heard.
    master: FromMaster,
    /// The tree that takes over with the next [`Output::Replace`](crate::zab::Output::Replace).
    staged: Option<Box<Staged>>,
    /// How clients are to be served as soon as the tree has caught up.
    begins: Option<Serving>,
    figures: Figures,
    /// What is appended was made here.
    leads: bool,
    /// Appended since it was last asked whether a snapshot is due.
    appended: u64,
    is_full: bool,
    has_failed: bool,
}

impl MemberWriter {
    /// Continues from what recovery left in the state.
    #[must_use]
    pub fn new(parts: MemberParts) -> Self {
        let MemberParts { state, inbox, clock, metrics, log, snapshots, peers, options, zab, .. } = parts;
        let replica = Replica::member(options, zab, state.tree().last_zxid(), clock.now_ms());
        state.standing.set(Serving::No);
        let figures = Figures::new(clock.now_ms());
        let writer = Self {
            driver: Driver { state, clock, metrics, replica },
            inbox,
            log,
            snapshots,
            peers,
            config: parts.config,
            leader_serves: parts.leader_serves,
            taken: Taken::default(),
            master: FromMaster::default(),
            staged: None,
            begins: None,
            figures,
            leads: false,
            appended: 0,
            is_full: false,
            has_failed: false,
        };
        writer.show_members();
        writer
    }

    /// Takes what waits in the inbox and takes a turn. [`Turn::Stop`] when the disk has failed.
    pub fn turn(&mut self) -> Turn {
        self.inbox.take(&mut self.taken, Duration::ZERO);
        self.take_turn(RELEASES_MAX)
    }

    /// The same for whoever has other things to do soon: it applies for about a millisecond.
    pub(super) fn short_turn(&mut self) -> Turn {
        self.inbox.take(&mut self.taken, Duration::ZERO);
        self.take_turn(1)
    }

    /// When the next turn is due, on the monotonic clock, if nothing comes before.
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        let replica = &self.driver.replica;
        let now = self.driver.clock.now_ms();
        if replica.is_released() {
            return now;
        }
        let idle = now + IDLE_MS;
        let zab = replica.zab_deadline().unwrap_or(i64::MAX);
        let of_sessions =
            if self.is_full { i64::MAX } else { replica.deadline(&self.driver.state.sessions()) };
        idle.min(zab).min(of_sessions)
    }

    /// Ends the disk's part of a member that is driven turn by turn.
    ///
    /// # Errors
    /// The disk failed.
    pub fn close(self) -> Result<(), StoreError> {
        drop(self.peers);
        self.log.close()
    }

    /// How long nothing is to be done, if nothing comes.
    pub(super) fn timeout(&self) -> Duration {
        if self.may_prepare() || self.driver.replica.is_released() {
            return Duration::ZERO;
        }
        let left = self.deadline_ms() - self.driver.clock.now_ms();
        Duration::from_millis(left.max(1).cast_unsigned())
    }

    /// Whether there is something to prepare, and it would not only add to what waits for the disk.
    fn may_prepare(&self) -> bool {
        !self.is_full && !self.log.is_behind() && self.driver.replica.has_backlog()
    }

    fn take_turn(&mut self, mut releases: usize) -> Turn {
        self.driver.metrics.prep_processor_queue_size.observe(self.taken.requests.len() as i64);
        for report in std::mem::take(&mut self.taken.disk) {
            self.hear_disk(report);
        }
        let brought = std::mem::take(&mut self.taken.peers);
        self.hear_peers(brought);
        self.driver.replica.push(&mut self.taken.requests);
        self.driver.forget(&mut self.taken.gone);
        let now = self.driver.now();
        if self.driver.replica.zab_deadline().is_some_and(|due| due <= now.monotonic_ms) {
            self.driver.replica.peer(now, Input::Tick);
            self.driver.state.standing.tell(self.driver.replica.standing());
        }
        if !self.is_full {
            self.driver.add_internal();
        }
        while self.step(&mut releases) {}
        self.count();
        self.take_snapshot();
        if self.has_failed { Turn::Stop } else { Turn::Continue }
    }

    fn count(&mut self) {
        let Driver { state, clock, metrics, replica } = &self.driver;
        self.figures.count(metrics, &state.standing, clock.now_ms(), replica.progress());
    }

    /// Does what there is to do, once. Whether there may be more to do in this turn.
    fn step(&mut self, releases: &mut usize) -> bool {
        let mut has_moved = self.hear_master();
        if self.may_prepare() && self.driver.replica.wants_prepare() {
            self.driver.prepare_slice();
            has_moved = true;
        }
        has_moved |= self.do_outputs();
        while let Some(report) = self.log.next_report() {
            self.hear_disk(report);
            has_moved = true;
        }
        has_moved |= self.release(releases);
        // Whoever waits here for a write has its reply before the others hear that it is committed.
        if has_moved {
            self.peers.flush();
        }
        while self.release(releases) {}
        if let Some(serving) = self.begins
            && !self.driver.replica.is_catching_up()
        {
            self.begins = None;
            self.set_serving(serving);
        }
        has_moved && (*releases > 0 || !self.driver.replica.is_released())
    }

    /// Applies and answers for about a millisecond, if there is something to apply.
    fn release(&mut self, releases: &mut usize) -> bool {
        let is_released = *releases > 0 && self.driver.replica.is_released();
        if is_released {
            self.driver.release_slice();
            *releases -= 1;
        }
        is_released
    }

    /// From here on clients are served like this.
    fn set_serving(&mut self, serving: Serving) {
        let leads = matches!(serving, Serving::Leading { .. });
        let is_idle_leader = leads && !self.leader_serves;
        let standing = &self.driver.state.standing;
        if leads {
            standing.begin_leading(self.driver.clock.now_ms());
        }
        self.leads = leads;
        standing.tell(self.driver.replica.standing());
        standing.set(if is_idle_leader { Serving::No } else { serving });
    }

    fn hear_disk(&mut self, report: Report) {
        let now = self.driver.now();
        let replica = &mut self.driver.replica;
        match report {
            Report::Done(ticket) => replica.peer(now, Input::Done(ticket)),
            Report::CutMissing(ticket) => replica.peer(now, Input::CutMissing(ticket)),
            Report::Reloaded(staged) => self.staged = Some(staged),
            Report::Full(is_full) => {
                self.is_full = is_full;
                self.driver.state.set_disk_full(is_full);
                if !is_full {
                    replica.set_space(now, &self.driver.state.sessions());
                }
            }
            Report::Failed => self.has_failed = true,
        }
    }

    /// Takes one when it is time. Its walk begins at the tree; what the log holds beyond that is read after it. Nothing
    /// is appended, and none is taken, while a cut or a leader's snapshot is waited for.
    fn take_snapshot(&mut self) {
        let appended = std::mem::take(&mut self.appended);
        if appended > 0 && self.snapshots.is_due(appended, self.log.bytes_since_roll()) {
            self.log.roll();
            self.log.flush();
            self.snapshots.start();
        }
    }

    /// Another tree takes over, if there is one.
    fn replace(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        self.snapshots.give_up();
        let Staged { tree, sessions } = *staged;
        let zxid = tree.last_zxid();
        let now_ms = self.driver.clock.now_ms();
        let replaced = self.driver.state.replace_tree(tree, &sessions, now_ms);
        // Millions of nodes are freed one by one; peers must not wait for that. Without a thread it is freed here.
        let _freeing = std::thread::Builder::new().name("freeing".into()).spawn(move || drop(replaced));
        self.driver.replica.replaced(zxid);
        self.show_members();
        tracing::info!(%zxid, sessions = sessions.len(), "another tree takes over");
    }

    fn show_members(&self) {
        let (text, version) = &self.config;
        let wall_ms = self.driver.clock.wall_ms();
        self.driver.state.tree_mut().show_members(text, *version, wall_ms);
    }
}

/// Whether what is here goes with it.
const fn replaces(ticket: &Ticket) -> bool {
    matches!(ticket.effect(), Effect::Truncate { .. } | Effect::Install { .. })
}
