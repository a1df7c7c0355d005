//! `check`, inside a multi.

use jute::records::proto::CheckVersionRequest;
use jute::records::txn::CheckVersionTxn;
use jute::txn::TxnBody;
use jute::{Code, OpCode};

use crate::request::access::permission;
use crate::request::context::{Context, next_version};

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    request: CheckVersionRequest,
) -> Result<TxnBody, Code> {
    context.check_session()?;
    let path = Context::valid_path(request.path)?;
    let node = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    context.permit(&node.acl, permission(OpCode::CHECK))?;
    let version = next_version(node.stat.version, request.version)?;
    context.take_in(4 + path.len() + 4)?;
    Ok(TxnBody::Check(CheckVersionTxn { path: Some(path), version }))
}
