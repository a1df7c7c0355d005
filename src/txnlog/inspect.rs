//! Looking at one file, changing nothing.

use std::path::Path;

use jute::Zxid;

use super::LogError;
use super::reader::{FileReader, Opened};
use super::tail::TornTail;
use crate::disk::Disk;

/// What is in one log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Transactions.
    pub records: u64,
    /// The first and the last of them.
    pub range: Option<(Zxid, Zxid)>,
    /// Where the last record ends.
    pub valid_bytes: u64,
    /// What a crash left after it.
    pub torn: Option<TornTail>,
}

/// Reads a whole file and decodes every transaction.
///
/// # Errors
/// Damage that is not a torn tail, and failures of the disk.
pub fn inspect(disk: &dyn Disk, path: &Path) -> Result<FileSummary, LogError> {
    let mut summary = FileSummary::default();
    let Opened::Log(mut reader) = FileReader::open(disk, path.to_owned())? else { return Ok(summary) };
    let mut last = Zxid::ZERO;
    loop {
        match reader.step(last)? {
            Ok(found) => {
                reader.frame(found)?.decode()?;
                last = last.max(found.zxid);
                summary.records += 1;
                let first = summary.range.map_or(found.zxid, |(first, _)| first);
                summary.range = Some((first, found.zxid));
            }
            Err(torn) => {
                summary.valid_bytes = reader.position();
                summary.torn = torn;
                return Ok(summary);
            }
        }
    }
}
