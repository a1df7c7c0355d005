//! From what was applied to the reply's body (reference: `FinalRequestProcessor`).

use jute::records::Record;
use jute::records::data::Stat;
use jute::{Code, OpCode, write};

use crate::tree::Applied;

/// The four letters by which statistics know an operation.
#[must_use]
pub const fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::PING => "PING",
        OpCode::CREATE_SESSION => "SESS",
        OpCode::MULTI => "MULT",
        OpCode::MULTI_READ => "MLTR",
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => "CREA",
        OpCode::DELETE | OpCode::DELETE_CONTAINER => "DELE",
        OpCode::SET_DATA => "SETD",
        OpCode::RECONFIG => "RECO",
        OpCode::SET_ACL => "SETA",
        OpCode::CLOSE_SESSION => "CLOS",
        OpCode::SYNC => "SYNC",
        OpCode::CHECK => "CHEC",
        OpCode::EXISTS => "EXIS",
        OpCode::GET_DATA => "GETD",
        OpCode::SET_WATCHES => "SETW",
        OpCode::SET_WATCHES2 => "STW2",
        OpCode::ADD_WATCH => "ADDW",
        OpCode::GET_ACL => "GETA",
        OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => "GETC",
        OpCode::GET_ALL_CHILDREN_NUMBER => "GETACN",
        OpCode::CHECK_WATCHES => "CHKW",
        OpCode::REMOVE_WATCHES => "REMW",
        OpCode::WHO_AM_I => "HOMI",
        OpCode::GET_EPHEMERALS => "GETE",
        _ => "NA",
    }
}

/// Appends the body of the reply to a write that was asked for as `op`.
///
/// # Errors
/// What the transaction was logged as having failed with; a multi's failure is in its parts.
pub fn write_body(op: OpCode, applied: &Applied, out: &mut Vec<u8>) -> Result<(), Code> {
    if applied.op == OpCode::ERROR {
        return Err(applied.code);
    }
    match op {
        OpCode::MULTI => write_multi(&applied.parts, out),
        OpCode::CREATE => write::ustring(out, Some(&applied.path)),
        OpCode::CREATE2 | OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => {
            write::ustring(out, Some(&applied.path));
            write_stat(applied, out);
        }
        OpCode::SET_DATA | OpCode::SET_ACL => write_stat(applied, out),
        _ => {}
    }
    if applied.code == Code::OK || op == OpCode::MULTI { Ok(()) } else { Err(applied.code) }
}

fn write_stat(applied: &Applied, out: &mut Vec<u8>) {
    applied.stat.as_ref().unwrap_or(&Stat::default()).encode(out);
}

fn write_multi(parts: &[Applied], out: &mut Vec<u8>) {
    for part in parts {
        let op = match part.op {
            OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => OpCode::CREATE2,
            OpCode::DELETE_CONTAINER => OpCode::DELETE,
            op => op,
        };
        write_multi_header(out, op, part.code);
        match op {
            OpCode::CREATE => write::ustring(out, Some(&part.path)),
            OpCode::CREATE2 => {
                write::ustring(out, Some(&part.path));
                write_stat(part, out);
            }
            OpCode::SET_DATA => write_stat(part, out),
            OpCode::ERROR => write::int(out, part.code.0),
            _ => {}
        }
    }
    end_multi(out);
}

/// Starts one result of a multi: errors carry their code, others 0.
pub(super) fn write_multi_header(out: &mut Vec<u8>, op: OpCode, code: Code) {
    write::int(out, op.0);
    write::boolean(out, false);
    write::int(out, if op == OpCode::ERROR { code.0 } else { 0 });
}

/// Ends the results of a multi.
pub(super) fn end_multi(out: &mut Vec<u8>) {
    write::int(out, -1);
    write::boolean(out, true);
    write::int(out, -1);
}
