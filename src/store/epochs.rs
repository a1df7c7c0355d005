//! The epoch files of a member of an ensemble (reference: `QuorumPeer.readLongFromFile`, `writeLongToFile`,
//! `loadDataBase`). A server alone does not look at them.

use std::path::Path;

use jute::Zxid;

use super::StoreError;
use crate::disk::{Disk, DiskError, atomic_write, read_small};

/// What an epoch file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// There is no such file.
    Missing,
    /// A number.
    Is(i64),
    /// No number: the text that is there instead, which may be empty.
    Garbled(String),
}

/// The epoch files of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// `acceptedEpoch`: the newest epoch that was promised to a leader.
    pub accepted: Epoch,
    /// `currentEpoch`: the epoch of the newest leader whose history is here.
    pub current: Epoch,
    /// `currentEpoch.tmp`: what `currentEpoch` was about to become.
    pub next: Epoch,
}

/// The epochs a member goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The newest epoch that was promised to a leader.
    pub accepted: u32,
    /// The epoch of the newest leader whose history is here.
    pub current: u32,
    /// What `currentEpoch` said before, if it was behind the newest transaction.
    pub raised_from: Option<u32>,
}

/// The file of the newest epoch that was promised to a leader.
const ACCEPTED: &str = "acceptedEpoch";
/// The file of the epoch of the newest leader whose history is here.
const CURRENT: &str = "currentEpoch";
/// What it is written to before it takes the name.
const NEXT: &str = "currentEpoch.tmp";
/// No epoch file is longer.
const BYTES_MAX: usize = 100;

impl Epochs {
    /// Reads the files.
    ///
    /// # Errors
    /// As the disk reports, and when a file is too long for a number.
    pub fn read(disk: &dyn Disk, directory: &Path) -> Result<Self, StoreError> {
        let read = |name| {
            let Some(bytes) = read_small(disk, &directory.join(name), BYTES_MAX)? else {
                return Ok::<_, StoreError>(Epoch::Missing);
            };
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            Ok(text.parse().map_or(Epoch::Garbled(text), Epoch::Is))
        };
        Ok(Self { accepted: read(ACCEPTED)?, current: read(CURRENT)?, next: read(NEXT)? })
    }

    /// Whether a leader was ever heard of here.
    pub(super) fn are_used(&self) -> bool {
        [&self.accepted, &self.current]
            .into_iter()
            .any(|epoch| !matches!(epoch, Epoch::Missing | Epoch::Is(0)))
    }

    /// Reads the files of a member whose newest transaction is `last`, and writes those that are missing or
    /// behind. All of it may be done again after a crash.
    ///
    /// A member makes a leader's history durable before it writes the epoch, so after a crash in between
    /// the epoch is behind the newest transaction; it is raised, where the reference refuses to start.
    ///
    /// # Errors
    /// A file holds no number, or one that cannot be an epoch; more is said to be current than was accepted; or
    /// as the disk reports.
    pub fn recover(disk: &dyn Disk, directory: &Path, last: Zxid) -> Result<Known, StoreError> {
        let found = Self::read(disk, directory)?;
        let of_last = last.epoch();
        let accepted = number(found.accepted, &directory.join(ACCEPTED))?;
        let current = number(found.current, &directory.join(CURRENT))?;
        // Half written it says nothing.
        let next = number(found.next, &directory.join(NEXT)).ok().flatten();
        let mut known = Known {
            accepted: accepted.unwrap_or(of_last),
            current: current.unwrap_or(of_last),
            raised_from: None,
        };
        if known.current < of_last {
            known.raised_from = Some(known.current);
            known.current = next.filter(|next| (of_last..=known.accepted).contains(next)).unwrap_or(of_last);
        }
        if known.accepted < known.current {
            return Err(StoreError::Epoch {
                path: directory.join(ACCEPTED),
                problem: format!(
                    "says that epoch {} was the last one accepted, but the history here is of epoch {}; the \
                     files are not of one directory",
                    known.accepted, known.current
                ),
            });
        }
        if accepted.is_none() {
            write_accepted(disk, directory, known.accepted)?;
        }
        if current != Some(known.current) {
            write_current(disk, directory, known.current)?;
        }
        Ok(known)
    }
}

/// Makes `acceptedEpoch` say this, durably.
///
/// # Errors
/// As the disk reports; the file is then as it was.
pub fn write_accepted(disk: &dyn Disk, directory: &Path, epoch: u32) -> Result<(), DiskError> {
    atomic_write(disk, directory, ACCEPTED, epoch.to_string().as_bytes())
}

/// Makes `currentEpoch` say this, durably.
///
/// # Errors
/// As the disk reports; the file is then as it was.
pub fn write_current(disk: &dyn Disk, directory: &Path, epoch: u32) -> Result<(), DiskError> {
    atomic_write(disk, directory, CURRENT, epoch.to_string().as_bytes())
}

fn number(epoch: Epoch, path: &Path) -> Result<Option<u32>, StoreError> {
    let wrong = |problem| Err(StoreError::Epoch { path: path.to_owned(), problem });
    match epoch {
        Epoch::Missing => Ok(None),
        // Epochs are the upper half of zxids, which are not negative.
        Epoch::Is(number) => match u32::try_from(number).ok().filter(|epoch| i32::try_from(*epoch).is_ok()) {
            Some(epoch) => Ok(Some(epoch)),
            None => wrong(format!("says {number}, which no epoch can be")),
        },
        Epoch::Garbled(text) => wrong(format!("says {text:?} where a number must be")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::RealDisk;

    const E: i64 = 1 << 32;

    /// The epochs of a directory with these files, and what the files say afterwards.
    #[track_caller]
    fn check(files: &[(&str, &str)], last: i64, expected: (u32, u32), raised_from: Option<u32>) {
        let held = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(held.path().join(name), text).unwrap();
        }
        let (accepted, current) = expected;
        let found = Epochs::recover(&RealDisk, held.path(), Zxid(last)).unwrap();
        assert_eq!(found, Known { accepted, current, raised_from });
        let text = |name| fs::read_to_string(held.path().join(name)).unwrap().trim().to_owned();
        assert_eq!((text(ACCEPTED), text(CURRENT)), (accepted.to_string(), current.to_string()));
        let again = Epochs::recover(&RealDisk, held.path(), Zxid(last)).unwrap();
        assert_eq!(again, Known { raised_from: None, ..found });
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], last: i64, says: &[&str]) {
        let held = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(held.path().join(name), text).unwrap();
        }
        let text = Epochs::recover(&RealDisk, held.path(), Zxid(last)).unwrap_err().to_string();
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
    }

    #[test]
    fn missing_epochs_are_those_of_the_newest_transaction() {
        check(&[], 0, (0, 0), None);
        check(&[], 7 * E + 3, (7, 7), None);
        check(&[(ACCEPTED, "9")], 7 * E, (9, 7), None);
    }

    #[test]
    fn epochs_are_read_as_the_reference_writes_them_and_people_do() {
        check(&[(ACCEPTED, "4"), (CURRENT, "3")], 2 * E + 5, (4, 3), None);
        check(&[(ACCEPTED, "4\n"), (CURRENT, " 3\n")], 2 * E + 5, (4, 3), None);
    }

    #[test]
    fn an_epoch_behind_the_newest_transaction_is_raised_and_that_is_said() {
        check(&[(ACCEPTED, "4"), (CURRENT, "3")], 4 * E + 1, (4, 4), Some(3));
        check(&[(ACCEPTED, "5"), (CURRENT, "3"), (NEXT, "5")], 4 * E + 1, (5, 5), Some(3));
    }

    #[test]
    fn what_the_epoch_was_about_to_become_counts_only_where_it_is_behind_and_makes_sense() {
        check(&[(ACCEPTED, "5"), (CURRENT, "4"), (NEXT, "5")], 4 * E + 1, (5, 4), None);
        for next in ["", "9", "3", "-1", "x"] {
            check(&[(ACCEPTED, "5"), (CURRENT, "3"), (NEXT, next)], 4 * E + 1, (5, 4), Some(3));
        }
    }

    #[test]
    fn an_epoch_that_cannot_be_one_is_refused_with_its_file() {
        refused(&[(ACCEPTED, "")], 0, &[ACCEPTED, "\"\""]);
        refused(&[(CURRENT, "3x")], 0, &[CURRENT, "3x"]);
        refused(&[(ACCEPTED, "-1")], 0, &[ACCEPTED, "-1"]);
        refused(&[(ACCEPTED, "2147483648")], 0, &[ACCEPTED, "2147483648"]);
        refused(&[(ACCEPTED, "99999999999999999999")], 0, &[ACCEPTED]);
    }

    #[test]
    fn more_current_than_accepted_is_refused() {
        refused(&[(ACCEPTED, "3"), (CURRENT, "4")], 2 * E, &[ACCEPTED, "3", "4"]);
        refused(&[(ACCEPTED, "3"), (CURRENT, "3")], 4 * E + 1, &[ACCEPTED, "3", "4"]);
        refused(&[(CURRENT, "4")], 2 * E, &[ACCEPTED, "2", "4"]);
    }
}
