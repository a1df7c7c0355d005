//! Judging the place where a file has no further valid record: end, torn tail, or corruption. The
//! rules and their reasons are in [`format`](mod@super::format).

use std::path::{Path, PathBuf};

use jute::Zxid;

use super::LogError;
use super::format::{
    LINE_BYTES, PAGE_BYTES, PAYLOAD_BYTES_MIN, PREFIX_BYTES, SECTOR_BYTES, TRAILER, UNSYNCED_BYTES_MAX,
    WORD_BYTES,
};
use super::window::Window;
use crate::disk::Result;

/// What a crash left after the last whole record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the valid part ends.
    pub offset: u64,
    /// What stands there instead of a record.
    pub problem: &'static str,
    /// The newest intact record that lies beyond: of the same unfinished batch.
    pub newest_intact: Option<Zxid>,
}

impl TornTail {
    /// For the operator: what is cut off after the transaction `last`, and what is known of it. `mark` is
    /// the newest transaction that is known to have been durable.
    #[must_use]
    pub fn describe(&self, last: Zxid, mark: Option<Zxid>) -> String {
        let cut = match self.newest_intact {
            Some(newest) if newest.epoch() == last.epoch() => {
                format!("transactions up to {newest}, {} after {last}", newest.0 - last.0)
            }
            Some(newest) => format!("transactions after {last}, up to {newest}"),
            None => format!("what was written after transaction {last}, which cannot be counted"),
        };
        let known = match mark {
            Some(mark) => format!("everything up to {mark} is known to have been durable, and is there"),
            None => {
                "there is no mark beside the log, so whether any was acknowledged is not known".to_owned()
            }
        };
        format!(
            "{}: unfinished write at offset {} ({}): {cut}; {known}",
            self.path.display(),
            self.offset,
            self.problem
        )
    }
}

/// A record found at an offset.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) zxid: Zxid,
    pub(super) offset: u64,
    pub(super) payload_bytes: u64,
}

impl Located {
    pub(super) const fn payload_offset(&self) -> u64 {
        self.offset + PREFIX_BYTES as u64
    }

    /// Where the next record begins.
    pub(super) const fn end(&self) -> u64 {
        self.payload_offset() + self.payload_bytes + 1
    }
}

/// Why there is no valid record at an offset.
#[derive(Clone, Copy)]
pub(super) struct Defect {
    problem: &'static str,
    /// Where the record ends, if what ends it was written.
    ended: Option<u64>,
}

impl Defect {
    const fn unended(problem: &'static str) -> Self {
        Self { problem, ended: None }
    }
}

/// The record at `at`, or why there is none.
pub(super) fn locate(window: &mut Window, at: u64) -> Result<std::result::Result<Located, Defect>> {
    let Some((checksum, length)) = window.exactly(at, PREFIX_BYTES as u64)?.and_then(split_prefix) else {
        return Ok(Err(Defect::unended("the file ends")));
    };
    if length == 0 {
        return Ok(Err(Defect::unended("no record")));
    }
    let payload_bytes = match usize::try_from(length) {
        Ok(count) if count >= PAYLOAD_BYTES_MIN => count as u64,
        _ => return Ok(Err(Defect::unended("impossible length"))),
    };
    let from = at + PREFIX_BYTES as u64;
    // The file's own length bounds what is read, so a hostile length costs no more than the file.
    if from + payload_bytes >= window.len() {
        return Ok(Err(Defect::unended("the record is cut off")));
    }
    let Some((trailer, payload)) = window.exactly(from, payload_bytes + 1)?.and_then(<[u8]>::split_last)
    else {
        return Ok(Err(Defect::unended("the record is cut off")));
    };
    let matches = checksum == u64::from(simd_adler32::adler32(&payload));
    let ended = Some(from + payload_bytes + 1);
    match *trailer {
        TRAILER if matches => {}
        TRAILER => return Ok(Err(Defect { problem: "checksum mismatch", ended })),
        // Not written, it would be zero.
        1.. if matches => return Ok(Err(Defect { problem: "the record's end mark is damaged", ended })),
        _ => return Ok(Err(Defect::unended("the record's end mark is missing"))),
    }
    // Session id 8, cxid 4, then the zxid.
    let zxid = payload.get(12..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes);
    Ok(Ok(Located { zxid: Zxid(zxid), offset: at, payload_bytes }))
}

fn split_prefix(prefix: &[u8]) -> Option<(u64, i32)> {
    let (checksum, length) = prefix.split_first_chunk()?;
    Some((u64::from_be_bytes(*checksum), i32::from_be_bytes(length.try_into().ok()?)))
}

/// Judges `at`, where no valid record begins. `last` is the newest valid one before it. `None` is a
/// clean end.
pub(super) fn judge(
    window: &mut Window,
    path: &Path,
    at: u64,
    last: Zxid,
    Defect { problem, ended }: Defect,
) -> std::result::Result<Option<TornTail>, LogError> {
    if window.next_nonzero(at)?.is_none() {
        return Ok(None);
    }
    let torn =
        |newest_intact| Ok(Some(TornTail { path: path.to_owned(), offset: at, problem, newest_intact }));
    let corrupt = |intact| Err(LogError::Corrupt { path: path.to_owned(), offset: at, problem, intact });
    let intact = find_intact(window, at + 1, last)?;
    let Some(intact) = intact else {
        let was_whole = match ended {
            Some(end) => !lost_a_line(window, at, end)?,
            None => ends_elsewhere(window, at)?,
        };
        return if was_whole { corrupt(None) } else { torn(None) };
    };
    let batch_end = at + 2 * UNSYNCED_BYTES_MAX as u64;
    let is_torn =
        lost_a_sector(window, at, intact.offset)? && find_intact(window, batch_end, last)?.is_none();
    if is_torn { torn(Some(newest_intact(window, intact)?)) } else { corrupt(Some(intact.zxid)) }
}

/// The newest transaction among the valid records from `first` on, passing over a few more bad places.
fn newest_intact(window: &mut Window, first: Located) -> Result<Zxid> {
    const BAD_PLACES_MAX: usize = 8;
    let mut newest = first;
    for _ in 0..BAD_PLACES_MAX {
        while let Ok(next) = locate(window, newest.end())?
            && next.zxid > newest.zxid
        {
            newest = next;
        }
        match find_intact(window, newest.end(), newest.zxid)? {
            Some(next) => newest = next,
            None => break,
        }
    }
    Ok(newest.zxid)
}

/// The first valid record at or after `from` that is newer than `last`, wherever it begins. Bytes
/// made to look like very many long records count as one: that errs towards corruption.
fn find_intact(window: &mut Window, from: u64, last: Zxid) -> Result<Option<Located>> {
    const STEP: u64 = 1 << 16;
    const CHECKED_BYTES_MAX: u64 = 1 << 30;
    let mut at = from;
    let mut checked_bytes = 0;
    let window_len = window.len();
    // A record begins with at least four zero bytes, so it may begin before the next other byte.
    while let Some(nonzero) = window.next_nonzero(at)? {
        at = at.max(nonzero.saturating_sub(PREFIX_BYTES as u64));
        let bytes = window.view(at, STEP + PREFIX_BYTES as u64)?;
        let stepped = (bytes.len() as u64).saturating_sub(PREFIX_BYTES as u64 - 1).max(1);
        let left = window_len - at;
        let candidates: Vec<_> = bytes
            .windows(PREFIX_BYTES)
            .enumerate()
            .filter_map(|(skip, prefix)| {
                Some((skip as u64, may_begin(prefix).filter(|length| *length < left)?))
            })
            .collect();
        for (skip, payload_bytes) in candidates {
            checked_bytes += payload_bytes;
            if checked_bytes > CHECKED_BYTES_MAX {
                return Ok(Some(Located { zxid: last.successor(), offset: at + skip, payload_bytes }));
            }
            if let Ok(found) = locate(window, at + skip)?
                && found.zxid > last
            {
                return Ok(Some(found));
            }
        }
        at += stepped;
    }
    Ok(None)
}

/// The length of the payload, if twelve bytes look like checksum and length.
fn may_begin(prefix: &[u8]) -> Option<u64> {
    let (checksum, length) = split_prefix(prefix)?;
    let length = u64::try_from(length).ok()?;
    let looks_so = (1..=u64::from(u32::MAX)).contains(&checksum) && length >= PAYLOAD_BYTES_MIN as u64;
    looks_so.then_some(length)
}

/// Whether the bytes from `at` to `intact` show that a sector was never written, or a page not to its end:
/// the rest of the first sector, a whole one, or the end of a page is zeros.
fn lost_a_sector(window: &mut Window, at: u64, intact: u64) -> Result<bool> {
    if is_zero(window.view(at, PREFIX_BYTES as u64)?) {
        return Ok(true);
    }
    let mut sector = at.next_multiple_of(SECTOR_BYTES);
    if ends_in_zeros(window, at, sector, SECTOR_BYTES)? {
        return Ok(true);
    }
    while sector <= intact {
        let ends_a_page = sector.is_multiple_of(PAGE_BYTES);
        if ends_a_page && ends_in_zeros(window, at, sector, WORD_BYTES)? {
            return Ok(true);
        }
        if sector < intact && is_zero(window.view(sector, SECTOR_BYTES)?) {
            return Ok(true);
        }
        sector += SECTOR_BYTES;
    }
    Ok(false)
}

/// Whether the record at `at..end` shows that a line of it was not written to its end.
fn lost_a_line(window: &mut Window, at: u64, end: u64) -> Result<bool> {
    let mut line = (at + 1).next_multiple_of(LINE_BYTES);
    // What ends the record is there, and with it all that is before it in its line.
    while line < end {
        if ends_in_zeros(window, at, line, WORD_BYTES)? {
            return Ok(true);
        }
        line += LINE_BYTES;
    }
    Ok(false)
}

/// Whether the last bytes of the file are the end of the record at `at`, of which only the length is wrong.
fn ends_elsewhere(window: &mut Window, at: u64) -> Result<bool> {
    let Some((checksum, _)) = window.exactly(at, PREFIX_BYTES as u64)?.and_then(split_prefix) else {
        return Ok(false);
    };
    let Some(end) = window.last_nonzero(at)? else { return Ok(false) };
    let from = at + PREFIX_BYTES as u64;
    let Some((trailer, payload)) = window.view(from, (end + 1).saturating_sub(from))?.split_last() else {
        return Ok(false);
    };
    let is_long = payload.len() >= PAYLOAD_BYTES_MIN;
    Ok(is_long && *trailer == TRAILER && checksum == u64::from(simd_adler32::adler32(&payload)))
}

/// Whether the last `count` bytes before `end` are zeros, as far as they belong to the record at `at`.
fn ends_in_zeros(window: &mut Window, at: u64, end: u64, count: u64) -> Result<bool> {
    let from = at.max(end.saturating_sub(count));
    // Fewer bytes than these are zero in every record.
    Ok(end > at + 4 && is_zero(window.view(from, end - from)?))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
