//! What one operation is checked against, and the checks that several operations share.

use jute::{Code, SessionId, Zxid};

use super::Options;
use super::outstanding::Outstanding;
use crate::session::Sessions;
use crate::tree::{self, AclList, Identities, Tree, path};

/// All that one operation is checked against.
pub struct Context<'a> {
    pub(super) options: Options,
    pub(super) tree: &'a Tree,
    pub(super) sessions: &'a mut Sessions,
    pub(super) outstanding: &'a mut Outstanding,
    pub(super) session: SessionId,
    pub(super) identities: &'a Identities,
    pub(super) zxid: Zxid,
    pub(super) time: i64,
    /// The first component of the path that a hard quota refused.
    pub(super) quota_exceeded: &'a mut Option<String>,
    /// What the transaction takes in the log so far.
    pub(super) txn_bytes: usize,
}

/// Header and digest of a transaction, and the number of parts of a multi.
pub(super) const TXN_BYTES: usize = 32 + 12 + 4;
/// What stands in front of each part of a multi.
pub(super) const PART_BYTES: usize = 8;

impl Context<'_> {
    /// Takes in a record of so many bytes, if the transaction is then still one that a start reads again.
    /// Lists of `auth` entries and sequence numbers make it larger than the request was. The reference
    /// writes it, and then does not start any more.
    pub(super) fn take_in(&mut self, record_bytes: usize) -> Result<(), Code> {
        self.txn_bytes += record_bytes;
        self.check_bytes(self.txn_bytes, "its transaction")
    }

    /// The end of a session lists its ephemerals, in one transaction of which the same must hold.
    pub(super) fn take_in_ephemeral(&mut self, path: &str) -> Result<(), Code> {
        if !self.options.close_session_lists {
            return Ok(());
        }
        let listed_bytes = tree::listed_bytes(1, path.len());
        let owned_bytes = self.outstanding.ephemerals_listed_bytes(self.tree, self.session);
        self.check_bytes(TXN_BYTES + owned_bytes + listed_bytes, "the end of its session")?;
        self.outstanding.count_ephemeral(self.zxid, self.session, listed_bytes);
        Ok(())
    }

    fn check_bytes(&self, bytes: usize, what: &str) -> Result<(), Code> {
        let most = self.options.txn_bytes_max;
        if bytes <= most {
            return Ok(());
        }
        let session = self.session;
        tracing::warn!(
            %session,
            "request refused: {what} would be {bytes} bytes; a restart can read at most {most} (jute.maxbuffer + \
             jute.maxbuffer.extrasize)"
        );
        Err(Code::MARSHALLING_ERROR)
    }

    /// Reference: `SessionTrackerImpl.checkSession`, `LeaderSessionTracker.checkSession`.
    pub(super) fn check_session(&self) -> Result<(), Code> {
        match self.sessions.get(self.session) {
            None if self.options.in_ensemble => Err(Code::SESSION_EXPIRED),
            None => Err(Code::UNKNOWN_SESSION),
            Some(session) if session.is_closing() => Err(Code::SESSION_EXPIRED),
            Some(_) => Ok(()),
        }
    }

    /// Ephemerals need a session that every server knows.
    pub(super) fn check_global_session(&self) -> Result<(), Code> {
        self.check_session()
            .map_err(|code| if code == Code::UNKNOWN_SESSION { Code::SESSION_EXPIRED } else { code })
    }

    pub(super) fn permit(&self, list: &AclList, wanted: i32) -> Result<(), Code> {
        if list.permits(wanted, self.identities, self.options.acl) { Ok(()) } else { Err(Code::NO_AUTH) }
    }

    /// Reference: `PrepRequestProcessor.validatePath`.
    pub(super) fn valid_path(path: Option<String>) -> Result<String, Code> {
        path.filter(|path| path::is_valid(path)).ok_or(Code::BAD_ARGUMENTS)
    }
}

/// The next version, if the expected one is right; -1 expects any.
pub(super) fn next_version(current: i32, expected: i32) -> Result<i32, Code> {
    if expected != -1 && expected != current {
        return Err(Code::BAD_VERSION);
    }
    Ok(current.wrapping_add(1))
}
