//! A server that is alone: it is its own quorum, and the writer holds the log.

use std::sync::Arc;

use super::{Ground, ServerError, Started, loading, options};
use crate::runtime::{Inbox, Parts, Writer};
use crate::txnlog::Log;

/// The server id in the session ids of a server that is alone (reference: `ZooKeeperServer`).
const SERVER_ID: u8 = 1;

/// Recovers, and is ready to write.
pub(super) fn start(ground: &Ground<'_>) -> Result<Started, ServerError> {
    let Ground { config, disk, clock, metrics, directories } = ground;
    let found = loading::load(disk, directories, &loading::store_options(config), clock.as_ref(), metrics)?;
    let last_zxid = found.tree.last_zxid();
    let state = ground.state(found.tree, &found.sessions, SERVER_ID);
    let log = Log::open(disk.clone(), options::log_options(config, directories), last_zxid)?;
    let spare = log.spare();
    let snapshots = Box::new(ground.snapshots(&state, (found.snapshot, last_zxid))?);
    let inbox = Arc::new(Inbox::default());
    let writer = Writer::new(Parts {
        state: state.clone(),
        inbox: inbox.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        log,
        snapshots,
        options: options::replica_options(config),
    });
    Ok(Started { state, inbox, write: Box::new(|| Ok(writer.run()?)), spare })
}
