//! Cutting the log back to a transaction, as a leader may demand of a learner that is ahead.

use std::path::{Path, PathBuf};
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
    match find(disk, directory, zxid)? {
        Cut { holder: Some((path, end, true)), later } => {
            remove(disk, directory, &later)?;
            cut(disk, &path, end)
        }
        _ => Err(LogError::NoSuchTransaction { directory: directory.to_owned(), zxid }),
    }
}

/// The same where `zxid` itself need not be in the log: what is left, if anything, ends before it.
pub(super) fn cut_above(disk: &Arc<dyn Disk>, directory: &Path, zxid: Zxid) -> Result<(), LogError> {
    let Cut { holder, later } = find(disk, directory, zxid)?;
    remove(disk, directory, &later)?;
    holder.map_or(Ok(()), |(path, end, _)| cut(disk, &path, end))
}

/// Whether a transaction is in the log of a directory.
///
/// # Errors
/// Damage in front of it, or as the disk reports.
pub fn holds(disk: &Arc<dyn Disk>, directory: &Path, zxid: Zxid) -> Result<bool, LogError> {
    Ok(matches!(find(disk, directory, zxid)?.holder, Some((.., true))))
}

/// Where a log is cut.
struct Cut {
    /// The file that is cut, where, and whether its last record there is the one looked for.
    holder: Option<(PathBuf, u64, bool)>,
    /// Files that go, oldest first.
    later: Vec<PathBuf>,
}

fn find(disk: &Arc<dyn Disk>, directory: &Path, zxid: Zxid) -> Result<Cut, LogError> {
    let mut files = log_files(&**disk, directory)?;
    let kept = files.iter().rposition(|(first, _)| *first <= zxid).map_or(0, |holder| holder + 1);
    let mut later: Vec<_> = files.split_off(kept).into_iter().map(|(_, path)| path).collect();
    let Some((_, path)) = files.pop() else { return Ok(Cut { holder: None, later }) };
    let Opened::Log(mut reader) = FileReader::open(&**disk, path.clone())? else {
        later.insert(0, path);
        return Ok(Cut { holder: None, later });
    };
    let mut last = Zxid::ZERO;
    let mut end = reader.position();
    while let Ok(found) = reader.step(last)? {
        if found.zxid > zxid {
            break;
        }
        (last, end) = (found.zxid, found.end());
        if last == zxid {
            break;
        }
    }
    Ok(Cut { holder: Some((path, end, last == zxid)), later })
}

fn remove(disk: &Arc<dyn Disk>, directory: &Path, files: &[PathBuf]) -> Result<(), LogError> {
    for path in files.iter().rev() {
        disk.remove(path)?;
        disk.sync_dir(directory)?;
    }
    Ok(())
}

fn cut(disk: &Arc<dyn Disk>, path: &Path, end: u64) -> Result<(), LogError> {
    let file = disk.open(path)?;
    file.set_len(end)?;
    Ok(file.sync()?)
}
