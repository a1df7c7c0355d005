//! From request to transaction (reference: `PrepRequestProcessor`).
//!
//! Every request that decodes takes the next zxid, failed ones too: what failed is logged as an error
//! and applied as nothing. The order of the checks decides which error a client sees and is the
//! reference's.

use jute::multi::MultiOp;
use jute::records::txn::{CloseSessionTxn, ErrorTxn, TxnDigest, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{Code, SessionId, Zxid};

use super::context::{Context, PART_BYTES, TXN_BYTES};
use super::op;
use super::outstanding::Outstanding;
use super::{Head, Options, Write};
use crate::session::Sessions;
use crate::tree::{self, Identities, Tree, digest};

/// The single place where zxids are given out.
#[derive(Debug)]
pub struct Preparer {
    options: Options,
    outstanding: Outstanding,
    last_zxid: Zxid,
    quota_exceeded: Option<String>,
}

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

    /// Checks a write and turns it into a transaction, which may record a failure. `time` is the wall clock
    /// in milliseconds.
    pub fn prepare(
        &mut self,
        tree: &Tree,
        sessions: &mut Sessions,
        head: &Head,
        write: Write,
        identities: &Identities,
        time: i64,
    ) -> TxnEntry {
        let zxid = self.last_zxid.successor();
        self.last_zxid = zxid;
        self.quota_exceeded = None;
        let mut context = Context {
            options: self.options,
            tree,
            sessions,
            outstanding: &mut self.outstanding,
            session: head.session,
            identities,
            zxid,
            time,
            quota_exceeded: &mut self.quota_exceeded,
            txn_bytes: TXN_BYTES,
        };
        let outcome = context.prepare(head.op, write);
        let body = outcome.unwrap_or_else(|code| TxnBody::Error(ErrorTxn { err: code.0 }));
        let digest = match body {
            TxnBody::Error(_) => None,
            _ => self.options.digest.then(|| TxnDigest {
                version: digest::VERSION,
                tree_digest: self.outstanding.digest(tree).cast_signed(),
            }),
        };
        let header = TxnHeader { client_id: head.session, cxid: head.xid, zxid, time, r#type: body.op().0 };
        TxnEntry { header, body, digest }
    }
}

impl Context<'_> {
    fn prepare(&mut self, op: jute::OpCode, write: Write) -> Result<TxnBody, Code> {
        match write {
            Write::Create(request) => op::create::prepare(self, op, request),
            Write::Delete(request) => op::delete::prepare(self, request),
            Write::DeleteContainer(path) => op::delete::prepare_container(self, path),
            Write::SetData(request) => op::set_data::prepare(self, request),
            Write::SetAcl(request) => op::set_acl::prepare(self, request),
            Write::Multi(ops) => self.multi(ops),
            Write::MultiOfReads | Write::MalformedLate => Err(Code::MARSHALLING_ERROR),
            Write::Refused(code) => Err(code),
            Write::Reconfig if self.options.reconfig => {
                self.check_session()?;
                Err(Code::UNIMPLEMENTED)
            }
            Write::Reconfig => Err(Code::RECONFIG_DISABLED),
            Write::CreateSession(txn) => Ok(TxnBody::CreateSession(txn)),
            Write::RemoveEphemerals(paths) => Ok(op::delete::prepare_ephemerals(self, paths)),
            Write::CloseSession => Ok(self.close_session()),
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
        let paths = self.outstanding.end_session(self.tree, self.zxid, session);
        self.sessions.set_closing(session);
        let listed = CloseSessionTxn { paths2delete: Some(paths.into_iter().map(Some).collect()) };
        TxnBody::CloseSession(self.options.close_session_lists.then_some(listed))
    }
}
