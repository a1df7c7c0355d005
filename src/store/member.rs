//! How a member of an ensemble starts from its directory (reference: `QuorumPeer.loadDataBase`).

use std::sync::Arc;

use jute::Zxid;

use super::aside::{self, Aside};
use super::epochs::Known;
use super::{Directories, Epochs, Found, Health, Options, Step, StoreError, effects, recover};
use crate::disk::Disk;

/// What a member goes on with.
pub struct Member {
    /// Tree, sessions, log.
    pub found: Found,
    /// The epochs.
    pub epochs: Known,
    /// Whether what was found may be counted on. If not, it is nothing, and the protocol speaks of zxid -1 until
    /// a snapshot came from the leader.
    pub is_trusted: bool,
    /// The newest transactions, as the log holds them.
    pub tail: Vec<(Zxid, Vec<u8>)>,
    /// What was damaged, and set aside.
    pub damage: Option<StoreError>,
}

/// Recovers a directory for a member. What is damaged is set aside under other names, and the member starts with
/// nothing: it must fetch everything from a leader, and helps nobody to win an election until then.
///
/// A database that is gone, from a directory in which there was one, is treated in the same way, also where an
/// empty one would be allowed: this server may have promised what it does not have any more.
///
/// # Errors
/// As [`recover`], but for damage; an epoch file that cannot be right.
pub fn recover_member(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &Options,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Member, StoreError> {
    let (recovered, damage) = match recover(disk, directories, options, tell) {
        Err(error) if error.is_damage() => {
            aside::set_all_aside(disk.as_ref(), directories, Aside::Damaged)?;
            (recover(disk, directories, options, tell)?, Some(error))
        }
        recovered => (recovered?, None),
    };
    let found = recovered.found;
    let last = found.tree.last_zxid();
    let is_continued = match found.snapshot {
        Some(zxid) => effects::settle(disk, directories, zxid)?,
        None => true,
    };
    let after = if is_continued { Zxid::ZERO } else { found.snapshot.unwrap_or_default() };
    let tail = effects::tail(disk, directories, after, last, options.tail_txns)?;
    let is_trusted = found.health == Health::Whole && !lost_everything(disk, directories, &found)?;
    let epochs = Epochs::recover(disk.as_ref(), &directories.snapshots, last)?;
    Ok(Member { found, epochs, is_trusted, tail, damage })
}

/// Whether there is no database where there was one, and nobody has said that this is right.
fn lost_everything(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    found: &Found,
) -> Result<bool, StoreError> {
    if found.snapshot.is_some() || found.tree.last_zxid() > Zxid::ZERO || found.is_marked_empty {
        return Ok(false);
    }
    let names = disk.list(&directories.snapshots)?.into_iter().chain(disk.list(&directories.logs)?);
    let was_set_aside = names.into_iter().any(|name| Aside::Damaged.is_of(&name));
    Ok(was_set_aside || Epochs::read(disk.as_ref(), &directories.snapshots)?.are_used())
}
