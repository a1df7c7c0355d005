//! The mark: a small file beside the log that says how far the log is known to be durable.
//!
//! From the bytes of a log alone, records that were durable and that the disk lost cannot be told from a
//! batch that never became durable. So after each sync of the log the place of the last record goes into
//! `oxkeeper.durable`. The mark itself is never waited for: it is stored (into a map where the log is
//! mapped, which takes no system call) and the kernel writes it when it likes. After the death of the process
//! it is exact; after a power cut it may be old. It is never ahead of the log, as it is stored after the sync
//! returned.
//!
//! The file has two slots that are written in turn, each in a sector of its own, so that one of them is whole
//! at any time. All integers are big-endian:
//!
//! ```text
//! slot  ┌───────────┬──────────┬──────────┬──────────────┬─────┬──────┬─────────┬───────────────────┐
//!       │ OXKMARK1  │ sequence │ log file │ first record │ end │ zxid │ records │ CRC-32 of these   │
//!       │ 8         │ 8        │ 8        │ 16           │ 8   │ 8    │ 8       │ 8                 │
//!       └───────────┴──────────┴──────────┴──────────────┴─────┴──────┴─────────┴───────────────────┘
//! ```
//!
//! The log file is named by its first zxid; the first 16 bytes of its first record (checksum, length) tell
//! it from another history's file of the same name. The reference's servers neither read the mark nor keep
//! it up to date, so at a start it counts only while the log is where it was left ([`missing`]):
//!
//! | what a start finds | what follows |
//! |---|---|
//! | no mark, or no whole slot | nothing is claimed |
//! | the newest transaction is that of the mark, or newer | nothing is missing |
//! | a log file that is newer than the mark's | a server went on without the mark: nothing is claimed |
//! | the mark's file, and another first record in it | another history: nothing is claimed |
//! | the mark's file, ending exactly with an older record | it was cut on purpose: by a leader's TRUNC in the reference, or by `truncate -s` |
//! | the mark's file, and zeros or damage behind an older record | durable transactions are missing: the start refuses |
//! | not the mark's file, and `acceptedEpoch` is above the mark's epoch | a leader's TRUNC in the reference may have removed it: nothing is claimed |
//! | not the mark's file | durable transactions are missing: the start refuses |

use std::path::Path;

use jute::Zxid;

use super::format::{self, HEADER_BYTES};
use super::mmap::Mapped;
use super::reader::{Newest, log_files};
use super::{Io, LogError, Options};
use crate::disk::{Disk, DiskFile, LogMem, Mapping, Result};

/// The name of the mark's file.
pub const MARK_NAME: &str = "oxkeeper.durable";

/// Magic number and version.
const MAGIC: [u8; 8] = *b"OXKMARK1";
/// Words of eight bytes.
const SLOT_WORDS: usize = 9;
/// Slots are a sector apart.
const SLOT_STEP: u64 = format::SECTOR_BYTES;
/// A page.
const FILE_BYTES: usize = 4096;

/// What was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The first zxid of the log file, which is in its name.
    pub file: Zxid,
    /// How the file's first record begins: checksum, length, and a little of the payload.
    pub(super) first: [[u8; 8]; 2],
    /// Where the last durable record ends.
    pub end: u64,
    /// Its transaction.
    pub zxid: Zxid,
    /// Records of the file up to there.
    pub records: u64,
}

impl Mark {
    /// Nothing of a new file is durable.
    pub(super) const fn of_new_file(file: Zxid) -> Self {
        Self { file, first: [[0; 8]; 2], end: HEADER_BYTES, zxid: Zxid::ZERO, records: 0 }
    }

    fn encode(&self, sequence: u64) -> [[u8; 8]; SLOT_WORDS] {
        let [first, first_rest] = self.first;
        let fields = [
            MAGIC,
            sequence.to_be_bytes(),
            self.file.0.to_be_bytes(),
            first,
            first_rest,
            self.end.to_be_bytes(),
            self.zxid.0.to_be_bytes(),
            self.records.to_be_bytes(),
        ];
        let checksum = u64::from(crc32fast::hash(fields.as_flattened())).to_be_bytes();
        let [magic, sequence, file, first, first_rest, end, zxid, records] = fields;
        [magic, sequence, file, first, first_rest, end, zxid, records, checksum]
    }

    /// The mark in a slot with its sequence number; `None` when the slot is not whole.
    fn decode(slot: &[[u8; 8]; SLOT_WORDS]) -> Option<(u64, Self)> {
        let [fields @ .., checksum] = slot;
        let [magic, sequence, file, first, first_rest, end, zxid, records] = fields;
        let checks = u64::from_be_bytes(*checksum) == u64::from(crc32fast::hash(fields.as_flattened()));
        let mark = Self {
            file: Zxid(i64::from_be_bytes(*file)),
            first: [*first, *first_rest],
            end: u64::from_be_bytes(*end),
            zxid: Zxid(i64::from_be_bytes(*zxid)),
            records: u64::from_be_bytes(*records),
        };
        (*magic == MAGIC && checks).then_some((u64::from_be_bytes(*sequence), mark))
    }

    /// The newest mark of a directory; `None` when there is none that is whole.
    ///
    /// # Errors
    /// As the disk reports.
    pub fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<Self>> {
        match disk.open_read(&directory.join(MARK_NAME)) {
            Ok(file) => Ok(newest(&*file)?.map(|(_, mark)| mark)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The newest whole slot of a file.
fn newest(file: &dyn DiskFile) -> Result<Option<(u64, Mark)>> {
    let mut found = None;
    for slot in 0..2 {
        let mut bytes = [[0; 8]; SLOT_WORDS];
        let read = file.read_at(slot * SLOT_STEP, bytes.as_flattened_mut())?;
        let decoded = Mark::decode(&bytes).filter(|_| read == bytes.as_flattened().len());
        found = found.into_iter().chain(decoded).max_by_key(|(sequence, _)| *sequence);
    }
    Ok(found)
}

/// Keeps the mark up to date. What fails here only makes the mark old, so it is given up and nothing is
/// reported.
pub(super) struct Marker {
    file: Box<dyn DiskFile>,
    /// `None`: plain writes, which are made less often.
    memory: Option<Box<dyn LogMem>>,
    sequence: u64,
    /// Not stored yet.
    pending: Option<Mark>,
    /// Syncs of the log since the last store.
    skipped: u32,
    /// A plain write is made after so many syncs.
    every: u32,
}

impl Marker {
    /// Opens or creates the file. The name of a new one is durable after a sync of the directory.
    pub(super) fn open(disk: &dyn Disk, options: &Options) -> Result<Self> {
        let path = options.dir.join(MARK_NAME);
        let existing = match disk.open(&path) {
            Ok(file) if file.len()? >= FILE_BYTES as u64 => Some(file),
            Ok(_) => {
                disk.remove(&path)?;
                None
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let file = match existing {
            Some(file) => file,
            None => Self::create(disk, &path)?,
        };
        let sequence = newest(&*file)?.map_or(0, |(sequence, _)| sequence);
        let memory: Option<Box<dyn LogMem>> = match options.io {
            Io::Plain => None,
            Io::Mapped => match file.mapping()? {
                Mapping::Real(mapped) => Some(Box::new(Mapped::new(&mapped, &path, FILE_BYTES as u64)?)),
                Mapping::Simulated(memory) => Some(memory),
                Mapping::Refused(_) => None,
            },
        };
        Ok(Self { file, memory, sequence, pending: None, skipped: 0, every: options.mark_every })
    }

    /// A file of zeros, with blocks of its own: a later store needs no space.
    fn create(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = disk.create(path)?;
        let filled = file.write_at(0, &[0; FILE_BYTES]).and_then(|()| file.sync());
        if filled.is_err() {
            let _ = disk.remove(path);
        }
        filled.map(|()| file)
    }

    /// Notes what is durable now. To be called after the sync, never before.
    pub(super) fn advance(&mut self, mark: Mark) -> Result<()> {
        self.pending = Some(mark);
        self.skipped += 1;
        if self.memory.is_some() || self.skipped >= self.every { self.store() } else { Ok(()) }
    }

    /// Stores what [`advance`](Self::advance) has left.
    pub(super) fn store(&mut self) -> Result<()> {
        let Some(mark) = self.pending.take() else { return Ok(()) };
        self.skipped = 0;
        self.sequence += 1;
        let (offset, slot) = (self.sequence % 2 * SLOT_STEP, mark.encode(self.sequence));
        match &mut self.memory {
            Some(memory) => memory.store(offset, slot.as_flattened()),
            None => self.file.write_at(offset, slot.as_flattened()),
        }
    }

    /// Makes the mark itself durable, for a clean stop.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.store()?;
        self.file.sync()
    }
}

/// Removes the mark, durably. To be called before durable transactions are given up on purpose: before the
/// log is cut, or a leader's snapshot takes its place. [`Log::truncate`](super::Log::truncate) does it itself.
///
/// # Errors
/// As the disk reports.
pub fn remove(disk: &dyn Disk, directory: &Path) -> Result<()> {
    match disk.remove(&directory.join(MARK_NAME)) {
        Ok(()) => disk.sync_dir(directory),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether transactions are missing that were durable, by the table in the module's documentation.
/// `last` is the newest transaction that was found, in a snapshot or in the log, and `newest` how far the
/// newest log file could be read. `accepted_epoch` is what the file `acceptedEpoch` says, 0 without it.
pub(super) fn missing(
    disk: &dyn Disk,
    directory: &Path,
    mark: &Mark,
    last: Zxid,
    newest: Option<&Newest>,
    accepted_epoch: i64,
) -> std::result::Result<Option<LogError>, LogError> {
    let files = log_files(disk, directory)?;
    if last >= mark.zxid || files.iter().any(|(first, _)| *first > mark.file) {
        return Ok(None);
    }
    // Inside an epoch no zxid is left out.
    let same_epoch = mark.zxid.epoch() == last.epoch();
    let lost = |path: &Path, offset, of_the_file| LogError::Lost {
        path: path.to_owned(),
        offset,
        last,
        durable: mark.zxid,
        transactions: if same_epoch { (mark.zxid.0 - last.0).cast_unsigned() } else { of_the_file },
    };
    let Some(newest) = newest.filter(|_| files.last().is_some_and(|(first, _)| *first == mark.file)) else {
        let path = directory.join(format::file_name(mark.file));
        let truncated = accepted_epoch > i64::from(mark.zxid.epoch());
        return Ok((!truncated).then(|| lost(&path, None, mark.records)));
    };
    let file = disk.open_read(&newest.path)?;
    let mut first = [[0; 8]; 2];
    file.read_at(HEADER_BYTES, first.as_flattened_mut())?;
    let is_another_history = newest.records > 0 && first != mark.first;
    let ends_here = file.len()? == newest.valid_bytes;
    if is_another_history || ends_here {
        return Ok(None);
    }
    let of_the_file = mark.records.saturating_sub(newest.records);
    Ok(Some(lost(&newest.path, Some(newest.valid_bytes.max(HEADER_BYTES)), of_the_file)))
}
