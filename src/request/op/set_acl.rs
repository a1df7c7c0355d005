//! `setACL`.

use std::sync::Arc;

use jute::records::proto::SetACLRequest;
use jute::records::txn::SetACLTxn;
use jute::txn::TxnBody;
use jute::{Code, OpCode};

use crate::request::access::permission;
use crate::request::context::{Context, next_version};
use crate::request::outstanding::View;
use crate::tree::acl;

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    request: SetACLRequest,
) -> Result<TxnBody, Code> {
    context.check_session()?;
    let path = Context::valid_path(request.path)?;
    let acl = acl::fix_up(request.acl, context.identities, context.options.acl)?;
    let before = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    context.permit(&before.acl, permission(OpCode::SET_ACL))?;
    let version = next_version(before.stat.aversion, request.version)?;
    context.take_in(4 + path.len() + acl::list_bytes(&acl) + 4)?;
    let mut after = View { acl: Arc::new(acl.clone().into()), ..before.clone() };
    after.stat.aversion = version;
    context.outstanding.change(context.tree, context.zxid, &path, Some(&before), Some(after));
    Ok(TxnBody::SetAcl(SetACLTxn { path: Some(path), acl: Some(acl), version }))
}
