//! Which permission an operation needs: one row for each operation code.
//!
//! The checks take their permission from here. A code of `jute` without a row does not compile.

use jute::OpCode;

use crate::tree::acl::perms;

/// By what an operation is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// One of these permissions on the node.
    OfNode(i32),
    /// One of these permissions on the node's parent.
    OfParent(i32),
    /// What each of its parts needs.
    OfParts,
    /// Nothing to be asked for. Each event that comes of it needs READ on its node (`replica::commit`).
    OfEvents,
    /// Nothing: it is about the connection, its session, its watches or its ephemeral nodes.
    Own,
    /// No client may do it.
    Nobody,
}

/// The row of an operation code (reference: `PrepRequestProcessor`, `FinalRequestProcessor`).
const fn row(op: OpCode) -> Option<Needs> {
    Some(match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
            Needs::OfParent(perms::CREATE)
        }
        OpCode::DELETE => Needs::OfParent(perms::DELETE),
        OpCode::SET_DATA => Needs::OfNode(perms::WRITE),
        OpCode::SET_ACL => Needs::OfNode(perms::ADMIN),
        OpCode::GET_DATA
        | OpCode::EXISTS
        | OpCode::GET_CHILDREN
        | OpCode::GET_CHILDREN2
        | OpCode::GET_ALL_CHILDREN_NUMBER
        | OpCode::CHECK => Needs::OfNode(perms::READ),
        OpCode::GET_ACL => Needs::OfNode(perms::READ | perms::ADMIN),
        OpCode::MULTI | OpCode::MULTI_READ => Needs::OfParts,
        OpCode::ADD_WATCH | OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => Needs::OfEvents,
        OpCode::CHECK_WATCHES
        | OpCode::REMOVE_WATCHES
        | OpCode::GET_EPHEMERALS
        | OpCode::WHO_AM_I
        | OpCode::SYNC
        | OpCode::PING
        | OpCode::AUTH
        | OpCode::SASL
        | OpCode::CREATE_SESSION
        | OpCode::CLOSE_SESSION => Needs::Own,
        // Membership does not change in this version.
        OpCode::RECONFIG | OpCode::DELETE_CONTAINER | OpCode::NOTIFICATION | OpCode::ERROR => Needs::Nobody,
        _ => return None,
    })
}

const _: () = {
    let mut at = 0;
    while at < OpCode::ALL.len() {
        assert!(row(OpCode::ALL[at]).is_some(), "an operation code has no row in request::access");
        at += 1;
    }
};

/// The permissions of which one is needed; none, which nobody has but the super user, where there is no such thing.
pub(super) const fn permission(op: OpCode) -> i32 {
    match row(op) {
        Some(Needs::OfNode(wanted) | Needs::OfParent(wanted)) => wanted,
        _ => 0,
    }
}
