//! `setData`.

use jute::records::proto::SetDataRequest;
use jute::records::txn::SetDataTxn;
use jute::txn::TxnBody;
use jute::{Code, OpCode};

use super::quota;
use crate::request::access::permission;
use crate::request::context::{Context, next_version};
use crate::request::outstanding::View;
use crate::tree::digest;

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    request: SetDataRequest,
) -> Result<TxnBody, Code> {
    context.check_session()?;
    let path = Context::valid_path(request.path)?;
    let before = context.outstanding.view(context.tree, &path).ok_or(Code::NO_NODE)?;
    context.permit(&before.acl, permission(OpCode::SET_DATA))?;
    quota::check_text(context, &path, request.data.as_deref())?;
    let data_length = request.data.as_ref().map_or(0, Vec::len);
    quota::check(context, &path, 0, data_length as i64 - before.data_length as i64)?;
    let version = next_version(before.stat.version, request.version)?;
    context.take_in(4 + path.len() + 4 + data_length + 4)?;
    let mut after = View {
        data_length,
        content_crc: digest::content_crc(&path, request.data.as_deref()),
        ..before.clone()
    };
    after.stat.version = version;
    after.stat.mtime = context.time;
    after.stat.mzxid = context.zxid;
    context.outstanding.change(context.tree, context.zxid, &path, Some(&before), Some(after));
    Ok(TxnBody::SetData(SetDataTxn { path: Some(path), data: request.data, version }))
}
