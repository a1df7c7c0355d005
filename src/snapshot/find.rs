//! Which snapshots to try. Reference: `FileSnap.findNValidSnapshots`, `SnapStream.isValidSnapshot`.

use std::path::{Path, PathBuf};

use jute::Zxid;

use super::SnapshotError;
use super::compression::{Compression, GZIP_MAGIC, SNAPPY_MAGIC};
use super::format::{self, END, FILE_BYTES_MIN};
use crate::disk::{self, Disk};

/// How many snapshots a start tries before it gives up, as the reference does.
pub const CANDIDATES_MAX: usize = 100;

/// A file that looks like a whole snapshot. Only [`load`](super::load) knows whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// By its name.
    pub zxid: Zxid,
    /// By its name.
    pub compression: Compression,
}

/// The newest snapshots that look whole, newest first, at most `count`. A plain file must end as a
/// seal does, a compressed one begin as its method demands. Files that cannot be read are left out.
///
/// # Errors
/// When the directory cannot be listed.
pub fn candidates(disk: &dyn Disk, directory: &Path, count: usize) -> Result<Vec<Candidate>, SnapshotError> {
    let mut found = snapshots(disk, directory)?;
    found.reverse();
    found.retain(|candidate| looks_whole(disk, candidate).unwrap_or(false));
    found.truncate(count);
    Ok(found)
}

/// All files with the name of a snapshot, oldest first.
pub(super) fn snapshots(disk: &dyn Disk, directory: &Path) -> Result<Vec<Candidate>, SnapshotError> {
    let mut found: Vec<_> = disk
        .list(directory)?
        .iter()
        .filter_map(|name| {
            let (zxid, compression) = format::parse_name(name)?;
            Some(Candidate { path: directory.join(name), zxid, compression })
        })
        .collect();
    found.sort_by_key(|candidate| (candidate.zxid, candidate.compression));
    Ok(found)
}

fn looks_whole(disk: &dyn Disk, candidate: &Candidate) -> disk::Result<bool> {
    let file = disk.open_read(&candidate.path)?;
    let begins_with = |magic: &[u8]| {
        let mut bytes = vec![0; magic.len()];
        Ok(file.read_at(0, &mut bytes)? == magic.len() && bytes == magic)
    };
    match candidate.compression {
        Compression::Gzip => begins_with(&GZIP_MAGIC),
        Compression::Snappy => begins_with(&SNAPPY_MAGIC),
        Compression::None => {
            let len = file.len()?;
            if len < FILE_BYTES_MIN {
                return Ok(false);
            }
            let mut end = [0; END.len()];
            Ok(file.read_at(len - END.len() as u64, &mut end)? == END.len() && end == END)
        }
    }
}
