//! The tree, for a learner that cannot be brought up to date otherwise (reference: `LearnerHandler.run`,
//! `SerializeUtils.serializeSnapshot`).

use std::sync::Arc;

use jute::{Zxid, write};
use tokio::sync::mpsc;

use super::learner_line::{Order, Piece};
use super::learner_port::LearnerPort;
use super::log_out::PIECES_MAX;
use super::{Shared, UnderWay};
use crate::runtime::walk;
use crate::tree::Cursor;
use crate::zab::{Link, SNAPSHOT_END, ToLearner};

/// Begins to send SNAP and the tree as it is now, and says as of which zxid. The walk ends early when the learner's
/// connection does: that of each ends before the tree is replaced, as only a leader has any.
pub(super) fn start(shared: &Arc<Shared>, port: &LearnerPort, link: Link) -> Zxid {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    port.order(link, Order::Stream(receiver));
    let (state, clock) = (Arc::clone(&shared.state), Arc::clone(&shared.clock));
    let cursor = Cursor::new(&state.tree());
    let zxid = cursor.began_at();
    let failing = pieces.clone();
    let on_thread = Arc::clone(shared);
    shared.metrics.snap_count.increment();
    let started = shared.tasks.thread("snapshot-out", move || {
        let _under_way = UnderWay::begin(&on_thread.snapshots_out, &on_thread.metrics.inflight_snap_count);
        let mut send = |bytes| pieces.blocking_send(Piece::Bytes(bytes)).is_ok();
        let mut head = Vec::new();
        ToLearner::Snap(zxid).encode(&mut head);
        if !send(head) || !walk::stream(&state, &*clock, cursor, &mut send) {
            return;
        }
        let mut end = Vec::new();
        write::ustring(&mut end, Some(SNAPSHOT_END));
        if send(end) {
            let _gone = pieces.blocking_send(Piece::End);
        }
    });
    if let Err(error) = started {
        let _gone = failing.try_send(Piece::Broken(format!("no thread can be started: {error}")));
    }
    zxid
}
