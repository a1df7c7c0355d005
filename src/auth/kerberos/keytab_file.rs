//! A keytab on disk, read again when it was replaced, so that keys change without a restart and without a moment
//! in which there are none (in the JDK, `javax.security.auth.kerberos.KeyTab`).
#![expect(clippy::disallowed_methods, reason = "the keytab is configuration; it is not on the data's disk")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::keytab::{Keytab, ServiceKeys};
use super::name::Principal;

/// Bytes of a keytab. One with a thousand keys has about 100 KiB.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

/// What changes when a file is written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            written: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

/// The file of one service's keys.
#[derive(Debug)]
pub struct KeytabFile {
    path: PathBuf,
    principal: Principal,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the file was when it was last looked into; None when that failed.
    stamp: Option<Stamp>,
    keys: Arc<ServiceKeys>,
}

impl KeytabFile {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence with the file, what is wrong with it, and what to do.
    pub fn open(path: &Path, principal: &Principal) -> Result<Self, String> {
        let (stamp, keys) = read(path, principal)?;
        let state = Mutex::new(State { stamp: Some(stamp), keys: Arc::new(keys) });
        Ok(Self { path: path.to_owned(), principal: principal.clone(), state })
    }

    /// The keys, of the file as it is now. If it cannot be read, or is no good, those that it had are still used, and
    /// the log says so once for each state of the file.
    #[must_use]
    pub fn current(&self) -> Arc<ServiceKeys> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if stamp == state.stamp {
            return Arc::clone(&state.keys);
        }
        match read(&self.path, &self.principal) {
            Ok((stamp, keys)) => {
                tracing::info!(keytab = %self.path.display(), keys = %keys.described(), "read the keytab again");
                *state = State { stamp: Some(stamp), keys: Arc::new(keys) };
            }
            Err(error) => {
                tracing::warn!("{error}; the keys it had before are used until it is repaired");
                state.stamp = stamp;
            }
        }
        Arc::clone(&state.keys)
    }
}

fn read(path: &Path, principal: &Principal) -> Result<(Stamp, ServiceKeys), String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "{}: cannot read the keytab of {principal}: {error}; keyTab must name a file that this process may read",
            path.display()
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 != 0 {
        tracing::warn!(
            "{}: others than its owner may read or change the keys of {principal}; make it chmod 600",
            path.display()
        );
    }
    let stamp = Stamp::of(&metadata);
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(format!("{}: this is no keytab: it has more than {SIZE_MAX} bytes", path.display()));
    }
    let keys = Keytab::parse(&bytes).and_then(|keytab| keytab.keys_of(principal));
    Ok((stamp, keys.map_err(|error| format!("{}: {error}", path.display()))?))
}
