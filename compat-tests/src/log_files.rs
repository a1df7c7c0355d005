//! Transaction logs, read from the format and not with the server's reader, which skips what was logged twice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Magic number, version and database id in front of the records.
const FILE_HEADER: usize = 16;
/// What stands behind each record.
const END_MARK: u8 = 0x42;

/// One record: the header of a transaction, its body, and perhaps the tree's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The transaction's number.
    pub zxid: i64,
    /// Everything between the record's length and its end mark.
    pub payload: Vec<u8>,
}

/// What may stand at the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A whole record, then zeros.
    Whole,
    /// A part of a record as well: the server may have been killed while it wrote.
    MayBeTorn,
}

/// Every record below a data directory, in the order of the files.
pub fn records(data_dir: &Path, ending: Ending) -> Result<Vec<Record>> {
    let dir = data_dir.join("version-2");
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("read a directory entry")?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(zxid) = name.strip_prefix("log.") {
            let first = i64::from_str_radix(zxid, 16);
            files.push((first.with_context(|| format!("the name of {}", path.display()))?, path));
        }
    }
    files.sort();
    let mut all = Vec::new();
    for (_, path) in files {
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(bytes.is_empty() || bytes.starts_with(b"ZKLG"), "{} is not a log", path.display());
        let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
        while let Some(([.., a, b, c, d], after)) = rest.split_first_chunk::<12>() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length == 0 {
                break;
            }
            let (Some(payload), Some(&END_MARK)) = (after.get(..length), after.get(length)) else {
                if ending == Ending::MayBeTorn {
                    break;
                }
                bail!("{} holds a record that does not end", path.display());
            };
            let zxid = payload.get(12..20).context("a record shorter than its header")?;
            all.push(Record { zxid: i64::from_be_bytes(zxid.try_into()?), payload: payload.to_vec() });
            rest = &after[length + 1..];
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_a_kill_cut_short_is_none() -> Result<()> {
        let home = tempfile::tempdir()?;
        let dir = home.path().join("version-2");
        fs::create_dir(&dir)?;
        let mut log = vec![0; FILE_HEADER];
        log[..4].copy_from_slice(b"ZKLG");
        for zxid in [7_i64, 8] {
            log.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20]);
            log.extend([0; 12]);
            log.extend(zxid.to_be_bytes());
            log.push(END_MARK);
        }
        log.truncate(log.len() - 3);
        log.resize(log.len() + 100, 0);
        fs::write(dir.join("log.7"), log)?;
        let zxids: Vec<i64> =
            records(home.path(), Ending::MayBeTorn)?.iter().map(|record| record.zxid).collect();
        assert_eq!(zxids, [7]);
        assert!(records(home.path(), Ending::Whole).is_err());
        Ok(())
    }
}
