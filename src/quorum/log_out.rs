//! What the log on disk holds, for a learner that is further behind than memory reaches (reference:
//! `LearnerHandler.queueCommittedProposals` over `TxnLogProposalIterator`).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jute::Zxid;
use tokio::sync::mpsc::{self, Sender};

use super::learner_line::{Order, Piece};
use super::learner_port::LearnerPort;
use super::{Options, Shared, UnderWay};
use crate::disk::Disk;
use crate::snapshot;
use crate::txnlog::{self, entries_after};
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
    let failing = pieces.clone();
    if wanted.diff.is_some() {
        shared.metrics.diff_count.increment();
    }
    let on_thread = Arc::clone(shared);
    let started = shared.tasks.thread("log-out", move || {
        let _under_way = UnderWay::begin(&on_thread.logs_out, &on_thread.metrics.inflight_diff_count);
        // A learner that has gone needs nothing.
        let _gone = run(&on_thread, wanted, &pieces);
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

fn run(shared: &Shared, wanted: Wanted, pieces: &Sender<Piece>) -> Result<(), Gone> {
    let (disk, options) = (&shared.disk, &shared.options);
    let opened = check_size(disk, options, wanted.after)
        .and_then(|()| entries_after(disk, &options.logs, wanted.after));
    let mut entries = match opened {
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

/// Whether it is worth while: a snapshot may be less to send (reference: `ZKDatabase.calculateTxnLogSizeLimit`).
fn check_size(disk: &Arc<dyn Disk>, options: &Options, after: Zxid) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if options.log_share < 0.0 {
        return Err("snapshotSizeFactor is negative".to_owned());
    }
    let length = |path: &Path| disk.open_read(path).and_then(|file| file.len());
    let newest = snapshot::candidates(&**disk, &options.snapshots, 1).map_err(|error| text(&error))?;
    let Some(newest) = newest.first() else { return Ok(()) };
    let snapshot_bytes = length(&newest.path).map_err(|error| text(&error))?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bound"
    )]
    let most = (snapshot_bytes as f64 * options.log_share) as u64;
    if most == 0 {
        return Ok(());
    }
    let mut bytes = 0;
    for path in txnlog::files_after(&**disk, &options.logs, after).map_err(|error| text(&error))? {
        bytes += length(&path).map_err(|error| text(&error))?;
    }
    if bytes > most {
        return Err(format!(
            "the log files have {bytes} bytes, more than the {most} that snapshotSizeFactor={} allows",
            options.log_share
        ));
    }
    Ok(())
}
