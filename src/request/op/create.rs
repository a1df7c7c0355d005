//! The creates: plain, with stat, container, with a time to live.

use std::sync::Arc;

use jute::multi::CreateMode;
use jute::records::data::StatPersisted;
use jute::records::proto::CreateTTLRequest;
use jute::records::txn::{CreateContainerTxn, CreateTTLTxn, CreateTxn};
use jute::txn::TxnBody;
use jute::{Code, OpCode};

use super::quota;
use crate::request::access::permission;
use crate::request::context::Context;
use crate::request::outstanding::View;
use crate::tree::acl;
use crate::tree::node::TTL_MAX_MS;
use crate::tree::{Owner, digest, path};

pub(in crate::request) fn prepare(
    context: &mut Context<'_>,
    op: OpCode,
    request: CreateTTLRequest,
) -> Result<TxnBody, Code> {
    let mode = CreateMode::from_flags(request.flags).ok_or(Code::BAD_ARGUMENTS)?;
    check_mode(context, op, mode, request.ttl)?;
    let path = request.path.ok_or(Code::MARSHALLING_ERROR)?;
    let parent_path = match path::split(&path) {
        Some((parent, _)) if !path.contains('\0') => parent.to_owned(),
        _ => return Err(Code::BAD_ARGUMENTS),
    };
    let acl = acl::fix_up(request.acl, context.identities, context.options.acl)?;
    let parent = context.outstanding.view(context.tree, &parent_path).ok_or(Code::NO_NODE)?;
    context.permit(&parent.acl, permission(OpCode::CREATE))?;
    let path = if mode.is_sequential() { path::with_sequence(&path, parent.stat.cversion) } else { path };
    let path = Context::valid_path(Some(path))?;
    if context.outstanding.exists(context.tree, &path) {
        return Err(Code::NODE_EXISTS);
    }
    if let Owner::Session(_) = Owner::from_field(parent.stat.ephemeral_owner, context.tree.rules()) {
        return Err(Code::NO_CHILDREN_FOR_EPHEMERALS);
    }
    quota::check_creation(context, &path, request.data.as_deref())?;
    let data_length = request.data.as_ref().map_or(0, Vec::len);
    quota::check(context, &path, 1, data_length as i64)?;

    let owner = match op {
        OpCode::CREATE_CONTAINER => Owner::Container,
        OpCode::CREATE_TTL => Owner::Ttl(request.ttl),
        _ if mode.is_ephemeral() => Owner::Session(context.session),
        _ => Owner::None,
    };
    let kind_bytes = match op {
        OpCode::CREATE_CONTAINER => 0,
        OpCode::CREATE_TTL => 8,
        _ => 1,
    };
    context.take_in(4 + path.len() + 4 + data_length + acl::list_bytes(&acl) + 4 + kind_bytes)?;
    if let Owner::Session(_) = owner {
        context.take_in_ephemeral(&path)?;
    }
    let parent_cversion = parent.stat.cversion.wrapping_add(1);
    let mut parent_after = View { children: parent.children + 1, ..parent.clone() };
    parent_after.stat.cversion = parent_cversion;
    parent_after.stat.pzxid = context.zxid;
    let node = View {
        stat: StatPersisted {
            czxid: context.zxid,
            mzxid: context.zxid,
            pzxid: context.zxid,
            ctime: context.time,
            mtime: context.time,
            ephemeral_owner: owner.to_field(),
            ..StatPersisted::default()
        },
        children: 0,
        acl: Arc::new(acl.clone().into()),
        data_length,
        content_crc: digest::content_crc(&path, request.data.as_deref()),
    };
    context.outstanding.change(context.tree, context.zxid, &parent_path, Some(&parent), Some(parent_after));
    context.outstanding.change(context.tree, context.zxid, &path, None, Some(node));

    let (path, data, acl) = (Some(path), request.data, Some(acl));
    Ok(match op {
        OpCode::CREATE_CONTAINER => {
            TxnBody::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
        }
        OpCode::CREATE_TTL => {
            TxnBody::CreateTtl(CreateTTLTxn { path, data, acl, parent_cversion, ttl: request.ttl })
        }
        _ => {
            let txn = CreateTxn { path, data, acl, ephemeral: mode.is_ephemeral(), parent_cversion };
            if op == OpCode::CREATE2 { TxnBody::Create2(txn) } else { TxnBody::Create(txn) }
        }
    })
}

/// Reference: `PrepRequestProcessor.validateCreateRequest`.
fn check_mode(context: &Context<'_>, op: OpCode, mode: CreateMode, ttl: i64) -> Result<(), Code> {
    if mode.is_ttl() && !context.options.extended_types {
        return Err(Code::UNIMPLEMENTED);
    }
    // A createTTL without a TTL mode passes here in the reference and then stops its server for good.
    let fits = if mode.is_ttl() { (1..=TTL_MAX_MS).contains(&ttl) } else { op != OpCode::CREATE_TTL };
    if !fits {
        return Err(Code::BAD_ARGUMENTS);
    }
    if mode.is_ephemeral() { context.check_global_session() } else { context.check_session() }
}
