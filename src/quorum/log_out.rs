//! What the log on disk holds, for a learner that is further behind than memory reaches (reference:
//! `LearnerHandler.queueCommittedProposals` over `TxnLogProposalIterator`).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jute::Zxid;
use tokio::sync::mpsc::{self, Sender};

use super::learner_port::{LearnerPort, Order, Piece};
use super::{Shared, UnderWay};
use crate::disk::Disk;
use crate::txnlog::entries_after;
use crate::zab::{Link, Proposal, ToLearner};

/// Pieces on their way.
pub(super) const PIECES_MAX: usize = 4;
/// Bytes of a piece, about.
const PIECE_BYTES: usize = 128 << 10;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The zxid of the DIFF that goes before, if any.
    pub(super) diff: Option<Zxid>,
    /// The learner has this one.
    pub(super) after: Zxid,
    /// The last one.
    pub(super) to: Zxid,
}

/// Begins to send it.
pub(super) fn start(shared: &Arc<Shared>, port: &LearnerPort, link: Link, wanted: Wanted) {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    port.order(link, Order::Stream(receiver));
    let (disk, logs) = (Arc::clone(&shared.disk), shared.options.logs.clone());
    let failing = pieces.clone();
    if wanted.diff.is_some() {
        shared.metrics.diff_count.increment();
    }
    let on_thread = Arc::clone(shared);
    let started = shared.tasks.thread("log-out", move || {
        let _under_way = UnderWay::begin(&on_thread.logs_out, &on_thread.metrics.inflight_diff_count);
        // A learner that has gone needs nothing.
        let _gone = run(&disk, &logs, wanted, &pieces);
    });
    if let Err(error) = started {
        let _gone = failing.try_send(Piece::Refused(format!("no thread can be started: {error}")));
    }
}

/// The learner has gone.
pub(super) struct Gone;

fn send(pieces: &Sender<Piece>, piece: Piece) -> Result<(), Gone> {
    pieces.blocking_send(piece).map_err(|_| Gone)
}

fn run(disk: &Arc<dyn Disk>, logs: &Path, wanted: Wanted, pieces: &Sender<Piece>) -> Result<(), Gone> {
    let mut entries = match entries_after(disk, logs, wanted.after) {
        Ok(entries) => entries,
        Err(why) => return send(pieces, Piece::Refused(why)),
    };
    let mut out = Vec::new();
    if let Some(zxid) = wanted.diff {
        ToLearner::Diff(zxid).encode(&mut out);
    }
    let mut has_sent = false;
    let mut last = wanted.after;
    while last < wanted.to {
        let broken = match entries.next_frame() {
            Ok(Some(frame)) if frame.zxid <= wanted.to => {
                last = frame.zxid;
                let payload = Bytes::copy_from_slice(frame.payload);
                ToLearner::Proposal(Proposal { zxid: last, payload }).encode(&mut out);
                ToLearner::Commit(last).encode(&mut out);
                None
            }
            // The last one to send may be named by the zxid before what memory holds, which need not exist.
            Ok(Some(_)) => break,
            Ok(None) if wanted.to.counter() == 0 => break,
            Ok(None) => {
                Some(format!("the log ends at 0x{last:x}, and 0x{:x} was to be sent from it", wanted.to))
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = broken {
            return send(pieces, if has_sent { Piece::Broken(why) } else { Piece::Refused(why) });
        }
        if out.len() >= PIECE_BYTES {
            has_sent = true;
            send(pieces, Piece::Bytes(std::mem::take(&mut out)))?;
        }
    }
    send(pieces, Piece::Bytes(out))?;
    send(pieces, Piece::End)
}
