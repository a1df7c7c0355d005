//! A member of an ensemble: what its core asks for is done here as far as it concerns requests and sessions, and
//! passed on to the driver otherwise.

use jute::Zxid;
use jute::txn::TxnEntry;

use super::commit::Digests;
use super::host::{Close, Host, Observation};
use super::leading::Leading;
use super::learning::Learning;
use super::proposals::Proposals;
use super::roles::Role;
use super::sweep::Sweep;
use super::{Data, Now, Options, Replica};
use crate::request::{Head, Request};
use crate::session::Sessions;
use crate::zab::{Input, Output, Progress, Proposal, Serving, Standing, Zab};

impl Replica {
    /// A member of an ensemble that starts, after recovery up to `recovered`. Nobody is served until it has found
    /// its leader.
    #[must_use]
    pub fn member(options: Options, zab: Zab, recovered: Zxid, now_ms: i64) -> Self {
        Self { role: Role::Looking, zab, ..Self::alone(options, recovered, now_ms) }
    }

    /// Whether this server is a member of an ensemble, and not alone.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        !matches!(self.role, Role::Alone { .. })
    }

    /// Something happened at the peers, the disk or the clock. What it makes necessary comes out of
    /// [`Replica::poll`].
    pub fn peer(&mut self, now: Now, input: Input) {
        self.zab.input(now.monotonic_ms, input);
    }

    /// The next thing that the driver has to do, until there is none. What concerns requests and sessions is done
    /// here: that is `Commit`, `Serve`, `Submit`, `Touch`, `Revalidate`, `Revalidated`, `Synced`, `CollectTouched`
    /// and `LearnerGone`.
    pub fn poll(&mut self, now: Now, sessions: &mut Sessions, host: &mut impl Host) -> Option<Output> {
        self.now_ms = now.monotonic_ms;
        self.answer_returning(now, sessions, host);
        while let Some(output) = self.zab.poll() {
            if let Some(others) = self.act(output, now, sessions, host) {
                return Some(others);
            }
        }
        None
    }

    /// Does what is asked for, or gives it back when it is not for a replica to do.
    fn act(
        &mut self,
        output: Output,
        now: Now,
        sessions: &mut Sessions,
        host: &mut impl Host,
    ) -> Option<Output> {
        match (output, &mut self.role) {
            (Output::Commit { up_to }, _) => self.proposals.commit(up_to),
            (Output::Serve(serving), _) => self.serve(serving, sessions, host),
            (Output::Submit { link, request }, Role::Leading(leading)) => {
                let request = Request::of_learner(link, request, now.monotonic_ms);
                self.arrived.push_back(leading.arrived(request, sessions));
            }
            (Output::Touch(touched), Role::Leading(_)) => {
                for (session, timeout_ms) in touched {
                    sessions.touch(session, timeout_ms, now.monotonic_ms);
                }
            }
            (Output::Revalidate { link, session, timeout_ms }, Role::Leading(_)) => {
                self.revalidate((link, session, timeout_ms), now, sessions, host);
            }
            (Output::LearnerGone { link }, Role::Leading(leading)) => leading.learner_gone(link),
            (Output::Revalidated { session, is_valid }, Role::Learning(_)) => {
                self.revalidated(session, is_valid, now, sessions, host);
            }
            (Output::Synced { after }, Role::Learning(learning)) => learning.synced(after),
            (Output::CollectTouched, Role::Learning(learning)) => {
                let touched = learning.collect_touched(&self.connected, sessions, now.monotonic_ms);
                self.zab.input(now.monotonic_ms, Input::Touched(touched));
            }
            (Output::CollectTouched, _) => self.zab.input(now.monotonic_ms, Input::Touched(Vec::new())),
            // What was said to a role that is over.
            (
                Output::Submit { .. }
                | Output::Touch(_)
                | Output::Revalidate { .. }
                | Output::LearnerGone { .. }
                | Output::Revalidated { .. }
                | Output::Synced { .. },
                _,
            ) => {}
            (others, _) => return Some(others),
        }
        None
    }

    /// Answers learners whose clients came back before the tree had caught up.
    fn answer_returning(&mut self, now: Now, sessions: &mut Sessions, host: &mut impl Host) {
        if let Role::Leading(leading) = &mut self.role
            && !self.is_catching_up
        {
            for returning in leading.take_returning() {
                self.revalidate(returning, now, sessions, host);
            }
        }
    }

    /// A role begins or ends. With the role goes everything that was asked for and not answered: whether it comes
    /// to be, nobody knows here.
    fn serve(&mut self, serving: Serving, sessions: &mut Sessions, host: &mut impl Host) {
        host.observe(Observation::Serves(serving));
        let connections = self.waiting_connections();
        for head in self.forget_requests() {
            host.drop_request(&head);
        }
        connections.into_iter().for_each(|connection| host.close(connection, Close::Now));
        sessions.forget_uncommitted();
        self.is_catching_up = serving != Serving::No;
        self.role = match serving {
            Serving::No => Role::Looking,
            Serving::Leading { epoch } => Role::Leading(Leading::new(self.options.request, epoch)),
            Serving::Following { epoch, .. } | Serving::Observing { epoch, .. } => {
                Role::Learning(Learning::new(epoch))
            }
        };
    }

    /// Everything that is not answered goes.
    fn forget_requests(&mut self) -> Vec<Head> {
        let mut heads: Vec<_> = match &self.role {
            Role::Learning(learning) => learning.heads().copied().collect(),
            _ => Vec::new(),
        };
        heads.extend(self.proposals.heads());
        heads.extend(self.arrived.drain(..).chain(self.ending.drain(..)).map(|request| request.head));
        self.proposals = Proposals::new(self.proposals.committed());
        self.connected.clear();
        heads
    }

    /// The tree holds all that was committed when the role began: clients may be served. A leader first removes
    /// ephemerals whose session does not exist (reference: `ZooKeeperServer.loadData`), and gives every session its
    /// whole timeout, as none of them could be served.
    pub(super) fn caught_up(&mut self, data: &mut Data<'_>) {
        self.is_catching_up = false;
        if !matches!(self.role, Role::Leading(_)) {
            return;
        }
        let owners = data.tree.ephemerals().map(|(session, _)| session);
        let orphans: Vec<_> = owners.filter(|session| data.sessions.get(*session).is_none()).collect();
        for session in orphans {
            tracing::warn!(%session, "removing the ephemerals of a session that does not exist");
            data.tree.kill_session(session);
        }
        data.sessions.renew_all(self.now_ms);
        self.sweep = Sweep::new(self.options.sweep, self.now_ms);
    }

    /// Whether a role has begun and the tree does not yet hold all that was committed before: nobody is served.
    #[must_use]
    pub const fn is_catching_up(&self) -> bool {
        self.is_catching_up
    }

    /// What others may be told of this member.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.zab.standing()
    }

    /// How far this member has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.zab.progress()
    }

    /// When [`Input::Tick`] is due if nothing happens before, in milliseconds of the monotonic clock.
    #[must_use]
    pub fn zab_deadline(&self) -> Option<i64> {
        self.zab.deadline()
    }

    /// Whether more of what the leader says may be put in now; see [`Zab::takes_master`].
    #[must_use]
    pub fn takes_master(&self) -> bool {
        self.zab.takes_master()
    }

    /// The driver has put another tree and other sessions in the place of those that were there; the tree holds
    /// everything up to `zxid`.
    pub fn replaced(&mut self, zxid: Zxid) {
        self.applied = zxid;
        self.digests = Digests::Unknown;
    }
}

/// Whether a transaction that came from a peer can be applied by this server. It is asked before the transaction
/// is logged.
///
/// # Errors
/// Why it cannot.
pub fn check_proposal(proposal: &Proposal) -> Result<(), String> {
    let entry = TxnEntry::decode(&proposal.payload).map_err(|error| error.to_string())?;
    if entry.header.zxid != proposal.zxid {
        return Err(format!("its header says {}", entry.header.zxid));
    }
    Ok(())
}
