//! A member of an ensemble: what its core asks for is done here as far as it concerns requests and sessions, and
//! passed on to the driver otherwise.

use jute::Zxid;
use jute::txn::TxnEntry;

use super::host::Host;
use super::roles::Role;
use super::{Now, Options, Replica};
use crate::session::Sessions;
use crate::zab::{Input, Output, Proposal, Zab};

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
    pub fn poll(&mut self, _now: Now, _sessions: &mut Sessions, _host: &mut impl Host) -> Option<Output> {
        self.zab.poll()
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
    pub fn replaced(&mut self, _zxid: Zxid) {}
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
