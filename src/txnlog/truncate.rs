//! Cutting the log back to a transaction, as a leader may demand of a learner that is ahead.

use std::path::Path;
use std::sync::Arc;

use jute::Zxid;

use super::LogError;
use super::reader::{FileReader, Opened, log_files};
use crate::disk::Disk;

/// Removes everything after `zxid`. No file of the directory may be open for appending.
///
/// Newest files go first and the cut comes last, so after a crash in between the log is still a
/// prefix of what it was. Reference: `FileTxnLog.truncate`, which syncs nothing, and cuts at the next
/// transaction when this one is missing.
pub(super) fn cut_after(disk: &Arc<dyn Disk>, directory: &Path, zxid: Zxid) -> Result<(), LogError> {
    let missing = || LogError::NoSuchTransaction { directory: directory.to_owned(), zxid };
    let mut files = log_files(&**disk, directory)?;
    let holder = files.iter().rposition(|(first, _)| *first <= zxid).ok_or_else(missing)?;
    let later = files.split_off(holder + 1);
    let (_, path) = files.pop().ok_or_else(missing)?;
    let Opened::Log(mut reader) = FileReader::open(&**disk, path.clone())? else { return Err(missing()) };
    let mut last = Zxid::ZERO;
    let end = loop {
        match reader.step(last)? {
            Ok(found) if found.zxid == zxid => break found.end(),
            Ok(found) if found.zxid < zxid => last = found.zxid,
            _ => return Err(missing()),
        }
    };
    for (_, path) in later.iter().rev() {
        disk.remove(path)?;
        disk.sync_dir(directory)?;
    }
    let file = disk.open(&path)?;
    file.set_len(end)?;
    file.sync()?;
    Ok(())
}
