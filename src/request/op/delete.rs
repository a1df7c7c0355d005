//! `delete`, and the removal of containers and aged nodes.

use jute::records::proto::DeleteRequest;
use jute::records::txn::DeleteTxn;
use jute::txn::TxnBody;
use jute::{Code, OpCode};

use super::quota;
use crate::request::access::permission;
use crate::request::context::{Context, next_version};
use crate::request::outstanding::View;
use crate::tree::{Owner, path};

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    request: DeleteRequest,
) -> Result<TxnBody, Code> {
    context.check_session()?;
    let path = request.path.ok_or(Code::MARSHALLING_ERROR)?;
    let parent = context.outstanding.view(context.tree, deletable_under(&path)?).ok_or(Code::NO_NODE)?;
    context.permit(&parent.acl, permission(OpCode::DELETE))?;
    let node = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    next_version(node.stat.version, request.version)?;
    if node.children > 0 {
        return Err(Code::NOT_EMPTY);
    }
    quota::check_place(context, &path)?;
    context.take_in(4 + path.len())?;
    remove(context, &path);
    Ok(TxnBody::Delete(DeleteTxn { path: Some(path) }))
}

/// No session and no permission is asked for: the sweep runs on nobody's behalf.
pub(in crate::request) fn prepare_container(
    context: &mut Context<'_>,
    path: String,
) -> Result<TxnBody, Code> {
    let parent = deletable_under(&path)?.to_owned();
    let node = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    if node.children > 0 {
        return Err(Code::NOT_EMPTY);
    }
    if let Owner::Session(_) = Owner::from_field(node.stat.ephemeral_owner, context.tree.rules()) {
        return Err(Code::BAD_VERSION);
    }
    if !context.outstanding.exists(context.tree, &parent) {
        return Err(Code::NO_NODE);
    }
    quota::check_place(context, &path)?;
    remove(context, &path);
    Ok(TxnBody::DeleteContainer(DeleteTxn { path: Some(path) }))
}

/// Part of the end of a session, on nobody's behalf: all of them are there, and none has children.
pub(in crate::request) fn prepare_ephemerals(context: &mut Context<'_>, paths: Vec<String>) -> TxnBody {
    paths.iter().for_each(|path| remove(context, path));
    TxnBody::Multi(paths.into_iter().map(|path| TxnBody::Delete(DeleteTxn { path: Some(path) })).collect())
}

/// The parent's path, unless the reference would not delete such a path.
fn deletable_under(path: &str) -> Result<&str, Code> {
    match path::split(path) {
        Some((parent, _)) if !path.contains('\0') && !path::is_special(path) => Ok(parent),
        _ => Err(Code::BAD_ARGUMENTS),
    }
}

/// The node will be gone and its parent changed.
pub(in crate::request) fn remove(context: &mut Context<'_>, path: &str) {
    let (tree, zxid) = (context.tree, context.zxid);
    let parent_path = path::split(path).map_or("", |(parent, _)| parent);
    if let Some(parent) = context.outstanding.view(tree, parent_path) {
        let mut after = View { children: parent.children.saturating_sub(1), ..parent.clone() };
        after.stat.pzxid = zxid;
        context.outstanding.change(tree, zxid, parent_path, Some(&parent), Some(after));
    }
    let node = context.outstanding.view(tree, path);
    context.outstanding.change(tree, zxid, path, node.as_ref(), None);
}
