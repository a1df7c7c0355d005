//! For tests of other rooms: recovery as a start does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use jute::{SessionId, Zxid};

use super::directories::Directories;
use super::error::ServerError;
use super::recovery;
use crate::clock::RealClock;
use crate::config::{Config, Environment};
use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::tree::Tree;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config::from_arguments(2181, Path::new("/data"), None, None, &Environment::default()).unwrap()
});
/// With a log directory of its own.
static SPLIT: LazyLock<Config> =
    LazyLock::new(|| Config { data_log_dir: PathBuf::from("/log"), ..CONFIG.clone() });

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// A tree, its sessions, and the snapshot it began with.
pub(crate) type Recovered = (Tree, BTreeMap<SessionId, i32>, Option<Zxid>);

/// Tree, sessions and the snapshot it began with, of the data directory `/data`, with the log in `/log` if
/// that is there.
pub(crate) fn recover(disk: &Arc<dyn Disk>) -> Result<Recovered, ServerError> {
    let config = if disk.list(Path::new("/log/version-2")).is_ok() { &SPLIT } else { &CONFIG };
    let directories = Directories::open(disk, config)?;
    let recovered = recovery::recover(disk, &directories, config, &RealClock, &METRICS)?;
    Ok((recovered.tree, recovered.sessions, recovered.snapshot))
}
