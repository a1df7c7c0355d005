//! The parts of a fuzzy snapshot, taken from the running server in pieces: each lock is held for a moment only.

use std::sync::Arc;

use jute::SessionId;

use super::State;
use crate::clock::Clock;
use crate::snapshot::format;
use crate::tree::{AclList, Cursor, Step};

/// Nodes visited under one hold of the tree, at most.
pub(super) const SLICE_NODES: usize = 256;
/// Bytes of nodes after which the tree is let go.
pub(super) const SLICE_BYTES: usize = 128 << 10;
/// Time after which the tree is let go; the clock may be that much ahead when it begins.
const SLICE_MS: i64 = 2;
/// Sessions or access control lists looked at under one hold.
const SLICE_ENTRIES: usize = 1024;

/// Encodes up to so many nodes under one hold of the tree; true when there are no more.
pub(super) fn slice(
    state: &State,
    clock: &dyn Clock,
    cursor: &mut Cursor,
    nodes_max: usize,
    began_ms: i64,
    buffer: &mut Vec<u8>,
    nodes: &mut usize,
) -> bool {
    let tree = state.tree();
    for _ in 0..nodes_max {
        let step = cursor.step(&tree, &mut |path, data, acl, stat| {
            format::put_node(buffer, path, data, acl, stat);
        });
        match step {
            Step::Written => *nodes += 1,
            Step::Gone => {}
            Step::Done => return true,
        }
        if buffer.len() >= SLICE_BYTES || clock.now_ms() - began_ms >= SLICE_MS {
            break;
        }
    }
    false
}

/// The access control lists, shared with the tree.
pub(super) fn lists(state: &State, cursor: &mut Cursor) -> Vec<(i64, Arc<AclList>)> {
    let mut lists = Vec::new();
    while cursor.lists(&state.tree(), SLICE_ENTRIES, &mut lists) {}
    lists.sort_unstable_by_key(|(id, _)| *id);
    lists
}

/// Committed sessions with their timeouts. One that ends meanwhile may be left out: the log ends it too.
pub(super) fn sessions(state: &State) -> Vec<(SessionId, i32)> {
    let mut ids = state.sessions().committed();
    ids.sort_unstable();
    let mut with_timeouts = Vec::with_capacity(ids.len());
    for slice in ids.chunks(SLICE_ENTRIES) {
        let sessions = state.sessions();
        with_timeouts.extend(slice.iter().filter_map(|id| {
            let timeout_ms = sessions.get(*id)?.timeout_ms();
            Some((*id, i32::try_from(timeout_ms).unwrap_or(i32::MAX)))
        }));
    }
    with_timeouts
}

/// Hands out what a learner is sent of a snapshot: sessions, lists and nodes up to their end mark, in pieces of
/// about 128 KiB. Gives up, and says false, as soon as `send` does.
pub fn stream(
    state: &State,
    clock: &dyn Clock,
    mut cursor: Cursor,
    send: &mut dyn FnMut(Vec<u8>) -> bool,
) -> bool {
    let mut piece = Vec::new();
    let mut send_if_large = |piece: &mut Vec<u8>| piece.len() < SLICE_BYTES || send(std::mem::take(piece));
    let lists = lists(state, &mut cursor);
    format::put_sessions(&mut piece, &sessions(state));
    format::put_acl_count(&mut piece, lists.len());
    for (id, list) in lists {
        format::put_acl(&mut piece, id, &list);
        if !send_if_large(&mut piece) {
            return false;
        }
    }
    let mut nodes = 0;
    while !slice(state, clock, &mut cursor, SLICE_NODES, clock.now_ms(), &mut piece, &mut nodes) {
        if !send_if_large(&mut piece) {
            return false;
        }
    }
    piece.extend_from_slice(&format::END);
    send(piece)
}
