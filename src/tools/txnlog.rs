//! One log file: as text, judged, repaired, cut short. Reference: `TxnLogToolkit`, `LogChopper`.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use jute::txn::TxnEntry;

use super::{Result, ToolError, text};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::txnlog::format::{HEADER_BYTES, MAGIC, PREFIX_BYTES, TRAILER};
use crate::txnlog::inspect;

/// Larger records than any server writes.
const RECORD_BYTES_MAX: i32 = 1 << 30;

/// A record as it stands in the file, whole or not.
struct Record {
    checksum: u64,
    payload: Vec<u8>,
    trailer: Option<u8>,
}

impl Record {
    fn real_checksum(&self) -> u64 {
        u64::from(simd_adler32::adler32(&self.payload.as_slice()))
    }

    fn check_whole(&self) -> Result {
        if self.trailer == Some(TRAILER) {
            Ok(())
        } else {
            Err(ToolError::files("Last transaction was partial."))
        }
    }
}

/// Reads records front to back, as the reference does: up to the first of length zero.
struct Records {
    file: Box<dyn DiskFile>,
    at: u64,
}

impl Records {
    fn open(path: &Path, out: &mut dyn Write) -> std::result::Result<(Self, Vec<u8>), ToolError> {
        let unreadable = |_| {
            let path = path.display();
            ToolError::files(format!("File doesn't exist or not readable: {path}"))
        };
        let file = RealDisk.open_read(path).map_err(unreadable)?;
        let mut header = vec![0; HEADER_BYTES as usize];
        let read = file.read_at(0, &mut header)?;
        if read < header.len() || !header.starts_with(&MAGIC) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Err(ToolError::call(format!("Invalid magic number for {name}")));
        }
        let (_, fields) = header.split_at(MAGIC.len());
        let (version, dbid) = fields.split_at(4);
        let version = i32::from_be_bytes(version.try_into().unwrap_or_default());
        let dbid = i64::from_be_bytes(dbid.try_into().unwrap_or_default());
        writeln!(out, "ZooKeeper Transactional Log File with dbid {dbid} txnlog format version {version}")?;
        Ok((Self { file, at: HEADER_BYTES }, header))
    }

    fn next(&mut self) -> std::result::Result<Option<Record>, ToolError> {
        let mut prefix = [0; PREFIX_BYTES];
        if self.file.read_at(self.at, &mut prefix)? < prefix.len() {
            return Ok(None);
        }
        let (checksum, length) = prefix.split_at(8);
        let checksum = u64::from_be_bytes(checksum.try_into().unwrap_or_default());
        let length = i32::from_be_bytes(length.try_into().unwrap_or_default());
        if length == 0 {
            return Ok(None);
        }
        if !(0..=RECORD_BYTES_MAX).contains(&length) {
            return Err(ToolError::files(format!("Unreasonable length = {length}")));
        }
        let count = length as u64;
        let left = self.file.len()?.saturating_sub(self.at + PREFIX_BYTES as u64);
        if count > left {
            return Ok(None);
        }
        let mut payload = vec![0; count as usize];
        self.file.read_at(self.at + PREFIX_BYTES as u64, &mut payload)?;
        let mut trailer = [0];
        let end = self.at + PREFIX_BYTES as u64 + count;
        let trailer = (self.file.read_at(end, &mut trailer)? == 1).then_some(trailer[0]);
        self.at = end + 1;
        Ok(Some(Record { checksum, payload, trailer }))
    }
}

fn print(prefix: &str, payload: &[u8], out: &mut dyn Write) -> Result {
    let line = text::transaction(payload).map_err(ToolError::files)?;
    let separator = if prefix.is_empty() { "" } else { " - " };
    Ok(write!(out, "{prefix}{separator}{line}")?)
}

/// Prints every transaction. Wrong checksums are marked.
///
/// # Errors
/// Not a log, or a record that is cut off.
pub fn dump(path: &Path, out: &mut dyn Write) -> Result {
    let (mut records, _) = Records::open(path, out)?;
    let mut count = 0;
    while let Some(record) = records.next()? {
        if record.checksum != record.real_checksum() {
            print("CRC ERROR", &record.payload, out)?;
        }
        print("", &record.payload, out)?;
        record.check_whole()?;
        count += 1;
    }
    Ok(writeln!(out, "EOF reached after {count} txns.")?)
}

/// Says whether a start could read the file.
///
/// # Errors
/// It could not.
pub fn verify(path: &Path, out: &mut dyn Write) -> Result {
    let summary = inspect(&RealDisk, path)?;
    match summary.range {
        Some((first, last)) => writeln!(out, "{} transactions, {first} to {last}", summary.records)?,
        None => writeln!(out, "No transactions")?,
    }
    match summary.torn {
        None => writeln!(out, "Healthy: it ends cleanly at offset {}", summary.valid_bytes)?,
        Some(torn) => writeln!(
            out,
            "Healthy up to offset {}; after it is what a crash left ({}). A start cuts it off if this is the \
             newest log",
            torn.offset, torn.problem
        )?,
    }
    Ok(())
}

/// Writes a copy, `<file>.fixed`, with right checksums: of all records, or of those that `answers` says
/// yes to.
///
/// # Errors
/// The copy is there already, or a record is cut off.
pub fn repair(
    path: &Path,
    all: bool,
    verbose: bool,
    answers: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result {
    let target = suffixed(path, ".fixed");
    if target.exists() {
        let target = target.display();
        return Err(ToolError::files(format!("Recovery file {target} already exists or not writable")));
    }
    let (mut records, mut copy) = Records::open(path, out)?;
    let (mut count, mut fixed) = (0, 0);
    while let Some(mut record) = records.next()? {
        let real = record.real_checksum();
        if record.checksum != real {
            if all {
                print("CRC FIXED", &record.payload, out)?;
            } else {
                print("CRC ERROR", &record.payload, out)?;
            }
            if all || wants_fix(answers, out)? {
                record.checksum = real;
                fixed += 1;
            }
        }
        if verbose {
            print("", &record.payload, out)?;
        }
        record.check_whole()?;
        append(&mut copy, &record);
        count += 1;
    }
    writeln!(out, "EOF reached after {count} txns.")?;
    write_new(&target, &copy)?;
    writeln!(out, "Recovery file {} has been written with {fixed} fixed CRC error(s)", target.display())?;
    Ok(())
}

fn wants_fix(answers: &mut dyn BufRead, out: &mut dyn Write) -> std::result::Result<bool, ToolError> {
    loop {
        write!(out, "Would you like to fix it (Yes/No/Abort) ? ")?;
        out.flush()?;
        let mut answer = String::new();
        let ended = answers.read_line(&mut answer)? == 0;
        match answer.trim().chars().next().map(|c| c.to_ascii_uppercase()) {
            Some('Y') => return Ok(true),
            Some('N') => return Ok(false),
            Some('A') => return Err(ToolError { message: "Recovery aborted.".to_owned(), exit_code: 0 }),
            _ if ended => return Err(ToolError::files("Recovery aborted: no answer.")),
            _ => {}
        }
    }
}

/// Writes a copy, `<file>.chopped<zxid>`, that ends with this transaction.
///
/// # Errors
/// The transaction is not in the file, or is its last.
pub fn chop(path: &Path, zxid: i64, out: &mut dyn Write) -> Result {
    let (mut records, mut copy) = Records::open(path, out)?;
    let (mut count, mut has_zxid, mut previous) = (0, false, None);
    while let Some(record) = records.next()? {
        let real = record.real_checksum();
        if record.checksum != real {
            return Err(ToolError::files(format!("CRC doesn't match {} vs {real}", record.checksum)));
        }
        let found = TxnEntry::decode(&record.payload).map_err(ToolError::files)?.header.zxid;
        record.check_whole()?;
        has_zxid |= found.0 == zxid;
        if let Some(previous) = previous.filter(|previous: &jute::Zxid| found.0 != previous.0 + 1) {
            if found.epoch() == previous.epoch() {
                writeln!(out, "There is intra-epoch gap between {:x} and {:x}", previous.0, found.0)?;
            } else if found.counter() != 1 {
                writeln!(out, "There is inter-epoch gap between {:x} and {:x}", previous.0, found.0)?;
            }
        }
        previous = Some(found);
        if found.0 > zxid {
            if count == 0 || !has_zxid {
                writeln!(out, "This log does not contain zxid {zxid:x}")?;
                return Err(failed_to_chop(path));
            }
            writeln!(out, "Chopping at {zxid:x} new log has {count} records")?;
            return write_new(&suffixed(path, &format!(".chopped{zxid}")), &copy);
        }
        append(&mut copy, &record);
        count += 1;
    }
    writeln!(out, "EOF reached after {count} txns.")?;
    Err(failed_to_chop(path))
}

fn failed_to_chop(path: &Path) -> ToolError {
    ToolError::call(format!("Failed to chop {}", path.file_name().unwrap_or_default().to_string_lossy()))
}

fn append(copy: &mut Vec<u8>, record: &Record) {
    copy.extend_from_slice(&record.checksum.to_be_bytes());
    copy.extend_from_slice(&(record.payload.len() as u32).to_be_bytes());
    copy.extend_from_slice(&record.payload);
    copy.push(TRAILER);
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn write_new(path: &Path, bytes: &[u8]) -> Result {
    let file = RealDisk.create(path)?;
    file.write_at(0, bytes)?;
    Ok(file.sync()?)
}
