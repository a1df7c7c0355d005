//! `check`, inside a multi.

use jute::Code;
use jute::records::proto::CheckVersionRequest;
use jute::records::txn::CheckVersionTxn;
use jute::txn::TxnBody;

use crate::request::context::{Context, next_version};
use crate::tree::acl::perms;

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    request: CheckVersionRequest,
) -> Result<TxnBody, Code> {
    context.check_session()?;
    let path = Context::valid_path(request.path)?;
    let node = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    context.permit(&node.acl, perms::READ)?;
    let version = next_version(node.stat.version, request.version)?;
    context.take_in(4 + path.len() + 4)?;
    Ok(TxnBody::Check(CheckVersionTxn { path: Some(path), version }))
}
