//! Data directories, written and read without the server's own code.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::history::History;
use crate::log_files::{Ending, Record, records};
use crate::peer::tree::adler32;
use crate::wire::Body;

const LOG_MAGIC: i32 = 0x5A4B_4C47;
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
    for Record { zxid, payload } in records(data_dir, Ending::Whole)? {
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
    Ok(records(data_dir, Ending::MayBeTorn)?.last().map_or(0, |record| record.zxid))
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
            let read = records(home.path(), Ending::Whole)?;
            let expected: Vec<Record> = history
                .logged()
                .iter()
                .map(|txn| Record { zxid: txn.zxid, payload: txn.payload.clone() })
                .collect();
            assert_eq!(read, expected, "seed {seed}");
        }
        Ok(())
    }
}
