//! The epoch files of a member of an ensemble (reference: `QuorumPeer.readLongFromFile`). A server alone
//! does not look at them.

use std::path::Path;

use super::StoreError;
use crate::disk::{Disk, read_small};

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
        Ok(Self {
            accepted: read("acceptedEpoch")?,
            current: read("currentEpoch")?,
            next: read("currentEpoch.tmp")?,
        })
    }
}
