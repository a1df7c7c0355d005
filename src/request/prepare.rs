//! From request to transaction (reference: `PrepRequestProcessor`).
//!
//! Every request that decodes takes the next zxid, failed ones too: what failed is logged as an error
//! and applied as nothing. The order of the checks decides which error a client sees and is the
//! reference's.

use jute::multi::MultiOp;
use jute::records::txn::{CloseSessionTxn, ErrorTxn, TxnDigest, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, OpCode, SessionId, Zxid};

use super::op;
use super::outstanding::Outstanding;
use super::state::Options;
use super::{Body, Request};
use crate::session::Sessions;
use crate::tree::{self, Identity, Tree, digest, path};

/// What became of a request.
#[derive(Debug)]
pub enum Prepared {
    /// A transaction to log; it may record a failure.
    Txn(TxnEntry),
    /// Refused without a transaction: it did not decode.
    Refused(Code),
}

/// The single place where zxids are given out.
#[derive(Debug)]
pub struct Preparer {
    options: Options,
    outstanding: Outstanding,
    last_zxid: Zxid,
    quota_exceeded: Option<String>,
}

/// All that one operation is checked against.
pub(super) struct Context<'a> {
    pub(super) options: Options,
    pub(super) tree: &'a Tree,
    pub(super) sessions: &'a mut Sessions,
    pub(super) outstanding: &'a mut Outstanding,
    pub(super) session: SessionId,
    pub(super) identities: &'a [Identity],
    pub(super) zxid: Zxid,
    pub(super) time: i64,
    /// The first component of the path that a hard quota refused.
    pub(super) quota_exceeded: &'a mut Option<String>,
    /// What the transaction takes in the log so far.
    txn_bytes: usize,
}

/// Header and digest of a transaction, and the number of parts of a multi.
const TXN_BYTES: usize = 32 + 12 + 4;
/// What stands in front of each part of a multi.
const PART_BYTES: usize = 8;

impl Preparer {
    /// Continues after `last_zxid`.
    #[must_use]
    pub fn new(options: Options, last_zxid: Zxid) -> Self {
        Self { options, outstanding: Outstanding::default(), last_zxid, quota_exceeded: None }
    }

    /// The first component of the path for which a hard quota refused the request prepared last.
    pub const fn take_quota_exceeded(&mut self) -> Option<String> {
        self.quota_exceeded.take()
    }

    /// The last zxid given out.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Everything up to `zxid` is in the tree now.
    pub fn applied(&mut self, zxid: Zxid) {
        self.outstanding.applied(zxid);
    }

    /// Changes prepared and not yet applied.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.outstanding.changes()
    }

    /// What must be removed before a session can end, in parts of which each fits into a transaction.
    /// Nothing, unless the session has more ephemerals than its end may list: they were created with a
    /// larger `jute.maxbuffer`, or where ends of sessions list nothing.
    #[must_use]
    pub fn removals_before_end(&self, tree: &Tree, session: SessionId) -> Vec<Vec<String>> {
        let most = self.options.txn_bytes_max.saturating_sub(TXN_BYTES);
        let at_most = self.outstanding.ephemerals_listed_bytes(tree, session);
        if !self.options.close_session_lists || at_most <= most {
            return Vec::new();
        }
        let paths = self.outstanding.ephemerals_of(tree, session);
        let mut listed_bytes: usize = paths.iter().map(|path| tree::listed_bytes(1, path.len())).sum();
        let (mut parts, mut part_bytes) = (Vec::<Vec<String>>::new(), 0);
        for path in paths {
            if listed_bytes <= most {
                break;
            }
            listed_bytes -= tree::listed_bytes(1, path.len());
            part_bytes += PART_BYTES + 4 + path.len();
            match parts.last_mut().filter(|_| part_bytes <= most) {
                Some(part) => part.push(path),
                None => {
                    part_bytes = PART_BYTES + 4 + path.len();
                    parts.push(vec![path]);
                }
            }
        }
        parts
    }

    /// Checks a write and turns it into a transaction. `time` is the wall clock in milliseconds.
    pub fn prepare(
        &mut self,
        tree: &Tree,
        sessions: &mut Sessions,
        request: &mut Request,
        time: i64,
    ) -> Prepared {
        if matches!(request.body, Body::Malformed) {
            return Prepared::Refused(Code::MARSHALLING_ERROR);
        }
        let zxid = self.last_zxid.successor();
        self.last_zxid = zxid;
        self.quota_exceeded = None;
        let mut context = Context {
            options: self.options,
            tree,
            sessions,
            outstanding: &mut self.outstanding,
            session: request.session,
            identities: &request.identities,
            zxid,
            time,
            quota_exceeded: &mut self.quota_exceeded,
            txn_bytes: TXN_BYTES,
        };
        let op = request.op;
        let outcome = context.prepare(op, std::mem::replace(&mut request.body, Body::Malformed));
        let body = outcome.unwrap_or_else(|code| TxnBody::Error(ErrorTxn { err: code.0 }));
        let digest = match body {
            TxnBody::Error(_) => None,
            _ => self.options.digest.then(|| TxnDigest {
                version: digest::VERSION,
                tree_digest: self.outstanding.digest(tree).cast_signed(),
            }),
        };
        let header =
            TxnHeader { client_id: request.session, cxid: request.xid, zxid, time, r#type: body.op().0 };
        Prepared::Txn(TxnEntry { header, body, digest })
    }
}

impl Context<'_> {
    fn prepare(&mut self, op: OpCode, body: Body) -> Result<TxnBody, Code> {
        match body {
            Body::Create(request) => op::create::prepare(self, op, request),
            Body::Delete(request) => op::delete::prepare(self, request),
            Body::DeleteContainer(path) => op::delete::prepare_container(self, path),
            Body::SetData(request) => op::set_data::prepare(self, request),
            Body::SetAcl(request) => op::set_acl::prepare(self, request),
            Body::Multi(ops) => self.multi(ops),
            Body::MultiOfReads | Body::MalformedLate => Err(Code::MARSHALLING_ERROR),
            Body::Reconfig if self.options.reconfig => {
                self.check_session()?;
                Err(Code::UNIMPLEMENTED)
            }
            Body::Reconfig => Err(Code::RECONFIG_DISABLED),
            Body::CreateSession(txn) => Ok(TxnBody::CreateSession(txn)),
            Body::RemoveEphemerals(paths) => Ok(op::delete::prepare_ephemerals(self, paths)),
            Body::CloseSession => Ok(self.close_session()),
            Body::Connect(_) | Body::Ordered(_) | Body::Malformed => Err(Code::MARSHALLING_ERROR),
        }
    }

    /// Each part is checked against what the parts before it leave. After the first failure nothing of
    /// the multi remains; its parts are logged as they were prepared, with errors from there on.
    fn multi(&mut self, ops: Vec<MultiOp>) -> Result<TxnBody, Code> {
        // A part without a path stops the reference before it has looked at any part.
        let has_path = |op: &MultiOp| match op {
            MultiOp::Create { request, .. } => request.path.is_some(),
            MultiOp::Delete(request) => request.path.is_some(),
            MultiOp::SetData(request) => request.path.is_some(),
            MultiOp::Check(request) => request.path.is_some(),
        };
        if !ops.iter().all(has_path) {
            return Err(Code::MARSHALLING_ERROR);
        }
        self.outstanding.begin();
        let mut failed = false;
        let mut parts = Vec::with_capacity(ops.len());
        for part in ops {
            self.txn_bytes += PART_BYTES;
            let error = if failed {
                Code::RUNTIME_INCONSISTENCY
            } else {
                let prepared = match part {
                    MultiOp::Create { op, request } => op::create::prepare(self, op, request),
                    MultiOp::Delete(request) => op::delete::prepare(self, request),
                    MultiOp::SetData(request) => op::set_data::prepare(self, request),
                    MultiOp::Check(request) => op::check::prepare(self, request),
                };
                match prepared {
                    Ok(txn) => {
                        parts.push(txn);
                        continue;
                    }
                    // Not an answer to the part: the reference stumbled, and over the whole multi; or it
                    // grew too large.
                    Err(Code::MARSHALLING_ERROR) => {
                        self.outstanding.take_back();
                        return Err(Code::MARSHALLING_ERROR);
                    }
                    Err(code) => {
                        failed = true;
                        self.outstanding.take_back();
                        code
                    }
                }
            };
            self.take_in(4)?;
            parts.push(TxnBody::Error(ErrorTxn { err: error.0 }));
        }
        self.outstanding.keep();
        Ok(TxnBody::Multi(parts))
    }

    /// Everything the session owns goes with it, also what is not yet applied.
    fn close_session(&mut self) -> TxnBody {
        let session = self.session;
        let paths = self.outstanding.ephemerals_of(self.tree, session);
        for path in &paths {
            op::delete::remove(self, path);
        }
        self.outstanding.end_session(self.zxid, session);
        self.sessions.set_closing(session);
        let listed = CloseSessionTxn { paths2delete: Some(paths.into_iter().map(Some).collect()) };
        TxnBody::CloseSession(self.options.close_session_lists.then_some(listed))
    }

    /// Takes in a record of so many bytes, if the transaction is then still one that a start reads again.
    /// Lists of `auth` entries and sequence numbers make it larger than the request was. The reference
    /// writes it, and then does not start any more.
    pub(super) fn take_in(&mut self, record_bytes: usize) -> Result<(), Code> {
        self.txn_bytes += record_bytes;
        self.check_bytes(self.txn_bytes, "the transaction would have")
    }

    /// The end of a session lists its ephemerals, in one transaction of which the same must hold.
    pub(super) fn take_in_ephemeral(&mut self, path: &str) -> Result<(), Code> {
        if !self.options.close_session_lists {
            return Ok(());
        }
        let listed_bytes = tree::listed_bytes(1, path.len());
        let owned_bytes = self.outstanding.ephemerals_listed_bytes(self.tree, self.session);
        self.check_bytes(TXN_BYTES + owned_bytes + listed_bytes, "the end of the session would have")?;
        self.outstanding.count_ephemeral(self.zxid, self.session, listed_bytes);
        Ok(())
    }

    fn check_bytes(&self, bytes: usize, what: &str) -> Result<(), Code> {
        let most = self.options.txn_bytes_max;
        if bytes <= most {
            return Ok(());
        }
        let session = self.session;
        tracing::warn!(%session, "refused: {what} {bytes} bytes, and with this jute.maxbuffer {most} are read again");
        Err(Code::MARSHALLING_ERROR)
    }

    /// Reference: `SessionTrackerImpl.checkSession`.
    pub(super) fn check_session(&self) -> Result<(), Code> {
        match self.sessions.get(self.session) {
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

    pub(super) fn permit(&self, list: &[jute::records::data::Acl], wanted: i32) -> Result<(), Code> {
        if crate::tree::acl::permits(list, wanted, self.identities, self.options.acl) {
            Ok(())
        } else {
            Err(Code::NO_AUTH)
        }
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
