//! Data directories, written and read without the server's own code.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::history::History;
use crate::peer::tree::adler32;
use crate::wire::Body;

const LOG_MAGIC: i32 = 0x5A4B_4C47;
const FILE_HEADER: usize = 16;
/// A log file ends in zeros, as space is allocated ahead.
const PADDING: usize = 4096;

/// Writes a server's past down.
pub fn write(history: &History, data_dir: &Path) -> Result<()> {
    let dir = data_dir.join("version-2");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let put = |name: String, bytes: &[u8]| {
        fs::write(dir.join(&name), bytes).with_context(|| format!("write {name}"))
    };
    put("acceptedEpoch".to_owned(), history.accepted.to_string().as_bytes())?;
    put("currentEpoch".to_owned(), history.current.to_string().as_bytes())?;
    for (zxid, tree) in &history.snapshots {
        put(format!("snapshot.{zxid:x}"), &tree.file(*zxid))?;
    }
    for (number, first) in history.files.iter().enumerate() {
        let end = history.files.get(number + 1).copied().unwrap_or(history.txns.len());
        let mut bytes = Body::new().int(LOG_MAGIC).int(2).long(0).0;
        for txn in &history.txns[*first..end] {
            bytes.extend(Body::new().long(i64::from(adler32(&txn.payload))).buffer(&txn.payload).0);
            bytes.push(0x42);
        }
        bytes.resize(bytes.len() + PADDING, 0);
        put(format!("log.{:x}", history.txns[*first].zxid), &bytes)?;
    }
    Ok(())
}

/// What is to be the same on disk: the epochs, and each transaction in the logs.
pub fn lines(data_dir: &Path) -> Result<String> {
    let dir = data_dir.join("version-2");
    let mut text = String::new();
    for name in ["acceptedEpoch", "currentEpoch"] {
        let epoch = fs::read_to_string(dir.join(name)).with_context(|| format!("read {name}"))?;
        let _ = writeln!(text, "  {name} {}", epoch.trim());
    }
    for (zxid, payload) in records(&dir, Ending::Whole)? {
        let _ = writeln!(text, "  {zxid:#x} {}", show(&payload));
    }
    Ok(text)
}

/// A transaction without what a server decides by its clock: its time, and the digest that covers it.
#[must_use]
pub fn show(payload: &[u8]) -> String {
    let mut payload = payload.to_vec();
    if let Some(time) = payload.get_mut(20..28) {
        let kept = i64::from_be_bytes(time.try_into().unwrap_or_default());
        // Those of generated histories are fixed.
        if kept > 1_750_000_000_000 {
            time.fill(b'T');
        }
    }
    let digest_at = payload.len().saturating_sub(12);
    if digest_at >= 32
        && payload[digest_at..].starts_with(&[0, 0, 0, 2])
        && payload[digest_at + 4..] != [0; 8]
    {
        payload.truncate(digest_at + 4);
    }
    payload.escape_ascii().to_string()
}

/// The last transaction in the logs of a data directory, 0 if there is none. The server may have been killed: the reference then
/// leaves a part of the record that it was writing.
pub fn last_logged(data_dir: &Path) -> Result<i64> {
    let records = records(&data_dir.join("version-2"), Ending::MayBeTorn)?;
    Ok(records.last().map_or(0, |(zxid, _)| *zxid))
}

/// What may stand at the end of a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A whole record, then zeros.
    Whole,
    /// A part of a record as well.
    MayBeTorn,
}

/// Zxid and payload of every record, in the order of the files.
fn records(dir: &Path, ending: Ending) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("read a directory entry")?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(zxid) = name.strip_prefix("log.") {
            files.push((i64::from_str_radix(zxid, 16).with_context(|| name.to_owned())?, path));
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
            let (Some(payload), Some(0x42)) = (after.get(..length), after.get(length)) else {
                if ending == Ending::MayBeTorn {
                    break;
                }
                bail!("{} holds a record that does not end", path.display());
            };
            let zxid = payload.get(12..20).context("a record shorter than its header")?;
            all.push((i64::from_be_bytes(zxid.try_into()?), payload.to_vec()));
            rest = &after[length + 1..];
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acknowledged::Random;

    #[test]
    fn what_is_written_is_read_back() -> Result<()> {
        for seed in 1..30 {
            let history = History::generate(&mut Random::new(seed, 0));
            let home = tempfile::tempdir()?;
            write(&history, home.path())?;
            let read = records(&home.path().join("version-2"), Ending::Whole)?;
            let expected: Vec<(i64, Vec<u8>)> =
                history.logged().iter().map(|txn| (txn.zxid, txn.payload.clone())).collect();
            assert_eq!(read, expected, "seed {seed}");
        }
        Ok(())
    }

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
            log.push(0x42);
        }
        log.truncate(log.len() - 3);
        log.resize(log.len() + 100, 0);
        fs::write(dir.join("log.7"), log)?;
        assert_eq!(last_logged(home.path())?, 7);
        assert!(records(&dir, Ending::Whole).is_err());
        Ok(())
    }
}
